"""What a lesson's override would have done on the past trades in its scope."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection

from learning.overrides.materialising import flat_levers
from learning.overrides.replay import LessonReplay, ReplayTrades, lesson_replay
from learning.store import event_rows, override_rows
from learning.store.lesson_rows import StoredLesson


def read_lesson_replay(
    connection: Connection, lesson: StoredLesson, *, dims: Sequence[str], origins: Sequence[str]
) -> LessonReplay:
    """Replay a lesson on every closed trade in its scope, of the origins that are evidence.

    In sample is what had closed when the lesson was discovered, also where it was imported later.

    Args:
        dims: Scope dimensions of the lesson's module.
        origins: Which origins count as evidence.
    """
    materialised = override_rows.read_materialised(connection, lesson.module)
    last = materialised.get(lesson.lesson_id)
    return lesson_replay(
        read_replay_trades(connection, lesson, dims=dims, origins=origins),
        flat_levers(lesson.effect),
        outcome=lesson.outcome,
        strength=lesson.strength,
        in_force=None if last is None else last.levers,
    )


def read_replay_trades(
    connection: Connection, lesson: StoredLesson, *, dims: Sequence[str], origins: Sequence[str]
) -> ReplayTrades:
    """Return the closed trades in a lesson's scope, as they closed."""
    own = [name for name in dims if name in lesson.scope]  # others decide nothing here
    events = event_rows.read_trade_events(
        connection,
        lesson.module,
        outcome=lesson.outcome,
        dims=own or dims[:1],
        origins=origins,
        groups=[lesson.key],
    )
    chosen = np.flatnonzero(events.scope_matches(lesson.scope))
    in_order = chosen[np.argsort(events.closed_at_days[chosen], kind="stable")]
    closed_at_days = events.closed_at_days[in_order]
    return ReplayTrades(
        rr=events.rr[in_order],
        closed_at_days=closed_at_days,
        is_in_sample=closed_at_days <= lesson.claimed_at.timestamp() / 86400,
    )
