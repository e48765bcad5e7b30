"""Whether an override helped, with intervals that stay honest under daily looks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from learning.overrides.effects import (
    Decisions,
    Effect,
    NotMeasured,
    Verdict,
    decision_effect,
    decision_effect_path,
    judge_at_horizon,
    sample_ratio,
    sequence_half_width,
    shrunken_effects,
    size_uplift,
)


def randomised(
    seed: int,
    *,
    n: int = 600,
    effect_rr: float = 0.0,
    p: float = 0.8,
    covariate_weight: float = 0.0,
) -> Decisions:
    rng = np.random.default_rng(seed)
    covariate = rng.normal(size=(n, 1))
    treated = rng.random(n) < p
    rr = 0.2 + effect_rr * treated + covariate_weight * covariate[:, 0] + rng.normal(size=n)
    return Decisions(rr, treated, np.full(n, p), covariate)


def bare(rr: list[float], treated: list[bool], **kwargs: object) -> Decisions:
    """Decisions at one probability, without covariates."""
    n = len(rr)
    return Decisions(np.array(rr), np.array(treated), np.full(n, 0.5), np.zeros((n, 0)), **kwargs)


def measured(effect: Effect | NotMeasured) -> Effect:
    assert isinstance(effect, Effect)
    return effect


# --- size uplift


def test_uplift_and_its_weekly_error_by_hand():
    # x = 0.1, 0.3 | -0.1; mean 0.1; weekly residual sums 0.2 and -0.2; se = sqrt(2*0.08)/3
    uplift = measured(
        size_uplift(
            np.array([1.1, 1.1, 0.9]), np.array([1.0, 3.0, 1.0]), np.array([0.0, 1.0, 7.0])
        ).uplift
    )
    assert uplift.estimate_rr == pytest.approx(0.1)
    assert uplift.se_rr == pytest.approx(math.sqrt(0.16) / 3)
    assert uplift.n_units == 2


def test_selection_skill_does_not_reward_sizing_up_everything():
    rng = np.random.default_rng(1)
    rr, days = rng.normal(1.0, 1.0, 2000), np.sort(rng.random(2000) * 350)
    result = size_uplift(np.full(2000, 1.2), rr, days, pattern_mean_rr=float(rr.mean()))
    assert measured(result.uplift).verdict is Verdict.HELPS
    assert measured(result.selection_skill).estimate_rr == pytest.approx(0.0, abs=1e-12)


def test_selection_skill_is_absent_without_the_patterns_mean():
    result = size_uplift(np.array([1.1, 1.1]), np.array([1.0, 2.0]), np.array([0.0, 9.0]))
    assert result.selection_skill == NotMeasured("the pattern's mean outcome is not known")


def test_before_twenty_weeks_an_uplift_is_not_clear_however_large():
    rng = np.random.default_rng(2)
    days = np.arange(19 * 7, dtype=float)
    uplift = measured(size_uplift(np.full(133, 1.3), rng.normal(5, 0.5, 133), days).uplift)
    assert uplift.sequence_low_rr is None
    assert uplift.sentence == "not clear yet (needs about 7 more trades)"  # one week of 7 trades


def test_from_twenty_weeks_on_a_clear_uplift_helps_and_a_clear_loss_raises_the_guardrail():
    rng = np.random.default_rng(3)
    days, rr = np.arange(210.0), rng.normal(1, 0.5, 210)
    assert measured(size_uplift(np.full(210, 1.3), rr, days).uplift).sentence == "helps"
    hurts = measured(size_uplift(np.full(210, 0.7), rr, days).uplift)
    assert (hurts.sentence, hurts.raises_guardrail) == ("hurts", True)


def test_neutral_multipliers_have_no_uplift_to_measure():
    uplift = size_uplift(np.ones(30), np.arange(30.0), np.arange(30.0) * 7).uplift
    assert isinstance(uplift, NotMeasured)


def test_one_week_is_not_enough_for_an_error():
    uplift = size_uplift(np.array([1.1, 1.2]), np.array([1.0, 2.0]), np.array([0.0, 1.0])).uplift
    assert uplift == NotMeasured("1 weeks with trades, 2 needed")


# --- randomised decisions


def test_without_covariates_the_effect_is_the_difference_of_the_means_with_robust_error():
    decisions = randomised(4, effect_rr=0.5)
    decisions = Decisions(
        decisions.rr, decisions.treated, decisions.p_treated, np.zeros((len(decisions.rr), 0))
    )
    effect = measured(decision_effect(decisions).raw)
    one, zero = decisions.rr[decisions.treated], decisions.rr[~decisions.treated]
    assert effect.estimate_rr == pytest.approx(one.mean() - zero.mean())
    variance = one.var() / len(one) + zero.var() / len(zero)  # HC0, times n/(n-2)
    assert effect.se_rr == pytest.approx(math.sqrt(variance * 600 / 598))


def test_the_covariate_adjustment_equals_two_separate_regressions():
    """Lin's estimate is the difference of both arms' fitted values at the overall mean."""
    decisions = randomised(5, effect_rr=0.3, covariate_weight=1.0)
    x, z, y = decisions.covariates[:, 0], decisions.treated, decisions.rr
    fits = [np.polynomial.Polynomial.fit(x[arm], y[arm], 1)(x.mean()) for arm in (z, ~z)]
    effect = measured(decision_effect(decisions).raw)
    assert effect.estimate_rr == pytest.approx(fits[0] - fits[1])


def test_a_covariate_that_explains_the_outcome_narrows_the_interval():
    with_x = randomised(6, covariate_weight=2.0)
    without = Decisions(with_x.rr, with_x.treated, with_x.p_treated, np.zeros((600, 0)))
    narrow, wide = (measured(decision_effect(each).raw).se_rr for each in (with_x, without))
    assert narrow < 0.6 * wide


def test_a_covariate_that_never_varies_changes_nothing():
    plain = bare([1.0, 2.0, 0.0, 1.0] * 10, [True, True, False, False] * 10)
    constant = Decisions(plain.rr, plain.treated, plain.p_treated, np.ones((40, 1)))
    assert decision_effect(constant).raw == decision_effect(plain).raw


def test_a_ramped_probability_is_undone_by_weights():
    """Few were treated while the market was bad: the plain difference finds 0.6 R too much."""
    rng = np.random.default_rng(7)
    n = 8000
    late = np.arange(n) >= n // 2
    p = np.where(late, 0.8, 0.2)
    treated = rng.random(n) < p
    rr = np.where(late, 0.5, -0.5) + 0.25 * treated + rng.normal(0, 0.5, n)
    effect = measured(decision_effect(Decisions(rr, treated, p, np.zeros((n, 0)))).raw)
    assert rr[treated].mean() - rr[~treated].mean() > 0.75
    assert effect.estimate_rr == pytest.approx(0.25, abs=3 * effect.se_rr)
    assert effect.se_rr < 0.03


def test_copies_of_one_position_count_as_one_unit():
    rng = np.random.default_rng(8)
    rr, treated = rng.normal(size=100), rng.random(100) < 0.5
    single = bare(rr.tolist(), treated.tolist())
    copied = bare(
        np.repeat(rr, 4).tolist(), np.repeat(treated, 4).tolist(), unit=np.repeat(np.arange(100), 4)
    )
    one, four = (measured(decision_effect(each).raw) for each in (single, copied))
    assert four.n_units == one.n_units == 100
    assert four.se_rr == pytest.approx(one.se_rr, rel=0.02)


def test_the_primary_outcome_is_cut_at_its_99th_percentile_and_the_raw_one_is_not():
    rr = np.zeros(200)
    rr[::2] = 1.0
    rr[0] = 100.0
    effect = decision_effect(bare(rr.tolist(), ([True, False] * 100)))
    assert measured(effect.raw).estimate_rr == pytest.approx(1.99)
    assert measured(effect.primary).estimate_rr == pytest.approx(1.0)


def test_a_thin_arm_is_named():
    effect = decision_effect(bare([1.0, 2.0] * 20, [True] * 37 + [False] * 3))
    assert effect.raw == NotMeasured("3 held-out decisions, 10 needed")
    assert (effect.n_treated, effect.n_held_out) == (37, 3)


def test_nothing_is_said_before_two_hundred_decisions():
    early, later = decision_effect_path(randomised(9, n=300, effect_rr=3.0, p=0.5), [199, 200])
    assert measured(early[1]).verdict is Verdict.NOT_CLEAR
    assert measured(early[1]).sequence_low_rr is None
    assert measured(later[1]).verdict is Verdict.HELPS


def test_nothing_is_said_before_fifty_decisions_of_each_arm():
    """One in ten held out: the fiftieth comes with decision 500, told from 49 at 490."""
    n = 600
    treated = np.arange(n) % 10 > 0
    rr = np.random.default_rng(9).normal(size=n) + 3.0 * treated
    decisions = Decisions(rr, treated, np.full(n, 0.9), np.zeros((n, 0)))
    early, later = decision_effect_path(decisions, [490, 491])
    assert measured(early[1]).sequence_low_rr is None
    assert measured(early[1]).sentence == "not clear yet (needs about 10 more trades)"
    assert measured(later[1]).verdict is Verdict.HELPS


def test_the_number_of_missing_trades_is_where_the_sequence_would_become_clear():
    effect = measured(decision_effect(randomised(12, effect_rr=0.2)).primary)
    missing = int(effect.sentence.split("about ")[1].split()[0])
    spread = effect.se_rr * math.sqrt(effect.n)
    enough = effect.n + missing
    short = effect.n + int(missing * 0.85)  # the number is rounded up to two digits

    def half_width(n: int) -> float:
        return sequence_half_width(spread / math.sqrt(n), n_units=n)

    assert half_width(enough) < abs(effect.estimate_rr) < half_width(short)


def test_an_effect_near_zero_names_no_number():
    rr = [1.0, 1.0, -1.0, -1.0] * 100
    effect = measured(decision_effect(bare(rr, [True, False] * 200)).raw)
    assert effect.sentence == "not clear yet (needs more than 10000 more trades)"


# --- sequence, sample ratio, many overrides


def test_the_half_width_equals_the_closed_form_at_one_point():
    # alpha .05, n* = 1000: rho^2 = (5.9915 + ln 6.9915)/1000 = 0.0079362; n = 1000, se = 0.1
    rho2 = 0.00793619
    by_hand = (
        0.1
        * math.sqrt(1000)
        * math.sqrt(2 * 8.93619 / (1e6 * rho2) * math.log(math.sqrt(8.93619) / 0.05))
    )
    assert sequence_half_width(0.1, n_units=1000) == pytest.approx(by_hand, rel=1e-5)


def test_the_sequence_always_covers_the_fixed_interval():
    widths = [sequence_half_width(1.0, n_units=n) for n in (200, 500, 1000, 5000, 50000)]
    assert min(widths) > 1.96


def test_daily_looks_rarely_raise_a_false_alarm():
    """40 runs of pure noise, looked at 19 times: 5 % allows 2, the fixed interval has about 9."""
    alarms = fixed = 0
    for seed in range(40):
        path = decision_effect_path(randomised(seed, n=2000), range(200, 2001, 100))
        effects = [measured(effect) for _, effect in path]
        alarms += any(effect.verdict is not Verdict.NOT_CLEAR for effect in effects)
        fixed += any(effect.fixed_low_rr * effect.fixed_high_rr > 0 for effect in effects)
    assert alarms <= 3
    assert fixed >= 4


def test_a_split_that_does_not_fit_its_probabilities_is_broken():
    rng = np.random.default_rng(11)
    p = np.where(np.arange(1000) < 500, 0.8, 0.9)
    fair = rng.random(1000) < p
    assert not sample_ratio(fair, p).is_broken
    assert sample_ratio(fair, p).expected_treated == pytest.approx(850)
    assert sample_ratio(rng.random(1000) < 0.7, p).is_broken


def test_the_sample_ratio_p_value_is_close_to_the_binomial_one():
    from scipy.stats import binomtest

    got = sample_ratio(np.arange(400) < 300, np.full(400, 0.8)).p_value
    assert got == pytest.approx(binomtest(300, 400, 0.8).pvalue, rel=0.15)


def test_many_overrides_pay_for_being_many():
    """Benjamini-Hochberg (1995) example: of 15 p-values four survive at 0.05."""
    p_values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p_values += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    effects = {str(i): with_p(p, sign=-1 if i == 1 else 1) for i, p in enumerate(p_values)}
    verdicts = judge_at_horizon(effects, fdr_target=0.05)
    assert [verdicts[str(i)].verdict for i in range(5)] == [
        Verdict.HELPS,
        Verdict.HURTS,
        Verdict.HELPS,
        Verdict.HELPS,
        Verdict.NOT_CLEAR,
    ]
    assert all(verdicts[str(i)].verdict is Verdict.NOT_CLEAR for i in range(4, 15))


def test_effects_that_are_only_noise_are_pulled_to_zero_and_a_clear_one_is_kept():
    rng = np.random.default_rng(13)
    noise = {
        str(i): replace(with_p(0.5, sign=1), estimate_rr=0.05 * rng.normal()) for i in range(40)
    }
    clear = replace(with_p(0.0, sign=1), estimate_rr=0.8)
    shrunken = shrunken_effects({**noise, "clear": clear}, outcome_sd=2.0)
    largest = max(noise, key=lambda name: noise[name].estimate_rr)
    assert shrunken[largest].mean_rr < 0.5 * noise[largest].estimate_rr
    assert shrunken["clear"].mean_rr == pytest.approx(0.8, abs=0.05)
    assert shrunken_effects({}, outcome_sd=2.0) == {}


def with_p(p_value: float, *, sign: int) -> Effect:
    return Effect(
        estimate_rr=sign * 0.1,
        se_rr=0.05,
        n=500,
        n_units=500,
        fixed_low_rr=0.0,
        fixed_high_rr=0.2,
        sequence_low_rr=None,
        sequence_high_rr=None,
        p_value=p_value,
        verdict=Verdict.NOT_CLEAR,
        n_missing=None,
        sentence="not clear yet",
    )


def test_nonsense_is_refused_by_name():
    with pytest.raises(ValueError, match=r"p_treated\[1\] must be in \(0, 1\), got 1.0"):
        Decisions(np.zeros(2), np.zeros(2, bool), np.array([0.5, 1.0]), np.zeros((2, 0)))
    with pytest.raises(ValueError, match="fdr_target must be in"):
        judge_at_horizon({}, fdr_target=5)
    with pytest.raises(ValueError, match="n_units must be at least 1, got 0"):
        sequence_half_width(1.0, n_units=0)
    with pytest.raises(ValueError, match="must have one shape"):
        size_uplift(np.ones(2), np.ones(3), np.ones(3))
