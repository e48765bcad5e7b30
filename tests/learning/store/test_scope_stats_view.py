from __future__ import annotations

import json

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine

from learning.domain.scope import Scope, canonical_scope, scope_hash
from learning.store.binary_copy import copy_columns
from learning.store.schema import scope_groups, scope_levels, scope_stat_cells

ODD_SCOPES: tuple[Scope, ...] = (
    {},
    {"bucket": "micro"},
    {"bucket_rank_position": 2, "A_mode": "normal", "a": 0, "B": -7},
    {"b": 'quote " backslash \\ slash /'},
    {"b": "tab\tnewline\nbell\x07delete\x7f"},
    {"b": "ünïcödé – 币 🚀"},
    {"b": "\u2028\u00a0\ufeff"},
    {"b": "1", "c": 1},
    {"long": "x" * 64, "n": 2**53 - 1, "m": -(2**53) + 1},
    {"ab": 1, "b": 2, "aa": 3, "AB": 4, "a_b": 5, "a1": 6},
)


def hashed_by_the_database(connection: Connection, scope: Scope) -> tuple[str, str]:
    row = connection.execute(
        sa.text("SELECT canonical_scope(j), scope_hash(j) FROM (SELECT CAST(:j AS jsonb) AS j)"),
        {"j": json.dumps(scope)},
    ).one()
    return row[0], row[1]


@pytest.mark.parametrize("scope", ODD_SCOPES, ids=range(len(ODD_SCOPES)))
def test_database_and_python_hash_a_scope_alike(connection: Connection, scope: Scope) -> None:
    assert hashed_by_the_database(connection, scope) == (canonical_scope(scope), scope_hash(scope))


_NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,20}", fullmatch=True)
_TEXT = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"), max_size=64
)
_VALUES = st.one_of(st.integers(-(2**53) + 1, 2**53 - 1), _TEXT)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scope=st.dictionaries(_NAMES, _VALUES, max_size=6))
def test_any_scope_is_hashed_alike(engine: Engine, scope: dict[str, str | int]) -> None:
    with engine.connect() as connection:
        found = hashed_by_the_database(connection, scope)
    assert found == (canonical_scope(scope), scope_hash(scope))


def store_group(connection: Connection, pattern: str = "pm.uptrend.S1.buy_flag") -> int:
    return connection.execute(
        sa.insert(scope_groups)
        .values(
            module="pm", pattern_key=pattern, action_category="entry", n=40, avg_rr=0.5,
            variance=1.5, fingerprint=b"",
        )
        .returning(scope_groups.c.id)
    ).scalar_one()  # fmt: skip


def store_levels(connection: Connection) -> None:
    levels = [
        ("pm", 0, 0, "macro_phase", "Dip"), ("pm", 0, 1, "macro_phase", "Good"),
        ("pm", 4, 0, "bucket_rank_position", 1), ("pm", 4, 7, "bucket_rank_position", 3),
        ("pm", 14, 2, "last", "ünïcödé"), ("dm", 0, 0, "curator_tier", "top"),
    ]  # fmt: skip
    names = ("module", "dimension", "code", "name", "value")
    connection.execute(
        sa.insert(scope_levels), [dict(zip(names, row, strict=True)) for row in levels]
    )


def cell(group_id: int, mask: int, codes: list[int], **changes: object) -> dict[str, object]:
    return {
        "group_id": group_id, "scope_mask": mask, "scope_codes": codes, "n": 8, "sum_rr": 6.0,
        "sum_rr_sq": 9.0, "variance": 0.25, "rr_baseline": 0.5, "edge_raw": 0.125,
        "time_efficiency": None, "field_coherence": 0.75, "recurrence_score": 0.5,
        "segments_tested": 4, "segments_positive": 3, **changes,
    }  # fmt: skip


def test_the_view_spells_out_what_the_cells_say(connection: Connection) -> None:
    store_levels(connection)
    group_id = store_group(connection)
    cells = [
        cell(group_id, 1, [1], time_efficiency=0.5),
        cell(group_id, (1 << 0) | (1 << 4) | (1 << 14), [0, 7, 2]),
    ]
    connection.execute(sa.insert(scope_stat_cells), cells)
    rows = connection.execute(
        sa.text("SELECT * FROM pattern_scope_stats ORDER BY scope_mask")
    ).all()

    one, three = rows
    assert (one.module, one.pattern_key, one.action_category, one.scope_mask, one.n) == (
        "pm", "pm.uptrend.S1.buy_flag", "entry", 1, 8,
    )  # fmt: skip
    assert one.scope_values == {"macro_phase": "Good"}
    scope = {"macro_phase": "Dip", "bucket_rank_position": 3, "last": "ünïcödé"}
    assert three.scope_values == scope
    assert three.scope_values_hash == scope_hash(scope)
    shared = {
        "n": 8, "avg_rr": 0.75, "variance": 0.25, "sum_rr": 6, "sum_rr_sq": 9, "rr_baseline": 0.5,
        "delta_rr": 0.25, "edge_raw": 0.125, "field_coherence": 0.75, "recurrence_score": 0.5,
        "segments_tested": 4, "segments_positive": 3,
    }  # fmt: skip
    assert one.stats == {**shared, "time_efficiency": 0.5}
    assert three.stats == shared


def test_a_look_at_one_mask_of_one_pattern_uses_the_indexes(connection: Connection) -> None:
    store_levels(connection)
    for i in range(50):
        group_id = store_group(connection, f"pm.a.b.p{i}")
        n = 400
        copy_columns(
            connection,
            "scope_stat_cells",
            [
                {
                    "group_id": np.full(n, group_id, np.int32),
                    "scope_mask": np.repeat(np.arange(1, 201, dtype=np.int16), 2),
                    "scope_codes": np.tile(np.array([[0], [1]], np.int16), (200, 1)),
                    "n": np.full(n, 10, np.int32),
                    **{
                        name: np.ones(n)
                        for name in ("sum_rr", "sum_rr_sq", "variance", "rr_baseline", "edge_raw")
                    },
                    "field_coherence": np.ones(n, np.float32),
                    "recurrence_score": np.ones(n, np.float32),
                    "segments_tested": np.ones(n, np.int16),
                    "segments_positive": np.ones(n, np.int16),
                }
            ],
        )
    connection.execute(sa.text("ANALYZE scope_groups, scope_stat_cells, scope_levels"))
    plan = "\n".join(
        connection.scalars(
            sa.text(
                "EXPLAIN SELECT * FROM pattern_scope_stats WHERE module = 'pm'"
                " AND pattern_key = 'pm.a.b.p7' AND action_category = 'entry' AND scope_mask = 1"
            )
        )
    )
    assert "Seq Scan on scope_stat_cells" not in plan
    assert "Index Cond: ((group_id = g.id) AND (scope_mask = 1))" in plan or (
        "Index Cond: ((scope_mask = 1) AND (group_id = g.id))" in plan
    )
