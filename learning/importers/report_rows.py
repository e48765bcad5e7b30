"""The rows of a report made for people: HTML, a workbook or CSV."""

from __future__ import annotations

import codecs
import csv
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from learning.errors import ImportRefused
from learning.importers.source_file import FileKind
from learning.importers.workbook_file import sheet_names, sheet_rows

_CHUNK: Final = 2**18
_LONGEST_ROW: Final = 2**17
_HEADER_CUTS: Final = 8  # of a header or a row of data; lines above them may have other commas
# of HTML, and of the XML that spreadsheets of 2003 read
_ROW_END: Final = re.compile(r"</(?:tr|(?:ss:)?row)\s*>", re.IGNORECASE)
_ROW_START: Final = re.compile(r"<(?:tr|(?:ss:)?row)\b", re.IGNORECASE)
_CELL_START: Final = re.compile(r"<(?:t[dh]|(?:ss:)?cell)\b", re.IGNORECASE)
_PLACE: Final = re.compile(r"""\bss:index\s*=\s*["']?(\d{1,3})\b""", re.IGNORECASE)
_TAG: Final = re.compile(r"<[^>]*>")
_TITLE: Final = re.compile(r"""\btitle\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_HIDDEN: Final = re.compile(r"""\bclass\s*=\s*["']?[^"'>]*\bhidden\b""", re.IGNORECASE)
_CHARSET: Final = re.compile(rb"charset\s*=\s*[\"']?([A-Za-z0-9_-]{3,20})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One row. ``title`` is what a cell says when pointed at, ``hidden`` what is not shown."""

    number: int
    cells: tuple[str, ...]
    title: str = ""
    hidden: str = ""


def report_rows(path: Path, kind: FileKind) -> Iterator[ReportRow]:
    """Yield the rows of a report that have any text.

    Raises:
        ImportRefused: If it cannot be read.
    """
    if kind == "xlsx":
        yield from _sheet_rows(path)
    elif kind == "markup":
        yield from _markup_rows(path)
    else:
        yield from _text_rows(path)


def _sheet_rows(path: Path) -> Iterator[ReportRow]:
    for sheet in sheet_names(path)[:1]:
        for number, cells in sheet_rows(path, sheet):
            yield ReportRow(number, tuple(_cell_text(cell) for cell in cells))


def _cell_text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.strftime("%Y.%m.%d %H:%M:%S")
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))
    return str(cell).strip()


def _markup_rows(path: Path) -> Iterator[ReportRow]:
    """Rows of HTML, cut out one by one: a machine writes these, so tags are regular."""
    number = 0
    for before in _row_texts(path):
        number += 1
        starts = [found.start() for found in _ROW_START.finditer(before)]
        text = before[starts[-1] :] if starts else before
        if len(text) > _LONGEST_ROW:
            yield ReportRow(number, ("a row longer than 128 kB",))
            continue
        row = _markup_row(number, text)
        if row.hidden or any(row.cells):
            yield row


def _row_texts(path: Path) -> Iterator[str]:
    buffer = ""
    for text in _decoded(path):
        buffer += text
        at = 0
        for end in _ROW_END.finditer(buffer):
            yield buffer[at : end.start()]
            at = end.end()
        buffer = buffer[at:]
        if len(buffer) > 4 * _LONGEST_ROW:  # no row in sight: styles, scripts, noise
            buffer = buffer[-_LONGEST_ROW:]


def _markup_row(number: int, text: str) -> ReportRow:
    cells: list[str] = []
    title, hidden = "", ""
    for piece in _CELL_START.split(text)[1:]:
        attributes, _, content = piece.partition(">")
        placed = _PLACE.search(attributes)
        if placed is not None:
            cells.extend([""] * (int(placed[1]) - 1 - len(cells)))
        said = " ".join(html.unescape(_TAG.sub(" ", content)).split())
        named = _TITLE.search(attributes)
        title = title or (html.unescape(named[1] or named[2] or "") if named else "")
        if _HIDDEN.search(attributes):
            hidden = hidden or said
        else:
            cells.append(said)
    return ReportRow(number, tuple(cells), title.strip(), hidden)


def _decoded(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as stream:
            head = stream.read(_CHUNK)
            decoder = codecs.getincrementaldecoder(_encoding(head))("replace")
            while head:
                yield decoder.decode(head)
                head = stream.read(_CHUNK)
            yield decoder.decode(b"", final=True)
    except OSError as error:
        raise ImportRefused(f"{path} cannot be read: {error}") from None


def _encoding(head: bytes) -> str:
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    named = _CHARSET.search(head[:4096])
    try:
        found = codecs.lookup(named[1].decode("ascii")).name if named else "utf-8-sig"
        "".encode(found)
    except (LookupError, ValueError):
        return "utf-8-sig"
    # a page that could be read says so in one-byte signs: its claim of UTF-16 is wrong
    return "utf-8-sig" if found.startswith(("utf-16", "utf-8")) else found


def _text_rows(path: Path) -> Iterator[ReportRow]:
    known = ""
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        delimiter = known or _delimiter(line)
        if line.count(delimiter) >= _HEADER_CUTS:
            known = delimiter
        try:
            cells = next(csv.reader((line,), delimiter=delimiter), [])
        except csv.Error:
            cells = [line[:200]]
        yield ReportRow(number, tuple(cell.strip() for cell in cells))


def _delimiter(line: str) -> str:
    """What parts most cells of a line; an account's ``(EUR, Server, real, Hedge)`` is one cell."""
    return max(("\t", ";", ","), key=line.count)


def _lines(path: Path) -> Iterator[str]:
    buffer = ""
    for text in _decoded(path):
        *lines, buffer = (buffer + text).split("\n")
        yield from (line.rstrip("\r") for line in lines)
        if len(buffer) > _LONGEST_ROW:
            yield buffer[:200]
            buffer = ""
    yield buffer
