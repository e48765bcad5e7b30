"""What is stored of an effect covers the truth, planted or none, over 100 seeds.

The confidence sequence promises 0.95 at all looks together, so at a single look it covers more:
its coverage has to be at least 0.95 less three standard errors of 100 runs (0.065).
"""

from __future__ import annotations

import numpy as np
import pytest

from learning.overrides.effect_record import (
    AppliedTrades,
    EffectRecord,
    PatternTrades,
    comparison_record,
    uplift_record,
)
from learning.overrides.guardrail import guardrail_alerts
from learning.simulation.planted_world import OverrideCase, override_case, rr_noise

SEEDS = 100
LEAST = 0.95 - 3 * (0.95 * 0.05 / SEEDS) ** 0.5


def applied(case: OverrideCase) -> tuple[AppliedTrades, PatternTrades]:
    n = len(case.rr)
    days = case.week * 7.0 + np.arange(n) / n
    trades = AppliedTrades(
        rr=case.rr,
        closed_at_days=days,
        decided_at_days=days,
        multiplier=np.full(n, np.nan),
        is_randomised=np.ones(n, dtype=np.bool_),
        treated=case.treated,
        p_treated=case.propensity,
        unit=np.arange(n),
    )
    order = np.argsort(days, kind="stable")
    return trades, PatternTrades(rr=case.rr[order], closed_at_days=days[order])


def covers(record: EffectRecord, truth_rr: float) -> bool:
    assert record.ci_low_rr is not None
    assert record.ci_high_rr is not None
    return record.ci_low_rr <= truth_rr <= record.ci_high_rr


@pytest.mark.parametrize("effect_rr", [0.25, 0.0, -0.4])
def test_a_stored_comparison_covers_the_truth(effect_rr: float) -> None:
    found = []
    for seed in range(SEEDS):
        case = override_case(np.random.default_rng([seed, 5]), effect_rr=effect_rr)
        found.append(comparison_record(*applied(case)))
    assert np.mean([covers(record, effect_rr) for record in found]) >= LEAST


def share_accused(effect_rr: float) -> float:
    cases = [
        override_case(np.random.default_rng([seed, 6]), effect_rr=effect_rr)
        for seed in range(SEEDS)
    ]
    return float(
        np.mean([bool(guardrail_alerts(1, 1, [comparison_record(*applied(c))])) for c in cases])
    )


def test_the_guardrail_accuses_what_does_harm_and_spares_what_does_nothing() -> None:
    """A harm of 0.8 R in 2,000 decisions is found in every run; none in at most 0.05 of them."""
    accused = {effect_rr: share_accused(effect_rr) for effect_rr in (-0.8, 0.0)}
    assert accused[-0.8] == 1
    assert accused[0.0] <= 0.05


@pytest.mark.parametrize("mean_rr", [0.3, 0.0])
def test_a_stored_uplift_covers_the_truth(mean_rr: float) -> None:
    """Sizing up by 1.2 earns a fifth of the mean outcome, in weeks with shared shocks."""
    covered = []
    for seed in range(SEEDS):
        rng = np.random.default_rng([seed, 7])
        week = np.repeat(np.arange(104), rng.poisson(8 * rng.gamma(4, 0.25, 104)))
        n = len(week)
        rr = mean_rr + rr_noise(rng, n) + rng.normal(0, 0.4, 104)[week]
        days = week * 7.0
        trades = AppliedTrades(
            rr=rr,
            closed_at_days=days,
            decided_at_days=days,
            multiplier=np.full(n, 1.2),
            is_randomised=np.zeros(n, dtype=np.bool_),
            treated=np.ones(n, dtype=np.bool_),
            p_treated=np.ones(n),
            unit=np.arange(n),
        )
        record = uplift_record(trades, PatternTrades(rr=rr, closed_at_days=days))
        covered.append(covers(record, 0.2 * mean_rr))
    assert np.mean(covered) >= LEAST
