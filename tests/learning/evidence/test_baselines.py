"""Segment baselines and ranks, by hand and against a plain restatement of the rule."""

from __future__ import annotations

import numpy as np
import pytest

from learning.evidence.baselines import group_ranks, segment_baselines


def by_the_rule(bucket: int, timeframe: int, trades: list[tuple[int, int, float]]) -> float:
    """The baseline of one trade, segment by segment."""
    own = [r for b, t, r in trades if (b, t) == (bucket, timeframe) and b >= 0 and t >= 0]
    if len(own) >= 10:
        return float(np.mean(own))
    margins = [
        [r for b, _, r in trades if b == bucket >= 0],
        [r for _, t, r in trades if t == timeframe >= 0],
    ]
    trusted = [rows for rows in margins if len(rows) >= 5]
    if not trusted:
        return float(np.mean([r for _, _, r in trades]))
    return sum(len(r) * float(np.mean(r)) for r in trusted) / sum(map(len, trusted))


@pytest.mark.parametrize("seed", range(4))
def test_every_trade_gets_the_baseline_that_the_rule_names(seed: int):
    rng = np.random.default_rng(seed)
    n = 90
    bucket, timeframe = rng.choice(7, n, p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.03, 0.02]) - 1, None
    timeframe = rng.integers(-1, 4, n)
    rr = rng.normal(0, 2, n)
    trades = list(zip(bucket.tolist(), timeframe.tolist(), rr.tolist(), strict=True))
    found = segment_baselines(bucket, timeframe, rr).of(bucket, timeframe)
    expected = [by_the_rule(b, t, trades) for b, t, _ in trades]
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_segment_of_nine_is_not_its_own_baseline_and_one_of_ten_is():
    ten = segment_baselines([0] * 10 + [1] * 10, [0] * 20, [1.0] * 10 + [3.0] * 10)
    nine = segment_baselines([0] * 9 + [1] * 10, [0] * 19, [1.0] * 9 + [3.0] * 10)
    assert ten.of([0], [0]) == pytest.approx([1.0])
    assert nine.of([0], [0]) == pytest.approx([(9 * 1.0 + 19 * 39 / 19) / 28])


def test_a_value_never_seen_counts_as_absent():
    fitted = segment_baselines([0] * 10, [0] * 10, [2.0] * 10)
    assert fitted.of([5, -1], [7, -1]).tolist() == [2.0, 2.0]


def test_no_trades_have_no_baseline():
    with pytest.raises(ValueError, match="at least one finite outcome, got 0"):
        segment_baselines([], [], [])


def test_mean_rank_is_the_chance_to_beat_a_random_trade_of_the_group():
    rng = np.random.default_rng(3)
    group, values = rng.integers(0, 3, 60), rng.integers(0, 8, 60).astype(float)
    ranks = group_ranks(group, values)
    for i in range(60):
        peers = values[group == group[i]]
        chance = np.mean(peers < values[i]) + np.mean(peers == values[i]) / 2
        assert ranks[i] == pytest.approx(chance, abs=1e-12)


def test_a_group_without_values_is_neutral():
    assert group_ranks([0, 1], [np.nan, np.nan]).tolist() == [0.5, 0.5]
