"""What is written down of an override's effect: one record per lesson and measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final, Literal

import numpy as np

from learning.overrides.effects import (
    BoolArray,
    DecisionEffect,
    Decisions,
    Effect,
    FloatArray,
    IntArray,
    NotMeasured,
    Verdict,
    cut,
    decision_effect,
    scope_edge,
    size_uplift,
)
from learning.overrides.randomisation import randomisation_p_value, units_per_arm

Measure = Literal["uplift", "delta_rr", "edge_since_activation"]
SIZE_LEVERS: Final = ("size_mult", "alloc_mult")
RECENT_DAYS: Final = 28.0
JUDGED_PER_ARM: Final = 20
"""Units of the smaller arm without which a comparison is not judged at a horizon."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """An effect after the winner's curse: what its estimate is worth among ``n_together``."""

    rr: float
    low_rr: float
    high_rr: float
    n_together: int


@dataclass(frozen=True, slots=True)
class HorizonJudgement:
    """An override judged once, at a horizon declared beforehand, among all that reached it.

    Attributes:
        days: The horizon, days after activation.
        n: Trades decided before it.
        effect_rr: Mean effect per trade on them, R.
        ci_low_rr: Lower end of the 95 % interval for that one look.
        ci_high_rr: Upper end.
        q_value: Benjamini-Hochberg over the overrides judged together.
        n_judged: How many those are.
        verdict: helps, hurts or not clear yet.
    """

    days: int
    n: int
    effect_rr: float
    ci_low_rr: float
    ci_high_rr: float
    q_value: float
    n_judged: int
    verdict: str


_ALONE: Final = NotMeasured("not judged together with other overrides")


@dataclass(frozen=True, slots=True)
class EffectRecord:
    """One effect as stored: a number with its interval, or the reason why there is none.

    Attributes:
        measure: What was measured.
        n_treated: Trades that the override was applied to.
        n_held_out: Trades held out.
        effect_rr: R per trade; None with ``absent_reason``.
        ci_low_rr: Lower end of the 95 % confidence sequence, which may be looked at daily; None
            before it starts.
        ci_high_rr: Upper end.
        absent_reason: Why nothing could be measured.
        verdict: helps, hurts or not clear yet.
        is_guardrail_crossed: Whether the whole interval lies below zero.
        sentence: The verdict in words: what is missing, or why there is none.
        n_missing: About how many more trades would make it clear; None when it is, or beyond
            10000.
        details: The numbers behind it.
        measured: The estimate itself, for a judgement of many together; None with
            ``absent_reason``.
        outcome_sd: Standard deviation of what was averaged, cut at its 99 % quantile, R.
        shrunk: The effect among those of all overrides.
        horizon: The judgement at the longest declared horizon it has passed.
    """

    measure: Measure
    n_treated: int
    n_held_out: int
    effect_rr: float | None
    ci_low_rr: float | None
    ci_high_rr: float | None
    absent_reason: str | None
    verdict: str
    is_guardrail_crossed: bool
    sentence: str
    n_missing: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    measured: Effect | None = None
    outcome_sd: float | None = None
    shrunk: Shrunk | NotMeasured = _ALONE
    horizon: HorizonJudgement | NotMeasured = _ALONE


@dataclass(frozen=True, slots=True, eq=False)
class AppliedTrades:
    """The closed trades that a lesson's override took part in, each once, by time of decision.

    Attributes:
        rr: Shape (n,), outcome, R.
        closed_at_days: Shape (n,), days since 1970.
        decided_at_days: Shape (n,).
        multiplier: Shape (n,), size or allocation multiplier in force; NaN where the override
            had none.
        is_randomised: Shape (n,), whether the override had something that may be held out.
        treated: Shape (n,), assigned arm.
        p_treated: Shape (n,), logged probability of treatment, NaN where not logged.
        unit: Shape (n,), trades of one number drew their arm together: copies of one trade.
    """

    rr: FloatArray
    closed_at_days: FloatArray
    decided_at_days: FloatArray
    multiplier: FloatArray
    is_randomised: BoolArray
    treated: BoolArray
    p_treated: FloatArray
    unit: IntArray

    @property
    def n(self) -> int:
        """Number of trades."""
        return len(self.rr)

    def chosen(self, rows: BoolArray | IntArray) -> AppliedTrades:
        """Return some of the trades, by a mask or in an order."""
        return AppliedTrades(**{each.name: getattr(self, each.name)[rows] for each in fields(self)})

    def decided_between(self, first_days: float, end_days: float) -> AppliedTrades:
        """Return the trades decided in a period, its end excluded."""
        return self.chosen((self.decided_at_days >= first_days) & (self.decided_at_days < end_days))

    def randomised(self) -> AppliedTrades:
        """Return the trades whose arm was drawn at random."""
        return self.chosen(self.is_randomised & (self.p_treated > 0) & (self.p_treated < 1))


