"""Did an override help, or was it luck? Intervals that stay honest when people look daily.

Size does not change what a trade returns per unit of risk, so a size multiplier is judged by
its uplift, ``(multiplier - 1) * rr`` summed over trades that happened anyway. Levers that change
a decision are judged against decisions held out at random. Both are shown with a confidence
sequence, which may be looked at after every trade without raising the error rate.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from learning.evidence.false_discovery import q_values
from learning.lessons.posterior import (
    PRIOR_SCALES,
    EdgePosterior,
    edge_posterior,
    fit_edge_prior,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

ALPHA = 0.05
WEEK_DAYS = 7.0
CLIP_QUANTILE = 0.99
"""The primary outcome of a comparison of arms is cut here; the raw one is shown beside it."""
MIN_PER_ARM = 10
SAMPLE_RATIO_ALARM = 0.001
"""An arm split this unlikely means that the assignment or the log is broken."""
MOST_MISSING = 10_000
"""Trades beyond which no number of missing ones is named."""


@dataclass(frozen=True, slots=True)
class SequenceDesign:
    """When a confidence sequence starts and where it is tightest.

    Attributes:
        start: Units before which nothing is said: the sequence is asymptotic.
        tightest_at: Units at which its width is smallest relative to a fixed interval.
        unit: What is counted, in words.
        start_of_arm: Units of the smaller arm before which nothing is said either: few skewed
            outcomes have no normal mean, however many there are in the other arm.
    """

    start: int
    tightest_at: int
    unit: str
    start_of_arm: int = 0


DECISION_SEQUENCE = SequenceDesign(
    start=200, tightest_at=1000, unit="decisions, 50 of them in each arm", start_of_arm=50
)
WEEK_SEQUENCE = SequenceDesign(start=20, tightest_at=100, unit="weeks with trades")


class Verdict(enum.StrEnum):
    """The three things that can be said about an override."""

    HELPS = "helps"
    HURTS = "hurts"
    NOT_CLEAR = "not clear yet"


@dataclass(frozen=True, slots=True)
class NotMeasured:
    """An effect that the data cannot support."""

    reason: str  # "3 held-out decisions, 10 needed"


@dataclass(frozen=True, slots=True)
class Effect:
    """An effect with both intervals and what may be said about it.

    Attributes:
        estimate_rr: Mean effect per trade, R.
        se_rr: Its standard error, clustered by the unit.
        n: Trades.
        n_units: Independent units: weeks of an uplift, units of randomisation of a comparison.
        fixed_low_rr: Lower end of the 95 % interval for a horizon declared beforehand.
        fixed_high_rr: Upper end.
        sequence_low_rr: Lower end of the 95 % confidence sequence; absent before its start.
        sequence_high_rr: Upper end.
        p_value: Two-sided, for a horizon declared beforehand.
        verdict: From the sequence.
        n_missing: About how many more trades would make it clear if the estimate stayed as it
            is; absent when it is clear, or beyond 10000.
        sentence: The verdict in words, with about how many trades are missing.
    """

    estimate_rr: float
    se_rr: float
    n: int
    n_units: int
    fixed_low_rr: float
    fixed_high_rr: float
    sequence_low_rr: float | None
    sequence_high_rr: float | None
    p_value: float
    verdict: Verdict
    n_missing: int | None
    sentence: str

    @property
    def raises_guardrail(self) -> bool:
        """Whether the whole sequence lies below zero: alert, and propose to disable."""
        return self.sequence_high_rr is not None and self.sequence_high_rr < 0


@dataclass(frozen=True, slots=True)
class SizeUplift:
    """What a size multiplier earned, in R of base risk per trade.

    Attributes:
        uplift: Mean of (multiplier - 1) * rr. Any size-up earns where the mean outcome is
            positive.
        selection_skill: Mean of (multiplier - 1) * (rr - mean of the pattern): whether the
            right trades were sized up. Absent when the pattern's mean was not given.
    """

    uplift: Effect | NotMeasured
    selection_skill: Effect | NotMeasured


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Whether as many decisions were treated as the logged probabilities promise.

    Attributes:
        n_treated: Treated decisions.
        expected_treated: Sum of the probabilities.
        p_value: Two-sided, normal approximation with continuity correction.
    """

    n_treated: int
    expected_treated: float
    p_value: float

    @property
    def is_broken(self) -> bool:
        """Whether the split is too unlikely for the comparison to be believed."""
        return self.p_value < SAMPLE_RATIO_ALARM


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """Randomised decisions in the order in which they were taken.

    Attributes:
        rr: Shape (n,), outcome, R.
        treated: Shape (n,), the **assigned** arm, whatever happened afterwards.
        p_treated: Shape (n,), probability of treatment at the time, in (0, 1).
        covariates: Shape (n, k), known before the decision (expected outcome, scope mean,
            recent market mean); k may be 0.
        unit: Shape (n,), unit of randomisation (the position, where several decisions belong to
            one); absent when every decision was randomised by itself.
    """

    rr: FloatArray
    treated: BoolArray
    p_treated: FloatArray
    covariates: FloatArray
    unit: IntArray | None = None

    def __post_init__(self) -> None:
        n = len(self.rr)
        shapes = (self.treated.shape, self.p_treated.shape, self.covariates.shape[:1])
        if any(shape != (n,) for shape in shapes):
            raise ValueError(f"decisions must have one row per outcome ({n}), got {shapes}")
        wrong = np.flatnonzero(~((self.p_treated > 0) & (self.p_treated < 1)))
        if len(wrong):
            value = self.p_treated[wrong[0]]
            raise ValueError(f"p_treated[{wrong[0]}] must be in (0, 1), got {value}")

    def first(self, count: int) -> Decisions:
        """The first ``count`` decisions: what was known at an earlier look."""
        return Decisions(
            rr=self.rr[:count],
            treated=self.treated[:count],
            p_treated=self.p_treated[:count],
            covariates=self.covariates[:count],
            unit=None if self.unit is None else self.unit[:count],
        )


