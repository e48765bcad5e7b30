"""The edge of a scope week by week, rebuilt from its closed trades.

A window's edge belongs to that window alone: the mean outcome of the scope's trades closed
in it, minus the mean of all the group's trades closed in it. A running mean over everything
so far would smooth a decay away: a half-life fitted to it is 130-180 % off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

WINDOW_DAYS = 7.0
"""Length of a window: the block over which trades share shocks."""

BREAK_DAYS = 180.0
"""A longer pause without trades ends a segment: no curve is drawn through it."""


@dataclass(frozen=True, slots=True, eq=False)
class EdgeHistory:
    """One row per window in which the scope traded and a comparison was possible.

    Attributes:
        window: Shape (W,), weeks since 1970-01-01 UTC, rising.
        n: Shape (W,), the scope's trades in the window.
        edge_rr: Shape (W,), mean outcome in scope minus mean outcome of the group, R.
        se_rr: Shape (W,), standard error from the within-window variance pooled over windows.
            It leaves out shocks that a whole window shares; a fit adds those. Absent when no
            window has two trades.
        mean_closed_at_days: Shape (W,), mean close time, days since 1970-01-01 UTC.
        within_variance_rr: Shape (W,), population variance of the scope's outcomes inside the
            window, R squared; 0 where the window has one trade.
        closed_at_days: Shape (sum of n,), close times of the trades, window after window; absent
            when the history was read back from stored rows.
        windows_without_comparison: Windows left out because the scope made up the whole group.
    """

    window: IntArray
    n: IntArray
    edge_rr: FloatArray
    se_rr: FloatArray | None
    mean_closed_at_days: FloatArray
    within_variance_rr: FloatArray
    closed_at_days: FloatArray | None = None
    windows_without_comparison: int = 0

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.window)

    @property
    def n_trades(self) -> int:
        """Trades over all windows."""
        return int(self.n.sum())

    def mean_age_hours(self, *, now_days: float) -> FloatArray:
        """Mean age of each window's trades at ``now_days`` (days since 1970-01-01 UTC)."""
        return (now_days - self.mean_closed_at_days) * 24.0

    def mean_decay(self, rates_per_day: FloatArray, *, origin_days: float) -> FloatArray:
        """Average ``exp(-rate * t)`` over the trades of each window.

        Without the single close times the trades are taken as evenly spread over the window.

        Args:
            rates_per_day: Shape (L,), decay rates; negative for growth.
            origin_days: Where t = 0 lies, days since 1970-01-01 UTC.

        Returns:
            Shape (L, W).
        """
        rates = np.asarray(rates_per_day, dtype=np.float64)
        if self.closed_at_days is None:
            middle = np.exp(-np.outer(rates, self.mean_closed_at_days - origin_days))
            return middle * _spread_over_window(rates)[:, None]
        decay = np.exp(-np.outer(rates, self.closed_at_days - origin_days))
        starts = np.concatenate([[0], np.cumsum(self.n)[:-1]])
        sums: FloatArray = np.add.reduceat(decay, starts, axis=1)
        return sums / self.n

    def between(self, first: int, last: int) -> EdgeHistory:
        """Keep the windows at positions ``first`` up to and without ``last``."""
        part = slice(first, last)
        edges = np.concatenate([[0], np.cumsum(self.n)])
        trades = (
            None if self.closed_at_days is None else self.closed_at_days[edges[first] : edges[last]]
        )
        return replace(
            self,
            window=self.window[part],
            n=self.n[part],
            edge_rr=self.edge_rr[part],
            se_rr=None if self.se_rr is None else self.se_rr[part],
            mean_closed_at_days=self.mean_closed_at_days[part],
            within_variance_rr=self.within_variance_rr[part],
            closed_at_days=trades,
        )

    def since(self, moment_days: float) -> EdgeHistory:
        """Keep the windows that begin at or after a moment, such as a lesson's discovery.

        Windows that helped to find a lesson flatter it (winner's curse); only later ones
        may decide whether it still holds.
        """
        first = int(np.searchsorted(self.window * WINDOW_DAYS, moment_days, side="left"))
        return self.between(first, len(self))


