"""Scopes, weekly blocks and the jackknife, against direct counting and leaving weeks out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from learning.evidence.block_statistics import (
    Blocks,
    ClipLimits,
    block_evidence,
    block_mean_variance,
    clip_limits,
    effective_blocks,
    linear_influence,
    multiplier_blocks,
    scope_sets,
    time_blocks,
)
from learning.evidence.trade_events import TradeEvents


def random_scopes(seed: int, n: int = 300, d: int = 5, levels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(-1, levels, (n, d)).astype(np.int16)


def test_every_scope_with_enough_trades_is_found_once_per_set_of_trades():
    codes = random_scopes(1)
    codes[:, 4] = codes[:, 0]  # a dimension that says the same as another
    sets = scope_sets(codes, (3,) * 5, eligible_n={1: 10, 2: 20, 3: 30})
    expected: dict[bytes, tuple[int, ...]] = {}
    searched = 0
    for k, least in ((1, 10), (2, 20), (3, 30)):
        for dims in itertools.combinations(range(5), k):
            for values in itertools.product(range(3), repeat=k):
                member = (codes[:, dims] == values).all(axis=1)
                searched += member.sum() >= least
                if member.sum() >= least:
                    wanted = np.full(5, -1)
                    wanted[list(dims)] = values
                    expected.setdefault(member.tobytes(), tuple(wanted))
    assert sets.n_searched == searched
    found = {
        sets.indicator(j).astype(bool).tobytes(): tuple(sets.codes[j].tolist())
        for j in range(len(sets.n))
    }
    assert found == expected


def test_scopes_come_simplest_first():
    sets = scope_sets(random_scopes(2), (3,) * 5)
    assert (np.diff(sets.n_dims) >= 0).all()


def test_a_scope_that_holds_every_trade_is_left_out():
    codes = np.zeros((40, 1), dtype=np.int16)
    sets = scope_sets(codes, (1,))
    assert sets.n_searched == 1
    assert len(sets.n) == 0


def test_ancestors_are_the_scopes_with_a_proper_part_of_the_conditions():
    sets = scope_sets(random_scopes(3), (3,) * 5, eligible_n={1: 2, 2: 2, 3: 2})
    j = int(np.flatnonzero(sets.n_dims == 3)[0])
    own = {(i, v) for i, v in enumerate(sets.codes[j].tolist()) if v >= 0}
    for other in range(len(sets.n)):
        conditions = {(i, v) for i, v in enumerate(sets.codes[other].tolist()) if v >= 0}
        assert (other in sets.ancestors(j)) == (conditions < own)


@pytest.mark.parametrize("sizes", [{1: 20, 2: 10}, {1: 1}, {}, {5: 10}])
def test_sizes_that_fall_or_are_too_small_are_refused(sizes: dict[int, int]):
    with pytest.raises(ValueError, match="eligible_n must start at 2"):
        scope_sets(random_scopes(4), (3,) * 5, eligible_n=sizes)


def test_the_jackknife_equals_leaving_each_week_out_by_hand():
    rng = np.random.default_rng(5)
    codes, y = random_scopes(5), rng.gamma(1.0, 2.0, 300)
    week = np.sort(rng.integers(0, 12, 300))
    sets = scope_sets(codes, (3,) * 5)
    found = block_evidence(sets, y, Blocks(week, 12))
    for j in range(0, len(sets.n), 7):
        member = sets.indicator(j).astype(bool)
        delta = y[member].mean() - y.mean()
        left_out = [y[member & (week != b)].mean() - y[week != b].mean() for b in range(12)]
        n_b = np.array([(member & (week == b)).sum() for b in range(12)])
        held = (n_b > 0).sum()
        u = n_b * (1 + 0.1 * (n_b - 1))
        assert found.delta[j] == pytest.approx(delta)
        assert found.influence[j] == pytest.approx(delta - np.array(left_out))
        spread = ((delta - np.array(left_out)) ** 2).sum()
        assert found.v_jack[j] == pytest.approx((held - 1) / held * spread)
        assert found.n_effective_blocks[j] == pytest.approx(u.sum() ** 2 / (u**2).sum())
        assert found.design_effect[j] == pytest.approx(u.sum() / n_b.sum())
        assert found.trades_per_block[j] == pytest.approx((n_b**2).sum() / n_b.sum())


def test_weeks_without_trades_of_the_scope_still_count():
    codes = np.array([[0]] * 12 + [[1]] * 12, dtype=np.int16)
    y = np.arange(24.0)
    week = np.array([0, 1] * 6 + [2, 3] * 6)
    sets = scope_sets(codes, (2,), eligible_n={1: 2})
    influence = block_evidence(sets, y, Blocks(week, 4)).influence[0]
    assert influence[2] == pytest.approx(-(y.mean() - y[week != 2].mean()))
    assert influence[2] != 0


def test_a_scope_in_a_single_week_has_no_variance():
    codes = np.array([[0]] * 10 + [[1]] * 10, dtype=np.int16)
    week = np.array([0] * 10 + [1, 2] * 5)
    sets = scope_sets(codes, (2,))
    found = block_evidence(sets, np.arange(20.0), Blocks(week, 3))
    assert np.isnan(found.v_jack[0])
    assert found.n_effective_blocks[0] == 1.0
    assert found.dof[0] == 1.0


def test_linear_influences_sum_to_nothing_and_follow_the_definition():
    rng = np.random.default_rng(6)
    codes, y = random_scopes(6), rng.normal(size=300)
    part = np.sort(rng.integers(0, 40, 300))
    sets = scope_sets(codes, (3,) * 5)
    influence = linear_influence(sets, y, Blocks(part, 40))
    assert influence.sum(axis=1) == pytest.approx(np.zeros(len(sets.n)), abs=1e-12)
    j = len(sets.n) // 2
    member = sets.indicator(j)
    of_trade = member * (y - y[member > 0].mean()) / member.sum() - (y - y.mean()) / 300
    assert influence[j] == pytest.approx(np.bincount(part, of_trade, 40))


def test_few_weeks_are_cut_into_parts_and_many_are_not():
    days = np.arange(0, 70, 0.5)  # ten weeks: ten parts each, 16.8 hours long
    parts = multiplier_blocks(days, time_blocks(days))
    assert parts is not None
    assert parts.n == 100
    assert parts.code.tolist() == np.floor(days * 10 / 7).astype(int).tolist()
    long = np.arange(0, 700.0)
    assert multiplier_blocks(long, time_blocks(long)) is None


def test_clip_limits_count_a_trade_once_whatever_groups_it_is_in():
    rr = np.arange(1001.0)
    events = TradeEvents.from_columns(
        pattern_key=["p"] * 1501,
        action_category=["entry"] * 1001 + ["exit"] * 500,
        scope={"d": [1] * 1501},
        closed_at_days=np.zeros(1501),
        rr=np.concatenate([rr, rr[:500]]),
        trade=np.concatenate([np.arange(1001), np.arange(500)]),
    )
    assert clip_limits(events) == ClipLimits(low_rr=1.0, high_rr=990.0)


def test_the_variance_of_a_mean_is_exact_for_single_trade_blocks():
    y = np.random.default_rng(7).normal(size=30)
    variance = block_mean_variance(y, Blocks(np.arange(30), 30))
    assert variance == pytest.approx(stats.sem(y) ** 2)  # the delete-one jackknife of a mean
    assert block_mean_variance(y, Blocks(np.zeros(30, dtype=np.int64), 1)) is None


def test_one_big_block_among_small_ones_is_little_more_than_one_episode():
    code = np.array([0] * 100 + [1, 2, 3])
    assert effective_blocks(Blocks(code, 4)) == pytest.approx(1093**2 / (1090**2 + 3))
