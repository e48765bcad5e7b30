"""TradingView's "List of trades": two rows a trade, its entry and its exit, in either order.

A trade number is a trade. Pyramided entries have numbers of their own: of trades that overlap in
time the first was entered, the others added to it, and all but the last to close were trimmed.
``rr_path`` is the net profit in percent by the adverse excursion in percent, as the list has them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from itertools import islice
from typing import Any, Final

from learning.domain.pattern_key import key_part
from learning.errors import ImportRefused
from learning.events.outcomes import path_rr
from learning.importers.closed_position import ClosedPosition, ImportTerms, trade_of
from learning.importers.field_values import (
    RowRejected,
    as_instant,
    as_name,
    as_report_number,
)
from learning.importers.import_answers import (
    DATE_ORDER_QUESTION,
    ImportAnswers,
    ImportOption,
)
from learning.importers.import_report import ReportTally
from learning.importers.imported_trade import ImportedTrade, TradeAction
from learning.importers.overlaps import Overlaps
from learning.importers.table_file import TableFile
from learning.importers.trade_outcomes import price_return_pct
from learning.importers.tradingview_words import (
    ListHeader,
    event_of,
    header_by_place,
    is_still_open,
    list_header,
)
from learning.importers.workbook_file import sheet_names, sheet_rows
from learning.importers.written_dates import day_order, needs_order

_SAMPLE_ROWS: Final = 4096
_TIMES_NEEDED: Final = 20
_PROPERTIES: Final = 100  # rows of a sheet beside the list
_MARKET: Final = re.compile(r"[A-Z][A-Z0-9_]{1,15}:([A-Z0-9][A-Z0-9.!_]{1,20})")
_BAR_WORDS: Final = re.compile(r"(\d{1,3})\s*(m|h|d|w|minutes?|hours?|days?|weeks?)", re.IGNORECASE)
_BARS: Final = (
    (86_400, "1d"), (14_400, "4h"), (7200, "2h"), (3600, "1h"), (1800, "30m"), (900, "15m"),
    (300, "5m"), (180, "3m"), (60, "1m"),
)  # fmt: skip
_NUMBERS: Final = (
    "price", "quantity", "value", "pnl", "pnl_pct", "runup_pct", "drawdown_pct", "commission",
)  # fmt: skip
OPEN: Final = "still open"


@dataclass(frozen=True, slots=True)
class ListRow:
    """One row of the list, read."""

    row: int
    number: str
    event: str
    side: str
    time: datetime | None
    signal: str
    values: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class TradingViewList:
    """A list of trades of one strategy on one symbol."""

    table: TableFile
    header: ListHeader
    terms: ImportTerms
    zone: tzinfo
    day_first: bool | None = None
    labels: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    layout: Overlaps = field(default_factory=Overlaps, compare=False, repr=False)
    format: str = "tradingview"

    @property
    def description(self) -> str:
        """Say what the source is."""
        return f"TradingView list of trades ({self.header.generation}): {self.table.path.name}"

    def first_trade(self) -> str:
        """Return the identity of the earliest trade: number, symbol and entry time."""
        best: tuple[datetime, str] | None = None
        layout = Overlaps()
        for entry, exit_row, _ in self._pairs(ReportTally()):
            if entry.time is None:
                continue
            best = min(best, (entry.time, entry.number)) if best else (entry.time, entry.number)
            price = entry.values.get("price") or 0.0
            is_open = exit_row is None or exit_row.time is None or _is_open(exit_row)
            closed = None if is_open or exit_row is None else exit_row.time
            layout.add(entry.number, entry.time, closed, price)
        if best is None:
            raise ImportRefused(f"{self.table.path.name} holds no trade with an entry time")
        layout.settle()
        self.layout.take(layout)
        return f"{best[1]} {self.terms.answers.symbol or ''} {best[0].isoformat()}"

    def trades(self, tally: ReportTally) -> Iterator[ImportedTrade]:
        """Yield the closed trades in the order of the file; the rest is counted in the tally."""
        if not self.layout.is_settled:
            self.first_trade()
        file = self.table.path.name
        for entry, exit_row, n_rows in self._pairs(tally):
            tally.trades_found += 1
            if exit_row is None or _is_open(exit_row):
                tally.trades_open += 1
                tally.skip(OPEN, n_rows)
                continue
            try:
                trade = trade_of(self._position(entry, exit_row), self.terms)
            except RowRejected as why:
                tally.reject(file, "trade", exit_row.row, why, n_rows=n_rows)
                continue
            tally.rows_imported += n_rows
            yield trade

    def _pairs(self, tally: ReportTally) -> Iterator[tuple[ListRow, ListRow | None, int]]:
        """Entry, exit and number of rows of each trade; an entry without exit at the end."""
        waiting: dict[str, ListRow] = {}
        done = _SeenNumbers()
        for row in self._rows(tally):
            if row.number in done:
                why = RowRejected("trade number", "had its entry and its exit before", row.number)
                tally.reject(self.table.path.name, "row", row.row, why)
                continue
            other = waiting.pop(row.number, None)
            if other is None:
                waiting[row.number] = row
            elif other.event == row.event or other.side != row.side:
                rule = "must have one entry and one exit of one side"
                why = RowRejected("trade number", rule, row.number)
                tally.reject(self.table.path.name, "row", row.row, why)
                waiting[row.number] = other
            else:
                done.add(row.number)
                entry, exit_row = (other, row) if other.event == "entry" else (row, other)
                yield entry, exit_row, 2
        yield from self._unpaired(waiting, tally)

    def _unpaired(
        self, waiting: Mapping[str, ListRow], tally: ReportTally
    ) -> Iterator[tuple[ListRow, None, int]]:
        for row in waiting.values():
            if row.event == "entry":
                yield row, None, 1  # its exit is still to come
            else:
                why = RowRejected("trade number", "must have an entry row too", row.number)
                tally.reject(self.table.path.name, "row", row.row, why)

    def _rows(self, tally: ReportTally) -> Iterator[ListRow]:
        file = self.table.path.name
        for chunk in self.table.chunks(self.table.columns):
            for number, why in chunk.broken:
                tally.rows_found += 1
                tally.reject(file, "row", number, why)
            columns = [chunk.columns[name] for name in self.table.columns]
            for number, cells in zip(chunk.row_numbers, zip(*columns, strict=True), strict=True):
                tally.rows_found += 1
                try:
                    yield self._row(number, cells)
                except RowRejected as why:
                    tally.reject(file, "row", number, why)

    def _row(self, row: int, cells: Sequence[object]) -> ListRow:
        places = self.header.places
        number = _cell(cells, places, "number", as_name)
        if number is None:
            raise RowRejected("trade number", "must be given", None)
        label = _cell(cells, places, "type", as_name) or ""
        event = event_of(label) or self.labels.get(label.lower())
        if event is None:
            raise RowRejected("type", "must be an entry or an exit, long or short", label)
        signal = _printable(cells[places["signal"]])
        when = cells[places["time"]]
        is_open = event[0] == "exit" and (
            is_still_open(str(when))
            or is_still_open(signal)
            or not str(cells[places["price"]] or "").strip()
        )
        time = None if is_open else self._instant(when)
        return ListRow(row, number, *event, time, signal, self._values(cells, is_open))

    def _instant(self, value: object) -> datetime | None:
        try:
            return as_instant(value, zone=self.zone, day_first=self.day_first)
        except ValueError as error:
            raise RowRejected("time", str(error), value) from None

    def _values(self, cells: Sequence[object], is_open: bool) -> dict[str, float | None]:
        values: dict[str, float | None] = {}
        for name in _NUMBERS:
            place = self.header.places.get(name)
            if place is None:
                continue
            try:
                values[name] = as_report_number(cells[place], decimal=self.table.decimal)
            except ValueError as error:
                if is_open:
                    values[name] = None
                    continue
                raise RowRejected(self.table.columns[place], str(error), cells[place]) from None
        return values

    def _position(self, entry: ListRow, exit_row: ListRow) -> ClosedPosition:
        if entry.time is None or exit_row.time is None:
            row = entry if entry.time is None else exit_row
            raise RowRejected("time", "must be given", row.number)
        bought, sold = entry.values.get("price"), exit_row.values.get("price")
        if bought is None or sold is None or bought <= 0 or sold <= 0:
            raise RowRejected("price", "must be above 0", sold if sold else bought)
        total = _totals(entry, exit_row)
        net, adverse = total.get("pnl_pct"), total.get("drawdown_pct")
        drawdown = None if adverse is None else abs(adverse)
        runup = total.get("runup_pct")
        gross = price_return_pct(entry.side, bought, sold)
        return ClosedPosition(
            trade_id=entry.number,
            side=entry.side,
            opened_at=entry.time,
            closed_at=exit_row.time,
            entry_price=bought,
            exit_price=sold,
            gross_pct=gross,
            net_pct=net,
            actions=self._actions(entry, exit_row),
            drawdown_pct=drawdown,
            runup_pct=None if runup is None else abs(runup),
            rr_path=_rr_path(gross if net is None else net, drawdown),
            pnl_amount=total.get("pnl"),
            entry_value=_entry_value(entry, total),
            currency=self.header.currency,
            symbol=self.terms.answers.symbol,
            exit_reason=exit_row.signal or None,
            tag=entry.signal,
        )

    def _actions(self, entry: ListRow, exit_row: ListRow) -> tuple[TradeAction, ...]:
        assert entry.time is not None
        assert exit_row.time is not None
        is_add, is_trim = self.layout.place_of(entry.number)
        return (
            TradeAction("add" if is_add else "entry", entry.time),
            TradeAction("trim" if is_trim else "exit", exit_row.time),
        )


class _SeenNumbers:
    """Trade numbers that are done: a bit each while they are small, as they nearly always are."""

    def __init__(self) -> None:
        self._small = bytearray()
        self._others: set[str] = set()

    def __contains__(self, number: str) -> bool:
        place = _small(number)
        if place is None:
            return number in self._others
        return place < len(self._small) and self._small[place] == 1

    def add(self, number: str) -> None:
        place = _small(number)
        if place is None:
            self._others.add(number)
            return
        if place >= len(self._small):
            self._small.extend(bytes(place + 4096 - len(self._small)))
        self._small[place] = 1


def _small(number: str) -> int | None:
    plain = len(number) < 9 and number.isascii() and number.isdecimal() and number[0] != "0"
    return int(number) if plain else None


def _cell(cells: Sequence[object], places: Mapping[str, int], name: str, read: Any) -> Any:
    value = cells[places[name]]
    try:
        return read(value)
    except ValueError as error:
        raise RowRejected(name, str(error), value) from None


def _printable(value: object) -> str:
    """A signal as the strategy wrote it, shortened and printable: it never costs a trade."""
    text = "" if value is None else str(value)
    return "".join(sign if sign.isprintable() else " " for sign in text)[:200].strip()


def _is_open(row: ListRow) -> bool:
    return is_still_open(row.signal) or row.time is None or row.values.get("price") is None


def _totals(entry: ListRow, exit_row: ListRow) -> dict[str, float | None]:
    """The totals of the trade: the exit row's; some exports have them on the entry row alone."""
    names = dict.fromkeys((*entry.values, *exit_row.values))
    return {
        name: entry.values.get(name) if exit_row.values.get(name) is None else exit_row.values[name]
        for name in names
    }