@dataclass(frozen=True, slots=True, eq=False)
class SegmentEdge:
    """The mean edge between two long breaks.

    Attributes:
        first_closed_at_days: Mean close time in the first window, days since 1970-01-01 UTC.
        last_closed_at_days: The same of the last window.
        windows: Windows in the segment.
        n: Trades in the segment.
        edge_rr: Trade-weighted mean of the windows' edges, R.
        se_rr: Standard error from the scatter of the windows; absent with a single window.
    """

    first_closed_at_days: float
    last_closed_at_days: float
    windows: int
    n: int
    edge_rr: float
    se_rr: float | None


def edge_history(
    outcomes: FloatArray,
    closed_at_days: FloatArray,
    in_scope: BoolArray,
    *,
    against_group: bool = True,
) -> EdgeHistory:
    """Rebuild the weekly edges of one scope from the trades of its group, in any order.

    Args:
        outcomes: Shape (N,), outcome of each trade of the (pattern, category) group, R,
            clipped as for the tests.
        closed_at_days: Shape (N,), close time, days since 1970-01-01 UTC.
        in_scope: Shape (N,), which trades the scope matches.
        against_group: False compares with 0 instead of the group's mean: for the pattern as a
            whole, whose edge over itself is 0 by construction.

    Returns:
        Windows in order of time; empty when the scope has no comparable trade.

    Raises:
        ValueError: If the shapes differ, or an outcome or a time is not finite.

    Examples:
        Two weeks; the scope beats its group by 1 R in the first, by 0.5 R in the second.

        >>> history = edge_history(
        ...     np.array([3.0, 1.0, 1.0, 0.0]),
        ...     np.array([0.0, 2.0, 8.0, 9.0]),
        ...     np.array([True, False, True, False]),
        ... )
        >>> history.edge_rr.tolist(), history.n.tolist(), history.mean_closed_at_days.tolist()
        ([1.0, 0.5], [1, 1], [0.0, 8.0])
    """
    _require_trades(outcomes, closed_at_days, in_scope)
    week = np.floor(closed_at_days / WINDOW_DAYS).astype(np.int64)
    group_window, slot = np.unique(week, return_inverse=True)
    group_n = np.bincount(slot, minlength=len(group_window))
    scope_n = np.bincount(slot[in_scope], minlength=len(group_window))
    comparable = (scope_n > 0) & ((group_n > scope_n) | (not against_group))
    baseline = np.bincount(slot, weights=outcomes, minlength=len(group_window)) / group_n
    chosen = in_scope & comparable[slot]
    return _windows_of(
        outcomes[chosen],
        closed_at_days[chosen],
        week[chosen],
        baseline_rr=baseline[comparable] if against_group else np.zeros(int(comparable.sum())),
        without_comparison=int(((scope_n > 0) & ~comparable).sum()),
    )


def pooled_within_variance(history: EdgeHistory) -> float | None:
    """Variance of single outcomes around their window's mean, pooled over the windows.

    Args:
        history: Any number of windows.

    Returns:
        R squared, with one degree of freedom taken per window; absent when no window has
        two trades.
    """
    return _pooled_variance(history.n, history.within_variance_rr)


def segments(history: EdgeHistory, *, break_days: float = BREAK_DAYS) -> tuple[EdgeHistory, ...]:
    """Cut a history at every break of more than ``break_days`` without a trade of the scope.

    Args:
        history: Windows in order of time.
        break_days: Longest pause that a curve may cross, days.

    Returns:
        The parts in order of time; empty for an empty history.
    """
    if len(history) == 0:
        return ()
    first, last = _first_and_last_trade(history)
    breaks = np.flatnonzero(first[1:] - last[:-1] > break_days) + 1
    bounds = [0, *breaks.tolist(), len(history)]
    return tuple(history.between(a, b) for a, b in pairwise(bounds))


