"""Error rates are what they claim, counted in worlds whose truth is known.

The slow sets look at means over worlds: one world's scopes depend on one another, so that a
single lesson more or less is multiplier noise. Their seeds were never used to choose a setting.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from learning.lessons.mining import MiningRun, surviving_lessons
from learning.simulation.planted_world import (
    PlantedEffect,
    PlantedWorld,
    planted_world,
    trade_events,
)
from learning.simulation.scoring import LessonScore, emitted_lesson, score_lessons

PLANTED_SEEDS = range(100, 112)
NULL_SEEDS = range(400, 410)


def scored(world: PlantedWorld) -> tuple[LessonScore, MiningRun]:
    trades = world.sample()
    run = surviving_lessons(trade_events(world, trades), fdr_target=0.1, look=1, seed=0)
    lessons = [emitted_lesson(world, one) for one in run.lessons if one.status == "proposed"]
    return score_lessons(world, trades, lessons), run


def test_small_worlds_without_an_edge_yield_no_lesson():
    """At most one of six: with q = 0.10 two or more happen by chance in one case in nine."""
    worlds = [planted_world(s, null=True, n_trades=4000, n_patterns=5) for s in range(600, 606)]
    scores = [scored(world)[0] for world in worlds]
    assert sum(score.n_lessons > 0 for score in scores) <= 1


def test_small_worlds_with_large_edges_yield_mostly_true_lessons():
    """Eight edges of 2 R a world, each in one phase of one large group."""
    scores = [scored(with_plain_effects(seed))[0] for seed in (700, 701, 702)]
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


@cache
def planted_runs() -> tuple[tuple[LessonScore, MiningRun], ...]:
    return tuple(scored(planted_world(seed)) for seed in PLANTED_SEEDS)


@cache
def null_runs() -> tuple[tuple[LessonScore, MiningRun], ...]:
    return tuple(scored(planted_world(seed, null=True)) for seed in NULL_SEEDS)


def mean(name: str) -> float:
    values = [getattr(score, name) for score, _ in planted_runs()]
    return float(np.mean([value for value in values if value is not None]))


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
    assert np.mean([score.n_lessons > 0 for score, _ in null_runs()]) <= 0.2


@pytest.mark.slow
def test_scores_without_an_edge_are_standard_normal_in_their_tails():
    """Nominal one in a thousand on each side.

    Levels whose sample holds no big win have both a small variance and a low mean, which
    leans the tails to the left; together they are nominal.
    """
    counts = [run.counts for _, run in null_runs()]
    n = sum(count.n_eligible for count in counts)
    upper = 1000 * sum(count.n_upper_tail for count in counts) / n
    lower = 1000 * sum(count.n_lower_tail for count in counts) / n
    assert 0.7 <= (upper + lower) / 2 <= 1.3
    assert 0.3 <= upper <= 1.3
    assert 0.7 <= lower <= 1.7