@dataclass(frozen=True, slots=True, eq=False)
class PatternTrades:
    """All closed trades of a pattern and category, in time order, shape (n,) each."""

    rr: FloatArray
    closed_at_days: FloatArray

    def mean_between(self, first_days: float, last_days: float) -> float | None:
        """Return the mean outcome of the trades closed in a period, None where there are none."""
        inside = (self.closed_at_days >= first_days) & (self.closed_at_days <= last_days)
        return float(self.rr[inside].mean()) if inside.any() else None

    def recent_means(self, at_days: FloatArray) -> FloatArray:
        """Return the mean outcome of the 28 days before each moment, shape (m,).

        Known before a decision, so it may adjust a comparison of arms. Where nothing closed in
        that time, the mean of all.
        """
        sums = np.concatenate([[0.0], np.cumsum(self.rr)])
        end = np.searchsorted(self.closed_at_days, at_days, side="left")
        start = np.searchsorted(self.closed_at_days, at_days - RECENT_DAYS, side="left")
        n = end - start
        overall = float(self.rr.mean()) if len(self.rr) else 0.0
        return np.where(n > 0, (sums[end] - sums[start]) / np.maximum(n, 1), overall)


def uplift_record(applied: AppliedTrades, pattern: PatternTrades) -> EffectRecord:
    """Record what a size or allocation multiplier earned; all trades at their applied size."""
    sized = np.isfinite(applied.multiplier)
    n = int(sized.sum())
    if applied.n == 0:
        return _absent("uplift", "no closed trade to which it was applied")
    if n == 0:
        return _absent("uplift", "it carries no size and no allocation lever")
    days = applied.closed_at_days[sized]
    mean = pattern.mean_between(float(days.min()), float(days.max()))
    measured = size_uplift(applied.multiplier[sized], applied.rr[sized], days, pattern_mean_rr=mean)
    details = {
        "mean_multiplier": float(applied.multiplier[sized].mean()),
        "pattern_mean_rr": mean,
        "selection_skill": _told(measured.selection_skill),
    }
    earned = (applied.multiplier[sized] - 1) * applied.rr[sized]
    return _record("uplift", measured.uplift, earned, n_treated=n, n_held_out=0, details=details)


def randomised_decisions(drawn: AppliedTrades, pattern: PatternTrades) -> Decisions:
    """Return trades whose arm was drawn as what is compared, with the recent mean of each."""
    return Decisions(
        rr=drawn.rr,
        treated=drawn.treated,
        p_treated=drawn.p_treated,
        covariates=pattern.recent_means(drawn.decided_at_days)[:, None],
        unit=drawn.unit,
    )


def comparison_record(
    applied: AppliedTrades, pattern: PatternTrades, *, judge: np.random.Generator | None = None
) -> EffectRecord:
    """Record treated against held-out trades, by assigned arm, adjusted for the recent mean.

    Trades whose assignment was not random (size only, or no holdout) take no part. A split of
    the arms that the logged probabilities cannot explain voids the comparison.

    Args:
        applied: The trades.
        pattern: All trades of the setup, for what was known before each decision.
        judge: Given at a declared horizon: the p-value then comes from drawing the arms again,
            and 20 units in each arm are needed.
    """
    if applied.n == 0:
        return _absent("delta_rr", "no closed trade to which it was applied or held out")
    if not applied.is_randomised.any():
        return _absent("delta_rr", "it carries nothing but size: its uplift tells")
    drawn = applied.randomised()
    if drawn.n == 0:
        return _absent("delta_rr", "no trade was assigned at random: nothing is held out")
    decisions = randomised_decisions(drawn, pattern)
    found = decision_effect(decisions)
    if judge is not None:
        found = replace(found, primary=_judged(found.primary, decisions, judge))
    return _compared(found, drawn.rr)


