"""Executions of Interactive Brokers: Flex queries as XML or CSV, and activity statements.

The user of a Flex query picks its columns and their order, so all are read by name. Of one trade
there may be rows of several levels of detail; only executions count, orders where there are none.
Account numbers are not kept.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal
from xml.parsers import expat
from zoneinfo import ZoneInfo

from learning.errors import ImportRefused
from learning.importers.field_values import RowRejected, as_instant, as_name, as_report_number
from learning.importers.fill_reader import LEAST_QUANTITY, FillReader
from learning.importers.import_report import ReportTally
from learning.importers.opened_file import RISK_QUESTION, ImportSettings, Opened, SourceFile
from learning.importers.report_rows import report_rows
from learning.importers.round_trips import EPOCH, Fill

Shape = Literal["xml", "flex", "statement"]
NEW_YORK: Final = ZoneInfo("America/New_York")
SUMMARY: Final = "a row of another level of detail"
_LARGEST_CONTRACT: Final = 1e9  # units; beyond it the quantity or the price is mistyped
_MICROSECOND: Final = timedelta(microseconds=1)
_CHUNK: Final = 2**18
_LONGEST_TAG: Final = 2**18
_PLAIN: Final = re.compile(r"[^a-z0-9]+")
_FLEX_NAMES: Final = frozenset(
    {
        "clientaccountid", "accountalias", "currencyprimary", "assetclass", "fxratetobase", "conid",
        "tradeid", "orderreference", "transactiontype", "trademoney", "ibcommission", "tradeprice",
        "ibcommissioncurrency", "netcash", "closeprice", "opencloseindicator", "notescodes",
        "costbasis", "fifopnlrealized", "mtmpnl", "buysell", "iborderid", "ibexecid",
        "levelofdetail", "datetime",
    }
)  # fmt: skip
# our name → what it is called in Flex CSV, Flex XML and activity statements
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "account": ("clientaccountid", "accountid", "account"),
    "symbol": ("symbol",),
    "conid": ("conid",),
    "time": ("datetime", "datetimeutc"),
    "date": ("tradedate", "date"),
    "clock": ("tradetime", "time"),
    "quantity": ("quantity",),
    "price": ("tradeprice", "tprice", "price"),
    "side": ("buysell",),
    "commission": ("ibcommission", "commfee", "commission", "comminusd", "commineur"),
    "taxes": ("taxes",),
    "commission_currency": ("ibcommissioncurrency",),
    "currency": ("currencyprimary", "currency"),
    "multiplier": ("multiplier",),
    "opens": ("opencloseindicator", "openclose"),
    "code": ("notescodes", "notes", "code"),
    "ref": ("ibexecid", "tradeid", "transactionid"),
    "order": ("iborderid", "orderid"),
    "tag": ("orderreference", "orderref"),
    "level": ("levelofdetail", "datadiscriminator"),
    "proceeds": ("proceeds", "trademoney"),
    "asset": ("assetclass", "assetcategory"),
    "exchange": ("exchange", "listingexchange"),
}
_STATEMENT: Final = (
    "datadiscriminator", "assetcategory", "currency", "symbol", "datetime", "quantity", "tprice",
    "cprice", "proceeds", "commfee", "basis", "realizedpl", "mtmpl", "code",
)  # fmt: skip
_MONTHS: Final = {
    name: month
    for month, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_WHEN: Final = re.compile(
    r"(?P<date>\d{8}|\d{4}-\d{2}-\d{2}|\d{1,2}/\d{1,2}/\d{2,4}|\d{1,2}-[A-Za-z]{3}-\d{2,4})"
    r"(?:[;,T\s]+(?P<hour>\d{2}):?(?P<minute>\d{2})(?::?(?P<second>\d{2}))?)?"
    r"(?:\s*(?P<zone>[A-Z]{3,4}))?"
)
_ZONES: Final = {
    "EST": "-05:00", "EDT": "-04:00", "UTC": "+00:00", "GMT": "+00:00", "CST": "-06:00",
    "CDT": "-05:00", "PST": "-08:00", "PDT": "-07:00",
}  # fmt: skip
Record = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class IbkrExecutions:
    """The executions of a report; ``level`` is the level of detail that counts."""

    path: Path
    shape: Shape
    zone: tzinfo
    level: str | None
    day_first: bool | None
    format: str = "ibkr"

    @property
    def description(self) -> str:
        """Say what the file is."""
        names = {"xml": "Flex query (XML)", "flex": "Flex query (CSV)"}
        return (
            f"Interactive Brokers {names.get(self.shape, 'activity statement')}: {self.path.name}"
        )

    def fills(self, tally: ReportTally) -> Iterator[Fill]:
        """Yield the executions in the order of the file; count the rows in the tally."""
        accounts: dict[str, int] = {}
        for row, record in _records(self.path, self.shape):
            tally.rows_found += 1
            level = record.get("level", "").upper()
            if self.level is not None and level != self.level:
                tally.skip(SUMMARY)
                continue
            try:
                yield self._fill(row, record, accounts)
            except RowRejected as why:
                tally.reject(self.path.name, "fill", row, why)

    def _fill(self, row: int, record: Record, accounts: dict[str, int]) -> Fill:
        symbol = _text(record, "symbol")
        quantity, price = _number(record, "quantity"), _number(record, "price")
        if symbol is None:
            raise RowRejected("symbol", "must be given", None)
        if quantity is None or not LEAST_QUANTITY <= abs(quantity) <= 1e15:
            raise RowRejected("quantity", "must be a number other than 0", quantity)
        if price is None or not 0 <= price <= 1e15 or (price == 0 and not _lapsed(record)):
            raise RowRejected("price", "must be above 0", price)
        side = record.get("side", "").upper()
        if side.startswith(("BUY", "SELL")):  # signed already; some queries leave the sign out
            quantity = abs(quantity) * (1 if side.startswith("BUY") else -1)
        account = accounts.setdefault(record.get("account", ""), len(accounts) + 1)
        at = self._moment(record)
        return Fill(
            key=f"{account}/{_text(record, 'conid') or symbol}",
            symbol=symbol,
            at_us=(at - EPOCH) // _MICROSECOND,
            quantity=quantity,
            price=price,
            row=row,
            fee=_costs(record),
            opens=_opens(record),
            order=_text(record, "order"),
            ref=_text(record, "ref"),
            tag=_text(record, "tag"),
            multiplier=_multiplier(record, quantity, price),
            currency=_text(record, "currency"),
        )

    def _moment(self, record: Record) -> datetime:
        said = record.get("time") or " ".join((record.get("date", ""), record.get("clock", "")))
        found = _WHEN.fullmatch(said.strip())
        if found is None:
            raise RowRejected("date/time", "must be a time such as 20240105;103102", said)
        try:
            year, month, day = _day(found["date"], day_first=self.day_first)
            hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
            naive = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001
            offset = _ZONES.get(found["zone"] or "")
            named = datetime.fromisoformat(naive.isoformat() + (offset or ""))
            at = as_instant(named, zone=self.zone)
            assert at is not None
            return at
        except ValueError as error:
            raise RowRejected("date/time", f"must be a time ({error})", said) from None


def _day(text: str, *, day_first: bool | None) -> tuple[int, int, int]:
    """Year, month and day of a date in any of the forms that a query offers."""
    if text.isdecimal():
        return int(text[:4]), int(text[4:6]), int(text[6:])
    if text[4:5] == "-":
        year, month, day = text.split("-")
        return int(year), int(month), int(day)
    if "-" in text:
        day, name, year = text.split("-")
        return _full_year(year), _MONTHS.get(name.lower(), 0), int(day)
    first, second, full = (int(part) for part in text.split("/"))
    if day_first is None and first <= 12 and second <= 12 and first != second:
        raise ValueError("day and month cannot be told apart: choose yyyyMMdd in the query")
    by_day = bool(day_first) if day_first is not None else first > 12
    return _full_year(str(full)), second if by_day else first, first if by_day else second


def _full_year(text: str) -> int:
    return int(text) + 2000 if len(text) <= 2 else int(text)


def _text(record: Record, name: str) -> str | None:
    value = record.get(name)
    try:
        return as_name(value)
    except ValueError as error:
        raise RowRejected(name, str(error), value) from None


def _number(record: Record, name: str) -> float | None:
    value = record.get(name)
    try:
        return as_report_number(value)
    except ValueError as error:
        raise RowRejected(name, str(error), value) from None


def _costs(record: Record) -> float | None:
    """Commission and taxes, a cost above 0; None where absent or in another currency."""
    commission, taxes = _number(record, "commission"), _number(record, "taxes")
    if commission is None:
        return None
    own, paid = record.get("currency"), record.get("commission_currency")
    if commission and own and paid and own != paid:
        return None
    return 0.0 - commission - (taxes or 0.0)


def _opens(record: Record) -> bool | None:
    marks = {part.strip().upper() for part in re.split(r"[;,/ ]", record.get("opens", ""))}
    if not marks & {"O", "C"}:
        marks = {part.strip().upper() for part in re.split(r"[;, ]", record.get("code", ""))}
    if marks >= {"O", "C"} or not marks & {"O", "C"}:
        return None
    return "O" in marks


def _lapsed(record: Record) -> bool:
    """Whether an option expired, or was exercised or assigned: what it closes at costs nothing."""
    marks = {part.strip() for part in re.split(r"[;, ]", record.get("code", ""))}
    return bool(marks & {"Ep", "Ex", "A"}) and _opens(record) is not True


def _multiplier(record: Record, quantity: float, price: float) -> float:
    """Units a contract: as given, else what the proceeds say of contracts."""
    given = _number(record, "multiplier")
    if given is not None and given > 0:
        return given
    proceeds = _number(record, "proceeds")
    size = abs(proceeds) / (abs(quantity) * price) if proceeds and price else 1.0
    whole = round(size) if size <= _LARGEST_CONTRACT else 1
    return float(whole) if whole >= 2 and abs(size - whole) < 0.01 * whole else 1.0


def _named(names: Iterator[str] | list[str]) -> list[str]:
    return [_PLAIN.sub("", name.lower()) for name in names]


def _canonical(cells: Mapping[str, str]) -> dict[str, str]:
    """A row under our names."""
    return {
        ours: value
        for ours, called in _NAMES.items()
        if (value := next((cells[name] for name in called if cells.get(name)), "")) != ""
    }


def _records(path: Path, shape: Shape) -> Iterator[tuple[int, dict[str, str]]]:
    if shape == "xml":
        yield from _xml_records(path)
    elif shape == "flex":
        yield from _flex_records(path)
    else:
        yield from _statement_records(path)


def _flex_records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of trades of a Flex CSV: a header, which each account may repeat."""
    header: list[str] = []
    for row in report_rows(path, "text"):
        cells = list(row.cells)
        if cells and cells[0] in ("HEADER", "DATA"):  # section codes: code, section, cells
            cells = cells[2:]
        elif cells and cells[0] in ("BOF", "BOA", "BOS", "EOS", "EOA", "EOF"):
            continue
        names = _named(cells)
        if len(_FLEX_NAMES.intersection(names)) >= 3:
            header = names if _is_trades(names) else []
        elif header:
            yield row.number, _canonical(dict(zip(header, cells, strict=False)))


