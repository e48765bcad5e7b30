"""Workbooks (.xlsx): their rows, read one after the other.

Before a workbook is opened its parts are unpacked once and counted, so that an archive that
grows beyond all bounds is refused while it does; XML that declares entities is refused too.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from defusedxml.common import DefusedXmlException

from learning.errors import ImportRefused

MAX_SHEET_BYTES: Final = 2**30  # unpacked; sheets are streamed
MAX_PART_BYTES: Final = 2**27  # unpacked; whatever else is held in memory
MAX_PARTS: Final = 500
_BLOCK: Final = 2**20


def is_workbook(path: Path) -> bool:
    """Say whether a zip is a workbook."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def sheet_names(path: Path) -> tuple[str, ...]:
    """Return the names of the sheets, in their order.

    Raises:
        ImportRefused: If it is damaged, or grows beyond the limit.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise ImportRefused(f"{path} cannot be read: {error}") from None
    return _sheet_names(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _sheet_names(path: Path, _changed_ns: int, _size: int) -> tuple[str, ...]:
    """The sheets of a workbook as it stands; every pass over one asks for them."""
    _check_size(path)
    with _opened(path) as book:
        return tuple(book.sheetnames)


def sheet_rows(path: Path, sheet: str) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield number and cells of each row of a sheet; blank rows are left out.

    Raises:
        ImportRefused: If it is damaged.
    """
    with _opened(path) as book:
        for number, cells in enumerate(book[sheet].iter_rows(values_only=True), start=1):
            if any(cell is not None and cell != "" for cell in cells):
                yield number, cells


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import openpyxl  # takes half a second, and few imports are workbooks

    book = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions, which say nothing here
            book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
            yield book
    except ImportRefused:
        raise
    except DefusedXmlException:
        raise ImportRefused(f"{path.name} declares XML entities, which are never read") from None
    except Exception as error:  # damaged parts fail in many ways: one sentence for all
        raise ImportRefused(f"{path.name} is a damaged workbook: {error!r:.120}") from None
    finally:
        if book is not None:
            book.close()


def _check_size(path: Path) -> None:
    """Unpack every part once, keep nothing, and stop where it becomes too much."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            if len(parts) > MAX_PARTS:
                raise ImportRefused(f"{path.name} has more than {MAX_PARTS} parts")
            left = MAX_SHEET_BYTES
            for part in parts:
                is_sheet = part.filename.startswith("xl/worksheets/")
                left -= _size(
                    archive, part, min(left, MAX_SHEET_BYTES if is_sheet else MAX_PART_BYTES)
                )
    except _TooLarge:
        raise ImportRefused(f"{path.name} unpacks to more than a workbook of trades can") from None
    except ImportRefused:
        raise
    except Exception as error:  # BadZipFile, zlib.error, NotImplementedError, encrypted parts
        raise ImportRefused(f"{path.name} is a damaged zip: {error!s:.120}") from None


class _TooLarge(Exception):
    pass


def _size(archive: zipfile.ZipFile, part: zipfile.ZipInfo, limit: int) -> int:
    size = 0
    with archive.open(part) as stream:
        while block := stream.read(_BLOCK):
            size += len(block)
            if size > limit:
                raise _TooLarge
    return size
