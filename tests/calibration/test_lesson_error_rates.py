"""Error rates are what they claim, counted in worlds whose truth is known.

The slow sets look at means over worlds: one world's scopes depend on one another, so that a
single lesson more or less is multiplier noise. Their seeds were never used to choose a setting.
The full set, every figure in a line: ``python -m tests.calibration.figures``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from learning.simulation.planted_world import PlantedEffect, PlantedWorld, planted_world
from tests.calibration.figures import mean_of, tails_per_1000
from tests.calibration.worlds import NULL_SEEDS, PLANTED_SEEDS, Searched, default_world, searched

N_NULL = 10  # of the worlds of the full set


def test_small_worlds_without_an_edge_yield_no_lesson():
    """At most one of six: with q = 0.10 two or more happen by chance in one case in nine."""
    worlds = [planted_world(s, null=True, n_trades=4000, n_patterns=5) for s in range(600, 606)]
    scores = [searched(world).score for world in worlds]
    assert sum(score.n_lessons > 0 for score in scores) <= 1


def test_small_worlds_with_large_edges_yield_mostly_true_lessons():
    """Eight edges of 2 R a world, each in one phase of one large group."""
    scores = [searched(with_plain_effects(seed)).score for seed in (700, 701, 702)]
    n = sum(score.n_lessons for score in scores)
    n_false = sum(score.n_lessons * score.false_share for score in scores)
    assert n >= 12
    assert n_false <= 0.1 * n
    assert np.mean([score.power for score in scores if score.power is not None]) >= 0.6


def with_plain_effects(seed: int) -> PlantedWorld:
    world = planted_world(seed, null=True, n_trades=6000, n_patterns=5)
    trades = world.sample()
    largest = np.argsort(-np.bincount(trades.group))[:8].tolist()
    effects = []
    for i, group in enumerate(largest):
        phases = np.bincount(trades.levels[trades.group == group, 2], minlength=6)
        scope = ((2, int(np.argsort(phases)[-2])),)  # the second commonest micro phase
        effects.append(PlantedEffect(i, "stationary", group, scope, 2.0 * (-1) ** i))
    return replace(world, effects=tuple(effects))


def null_worlds() -> list[Searched]:
    return [default_world(seed, null=True) for seed in NULL_SEEDS[:N_NULL]]


def mean(name: str) -> float:
    return mean_of((default_world(seed).score for seed in PLANTED_SEEDS), name)


@pytest.mark.slow
def test_planted_worlds_yield_few_false_lessons():
    assert mean("false_share") <= 0.03
    assert mean("strict_false_share") <= 0.14


@pytest.mark.slow
def test_planted_worlds_yield_three_quarters_of_the_detectable_effects_once():
    assert mean("detectable_power") >= 0.75
    assert mean("lessons_per_effect") <= 1.2


@pytest.mark.slow
def test_intervals_of_emitted_lessons_hold_the_truth():
    assert mean("coverage") >= 0.90
    assert abs(mean("bias_rr")) <= 0.07


@pytest.mark.slow
def test_worlds_without_an_edge_hardly_ever_yield_a_lesson():
    """The target is 0.10; at a true share of 0.07 three or more of ten have chance 0.03."""
    assert np.mean([one.score.n_lessons > 0 for one in null_worlds()]) <= 0.2


@pytest.mark.slow
def test_scores_without_an_edge_are_standard_normal_in_both_tails():
    """Nominal one in a thousand on each side; over ten worlds either has an error of 0.1."""
    upper, lower = tails_per_1000(one.run for one in null_worlds())
    assert 0.7 <= upper <= 1.3
    assert 0.7 <= lower <= 1.3
