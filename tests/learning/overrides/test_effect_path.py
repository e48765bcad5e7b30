"""An effect over time ends where the effect stands, and its band begins when it may."""

from __future__ import annotations

import numpy as np
import pytest

from learning.overrides.effect_path import (
    MOST_LOOKS,
    balance,
    comparison_path,
    randomised,
    uplift_path,
)
from learning.overrides.effect_record import AppliedTrades, PatternTrades, comparison_record
from learning.overrides.effects import Effect, size_uplift


def applied(n: int, *, seed: int = 1, size_only: int = 0) -> AppliedTrades:
    rng = np.random.default_rng(seed)
    days = np.sort(rng.uniform(0, 300, n))
    return AppliedTrades(
        rr=rng.normal(0.2, 1.0, n),
        closed_at_days=days + 1,
        decided_at_days=days,
        multiplier=np.full(n, 1.1),
        is_randomised=np.arange(n) >= size_only,
        treated=rng.random(n) < 0.8,
        p_treated=np.full(n, 0.8),
        unit=np.arange(n),
    )


def test_the_last_point_of_an_uplift_is_the_uplift_and_the_band_begins_at_week_twenty() -> None:
    one = applied(400)
    path = uplift_path(one.multiplier, one.rr, one.closed_at_days)
    whole = size_uplift(one.multiplier, one.rr, one.closed_at_days).uplift
    assert isinstance(whole, Effect)
    last = path.points[-1]
    assert last.estimate_rr == pytest.approx(whole.estimate_rr)
    assert (last.low_rr, last.high_rr) == (whole.sequence_low_rr, whole.sequence_high_rr)
    assert [one.low_rr is None for one in path.points[18:20]] == [True, False]
    assert last.total_rr == pytest.approx(0.1 * one.rr.sum())


def test_trades_may_come_in_any_order() -> None:
    one = applied(200)
    shuffled = np.random.default_rng(2).permutation(200)
    path = uplift_path(one.multiplier, one.rr, one.closed_at_days)
    again = uplift_path(one.multiplier[shuffled], one.rr[shuffled], one.closed_at_days[shuffled])
    assert [point.n for point in again.points] == [point.n for point in path.points]
    assert again.points[-1].total_rr == pytest.approx(path.points[-1].total_rr)


def test_many_weeks_are_thinned_and_the_last_one_stays() -> None:
    days = np.arange(500) * 7.0
    path = uplift_path(np.full(500, 1.1), np.ones(500), days)
    assert len(path.points) == MOST_LOOKS
    assert path.points[-1].n == path.n_units == 500


def test_the_last_point_of_a_comparison_is_what_is_recorded() -> None:
    one = applied(600, size_only=50)
    pattern = PatternTrades(one.rr, one.closed_at_days)
    path = comparison_path(randomised(one), pattern)
    record = comparison_record(one, pattern)
    assert path.n_units == path.points[-1].n == 550
    assert path.points[-1].estimate_rr == pytest.approx(record.effect_rr)
    assert path.points[-1].low_rr == pytest.approx(record.ci_low_rr)


def test_a_condition_that_only_one_arm_met_is_told() -> None:
    """Ten treated of ten where eight were to be expected: (2 - 0.5) / sqrt(1.6) = 1.19 sd."""
    conditions = [["bucket mid"]] * 10 + [["bucket big"]] * 10
    treated = [True] * 10 + [True] * 6 + [False] * 4
    found = {one.condition: one for one in balance(conditions, treated, [0.8] * 20)}
    assert found["bucket mid"].share_treated == pytest.approx(10 / 16)
    assert found["bucket mid"].share_held_out == 0
    assert found["bucket mid"].p_value == pytest.approx(0.2357, abs=1e-3)


def test_without_a_second_arm_there_is_no_balance() -> None:
    assert balance([["bucket mid"]], [True], [0.8]) == []
