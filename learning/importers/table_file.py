"""A table of rows, Parquet, CSV, a sheet or JSON, read a few thousand rows at a time."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from learning.errors import ImportRefused
from learning.importers.field_values import RowRejected, as_number, decimal_sign
from learning.importers.json_stream import first_records, json_records
from learning.importers.tradingview_words import known_words
from learning.importers.workbook_file import sheet_names, sheet_rows

ROWS_PER_CHUNK: Final = 4096
MAX_COLUMNS: Final = 2000
_HEADER_WITHIN: Final = 30  # rows in which a header is looked for
_ENCODING_BYTES: Final = 2**16
_CODE_PAGES: Final = ("cp1252", "cp1251", "gb18030", "cp932", "cp949", "big5", "cp1250", "cp1254")
_JSON_SAMPLE: Final = 100
_FEWEST_CELLS: Final = 4  # of a header that stands below other lines
_DELIMITERS: Final = (",", ";", "\t", "|")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows, by column.

    ``row_numbers`` are those of the file: from 1, a CSV's header is row 1. ``broken`` are rows
    that could not be cut into cells; they are in no column.
    """

    row_numbers: Sequence[int]
    columns: Mapping[str, Sequence[object]]
    broken: Sequence[tuple[int, RowRejected]] = ()


