"""The bounds in the database, alone: builder and runtime have no part in these tests."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from learning.domain.levers import CAPITAL_LEVERS, LEVERS, Lever
from learning.store.schema import LEVER_COLUMNS, learning_lessons
from tests.learning.store.stored_lessons import lesson_row, refused, store_lesson, store_override

_ACCEPTED = """
    CREATE FUNCTION pg_temp.accepted(name text, candidates float8[]) RETURNS boolean[]
    LANGUAGE plpgsql AS $$
    DECLARE
        candidate float8;
        verdicts boolean[] := '{}';
    BEGIN
        FOREACH candidate IN ARRAY candidates LOOP
            BEGIN
                EXECUTE format('UPDATE pm_overrides SET %I = $1', name) USING candidate;
                verdicts := verdicts || true;
            EXCEPTION WHEN check_violation THEN
                verdicts := verdicts || false;
            END;
        END LOOP;
        RETURN verdicts;
    END
    $$
"""


def candidates(lever: Lever, n: int) -> list[float]:
    """Values around, on and far beyond a lever's bounds, and what is no number."""
    rng = random.Random(lever.name)
    edges = [
        close
        for bound in (lever.low, lever.high)
        for close in (
            float(bound),
            math.nextafter(bound, -math.inf),
            math.nextafter(bound, math.inf),
        )
    ]
    odd = [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1e308, -1e308]
    spread = [rng.uniform(lever.low - 1, lever.high + 1) for _ in range(n)]
    wild = [rng.choice((-1, 1)) * 10 ** rng.uniform(-300, 300) for _ in range(n)]
    return edges + odd + spread + wild


@pytest.mark.parametrize("lever", LEVERS.values(), ids=lambda lever: lever.name)
def test_an_override_holds_no_lever_out_of_bounds(connection: Connection, lever: Lever) -> None:
    store_override(connection, store_lesson(connection, "active"))
    connection.execute(sa.text("ALTER TABLE pm_overrides DISABLE TRIGGER USER"))
    connection.execute(sa.text(_ACCEPTED))
    values = candidates(lever, 200)
    accepted = connection.scalar(
        sa.text("SELECT pg_temp.accepted(:name, :values)"),
        {"name": LEVER_COLUMNS[lever.name], "values": values},
    )
    assert accepted == [lever.low <= value <= lever.high for value in values]
    assert True in accepted


def payload(lever: Lever, value: str) -> str:
    """An effect with one lever, its value as JSON text."""
    part = "capital_levers" if lever.name in CAPITAL_LEVERS else "execution_levers"
    parent, _, child = lever.name.partition(".")
    levers = f'{{"{parent}": {{"{child}": {value}}}}}' if child else f'{{"{parent}": {value}}}'
    return f'{{"{part}": {levers}}}'


def in_bounds(connection: Connection, effects: list[str]) -> list[bool]:
    rows = connection.execute(
        sa.text(
            "SELECT lesson_effect_in_bounds(effect::jsonb)"
            " FROM unnest(CAST(:effects AS text[])) WITH ORDINALITY AS e (effect, place)"
            " ORDER BY place"
        ),
        {"effects": effects},
    )
    return list(rows.scalars())


@pytest.mark.parametrize("lever", LEVERS.values(), ids=lambda lever: lever.name)
def test_a_lesson_holds_no_lever_out_of_bounds(connection: Connection, lever: Lever) -> None:
    values = [value for value in candidates(lever, 200) if math.isfinite(value)]
    found = in_bounds(connection, [payload(lever, json.dumps(value)) for value in values])
    assert found == [lever.low <= value <= lever.high for value in values]


@pytest.mark.parametrize("lever", LEVERS.values(), ids=lambda lever: lever.name)
def test_a_lever_is_a_number(connection: Connection, lever: Lever) -> None:
    text = json.dumps(str(lever.neutral))
    odd = ["null", "true", text, '"NaN"', "[]", "{}", f"[{lever.neutral}]", "1e400", "-1e400"]
    assert in_bounds(connection, [payload(lever, value) for value in odd]) == [False] * len(odd)


@pytest.mark.parametrize(
    "effect",
    [
        {"capital_levers": {"sice_mult": 1.0}}, {"capital_levers": {"trail_mult": 1.0}},
        {"execution_levers": {"size_mult": 1.0}}, {"capital_levers": [1.0]},
        {"capital_levers": None}, {"execution_levers": None}, {"execution_levers": 1.0},
        {"execution_levers": {"phase_scaling": {"S4": 1.0}}},
        {"execution_levers": {"phase_scaling": 1.0}},
        {"execution_levers": {"signal_thresholds": {"min_ts_for_add": "0.4"}}},
        {"execution_levers": {"signal_thresholds": 0.4}}, [], 1.0,
    ],
)  # fmt: skip
def test_an_effect_of_another_shape_is_refused(connection: Connection, effect: Any) -> None:
    assert in_bounds(connection, [json.dumps(effect)]) == [False]


@pytest.mark.parametrize(
    "effect",
    [
        {}, {"capital_levers": {}, "execution_levers": {}},
        {"capital_levers": {"size_mult": 0.7, "exit_aggression_mult": 1.2}},
        {"execution_levers": {"entry_delay_bars": 2, "phase_scaling": {"S1": 0.5, "S3": 1.5},
                              "signal_thresholds": {"min_ts_for_add": 0.4, "max_edx": -2}}},
    ],
)  # fmt: skip
def test_an_effect_within_bounds_is_accepted(connection: Connection, effect: Any) -> None:
    assert in_bounds(connection, [json.dumps(effect)]) == [True]


@pytest.mark.parametrize("size_mult", [1.31, 0.69, "1.1", True, None])
def test_the_table_of_lessons_checks_its_effects(connection: Connection, size_mult: Any) -> None:
    row = lesson_row(connection, effect={"capital_levers": {"size_mult": size_mult}})
    with refused(connection, "23514"):
        connection.execute(sa.insert(learning_lessons).values(row))
