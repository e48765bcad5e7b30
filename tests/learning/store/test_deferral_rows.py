"""A lesson that is put off comes back by itself, and at once where it changed."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from learning.store.deferral_rows import defer, read_deferred, recall
from learning.store.schema import learning_lessons, lesson_deferrals
from tests.learning.store.stored_lessons import store_lesson


def test_a_lesson_is_put_off_for_one_person_only(connection: Connection) -> None:
    lesson_id = store_lesson(connection)
    defer(connection, lesson_id, 1, person="ann", days=7)
    now = connection.scalar(sa.select(sa.func.now()))
    assert read_deferred(connection, person="ann") == {lesson_id: now + timedelta(days=7)}
    assert read_deferred(connection, person="bob") == {}


def test_putting_off_again_counts_from_now_and_can_be_taken_back(connection: Connection) -> None:
    lesson_id = store_lesson(connection)
    defer(connection, lesson_id, 1, person="ann", days=7)
    defer(connection, lesson_id, 1, person="ann", days=1)
    now = connection.scalar(sa.select(sa.func.now()))
    assert read_deferred(connection, person="ann") == {lesson_id: now + timedelta(days=1)}
    recall(connection, lesson_id, person="ann")
    assert read_deferred(connection, person="ann") == {}


def test_a_new_version_and_a_day_gone_by_bring_it_back(connection: Connection) -> None:
    first, second = store_lesson(connection), store_lesson(connection)
    for lesson_id in (first, second):
        defer(connection, lesson_id, 1, person="ann", days=7)
    connection.execute(
        sa.update(learning_lessons).where(learning_lessons.c.id == first).values(version=2)
    )
    past = {"deferred_at": sa.func.now() - timedelta(days=8), "until": sa.func.now()}
    connection.execute(
        sa.update(lesson_deferrals).where(lesson_deferrals.c.lesson_id == second).values(**past)
    )
    assert read_deferred(connection, person="ann") == {}


def test_nothing_is_put_off_for_ever(connection: Connection) -> None:
    lesson_id = store_lesson(connection)
    with pytest.raises(ValueError, match="1 to 30 days, got 31"):
        defer(connection, lesson_id, 1, person="ann", days=31)
    far = {"lesson_id": lesson_id, "person": "ann", "lesson_version": 1}
    with pytest.raises(IntegrityError, match="never_for_ever"), connection.begin_nested():
        connection.execute(
            sa.insert(lesson_deferrals).values(**far, until=sa.func.now() + timedelta(days=31))
        )