def _judged(
    found: Effect | NotMeasured, decisions: Decisions, rng: np.random.Generator
) -> Effect | NotMeasured:
    """The effect with a p-value that skewed outcomes of a small arm cannot mislead."""
    fewest = min(units_per_arm(decisions))
    if isinstance(found, NotMeasured):
        return found
    if fewest < JUDGED_PER_ARM:
        return NotMeasured(
            f"too few to judge yet: {fewest} decisions in the smaller arm, {JUDGED_PER_ARM} needed"
        )
    p_value = randomisation_p_value(
        decisions, cut(decisions.rr), least_per_arm=JUDGED_PER_ARM, rng=rng
    )
    return replace(found, p_value=p_value)


def _compared(found: DecisionEffect, rr: FloatArray) -> EffectRecord:
    primary = found.primary
    if found.sample_ratio.is_broken:
        primary = NotMeasured(
            f"{found.n_treated} trades were treated where {found.sample_ratio.expected_treated:.0f}"
            " were to be expected: the assignment or its log is broken"
        )
    details = {
        "raw": _told(found.raw),
        "sample_ratio": {**asdict(found.sample_ratio), "is_broken": found.sample_ratio.is_broken},
    }
    return _record(
        "delta_rr",
        primary,
        rr,
        n_treated=found.n_treated,
        n_held_out=found.n_held_out,
        details=details,
    )


def edge_record(
    rr: FloatArray,
    closed_at_days: FloatArray,
    in_scope: BoolArray,
    *,
    sign: int,
    against_group: bool,
) -> EffectRecord:
    """Record the edge of a lesson on the trades that closed since it was activated.

    The number is turned by the sign of the lesson: below zero, its scope does the opposite of
    what was approved.

    Args:
        rr: Shape (n,), outcomes of the group since activation.
        closed_at_days: Shape (n,).
        in_scope: Shape (n,).
        sign: Direction of the lesson, 1 or -1.
        against_group: Compare with the group's mean of the same time; else with 0.
    """
    n = int(in_scope.sum())
    if n == 0:
        return _absent("edge_since_activation", "no trade in scope closed since it was activated")
    if against_group and n == len(rr):
        return _absent("edge_since_activation", "every trade since then is in scope")
    reference = float(rr.mean()) if against_group else 0.0
    turned = sign * (rr[in_scope] - reference)
    if against_group:
        found = scope_edge(sign * rr, closed_at_days, in_scope)
    else:
        found = size_uplift(np.full(n, 2.0), turned, closed_at_days[in_scope]).uplift
    return _record(
        "edge_since_activation",
        found,
        turned,
        n_treated=n,
        n_held_out=0,
        details={"lesson_sign": sign, "n_group": len(rr), "reference_rr": reference},
    )


def absent_edge(reason: str) -> EffectRecord:
    """Record that a lesson has no edge to be followed."""
    return _absent("edge_since_activation", reason)


def _record(
    measure: Measure,
    found: Effect | NotMeasured,
    averaged: FloatArray,
    *,
    n_treated: int,
    n_held_out: int,
    details: Mapping[str, Any],
) -> EffectRecord:
    if isinstance(found, NotMeasured):
        return _absent(
            measure, found.reason, n_treated=n_treated, n_held_out=n_held_out, details=details
        )
    crossed = found.raises_guardrail
    proposal = {"proposal": "disable it: its whole interval lies below zero"} if crossed else {}
    return EffectRecord(
        measure=measure,
        n_treated=n_treated,
        n_held_out=n_held_out,
        effect_rr=found.estimate_rr,
        ci_low_rr=found.sequence_low_rr,
        ci_high_rr=found.sequence_high_rr,
        absent_reason=None,
        verdict=found.verdict.value,
        is_guardrail_crossed=crossed,
        sentence=found.sentence,
        n_missing=found.n_missing,
        details={**details, **_told(found), **proposal},
        measured=found,
        outcome_sd=float(cut(averaged).std()),
    )


def _absent(
    measure: Measure,
    reason: str,
    *,
    n_treated: int = 0,
    n_held_out: int = 0,
    details: Mapping[str, Any] | None = None,
) -> EffectRecord:
    return EffectRecord(
        measure=measure,
        n_treated=n_treated,
        n_held_out=n_held_out,
        effect_rr=None,
        ci_low_rr=None,
        ci_high_rr=None,
        absent_reason=reason,
        verdict=Verdict.NOT_CLEAR.value,
        is_guardrail_crossed=False,
        sentence=f"{Verdict.NOT_CLEAR.value} ({reason})",
        details=details or {},
    )


def _told(found: Effect | NotMeasured) -> dict[str, Any]:
    """Plain values of an effect, or its reason."""
    if isinstance(found, NotMeasured):
        return {"absent_reason": found.reason}
    return {**asdict(found), "verdict": found.verdict.value}
