"""What a lesson's scores said before, and what its edge did next: the rows weights learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from learning.evidence.baselines import group_ranks
from learning.evidence.edge_score import (
    MIN_SEGMENT_TRADES,
    field_coherence,
    recurrence_score,
    time_efficiency_score,
)
from learning.evidence.moments import N_SEGMENTS, moments_of
from learning.meta.regime_weights import LessonSegments

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
BLOCK_DAYS = 28.0


@dataclass(frozen=True, slots=True, eq=False)
class LessonStream:
    """One lesson's group of trades in order of time.

    Attributes:
        signature: Regime signature of the lesson's scope.
        outcomes: Shape (n,), clipped outcome in R.
        closed_at_days: Shape (n,), rising.
        time_efficiency: Shape (n,), NaN where a trade has none.
        in_scope: Shape (n,), which trades the lesson matches.
    """

    signature: str
    outcomes: Floats
    closed_at_days: Floats
    time_efficiency: Floats
    in_scope: Bools


def lesson_segments(streams: Sequence[LessonStream]) -> LessonSegments:
    """Cut each lesson's group into six equal-count segments, and look one segment ahead.

    The scores of a row use trades up to the end of its segment only, the edge those of the
    next one only: nothing of the future enters a score. A row needs three trades in scope on
    either side.
    """
    rows = [row for stream in streams for row in _rows(stream)]
    return LessonSegments(
        signatures=tuple(row.signature for row in rows),
        block=np.array([row.block for row in rows], dtype=np.int64),
        scores=np.array([row.scores for row in rows], dtype=np.float64).reshape(len(rows), 4),
        next_delta_rr=np.array([row.next_delta_rr for row in rows], dtype=np.float64),
        direction=np.array([row.direction for row in rows], dtype=np.float64),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    signature: str
    block: int
    scores: tuple[float, float, float, float]
    next_delta_rr: float
    direction: float


def _rows(stream: LessonStream) -> list[_Row]:
    n = len(stream.outcomes)
    segment = np.arange(n) * N_SEGMENTS // max(n, 1)
    found = []
    for s in range(N_SEGMENTS - 1):
        past, ahead = segment <= s, segment == s + 1
        row = _row(stream, segment, past, ahead)
        if row is not None:
            found.append(row)
    return found


def _row(
    stream: LessonStream, segment: npt.NDArray[np.int64], past: Bools, ahead: Bools
) -> _Row | None:
    inside, next_inside = past & stream.in_scope, ahead & stream.in_scope
    if min(inside.sum(), next_inside.sum()) < MIN_SEGMENT_TRADES or inside.sum() == past.sum():
        return None
    delta = float(stream.outcomes[inside].mean() - stream.outcomes[past].mean())
    next_delta = float(stream.outcomes[next_inside].mean() - stream.outcomes[ahead].mean())
    return _Row(
        signature=stream.signature,
        block=int(stream.closed_at_days[ahead].mean() // BLOCK_DAYS),
        scores=_scores(stream, segment, past, inside),
        next_delta_rr=next_delta,
        direction=1.0 if delta >= 0 else -1.0,
    )


def _scores(
    stream: LessonStream, segment: npt.NDArray[np.int64], past: Bools, inside: Bools
) -> tuple[float, float, float, float]:
    n = int(inside.sum())
    ranks = group_ranks(np.zeros(int(past.sum()), dtype=np.int64), stream.time_efficiency[past])
    steady = field_coherence(
        moments_of(stream.outcomes[inside], segment=segment[inside]),
        moments_of(stream.outcomes[past], segment=segment[past]),
    )
    weeks = np.unique(stream.closed_at_days[inside] // 7.0, return_counts=True)[1]
    worth = weeks * (1 + 0.1 * (weeks - 1))
    return (
        float(time_efficiency_score([ranks[inside[past]].mean()], [n])[0]),
        float(steady.score[0]),
        float(recurrence_score([worth.sum() ** 2 / np.square(worth).sum()])[0]),
        float(stream.outcomes[inside].var()),
    )
