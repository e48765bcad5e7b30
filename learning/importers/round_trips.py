"""Fills of one position, in the order of time, made into round trips: from flat to flat.

Fills in the direction of the position enter or add, those against it trim or exit; one through
zero is split, its costs by quantity. Fees in the traded coin shrink what is held and so are in the
cash already; fees in the quote currency are taken off it. A fill that can only close something
that was open before the first fill is of no round trip.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from learning.events.completed_trades import MAX_ACTIONS
from learning.importers.context_columns import NO_CONTEXT, TradeContext
from learning.importers.imported_trade import TradeAction

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SAME_AMOUNT: Final = 1e-9  # share of the largest position below which it is flat
_FEE_DUST: Final = 1.01  # fees in the coin, by which what was bought and sold may differ


@dataclass(frozen=True, slots=True)
class Fill:
    """A fill: what changed hands, at what cost.

    Attributes:
        key: Of the position it belongs to: account, symbol, hedge side.
        at_us: Microseconds since 1970.
        quantity: Signed; above 0 bought.
        fee: In quote currency, a cost above 0; None: not known, or in a third currency.
        base_fee: In units of what is traded.
        opens: Whether it opens or closes a position; None: not known.
        can_short: Whether a position below zero exists on this market.
        order: Fills of one order are one action.
        ref: Its own id.
        multiplier: Units a contract; of an inverse one, units of its quote; None: not known.
        is_inverse: Settled in the coin that it is about: a contract is worth multiplier ÷ price.
        profit: What it realised before costs, in the account's currency, where the source says so;
            its fee is in that currency too then.
        row: Where it stands in the file.
        context: Of the trade that it opens.
        weight: How many rows of the file it is: 0 for the second part of a split one.
    """

    key: str
    symbol: str
    at_us: int
    quantity: float
    price: float
    row: int
    fee: float | None = None
    base_fee: float = 0.0
    opens: bool | None = None
    can_short: bool = True
    order: str | None = None
    ref: str | None = None
    tag: str | None = None
    strategy: str | None = None
    stop: float | None = None
    multiplier: float | None = 1.0
    currency: str | None = None
    account: str | None = None
    profit: float | None = None
    weight: int = 1
    is_inverse: bool = False
    context: TradeContext = NO_CONTEXT

    @property
    def at(self) -> datetime:
        """Return when it filled."""
        return EPOCH + timedelta(microseconds=self.at_us)

    @property
    def change(self) -> float:
        """Return by how much the position changed."""
        return self.quantity - self.base_fee

    def part(self, share: float, *, weight: int) -> Fill:
        """Return a share of it, with its share of the costs."""
        fee = None if self.fee is None else self.fee * share
        return replace(
            self,
            quantity=self.quantity * share,
            base_fee=self.base_fee * share,
            fee=fee,
            weight=weight,
            profit=self.profit if weight else None,  # what closes, realises
        )


@dataclass(slots=True)
class RoundTrip:
    """A position from flat to flat, or as far as the fills go."""

    first: Fill
    sign: int
    held: float = 0.0
    peak: float = 0.0
    entered: float = 0.0
    entry_value: float = 0.0
    exited: float = 0.0
    exit_value: float = 0.0
    entry_sum: float = 0.0  # prices by quantity (their inverses), whatever a contract is worth
    exit_sum: float = 0.0
    fees: float = 0.0
    realised: float | None = None
    base_fees: float = 0.0
    n_without_fee: int = 0
    n_without_value: int = 0
    n_rows: int = 0
    closed_us: int = 0
    is_closed: bool = False
    stop: float | None = None
    entries: list[tuple[int, str | None]] = field(default_factory=list)
    exits: list[tuple[int, str | None]] = field(default_factory=list)

    @property
    def tolerance(self) -> float:
        """Return what may be left of a position that is flat."""
        return _SAME_AMOUNT * self.peak + _FEE_DUST * self.base_fees

    @property
    def side(self) -> str:
        """Return the side of the position."""
        return "long" if self.sign > 0 else "short"

    @property
    def cash(self) -> float:
        """Return what came in less what went out, fees included; of inverse contracts in coin."""
        sign = -self.sign if self.first.is_inverse else self.sign
        return sign * (self.exit_value - self.entry_value) - self.fees

    @property
    def prices(self) -> tuple[float, float]:
        """Return the average prices of entries and exits.

        Of inverse contracts the harmonic ones, at which all of them would have cost the same coins.
        """
        if self.first.is_inverse:
            return self.entered / self.entry_sum, self.exited / self.exit_sum
        return self.entry_sum / self.entered, self.exit_sum / self.exited

    def take(self, fill: Fill) -> None:
        """Take a fill that does not cross zero."""
        priced = abs(fill.quantity) * (1.0 / fill.price if fill.is_inverse else fill.price)
        value = priced * (fill.multiplier or 0.0)
        if fill.quantity * self.sign > 0:
            self.entered += abs(fill.quantity)
            self.entry_value += value
            self.entry_sum += priced
            _note(self.entries, fill)
        else:
            self.exited += abs(fill.quantity)
            self.exit_value += value
            self.exit_sum += priced
            _note(self.exits, fill)
        self.held += fill.change
        self.peak = max(self.peak, abs(self.held))
        self.base_fees += fill.base_fee
        self.fees += fill.fee or 0.0
        if fill.profit is not None:
            self.realised = (self.realised or 0.0) + fill.profit
        self.n_without_fee += fill.fee is None
        self.n_without_value += fill.multiplier is None
        self.n_rows += fill.weight
        self.closed_us = fill.at_us
        if self.stop is None and fill.quantity * self.sign > 0 and self.first is fill:
            self.stop = fill.stop

    def actions(self) -> tuple[TradeAction, ...]:
        """Return the actions: entry, adds and trims in the order of time, and the exit."""
        found = [
            TradeAction("entry" if i == 0 else "add", _at(us)) for i, (us, _) in
            enumerate(self.entries)
        ]  # fmt: skip
        found += [TradeAction("trim", _at(us)) for us, _ in self.exits[:-1]]
        found.sort(key=lambda action: action.acted_at)  # stable: the entry stays the first
        return (*found, TradeAction("exit", _at(self.closed_us)))


def _note(actions: list[tuple[int, str | None]], fill: Fill) -> None:
    """Keep when an order acted; its later fills are the same action."""
    is_same = bool(actions) and fill.order is not None and actions[-1][1] == fill.order
    if not is_same and len(actions) <= MAX_ACTIONS:
        actions.append((fill.at_us, fill.order))


def _at(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def round_trips(fills: Iterable[Fill]) -> Iterator[RoundTrip | Fill]:
    """Yield the round trips of one position, and each fill that belongs to none.

    The last one may still be open. Only a fill that is known to close, or a sale where nothing
    can be short, shows that something was open before; else the position is taken to start flat.

    Examples:
        >>> buy = Fill("k", "X", 0, 2.0, 100.0, row=1, fee=1.0)
        >>> sell = Fill("k", "X", 5, -3.0, 110.0, row=2, fee=1.5)
        >>> [(t.side, t.is_closed, t.held, t.cash) for t in round_trips([buy, sell])]
        [('long', True, 0.0, 18.0), ('short', False, -1.0, 109.5)]
    """
    trip: RoundTrip | None = None
    for fill in fills:
        if trip is None:
            rest: Fill | None = fill
        else:
            rest = _taken(trip, fill)
            if trip.is_closed:
                yield trip
                trip = None
        if rest is None:
            continue
        if _closes_earlier(rest):
            if rest.weight:
                yield rest
            continue
        trip = RoundTrip(rest, 1 if rest.quantity > 0 else -1)
        trip.take(rest)
    if trip is not None:
        yield trip


def _taken(trip: RoundTrip, fill: Fill) -> Fill | None:
    """Take what the position holds of a fill; return what goes beyond zero."""
    beyond = -(trip.held + fill.change) * trip.sign
    against = fill.quantity * trip.sign < 0
    if not against or beyond <= max(trip.tolerance, _FEE_DUST * fill.base_fee):
        trip.take(fill)
        trip.is_closed = against and abs(trip.held) <= trip.tolerance
        return None
    share = abs(trip.held) / abs(fill.change)
    trip.take(fill.part(share, weight=fill.weight))
    trip.held, trip.is_closed = 0.0, True
    return fill.part(1.0 - share, weight=0)


def _closes_earlier(fill: Fill) -> bool:
    # the rest of a split fill opens the other side, whatever its whole was called
    if fill.weight and fill.opens is not None:
        return not fill.opens
    return fill.quantity < 0 and not fill.can_short