@dataclass(frozen=True, slots=True)
class TableFile:
    """A table: its columns, and how its text is written where it is text."""

    path: Path
    kind: str  # "parquet", "csv", "xlsx" or "json"
    columns: tuple[str, ...]
    delimiter: str = ","
    encoding: str = "utf-8-sig"
    decimal: str = "."
    decimal_is_told: bool = False  # by a person, or by every cell that has one reading
    sheet: str = ""
    header_row: int = 1

    @property
    def kind_name(self) -> str:
        """Say in what the table is written."""
        return {"parquet": "Parquet", "xlsx": "a workbook", "json": "JSON"}.get(self.kind, "CSV")

    def number(self, value: object) -> float | None:
        """Return a cell as a number, by the file's decimal sign.

        Raises:
            ValueError: If it is neither empty nor a finite number in one reading.
        """
        return as_number(value, decimal=self.decimal, is_told=self.decimal_is_told)

    def chunks(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the rows of the named columns in chunks; those that it lacks are left out."""
        wanted = [name for name in dict.fromkeys(columns) if name in self.columns]
        if self.kind == "parquet":
            yield from _parquet_chunks(self.path, wanted)
        elif self.kind == "xlsx":
            yield from _sheet_chunks(self, wanted)
        elif self.kind == "json":
            yield from _json_chunks(self, wanted)
        else:
            yield from _csv_chunks(self, wanted)


def open_parquet(path: Path) -> TableFile:
    """Return a Parquet file as a table.

    Raises:
        ImportRefused: If it is damaged.
    """
    try:
        with pq.ParquetFile(path) as stored:
            columns = _checked_header(list(stored.schema_arrow.names), path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ImportRefused(f"{path.name} is a damaged Parquet file: {error}") from None
    return TableFile(path, "parquet", columns)


def open_csv(path: Path, *, decimal: str | None = None) -> TableFile:
    """Return a CSV file as a table; delimiter, encoding and decimal sign are seen from it.

    Raises:
        ImportRefused: If it has no header, repeats a column, or mixes decimal signs evenly.
    """
    encoding = _encoding(path)
    lines = list(islice(_lines(path, encoding), 101))
    row, delimiter = _header_line(lines)
    if not delimiter:
        raise ImportRefused(f"{path.name} is no table: its first line has no , ; tab or |")
    try:
        header = _cells(lines[row], delimiter)
    except csv.Error as error:
        raise ImportRefused(f"{path.name} has a header that cannot be read: {error}") from None
    columns = _checked_header([name.strip() for name in header], path)
    sample = lines[row + 1 :]
    sign, is_told = _decimal(sample, delimiter, path) if decimal is None else (decimal, True)
    return TableFile(
        path,
        "csv",
        columns,
        delimiter,
        encoding,
        sign,
        is_told,
        header_row=row + 1,
    )


def _header_line(lines: Sequence[str]) -> tuple[int, str]:
    """Place of the header and the delimiter; "" where there is none.

    Some exports begin with lines about the account. The header is then the first line with as
    many cells as most lines have, none of them a number.
    """
    written = [place for place, line in enumerate(lines) if line.strip()]
    if not written:
        return 0, ""
    first = written[0]
    delimiter = max(_DELIMITERS, key=lines[first].count)
    widths = Counter(lines[place].count(delimiter) for place in written)
    usual = max(widths, key=lambda width: (widths[width], width))
    if lines[first].count(delimiter) >= min(usual, _FEWEST_CELLS - 1) > 0:
        return first, delimiter
    for place in written[1:_HEADER_WITHIN]:
        delimiter = max(_DELIMITERS, key=lines[place].count)
        cells = lines[place].strip().split(delimiter)
        follows = [lines[at].count(delimiter) + 1 for at in written if at > place]
        is_usual = follows and max(set(follows), key=follows.count) == len(cells)
        if is_usual and len(cells) >= _FEWEST_CELLS and not any(map(_is_number, cells)):
            return place, delimiter
    return first, delimiter if lines[first].count(delimiter) else ""


def _is_number(cell: str) -> bool:
    return cell.strip('" ').replace(".", "", 1).isdecimal()


def _encoding(path: Path) -> str:
    """UTF-16 or UTF-8, as every tool writes; else the code page in which a header is understood.

    Spreadsheets save a table in the code page of their machine.
    """
    with path.open("rb") as stream:
        head = stream.read(_ENCODING_BYTES)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    line = next((line for line in head.splitlines() if line.strip()), b"")
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        best = max(_CODE_PAGES, key=lambda page: known_words(line.decode(page, "replace")))
        return best if known_words(line.decode(best, "replace")) else "utf-8-sig"
    return "utf-8-sig"


def _lines(path: Path, encoding: str) -> Iterator[str]:
    try:
        with path.open(encoding=encoding, errors="replace", newline=None) as stream:
            # bounded: a file without line ends is no table, and must not fill the memory
            while line := stream.readline(2**20):
                yield line
    except (OSError, UnicodeError) as error:
        raise ImportRefused(f"{path.name} cannot be read: {error}") from None


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader((line.rstrip("\n"),), delimiter=delimiter, strict=True), [])


def _checked_header(names: list[str], path: Path) -> tuple[str, ...]:
    while names and not names[-1]:  # a trailing delimiter
        names.pop()
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ImportRefused(f"{path.name} repeats the column {repeated[0]!r}")
    if not names or len(names) > MAX_COLUMNS:
        raise ImportRefused(f"{path.name} must have 1 to {MAX_COLUMNS} columns, has {len(names)}")
    return tuple(names)


def _decimal(lines: Sequence[str], delimiter: str, path: Path) -> tuple[str, bool]:
    """Return the decimal sign that most numbers have, and whether none has the other.

    A cell with the other costs its row only.

    Cells that can only be read one way decide; of ``1,234`` there are two readings, so such
    cells count only where there are no others and commas do not part the cells. On a tie the
    delimiter decides too: where commas part the cells, few would use them in numbers.
    """
    clear: Counter[str] = Counter()
    either: Counter[str] = Counter()
    for line in lines:
        try:
            cells = _cells(line, delimiter)
        except csv.Error:
            continue
        for cell in cells:
            sign, is_clear = decimal_sign(cell.strip())
            (clear if is_clear else either)[sign] += 1
    commas, points = (clear[","], clear["."])
    is_told = (commas > 0) != (points > 0)
    if commas == points == 0 and delimiter != ",":
        commas, points = (either[","], either["."])
    if commas == points > 0 and delimiter != ",":
        raise ImportRefused(
            f"{path.name} mixes decimal commas and points: name the sign as decimal in a mapping"
        )
    return ("," if commas > points else "."), is_told


def _csv_chunks(table: TableFile, wanted: Sequence[str]) -> Iterator[Chunk]:
    lines = enumerate(_lines(table.path, table.encoding), start=1)
    width = len(table.columns)
    for number, _ in lines:
        if number == table.header_row:
            break
    while True:
        numbers: list[int] = []
        rows: list[list[str]] = []
        broken: list[tuple[int, RowRejected]] = []
        for number, line in islice(lines, ROWS_PER_CHUNK):
            _sort_line(table.delimiter, width, number, line, (numbers, rows, broken))
        if not rows and not broken:
            rest = next(lines, None)  # a run of blank lines is not the end
            if rest is None:
                return
            _sort_line(table.delimiter, width, rest[0], rest[1], (numbers, rows, broken))
        by_column = list(zip(*rows, strict=True)) if rows else [()] * width
        places = {name: index for index, name in enumerate(table.columns)}
        yield Chunk(numbers, {name: by_column[places[name]] for name in wanted}, broken)


def _sort_line(
    delimiter: str,
    width: int,
    number: int,
    line: str,
    into: tuple[list[int], list[list[str]], list[tuple[int, RowRejected]]],
) -> None:
    if not line.strip():
        return
    numbers, rows, broken = into
    try:
        cells = _cells(line, delimiter)
    except csv.Error as error:
        broken.append((number, RowRejected("row", f"must be a line of cells ({error})", line)))
        return
    while len(cells) > width and not cells[-1].strip():
        cells.pop()
    if len(cells) != width:
        why = RowRejected("row", f"must have {width} cells like the header", len(cells))
        broken.append((number, why))
        return
    numbers.append(number)
    rows.append(cells)


def open_workbook(path: Path) -> TableFile:
    """Return the table of a workbook: the sheet whose header has the most names.

    Raises:
        ImportRefused: If it is damaged, or no sheet begins with a table.
    """
    best: TableFile | None = None
    for sheet in sheet_names(path):
        for number, cells in islice(sheet_rows(path, sheet), _HEADER_WITHIN):
            names = ["" if cell is None else str(cell).strip() for cell in cells]
            while names and not names[-1]:
                names.pop()
            is_header = len(names) > 3 and all(isinstance(c, str) for c in cells[: len(names)])
            if is_header and len(set(names)) == len(names) <= MAX_COLUMNS:
                found = TableFile(path, "xlsx", tuple(names), sheet=sheet, header_row=number)
                best = found if best is None or len(names) > len(best.columns) else best
                break
    if best is None:
        raise ImportRefused(f"{path.name} has no sheet that begins with a table of trades")
    return best


def _sheet_chunks(table: TableFile, wanted: Sequence[str]) -> Iterator[Chunk]:
    width = len(table.columns)
    places = {name: index for index, name in enumerate(table.columns)}
    rows = (
        (number, (*cells[:width], *(None,) * (width - len(cells))))
        for number, cells in sheet_rows(table.path, table.sheet)
        if number > table.header_row
    )
    while batch := list(islice(rows, ROWS_PER_CHUNK)):
        by_column = list(zip(*(cells for _, cells in batch), strict=True))
        numbers = [number for number, _ in batch]
        yield Chunk(numbers, {name: by_column[places[name]] for name in wanted})


def open_json(path: Path) -> TableFile:
    """Return a list of JSON objects as a table; the first ones name its columns.

    Raises:
        ImportRefused: If it is no JSON, or no list of plain objects.
    """
    records = [one.value for one in first_records(path, _JSON_SAMPLE)]
    columns = dict.fromkeys(
        name
        for record in records
        if isinstance(record, dict)
        for name, value in record.items()
        if not isinstance(value, dict | list)
    )
    if len(columns) < _FEWEST_CELLS - 1:
        raise ImportRefused(
            f"{path.name} is JSON, but no list of trades, fills or orders: backtests and trades of "
            "freqtrade, records of ccxt, and lists of objects with a value a column are read"
        )
    return TableFile(path, "json", _checked_header(list(columns), path))


def _json_chunks(table: TableFile, wanted: Sequence[str]) -> Iterator[Chunk]:
    records = json_records(table.path)
    while batch := list(islice(records, ROWS_PER_CHUNK)):
        rows = [one for one in batch if isinstance(one.value, dict)]
        broken = [
            (one.place, RowRejected("record", "must be an object", one.value))
            for one in batch
            if not isinstance(one.value, dict)
        ]
        columns = {name: [one.value.get(name) for one in rows] for name in wanted}
        yield Chunk([one.place for one in rows], columns, broken)


def _parquet_chunks(path: Path, wanted: Sequence[str]) -> Iterator[Chunk]:
    start = 1
    try:
        with pq.ParquetFile(path) as stored:
            for batch in stored.iter_batches(ROWS_PER_CHUNK, columns=list(wanted)):
                numbers = range(start, start + batch.num_rows)
                start += batch.num_rows
                yield Chunk(numbers, {name: _values(batch.column(name)) for name in wanted})
    except (pa.ArrowException, OSError) as error:
        raise ImportRefused(f"{path.name} is a damaged Parquet file: {error}") from None


def _values(column: Any) -> list[object]:
    """Cells of a column; a 32-bit float as the shortest decimal that it stands for."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_float32(column.type) or pa.types.is_float16(column.type):
        # 0.67 was written, 0.6700000166893005 is what a plain widening would show
        column = pc.cast(pc.cast(column, pa.string()), pa.float64())
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = pc.cast(column, pa.timestamp("us", column.type.tz), safe=False)
    values: list[object] = column.to_pylist()
    return values
