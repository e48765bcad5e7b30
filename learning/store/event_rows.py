"""The fact table ``pattern_trade_events``, its actions, and the arrays made of them.

Events are derived: whatever arrives for a trade, all its events are deleted and written anew in
one transaction. The caller holds the trades' locks (``strand_rows.read_pending``).
"""

from __future__ import annotations

import io
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import sqlalchemy as sa
from sqlalchemy import Connection

from learning.domain.pattern_key import Module
from learning.domain.scope import ScopeValue, checked_dimensions
from learning.events.attribution import CreditedTrade
from learning.events.strands import CLOSE_KIND, ActionStrand
from learning.events.verdicts import TradeKey, trade_of
from learning.evidence.trade_events import ABSENT, GroupKey, TradeEvents
from learning.store.copying import copy_into
from learning.store.schema import (
    OUTCOMES,
    ad_strands,
    pattern_trade_events,
    strand_ledger,
    trade_actions,
    trade_contexts,
)
from learning.store.strand_rows import is_of, these_trades

_ACTION_COLUMNS = (
    "strand_id", "bot", "origin", "module", "trade_id", "position_id", "pattern_key",
    "action_category", "decision_type", "scope", "controls", "acted_at",
)  # fmt: skip
_EVENT_COLUMNS = (
    "strand_id", "action_strand_id", "bot", "origin", "module", "trade_id", "position_id",
    "pattern_key", "action_category", "seq", "scope", "controls", "provenance", "symbol", "side",
    "acted_at", "opened_at", "closed_at", "r_multiple", "r_multiple_net", "rr_path", "return_pct",
    "time_efficiency", "payback_hours", "mfe_r", "mae_r", "missed_entry_rr", "missed_exit_rr",
    "risk_amount", "pnl_amount", "currency", "filled",
)  # fmt: skip
_BETTER = ("could_enter_better", "could_exit_better")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHUNKS = 64  # rows that the arrays are read in
_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


@lru_cache(maxsize=4096)  # the actions of a trade mostly share their scope
def _scope_json(scope: tuple[tuple[str, ScopeValue], ...]) -> str:
    return _to_json(dict(scope))


def add_actions(connection: Connection, actions: Iterable[ActionStrand]) -> int:
    """Write action strands; return how many."""
    rows = (
        (
            action.strand_id, action.bot, action.origin, action.module, action.trade_id,
            action.position_id, action.pattern_key, action.action_category, action.decision_type,
            _scope_json(tuple(action.scope.items())), _to_json(action.controls), action.acted_at,
        )
        for action in actions
    )  # fmt: skip
    return copy_into(connection, trade_actions, _ACTION_COLUMNS, rows)


def read_actions(
    connection: Connection, trades: Sequence[TradeKey]
) -> Mapping[TradeKey, list[ActionStrand]]:
    """Return the actions of trades that arrived so far, per trade."""
    columns = [trade_actions.c[name] for name in _ACTION_COLUMNS]
    wanted = these_trades(trades)
    query = (
        sa.select(ad_strands.c.strand_key, *columns)
        .select_from(wanted)
        .join(trade_actions, is_of(trade_actions, wanted))
        .join(ad_strands, ad_strands.c.id == trade_actions.c.strand_id)
    )
    found: defaultdict[TradeKey, list[ActionStrand]] = defaultdict(list)
    for row in connection.execute(query):
        found[row.bot, row.origin, row.trade_id].append(ActionStrand(**row._mapping))
    return found


def replace_trades(connection: Connection, trades: Sequence[CreditedTrade]) -> int:
    """Delete all events of closed trades and write them anew; return how many were written.

    Of a trade with several positions, all that are closed belong in one call.
    """
    if not trades:
        return 0
    wanted = these_trades(sorted({trade_of(credited.trade) for credited in trades}))
    connection.execute(sa.delete(pattern_trade_events).where(is_of(pattern_trade_events, wanted)))
    rows = (row for credited in trades for row in _event_rows(credited))
    return copy_into(connection, pattern_trade_events, _EVENT_COLUMNS, rows)


