"""Numpy columns to PostgreSQL by COPY in binary form, without a Python object per row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

HEADER = b"PGCOPY\n\xff\r\n\x00" + (0).to_bytes(4, "big") * 2
TRAILER = (-1).to_bytes(2, "big", signed=True)
_ELEMENT_OIDS = {"i2": 21, "i4": 23, "i8": 20, "f4": 700, "f8": 701}
_CHUNK_BYTES = 4_000_000

Columns = Mapping[str, npt.NDArray]


def copy_columns(connection: Connection, table: str, parts: Iterable[Columns]) -> int:
    """Append rows to a table; return how many.

    A column is smallint, integer, bigint, real or double precision by its dtype; one of shape
    (n, k) becomes an array of k such values. Parts may differ in k, never in their column names.
    The time is spent by the server, not here: rows are laid out by numpy.

    Args:
        connection: In a transaction.
        table: Name of the table, one of ours, never of a user.
        parts: Equally long columns each.

    Raises:
        ValueError: If parts name different columns or a column's length or dtype does not fit.
    """
    filled = (part for part in parts if len(next(iter(part.values()))))
    first = next(filled, None)
    if first is None:
        return 0
    names = list(first)
    driver = connection.connection.driver_connection
    assert driver is not None
    total = 0
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN (FORMAT binary)") as copy,
    ):
        copy.write(HEADER)
        for part in chain([first], filled):
            if list(part) != names:
                raise ValueError(f"every part must have the columns {names}")
            layout = _layout(part)
            for chunk in _chunks(part, layout.itemsize):
                rows = rows_of(chunk, layout)
                copy.write(rows.view(np.uint8).data)
                total += len(rows)
        copy.write(TRAILER)
    return total


def _chunks(part: Columns, row_bytes: int) -> Iterator[Columns]:
    n = len(next(iter(part.values())))
    n_rows = max(1, _CHUNK_BYTES // row_bytes)
    for start in range(0, n, n_rows):
        yield {name: column[start : start + n_rows] for name, column in part.items()}


def _layout(columns: Columns) -> np.dtype[np.void]:
    """How the server reads a row: a field count, then length and value per field."""
    layout: list[tuple] = [("fields", ">i2")]
    n = len(next(iter(columns.values())))
    for name, column in columns.items():
        if len(column) != n:
            raise ValueError(f"column {name!r} must have {n} rows, got {len(column)}")
        layout += [(f"{name} length", ">i4"), *_value_layout(name, column)]
    return np.dtype(layout)


def _value_layout(name: str, column: npt.NDArray) -> list[tuple]:
    kind = column.dtype.str[1:]
    if kind not in _ELEMENT_OIDS:
        raise ValueError(f"column {name!r} must be int16/32/64 or float32/64, got {column.dtype}")
    if column.ndim == 2:
        element = [("length", ">i4"), ("value", f">{kind}")]
        return [(f"{name} head", ">i4", (5,)), (name, element, (column.shape[1],))]
    return [(name, f">{kind}")]


def rows_of(columns: Columns, layout: np.dtype[np.void] | None = None) -> npt.NDArray[np.void]:
    """Lay equally long columns out as the server reads rows; see ``copy_columns``."""
    n = len(next(iter(columns.values())))
    rows = np.empty(n, dtype=_layout(columns) if layout is None else layout)
    rows["fields"] = len(columns)
    for name, column in columns.items():
        _fill(rows, name, column)
    return rows


def _fill(rows: npt.NDArray, name: str, column: npt.NDArray) -> None:
    size = column.dtype.itemsize
    if column.ndim == 1:
        rows[f"{name} length"] = size
        rows[name] = column
        return
    k = column.shape[1]
    oid = _ELEMENT_OIDS[column.dtype.str[1:]]
    rows[f"{name} length"] = 20 + (4 + size) * k
    rows[f"{name} head"] = (1, 0, oid, k, 1)  # dimensions, no nulls, type, size, base
    rows[name]["length"] = size
    rows[name]["value"] = column
