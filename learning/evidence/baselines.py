"""What a trade could be expected to earn before any scope is looked at: its segment's mean.

A segment is a cap bucket on a timeframe. Segment means are fitted once per discovery look and
kept with it, so that a later, smaller run measures against the same reference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

#: Fewest trades of a bucket x timeframe segment that speaks for itself.
MIN_SEGMENT_TRADES = 10
#: Fewest trades of a bucket alone, or a timeframe alone, to fall back on.
MIN_FALLBACK_TRADES = 5


@dataclass(frozen=True, slots=True, eq=False)
class SegmentBaselines:
    """Reference outcome of every segment; the last row and column stand for an absent value.

    Attributes:
        rr: Shape (n_buckets + 1, n_timeframes + 1), in R.
    """

    rr: Floats

    def of(self, bucket: npt.ArrayLike, timeframe: npt.ArrayLike) -> Floats:
        """The baseline of each trade, in R.

        Args:
            bucket: Shape (n,), value numbers; -1, or a value never seen, is absent.
            timeframe: Shape (n,), likewise.
        """
        n_buckets, n_timeframes = self.rr.shape
        row = _known(np.asarray(bucket), n_buckets - 1)
        column = _known(np.asarray(timeframe), n_timeframes - 1)
        return self.rr[row, column]


def segment_baselines(
    bucket: npt.ArrayLike, timeframe: npt.ArrayLike, rr: npt.ArrayLike
) -> SegmentBaselines:
    """Fit the reference outcome of every segment of one module's trades.

    A segment with at least 10 trades has its own mean. Otherwise the bucket's and the
    timeframe's means, of those with at least 5 trades, are averaged, each weighted by its number
    of trades; where neither has 5, the mean of all trades stands.

    Args:
        bucket: Shape (n,), value number of each trade's cap bucket, -1 absent.
        timeframe: Shape (n,), likewise.
        rr: Shape (n,), outcomes in R, at least one.

    Raises:
        ValueError: If there is no trade, shapes differ or an outcome is not finite.

    Examples:
        >>> fitted = segment_baselines([0] * 10 + [1] * 5, [0] * 15, [1.0] * 10 + [4.0] * 5)
        >>> fitted.of([0, 1, -1], [0, 0, -1]).tolist()
        [1.0, 2.5, 2.0]
    """
    buckets, timeframes, outcomes = np.asarray(bucket), np.asarray(timeframe), np.asarray(rr, float)
    if not buckets.shape == timeframes.shape == outcomes.shape == (len(outcomes),):
        raise ValueError(
            f"bucket, timeframe and rr must have one shape (n,), "
            f"got {buckets.shape}, {timeframes.shape} and {outcomes.shape}"
        )
    if not len(outcomes) or not np.isfinite(outcomes).all():
        raise ValueError(f"rr must be at least one finite outcome, got {len(outcomes)}")
    shape = int(max(buckets.max(), -1)) + 2, int(max(timeframes.max(), -1)) + 2
    cell = _known(buckets, shape[0] - 1) * shape[1] + _known(timeframes, shape[1] - 1)
    n: Floats = np.bincount(cell, minlength=shape[0] * shape[1]).astype(np.float64)
    total: Floats = np.bincount(cell, outcomes, shape[0] * shape[1]).astype(np.float64)
    return SegmentBaselines(_references(n.reshape(shape), total.reshape(shape)))


def _references(n: Floats, total: Floats) -> Floats:
    """Trades and outcome sums by segment to the segments' references."""
    by_bucket = _trusted(n.sum(axis=1), total.sum(axis=1))
    by_timeframe = _trusted(n.sum(axis=0), total.sum(axis=0))
    weight = by_bucket[0][:, None] + by_timeframe[0][None, :]
    pooled = by_bucket[1][:, None] + by_timeframe[1][None, :]
    module_mean = total.sum() / n.sum()
    reference = np.where(weight > 0, pooled / np.maximum(weight, 1), module_mean)
    own = n >= MIN_SEGMENT_TRADES
    own[-1, :] = own[:, -1] = False  # absent is no segment
    return np.where(own, total / np.maximum(n, 1), reference)


def _trusted(n: Floats, total: Floats) -> tuple[Floats, Floats]:
    """Trades and sums of one margin, zero where too few or absent."""
    enough = n >= MIN_FALLBACK_TRADES
    enough[-1] = False
    return np.where(enough, n, 0.0), np.where(enough, total, 0.0)


def _known(codes: npt.NDArray[np.integer], n_values: int) -> Ints:
    """Value numbers, those absent or never seen as the last."""
    return np.where((codes < 0) | (codes >= n_values), n_values, codes).astype(np.intp)


def group_ranks(group: npt.ArrayLike, values: npt.ArrayLike) -> Floats:
    """Rank each trade's value inside its group, scaled to (0, 1).

    The mean over a group is 0.5; the mean over some of its trades is the probability that one
    of them exceeds a random trade of the group, ties counting half. A trade without a value
    (NaN) is not ranked and gets the neutral 0.5.

    Args:
        group: Shape (n,), group number of each trade.
        values: Shape (n,), for example time efficiencies.

    Raises:
        ValueError: If the shapes differ.

    Examples:
        >>> group_ranks([0, 0, 0, 0], [0.2, 0.9, 0.2, np.nan]).round(4).tolist()
        [0.3333, 0.8333, 0.3333, 0.5]
    """
    groups, numbers = np.asarray(group), np.asarray(values, float)
    if groups.shape != numbers.shape or groups.ndim != 1:
        raise ValueError(
            f"group and values must have one shape (n,), got {groups.shape} and {numbers.shape}"
        )
    ranks = np.full(len(groups), 0.5)
    ranked = np.flatnonzero(~np.isnan(numbers))
    order = ranked[np.lexsort((numbers[ranked], groups[ranked]))]
    if not len(order):
        return ranks
    group_first, group_last = _runs(groups[order])
    tie_first, tie_last = _runs(groups[order], numbers[order])
    below = (tie_first + tie_last) / 2 - group_first
    ranks[order] = below / (group_last - group_first)
    return ranks


def _runs(*columns: npt.NDArray[np.generic]) -> tuple[Ints, Ints]:
    """For each row of sorted columns, where its run of equal rows begins and ends."""
    changes = [column[1:] != column[:-1] for column in columns]
    begins = np.concatenate([[True], np.logical_or.reduce(changes)])
    firsts = np.flatnonzero(begins)
    lasts = np.append(firsts[1:], len(begins))
    run = np.cumsum(begins) - 1
    return firsts[run], lasts[run]
