"""Outcomes summed by week, group and level: what tables of one condition are made of.

A table of edges needs the trades of each cell week by week, since trades of one week share shocks.
Summed once, with the statistics of the group, they need not be read again by whoever looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from learning.evidence.trade_events import TradeEvents

WEEK_DAYS = 7


@dataclass(frozen=True, slots=True, eq=False)
class WeekSums:
    """One group by the levels of one dimension; rows in order of code and week.

    Attributes:
        group: Code of the group.
        dimension: Position of the dimension.
        code: Shape (r,), int16, level; -1: the trades whose scope lacks the dimension. All
            codes together are all trades of the group.
        week: Shape (r,), int16, weeks since 1970-01-01 UTC, a Thursday.
        n: Shape (r,), int32, distinct trades.
        total: Shape (r,), sum of their clipped outcomes, R.
        total_sq: Shape (r,), sum of the squares, R².
    """

    group: int
    dimension: int
    code: npt.NDArray[np.int16]
    week: npt.NDArray[np.int16]
    n: npt.NDArray[np.int32]
    total: npt.NDArray[np.float64]
    total_sq: npt.NDArray[np.float64]


def week_sums(events: TradeEvents, *, clip: tuple[float, float]) -> Iterator[WeekSums]:
    """Sum the outcomes of every group by each of its dimensions.

    Args:
        events: Of any groups.
        clip: Limits of the outcome, R.

    Examples:
        >>> events = TradeEvents.from_columns(
        ...     pattern_key=["pm.a"] * 3, action_category=["entry"] * 3,
        ...     scope={"bucket": ["mid", "mid", None]}, closed_at_days=[0.5, 6.9, 7.1],
        ...     rr=[1.0, 9.0, -1.0], trade=[1, 2, 3])
        >>> [sums] = week_sums(events, clip=(-3.0, 5.0))
        >>> sums.code.tolist(), sums.week.tolist(), sums.n.tolist(), sums.total.tolist()
        ([-1, 0], [1, 0], [1, 2], [-1.0, 6.0])
    """
    if not events.n:
        return
    rr = np.clip(events.rr, *clip)
    week = np.floor(events.closed_at_days / WEEK_DAYS).astype(np.int64)
    week -= (first := int(week.min()))
    n_weeks = int(week.max()) + 1
    for dimension, levels in enumerate(events.levels):
        n_codes = len(levels) + 1
        code = events.scope_codes[:, dimension] + np.int64(1)
        place = (events.group * np.int64(n_codes) + code) * n_weeks + week
        yield from _split(place, rr, (n_codes, n_weeks), first, dimension)


def _split(
    place: npt.NDArray[np.int64],
    rr: npt.NDArray[np.float64],
    shape: tuple[int, int],
    first_week: int,
    dimension: int,
) -> Iterator[WeekSums]:
    found, row, n = np.unique(place, return_inverse=True, return_counts=True)
    total = np.asarray(np.bincount(row, weights=rr), dtype=np.float64)
    total_sq = np.asarray(np.bincount(row, weights=rr * rr), dtype=np.float64)
    group, code, week = np.unravel_index(found, (found[-1] // (shape[0] * shape[1]) + 1, *shape))
    starts = np.flatnonzero(np.r_[True, np.diff(group) != 0])
    for low, high in zip(starts, [*starts[1:], len(group)], strict=True):
        own = slice(low, high)
        yield WeekSums(
            group=int(group[low]),
            dimension=dimension,
            code=(code[own] - 1).astype(np.int16),
            week=(week[own] + first_week).astype(np.int16),
            n=n[own].astype(np.int32),
            total=total[own],
            total_sq=total_sq[own],
        )
