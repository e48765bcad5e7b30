"""A lesson's past trades at the size it asks for, as ``./run replay`` tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboard.queries import Source, kept
from learning.store import database

if TYPE_CHECKING:
    from learning.overrides.replay import LessonReplay


@kept
def read_replay(
    source: Source, lesson_id: int, dims: tuple[str, ...], origins: tuple[str, ...]
) -> LessonReplay | str:
    """Replay a lesson, or say why it cannot be.

    What is imported here takes two seconds: only who asks for a replay in the server's first
    moments waits for it.

    Args:
        dims: Scope dimensions of the lesson's module.
        origins: Which origins count as evidence.
    """
    from learning.store import lesson_rows, replay_rows

    with database.transaction(source.engine, read_only=True) as connection:
        found = lesson_rows.read_lessons(connection, lesson_id=lesson_id)
        if not found:
            return "The lesson is no longer stored."
        unknown = sorted(set(found[0].scope) - set(dims))
        if unknown:
            return f"Its context names {', '.join(unknown)}, which is no dimension any more."
        return replay_rows.read_lesson_replay(connection, found[0], dims=dims, origins=origins)