def _rr_path(net_pct: float, drawdown_pct: float | None) -> float | None:
    return None if drawdown_pct is None else path_rr(net_pct, drawdown_pct)


def _entry_value(entry: ListRow, total: Mapping[str, float | None]) -> float | None:
    value, size, price = total.get("value"), total.get("quantity"), entry.values.get("price")
    if value is not None:
        return abs(value) or None
    return abs(size * price) or None if size is not None and price is not None else None


@dataclass(frozen=True, slots=True)
class SeenList:
    """What the first rows of a list show; ``dates_only`` where they name days without a time."""

    header: ListHeader
    has_offset: bool
    labels: Mapping[str, tuple[str, str]]
    timeframe: str | None = None
    dates_only: bool = False
    day_first: bool | None = None
    asks_order: bool = False


def seen_list(table: TableFile) -> SeenList | None:
    """Return what a table shows as a list of trades; None where it is none."""
    header = list_header(table.columns)
    rows = _sample(table)
    if header is None:
        header = _placed(table.columns, rows)
    if header is None:
        return None
    times = [str(row[header.places["time"]] or "").strip() for row in rows]
    clocked = [text for text in times if ":" in text]
    day_first = day_order(times)
    return SeenList(
        header,
        has_offset=bool(clocked) and all(_has_offset(text) for text in clocked),
        labels=_voted_labels(header, rows, table.decimal, day_first),
        timeframe=_likely_timeframe(times),
        dates_only=bool(rows) and not clocked and any(text[:1].isdecimal() for text in times),
        day_first=day_first,
        asks_order=day_first is None and needs_order(times),
    )