def _is_trades(names: list[str]) -> bool:
    return "quantity" in names and bool({"tradeprice", "price", "tprice"} & set(names))


def _statement_records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of the section Trades of an activity statement, in any language.

    Its header alone names a data discriminator, in English everywhere; where the other names are
    in another language, their places tell.
    """
    section, header = "Trades", list[str]()
    for row in report_rows(path, "text"):
        cells = row.cells
        if len(cells) < 3:
            continue
        if cells[1] == "Header" and (cells[0] == "Trades" or "DataDiscriminator" in cells):
            section, header = cells[0], _statement_names(list(cells[2:]))
        elif cells[1] == "Data" and cells[0] == section and header:
            yield row.number, _canonical(dict(zip(header, cells[2:], strict=False)))


def _statement_names(cells: list[str]) -> list[str]:
    names = _named(cells)
    is_known = "quantity" in names or len(names) not in (len(_STATEMENT) - 1, len(_STATEMENT))
    if is_known:
        return names
    # the profit marked to market, last but one, is left out of some statements
    return [*_STATEMENT[: len(names) - 1], "code"]


def _xml_records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The attributes of each trade of a Flex XML, as the file is read.

    Raises:
        ImportRefused: If it is no XML, or declares entities.
    """
    found: list[dict[str, str]] = []
    parser = expat.ParserCreate()

    def start(name: str, attributes: dict[str, str]) -> None:
        if name in ("Trade", "Order", "Lot", "SymbolSummary", "AssetSummary"):
            record = _canonical({_PLAIN.sub("", k.lower()): v for k, v in attributes.items()})
            found.append(record | ({} if record.get("level") else {"level": _LEVELS[name]}))

    def refuse(*_: Any) -> None:
        raise ImportRefused(f"{path.name} declares XML entities, which are never read")

    parser.StartElementHandler = start
    parser.EntityDeclHandler = refuse
    parser.StartDoctypeDeclHandler = refuse
    row = 0
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                parser.Parse(chunk, False)
                _refuse_long_tag(parser, stream.tell(), path)
                for record in found:
                    row += 1
                    yield row, record
                found.clear()
            parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise ImportRefused(f"{path.name} is no valid XML: {error}") from None
    except OSError as error:
        raise ImportRefused(f"{path} cannot be read: {error}") from None
    yield from enumerate(found, start=row + 1)


