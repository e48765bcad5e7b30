"""What the first page tells of all lessons, worked out once for everybody who looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from dashboard import queries
from dashboard.lesson_table import lesson_table
from dashboard.queries import Filters, Source, kept

_LISTED = 8
_FADING = ("decaying", "sign_flip")


@dataclass(frozen=True, eq=False)
class LessonSummary:
    """The lessons that the filters leave in, in numbers.

    Attributes:
        n: All of them.
        was_approved: Whether any was ever approved.
        n_waiting: Proposed ones.
        oldest_waiting: When the oldest of those was found; None where none waits.
        listed: Those at stake with most, as rows of a table.
        n_active: Approved ones that act.
        n_going_bad: Active ones that decay, changed sign, or failed on later trades.
        n_failed: Active ones that failed on later trades.
        shortest_days: Shortest half-life of an active one that decays; None where none does.
        module: Which module most lessons belong to; pm where there is none.
        offered: How many on the analysed outcome were proposed, approved and confirmed.
    """

    n: int
    was_approved: bool
    n_waiting: int
    oldest_waiting: pd.Timestamp | None
    listed: pd.DataFrame
    n_active: int
    n_going_bad: int
    n_failed: int
    shortest_days: float | None
    module: str
    offered: Mapping[str, int]


@kept
def read_summary(source: Source, filters: Filters, outcome: str) -> LessonSummary:
    """Return the lessons in numbers.

    Args:
        source: Where they are read from.
        filters: Those of module and setup are obeyed.
        outcome: The analysed one.
    """
    lessons = queries.of_filters(queries.read_lessons(source), filters)
    waiting = waiting_lessons(lessons)
    active = lessons[lessons["status"] == "active"]
    fading = active["half_life_state"].isin(_FADING)
    failed = active["confirmation"] == "failed"
    shortest = active.loc[fading, "half_life_days"].min()
    return LessonSummary(
        n=len(lessons),
        was_approved=bool(lessons["activated_at"].notna().any()),
        n_waiting=len(waiting),
        oldest_waiting=None if waiting.empty else waiting["discovered_at"].min(),
        listed=lesson_table(waiting.head(_LISTED)),
        n_active=len(active),
        n_going_bad=int((fading | failed).sum()),
        n_failed=int(failed.sum()),
        shortest_days=float(shortest) if pd.notna(shortest) else None,
        module="pm" if lessons.empty else str(lessons["module"].mode().iloc[0]),
        offered=queries.offered(lessons, outcome),
    )


def waiting_lessons(lessons: pd.DataFrame) -> pd.DataFrame:
    """Return the lessons that wait for a decision, those with most at stake first."""
    return lessons[lessons["status"] == "proposed"].sort_values("value_rr", ascending=False)