@dataclass(frozen=True, slots=True)
class DecisionEffect:
    """Treated against held-out decisions.

    Attributes:
        primary: On the outcome cut at its 99 % quantile; verdicts come from here.
        raw: On the outcome as it was.
        n_treated: Decisions assigned to treatment.
        n_held_out: Decisions assigned to the holdout.
        sample_ratio: Whether the split is believable.
    """

    primary: Effect | NotMeasured
    raw: Effect | NotMeasured
    n_treated: int
    n_held_out: int
    sample_ratio: SampleRatio


@dataclass(frozen=True, slots=True)
class HorizonVerdict:
    """An override judged once, at its declared horizon, among all overrides.

    Attributes:
        q_value: Benjamini-Hochberg over the overrides judged together.
        verdict: Helps or hurts where ``q_value`` is within the accepted share of mistakes.
    """

    q_value: float
    verdict: Verdict


def sequence_half_width(
    se: float, *, n_units: int, tightest_at: int = 1000, alpha: float = ALPHA
) -> float:
    """Half width of an asymptotic confidence sequence for a mean.

    Holds at all sample sizes at once, as they grow: looking does not cost error. Asymptotic:
    start at 200 units, and count as a unit what was randomised, never weeks of it.

    Args:
        se: Standard error of the mean at this look.
        n_units: Independent units so far.
        tightest_at: Where the sequence is tightest relative to a fixed interval.
        alpha: Chance of ever missing the truth.

    Returns:
        Half width, in the unit of ``se``.

    Raises:
        ValueError: If ``n_units`` is below 1, or ``alpha`` outside (0, 1).

    References:
        Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2021), "Time-uniform central limit theory
        and asymptotic confidence sequences", theorem 2.2; the same form as gbstats.

    Examples:
        At the point of tightest width it is 1.55 times a fixed interval.

        >>> round(sequence_half_width(1.0, n_units=1000) / 1.96, 2)
        1.55
    """
    if n_units < 1:
        raise ValueError(f"n_units must be at least 1, got {n_units}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be in (0, 1), got {alpha}")
    rho2 = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / tightest_at
    grown = n_units * rho2 + 1
    spread = 2 * grown * math.log(math.sqrt(grown) / alpha) / (n_units**2 * rho2)
    return se * math.sqrt(n_units) * math.sqrt(spread)