def _event_rows(credited: CreditedTrade) -> Iterator[tuple[Any, ...]]:
    trade, summary, outcome = credited.trade, credited.trade.summary, credited.outcome
    of_trade = (
        summary.opened_at, summary.closed_at, outcome.r_multiple, outcome.r_multiple_net,
        outcome.rr_path, summary.return_pct, outcome.time_efficiency, summary.payback_hours,
        summary.mfe_r, summary.mae_r, summary.missed_entry_rr, summary.missed_exit_rr,
        summary.risk_amount, summary.pnl_amount, summary.currency,
    )  # fmt: skip
    for action in credited.actions:
        yield (
            trade.strand_id, action.action_strand_id, trade.bot, trade.origin,
            action.pattern_key.partition(".")[0], trade.trade_id, trade.position_id,
            action.pattern_key, action.action_category, action.seq,
            _scope_json(tuple(action.scope.items())), _to_json(action.controls),
            action.provenance, summary.symbol, summary.side, action.acted_at, *of_trade,
            list(action.filled),
        )  # fmt: skip


def read_trade_events(
    connection: Connection,
    module: Module,
    *,
    outcome: str,
    dims: Sequence[str],
    origins: Sequence[str],
    bots: Sequence[str] | None = None,
    groups: Sequence[GroupKey] | None = None,
) -> TradeEvents:
    """Return a module's closed trades as the arrays that all evidence code reads.

    A trade counts once within a (pattern_key, action_category): its first action there. Trades
    without the outcome are left out (``count_without_outcome``). Rows are in canonical order.

    Args:
        connection: Read from in its transaction.
        module: ``pm`` or ``dm``.
        outcome: ``r_multiple_net``, ``r_multiple`` or ``rr_path``.
        dims: Scope dimensions in the module's order.
        origins: Which origins count as evidence.
        bots: Only these accounts; None: all.
        groups: Only these (pattern_key, action_category); None: all.

    Raises:
        ValueError: If the outcome or a dimension is not one.
    """
    events = pattern_trade_events.c
    columns = [
        events.pattern_key,
        events.action_category,
        events.strand_id,
        (sa.extract("epoch", events.closed_at).cast(sa.Double) / 86400.0).label("closed_at_days"),
        _outcome(outcome).label("rr"),
        events.time_efficiency,
        *(events.scope.op("->")(name).label(f"scope_{i}") for i, name in enumerate(dims)),
    ]
    chosen = _chosen(module, origins=origins, bots=bots, groups=groups)
    query = sa.select(*columns).where(*chosen, _outcome(outcome).is_not(None))
    return _as_trade_events(_table(connection, query), checked_dimensions(dims)).canonical()


def count_trades(
    connection: Connection, module: Module, *, outcome: str, origins: Sequence[str]
) -> int:
    """Count the distinct trades that ``read_trade_events`` reads."""
    counted = sa.func.count(sa.distinct(pattern_trade_events.c.strand_id))
    chosen = _chosen(module, origins=origins, bots=None, groups=None)
    query = sa.select(counted).where(*chosen, _outcome(outcome).is_not(None))
    return connection.scalar(query) or 0


def count_without_outcome(
    connection: Connection,
    module: Module,
    *,
    outcome: str,
    origins: Sequence[str],
    bots: Sequence[str] | None = None,
) -> int:
    """Count the trades that ``read_trade_events`` leaves out for want of the outcome."""
    counted = sa.func.count(sa.distinct(pattern_trade_events.c.strand_id))
    chosen = _chosen(module, origins=origins, bots=bots, groups=None)
    query = sa.select(counted).where(*chosen, _outcome(outcome).is_(None))
    return connection.scalar(query) or 0


def count_uncredited(connection: Connection) -> int:
    """Count the closed trades that have no event: no action of theirs is known, by any source."""
    has_event = sa.exists().where(pattern_trade_events.c.strand_id == ad_strands.c.id)
    query = (
        sa.select(sa.func.count())
        .select_from(ad_strands)
        .join(strand_ledger, strand_ledger.c.strand_id == ad_strands.c.id)
        .where(ad_strands.c.kind == CLOSE_KIND, strand_ledger.c.status == "ingested", ~has_event)
    )
    return connection.scalar(query) or 0


