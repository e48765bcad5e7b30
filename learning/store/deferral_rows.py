"""Lessons that a reader wants to see again later: a reminder of one person, never a state."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from learning.store.schema import learning_lessons, lesson_deferrals

MOST_DAYS = 30  # nothing is put off for ever


def defer(connection: Connection, lesson_id: int, version: int, *, person: str, days: int) -> None:
    """Put a version of a lesson off for one person; again, it counts from now.

    Args:
        days: Until it is shown again, 1 to 30.

    Raises:
        ValueError: If the days are outside that range, or the person has no name.
    """
    if not 1 <= days <= MOST_DAYS:
        raise ValueError(f"a lesson is put off for 1 to {MOST_DAYS} days, got {days}")
    if not person.strip():
        raise ValueError("a lesson is put off by somebody with a name, got ''")
    until = sa.func.now() + timedelta(days=days)
    values = {"lesson_version": version, "deferred_at": sa.func.now(), "until": until}
    statement = insert(lesson_deferrals).values(lesson_id=lesson_id, person=person, **values)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["lesson_id", "person"], set_=values)
    )


def recall(connection: Connection, lesson_id: int, *, person: str) -> None:
    """Show a lesson to a person again now."""
    c = lesson_deferrals.c
    connection.execute(
        sa.delete(lesson_deferrals).where(c.lesson_id == lesson_id, c.person == person)
    )


def read_deferred(connection: Connection, *, person: str) -> dict[int, datetime]:
    """Return by lesson id until when a person put it off; a new version counts as new."""
    c, lesson = lesson_deferrals.c, learning_lessons.c
    query = (
        sa.select(c.lesson_id, c.until)
        .join_from(lesson_deferrals, learning_lessons)
        .where(c.person == person, c.until > sa.func.now(), c.lesson_version == lesson.version)
    )
    return {row.lesson_id: row.until for row in connection.execute(query)}
