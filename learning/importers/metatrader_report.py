"""Reports of MetaTrader 5 and 4: closed positions, or the deals that they were made of.

Sections are told by the shape of their header, not by its words: terminals write them in their
own language. A position's own ``S / L`` is the one at its close, so the opening order's is before
it. Prices give the return; the profit in the account's currency tells what the costs were in them.
"""

from __future__ import annotations

import re
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from itertools import chain, islice
from pathlib import Path
from typing import Final, Literal

from learning.errors import ImportRefused
from learning.importers.closed_position import ClosedPosition, ImportTerms, trade_of
from learning.importers.field_values import (
    RowRejected,
    as_instant,
    as_name,
    as_report_number,
    as_side,
    decimal_sign,
)
from learning.importers.import_answers import ImportOption
from learning.importers.import_report import ReportTally
from learning.importers.imported_trade import ImportedTrade, TradeAction
from learning.importers.report_rows import ReportRow, report_rows
from learning.importers.source_file import FileKind
from learning.importers.trade_outcomes import net_of_costs_pct, price_return_pct

Section = Literal["positions", "statement", "orders", "deals", "tester", "other"]
_CURRENCY: Final = re.compile(r"\(\s*([A-Z]{3,4})\s*,|Currency:\s*([A-Z]{3,4})\b")
_CLOSED_BY: Final = re.compile(r"\[(sl|tp|so)[^\]]*\]?", re.IGNORECASE)
_LINK: Final = re.compile(r"^(from|to) #\d+|^cancelled|^partial close|^close hedge", re.IGNORECASE)
_REASONS: Final = {"sl": "stop_loss", "tp": "target", "so": "stop_out"}
_TEST: Final = re.compile(
    r"strategy tester|тестер|strategietester|probador de estrategias|testador de estratégia|"
    r"testeur de stratégie|ストラテジーテスター|策略测试|戰略測試",
    re.IGNORECASE,
)
_EXPERT: Final = re.compile(
    r"(expert( advisor)?|советник|experte|asesor experto|エキスパート|ea交易|智能交易(系统)?)\s*:?",
    re.IGNORECASE,
)
_PERIOD: Final = re.compile(r"(M|H|D|W)(\d{1,2})\s*\(\d{4}\.")
_UNITS: Final = {"M": "m", "H": "h", "D": "d", "W": "w"}
CASH: Final = frozenset({"balance", "credit", "charge", "correction", "bonus", "commission"})
_PENDING: Final = re.compile(r"(buy|sell) (limit|stop)", re.IGNORECASE)
_WORKING: Final = re.compile(r"open trades|working orders|open positions|открытые", re.IGNORECASE)
DEPOSIT: Final = "a deposit or another cash flow"
NOT_FILLED: Final = "a pending order, or a position that is still open"
_COSTS_UNKNOWN: Final = "costs not known in price terms: no return after costs"


