"""Numpy columns to PostgreSQL by COPY in binary form, without a Python object per row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

_HEADER = b"PGCOPY\n\xff\r\n\x00" + (0).to_bytes(4, "big") * 2
_TRAILER = (-1).to_bytes(2, "big", signed=True)
_SMALLINT_OID = 21
_CHUNK_ROWS = 65_536

Columns = Mapping[str, npt.NDArray]


def copy_columns(connection: Connection, table: str, parts: Sequence[Columns]) -> int:
    """Append rows to a table; return how many.

    A column is smallint, integer, bigint, real or double precision by its dtype; one of shape
    (n, k) becomes smallint[] of length k. Parts may differ in k, never in their column names.
    The time is spent by the server, not here: rows are laid out by numpy.

    Args:
        connection: In a transaction.
        table: Name of the table, one of ours, never of a user.
        parts: Equally long columns each.

    Raises:
        ValueError: If parts name different columns or a column's length or dtype does not fit.
    """
    filled = [part for part in parts if len(next(iter(part.values())))]
    if not filled:
        return 0
    names = list(filled[0])
    if any(list(part) != names for part in filled):
        raise ValueError(f"every part must have the columns {names}")
    driver = connection.connection.driver_connection
    assert driver is not None
    total = 0
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN (FORMAT binary)") as copy,
    ):
        copy.write(_HEADER)
        for part in filled:
            for chunk in _chunks(part):
                rows = _rows(chunk)
                copy.write(rows.tobytes())
                total += len(rows)
        copy.write(_TRAILER)
    return total


def _chunks(part: Columns) -> Iterator[Columns]:
    n = len(next(iter(part.values())))
    for start in range(0, n, _CHUNK_ROWS):
        yield {name: column[start : start + _CHUNK_ROWS] for name, column in part.items()}


def _rows(columns: Columns) -> npt.NDArray:
    """Lay out rows as the server reads them: a field count, then length and value per field."""
    n = len(next(iter(columns.values())))
    layout: list[tuple] = [("fields", ">i2")]
    for name, column in columns.items():
        layout += [(f"{name} length", ">i4"), *_value_layout(name, column)]
    rows = np.zeros(n, dtype=layout)
    rows["fields"] = len(columns)
    for name, column in columns.items():
        _fill(rows, name, column)
    return rows


def _value_layout(name: str, column: npt.NDArray) -> list[tuple]:
    if column.ndim == 2:
        element = [("length", ">i4"), ("value", ">i2")]
        return [(f"{name} head", ">i4", (5,)), (name, element, (column.shape[1],))]
    if column.dtype.str[1:] not in ("i2", "i4", "i8", "f4", "f8"):
        raise ValueError(f"column {name!r} must be int16/32/64 or float32/64, got {column.dtype}")
    return [(name, f">{column.dtype.str[1:]}")]


def _fill(rows: npt.NDArray, name: str, column: npt.NDArray) -> None:
    if len(column) != len(rows):
        raise ValueError(f"column {name!r} must have {len(rows)} rows, got {len(column)}")
    if column.ndim == 2:
        k = column.shape[1]
        rows[f"{name} length"] = 20 + 6 * k
        rows[f"{name} head"] = (1, 0, _SMALLINT_OID, k, 1)  # dimensions, no nulls, type, size, base
        rows[name]["length"] = 2
        rows[name]["value"] = column
        return
    rows[f"{name} length"] = column.dtype.itemsize
    rows[name] = column
