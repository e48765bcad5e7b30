"""A p-value from drawing the arms again: exact, by units, and not misled by skewed outcomes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from learning.overrides.effect_record import (
    AppliedTrades,
    EffectRecord,
    PatternTrades,
    comparison_record,
)
from learning.overrides.effects import Decisions
from learning.overrides.randomisation import randomisation_p_value, units_per_arm

P = 0.7


def decisions(rr: np.ndarray, treated: np.ndarray, *, copies: int = 1) -> Decisions:
    n = len(rr) * copies
    return Decisions(
        rr=np.repeat(rr, copies),
        treated=np.repeat(treated, copies),
        p_treated=np.full(n, P),
        covariates=np.zeros((n, 0)),
        unit=np.repeat(np.arange(len(rr)), copies),
    )


def p_of(found: Decisions, *, least_per_arm: int = 2, seed: int = 1) -> float:
    rng = np.random.default_rng(seed)
    return randomisation_p_value(found, found.rr, least_per_arm=least_per_arm, rng=rng)


def by_enumeration(rr: np.ndarray, treated: np.ndarray) -> float:
    """Every way to draw the arms with its probability, and Welch's statistic of each."""

    def statistic(arms: np.ndarray) -> float:
        one, zero = rr[arms], rr[~arms]
        return (one.mean() - zero.mean()) / (one.var() / len(one) + zero.var() / len(zero)) ** 0.5

    observed = statistic(treated)
    above = below = total = 0.0
    for drawn in itertools.product([False, True], repeat=len(rr)):
        arms = np.array(drawn)
        if 2 <= arms.sum() <= len(rr) - 2:
            chance = P ** arms.sum() * (1 - P) ** (~arms).sum()
            above += chance * (statistic(arms) >= observed - 1e-9)
            below += chance * (statistic(arms) <= observed + 1e-9)
            total += chance
    return float(min(1.0, 2 * min(above, below) / total))


@pytest.mark.parametrize("effect", [0.0, 1.2, -1.5])
def test_it_agrees_with_all_ways_to_draw_ten_decisions(effect: float) -> None:
    """Drawn until 50 lie beyond: the standard error is a seventh of the p-value."""
    rng = np.random.default_rng(5)
    treated = np.arange(10) % 3 > 0
    rr = rng.exponential(1.0, 10) + effect * treated
    exact = by_enumeration(rr, treated)
    assert p_of(decisions(rr, treated)) == pytest.approx(exact, rel=3 / 50**0.5)


def test_copies_of_one_trade_draw_their_arm_together() -> None:
    rng = np.random.default_rng(2)
    treated = rng.random(60) < P
    rr = rng.normal(size=60) + 0.4 * treated
    single, copied = decisions(rr, treated), decisions(rr, treated, copies=5)
    assert units_per_arm(copied) == units_per_arm(single) == (treated.sum(), (~treated).sum())
    assert p_of(copied) == p_of(single)
    alone = Decisions(copied.rr, copied.treated, copied.p_treated, copied.covariates)
    assert p_of(alone) < 0.1 * p_of(single)


def test_what_was_known_before_sharpens_it_and_a_ramp_does_not_mislead_it() -> None:
    rng = np.random.default_rng(3)
    n = 400
    late = np.arange(n) >= n // 2
    p = np.where(late, 0.9, 0.3)
    treated, x = rng.random(n) < p, rng.normal(size=n)
    rr = np.where(late, 1.0, -1.0) + 2 * x + rng.normal(0, 0.5, n)  # good times, many treated
    useless = Decisions(rr, treated, p, x[:, None])
    assert rr[treated].mean() - rr[~treated].mean() > 0.8
    assert p_of(useless) > 0.05
    helpful = Decisions(rr + 0.3 * treated, treated, p, x[:, None])
    blind = Decisions(rr + 0.3 * treated, treated, p, np.zeros((n, 0)))
    assert p_of(helpful) < p_of(blind)


def test_the_same_seed_gives_the_same_number() -> None:
    rng = np.random.default_rng(4)
    treated = rng.random(80) < P
    found = decisions(rng.normal(size=80) + 0.8 * treated, treated)
    assert p_of(found, seed=7) == p_of(found, seed=7)
    assert p_of(found, seed=7) != p_of(found, seed=8)


def useless(rng: np.random.Generator, n: int, held_out: float) -> EffectRecord:
    """Minus one R mostly, else a gain with a long tail, whatever the arm; judged."""
    days = np.arange(n) / 2
    rr = np.where(rng.random(n) < 0.65, -1.0, rng.exponential(1.9, n))
    trades = AppliedTrades(
        rr=rr,
        closed_at_days=days,
        decided_at_days=days,
        multiplier=np.full(n, np.nan),
        is_randomised=np.ones(n, dtype=np.bool_),
        treated=rng.random(n) >= held_out,
        p_treated=np.full(n, 1 - held_out),
        unit=np.arange(n),
    )
    return comparison_record(trades, PatternTrades(rr, days), judge=rng)


@pytest.mark.parametrize(
    ("n", "held_out"), [pytest.param(300, 0.1, marks=pytest.mark.slow), (150, 0.2)]
)
def test_skewed_outcomes_of_a_small_arm_do_not_mislead_a_judgement(n: int, held_out: float) -> None:
    """300 useless overrides: three standard errors of 0.05 are 0.038, of 0.01 they are 0.017.

    The t distribution calls a tenth of them clear at 0.05 and 0.03 to 0.04 at 0.01.
    """
    rng = np.random.default_rng([n, 1])
    judged = [one.measured for one in (useless(rng, n, held_out) for _ in range(300))]
    p_values = np.array([one.p_value for one in judged if one is not None])
    assert len(p_values) > 250
    assert np.mean(p_values <= 0.05) <= 0.088
    assert np.mean(p_values <= 0.01) <= 0.027
    assert np.mean(p_values <= 0.5) >= 0.4  # and no test that never says anything


def test_fewer_than_twenty_in_an_arm_are_too_few_to_judge() -> None:
    found = useless(np.random.default_rng(0), 120, 0.12)
    assert (found.n_held_out, found.absent_reason) == (
        13, "too few to judge yet: 13 decisions in the smaller arm, 20 needed",
    )  # fmt: skip
