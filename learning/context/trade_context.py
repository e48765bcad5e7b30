"""The context of closed trades, from candles that were complete when each was opened.

What the path offered while a trade was open rests on the bars up to its close; everything else on
what was known at its entry. So candles of later days change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from learning.context.candles import HOUR_MS, Candles, Days
from learning.context.excursions import Excursions, NoPath, excursions, path_of
from learning.context.market_names import find_market, reference_of
from learning.context.phases import PhaseHistory, phase_history
from learning.context.sessions import session_of
from learning.context.volume_buckets import BucketHistory
from learning.domain.scope import ScopeValue
from learning.events.counterfactuals import Side


@dataclass(frozen=True, slots=True)
class TradeFacts:
    """What a closed trade tells of itself, as far as candles are looked up by it.

    ``risk_per_unit`` is the distance of its initial stop in quote currency, None where it has
    none; with ``has_adds`` its average entry moved while it was open.
    """

    bot: str
    trade_id: str
    symbol: str | None
    side: Side | None
    opened_at: datetime
    closed_at: datetime
    entry_price: float | None = None
    exit_price: float | None = None
    risk_per_unit: float | None = None
    is_stopped: bool = False
    has_adds: bool = False
    origin: str = "live"
    position_id: str | None = None

    @property
    def opened_ms(self) -> int:
        """When it was opened, milliseconds since 1970 UTC."""
        return round(self.opened_at.timestamp() * 1000)

    @property
    def closed_ms(self) -> int:
        """When it was closed."""
        return round(self.closed_at.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class TradeContext:
    """What candles tell of a trade.

    ``excursions`` or the reason why there are none; ``bar_ms`` of the candles they were seen on;
    ``reference`` the market its phases are of.
    """

    facts: TradeFacts
    scope: Mapping[str, ScopeValue]
    excursions: Excursions | NoPath
    bar_ms: int | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Markets:
    """What is known of all markets at once; the candles of one are read when it is its turn.

    Attributes:
        days: Symbol → its days, of every market.
        references: Symbol → the phases of that reference market.
        candles_of: Reads the candles of a symbol, the finest bars first.
        named: The one reference market that a person named; None: by the kind of the market.
    """

    days: Mapping[str, Days]
    references: Mapping[str, PhaseHistory]
    candles_of: Callable[[str], Sequence[Candles]]
    named: str | None = None
    buckets: BucketHistory = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "buckets", BucketHistory(self.days))

    def reference_for(self, symbol: str) -> str | None:
        """Return the reference market of a symbol, among those whose phases are known."""
        return self.named or reference_of(symbol, self.references)


def reference_phases(
    symbols: Iterable[str], candles_of: Callable[[str], Sequence[Candles]], *, named: str | None
) -> dict[str, PhaseHistory]:
    """Return the phases of every market that can be a reference: the named one, or by kind.

    Args:
        symbols: Of all markets.
        candles_of: Reads the candles of one, the finest first.
        named: Must be one of the symbols; None: by the kind of each market.
    """
    names = list(symbols)
    wanted = {named} if named else {reference_of(name, names) for name in [*names, "BTC", "SPY"]}
    found: dict[str, PhaseHistory] = {}
    for name in sorted(name for name in wanted if name is not None):
        fine = [one for one in candles_of(name) if one.bar_ms <= HOUR_MS]
        if fine:
            found[name] = phase_history(fine[-1])  # the coarsest that still tells the hours
    return found


def trade_contexts(trades: Sequence[TradeFacts], markets: Markets) -> Iterator[TradeContext]:
    """Yield the context of every trade, market by market.

    Args:
        trades: In any order; those of one market come out together.
        markets: Of all markets.
    """
    by_symbol: dict[str | None, list[TradeFacts]] = {}
    for trade in trades:
        by_symbol.setdefault(trade.symbol, []).append(trade)
    for symbol, group in by_symbol.items():
        name = None if symbol is None else find_market(symbol, markets.days)
        candles = [] if name is None else list(markets.candles_of(name))
        yield from _of_one_market(group, name, candles, markets)


def _of_one_market(
    trades: Sequence[TradeFacts], name: str | None, candles: Sequence[Candles], markets: Markets
) -> Iterator[TradeContext]:
    spelt = trades[0].symbol or ""
    reference = markets.reference_for(name or spelt)
    opened = np.array([trade.opened_ms for trade in trades], dtype=np.int64)
    phases: list[dict[str, str]] = [{} for _ in trades]
    if reference is not None:
        phases = markets.references[reference].at(opened)
    for trade, of_market in zip(trades, phases, strict=True):
        scope: dict[str, ScopeValue] = {**of_market, "session": session_of(trade.opened_ms)}
        if name is not None:
            scope |= markets.buckets.at(trade.opened_ms).scope_of(name)
        found, bar_ms = _finest(trade, candles)
        yield TradeContext(trade, scope, found, bar_ms, reference if of_market else None)


def _finest(
    trade: TradeFacts, candles: Sequence[Candles]
) -> tuple[Excursions | NoPath, int | None]:
    """The excursions by the finest candles that hold the trade."""
    if not candles:
        return NoPath("its market has no candles"), None
    if trade.side is None or not trade.entry_price:
        return NoPath("its source names no side or no entry price"), None
    reason: NoPath | None = None
    for one in candles:
        path = path_of(
            one,
            trade.opened_ms,
            trade.closed_ms,
            exit_price=trade.exit_price,
            is_stopped=trade.is_stopped,
        )
        if not isinstance(path, NoPath):
            found = excursions(
                path,
                side=trade.side,
                opened_ms=trade.opened_ms,
                entry_price=trade.entry_price,
                exit_price=trade.exit_price,
                risk_per_unit=trade.risk_per_unit,
            )
            return found, one.bar_ms
        reason = reason or path
    assert reason is not None
    return reason, None