def size_uplift(
    multipliers: FloatArray,
    rr: FloatArray,
    closed_at_days: FloatArray,
    *,
    pattern_mean_rr: float | FloatArray | None = None,
) -> SizeUplift:
    """Measure what a size or allocation multiplier earned on trades that happened anyway.

    No holdout is needed: the untreated outcome is the same trade at base size. Leaves out
    market impact and capital that was missing elsewhere. Weeks are the blocks: trades of one
    week share shocks.

    Args:
        multipliers: Shape (n,), applied multiplier.
        rr: Shape (n,), outcome at base risk, R.
        closed_at_days: Shape (n,), days since 1970-01-01 UTC.
        pattern_mean_rr: Mean outcome of the pattern in the same period, one number or shape
            (n,).

    Returns:
        Uplift and selection skill, each with an interval or the reason why not.

    Raises:
        ValueError: If the shapes differ.
    """
    if not (multipliers.shape == rr.shape == closed_at_days.shape):
        raise ValueError(
            "multipliers, rr and closed_at_days must have one shape (n,), got "
            f"{multipliers.shape}, {rr.shape} and {closed_at_days.shape}"
        )
    week = np.floor(closed_at_days / WEEK_DAYS).astype(np.int64)
    if pattern_mean_rr is None:
        skill: Effect | NotMeasured = NotMeasured("the pattern's mean outcome is not known")
    else:
        skill = _weekly_mean((multipliers - 1) * (rr - pattern_mean_rr), week)
    return SizeUplift(_weekly_mean((multipliers - 1) * rr, week), skill)


def scope_edge(
    rr: FloatArray, closed_at_days: FloatArray, in_scope: BoolArray
) -> Effect | NotMeasured:
    """Compare the mean outcome of a scope with that of its whole group.

    The group's mean is as uncertain as the scope's, and they share trades and shocks: the error is
    that of their difference, from leaving out one week at a time, also weeks without a trade in
    scope. As many units as the rarer side has weeks.

    Args:
        rr: Shape (n,), outcomes of the group, R.
        closed_at_days: Shape (n,), days since 1970-01-01 UTC.
        in_scope: Shape (n,), some but not all of them.

    Returns:
        Mean of the scope minus mean of the group, ``n`` the trades in scope.

    References:
        MacKinnon, Nielsen & Webb (2023), "Cluster-robust inference: a guide to empirical
        practice": CRV3, the jackknife over clusters.

    Examples:
        Two weeks, means 2 and 1 in scope, 1 and 1 in all; without either the difference is 0 or 1.

        >>> found = scope_edge(np.array([2.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 7.0, 8.0]),
        ...                    np.array([True, False, True, False]))
        >>> found.estimate_rr, found.se_rr, found.n_units
        (0.5, 0.5, 2)
    """
    sides = (in_scope.astype(np.float64), np.ones(len(rr)))
    week = np.unique(np.floor(closed_at_days / WEEK_DAYS), return_inverse=True)[1]
    counts = np.array([np.bincount(week, weights=side) for side in sides])
    sums = np.array([np.bincount(week, weights=side * rr) for side in sides])
    own, others = (int(np.count_nonzero(one)) for one in (counts[0], counts[1] - counts[0]))
    if min(own, others) < 2:
        side = "in scope" if own < 2 else "out of it"
        return NotMeasured(f"{min(own, others)} weeks with trades {side}, 2 needed")
    n, total = counts.sum(axis=1, keepdims=True), sums.sum(axis=1, keepdims=True)
    estimate = float((total / n)[0, 0] - (total / n)[1, 0])
    without = (total - sums) / (n - counts)
    moved = estimate - (without[0] - without[1])
    variance = (own - 1) / own * float(moved @ moved)
    if variance == 0:
        return NotMeasured("the outcomes do not vary: nothing to estimate an error from")
    units = min(own, others)
    return _effect(
        estimate,
        math.sqrt(variance),
        n=int(in_scope.sum()),
        n_units=units,
        freedom=units - 1,
        design=WEEK_SEQUENCE,
    )


