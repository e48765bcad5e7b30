"""What each lesson was measured on last, and what its later trades said then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from learning.domain.pattern_key import Module
from learning.lessons.confirmation import Prospect
from learning.store.schema import learning_lessons, lesson_marks


@dataclass(frozen=True, slots=True)
class LessonMark:
    """A hash of all that a lesson's evidence rests on, and its prospect while it is open."""

    rests_on: str
    prospect: Prospect | None = None


def read_marks(connection: Connection, module: Module) -> dict[int, LessonMark]:
    """Return the mark of each lesson of a module that was measured alone, by its id."""
    c = lesson_marks.c
    query = (
        sa.select(c.lesson_id, c.rests_on, c.prospect)
        .join(learning_lessons, learning_lessons.c.id == c.lesson_id)
        .where(learning_lessons.c.module == module)
    )
    return {
        lesson_id: LessonMark(rests_on, None if prospect is None else Prospect(**prospect))
        for lesson_id, rests_on, prospect in connection.execute(query)
    }


def write(connection: Connection, marks: Mapping[int, LessonMark]) -> None:
    """Write the marks of lessons that were measured."""
    if not marks:
        return
    rows = [
        {
            "lesson_id": lesson_id,
            "rests_on": mark.rests_on,
            "prospect": None if mark.prospect is None else asdict(mark.prospect),
        }
        for lesson_id, mark in marks.items()
    ]
    statement = insert(lesson_marks).values(rows)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["lesson_id"],
            set_={name: statement.excluded[name] for name in ("rests_on", "prospect")},
        )
    )
