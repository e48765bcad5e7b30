"""Round trips of a file of fills as closed trades."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from learning.errors import ImportRefused
from learning.importers.closed_position import ClosedPosition, ImportTerms, trade_of
from learning.importers.field_values import RowRejected
from learning.importers.fill_ledger import FillLedger
from learning.importers.import_report import ReportTally
from learning.importers.imported_trade import MAX_ID_LENGTH, ImportedTrade
from learning.importers.round_trips import EPOCH, Fill, RoundTrip, round_trips
from learning.importers.trade_outcomes import LEAST_PRICE, net_of_costs_pct, price_return_pct

BEFORE: Final = "closes what was open before the first fill"
STILL_OPEN: Final = "of a position that is still open"
NO_FEES: Final = "fees not known, or in another currency without a price: no return after costs"
NO_VALUE: Final = "what a contract is worth is not known: no money, no return after costs"
LEAST_QUANTITY: Final = 1e-15  # less is nothing
STOP_WITHIN: Final = timedelta(seconds=60)
"""How far from an entry a stop order still belongs to it."""


@dataclass(frozen=True, slots=True)
class ProtectiveStop:
    """A stop order that protects a position; it may never have filled."""

    key: str
    at_us: int
    is_buy: bool
    price: float


class FillFile(Protocol):
    """What a format of fills offers."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def format(self) -> str:
        """Name of the format."""

    @property
    def description(self) -> str:
        """What the file is, in words."""

    def fills(self, tally: ReportTally) -> Iterator[Fill | ProtectiveStop]:
        """Yield what can be used; count rows found, skipped and rejected in the tally."""


@dataclass(frozen=True, slots=True)
class FillReader:
    """Closed trades of a file of fills."""

    file: FillFile
    terms: ImportTerms

    @property
    def format(self) -> str:
        """Name of the format."""
        return self.file.format

    @property
    def description(self) -> str:
        """Say what the source is."""
        return self.file.description

    def first_trade(self) -> str:
        """Return the identity of the earliest fill: symbol, id, time.

        Whether its position has closed or not: it stays the same when it does.
        """
        best: tuple[int, str, str] | None = None
        for fill in self.file.fills(ReportTally()):
            if isinstance(fill, Fill):
                found = (fill.at_us, fill.key, fill.ref or "")
                best = found if best is None or found < best else best
        if best is None:
            raise ImportRefused(f"{self.file.path.name} holds no fill that can be read")
        at = EPOCH + timedelta(microseconds=best[0])
        return f"{best[1]} {best[2]} {at.isoformat()}"

    def trades(self, tally: ReportTally) -> Iterator[ImportedTrade]:
        """Yield the closed round trips, position by position; the rest is in the tally."""
        name = self.file.path.name
        with FillLedger() as ledger:
            for fill in self.file.fills(tally):
                if isinstance(fill, Fill) and abs(fill.quantity) < LEAST_QUANTITY:
                    why = RowRejected("quantity", "must be a number other than 0", fill.quantity)
                    tally.reject(name, "fill", fill.row, why)
                elif isinstance(fill, Fill):
                    ledger.add(fill)
                else:
                    ledger.add_stop(fill.key, fill.at_us, is_buy=fill.is_buy, price=fill.price)
            for row, ref in ledger.repeated():
                why = RowRejected("id", "was given before", ref)
                tally.reject(name, "fill", row, why)
            for fills in ledger.positions():
                yield from self._position(fills, ledger, tally)

    def _position(
        self, fills: Iterator[Fill], ledger: FillLedger, tally: ReportTally
    ) -> Iterator[ImportedTrade]:
        names = _TripNames()
        for trip in round_trips(fills):
            if isinstance(trip, Fill):
                tally.skip(BEFORE)
                continue
            tally.trades_found += 1
            if not trip.is_closed:
                tally.trades_open += 1
                tally.skip(STILL_OPEN, trip.n_rows)
                continue
            try:
                trade = trade_of(self._closed(trip, ledger, names), self.terms)
            except RowRejected as why:
                row = trip.first.row
                tally.reject(self.file.path.name, "trade", row, why, n_rows=trip.n_rows)
                continue
            tally.rows_imported += trip.n_rows
            yield trade

    def _closed(self, trip: RoundTrip, ledger: FillLedger, names: _TripNames) -> ClosedPosition:
        first = trip.first
        stop = trip.stop or ledger.stop_of(
            first.key,
            first.at_us,
            is_long=trip.sign > 0,
            within_us=STOP_WITHIN // timedelta(microseconds=1),
        )
        entry, sold = trip.prices
        if not entry >= LEAST_PRICE:
            raise RowRejected("price", "must be above 0", entry)
        gross = price_return_pct(trip.side, entry, sold, inverse=first.is_inverse)
        pnl, net, value = _money(trip, gross)
        return ClosedPosition(
            trade_id=names.name(first),
            side=trip.side,
            opened_at=first.at,
            closed_at=_instant(trip.closed_us),
            entry_price=entry,
            exit_price=sold,
            first_entry=first.price,
            gross_pct=gross,
            net_pct=net,
            actions=trip.actions(),
            stop=stop,
            pnl_amount=pnl,
            entry_value=value,
            currency=first.currency,
            symbol=first.symbol,
            strategy=first.strategy,
            tag=first.tag,
            notes=() if net is not None else (NO_VALUE if trip.n_without_value else NO_FEES,),
            is_inverse=first.is_inverse,
            scope=first.context.scope,
            signals=first.context.signals,
            knobs=first.context.knobs,
        )


def _money(trip: RoundTrip, gross: float) -> tuple[float | None, float | None, float | None]:
    """Profit, return after costs and value of the entries, as far as they are known."""
    if trip.realised is not None:
        # lots and points: only what the account says is money
        net = net_of_costs_pct(gross, profit=trip.realised, costs=trip.fees)
        return trip.realised - trip.fees, net, None
    if trip.n_without_value:
        return None, None, None
    if trip.n_without_fee or not trip.entry_value > 0:
        return None, None, trip.entry_value
    return trip.cash, trip.cash / trip.entry_value * 100.0, trip.entry_value


class _TripNames:
    """Names of round trips: the id of their first fill, else what it was, counted on repeats."""

    def __init__(self) -> None:
        self._last = ""
        self._count = 0

    def name(self, first: Fill) -> str:
        """Return the name of the trip that starts with a fill; trips come in the order of time."""
        said = first.ref or first.order
        content = f"{first.key}|{first.at_us}|{first.quantity!r}|{first.price!r}|{said or ''}"
        named = f"{first.symbol}/{said}" if said else f"{first.symbol}/{first.at:%Y%m%dT%H%M%S}"
        if not said or len(named) > MAX_ID_LENGTH - 30 or first.weight == 0:
            digest = hashlib.sha256(content.encode()).hexdigest()[:12]
            named = f"{named[: MAX_ID_LENGTH - 40]}/{digest}"
        # equal first fills have equal times, so they come one after the other
        self._count = self._count + 1 if content == self._last else 0
        self._last = content
        return f"{named}/{self._count}" if self._count else named


def _instant(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)
