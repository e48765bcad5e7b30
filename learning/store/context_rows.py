"""What candles tell of trades, one row a trade; events take from it what their source lacks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.context.excursions import Excursions
from learning.context.trade_context import TradeContext
from learning.events.counterfactuals import Counterfactual
from learning.events.filled_context import FILLED_NUMBERS, FilledContext
from learning.events.verdicts import PositionKey, TradeKey
from learning.store.schema import trade_contexts
from learning.store.strand_rows import is_of, these_trades

_READ = ("scope", *FILLED_NUMBERS, "best_entry_at", "best_exit_at")
_TRADE = ("bot", "origin", "trade_id")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_contexts(
    connection: Connection, trades: Sequence[TradeKey]
) -> Mapping[PositionKey, FilledContext]:
    """Return what candles tell of the positions of trades, where they were looked up."""
    if not trades:
        return {}
    wanted = these_trades(trades)
    columns = [trade_contexts.c[name] for name in (*_TRADE, "position_id", *_READ)]
    query = (
        sa.select(*columns).select_from(wanted).join(trade_contexts, is_of(trade_contexts, wanted))
    )
    return {
        (bot, origin, trade_id, position_id or None): FilledContext(*values)
        for bot, origin, trade_id, position_id, *values in connection.execute(query)
    }


def write(connection: Connection, contexts: Sequence[TradeContext]) -> list[PositionKey]:
    """Write contexts; return the positions whose context is new or another one.

    Each position at most once; one that says the same as before is not written.
    """
    if not contexts:
        return []
    rows = [_row(context) for context in contexts]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    written = connection.execute(_write_statement(), columns)
    return [(bot, origin, trade_id, named or None) for bot, origin, trade_id, named in written]


@cache
def _write_statement() -> sa.TextClause:
    return sa.text((Path(__file__).parent / "sql" / "write_contexts.sql").read_text())


def _row(context: TradeContext) -> dict[str, Any]:
    found = context.excursions
    path = found if isinstance(found, Excursions) else Excursions(0.0)
    is_known = isinstance(found, Excursions)
    return {
        "bot": context.facts.bot,
        "origin": context.facts.origin,
        "trade_id": context.facts.trade_id,
        "position_id": context.facts.position_id or "",
        "scope": json.dumps(dict(context.scope)),
        # below a moving average entry the excursion is another one
        "max_drawdown_pct": path.max_drawdown_pct
        if is_known and not context.facts.has_adds
        else None,
        "mfe_r": path.mfe_r,
        "mae_r": path.mae_r,
        "payback_hours": path.payback_hours,
        "missed_entry_rr": _missed(path.could_enter_better),
        "missed_exit_rr": _missed(path.could_exit_better),
        "best_entry_at": _moment(path.could_enter_better),
        "best_exit_at": _moment(path.could_exit_better),
        "bar_seconds": None if context.bar_ms is None else context.bar_ms // 1000,
        "no_path_reason": None if isinstance(found, Excursions) else found.reason,
        "reference": context.reference,
    }


def _missed(better: Counterfactual | None) -> float | None:
    return None if better is None else better.missed_rr


def _moment(better: Counterfactual | None) -> datetime | None:
    return None if better is None else _EPOCH + timedelta(hours=better.at_hours)
