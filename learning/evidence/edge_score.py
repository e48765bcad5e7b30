"""The displayed scores of a cell: how large, how steady and how often its edge came.

They rank and describe. None of them is evidence: what makes a lesson is decided elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from learning.evidence.moments import N_SEGMENTS, R2_SCALE, R_SCALE, Moments
from learning.evidence.scope_cube import ScopeCube

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Fewest trades of a cell in a time segment for the segment to count.
MIN_SEGMENT_TRADES = 3
#: Trades that pull the mean time-efficiency rank half-way to 0.5.
TIME_RANK_PRIOR_TRADES = 20
#: Effective blocks at which the recurrence score is one half.
RECURRENCE_HALF_BLOCKS = 8


@dataclass(frozen=True, slots=True)
class EdgeWeights:
    """Regime weights of the score's parts; numbers, or one for each cell."""

    time_efficiency: float | Floats = 1.0
    field_coherence: float | Floats = 1.0
    recurrence: float | Floats = 1.0
    variance: float | Floats = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class FieldCoherence:
    """In how many time segments a cell's edge points the way the other segments say.

    Attributes:
        segments_tested: Shape (m,), segments with at least 3 trades of the cell.
        segments_positive: Shape (m,), tested segments that agree with the others.
        score: Shape (m,), in [0, 1); 0 is what chance gives or less.
    """

    segments_tested: Ints
    segments_positive: Ints
    score: Floats


@dataclass(frozen=True, slots=True, eq=False)
class ScopeStatistics:
    """Displayed statistics of m cells, one column each; outcomes in R, variances in R²."""

    n: npt.NDArray[np.int32]
    avg_rr: Floats
    variance: Floats
    sum_rr: Floats
    sum_rr_sq: Floats
    rr_baseline: Floats
    delta_rr: Floats
    edge_raw: Floats
    time_efficiency: Floats
    field_coherence: Floats
    recurrence_score: Floats
    segments_tested: Ints
    segments_positive: Ints


def time_efficiency_score(mean_rank: npt.ArrayLike, n: npt.ArrayLike) -> Floats:
    """Chance that a trade of the cell pays back faster than a random trade of its group.

    Args:
        mean_rank: Shape (m,), mean rank of the cell's trades in their group, in (0, 1).
        n: Shape (m,), trades; 20 pull the mean half-way to the neutral 0.5.

    Examples:
        >>> time_efficiency_score([0.9], [20]).round(3).tolist()
        [0.7]
    """
    trades = np.asarray(n, float)
    shrunk: Floats = 0.5 + (np.asarray(mean_rank) - 0.5) * trades / (
        trades + TIME_RANK_PRIOR_TRADES
    )
    return shrunk


def field_coherence(cells: Moments, totals: Moments) -> FieldCoherence:
    """Judge each time segment's edge by the sign of all the other segments.

    Leaving the segment out makes agreement under no effect one half, so that it means nothing
    and scores 0; comparing with the total would make it 0.64.

    Args:
        cells: Moments of m cells.
        totals: Moments of the groups they lie in, row by row.

    Raises:
        ValueError: If the numbers of rows differ.

    Examples:
        >>> from learning.evidence.moments import moments_of
        >>> segment = [0] * 6 + [1] * 6
        >>> cell = moments_of([2.0] * 6, segment=segment[3:9])
        >>> group = moments_of([2.0, 2.0, 2.0, 0.0, 0.0, 0.0] * 2, segment=segment)
        >>> coherence = field_coherence(cell, group)
        >>> coherence.segments_tested[0], coherence.segments_positive[0], coherence.score[0]
        (np.int64(2), np.int64(2), np.float64(0.5))
    """
    if len(cells) != len(totals):
        raise ValueError(f"cells and totals must pair up, got {len(cells)} and {len(totals)} rows")
    return _coherence(cells, totals, np.arange(len(cells)))


def _coherence(cells: Moments, totals: Moments, group: npt.NDArray[np.integer]) -> FieldCoherence:
    """As ``field_coherence``, the totals a row a group: a million cells have a hundred groups."""
    pulls = [_pull(cells, totals, group, s) for s in range(N_SEGMENTS)]
    everywhere = np.sum(pulls, axis=0)
    tested = np.zeros(len(cells), np.int64)
    positive = np.zeros(len(cells), np.int64)
    for s, pull in enumerate(pulls):
        counts = cells.seg_n[:, s] >= MIN_SEGMENT_TRADES
        tested += counts
        positive += counts & (pull * (everywhere - pull) > 0)
    score = np.maximum(0.0, 2 * (positive + 1) / (tested + 2) - 1)
    return FieldCoherence(tested, positive, score)


