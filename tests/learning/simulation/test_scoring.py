"""Scores against a truth small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from learning.simulation.planted_world import (
    PlantedEffect,
    PlantedTrades,
    PlantedWorld,
    planted_world,
)
from learning.simulation.scoring import (
    EmittedLesson,
    adjusted_rand,
    score_half_lives,
    score_lessons,
)


def by_hand() -> tuple[PlantedWorld, PlantedTrades]:
    """Group 0: 200 trades, the half with level 1 of dimension 2 shifted by +2 R."""
    levels = np.zeros((200, 10), dtype=np.int64)
    levels[:100, 2] = 1
    shift = 2.0 * levels[:, 2]
    trades = PlantedTrades(
        group=np.zeros(200, dtype=np.int64),
        levels=levels,
        closed_at_days=np.arange(200.0),
        rr=shift,
        true_shift_rr=shift,
        base_rr=np.zeros(200),
        time_efficiency=np.full(200, 0.5),
    )
    empty = planted_world(1, n_patterns=1, n_trades=10, null=True)
    effect = PlantedEffect(0, "stationary", 0, ((2, 1),), 2.0)
    return PlantedWorld(**{**vars(empty), "effects": (effect,)}), trades


def test_a_true_lesson_is_found_and_its_error_is_against_the_group_mean():
    world, trades = by_hand()
    lesson = EmittedLesson(0, ((2, 1),), 1.2, 0.9, 1.5)  # truth: 2 - 1 = 1
    score = score_lessons(world, trades, [lesson], fresh=trades)
    assert (score.false_share, score.power, score.detectable_power) == (0.0, 1.0, 1.0)
    assert score.bias_rr == pytest.approx(0.2)
    assert score.coverage == 1.0
    assert score.fresh_edge_rr == pytest.approx(1.0)


def test_a_lesson_of_the_wrong_sign_is_false_in_both_counts():
    world, trades = by_hand()
    score = score_lessons(world, trades, [EmittedLesson(0, ((2, 1),), -1.0)])
    assert (score.false_share, score.strict_false_share, score.power) == (1.0, 1.0, 0.0)
    assert score.coverage is None


def test_a_second_lesson_on_the_same_effect_is_redundant_not_false():
    world, trades = by_hand()
    twice = [EmittedLesson(0, ((2, 1),), 1.0), EmittedLesson(0, ((2, 1), (3, 0)), 1.0)]
    score = score_lessons(world, trades, twice)
    assert (score.false_share, score.lessons_per_effect) == (0.0, 2.0)


def test_without_lessons_there_is_no_error_to_speak_of():
    world, trades = by_hand()
    score = score_lessons(world, trades, [])
    assert (score.n_lessons, score.false_share, score.bias_rr) == (0, 0.0, None)


def test_the_agreement_of_partitions_is_that_of_scikit_learn():
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 5, 200), rng.integers(0, 4, 200)
    assert adjusted_rand(first, second) == pytest.approx(adjusted_rand_score(first, second))
    mixed = np.where(rng.random(200) < 0.8, first, second)
    assert adjusted_rand(first, mixed) == pytest.approx(adjusted_rand_score(first, mixed))


def test_half_life_errors_by_hand():
    score = score_half_lives([50, 100, 400], [40, 90, 10], [120, 95, 500], [100, 100, 100])
    assert score.median_relative_error == 0.5  # 0.5, 0, 3
    assert score.share_within_half == pytest.approx(1 / 3)
    assert score.coverage == pytest.approx(2 / 3)
    assert score.median_factor == pytest.approx(2.0)  # 2, 1, 4
