"""What candles tell of trades, one row a trade; events take from it what their source lacks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from learning.context.excursions import Excursions
from learning.context.trade_context import TradeContext
from learning.events.counterfactuals import Counterfactual
from learning.events.filled_context import FILLED_NUMBERS, FilledContext
from learning.events.verdicts import TradeKey
from learning.store.schema import trade_contexts
from learning.store.strand_rows import is_of, these_trades

_READ = ("scope", *FILLED_NUMBERS, "best_entry_at", "best_exit_at")
_KEY = ("bot", "trade_id")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_contexts(
    connection: Connection, trades: Sequence[TradeKey]
) -> Mapping[TradeKey, FilledContext]:
    """Return what candles tell of trades, where they were looked up."""
    if not trades:
        return {}
    wanted = these_trades(trades)
    columns = [trade_contexts.c[name] for name in (*_KEY, *_READ)]
    query = (
        sa.select(*columns).select_from(wanted).join(trade_contexts, is_of(trade_contexts, wanted))
    )
    return {
        (bot, trade_id): FilledContext(*values)
        for bot, trade_id, *values in connection.execute(query)
    }


def write(connection: Connection, contexts: Sequence[TradeContext]) -> list[TradeKey]:
    """Write contexts; return the trades whose context is new or another one.

    Each trade at most once; one that says the same as before is not written.
    """
    if not contexts:
        return []
    rows = [_row(context) for context in contexts]
    statement = insert(trade_contexts).values(rows)
    said = [name for name in rows[0] if name not in _KEY]
    told = [statement.excluded[name] for name in said]
    kept = [trade_contexts.c[name] for name in said]
    upsert = statement.on_conflict_do_update(
        index_elements=list(_KEY),
        set_={**{name: statement.excluded[name] for name in said}, "computed_at": sa.func.now()},
        where=sa.tuple_(*kept).is_distinct_from(sa.tuple_(*told)),
    ).returning(trade_contexts.c.bot, trade_contexts.c.trade_id)
    return sorted((bot, trade_id) for bot, trade_id in connection.execute(upsert))


def _row(context: TradeContext) -> dict[str, Any]:
    found = context.excursions
    path = found if isinstance(found, Excursions) else Excursions(0.0)
    is_known = isinstance(found, Excursions)
    return {
        "bot": context.facts.bot,
        "trade_id": context.facts.trade_id,
        "scope": json.loads(json.dumps(dict(sorted(context.scope.items())))),
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