_STOP: Final = re.compile(
    r"\bs\s*/\s*l\b|stop ?loss|止损|止損|決済逆指値|损失|손절|стоп ?лосс", re.IGNORECASE
)
_COMMENT: Final = re.compile(
    r"comment|комментар|注释|註釋|備註|コメント|comentario|komment|commentaire", re.IGNORECASE
)
_SAMPLE: Final = 400  # rows that tell the decimal sign
_MOMENT: Final = re.compile(r"\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{4}")
_COUNTERS: Final = frozenset({"#", "№", "no", "no.", "n"})


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a section.

    ``shift`` is how many cells stand before those that every terminal has, such as a counter;
    ``comment`` is where comments stand beside their trades, counted after them; None: nowhere.
    """

    section: Section
    width: int
    shift: int = 0
    comment: int | None = None


@dataclass(frozen=True, slots=True)
class SectionRow:
    """A row of data and the section that it stands in; its cells begin after ``shift``."""

    section: Section
    row: ReportRow
    width: int
    comment: int | None = None

    @property
    def last(self) -> str:
        """What stands below the last word of the header, in orders and deals a comment."""
        cells = self.row.cells
        return cells[self.width - 1] if len(cells) >= self.width else ""


def section_rows(path: Path, kind: FileKind) -> Iterator[SectionRow]:
    """Yield the rows of data of every section; headers, titles and totals are left out.

    Terminals write decimal points; a spreadsheet may have saved a report with commas. The first
    rows tell, and the numbers of such a report are yielded with points.
    """
    rows = _section_rows(path, kind)
    first = list(islice(rows, _SAMPLE))
    everything = chain(first, rows)
    yield from map(_with_points, everything) if _has_commas(first) else everything


def _has_commas(rows: Sequence[SectionRow]) -> bool:
    """Whether numbers have decimal commas: more cells can only be read so than otherwise."""
    signs = Counter(decimal_sign(cell) for found in rows for cell in found.row.cells)
    return signs[",", True] > signs[".", True]


def _with_points(found: SectionRow) -> SectionRow:
    cells = tuple(_with_point(cell) for cell in found.row.cells)
    return replace(found, row=replace(found.row, cells=cells))


def _with_point(cell: str) -> str:
    """A number with a decimal comma as one with a point; another cell as it is.

    Examples:
        >>> _with_point("4.129,59"), _with_point("0,10 / 0,10"), _with_point("Breakout, A")
        ('4129.59', '0.10 / 0.10', 'Breakout, A')
    """
    return "/".join(
        part.replace(".", "").replace(",", ".") if _has_comma(part) else part
        for part in cell.split("/")
    )


def _has_comma(text: str) -> bool:
    sign, is_clear = decimal_sign(text)
    return sign == "," or (sign == "." and not is_clear)


def _section_rows(path: Path, kind: FileKind) -> Iterator[SectionRow]:
    section: Section = "other"
    is_working, header = False, Header("other", 0)
    for row in report_rows(path, kind):
        cells = _trimmed(row.cells)
        found = header_of(cells)
        if found is not None:
            header = found
            section = "other" if is_working and found.section == "statement" else found.section
            is_working = False
        elif len([cell for cell in cells if cell]) <= 2:
            is_working = _WORKING.search(" ".join(cells)) is not None
            if cells and not row.title and len([c for c in cells if c]) == 1:
                section = section if _is_moment(cells[0]) else _after_title(section, cells)
        elif section != "other" and any(cells[:2]):
            told = replace(row, cells=row.cells[header.shift :]) if header.shift else row
            yield SectionRow(section, told, header.width - header.shift, header.comment)


def _trimmed(cells: Sequence[str]) -> list[str]:
    found = list(cells)
    while found and not found[-1]:
        found.pop()
    return found


def _after_title(section: Section, cells: Sequence[str]) -> Section:
    """A title ends a section; a line of blanks and a number, such as a total, does not."""
    return "other" if cells[0] and not cells[0][:1].isdigit() else section


def header_of(cells: Sequence[str]) -> Header | None:
    """The header that a row is; None where it is none.

    Sections are told by what stands around the stop, and by the price and the time that positions
    have twice; so the words of most languages need not be known.
    """
    plain = ["".join(cell.lower().split()) for cell in cells]
    if len(plain) < 9 or any(_is_moment(cell) or cell.isdecimal() for cell in cells[:2]):
        return None
    stop = next((place for place, cell in enumerate(cells) if _STOP.search(cell)), 6)
    shift = max(stop - 6, 0) if stop - 6 in (0, 1) else 0
    section = _section(plain[shift:], has_stop=_STOP.search(cells[stop]) is not None)
    if section is None or any(cell[:1].isdigit() for cell in plain[shift : shift + 8]):
        return None
    last = len(plain) - 1
    comment = last - shift if section == "statement" and _COMMENT.search(cells[last]) else None
    return Header(section, len(plain), shift, comment)


def _section(plain: Sequence[str], *, has_stop: bool) -> Section | None:
    """The section whose header this is, its stop or the second price at their places."""
    twice = len(plain) > 12 and plain[5] == plain[9] != "" and plain[6] != plain[7]
    if twice and plain[0] == plain[8]:
        return "positions"
    if twice and (len(plain) >= 14 or "ticket" in plain[0]):
        return "statement"
    if has_stop:
        if plain[0] in _COUNTERS and len(plain) == 10:
            return "tester"
        return "orders"
    is_deals = len(plain) in (13, 14) and all(plain[:7])
    return "deals" if is_deals else None


def _is_moment(cell: str) -> bool:
    return _MOMENT.match(cell) is not None


@dataclass(frozen=True, slots=True)
class Clock:
    """How a report's times are read: their zone, and where a person said it, how dates begin."""

    zone: tzinfo
    day_first: bool | None = None

    def instant(self, cell: str) -> datetime | None:
        """Return a cell as an instant; None where it is empty."""
        return as_instant(cell, zone=self.zone, day_first=self.day_first)