_LEVELS: Final = {
    "Trade": "EXECUTION", "Order": "ORDER", "Lot": "CLOSED_LOT", "SymbolSummary": "SYMBOL_SUMMARY",
    "AssetSummary": "ASSET_SUMMARY",
}  # fmt: skip


def _refuse_long_tag(parser: Any, read: int, path: Path) -> None:
    if read - parser.CurrentByteIndex > _LONGEST_TAG + _CHUNK:
        raise ImportRefused(f"{path.name} has an XML tag of more than 256 kB")


def _shape(file: SourceFile) -> Shape | None:
    """What kind of report a file is, by its first part; None where it is another's."""
    with file.path.open("rb") as stream:
        head = stream.read(4096)
    if file.kind == "markup":
        return "xml" if b"<FlexQueryResponse" in head or b"<FlexStatement" in head else None
    for row in islice(report_rows(file.path, "text"), 400):
        if row.cells[1:2] == ("Header",) and len(row.cells) > 2:
            return "statement"
        names = _named(list(row.cells))
        if len(_FLEX_NAMES.intersection(names)) >= 3 and _is_trades(names):
            return "flex"
        if row.number > 5 and len(row.cells) < 3:
            break
    return None


def open_ibkr(file: SourceFile, settings: ImportSettings) -> Opened | None:
    """Open a report of Interactive Brokers; None where a file is none."""
    if file.kind not in ("markup", "text"):
        return None
    shape = _shape(file)
    if shape is None:
        return None
    try:
        sample = [record for _, record in islice(_records(file.path, shape), 5000)]
    except csv.Error as error:
        raise ImportRefused(f"{file.path.name} cannot be read: {error}") from None
    if not sample:
        raise ImportRefused(f"{file.path.name} is a report of Interactive Brokers without trades")
    zone = settings.zone if settings.zone_named else NEW_YORK
    source = IbkrExecutions(file.path, shape, zone, _level(sample), _day_first(sample))
    answers = settings.answers
    terms = settings.terms(origin="live", family=answers.strategy or "ibkr")
    told = ["setups are the references of its orders"]
    if not settings.zone_named:
        told.append("its times are read as New York's (--time-zone changes it)")
    options = (RISK_QUESTION,) if answers.risk_pct is None and answers.risk_amount is None else ()
    return Opened(FillReader(source, terms), options, tuple(told))


def _level(sample: list[dict[str, str]]) -> str | None:
    """The level of detail that counts: executions, else trades, else orders."""
    levels = {record.get("level", "").upper() for record in sample}
    return next((level for level in ("EXECUTION", "TRADE", "ORDER") if level in levels), None)


def _day_first(sample: list[dict[str, str]]) -> bool | None:
    """Whether dates with slashes start with the day; None where no date tells."""
    for record in sample:
        said = record.get("time") or record.get("date") or ""
        found = re.match(r"(\d{1,2})/(\d{1,2})/", said)
        if found is not None and int(found[1]) > 12:
            return True
        if found is not None and int(found[2]) > 12:
            return False
    return None