def _pull(cells: Moments, totals: Moments, group: npt.NDArray[np.integer], segment: int) -> Floats:
    """Trades times edge of one segment, in R; 0 where the cell has no trades."""
    n = cells.seg_n[:, segment]
    mean = cells.seg_sum[:, segment] / np.maximum(n, 1)
    group_mean = totals.seg_sum[:, segment] / np.maximum(totals.seg_n[:, segment], 1)
    pull: Floats = n * (mean - group_mean[group]) / R_SCALE
    return pull


def recurrence_score(effective_blocks: npt.ArrayLike) -> Floats:
    """How many independent episodes stand behind a cell, on a scale from 0 to 1.

    Args:
        effective_blocks: Shape (m,), at least 0; see ``scope_cube``.

    Examples:
        >>> recurrence_score([8, 32]).tolist()
        [0.5, 0.8]
    """
    blocks = np.asarray(effective_blocks, float)
    if np.any(blocks < 0):
        raise ValueError(f"effective_blocks must not be negative, got {blocks.min()}")
    score: Floats = blocks / (blocks + RECURRENCE_HALF_BLOCKS)
    return score


def edge_raw(
    delta_rr: npt.ArrayLike,
    variance: npt.ArrayLike,
    n: npt.ArrayLike,
    *,
    time_efficiency: npt.ArrayLike,
    field_coherence: npt.ArrayLike,
    recurrence: npt.ArrayLike,
    weights: EdgeWeights = EdgeWeights(),
) -> Floats:
    """The compatible ranking score; never evidence.

    ``delta_rr / (1 + variance) * ln(1 + n) * (0.5 + 0.5 * S) / (1 + w_var * variance)`` with
    ``S`` a third of the weighted sum of the three scores.

    Args:
        delta_rr: Shape (m,), mean rr less its baseline, in R.
        variance: Shape (m,), in R².
        n: Shape (m,), trades.
        time_efficiency: Shape (m,), in [0, 1], as are the next two.
        field_coherence: Steadiness over time segments.
        recurrence: Number of episodes, scored.
        weights: Regime weights; all 1 where none were learned.

    Examples:
        >>> neutral = {"time_efficiency": [1.0], "field_coherence": [1.0], "recurrence": [1.0]}
        >>> edge_raw([2.0], [1.0], [np.e - 1], **neutral).round(9).tolist()
        [0.5]
    """
    spread = np.asarray(variance, float)
    scores = (
        weights.time_efficiency * np.asarray(time_efficiency)
        + weights.field_coherence * np.asarray(field_coherence)
        + weights.recurrence * np.asarray(recurrence)
    )
    edge: Floats = (
        np.asarray(delta_rr)
        / (1 + spread)
        * np.log1p(np.asarray(n, float))
        * (0.5 + 0.5 * scores / 3)
        / (1 + weights.variance * spread)
    )
    return edge


def scope_statistics(
    cube: ScopeCube,
    *,
    weights: EdgeWeights = EdgeWeights(),
) -> ScopeStatistics:
    """Every displayed statistic of every cell of a cube.

    Args:
        cube: Built with ``baseline``, ``time_rank`` and ``block_length``.
        weights: Regime weights, numbers or one for each cell.

    Raises:
        ValueError: If the cube was built without one of the three.

    Examples:
        >>> from learning.evidence.scope_cube import scope_cube
        >>> cube = scope_cube(
        ...     [0, 0], [[0], [0]], [1.0, 2.0], closed_at=[1, 9], block_length=7,
        ...     n_min=[2], baseline=[0.5, 0.5], time_rank=[0.25, 0.75],
        ... )
        >>> columns = scope_statistics(cube)
        >>> columns.delta_rr.tolist(), columns.recurrence_score.tolist()
        ([1.0], [0.2])
    """
    if cube.absent or cube.effective_blocks is None:
        missing = [*cube.absent, *(["block_length"] if cube.effective_blocks is None else [])]
        raise ValueError(f"scope statistics need a cube built with {', '.join(missing)}")
    cells = cube.moments
    avg_rr, variance, baseline = cells.avg_rr(), cells.variance(), cells.rr_baseline()
    speed = time_efficiency_score(cells.avg_time_rank(), cells.n)
    steady = _coherence(cells, cube.totals, cube.group)
    recurrence = recurrence_score(cube.effective_blocks)
    return ScopeStatistics(
        n=cells.n,
        avg_rr=avg_rr,
        variance=variance,
        sum_rr=cells.sum_rr / R_SCALE,
        sum_rr_sq=cells.sum_rr_sq / R2_SCALE,
        rr_baseline=baseline,
        delta_rr=avg_rr - baseline,
        edge_raw=edge_raw(
            avg_rr - baseline,
            variance,
            cells.n,
            time_efficiency=speed,
            field_coherence=steady.score,
            recurrence=recurrence,
            weights=weights,
        ),
        time_efficiency=speed,
        field_coherence=steady.score,
        recurrence_score=recurrence,
        segments_tested=steady.segments_tested,
        segments_positive=steady.segments_positive,
    )
