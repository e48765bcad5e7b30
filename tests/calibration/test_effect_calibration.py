"""Override effects: intervals cover as promised, and looking often does not raise false alarms."""

from __future__ import annotations

import numpy as np
import pytest

from learning.overrides.effects import (
    Decisions,
    Effect,
    NotMeasured,
    Verdict,
    decision_effect,
    decision_effect_path,
    size_uplift,
)
from learning.overrides.portfolio import judged_together
from learning.simulation.planted_world import OverrideCase, override_case, rr_noise
from learning.simulation.scoring import score_intervals
from tests.learning.overrides.test_randomisation import useless


def decisions_of(case: OverrideCase) -> Decisions:
    return Decisions(case.rr, case.treated, case.propensity, case.covariate[:, None])


def measured(effect: Effect | NotMeasured) -> Effect:
    assert isinstance(effect, Effect)
    return effect


def ever(effects: list[Effect]) -> tuple[bool, bool]:
    """Whether the sequence, and whether the fixed interval, ever excluded 0."""
    by_sequence = any(effect.verdict is not Verdict.NOT_CLEAR for effect in effects)
    return by_sequence, any(effect.fixed_low_rr * effect.fixed_high_rr > 0 for effect in effects)


@pytest.mark.slow
@pytest.mark.parametrize("outcome", ["primary", "raw"])
def test_a_fixed_horizon_covers_the_true_effect(outcome: str):
    """400 runs: the standard error of a coverage of 0.95 is 0.011, of the bias 0.005 R."""
    effects = []
    for seed in range(400):
        result = decision_effect(decisions_of(override_case(np.random.default_rng([seed, 1]))))
        effects.append(measured(getattr(result, outcome)))
    score = score_intervals(
        [effect.estimate_rr for effect in effects],
        [effect.fixed_low_rr for effect in effects],
        [effect.fixed_high_rr for effect in effects],
        0.25,
    )
    assert abs(score.bias) < 0.02
    assert 0.917 <= score.coverage <= 0.983


@pytest.mark.slow
def test_nineteen_looks_at_nothing_rarely_raise_an_alarm():
    """300 runs without an effect; 0.05 is promised, a fixed interval errs about 0.24."""
    alarms = []
    for seed in range(300):
        case = override_case(np.random.default_rng([seed, 3]), effect_rr=0.0)
        path = decision_effect_path(decisions_of(case), range(200, 2001, 100))
        alarms.append(ever([measured(effect) for _, effect in path]))
    by_sequence, by_fixed = np.mean(alarms, axis=0)
    assert by_sequence <= 0.05
    assert by_fixed >= 0.15


@pytest.mark.slow
@pytest.mark.parametrize("trades_per_week", [4.0, 15.0])
def test_weekly_looks_at_an_uplift_of_nothing_rarely_raise_an_alarm(trades_per_week: float):
    """200 runs of three years with skewed outcomes and shared weekly shocks.

    0.05 is promised; three standard errors are 0.046.
    """
    alarms = [
        ever(uplift_path(np.random.default_rng([seed, 4]), trades_per_week)) for seed in range(200)
    ]
    by_sequence, by_fixed = np.mean(alarms, axis=0)
    assert by_sequence <= 0.096
    assert by_fixed >= 0.15


def uplift_path(rng: np.random.Generator, trades_per_week: float) -> list[Effect]:
    """Looks every four weeks from week 20 to week 156 at a size-up of worthless trades."""
    week = np.repeat(np.arange(156), rng.poisson(trades_per_week * rng.gamma(4, 0.25, 156)))
    rr = rr_noise(rng, len(week)) + rng.normal(0, 0.4, 156)[week]
    multipliers = np.full(len(week), 1.2)
    ends = np.searchsorted(week, np.arange(20, 157, 4))
    return [
        measured(size_uplift(multipliers[:end], rr[:end], week[:end] * 7.0).uplift) for end in ends
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("n", "held_out"), [(300, 0.1), (150, 0.2)])
def test_twenty_useless_overrides_are_rarely_called_anything_at_their_horizon(
    n: int, held_out: float
):
    """60 runs at q = 0.1 with skewed outcomes: three standard errors are 0.116.

    By the t distribution more than half of the runs have a false verdict.
    """
    mistaken = []
    for seed in range(60):
        rng = np.random.default_rng([seed, n])
        records = {i: useless(rng, n, held_out) for i in range(20)}
        judged = judged_together(records, horizon_days=182, fdr_target=0.1).values()
        mistaken.append(
            any(getattr(one, "verdict", "not clear yet") != "not clear yet" for one in judged)
        )
    assert np.mean(mistaken) <= 0.216


@pytest.mark.slow
def test_looks_at_skewed_outcomes_of_a_small_arm_rarely_raise_an_alarm():
    """200 runs without an effect, a tenth held out; 0.05 is promised.

    From 200 decisions on, whatever the smaller arm has, 2500 runs err 0.065; from 50 on 0.034.
    """
    alarms = []
    for seed in range(200):
        rng = np.random.default_rng([seed, 8])
        n = 2000
        rr = np.where(rng.random(n) < 0.65, -1.0, rng.exponential(1.9, n))
        decisions = Decisions(rr, rng.random(n) >= 0.1, np.full(n, 0.9), rng.normal(size=(n, 1)))
        path = decision_effect_path(decisions, range(200, 2001, 100))
        alarms.append(ever([one for _, one in path if isinstance(one, Effect)])[0])
    assert np.mean(alarms) <= 0.05
