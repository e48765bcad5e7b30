"""Sums over sets of trades that add up without error, whatever the order or the parts.

Outcomes are fixed-point integers: R in steps of 1e-6, R² in steps of 1e-6. Integer addition is
associative, so the sums of a set are the same bits however it was cut, and
``moments(a) + moments(b) == moments(a and b)`` holds exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

#: Fixed-point steps per R; also per unit of time-efficiency rank.
R_SCALE = 1e6
#: Fixed-point steps per R². Sums hold millions of outcomes of a thousand R, or single ones of a
#: million; kernels have it compiled in, so that their files must change with it.
R2_SCALE = 1e6
#: Equal-count parts that a group's trades are cut into by time.
N_SEGMENTS = 6
#: No sum of magnitudes may reach this; int64 ends at twice as much.
LARGEST_SUM = float(2**62)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def to_fixed(values: npt.ArrayLike, scale: float) -> Ints:
    """Round to the nearest fixed-point step, ties to even.

    Args:
        values: Any shape; finite.
        scale: Steps per unit: ``R_SCALE`` or ``R2_SCALE``.

    Raises:
        ValueError: If a value is not finite, or more than 2**62 steps from zero.

    Examples:
        >>> to_fixed([1.5, -0.25], R_SCALE).tolist()
        [1500000, -250000]
    """
    steps = np.rint(np.asarray(values, dtype=np.float64) * scale)
    if not np.all(np.abs(steps) < LARGEST_SUM):
        raise ValueError(f"values must be finite and below {LARGEST_SUM / scale:g} in size")
    return steps.astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """What m sets of trades add up to; one row a set.

    Attributes:
        n: Shape (m,), distinct trades.
        sum_rr: Shape (m,), sum of rr in 1e-6 R.
        sum_rr_sq: Shape (m,), sum of rr² in 1e-6 R².
        sum_clipped_sq: Shape (m,), sum of clipped rr² in 1e-6 R².
        sum_baseline: Shape (m,), sum of the trades' segment baselines in 1e-6 R.
        sum_time_rank: Shape (m,), sum of the trades' time-efficiency ranks in 1e-6.
        seg_n: Shape (m, 6), trades per time segment.
        seg_sum: Shape (m, 6), sum of clipped rr per time segment in 1e-6 R.
    """

    n: npt.NDArray[np.int32]
    sum_rr: Ints
    sum_rr_sq: Ints
    sum_clipped_sq: Ints
    sum_baseline: Ints
    sum_time_rank: Ints
    seg_n: npt.NDArray[np.int32]
    seg_sum: Ints

    def __len__(self) -> int:
        return len(self.n)

    def __add__(self, other: Self) -> Self:
        """Row by row, the moments of two disjoint sets together."""
        return type(self)(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Moments):
            return NotImplemented
        return all(map(np.array_equal, self, other))

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        return (getattr(self, column.name) for column in fields(self))

    def take(self, rows: npt.NDArray[Any]) -> Self:
        """The given rows, by position or by a mask."""
        return type(self)(*(column[rows] for column in self))

    def added_by(self, row: npt.NDArray[np.intp], n_rows: int) -> Self:
        """Add the sets up that fall on the same row; rows nothing falls on are empty sets."""
        return type(self)(*(_added_by(column, row, n_rows) for column in self))

    def avg_rr(self) -> Floats:
        """Shape (m,): mean raw rr in R.

        Examples:
            >>> moments_of([1.0, 3.0]).avg_rr().tolist()
            [2.0]
        """
        return _per_trade(self.sum_rr, self.n, R_SCALE)

    def avg_clipped(self) -> Floats:
        """Shape (m,): mean clipped rr in R."""
        return _per_trade(self.seg_sum.sum(axis=1), self.n, R_SCALE)

    def variance(self) -> Floats:
        """Shape (m,): population variance of clipped rr in R².

        Examples:
            >>> moments_of([1.0, 3.0]).variance().tolist()
            [1.0]
        """
        spread = _per_trade(self.sum_clipped_sq, self.n, R2_SCALE) - self.avg_clipped() ** 2
        return np.maximum(spread, 0.0)

    def rr_baseline(self) -> Floats:
        """Shape (m,): mean over the trades of their segments' baselines, in R."""
        return _per_trade(self.sum_baseline, self.n, R_SCALE)

    def avg_time_rank(self) -> Floats:
        """Shape (m,): mean time-efficiency rank, in (0, 1)."""
        return _per_trade(self.sum_time_rank, self.n, R_SCALE)


def moments_of(
    rr: npt.ArrayLike,
    *,
    clip: tuple[float, float] | None = None,
    baseline: npt.ArrayLike | None = None,
    time_rank: npt.ArrayLike | None = None,
    segment: npt.ArrayLike | None = None,
) -> Moments:
    """The moments of one set of trades, as a table of one row.

    Args:
        rr: Shape (n,), outcomes in R.
        clip: Lowest and highest outcome counted in the clipped sums; none clips nothing.
        baseline: Shape (n,), each trade's segment baseline in R; absent counts 0.
        time_rank: Shape (n,), each trade's time-efficiency rank in (0, 1); absent counts 0.
        segment: Shape (n,), time segment 0 to 5; absent puts all trades in the first.

    Raises:
        ValueError: If an outcome is not finite or a sum would leave int64.

    Examples:
        >>> whole = moments_of([0.5, -1.0, 2.0])
        >>> whole == moments_of([0.5]) + moments_of([2.0, -1.0])
        True
    """
    outcomes = np.asarray(rr, dtype=np.float64)
    n = len(outcomes)
    clipped = outcomes if clip is None else np.clip(outcomes, *clip)
    parts = np.zeros(n, np.intp) if segment is None else np.asarray(segment, np.intp)
    zeros = np.zeros(n)
    columns = [
        (outcomes, R_SCALE),
        (outcomes**2, R2_SCALE),
        (clipped**2, R2_SCALE),
        (zeros if baseline is None else baseline, R_SCALE),
        (zeros if time_rank is None else time_rank, R_SCALE),
    ]
    sums = [np.array([exact_sum(to_fixed(values, scale))]) for values, scale in columns]
    fixed = to_fixed(clipped, R_SCALE)
    seg_sum = np.array([[exact_sum(fixed[parts == s]) for s in range(N_SEGMENTS)]])
    seg_n = np.bincount(parts, minlength=N_SEGMENTS).astype(np.int32)[None]
    return Moments(np.array([n], np.int32), *sums, seg_n, seg_sum)  # type: ignore[call-arg]


def concatenated(tables: Sequence[Moments]) -> Moments:
    """The rows of all tables, one table after the other."""
    return Moments(*(np.concatenate(columns) for columns in zip(*tables, strict=True)))


def exact_sum(steps: Ints) -> np.int64:
    """Add fixed-point steps up.

    Raises:
        ValueError: If their magnitudes add up to 2**62 or more.
    """
    if np.abs(steps).astype(np.float64).sum() >= LARGEST_SUM:
        raise ValueError(f"fixed-point sums must stay below 2**62, got {len(steps)} values beyond")
    return np.int64(steps.sum())


def _per_trade(sums: Ints, n: npt.NDArray[np.int32], scale: float) -> Floats:
    """Sums in steps to means in units; the empty set has mean 0."""
    means: Floats = sums / (np.maximum(n, 1) * scale)
    return means


def _added_by(column: npt.NDArray[Any], row: npt.NDArray[np.intp], n_rows: int) -> Any:
    """Sum of the column's entries by row."""
    total = np.zeros((n_rows, *column.shape[1:]), column.dtype)
    np.add.at(total, row, column)
    return total