def decision_effect(decisions: Decisions) -> DecisionEffect:
    """Compare treated with held-out decisions, adjusted for what was known before.

    Regression ``y ~ 1 + z + x + z x`` with centred covariates (Lin 2013), weighted by the
    inverse probability of the assigned arm when that ever changed, errors robust and clustered
    by the unit of randomisation. Analyse by assigned arm, also where an operator interfered:
    comparing by what was really applied is confounded.

    Args:
        decisions: In the order in which they were taken.

    Returns:
        Effects on the cut and the raw outcome, and the sample ratio test.

    References:
        Lin (2013), "Agnostic notes on regression adjustments to experimental data".
    """
    n_treated = int(decisions.treated.sum())
    n_held_out = len(decisions.rr) - n_treated
    few = min(n_treated, n_held_out)
    if few < MIN_PER_ARM:
        arm = "treated" if n_treated < n_held_out else "held-out"
        lack = NotMeasured(f"{few} {arm} decisions, {MIN_PER_ARM} needed")
        primary: Effect | NotMeasured = lack
        raw: Effect | NotMeasured = lack
    else:
        primary, raw = (
            _adjusted_difference(decisions, cut(decisions.rr)),
            _adjusted_difference(decisions, decisions.rr),
        )
    return DecisionEffect(
        primary, raw, n_treated, n_held_out, sample_ratio(decisions.treated, decisions.p_treated)
    )


def cut(outcome: FloatArray) -> FloatArray:
    """Cut an outcome at its own 99 % quantile."""
    return np.minimum(outcome, np.quantile(outcome, CLIP_QUANTILE))


def decision_effect_path(
    decisions: Decisions, looks: Sequence[int]
) -> list[tuple[int, Effect | NotMeasured]]:
    """Repeat the comparison as it stood after the given numbers of decisions.

    Args:
        decisions: In the order in which they were taken.
        looks: Numbers of decisions, rising.

    Returns:
        Look and primary effect, for a chart of the sequence over time.
    """
    return [(look, decision_effect(decisions.first(look)).primary) for look in looks]


def sample_ratio(treated: BoolArray, p_treated: FloatArray) -> SampleRatio:
    """Test whether the split between the arms fits the logged probabilities.

    Args:
        treated: Shape (n,), assigned arm.
        p_treated: Shape (n,), probability of treatment.

    Returns:
        Counts and p-value; 1 when there is nothing to test.

    Examples:
        >>> sample_ratio(np.arange(100) < 80, np.full(100, 0.8)).p_value
        1.0
        >>> sample_ratio(np.arange(100) < 60, np.full(100, 0.8)).is_broken
        True
    """
    observed, expected = int(treated.sum()), float(p_treated.sum())
    spread = math.sqrt(float(np.sum(p_treated * (1 - p_treated))))
    off = max(abs(observed - expected) - 0.5, 0.0)
    p_value = 2 * float(special.ndtr(-off / spread)) if spread > 0 else 1.0
    return SampleRatio(observed, expected, min(1.0, p_value))


def judge_at_horizon(
    effects: Mapping[str, Effect], *, fdr_target: float
) -> dict[str, HorizonVerdict]:
    """Judge many overrides at one declared horizon, with the price of having many.

    Uses the fixed-horizon p-values: call it once per horizon that was declared beforehand.

    Args:
        effects: One per override, by its name.
        fdr_target: Accepted share of mistakes among the verdicts, in (0, 1).

    Returns:
        Corrected verdicts by name.

    Raises:
        ValueError: If ``fdr_target`` is outside (0, 1).
    """
    if not 0 < fdr_target < 1:
        raise ValueError(f"fdr_target must be in (0, 1), got {fdr_target}")
    corrected = q_values(np.array([effect.p_value for effect in effects.values()]))
    return {
        name: HorizonVerdict(float(q), _verdict_of(effect.estimate_rr if q <= fdr_target else 0.0))
        for (name, effect), q in zip(effects.items(), corrected, strict=True)
    }