def segment_edge(segment: EdgeHistory) -> SegmentEdge:
    """Sum one segment up: its trade-weighted mean edge and what the windows' scatter allows.

    Args:
        segment: At least one window.

    Returns:
        The mean with a standard error clustered by window (shared shocks included).

    Raises:
        ValueError: If the segment is empty.
    """
    if len(segment) == 0:
        raise ValueError("a segment needs at least one window, got 0")
    n = segment.n_trades
    mean = float(segment.n @ segment.edge_rr) / n
    count = len(segment)
    residual = segment.n * (segment.edge_rr - mean) / n
    scatter = float(residual @ residual)
    return SegmentEdge(
        first_closed_at_days=float(segment.mean_closed_at_days[0]),
        last_closed_at_days=float(segment.mean_closed_at_days[-1]),
        windows=count,
        n=n,
        edge_rr=mean,
        se_rr=math.sqrt(scatter * count / (count - 1)) if count > 1 else None,
    )


def _windows_of(
    outcomes: FloatArray,
    closed_at_days: FloatArray,
    week: IntArray,
    *,
    baseline_rr: FloatArray,
    without_comparison: int,
) -> EdgeHistory:
    """Moments per window of trades that all have a comparison."""
    order = np.lexsort((closed_at_days, week))
    outcomes, closed_at_days = outcomes[order], closed_at_days[order]
    window, slot, n = np.unique(week[order], return_inverse=True, return_counts=True)
    count = len(window)
    mean = np.bincount(slot, weights=outcomes, minlength=count) / n
    # two passes: sums of squares would cancel digits
    spread = np.bincount(slot, weights=(outcomes - mean[slot]) ** 2, minlength=count) / n
    pooled = _pooled_variance(n, spread)
    return EdgeHistory(
        window=window,
        n=n.astype(np.int64),
        edge_rr=mean - baseline_rr,
        se_rr=None if pooled is None else np.sqrt(pooled / n),
        mean_closed_at_days=np.bincount(slot, weights=closed_at_days, minlength=count) / n,
        within_variance_rr=spread,
        closed_at_days=closed_at_days,
        windows_without_comparison=without_comparison,
    )


def _pooled_variance(n: IntArray, within_variance_rr: FloatArray) -> float | None:
    freedom = int((n - 1).sum())
    return float(n @ within_variance_rr) / freedom if freedom > 0 else None


def _spread_over_window(rates: FloatArray) -> FloatArray:
    """Average of exp(-rate u) over u even in plus or minus half a window: sinh(x)/x."""
    x = rates * WINDOW_DAYS / 2
    safe = np.where(x == 0, 1.0, x)
    return np.where(x == 0, 1.0, np.sinh(safe) / safe)


def _first_and_last_trade(history: EdgeHistory) -> tuple[FloatArray, FloatArray]:
    if history.closed_at_days is None:
        return history.mean_closed_at_days, history.mean_closed_at_days
    ends = np.cumsum(history.n)
    return history.closed_at_days[ends - history.n], history.closed_at_days[ends - 1]


def _require_trades(outcomes: FloatArray, closed_at_days: FloatArray, in_scope: BoolArray) -> None:
    if not (outcomes.shape == closed_at_days.shape == in_scope.shape) or outcomes.ndim != 1:
        raise ValueError(
            "outcomes, closed_at_days and in_scope must have one shape (N,), got "
            f"{outcomes.shape}, {closed_at_days.shape} and {in_scope.shape}"
        )
    for name, values in (("outcomes", outcomes), ("closed_at_days", closed_at_days)):
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            raise ValueError(f"{name}[{wrong[0]}] must be finite, got {values[wrong[0]]}")
