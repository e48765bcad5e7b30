"""How likely a difference between arms is, told by drawing the arms again.

With a small arm and a skewed outcome the t distribution is no guide: of useless overrides with a
tenth held out it calls five in a hundred clear at 0.01. Which arm a decision fell into is known to
be chance, so the chance can be repeated: the outcomes stay, the arms are drawn anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from learning.overrides.effects import BoolArray, Decisions, FloatArray, IntArray

MOST_DRAWS: Final = 20_000
"""Smallest p-value 0.0001: enough to tell one override among a thousand at q = 0.1."""
_DRAWS_AT_ONCE: Final = 2_000
_ENOUGH_BEYOND: Final = 50
"""Draws beyond the observed value on either side after which more would change nothing."""
_TIE: Final = 1e-9


def randomisation_p_value(
    decisions: Decisions,
    outcome: FloatArray,
    *,
    least_per_arm: int,
    rng: np.random.Generator,
) -> float:
    """Test that no decision's outcome depended on its arm.

    Draws every unit of randomisation again with the logged probabilities and compares the
    difference of the arms' means, weighted by the inverse probability of the arm and divided by
    its robust error, with what was observed. Exact for the hypothesis that nothing had an effect,
    whatever the outcomes look like; dividing by the error makes it right in large samples also
    where only the mean effect is zero. The outcome is adjusted for the covariates once, without
    regard to the arms, which keeps it exact.

    Args:
        decisions: With both arms of at least ``least_per_arm`` units.
        outcome: Shape (n,), what is compared: ``decisions.rr`` or a cut of it.
        least_per_arm: Draws with a smaller arm are left out, as such a comparison would be.
        rng: Seeded by what is judged, so that the same trades give the same number.

    Returns:
        Two-sided: twice the smaller tail, at most 1. The observed arms count as a draw.

    References:
        Zhao & Ding (2021), "Covariate-adjusted Fisher randomization tests for the average
        treatment effect"; Besag & Clifford (1991), "Sequential Monte Carlo p-values", for
        stopping early.

    Examples:
        >>> rr = np.repeat([0.0, 1.0], 40) + np.tile([0.0, 0.1], 40)
        >>> decisions = Decisions(rr, rr > 0.5, np.full(80, 0.5), np.zeros((80, 0)))
        >>> rng = np.random.default_rng(1)
        >>> round(randomisation_p_value(decisions, rr, least_per_arm=20, rng=rng), 6)
        0.0001
    """
    units = _units_of(decisions, _adjusted(outcome, decisions.covariates))
    observed = units.statistics(units.treated[None, :])[0]
    above = below = drawn = 0
    for _ in range(MOST_DRAWS // _DRAWS_AT_ONCE):
        arms = units.drawn(_DRAWS_AT_ONCE, rng)
        n_treated = arms.sum(axis=1)
        fits = np.minimum(n_treated, arms.shape[1] - n_treated) >= least_per_arm
        values = units.statistics(arms[fits])
        above += int((values >= observed - _TIE).sum())
        below += int((values <= observed + _TIE).sum())
        drawn += len(values)
        if min(above, below) >= _ENOUGH_BEYOND:
            break
    return min(1.0, 2 * (1 + min(above, below)) / (1 + drawn))


def units_per_arm(decisions: Decisions) -> tuple[int, int]:
    """Return how many units of randomisation were treated, and how many held out."""
    units = _units_of(decisions, decisions.rr)
    n_treated = int(units.treated.sum())
    return n_treated, len(units.treated) - n_treated


@dataclass(frozen=True, slots=True, eq=False)
class _Units:
    """What one number decided together: decisions of a unit at one probability, shape (g,).

    Attributes:
        unit: Which units share a number.
        p: Probability of treatment.
        treated: The observed arm.
        if_treated: Shape (g, 5), what each adds to the treated arm's sums.
        if_held_out: Shape (g, 5), what each adds to the other's.
    """

    unit: IntArray
    p: npt.NDArray[np.float32]
    treated: BoolArray
    if_treated: FloatArray
    if_held_out: FloatArray

    def drawn(self, count: int, rng: np.random.Generator) -> BoolArray:
        """Draw arms anew, shape (count, g)."""
        u = rng.random((count, int(self.unit.max()) + 1), dtype=np.float32)
        return u[:, self.unit] < self.p

    def statistics(self, arms: BoolArray) -> FloatArray:
        """Return the difference of the arms over its robust error, one of each row of arms."""
        chosen = arms.astype(np.float64)
        treated, variance_t = _mean_and_variance(chosen @ self.if_treated)
        held_out, variance_h = _mean_and_variance((1 - chosen) @ self.if_held_out)
        error = np.sqrt(np.maximum(variance_t + variance_h, np.finfo(np.float64).tiny))
        return (treated - held_out) / error


def _mean_and_variance(sums: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weighted mean of an arm and its robust variance, of sums w, wy, w², w²y and w²y²."""
    w, wy, w2, w2y, w2y2 = sums.T
    mean = wy / w
    return mean, (w2y2 - 2 * mean * w2y + mean**2 * w2) / w**2


def _units_of(decisions: Decisions, outcome: FloatArray) -> _Units:
    n = len(outcome)
    unit = np.arange(n) if decisions.unit is None else decisions.unit
    rows = np.column_stack([unit, decisions.p_treated, decisions.treated])
    first, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)[1:]
    p, group = decisions.p_treated[first], group.reshape(n)
    weights = (np.ones_like(p), np.ones_like(p)) if np.ptp(p) == 0 else (1 / p, 1 / (1 - p))
    count, total = np.bincount(group), np.bincount(group, weights=outcome)
    return _Units(
        unit=np.unique(unit[first], return_inverse=True)[1],
        p=p.astype(np.float32),
        treated=decisions.treated[first],
        if_treated=_sums(count * weights[0], total * weights[0]),
        if_held_out=_sums(count * weights[1], total * weights[1]),
    )


def _sums(weight: FloatArray, weighted: FloatArray) -> FloatArray:
    return np.column_stack([weight, weighted, weight**2, weight * weighted, weighted**2])


def _adjusted(outcome: FloatArray, covariates: FloatArray) -> FloatArray:
    """What is left of the outcome after a regression on what was known before."""
    design = np.column_stack([np.ones(len(outcome)), covariates - covariates.mean(axis=0)])
    explained: FloatArray = design @ np.linalg.lstsq(design, outcome, rcond=None)[0]
    return outcome - explained