class OrderBook:
    """Stop and comment of each opening order, on disk: reports list orders after positions."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE orders (id TEXT PRIMARY KEY, stop, comment) WITHOUT ROWID")

    def keep(self, order: str, stop: float | None, comment: str) -> None:
        """Keep what an order, or the deal that it made, says; the first one counts."""
        self._db.execute(
            "INSERT INTO orders VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
            "stop = coalesce(stop, excluded.stop), "
            "comment = CASE WHEN comment = '' THEN excluded.comment ELSE comment END",
            (order, stop, comment),
        )

    def find(self, order: str) -> tuple[float | None, str]:
        """Return the stop and the comment of an order."""
        row = self._db.execute("SELECT stop, comment FROM orders WHERE id = ?", (order,)).fetchone()
        return (None, "") if row is None else (row[0], row[1])


@contextmanager
def order_book() -> Iterator[OrderBook]:
    with tempfile.TemporaryDirectory(prefix="edgekeeper-orders-") as folder:
        database = sqlite3.connect(Path(folder) / "orders.sqlite")
        try:
            yield OrderBook(database)
        finally:
            database.close()


@dataclass(frozen=True, slots=True)
class MetaTraderReport:
    """A report whose positions are listed: MetaTrader 5's history, MetaTrader 4's statement."""

    path: Path
    kind: FileKind
    terms: ImportTerms
    clock: Clock
    version: int
    currency: str | None = None
    format: str = "metatrader"

    @property
    def description(self) -> str:
        """Say what the source is."""
        name = "history report" if self.version == 5 else "account statement"
        return f"MetaTrader {self.version} {name}: {self.path.name}"

    def first_trade(self) -> str:
        """Return the identity of the earliest position: number, symbol and open time."""
        best: tuple[datetime, str, str] | None = None
        for found in self._data():
            cells = found.row.cells
            try:
                opened = self.clock.instant(cells[0 if self.version == 5 else 1])
                number, symbol = (cells[1], cells[2]) if self.version == 5 else (cells[0], cells[4])
            except (ValueError, IndexError):  # not even these cells: rejected when it is read
                continue
            if opened is not None and number and symbol:
                best = min(best, (opened, number, symbol)) if best else (opened, number, symbol)
        if best is None:
            raise ImportRefused(f"{self.path.name} holds no closed position")
        return f"{best[1]} {best[2]} {best[0].isoformat()}"

    def trades(self, tally: ReportTally) -> Iterator[ImportedTrade]:
        """Yield the closed positions in the order of the report; the rest is in the tally."""
        seen: set[str] = set()
        with order_book() as book:
            self._read_orders(book)
            for found in self._data():
                tally.rows_found += 1
                row = found.row
                why_not = self._no_position(row)
                if why_not is not None:
                    tally.skip(why_not)
                    continue
                tally.trades_found += 1
                try:
                    trade = trade_of(self._position(found, book), self.terms)
                    if trade.trade_id in seen:
                        raise RowRejected("position", "was given before", trade.trade_id)
                except RowRejected as why:
                    tally.reject(self.path.name, "trade", row.number, why)
                    continue
                seen.add(trade.trade_id)
                tally.rows_imported += 1
                yield trade

    def _data(self) -> Iterator[SectionRow]:
        """The rows of positions; MetaTrader 4 writes some comments in a row of their own."""
        wanted = "positions" if self.version == 5 else "statement"
        for found in section_rows(self.path, self.kind):
            if found.section == wanted and found.row.cells[0]:
                yield found

    def _read_orders(self, book: OrderBook) -> None:
        if self.version == 4:
            return
        for found in section_rows(self.path, self.kind):
            cells = found.row.cells
            if found.section == "orders" and len(cells) > 7:
                book.keep(cells[1], stop_in(cells[6]), found.row.hidden or found.last)
            elif found.section == "deals" and len(cells) > 8 and cells[4] == "in":
                book.keep(cells[7], None, found.last)

    def _no_position(self, row: ReportRow) -> str | None:
        """Why a row is no closed position; None where it is one."""
        kind = (
            (row.cells[3] if self.version == 5 else row.cells[2]).lower()
            if len(row.cells) > 3
            else ""
        )
        if kind in CASH:
            return DEPOSIT
        if _PENDING.match(kind) or (self.version == 4 and not _closing(row.cells)):
            return NOT_FILLED
        return None

    def _position(self, found: SectionRow, book: OrderBook) -> ClosedPosition:
        row = found.row
        cells = _values(row, self.version, self.clock, found.comment)
        stop, ordered = book.find(cells.number)
        beside = "" if found.comment is None else "".join(row.cells[found.comment :])
        comment = row.hidden or ordered or row.title or beside
        reason = _CLOSED_BY.search(" ".join((row.title, row.hidden, beside)))
        gross = price_return_pct(cells.side, cells.entry, cells.exit)
        net = net_of_costs_pct(gross, profit=cells.profit, costs=cells.costs)
        return ClosedPosition(
            trade_id=cells.number,
            side=cells.side,
            opened_at=cells.opened,
            closed_at=cells.closed,
            entry_price=cells.entry,
            exit_price=cells.exit,
            gross_pct=gross,
            net_pct=net,
            actions=(TradeAction("entry", cells.opened), TradeAction("exit", cells.closed)),
            stop=stop or cells.stop,
            pnl_amount=cells.profit - cells.costs,
            currency=self.currency,
            symbol=cells.symbol,
            exit_reason=_REASONS[reason[1].lower()] if reason else None,
            tag=setup_in(comment),
            notes=() if net is not None else (_COSTS_UNKNOWN,),
        )


@dataclass(frozen=True, slots=True)
class _Values:
    number: str
    symbol: str
    side: str
    opened: datetime
    closed: datetime
    entry: float
    exit: float
    stop: float | None
    profit: float
    costs: float


def _closing(cells: Sequence[str]) -> bool:
    return len(cells) > 9 and _is_moment(cells[8])


def _values(row: ReportRow, version: int, clock: Clock, comment: int | None) -> _Values:
    """The values of a position, by their place in its section.

    Raises:
        RowRejected: Naming the value that breaks a rule.
    """
    cells = row.cells
    if len(cells) < 13:
        raise RowRejected("row", "must have the cells of a position", len(cells))
    if version == 5:
        opened, number, symbol, kind = cells[0], cells[1], cells[2], cells[3]
    else:
        number, opened, kind, symbol = cells[0], cells[1], cells[2], cells[4]
    side = _parsed("type", kind, as_side)
    if side is None or not number.strip() or not symbol.strip():
        missing = "type" if side is None else "position" if not number.strip() else "symbol"
        raise RowRejected(missing, "must be given", None)
    tail = cells[10:comment] if comment is not None else cells[10:]
    return _Values(
        number=_parsed("position", number, as_name) or "",
        symbol=_parsed("symbol", symbol, as_name) or "",
        side=side,
        opened=moment_in("open time", opened, clock),
        closed=moment_in("close time", cells[8], clock),
        entry=price_in("open price", cells[5]),
        exit=price_in("close price", cells[9]),
        stop=stop_in(cells[6]),
        profit=number_in("profit", _profit(tail)) or 0.0,
        costs=-sum(number_in("costs", cell) or 0.0 for cell in _costs(tail, version)),
    )


def _profit(tail: Sequence[str]) -> str:
    """The profit: the last cell that is filled, from the place where it can stand."""
    filled = [cell for cell in tail[2:] if cell]
    return filled[-1] if filled else ""


def _costs(tail: Sequence[str], version: int) -> Sequence[str]:
    """Commission, taxes and swap: what stands before the profit, which every report has last."""
    last = max((place for place, cell in enumerate(tail) if cell), default=0)
    return tail[: min(last, 2 if version == 5 else 3)]


def _parsed(name: str, cell: str, read: object) -> str | None:
    try:
        found: str | None = read(cell)  # type: ignore[operator]
    except ValueError as error:
        raise RowRejected(name, str(error), cell) from None
    return found


def name_in(name: str, cell: str) -> str | None:
    """Return a cell as a short printable text; None where it is empty."""
    return _parsed(name, cell, as_name)


def number_in(name: str, cell: str) -> float | None:
    try:
        return as_report_number(cell.partition("/")[0])
    except ValueError as error:
        raise RowRejected(name, str(error), cell) from None


def price_in(name: str, cell: str) -> float:
    price = number_in(name, cell)
    if price is None or not price > 0:
        raise RowRejected(name, "must be above 0", cell)
    return price


def moment_in(name: str, cell: str, clock: Clock) -> datetime:
    try:
        found = clock.instant(cell)
    except ValueError as error:
        raise RowRejected(name, str(error), cell) from None
    if found is None:
        raise RowRejected(name, "must be given", None)
    return found


def stop_in(cell: str) -> float | None:
    """A stop, where one is set; what cannot be read is none, since its trade is one without."""
    try:
        return as_report_number(cell) or None
    except ValueError:
        return None


def setup_in(comment: str) -> str | None:
    """The setup that an expert wrote as a comment, without what the server added."""
    text = _CLOSED_BY.sub("", comment).strip()
    return None if not text or _LINK.match(text) else text


@dataclass(frozen=True, slots=True)
class SeenReport:
    """What the first rows of a report show; ``is_test`` where it is MetaTrader 4's tester's."""

    version: int
    has_positions: bool
    currency: str | None
    is_test: bool = False
    is_backtest: bool = False
    strategy: str | None = None
    timeframe: str | None = None


def seen_report(path: Path, kind: FileKind, *, limit: int = 4000) -> SeenReport | None:
    """Return what a file shows as a report of MetaTrader; None where it is none.

    A tester lists all its orders before the deals, so a report is read until both were seen.
    """
    head = _Head()
    sections: set[Section] = set()
    for count, row in enumerate(report_rows(path, kind)):
        if not sections:
            head.read(row.cells)
        header = header_of(_trimmed(row.cells))
        if header is not None:
            sections.add(header.section)
        if known_sections(sections) or (count > limit and not sections):
            break
    version = 4 if sections & {"statement", "tester"} else 5
    if not known_sections(sections):
        return None
    return SeenReport(
        version,
        has_positions=bool(sections & {"positions", "statement"}),
        currency=head.currency,
        is_test="tester" in sections,
        is_backtest=head.is_test or "tester" in sections,
        strategy=head.expert,
        timeframe=head.timeframe,
    )


def known_sections(sections: set[Section]) -> bool:
    """Say whether sections are those of a report that can be read."""
    return bool(sections & {"positions", "statement", "tester"}) or {"orders", "deals"} <= sections


class _Head:
    """What stands above the first section."""

    def __init__(self) -> None:
        self.currency: str | None = None
        self.expert: str | None = None
        self.timeframe: str | None = None
        self.is_test = False

    def read(self, cells: Sequence[str]) -> None:
        """Take what a row tells."""
        said = [cell for cell in cells if cell]
        text = " ".join(said)[:500]
        named = _CURRENCY.search(text)
        self.currency = self.currency or (named and (named[1] or named[2])) or None
        self.is_test = self.is_test or _TEST.search(text) is not None
        if len(said) > 1 and _EXPERT.fullmatch(said[0]):
            self.expert = self.expert or said[1]
        period = next((found for cell in said if (found := _PERIOD.match(cell))), None)
        if period is not None:
            self.timeframe = self.timeframe or f"{period[2]}{_UNITS[period[1]]}"


def report_options(
    *, zone_named: bool, strategy: str | None, has_risk: bool
) -> tuple[ImportOption, ...]:
    """Return what a report lacks and nobody has said."""
    asked = []
    if not zone_named:
        sentence = (
            "the report's times are in the time zone of the broker's server, which it does not name"
        )
        asked.append(ImportOption("time_zone", "time_zone", sentence, required=True))
    if strategy is None:
        sentence = "the report names no expert; setups are the comments of its orders"
        asked.append(ImportOption("strategy", "text", sentence))
    if not has_risk:
        sentence = (
            "positions without S / L have no R, unless you name the distance of your stop in %"
        )
        asked.append(ImportOption("risk_pct", "number", sentence))
    return tuple(asked)