@dataclass(frozen=True, slots=True, eq=False)
class ActionDetails:
    """What the execution levers are learned from, one row per trade of a group.

    Attributes:
        trade: Shape (n,), int64: as in ``TradeEvents``.
        missed_entry_rr: Shape (n,), R, NaN where not known; ``missed_exit_rr`` likewise.
        entry_gap_days: Shape (n,), from the entry to the best entry, NaN where its moment is
            not known; ``exit_gap_days`` from the exit to the best exit likewise.
        signals: Per signal its values, shape (n,), NaN where absent.
    """

    trade: npt.NDArray[np.int64]
    missed_entry_rr: npt.NDArray[np.float64]
    missed_exit_rr: npt.NDArray[np.float64]
    entry_gap_days: npt.NDArray[np.float64]
    exit_gap_days: npt.NDArray[np.float64]
    signals: Mapping[str, npt.NDArray[np.float64]]


def read_action_details(
    connection: Connection, module: Module, group: GroupKey, *, origins: Sequence[str]
) -> ActionDetails:
    """Return the missed outcomes and the signals at the first action of each trade of a group.

    Rows are in order of the trade; bring them to the order of ``TradeEvents`` by ``trade``.
    """
    events = pattern_trade_events.c
    columns = (
        events.strand_id,
        events.missed_entry_rr,
        events.missed_exit_rr,
        events.controls["signals"].label("signals"),
        events.opened_at,
        events.closed_at,
        *(_told(better, name) for better in _BETTER for name in ("time", "at_hours")),
        trade_contexts.c.best_entry_at,
        trade_contexts.c.best_exit_at,
    )
    chosen = _chosen(module, origins=origins, bots=None, groups=[group])
    query = (
        sa.select(*columns)
        .join(ad_strands, ad_strands.c.id == events.strand_id)
        .outerjoin(trade_contexts, _is_same_trade())
        .where(*chosen)
        .order_by(events.strand_id)
    )
    rows = connection.execute(query).all()
    signals = [row.signals or {} for row in rows]
    names = sorted({name for found in signals for name in found})
    return ActionDetails(
        trade=np.array([row.strand_id for row in rows], dtype=np.int64),
        missed_entry_rr=np.array([row.missed_entry_rr for row in rows], dtype=np.float64),
        missed_exit_rr=np.array([row.missed_exit_rr for row in rows], dtype=np.float64),
        entry_gap_days=_gaps(
            [
                (_told_moment(row, "could_enter_better"), row.best_entry_at, row.opened_at)
                for row in rows
            ]
        ),
        exit_gap_days=_gaps(
            [
                (_told_moment(row, "could_exit_better"), row.best_exit_at, row.closed_at)
                for row in rows
            ]
        ),
        signals={
            name: np.array([found.get(name) for found in signals], dtype=np.float64)
            for name in names
        },
    )


def _told(better: str, name: str) -> sa.ColumnElement[str]:
    """What the close of a trade tells of its better price: text of any kind."""
    told: sa.ColumnElement[str] = ad_strands.c.content["trade_summary", better, name].astext
    return told.label(f"{better}_{name}")


def _is_same_trade() -> sa.ColumnElement[bool]:
    c, of = trade_contexts.c, pattern_trade_events.c
    return sa.and_(
        c.bot == of.bot,
        c.origin == of.origin,
        c.trade_id == of.trade_id,
        c.position_id == sa.func.coalesce(of.position_id, ""),
    )


def _gaps(
    moments: Sequence[tuple[datetime | None, datetime | None, datetime]],
) -> npt.NDArray[np.float64]:
    """Days from when something was done to when it was best, NaN where that is not known.

    What the source tells comes first, then what candles tell.
    """
    return np.array([_gap(told or seen, done) for told, seen, done in moments], dtype=np.float64)


def _gap(best: datetime | None, done: datetime) -> float:
    return math.nan if best is None else (best - done).total_seconds() / 86400


def _told_moment(row: sa.Row[Any], better: str) -> datetime | None:
    """When a better price stood: the time that its close tells, else the hours since 1970 that
    recorders once wrote. A summary is free to say it in its own way, which tells us nothing."""
    time, at_hours = row._mapping[f"{better}_time"], row._mapping[f"{better}_at_hours"]
    with suppress(TypeError, ValueError):
        told = datetime.fromisoformat(time)
        return told if told.tzinfo is not None else told.replace(tzinfo=UTC)
    with suppress(TypeError, ValueError, OverflowError):
        return _EPOCH + timedelta(hours=float(at_hours))
    return None


