"""Fill what trades lack from candles: write their context, and derive their events again.

The inbox stays as it is. The context of a trade is a table of its own, from which every
derivation of its events takes what the source lacks; so a redrive, a late action or a full
rebuild keeps it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from sqlalchemy import Engine

from jobs.ingest_strands import derive_again
from jobs.job import Progress
from learning.context.excursions import Excursions, is_stop
from learning.context.market_names import find_market
from learning.context.trade_context import (
    Markets,
    TradeContext,
    TradeFacts,
    reference_phases,
    trade_contexts,
)
from learning.domain.pattern_key import MODULES
from learning.errors import ImportRefused
from learning.events.outcomes import NoRisk, initial_risk_pct
from learning.events.strands import ClosedTrade
from learning.events.verdicts import PositionKey, position_of, read_strands
from learning.importers.candle_files import CandleLibrary
from learning.settings import Settings
from learning.store import context_rows, state_rows, strand_rows
from learning.store.database import transaction

_BATCH: Final = 2000
_LEAST_RISK_PCT: Final = 1e-4  # nearer to the entry, R has no meaning


@dataclass(frozen=True, slots=True)
class Filled:
    """What was filled: trades looked up, written, and event rows derived again.

    ``with_phase`` to ``with_path`` count trades; ``bars`` those with a path by the length of
    their bars in ms; ``no_path`` those without one by the reason; ``references`` by the market.
    """

    trades: int
    changed: int
    events: int
    with_phase: int
    with_bucket: int
    with_path: int
    bars: Mapping[int, int]
    no_path: Mapping[str, int]
    references: Mapping[str, int]


class _Tally:
    """Counts while contexts are written."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.bars: Counter[int] = Counter()
        self.no_path: Counter[str] = Counter()
        self.references: Counter[str] = Counter()

    def take(self, context: TradeContext) -> None:
        self.counts["trades"] += 1
        self.counts["with_phase"] += context.reference is not None
        self.counts["with_bucket"] += "bucket" in context.scope
        if context.reference is not None:
            self.references[context.reference] += 1
        if isinstance(context.excursions, Excursions):
            self.counts["with_path"] += 1
            self.bars[context.bar_ms or 0] += 1
        else:
            self.no_path[context.excursions.reason] += 1

    def filled(self) -> Filled:
        counts = self.counts
        return Filled(
            trades=counts["trades"],
            changed=counts["changed"],
            events=counts["events"],
            with_phase=counts["with_phase"],
            with_bucket=counts["with_bucket"],
            with_path=counts["with_path"],
            bars=dict(sorted(self.bars.items())),
            no_path=dict(self.no_path.most_common()),
            references=dict(self.references.most_common()),
        )


def fill_contexts(
    engine: Engine,
    settings: Settings,
    library: CandleLibrary,
    *,
    reference: str | None = None,
    progress: Progress | None = None,
) -> Filled:
    """Write the context of every closed trade, and derive those anew whose context changed.

    Twice does nothing more. Each batch is one short transaction.

    Args:
        engine: Of the database.
        settings: Dimensions, and the largest distance of a stop that is a risk.
        library: The candles.
        reference: The market whose phases all trades have; None: by the kind of each market.
        progress: Called after each batch with the trades done and their number.

    Raises:
        ImportRefused: If the named reference has no candles of one hour or finer.
    """
    trades = read_trades(engine, settings)
    markets = markets_of(library, reference=reference)
    tally = _Tally()
    contexts = iter(trade_contexts(trades, markets))
    while batch := list(islice(contexts, _BATCH)):
        for context in batch:
            tally.take(context)
        changed, events = _write(engine, settings, batch)
        tally.counts["changed"] += changed
        tally.counts["events"] += events
        if progress is not None:
            progress(tally.counts["trades"], len(trades), "trades")
    return tally.filled()


def markets_of(library: CandleLibrary, *, reference: str | None) -> Markets:
    """Return all markets of a library, with the phases of their references.

    Raises:
        ImportRefused: If the named reference has no candles of one hour or finer.
    """
    named = None
    if reference is not None:
        named = find_market(reference, library.symbols)
        if named is None:
            raise ImportRefused(
                f"no candles of the reference {reference!r}; there are: "
                f"{', '.join(library.symbols[:20])}"
            )
    phases = reference_phases(library.symbols, library.candles_of, named=named)
    if named is not None and named not in phases:
        raise ImportRefused(f"the phases of {named} need its candles of one hour or finer")
    return Markets(library.days, phases, library.candles_of, named)


def _write(engine: Engine, settings: Settings, contexts: Sequence[TradeContext]) -> tuple[int, int]:
    keys = [(one.facts.bot, one.facts.origin, one.facts.trade_id) for one in contexts]
    with transaction(engine) as connection:
        strand_rows.lock_trades(connection, keys)
        changed = context_rows.write(connection, contexts)
        trades = sorted({position[:3] for position in changed})
        events = derive_again(connection, trades, settings) if trades else 0
        if changed:
            state_rows.touch(connection)
    return len(changed), events


def read_trades(engine: Engine, settings: Settings) -> list[TradeFacts]:
    """Return what every closed trade tells of itself, those still in the inbox too."""
    found: dict[PositionKey, TradeFacts] = {}
    for close in _closes(engine, settings):
        facts = _facts(close, settings.max_stop_distance)
        found.setdefault(position_of(close), facts)  # a position is closed once: the first
    return list(found.values())


def _closes(engine: Engine, settings: Settings) -> Iterator[ClosedTrade]:
    dims = {module: settings.dimensions(module) for module in MODULES}
    after = 0
    while True:
        with transaction(engine, read_only=True) as connection:
            stored = strand_rows.read_known_closes(connection, after=after, limit=_BATCH)
        if not stored:
            return
        after = stored[-1].id
        yield from read_strands(stored, dims=dims).closes


def _facts(close: ClosedTrade, max_stop_distance: float) -> TradeFacts:
    summary = close.summary
    risk_pct = initial_risk_pct(summary, max_stop_distance=max_stop_distance)
    risk = None
    if not isinstance(risk_pct, NoRisk) and risk_pct >= _LEAST_RISK_PCT and summary.entry_price:
        risk = risk_pct / 100.0 * summary.entry_price
    return TradeFacts(
        bot=close.bot,
        trade_id=close.trade_id,
        origin=close.origin,
        position_id=close.position_id,
        symbol=summary.symbol,
        side=summary.side,  # type: ignore[arg-type]
        opened_at=summary.opened_at,
        closed_at=summary.closed_at,
        entry_price=summary.entry_price or None,
        exit_price=summary.exit_price or None,
        risk_per_unit=risk,
        is_stopped=is_stop(summary.exit_reason),
        has_adds=any(action.action_category == "add" for action in close.actions),
    )
