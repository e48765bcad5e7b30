"""How much each score says about the edge to come, regime by regime.

Slopes are time-forward: scores known at the end of one segment against the edge of the next.
A regime's weight is its slope relative to all regimes together, shrunk toward 1 by how well it
is known. Weights scale displayed scores and lesson strength, never a test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from learning.domain.regime import signature_fallbacks

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SCORES: Final = ("time_efficiency", "field_coherence", "recurrence_score", "variance")
MIN_SAMPLES: Final = 30
MIN_BLOCKS: Final = 5
"""A bootstrap over fewer blocks understates its error."""
LOWEST_WEIGHT: Final = 0.5
HIGHEST_WEIGHT: Final = 1.5
NEUTRAL_WEIGHT: Final = 1.0
RIDGE_SHARE: Final = 0.05
"""Penalty as a share of a score's own sum of squares: alike for small and large regimes."""
N_DRAWS: Final = 400
ALPHA: Final = 0.05
ALL_REGIMES: Final = ""
_VARIANCE_FLOOR: Final = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class LessonSegments:
    """One row per lesson and time segment that has a next one.

    Attributes:
        signatures: R regime signatures, ``macro=…|meso=…|micro=…|bucket_rank=…`` with the parts
            that the lesson's scope fixes; empty for none.
        block: Shape (R,), time block of the **next** segment: rows of one block share shocks.
        scores: Shape (R, 4), ``SCORES`` computed from trades up to the end of the segment.
        next_delta_rr: Shape (R,), edge of the next segment, R.
        direction: Shape (R,), +1 for a winning lesson, -1 for a losing one, as known at the end
            of the segment. An edge counts in this direction, and a losing lesson's time
            efficiency is mirrored at 0.5: quick losses are what it predicts.
    """

    signatures: tuple[str, ...]
    block: IntArray
    scores: FloatArray
    next_delta_rr: FloatArray
    direction: FloatArray

    def __post_init__(self) -> None:
        n = len(self.signatures)
        shapes = (self.block.shape, self.next_delta_rr.shape, self.direction.shape)
        if any(shape != (n,) for shape in shapes) or self.scores.shape != (n, len(SCORES)):
            raise ValueError(
                f"lesson segments must have one row per signature ({n}), "
                f"got {shapes} and scores {self.scores.shape}"
            )
        for name in ("scores", "next_delta_rr"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} must be finite: leave out rows that lack a value")
        if not np.isin(self.direction, (-1.0, 1.0)).all():
            raise ValueError("direction must be +1 or -1")


@dataclass(frozen=True, slots=True)
class ScoreWeight:
    """The weight of one score in one regime.

    Attributes:
        weight: Between 0.5 and 1.5; 1 where nothing better is known.
        slope_rr: Next edge per standard deviation of the score, R; absent when not estimated.
        slope_se_rr: Its standard error from a block bootstrap.
        confidence: Share of the difference to all regimes that is believed, in [0, 1].
        reason: Why the weight is 1, or that it was learned.
        interval: 95 % of the weight, the slope of all regimes taken as known; absent where the
            weight was not learned.
    """

    weight: float
    slope_rr: float | None
    slope_se_rr: float | None
    confidence: float
    reason: str
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class RegimeWeights:
    """The four weights of one regime signature.

    Attributes:
        signature: Regime signature; empty for all regimes together.
        n_samples: Lesson-segments behind the weights.
        time_efficiency: Weight w1 of the compatible score.
        field_coherence: Weight w2.
        recurrence_score: Weight w3.
        variance: Weight w4.
    """

    signature: str
    n_samples: int
    time_efficiency: ScoreWeight
    field_coherence: ScoreWeight
    recurrence_score: ScoreWeight
    variance: ScoreWeight


