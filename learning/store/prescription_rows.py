"""What each revision prescribed, rebuilt from the history of moves, against what bots report.

No past snapshot is stored: each move of each override is, with the revision it belongs to, and
the last move up to a revision is what that revision prescribes.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import distinct_on

from learning.domain.pattern_key import Module
from learning.store.schema import override_applications, override_history


def levers_at(
    connection: Connection, module: Module, *, generation: int, revision: int
) -> dict[int, Mapping[str, float]]:
    """Return by lesson id the levers of every override that stood at a revision, flatly named."""
    c = override_history.c
    last = (
        sa.select(c.lesson_id, c.levers_after)
        .ext(distinct_on(c.lesson_id))
        .where(
            c.module == module,
            sa.tuple_(c.generation, c.revision) <= sa.tuple_(generation, revision),
        )
        .order_by(c.lesson_id, c.generation.desc(), c.revision.desc(), c.id.desc())
    )
    # a removal has none, or the null of JSON
    rows = connection.execute(last)
    return {row.lesson_id: row.levers_after for row in rows if row.levers_after is not None}


def count_departures(connection: Connection, *, newest: int = 20_000) -> int:
    """Count the newest applications whose levers are not those that their revision prescribes.

    Compared is what would apply without hold-out or outage; a bot that reports levers of an
    override that did not stand at the revision it names departs too.
    """
    applied = override_applications
    recent = sa.select(applied).order_by(applied.c.id.desc()).limit(newest).subquery("recent")
    a, h = recent.c, override_history.c
    prescribed = (
        sa.select(h.levers_after)
        .where(
            h.lesson_id == a.lesson_id,
            sa.tuple_(h.generation, h.revision) <= sa.tuple_(a.generation, a.revision),
        )
        .order_by(h.generation.desc(), h.revision.desc(), h.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        sa.select(sa.func.count())
        .select_from(recent)
        .where(sa.not_(sa.func.coalesce(prescribed.contains(a.levers_would_be), sa.false())))
    )
    return connection.scalar(query) or 0
