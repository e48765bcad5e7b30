import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from learning.store.binary_copy import copy_columns


@pytest.fixture
def table(connection: Connection) -> str:
    connection.execute(
        sa.text(
            "CREATE TEMP TABLE copied (a integer, m smallint, codes smallint[], "
            "x double precision, y real, b bigint)"
        )
    )
    return "copied"


def columns(n: int, k: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(n + k)
    return {
        "a": rng.integers(-(2**31), 2**31 - 1, n).astype(np.int32),
        "m": rng.integers(-(2**15), 2**15 - 1, n).astype(np.int16),
        "codes": rng.integers(-5, 300, (n, k)).astype(np.int16),
        "x": rng.normal(size=n) * 10.0 ** rng.integers(-300, 300, n),
        "y": rng.normal(size=n).astype(np.float32),
        "b": rng.integers(-(2**63), 2**63 - 1, n),
    }


def test_every_value_arrives_as_it_was(connection: Connection, table: str) -> None:
    parts = [columns(300, 1), columns(200, 4), columns(0, 2)]
    assert copy_columns(connection, table, parts) == 500
    rows = connection.execute(sa.text("SELECT a, m, codes, x, y, b FROM copied")).all()
    sent = [
        (int(p["a"][i]), int(p["m"][i]), p["codes"][i].tolist(), float(p["x"][i]),
         float(p["y"][i]), int(p["b"][i]))
        for p in parts
        for i in range(len(p["a"]))
    ]  # fmt: skip
    assert [tuple(row)[:3] for row in rows] == [one[:3] for one in sent]
    assert [row.x for row in rows] == [one[3] for one in sent]
    assert [np.float32(row.y) for row in rows] == [np.float32(one[4]) for one in sent]
    assert [row.b for row in rows] == [one[5] for one in sent]


def test_arrays_of_every_kind_arrive_as_they_were(connection: Connection) -> None:
    connection.execute(
        sa.text(
            "CREATE TEMP TABLE arrays (i integer[], b bigint[], x double precision[], y real[])"
        )
    )
    i = np.array([[1, -2], [3, 2**31 - 1]], np.int32)
    part = {"i": i, "b": i.astype(np.int64) * 10**9, "x": i / 3, "y": (i / 4).astype(np.float32)}
    copy_columns(connection, "arrays", [part])
    rows = [tuple(row) for row in connection.execute(sa.text("SELECT i, b, x, y FROM arrays"))]
    assert rows[0] == ([1, -2], [10**9, -2 * 10**9], [1 / 3, -2 / 3], [0.25, -0.5])
    assert rows[1][:3] == tuple(part[name][1].tolist() for name in ("i", "b", "x"))


def test_more_rows_than_a_chunk_arrive_once(connection: Connection, table: str) -> None:
    n = 900_001  # of 10 bytes each
    part = {"a": np.arange(n, dtype=np.int32)}
    assert copy_columns(connection, table, [part]) == n
    counted = connection.execute(sa.text("SELECT count(*), count(DISTINCT a) FROM copied")).one()
    assert tuple(counted) == (n, n)


def test_a_column_of_another_kind_is_refused(connection: Connection, table: str) -> None:
    with pytest.raises(ValueError, match=r"column 'a' must be int16/32/64 or float32/64, got bool"):
        copy_columns(connection, table, [{"a": np.array([True])}])


def test_columns_of_different_lengths_are_refused(connection: Connection, table: str) -> None:
    part = {"a": np.zeros(3, np.int32), "m": np.zeros(2, np.int16)}
    with pytest.raises(ValueError, match="column 'm' must have 3 rows, got 2"):
        copy_columns(connection, table, [part])


def test_parts_with_other_columns_are_refused(connection: Connection, table: str) -> None:
    parts = [{"a": np.zeros(1, np.int32)}, {"m": np.zeros(1, np.int16)}]
    with pytest.raises(ValueError, match="every part must have the columns"):
        copy_columns(connection, table, parts)
