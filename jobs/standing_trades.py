"""The trades behind standing lessons, as the meta jobs read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from jobs.dimension_list import is_within
from learning.domain.pattern_key import Module
from learning.evidence.block_statistics import ClipLimits, clip_limits
from learning.evidence.trade_events import GroupKey, TradeEvents
from learning.settings import Settings
from learning.store import event_rows, mining_run_rows
from learning.store.lesson_rows import StoredLesson

STANDING = ("watch", "proposed", "active", "disabled")


@dataclass(frozen=True, slots=True, eq=False)
class LessonTrades:
    """A lesson with the trades of its group.

    Attributes:
        lesson: The lesson.
        trades: All trades of its (pattern_key, action_category).
        outcomes: Shape (n,), clipped as in the test; net and unclipped for a level lesson.
        in_scope: Shape (n,), which trades the lesson matches.
    """

    lesson: StoredLesson
    trades: TradeEvents
    outcomes: npt.NDArray[np.float64]
    in_scope: npt.NDArray[np.bool_]


def lesson_trades(
    connection: Connection, module: Module, lessons: Sequence[StoredLesson], settings: Settings
) -> Iterator[LessonTrades]:
    """Yield each lesson with its trades; groups are read once per outcome.

    A lesson whose group has no trades any more is left out, as is one whose scope names a
    dimension that is no longer configured, and one about execution: it claims no edge of its
    scope that could decay, recur or be shared.
    """
    dims = settings.dimensions(module)
    lessons = [
        lesson
        for lesson in lessons
        if lesson.lesson_type != "pm_tuning" and is_within(lesson.scope, dims)
    ]
    for outcome in sorted({lesson.outcome for lesson in lessons}):
        own = [lesson for lesson in lessons if lesson.outcome == outcome]
        events = read_groups(
            connection, module, sorted({one.key for one in own}), outcome, settings
        )
        limits = _limits(connection, module, outcome, events)
        for lesson in own:
            found = _trades_of(lesson, events, limits)
            if found is not None:
                yield found


def read_groups(
    connection: Connection,
    module: Module,
    groups: Sequence[GroupKey],
    outcome: str,
    settings: Settings,
) -> TradeEvents:
    """Return the events of some groups."""
    return event_rows.read_trade_events(
        connection,
        module,
        outcome=outcome,
        dims=settings.dimensions(module),
        origins=settings.origins,
        groups=groups,
    )


def _limits(
    connection: Connection, module: Module, outcome: str, events: TradeEvents
) -> ClipLimits | None:
    look = mining_run_rows.last_discovery(connection, module, outcome)
    if look is not None:
        return ClipLimits(look.clip_low_rr, look.clip_high_rr)
    return clip_limits(events) if events.n else None


def _trades_of(
    lesson: StoredLesson, events: TradeEvents, limits: ClipLimits | None
) -> LessonTrades | None:
    code = events.group_code(lesson.key)
    if code is None or limits is None:
        return None
    trades = events.where(events.group == code)
    # a level is a mean against 0: clipping its wins would invent a loss
    outcomes = trades.rr if lesson.lesson_type == "level" else limits.clip(trades.rr)
    return LessonTrades(lesson, trades, outcomes, trades.scope_matches(lesson.scope))