def regime_weights(
    segments: LessonSegments, *, rng: np.random.Generator
) -> dict[str, RegimeWeights]:
    """Learn the weights of every signature seen and of its shorter fallbacks.

    A row counts for its own signature and for every shorter one, down to the empty signature of
    all regimes together, whose weights are 1 by definition. A weight differs from 1 only with
    at least 30 lesson-segments in at least 5 blocks, an interval of its slope that excludes the
    slope of all regimes, and an interval of the latter that excludes 0.

    Args:
        segments: Lesson-segments of one (pattern_key, action_category), or of all.
        rng: For the block bootstrap.

    Returns:
        Weights by signature; empty when there are no rows.
    """
    if not segments.signatures:
        return {}
    design, outcome = _standardised(segments)
    rows = _rows_by_signature(segments.signatures)
    fits = {
        signature: _Slopes.fit(design[at], outcome[at], segments.block[at], rng)
        for signature, at in rows.items()
        if _lack(segments.block[at]) is None
    }
    pooled = fits.get(ALL_REGIMES)
    between = {} if pooled is None else _between_variances(fits, pooled)
    return {
        signature: _weights(signature, segments.block[at], fits.get(signature), pooled, between)
        for signature, at in rows.items()
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Slopes:
    """Ridge slopes of the four scores with block-bootstrap errors."""

    slope: FloatArray  # (4,)
    se: FloatArray  # (4,)
    quantile: float  # of Student's t for the number of blocks

    @classmethod
    def fit(
        cls, design: FloatArray, outcome: FloatArray, block: IntArray, rng: np.random.Generator
    ) -> _Slopes:
        gram, moment = _block_sums(design, outcome, block)
        count = len(gram)
        draws = rng.multinomial(count, np.full(count, 1 / count), size=N_DRAWS).astype(float)
        drawn = _ridge(np.tensordot(draws, gram, 1), draws @ moment)
        return cls(
            slope=_ridge(gram.sum(axis=0), moment.sum(axis=0)),
            se=drawn.std(axis=0, ddof=1) * np.sqrt(count / (count - 1)),
            quantile=float(stats.t.isf(ALPHA / 2, count - 1)),
        )

    def differs_from(self, value: FloatArray | float) -> npt.NDArray[np.bool_]:
        """Whether the 95 % interval of each slope excludes ``value``."""
        away: npt.NDArray[np.bool_] = np.abs(self.slope - value) > self.quantile * self.se
        return away


def _standardised(segments: LessonSegments) -> tuple[FloatArray, FloatArray]:
    """Scores in their own standard deviations over all rows, outcome in the lesson's direction."""
    scores = segments.scores.copy()
    scores[:, 0] = 0.5 + segments.direction * (scores[:, 0] - 0.5)
    spread = scores.std(axis=0)
    scaled = (scores - scores.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return scaled, segments.direction * segments.next_delta_rr


def _rows_by_signature(signatures: Sequence[str]) -> dict[str, IntArray]:
    rows: dict[str, list[int]] = defaultdict(list)
    for row, signature in enumerate(signatures):
        for shorter in signature_fallbacks(signature):
            rows[shorter].append(row)
    return {signature: np.array(at) for signature, at in sorted(rows.items())}


def _lack(block: IntArray) -> str | None:
    if len(block) < MIN_SAMPLES:
        return f"{len(block)} lesson-segments, {MIN_SAMPLES} needed"
    count = len(np.unique(block))
    return f"{count} blocks of time, {MIN_BLOCKS} needed" if count < MIN_BLOCKS else None


def _block_sums(
    design: FloatArray, outcome: FloatArray, block: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Per block the cross products of (1, scores): shapes (B, 5, 5) and (B, 5)."""
    full = np.column_stack([np.ones(len(design)), design])
    order = np.argsort(block, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(block[order]) != 0])
    full, outcome = full[order], outcome[order]
    gram: FloatArray = np.add.reduceat(full[:, :, None] * full[:, None, :], starts, axis=0)
    moment: FloatArray = np.add.reduceat(full * outcome[:, None], starts, axis=0)
    return gram, moment


def _ridge(gram: FloatArray, moment: FloatArray) -> FloatArray:
    """Slopes for stacked cross products; the intercept is not penalised."""
    n = gram[..., 0, 0][..., None, None]
    penalty = RIDGE_SHARE * n * np.diag([0.0, 1.0, 1.0, 1.0, 1.0])
    solved = np.linalg.solve(gram + penalty, moment[..., None])[..., 1:, 0]
    return np.asarray(solved, dtype=np.float64)


def _between_variances(fits: dict[str, _Slopes], pooled: _Slopes) -> dict[int, FloatArray]:
    """Variance of true slopes between signatures of equal length, by method of moments."""
    by_length: dict[int, list[_Slopes]] = defaultdict(list)
    for signature, fit in fits.items():
        by_length[_length(signature)].append(fit)
    return {length: _between_variance(same, pooled) for length, same in by_length.items()}


def _between_variance(fits: Sequence[_Slopes], pooled: _Slopes) -> FloatArray:
    slope = np.stack([fit.slope for fit in fits])
    precision = 1 / (np.stack([fit.se for fit in fits]) ** 2 + _VARIANCE_FLOOR)
    excess = (precision * (slope - pooled.slope) ** 2).sum(axis=0) - len(fits)
    return np.asarray(np.maximum(0.0, excess / precision.sum(axis=0)), dtype=np.float64)


def _length(signature: str) -> int:
    return len(signature.split("|")) if signature else 0


def _weights(
    signature: str,
    block: IntArray,
    fit: _Slopes | None,
    pooled: _Slopes | None,
    between: dict[int, FloatArray],
) -> RegimeWeights:
    if fit is None or pooled is None:
        neutral = ScoreWeight(NEUTRAL_WEIGHT, None, None, 0.0, _lack(block) or "too few rows")
        each = [neutral] * len(SCORES)
    else:
        each = [
            _score_weight(fit, pooled, between[_length(signature)], at)
            if signature != ALL_REGIMES
            else _reference(fit, at)
            for at in range(len(SCORES))
        ]
    return RegimeWeights(signature, len(block), *each)


def _reference(fit: _Slopes, at: int) -> ScoreWeight:
    return ScoreWeight(
        NEUTRAL_WEIGHT,
        float(fit.slope[at]),
        float(fit.se[at]),
        1.0,
        "all regimes together are the reference",
    )


def _score_weight(fit: _Slopes, pooled: _Slopes, between: FloatArray, at: int) -> ScoreWeight:
    """Shrunk slope over pooled slope, where both intervals allow one."""
    slope, se = float(fit.slope[at]), float(fit.se[at])
    reference = float(pooled.slope[at])
    variance = float(between[at])
    believed = variance / (variance + se**2) if variance > 0 else 0.0
    if not pooled.differs_from(0.0)[at]:
        reason = "over all regimes the score does not go with the next edge clearly"
    elif not fit.differs_from(pooled.slope)[at]:
        reason = "the interval includes the slope of all regimes together"
    else:
        ratio = (reference + believed * (slope - reference)) / reference
        # of a normal slope round that of all regimes: posterior variance believed * se**2
        reach = fit.quantile * believed**0.5 * se / abs(reference)
        interval = _bounded(ratio - reach), _bounded(ratio + reach)
        return ScoreWeight(_bounded(ratio), slope, se, believed, "learned", interval)
    return ScoreWeight(NEUTRAL_WEIGHT, slope, se, believed, reason)


def _bounded(weight: float) -> float:
    return min(max(weight, LOWEST_WEIGHT), HIGHEST_WEIGHT)