def _likely_timeframe(times: Sequence[str]) -> str | None:
    """The longest bars that all of some times fit on; None where there are few, or none fits."""
    moments = {moment for text in times if (moment := _moment(text)) is not None}
    if len(moments) < _TIMES_NEEDED:
        return None
    first = min(moments)
    step = math.gcd(*(round((moment - first).total_seconds()) for moment in moments))
    return next((name for seconds, name in _BARS if step % seconds == 0), None)


def _moment(text: str) -> datetime | None:
    try:
        return as_instant(text)
    except ValueError:
        return None


def _sample(table: TableFile) -> list[tuple[object, ...]]:
    for chunk in table.chunks(table.columns):
        columns = [chunk.columns[name][:_SAMPLE_ROWS] for name in table.columns]
        return list(zip(*columns, strict=True))
    return []


def _placed(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> ListHeader | None:
    """The header by place: numbers that come in pairs, then a time in the third or fourth cell."""
    if len(rows) < 2 or len(columns) < 7:
        return None
    numbers = [str(row[0]).strip() for row in rows]
    pairs = sum(a == b and a.isdecimal() for a, b in zip(numbers[::2], numbers[1::2], strict=False))
    if pairs * 2 < len(rows) - 2 or pairs == 0:
        return None
    for place in (2, 3):
        if all(_is_time(row[place]) for row in rows[:2]):
            return header_by_place(columns, time_place=place)
    return None


def _is_time(value: object) -> bool:
    try:
        # which of two readings does not matter here
        return isinstance(value, str | datetime) and as_instant(value, day_first=True) is not None
    except ValueError:
        return False


def _has_offset(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _voted_labels(
    header: ListHeader,
    rows: Sequence[Sequence[object]],
    decimal: str,
    day_first: bool | None,
) -> dict[str, tuple[str, str]]:
    """Labels in unknown words, told by what they do: an entry is earlier, and a long that gained
    was sold for more; the majority of the first trades decides."""
    votes: dict[str, Counter[tuple[str, str]]] = {}
    for first, second in zip(rows[::2], rows[1::2], strict=False):
        known = _vote(header, first, second, decimal, day_first)
        for label, meaning in known:
            votes.setdefault(label, Counter())[meaning] += 1
    return {label: count.most_common(1)[0][0] for label, count in votes.items()}


def _vote(
    header: ListHeader,
    first: Sequence[object],
    second: Sequence[object],
    decimal: str,
    day_first: bool | None,
) -> list[tuple[str, tuple[str, str]]]:
    place = header.places
    labels = [str(row[place["type"]]).strip().lower() for row in (first, second)]
    if first[0] != second[0] or all(event_of(label) for label in labels):
        return []
    try:
        times = [as_instant(r[place["time"]], day_first=day_first) for r in (first, second)]
        prices = [as_report_number(r[place["price"]], decimal=decimal) for r in (first, second)]
        pnl = as_report_number(second[place["pnl"]], decimal=decimal)
    except (ValueError, KeyError):
        return []
    if None in times or None in prices or times[0] == times[1] or not pnl:
        return []
    entry = 0 if times[0] < times[1] else 1  # type: ignore[operator]
    moved = prices[1 - entry] - prices[entry]  # type: ignore[operator]
    if moved == 0:
        return []
    side = "long" if (moved > 0) == (pnl > 0) else "short"
    return [(labels[entry], ("entry", side)), (labels[1 - entry], ("exit", side))]


def named_beside(table: TableFile) -> tuple[str | None, str | None]:
    """Symbol and timeframe, as the other sheets of a workbook name them; None where none does."""
    symbol = timeframe = None
    for sheet in sheet_names(table.path) if table.kind == "xlsx" else ():
        if sheet == table.sheet:
            continue
        for _, cells in islice(sheet_rows(table.path, sheet), _PROPERTIES):
            said = [cell.strip() for cell in cells if isinstance(cell, str)]
            market = next((m for cell in said if (m := _MARKET.fullmatch(cell))), None)
            bars = _BAR_WORDS.fullmatch(said[1]) if len(said) == 2 else None
            symbol = symbol or (market and market[1])
            timeframe = timeframe or (bars and f"{bars[1]}{bars[2][0].lower()}")
    return symbol, timeframe


def list_options(
    seen: SeenList, answers: ImportAnswers, *, zone_named: bool
) -> tuple[ImportOption, ...]:
    """Return what a list of trades lacks and nobody has said."""
    asked = []
    if answers.symbol is None:
        sentence = "the list does not name the symbol it was traded on"
        asked.append(ImportOption("symbol", "text", sentence, required=True))
    if not seen.has_offset and not seen.dates_only and not zone_named:
        sentence = "the list's times are in the time zone of its chart, which it does not name"
        asked.append(ImportOption("time_zone", "time_zone", sentence, required=True))
    if seen.asks_order and answers.date_order is None:
        asked.append(DATE_ORDER_QUESTION)
    if answers.timeframe is None:
        sentence = "the list does not name the timeframe of its chart"
        asked.append(ImportOption("timeframe", "text", sentence, suggestion=seen.timeframe))
    if answers.risk_pct is None and answers.risk_amount is None:
        sentence = (
            "the list has no stops: R is the profit by the adverse excursion, unless you name "
            "the distance of your stop in percent of the entry, or what a trade may lose"
        )
        asked.append(ImportOption("risk_pct", "number", sentence))
    if answers.strategy is None:
        asked.append(ImportOption("strategy", "text", "the list does not name its strategy"))
    return tuple(asked)


def list_family(strategy: str | None, stem: str) -> str:
    """Return the family of the patterns of a list: its strategy, else the file's name."""
    return key_part(strategy or stem, fallback="strategy")
