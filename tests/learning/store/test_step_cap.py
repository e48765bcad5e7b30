"""No lever moves by more than its step in one UTC day, whoever writes and however often."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from learning.domain.levers import LEVERS, Lever
from learning.store.schema import LEVER_COLUMNS, learning_lessons, pm_overrides
from tests.learning.store.stored_lessons import decide, refused, store_lesson, store_override

ALL = pytest.mark.parametrize("lever", LEVERS.values(), ids=lambda lever: lever.name)
HAIR = 1e-6


def update(connection: Connection, lesson_id: int, **values: Any) -> None:
    connection.execute(
        sa.update(pm_overrides).where(pm_overrides.c.lesson_id == lesson_id).values(values)
    )


def set_back(connection: Connection, lesson_id: int, **values: Any) -> None:
    """Let the override be one that was written yesterday."""
    connection.execute(sa.text("ALTER TABLE pm_overrides DISABLE TRIGGER USER"))
    yesterday = sa.text("(now() AT TIME ZONE 'UTC')::date - 1")
    update(connection, lesson_id, epoch=yesterday, **values)
    connection.execute(sa.text("ALTER TABLE pm_overrides ENABLE TRIGGER USER"))


TODAY = sa.text("(now() AT TIME ZONE 'UTC')::date")


@ALL
def test_an_override_begins_within_one_step_of_neutral(
    connection: Connection, lever: Lever
) -> None:
    column = LEVER_COLUMNS[lever.name]
    up = lever.neutral + lever.step
    with refused(connection, "EK201"):
        store_override(connection, store_lesson(connection, "active"), **{column: up + HAIR})
    store_override(connection, store_lesson(connection, "active"), **{column: up})
    if lever.low < lever.neutral:
        down = lever.neutral - lever.step
        with refused(connection, "EK201"):
            store_override(connection, store_lesson(connection, "active"), **{column: down - HAIR})
        store_override(connection, store_lesson(connection, "active"), **{column: down})


@ALL
def test_a_second_step_on_the_same_day_is_refused(connection: Connection, lever: Lever) -> None:
    column, step = LEVER_COLUMNS[lever.name], lever.step
    lesson_id = store_lesson(connection, "active")
    store_override(connection, lesson_id, **{column: lever.neutral + step})
    with refused(connection, "EK201"):
        update(connection, lesson_id, **{column: lever.neutral + 2 * step})
    update(connection, lesson_id, **{column: lever.neutral})


@ALL
def test_the_next_day_brings_the_next_step(connection: Connection, lever: Lever) -> None:
    column = LEVER_COLUMNS[lever.name]
    first, second = lever.neutral + lever.step, lever.neutral + 2 * lever.step
    lesson_id = store_lesson(connection, "active")
    store_override(connection, lesson_id, **{column: first})
    set_back(connection, lesson_id)
    start = {lever.name: first}
    with refused(connection, "EK205"):  # still counts from yesterday's start
        update(connection, lesson_id, **{column: second}, epoch=TODAY)
    with refused(connection, "EK205"):  # counts from where it would like to
        update(
            connection, lesson_id, **{column: second}, epoch=TODAY, epoch_start={lever.name: second}
        )
    with refused(connection, "EK201"):
        update(connection, lesson_id, **{column: second + HAIR}, epoch=TODAY, epoch_start=start)
    update(connection, lesson_id, **{column: second}, epoch=TODAY, epoch_start=start)


def test_a_lever_that_is_dropped_moves_to_neutral_by_steps_too(connection: Connection) -> None:
    lesson_id = store_lesson(connection, "active")
    store_override(connection, lesson_id, size_mult=1.0)
    set_back(connection, lesson_id, size_mult=1.2)
    with refused(connection, "EK201"):
        update(connection, lesson_id, size_mult=None, epoch=TODAY, epoch_start={"size_mult": 1.2})


@pytest.mark.parametrize("days", [-1, 1, 400])
def test_the_epoch_is_today(connection: Connection, days: int) -> None:
    lesson_id = store_lesson(connection, "active")
    store_override(connection, lesson_id, size_mult=1.02)
    with refused(connection, "EK204"):
        other_day = sa.text(f"(now() AT TIME ZONE 'UTC')::date + {days}")
        update(connection, lesson_id, epoch=other_day, epoch_start={"size_mult": 1.02})


def test_an_upsert_is_judged_as_the_move_it_is(connection: Connection) -> None:
    lesson_id = store_lesson(connection, "active")
    store_override(connection, lesson_id, size_mult=1.02)
    set_back(connection, lesson_id, size_mult=1.20)
    upsert = """
        INSERT INTO pm_overrides (
            lesson_id, lesson_version, module, pattern_key, action_category, scope_values,
            scope_values_hash, lesson_type, lesson_strength, epoch, epoch_start, holdout_share,
            activated_at, expires_at, generation, revision, size_mult
        )
        SELECT
            lesson_id, lesson_version, module, pattern_key, action_category, scope_values,
            scope_values_hash, lesson_type, lesson_strength, (now() AT TIME ZONE 'UTC')::date,
            '{"size_mult": 1.2}', holdout_share, activated_at, expires_at, 1, 2, :size_mult
        FROM pm_overrides WHERE lesson_id = :lesson_id
        ON CONFLICT (lesson_id) DO UPDATE SET
            size_mult = excluded.size_mult, epoch = excluded.epoch,
            epoch_start = excluded.epoch_start
    """
    with refused(connection, "EK201"):
        connection.execute(sa.text(upsert), {"lesson_id": lesson_id, "size_mult": 1.23})
    connection.execute(sa.text(upsert), {"lesson_id": lesson_id, "size_mult": 1.22})


def test_no_sequence_of_writes_moves_a_lever_further_in_a_day(connection: Connection) -> None:
    rng = random.Random(5)
    lesson_id = store_lesson(connection, "active")
    taken = 0
    for _ in range(300):
        value = 1 + rng.uniform(-0.05, 0.05)
        start = json.dumps({"size_mult": 1 + rng.choice((0, 0, 0, 0.01, 0.02))})
        try:
            with connection.begin_nested():
                write_somehow(connection, rng, lesson_id, value, start)
        except DBAPIError:
            continue
        taken += 1
        stored = connection.scalar(sa.select(pm_overrides.c.size_mult))
        assert stored is None or abs(stored - 1) <= 0.02 + 1e-8
    assert taken > 30


def write_somehow(
    connection: Connection, rng: random.Random, lesson_id: int, value: float, start: str
) -> None:
    how = rng.choice(("insert", "update", "update", "delete", "approve again"))
    if how == "insert":
        store_override(connection, lesson_id, epoch_start=start, size_mult=value)
    elif how == "update":
        update(connection, lesson_id, size_mult=value, epoch_start=json.loads(start))
    elif how == "delete":
        connection.execute(sa.delete(pm_overrides))
    else:
        decide(connection, lesson_id, "disable")
        decide(connection, lesson_id, "approve")


@pytest.mark.parametrize("status", ["watch", "proposed", "disabled", "rejected", "retired"])
def test_only_an_active_lesson_has_an_override(connection: Connection, status: Any) -> None:
    lesson_id = store_lesson(connection, status)
    ends = {"activated_at": sa.func.now(), "expires_at": sa.text("now() + interval '1 day'")}
    connection.execute(
        sa.update(learning_lessons).where(learning_lessons.c.id == lesson_id).values(ends)
    )
    with refused(connection, "EK202"):
        store_override(connection, lesson_id, size_mult=1.01)


def test_an_override_is_of_the_approved_version(connection: Connection) -> None:
    lesson_id = store_lesson(connection, "active")
    store_override(connection, lesson_id, size_mult=1.01)
    with refused(connection, "EK202"):
        update(connection, lesson_id, lesson_version=2)


def test_an_override_does_not_outlive_its_lesson(connection: Connection) -> None:
    lesson_id = store_lesson(connection, "active")
    store_override(connection, lesson_id, size_mult=1.01)
    with refused(connection, "EK203"):
        update(connection, lesson_id, expires_at=sa.text("expires_at + interval '1 second'"))


def test_an_override_stays_with_its_lesson(connection: Connection) -> None:
    lesson_id, other = store_lesson(connection, "active"), store_lesson(connection, "active")
    store_override(connection, lesson_id, size_mult=1.01)
    with refused(connection, "EK206"):
        connection.execute(sa.update(pm_overrides).values(lesson_id=other))
