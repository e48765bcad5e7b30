"""How an effect came to be what it is: the same measurement as it stood at earlier moments.

What is drawn over time is the confidence sequence, which holds at all of these moments at once;
where it has not begun there is a line and no band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from learning.overrides.effect_record import AppliedTrades, PatternTrades, randomised_decisions
from learning.overrides.effects import (
    DECISION_SEQUENCE,
    WEEK_DAYS,
    WEEK_SEQUENCE,
    Effect,
    FloatArray,
    IntArray,
    NotMeasured,
    decision_effect_path,
    sample_ratio,
    size_uplift,
)

MOST_LOOKS = 60


@dataclass(frozen=True, slots=True)
class PathPoint:
    """An effect as it stood at a moment.

    Attributes:
        at_days: Days since 1970 of the last trade in it.
        n: Trades so far.
        estimate_rr: Mean per trade, R.
        low_rr: Lower end of the 95 % confidence sequence; None before it begins.
        high_rr: Upper end.
    """

    at_days: float
    n: int
    estimate_rr: float
    low_rr: float | None
    high_rr: float | None

    @property
    def total_rr(self) -> float:
        """Sum over the trades so far, R."""
        return self.estimate_rr * self.n

    @property
    def total_range_rr(self) -> tuple[float, float] | None:
        """The band of the sum: that of the mean, times the trades."""
        if self.low_rr is None or self.high_rr is None:
            return None
        return self.low_rr * self.n, self.high_rr * self.n


@dataclass(frozen=True, slots=True)
class EffectPath:
    """An effect over time, and when its band begins.

    Attributes:
        points: In time order, at most one a week.
        starts_at: Units before which there is no band.
        n_units: Units so far.
        unit: What is counted, in words.
    """

    points: tuple[PathPoint, ...]
    starts_at: int
    n_units: int
    unit: str


def uplift_path(multipliers: FloatArray, rr: FloatArray, closed_at_days: FloatArray) -> EffectPath:
    """Measure what size earned, as it stood at the end of each week with trades.

    Args:
        multipliers: Shape (n,), applied multiplier.
        rr: Shape (n,), outcome at base risk, R.
        closed_at_days: Shape (n,), days since 1970.

    Examples:
        Two trades of one week and one of the next: 0.1 * 2 - 0.1 * 1, then + 0.1 * 3.

        >>> found = uplift_path(np.full(3, 1.1), np.array([2.0, -1.0, 3.0]),
        ...                     np.array([7.0, 8.0, 14.0]))
        >>> [round(point.total_rr, 3) for point in found.points], found.n_units
        ([0.1, 0.4], 2)
    """
    order = np.argsort(closed_at_days, kind="stable")
    multipliers, rr, closed = multipliers[order], rr[order], closed_at_days[order]
    ends = _ends_of_weeks(closed)
    points = [_uplift_at(multipliers, rr, closed, int(end)) for end in _thinned(ends)]
    return EffectPath(tuple(points), WEEK_SEQUENCE.start, len(ends), WEEK_SEQUENCE.unit)


def _ends_of_weeks(closed_at_days: FloatArray) -> IntArray:
    """How many trades have closed by the end of each week that has some."""
    week = np.floor(closed_at_days / WEEK_DAYS).astype(np.int64)
    last = np.flatnonzero(np.diff(week, append=week[-1] + 1 if len(week) else 0))
    return (last + 1).astype(np.int64)


def _thinned(looks: IntArray) -> IntArray:
    """At most as many looks as are drawn, the last among them."""
    if len(looks) <= MOST_LOOKS:
        return looks
    return looks[np.unique(np.linspace(0, len(looks) - 1, MOST_LOOKS).round().astype(np.int64))]


def _uplift_at(multipliers: FloatArray, rr: FloatArray, closed: FloatArray, end: int) -> PathPoint:
    found = size_uplift(multipliers[:end], rr[:end], closed[:end]).uplift
    at = float(closed[end - 1])
    if isinstance(found, NotMeasured):
        mean = float(((multipliers[:end] - 1) * rr[:end]).mean())
        return PathPoint(at, end, mean, None, None)
    return _point(found, at, end)


def _point(found: Effect, at_days: float, n: int) -> PathPoint:
    return PathPoint(at_days, n, found.estimate_rr, found.sequence_low_rr, found.sequence_high_rr)


def randomised(applied: AppliedTrades) -> AppliedTrades:
    """Return the trades whose arm was drawn at random, in the order they were decided in."""
    drawn = applied.randomised()
    return drawn.chosen(np.argsort(drawn.decided_at_days, kind="stable"))


def comparison_path(applied: AppliedTrades, pattern: PatternTrades) -> EffectPath:
    """Compare treated with held-out trades as the comparison stood after each look.

    Args:
        applied: Those drawn at random only, in the order they were decided in.
        pattern: All trades of the setup, for what was known before each decision.
    """
    decisions = randomised_decisions(applied, pattern)
    looks = _looks(applied.n)
    points = [
        _point(found, float(applied.decided_at_days[look - 1]), look)
        for look, found in decision_effect_path(decisions, looks)
        if isinstance(found, Effect)
    ]
    n_units = len(np.unique(applied.unit))
    return EffectPath(tuple(points), DECISION_SEQUENCE.start, n_units, DECISION_SEQUENCE.unit)


def _looks(n: int) -> Sequence[int]:
    step = max(n // MOST_LOOKS, 1)
    return sorted({*range(step, n + 1, step), n} - {0})


@dataclass(frozen=True, slots=True)
class Balance:
    """Whether both arms met the same conditions before anything was decided.

    Attributes:
        condition: A dimension with its value.
        share_treated: Share of the treated decisions that met it.
        share_held_out: The same of the held-out ones.
        p_value: Two-sided, of a split this uneven under the logged probabilities.
    """

    condition: str
    share_treated: float
    share_held_out: float
    p_value: float


def balance(
    conditions: Sequence[Sequence[str]], treated: Sequence[bool], p_treated: Sequence[float]
) -> list[Balance]:
    """Compare the conditions of the two arms, the most frequent ones first.

    Assigned at random, the arms differ by chance only: one condition in twenty lies below 0.05.

    Args:
        conditions: What each decision met, one list of names a decision.
        treated: Assigned arm of each.
        p_treated: Logged probability of each.

    Examples:
        >>> found = balance([["bucket mid"], ["bucket mid"], []], [True, False, True], [0.5] * 3)
        >>> found[0].condition, found[0].share_treated, found[0].share_held_out
        ('bucket mid', 0.5, 1.0)
    """
    arm, chance = np.asarray(treated, dtype=np.bool_), np.asarray(p_treated, dtype=np.float64)
    met: dict[str, list[int]] = {}
    for i, names in enumerate(conditions):
        for name in names:
            met.setdefault(name, []).append(i)
    n_treated, n_held_out = int(arm.sum()), int((~arm).sum())
    if not n_treated or not n_held_out:
        return []
    ordered = sorted(met.items(), key=lambda one: (-len(one[1]), one[0]))
    return [
        Balance(
            name,
            float(arm[rows].sum()) / n_treated,
            float((~arm[rows]).sum()) / n_held_out,
            sample_ratio(arm[rows], chance[rows]).p_value,
        )
        for name, rows in ordered
    ]
