"""Medians of what was missed, and thresholds of signals, week by week."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from learning.domain.levers import ThresholdRange
from learning.events.counterfactuals import missed_class
from learning.lessons.execution_evidence import (
    EMBARGO_DAYS,
    LEAST_MISSED_RR,
    ChosenThreshold,
    MissedMedian,
    SplitContrast,
    chosen_threshold,
    missed_median,
    signed_entry,
    signed_exit,
    split_contrast,
)
from learning.lessons.standing import Undetermined

TS = ThresholdRange("TS", "min", low=0.0, high=1.0, step=0.1)


def one_a_week(n: int) -> np.ndarray:
    return 7.0 * np.arange(n) + 1.0


def test_the_least_that_is_missed_is_where_the_class_small_begins() -> None:
    assert missed_class(LEAST_MISSED_RR) == "small"
    assert missed_class(np.nextafter(LEAST_MISSED_RR, 0)) == "none"


def test_an_entry_is_too_early_unless_the_better_price_came_before_it() -> None:
    gap = np.array([np.nan, 0.5, -0.1])
    assert signed_entry(np.full(3, 0.8), gap).tolist() == [0.8, 0.8, 0.0]


def test_an_exit_without_the_moment_of_the_better_one_tells_nothing() -> None:
    missed = np.array([1.0, 1.0, 1.0, 0.0])
    signed = signed_exit(missed, np.array([2.0, 0.0, np.nan, np.nan]))
    assert np.isnan(signed[2])
    assert signed[[0, 1, 3]].tolist() == [1.0, -1.0, 0.0]


def test_one_trade_a_week_gives_the_sign_test_with_students_t() -> None:
    """64 weeks, 44 of them above 0.5: share 11/16 against one half.

    The jackknife variance of a mean of n blocks of one is s² / n with divisor n - 1.
    """
    missed = np.where(np.arange(64) % 16 < 11, 0.9, 0.2)
    found = missed_median(missed, one_a_week(64))
    assert isinstance(found, MissedMedian)
    se = max(np.sqrt(11 / 16 * 5 / 16 / 63), np.sqrt(0.25 / 64))
    assert found.n_effective_blocks == 64
    assert found.p_above == pytest.approx(stats.t.sf((11 / 16 - 0.5) / se, 63), rel=1e-6)
    assert found.median_rr == 0.9
    assert found.p_below == pytest.approx(stats.t.sf(-0.5 / np.sqrt(0.25 / 64), 63), rel=1e-6)


def test_the_interval_of_a_median_is_that_of_its_ranks() -> None:
    """Woodruff: the quantiles at one half plus and minus t times the error of the share."""
    missed = np.arange(100) / 100
    found = missed_median(missed, one_a_week(100))
    assert isinstance(found, MissedMedian)
    reach = stats.t.isf(0.025, 99) * np.sqrt(0.25 / 99)
    ranks = np.array([np.floor((0.5 - reach) * 99), np.ceil((0.5 + reach) * 99)])
    assert [found.ci_low_rr, found.ci_high_rr] == (ranks / 100).tolist()
    assert found.ci_low_rr < found.cautious_rr < found.median_rr


def test_trades_of_one_week_are_not_counted_as_independent() -> None:
    """Ten equal trades a week say hardly more than one."""
    weeks = np.where(np.arange(40) % 8 < 5, 0.9, 0.2)
    alone = missed_median(np.repeat(weeks, 2), np.repeat(one_a_week(40), 2))
    many = missed_median(np.repeat(weeks, 20), np.repeat(one_a_week(40), 20))
    assert isinstance(alone, MissedMedian)
    assert isinstance(many, MissedMedian)
    assert many.p_above == pytest.approx(alone.p_above, rel=1e-9)


@pytest.mark.parametrize(
    ("n", "weeks", "reason"),
    [(49, 49, "49 trades tell"), (60, 5, "5.0 effective blocks"), (60, 1, "1.0 effective")],
)
def test_too_few_trades_or_weeks_are_undetermined(n: int, weeks: int, reason: str) -> None:
    found = missed_median(np.ones(n), 7.0 * (np.arange(n) % weeks))
    assert isinstance(found, Undetermined)
    assert reason in found.reason


def test_the_contrast_is_that_of_a_weekly_jackknife_by_hand() -> None:
    """Each week one trade per side: leaving a week out moves both means."""
    n = 40
    rng = np.random.default_rng(3)
    better, worse = rng.normal(1, 1, n), rng.normal(0, 1, n)
    outcome, days = np.concatenate([better, worse]), np.tile(one_a_week(n), 2)
    passes = np.arange(2 * n) < n
    found = split_contrast(passes, outcome, days)
    assert isinstance(found, SplitContrast)
    difference = better - worse
    # one pair a week: the jackknife of a difference of means is that of the mean difference
    assert found.contrast_rr == pytest.approx(difference.mean())
    assert found.se_rr == pytest.approx(difference.std(ddof=1) / np.sqrt(n))
    # sides of one size have no skewness of the difference, so t stays as it is
    assert found.t == pytest.approx(found.contrast_rr / found.se_rr)
    assert found.p_value == pytest.approx(stats.t.sf(found.t, n - 1))


def planted(rng: np.random.Generator, n: int = 1200, *, at: float = 0.6) -> tuple:
    days = np.sort(rng.uniform(0, 700, n))
    signal = rng.uniform(0, 1, n)
    outcome = rng.normal(0, 1.5, n) + np.where(signal >= at, 0.8, -0.2)
    return signal, outcome, days


def test_a_planted_threshold_is_found_within_a_step() -> None:
    for seed in range(5):
        found = chosen_threshold(*planted(np.random.default_rng(seed)), TS)
        assert isinstance(found, ChosenThreshold)
        assert abs(found.value - 0.6) <= 0.1 + 1e-9
        assert isinstance(found.confirmation, SplitContrast)
        assert found.confirmation.p_value < 1e-4
        assert found.confirmation.ci_low_rr < 1.0 < found.confirmation.ci_high_rr


def test_a_maximum_lets_the_lower_trades_through() -> None:
    signal, outcome, days = planted(np.random.default_rng(1))
    upside_down = ThresholdRange("TS", "max", low=0.0, high=1.0, step=0.1)
    found = chosen_threshold(1 - signal, outcome, days, upside_down)
    assert isinstance(found, ChosenThreshold)
    assert found.value == pytest.approx(0.4)


def test_the_trades_that_choose_are_not_those_that_confirm() -> None:
    """An effect that ends where the choosing ends is chosen and not confirmed."""
    rng = np.random.default_rng(5)
    signal, outcome, days = planted(rng)
    border = np.quantile(days, 0.6)
    later = days > border + EMBARGO_DAYS
    outcome[later] = rng.normal(0, 1.5, later.sum())
    found = chosen_threshold(signal, outcome, days, TS)
    assert isinstance(found, ChosenThreshold)
    assert found.chosen_before_days == pytest.approx(border)
    assert isinstance(found.confirmation, SplitContrast)
    assert found.confirmation.n == later.sum()
    assert found.confirmation.p_value > 0.01


def test_a_signal_that_hardly_any_trade_tells_gives_no_threshold() -> None:
    signal, outcome, days = planted(np.random.default_rng(2))
    signal[59:] = np.nan
    found = chosen_threshold(signal, outcome, days, TS)
    assert isinstance(found, Undetermined)
    assert "59 trades tell the signal" in found.reason
