from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine

from learning.domain.scope import Scope, canonical_scope, scope_hash
from learning.store.database import create_engine, migrate, transaction, undo_migrations
from learning.store.schema import scope_groups, scope_levels, scope_stat_packs

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


def pack(group_id: int, mask: int, codes: list[int], **changes: object) -> dict[str, object]:
    """A pack of one cell."""
    cell = {
        "n": 8, "sum_rr": 6.0, "sum_rr_sq": 9.0, "variance": 0.25, "rr_baseline": 0.5,
        "edge_raw": 0.125, "time_efficiency": None, "field_coherence": 0.75,
        "recurrence_score": 0.5, "segments_tested": 4, "segments_positive": 3, **changes,
    }  # fmt: skip
    arrays = {name: [value] for name, value in cell.items()}
    return {"group_id": group_id, "scope_mask": mask, "part": 0, "scope_codes": codes, **arrays}


def test_the_view_spells_out_what_the_cells_say(connection: Connection) -> None:
    store_levels(connection)
    group_id = store_group(connection)
    packs = [
        pack(group_id, 1, [1], time_efficiency=0.5),
        pack(group_id, (1 << 0) | (1 << 4) | (1 << 14), [0, 7, 2]),
    ]
    connection.execute(sa.insert(scope_stat_packs), packs)
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


def test_each_cell_of_a_pack_has_its_own_codes_and_values(connection: Connection) -> None:
    group_id = store_group(connection)
    both = {"group_id": group_id, "scope_mask": 0b1000001, "part": 0, "scope_codes": [3, 5, 4, 6]}
    values = {name: [1, 2] for name in pack(1, 1, []) if name not in both}
    connection.execute(sa.insert(scope_stat_packs), [{**both, **values, "n": [8, 9]}])
    cells = connection.execute(sa.text("SELECT scope_codes, n, sum_rr FROM scope_stat_cells")).all()
    assert [tuple(cell) for cell in cells] == [([3, 5], 8, 1.0), ([4, 6], 9, 2.0)]


def test_a_look_at_one_mask_of_one_pattern_uses_the_indexes(connection: Connection) -> None:
    store_levels(connection)
    for i in range(50):
        group_id = store_group(connection, f"pm.a.b.p{i}")
        packs = [pack(group_id, mask, [0], time_efficiency=0.5) for mask in range(1, 201)]
        connection.execute(sa.insert(scope_stat_packs), packs)
    connection.execute(sa.text("ANALYZE scope_groups, scope_stat_packs, scope_levels"))
    plan = "\n".join(
        connection.scalars(
            sa.text(
                "EXPLAIN SELECT * FROM pattern_scope_stats WHERE module = 'pm'"
                " AND pattern_key = 'pm.a.b.p7' AND action_category = 'entry' AND scope_mask = 1"
            )
        )
    )
    assert "Seq Scan on scope_stat_packs" not in plan
    assert "Index Cond: ((group_id = g.id) AND (scope_mask = 1))" in plan


def test_cells_survive_the_way_to_rows_and_back_to_packs(fresh_database: str) -> None:
    engine = create_engine(fresh_database)
    every = sa.text("SELECT * FROM scope_stat_cells ORDER BY group_id, scope_mask, scope_codes")
    with transaction(engine) as connection:
        group_id = store_group(connection)
        many = {name: [value] * 100 for name, value in pack(0, 1, []).items()}
        values = {"group_id": group_id, "scope_mask": 1, "part": 0, "scope_codes": range(100)}
        packs = [{**many, **values, "n": range(10, 110)}, pack(group_id, 17, [0, 7])]
        for row in packs:
            plain = {k: list(v) if isinstance(v, range) else v for k, v in row.items()}
            connection.execute(sa.insert(scope_stat_packs).values(**plain))
        before = connection.execute(every).all()
    undo_migrations(engine, revision="0007")
    with transaction(engine) as connection:
        assert connection.execute(every).all() == before
    migrate(engine)
    with transaction(engine) as connection:
        assert connection.execute(every).all() == before
        lengths = connection.scalars(sa.text("SELECT cardinality(n) FROM scope_stat_packs"))
        assert sorted(lengths) == [1, 4, 48, 48]
    engine.dispose()