def shrunken_effects(
    effects: Mapping[str, Effect], *, outcome_sd: float
) -> dict[str, EdgePosterior]:
    """Pull the effects of many overrides toward what overrides in general achieve.

    The largest of many measured effects is too large (winner's curse). The prior is the mixture
    that serves the edges of scopes, fitted to these effects, with one pseudo-count on each scale:
    where few overrides speak, the ten on 0 that suit thousands of scopes would outweigh them, and
    of five small true effects the intervals would hold less than one in two.

    Args:
        effects: One per override, by its name, all of one kind.
        outcome_sd: Standard deviation of the clipped outcome, R; scales the prior.

    Returns:
        Posterior of each effect by name: mean, 95 % interval, probability of the wrong sign.
    """
    if not effects:
        return {}
    estimates = np.array([effect.estimate_rr for effect in effects.values()])
    variances = np.array([effect.se_rr**2 for effect in effects.values()])
    prior = fit_edge_prior(
        estimates, variances, outcome_sd=outcome_sd, pseudo_counts=[1.0] * len(PRIOR_SCALES)
    )
    return {
        name: edge_posterior(prior, effect.estimate_rr, effect.se_rr)
        for name, effect in effects.items()
    }


def _weekly_mean(values: FloatArray, week: IntArray) -> Effect | NotMeasured:
    """Mean with an error clustered by week."""
    weeks, slot = np.unique(week, return_inverse=True)
    if len(weeks) < 2:
        return NotMeasured(f"{len(weeks)} weeks with trades, 2 needed")
    mean = float(values.mean())
    residual = np.bincount(slot, weights=values - mean)
    scatter = float(residual @ residual) * len(weeks) / (len(weeks) - 1)
    if scatter == 0:
        return NotMeasured("every trade has the same uplift: nothing to estimate an error from")
    return _effect(
        mean,
        math.sqrt(scatter) / len(values),
        n=len(values),
        n_units=len(weeks),
        freedom=len(weeks) - 1,
        design=WEEK_SEQUENCE,
    )


def _adjusted_difference(decisions: Decisions, outcome: FloatArray) -> Effect | NotMeasured:
    """Lin's regression: coefficient of treatment and its clustered error."""
    design = _lin_design(decisions)
    weight = _arm_weights(decisions)
    bread = np.linalg.pinv(design.T @ (weight[:, None] * design))
    coefficients = bread @ (design.T @ (weight * outcome))
    parts = (weight * (outcome - design @ coefficients))[:, None] * design
    units = _unit_codes(decisions)
    n_units = int(units.max()) + 1
    sums = np.column_stack([np.bincount(units, weights=column) for column in parts.T])
    n, rank = design.shape[0], int(np.linalg.matrix_rank(design))
    small_sample = n_units / (n_units - 1) * (n - 1) / (n - rank)
    variance = float((bread @ (sums.T @ sums) @ bread)[1, 1]) * small_sample
    if variance <= 0 or n_units <= rank:
        return NotMeasured("the outcomes do not vary: nothing to estimate an error from")
    return _effect(
        float(coefficients[1]),
        math.sqrt(variance),
        n=n,
        n_units=n_units,
        freedom=n_units - rank,
        design=DECISION_SEQUENCE,
        of_arm=min(len(np.unique(units[arm])) for arm in (decisions.treated, ~decisions.treated)),
    )


def _lin_design(decisions: Decisions) -> FloatArray:
    """Columns 1, z, x, z x with covariates centred and scaled."""
    centred = decisions.covariates - decisions.covariates.mean(axis=0)
    scale = centred.std(axis=0)
    centred = centred[:, scale > 0] / scale[scale > 0]
    z = decisions.treated.astype(np.float64)
    return np.column_stack([np.ones(len(z)), z, centred, z[:, None] * centred])


