"""MetaTrader's deals, where a report lists no positions: fills, with stops from their orders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from learning.importers.field_values import RowRejected, as_side
from learning.importers.import_report import ReportTally
from learning.importers.metatrader_report import (
    CASH,
    DEPOSIT,
    Clock,
    OrderBook,
    SectionRow,
    moment_in,
    name_in,
    number_in,
    order_book,
    price_in,
    section_rows,
    setup_in,
    stop_in,
)
from learning.importers.round_trips import EPOCH, Fill
from learning.importers.source_file import FileKind

_MICROSECOND: Final = timedelta(microseconds=1)
_DIRECTIONS: Final = {"in": True, "out": False, "in/out": None, "inout": None, "outby": False}


@dataclass(frozen=True, slots=True)
class MetaTraderDeals:
    """The deals of a report, such as a strategy tester's; positions are made of them."""

    path: Path
    kind: FileKind
    clock: Clock
    currency: str | None = None
    format: str = "metatrader_deals"

    @property
    def description(self) -> str:
        """Say what the file is."""
        return f"MetaTrader 5 deals, without positions: {self.path.name}"

    def fills(self, tally: ReportTally) -> Iterator[Fill]:
        """Yield the deals that traded, in the order of the report."""
        with order_book() as book:
            for found in section_rows(self.path, self.kind):
                cells = found.row.cells
                if found.section == "orders" and len(cells) > 7:
                    book.keep(cells[1], stop_in(cells[6]), found.row.hidden or found.last)
            for found in section_rows(self.path, self.kind):
                if found.section != "deals":
                    continue
                tally.rows_found += 1
                try:
                    fill = self._fill(found, book)
                except RowRejected as why:
                    tally.reject(self.path.name, "fill", found.row.number, why)
                    continue
                if fill is None:
                    tally.skip(DEPOSIT)
                else:
                    yield fill

    def _fill(self, found: SectionRow, book: OrderBook) -> Fill | None:
        cells, has_fee = found.row.cells, found.width >= 14
        if len(cells) > 3 and cells[3].lower() in CASH:
            return None
        if len(cells) < (13 if has_fee else 12):
            raise RowRejected("row", "must have the cells of a deal", len(cells))
        direction = "".join(cells[4].lower().split())
        if direction not in _DIRECTIONS:
            raise RowRejected("direction", "must be in, out or in/out", cells[4])
        symbol, number = name_in("symbol", cells[2]), name_in("deal", cells[1])
        if symbol is None or number is None:
            raise RowRejected("symbol" if symbol is None else "deal", "must be given", None)
        volume = number_in("volume", cells[5])
        if not volume or volume < 0:
            raise RowRejected("volume", "must be above 0", cells[5])
        stop, ordered = book.find(cells[7])
        at = moment_in("time", cells[0], self.clock)
        return Fill(
            key=symbol,
            symbol=symbol,
            at_us=(at - EPOCH) // _MICROSECOND,
            quantity=volume * _sign(cells),
            price=price_in("price", cells[6]),
            row=found.row.number,
            fee=_costs(cells, has_fee=has_fee),
            opens=_DIRECTIONS[direction],
            order=cells[7] or None,
            ref=number,
            tag=setup_in(found.last) or setup_in(ordered),
            stop=stop,
            currency=self.currency,
            profit=number_in("profit", cells[11 if has_fee else 10]),
        )


def _sign(cells: Sequence[str]) -> int:
    try:
        side = as_side(cells[3])
    except ValueError as error:
        raise RowRejected("type", str(error), cells[3]) from None
    if side is None:
        raise RowRejected("type", "must be given", None)
    return 1 if side == "long" else -1


def _costs(cells: Sequence[str], *, has_fee: bool) -> float:
    """Commission, fee and swap, a cost above 0, in the account's currency."""
    places = {"commission": 8, "fee": 9, "swap": 10} if has_fee else {"commission": 8, "swap": 9}
    return -sum(number_in(name, cells[place]) or 0.0 for name, place in places.items())