def _outcome(name: str) -> sa.Column[Any]:
    if name not in OUTCOMES:
        raise ValueError(f"outcome must be one of {', '.join(OUTCOMES)}, got {name!r}")
    return pattern_trade_events.c[name]


def _chosen(
    module: Module,
    *,
    origins: Sequence[str],
    bots: Sequence[str] | None,
    groups: Sequence[GroupKey] | None,
) -> list[sa.ColumnElement[bool]]:
    events = pattern_trade_events.c
    chosen = [events.module == module, events.seq == 0, events.origin.in_(list(origins))]
    if bots is not None:
        chosen.append(events.bot.in_(list(bots)))
    if groups is not None:
        chosen.append(sa.tuple_(events.pattern_key, events.action_category).in_(list(groups)))
    return chosen


def _table(connection: Connection, query: sa.Select) -> pa.Table:
    """Read a query as columns, texts as codes into their distinct values.

    The server joins lines of tab-separated values, thousands to a row, since each row has its
    price. No quoting is needed: keys hold plain signs, and JSON text no tab or line break.
    """
    rows = query.subquery()
    values = [sa.func.coalesce(sa.cast(column, sa.Text), "") for column in rows.c]
    lines = sa.func.string_agg(sa.func.concat_ws("\t", *values), "\n")
    chunks = connection.execute(sa.select(lines).group_by(rows.c.strand_id % _CHUNKS))
    text = "\n".join(chunks.scalars()).encode()
    types = {column.name: _arrow_type(column.type) for column in rows.c}
    if not text:
        return pa.table({name: pa.array([], kind) for name, kind in types.items()})
    return pyarrow.csv.read_csv(
        io.BytesIO(text),
        read_options=pyarrow.csv.ReadOptions(column_names=list(types), use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types, null_values=[""], strings_can_be_null=True
        ),
    ).unify_dictionaries()


def _arrow_type(column: sa.types.TypeEngine[Any]) -> pa.DataType:
    if isinstance(column, sa.BigInteger):
        return pa.int64()
    if isinstance(column, sa.Float):
        return pa.float64()
    return pa.dictionary(pa.int32(), pa.string())


def _as_trade_events(table: pa.Table, dims: tuple[str, ...]) -> TradeEvents:
    group, groups = _groups(table)
    coded = [_coded(table.column(f"scope_{i}")) for i in range(len(dims))]
    levels = tuple(tuple(_level(text) for text in texts) for _, texts in coded)
    return TradeEvents(
        group=group,
        groups=groups,
        dims=dims,
        scope_codes=np.column_stack([codes for codes, _ in coded]).astype(np.int16),
        levels=levels,
        closed_at_days=_floats(table, "closed_at_days"),
        rr=_floats(table, "rr"),
        trade=table.column("strand_id").to_numpy(),
        time_efficiency=_floats(table, "time_efficiency"),
    )


def _groups(table: pa.Table) -> tuple[npt.NDArray[np.int32], tuple[GroupKey, ...]]:
    pattern, patterns = _coded(table.column("pattern_key"))
    category, categories = _coded(table.column("action_category"))
    pairs, group = np.unique(pattern * len(categories) + category, return_inverse=True)
    groups = tuple((patterns[p // len(categories)], categories[p % len(categories)]) for p in pairs)
    return group.astype(np.int32), groups


def _coded(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], list[str]]:
    """The codes of a column of texts, -1 where absent, and the texts they stand for."""
    if column.num_chunks == 0:
        return np.empty(0, dtype=np.int64), []
    codes = [chunk.indices.fill_null(ABSENT).to_numpy() for chunk in column.chunks]
    return np.concatenate(codes).astype(np.int64), column.chunk(0).dictionary.to_pylist()


def _level(text: str) -> ScopeValue:
    value: ScopeValue = json.loads(text)
    return value


def _floats(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    column: npt.NDArray[np.float64] = table.column(name).to_numpy()
    return column
