"""Planted worlds are what they say, whatever the seed."""

from __future__ import annotations

import numpy as np
import pytest

from learning.simulation.planted_world import (
    LEVELS,
    decaying_stream,
    jaccard,
    lesson_sets,
    matches,
    override_case,
    planted_world,
    rr_noise,
    trade_events,
)


def test_noise_has_mean_zero_and_the_stated_spread_and_skew():
    noise = rr_noise(np.random.default_rng(1), 1_000_000)
    assert noise.mean() == pytest.approx(0, abs=3 * 1.8 / np.sqrt(1e6))
    assert noise.std() == pytest.approx(1.8, abs=0.1)
    assert ((noise / noise.std()) ** 3).mean() > 3
    assert np.quantile(noise, 0.999) == pytest.approx(12.8, abs=0.3)


def test_a_seed_is_a_world_and_a_sample_seed_a_draw_of_it():
    one, other = planted_world(103), planted_world(103)
    assert one.effects == other.effects
    assert np.array_equal(one.sample(500).rr, other.sample(500).rr)
    assert not np.array_equal(one.sample(500).rr, one.sample(500, sample_seed=1).rr)
    assert planted_world(101).effects != one.effects


def test_the_true_shift_is_the_sum_of_the_active_effects():
    world = planted_world(101)
    trades = world.sample()
    expected = np.zeros(trades.n)
    for effect in world.effects:
        inside = (trades.group == effect.group) & matches(trades.levels, effect.scope)
        if effect.macro_phases:
            inside &= np.isin(trades.levels[:, 0], effect.macro_phases)
        decay = 1.0
        if effect.half_life_days:
            decay = np.exp2(-trades.closed_at_days / effect.half_life_days)
        expected += effect.delta_rr * inside * decay
    assert len(world.effects) >= 15
    assert trades.true_shift_rr == pytest.approx(expected)


def test_a_null_world_has_no_shift():
    trades = planted_world(6, null=True, n_trades=500).sample()
    assert not trades.true_shift_rr.any()


def test_trades_lie_in_the_days_asked_for_and_keep_their_levels_in_range():
    trades = planted_world(7, null=True, n_trades=1000).sample(from_day=540, to_day=900)
    assert trades.closed_at_days.min() >= 540
    assert trades.closed_at_days.max() < 900
    assert (trades.levels >= 0).all()
    assert (trades.levels < np.array(LEVELS)).all()


def test_planted_trades_become_valid_events():
    world = planted_world(8, null=True, n_trades=700)
    events = trade_events(world, world.sample())
    assert events.n == 700
    assert len(events.groups) == 120
    assert events.groups[5] == ("pm.planted.S1.setup01", "add")


def test_a_stream_fades_with_its_half_life():
    rng = np.random.default_rng(9)
    days, week, excess = decaying_stream(
        rng, half_life_days=60, initial_edge_rr=1.0, trades_per_week=4000, n_weeks=40
    )
    assert np.array_equal(week, (days / 7).astype(int))
    early, late = excess[days < 28].mean(), excess[(days >= 180) & (days < 208)].mean()
    # three half-lives apart; the shocks of four weeks have sd 0.35 / 2 each
    assert late - early == pytest.approx(0.85 * (1 / 8 - 1), abs=3 * 0.25)


def test_lessons_of_one_factor_share_trades_and_single_ones_do_not():
    rows, label = lesson_sets(np.random.default_rng(10), nested=False)
    same = [
        jaccard(rows[i], rows[j])
        for i in range(len(rows))
        for j in range(i)
        if label[i] == label[j]
    ]
    other = [
        jaccard(rows[i], rows[j])
        for i in range(len(rows))
        for j in range(i)
        if label[i] != label[j]
    ]
    assert min(same) > np.quantile(other, 0.99)


def test_an_override_case_is_randomised_and_has_the_stated_effect():
    case = override_case(np.random.default_rng(11), n=60_000, holdout=0.2)
    assert case.treated.mean() == pytest.approx(0.8, abs=3 * np.sqrt(0.16 / 60_000))
    assert case.rr - case.untreated_rr == pytest.approx(0.25 * case.treated)
    confounded = override_case(np.random.default_rng(11), n=5000, confounding=1.0)
    assert not confounded.treated[confounded.covariate < -0.5].any()
