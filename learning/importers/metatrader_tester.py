"""The strategy tester's report of MetaTrader 4: a row for each step in the life of an order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final

from learning.errors import ImportRefused
from learning.importers.closed_position import ClosedPosition, ImportTerms, trade_of
from learning.importers.field_values import RowRejected, as_side
from learning.importers.import_report import ReportTally
from learning.importers.imported_trade import ImportedTrade, TradeAction
from learning.importers.metatrader_report import (
    Clock,
    moment_in,
    name_in,
    number_in,
    price_in,
    section_rows,
    stop_in,
)
from learning.importers.report_rows import ReportRow, report_rows
from learning.importers.source_file import FileKind
from learning.importers.trade_outcomes import price_return_pct

_SYMBOL: Final = re.compile(r"([A-Za-z0-9][\w.#+&-]{1,30})\s*\(")
_PERIOD: Final = re.compile(r"\((M|H|D|W)(\d{1,2})\)")
_UNITS: Final = {"M": "m", "H": "h", "D": "d", "W": "w"}
_REASONS: Final = {"s/l": "stop_loss", "t/p": "target", "closeatstop": "end_of_test"}
_STEPS: Final = frozenset({"modify", "delete", "buylimit", "selllimit", "buystop", "sellstop"})
_HEAD_ROWS: Final = 40
STEP: Final = "a step of an order: placed, modified or deleted"
OPEN: Final = "an order that was still open"


@dataclass(slots=True)
class _Order:
    """An order that is open; the stop that was set with it, or within the same minute."""

    row: int
    side: str
    opened: datetime
    price: float
    stop: float | None


@dataclass(frozen=True, slots=True)
class MetaTraderTest:
    """A report of a backtest; one order is one trade."""

    path: Path
    kind: FileKind
    terms: ImportTerms
    clock: Clock
    format: str = "metatrader_test"

    @property
    def description(self) -> str:
        """Say what the source is."""
        return f"MetaTrader 4 strategy tester report: {self.path.name}"

    def first_trade(self) -> str:
        """Return the identity of the first order: number, symbol and time."""
        for found in section_rows(self.path, self.kind):
            if found.section == "tester" and len(found.row.cells) > 3:
                cells = found.row.cells
                return f"{cells[3]} {self.terms.answers.symbol or ''} {cells[1]}"
        raise ImportRefused(f"{self.path.name} holds no orders")

    def trades(self, tally: ReportTally) -> Iterator[ImportedTrade]:
        """Yield the closed orders in the order of their closes; the rest is in the tally."""
        open_orders: dict[str, _Order] = {}
        for found in section_rows(self.path, self.kind):
            if found.section != "tester":
                continue
            tally.rows_found += 1
            try:
                trade = self._step(found.row, open_orders, tally)
            except RowRejected as why:
                tally.reject(self.path.name, "row", found.row.number, why)
                continue
            if trade is not None:
                tally.rows_imported += 2
                yield trade
        for _ in open_orders:
            tally.trades_found += 1
            tally.trades_open += 1
            tally.skip(OPEN)

    def _step(
        self, row: ReportRow, open_orders: dict[str, _Order], tally: ReportTally
    ) -> ImportedTrade | None:
        """Take a step; return the trade that it closed."""
        if len(row.cells) < 8:
            raise RowRejected("row", "must have the cells of an order", len(row.cells))
        kind = "".join(row.cells[2].lower().split())
        number = name_in("order", row.cells[3])
        if number is None:
            raise RowRejected("order", "must be given", None)
        if kind in _STEPS:
            _set_stop(open_orders.get(number), row, self.clock)
            tally.skip(STEP)
            return None
        side = _side(kind)
        if side is not None:
            self._open(row, number, side, open_orders)
            return None
        return self._close(row, number, kind, open_orders, tally)

    def _open(self, row: ReportRow, number: str, side: str, open_orders: dict[str, _Order]) -> None:
        if number in open_orders:
            raise RowRejected("order", "must differ from those before", number)
        cells = row.cells
        open_orders[number] = _Order(
            row.number,
            side,
            moment_in("time", cells[1], self.clock),
            price_in("price", cells[5]),
            stop_in(cells[6]),
        )

    def _close(
        self,
        row: ReportRow,
        number: str,
        kind: str,
        open_orders: dict[str, _Order],
        tally: ReportTally,
    ) -> ImportedTrade | None:
        cells = row.cells
        opened = open_orders.get(number)
        if opened is None:
            raise RowRejected("order", "must have been opened before", number)
        closed, price = moment_in("time", cells[1], self.clock), price_in("price", cells[5])
        profit = number_in("profit", cells[8]) if len(cells) > 8 else None
        del open_orders[number]
        tally.trades_found += 1
        position = _position(number, opened, closed, price, profit, kind)
        try:
            return trade_of(replace(position, symbol=self.terms.answers.symbol), self.terms)
        except RowRejected as why:
            tally.reject(self.path.name, "trade", row.number, why, n_rows=2)
            return None


def _side(kind: str) -> str | None:
    try:
        return as_side(kind)
    except ValueError:
        return None


def _set_stop(order: _Order | None, row: ReportRow, clock: Clock) -> None:
    """Many experts set the stop right after the order."""
    if order is not None and order.stop is None:
        at = moment_in("time", row.cells[1], clock)
        order.stop = stop_in(row.cells[6]) if at == order.opened else None


def _position(
    number: str, opened: _Order, closed: datetime, price: float, profit: float | None, kind: str
) -> ClosedPosition:
    return ClosedPosition(
        trade_id=number,
        side=opened.side,
        opened_at=opened.opened,
        closed_at=closed,
        entry_price=opened.price,
        exit_price=price,
        gross_pct=price_return_pct(opened.side, opened.price, price),
        actions=(TradeAction("entry", opened.opened), TradeAction("exit", closed)),
        stop=opened.stop,
        pnl_amount=profit,
        exit_reason=_REASONS.get(kind),
    )


def tested_market(path: Path, kind: FileKind) -> tuple[str | None, str | None]:
    """Return symbol and timeframe, as the head of a tester's report names them."""
    symbol = timeframe = None
    for row in islice(report_rows(path, kind), _HEAD_ROWS):
        said = row.cells[1] if len(row.cells) > 1 else ""
        if symbol is None and (found := _SYMBOL.match(said)):
            symbol = found[1]
        if timeframe is None and (period := _PERIOD.search(said)):
            timeframe = f"{period[2]}{_UNITS[period[1]]}"
    return symbol, timeframe