def _arm_weights(decisions: Decisions) -> FloatArray:
    """Inverse probability of the assigned arm; all 1 when the probability never changed."""
    p = decisions.p_treated
    if np.ptp(p) == 0:
        return np.ones(len(p))
    return np.where(decisions.treated, 1 / p, 1 / (1 - p))


def _unit_codes(decisions: Decisions) -> IntArray:
    if decisions.unit is None:
        return np.arange(len(decisions.rr))
    return np.unique(decisions.unit, return_inverse=True)[1]


def _effect(
    estimate: float,
    se: float,
    *,
    n: int,
    n_units: int,
    freedom: int,
    design: SequenceDesign,
    of_arm: int | None = None,
) -> Effect:
    """Wrap an estimate with both intervals and its verdict; ``of_arm``: units of the smaller."""
    half = -float(special.stdtrit(freedom, ALPHA / 2)) * se
    low = high = None
    start = _start(design, n_units, of_arm)
    if n_units >= start:
        wide = sequence_half_width(se, n_units=n_units, tightest_at=design.tightest_at)
        low, high = estimate - wide, estimate + wide
    clear = low is not None and high is not None and (low > 0 or high < 0)
    verdict = _verdict_of(estimate if clear else 0.0)
    tightest_at = design.tightest_at
    units = _missing_units(estimate, se, n_units=n_units, start=start, tightest_at=tightest_at)
    missing = None if clear else _missing_trades(units, n / n_units)
    return Effect(
        estimate_rr=estimate,
        se_rr=se,
        n=n,
        n_units=n_units,
        fixed_low_rr=estimate - half,
        fixed_high_rr=estimate + half,
        sequence_low_rr=low,
        sequence_high_rr=high,
        p_value=2 * float(special.stdtr(freedom, -abs(estimate) / se)),
        verdict=verdict,
        n_missing=missing,
        sentence=_sentence(verdict, missing),
    )


def _verdict_of(clear_estimate: float) -> Verdict:
    if clear_estimate == 0:
        return Verdict.NOT_CLEAR
    return Verdict.HELPS if clear_estimate > 0 else Verdict.HURTS


def _start(design: SequenceDesign, n_units: int, of_arm: int | None) -> int:
    """Units at which the sequence starts, the smaller arm growing as it did so far."""
    if of_arm is None:
        return design.start
    return max(design.start, math.ceil(n_units * design.start_of_arm / of_arm))


_FAR = 1_000_000
"""Units beyond which no number is named."""


def _missing_units(
    estimate: float, se: float, *, n_units: int, start: int, tightest_at: int
) -> int | None:
    """Units until the sequence would exclude 0 if the estimate stayed as it is."""
    per_unit = se * math.sqrt(n_units)

    def is_clear(units: int) -> bool:
        wide = sequence_half_width(
            per_unit / math.sqrt(units), n_units=units, tightest_at=tightest_at
        )
        return wide < abs(estimate)

    low, high = max(n_units, start), _FAR
    if not is_clear(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_clear(middle) else (middle + 1, high)
    return low - n_units


def _missing_trades(units: int | None, trades_per_unit: float) -> int | None:
    """Trades in a number of units, to two digits; None beyond ``MOST_MISSING``."""
    if units is None or units * trades_per_unit > MOST_MISSING:
        return None
    return _two_digits(units * trades_per_unit)


def _sentence(verdict: Verdict, missing_trades: int | None) -> str:
    """The fixed wording of the verdicts."""
    if verdict is not Verdict.NOT_CLEAR:
        return verdict.value
    if missing_trades is None:
        return f"{verdict.value} (needs more than {MOST_MISSING} more trades)"
    return f"{verdict.value} (needs about {missing_trades} more trades)"


def _two_digits(count: float) -> int:
    """Round up to two significant digits: more would pretend to know."""
    scale: int = 10 ** max(0, math.floor(math.log10(max(count, 1))) - 1)
    return max(1, int(math.ceil(count / scale) * scale))
