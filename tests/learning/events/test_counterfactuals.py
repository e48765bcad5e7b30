"""Missed outcomes by hand, on a path of four bars."""

from __future__ import annotations

import numpy as np
import pytest

from learning.events.counterfactuals import (
    Counterfactual,
    PricePath,
    better_entry,
    better_exit,
    missed_class,
)

PATH = PricePath(
    at_hours=np.array([5.0, 6.0, 7.0, 8.0]),
    high=np.array([101.0, 104.0, 110.0, 104.0]),
    low=np.array([99.0, 97.0, 103.0, 100.0]),
)


def test_a_long_could_have_entered_at_the_low_and_left_at_the_high() -> None:
    assert better_entry(PATH, side="long", entry_price=100.0, risk_per_unit=2.0) == (
        Counterfactual(best_price=97.0, at_hours=6.0, bars_after=1, missed_rr=1.5)
    )
    assert better_exit(PATH, side="long", exit_price=104.0, risk_per_unit=2.0) == (
        Counterfactual(best_price=110.0, at_hours=7.0, bars_after=2, missed_rr=3.0)
    )


def test_a_short_could_have_entered_at_the_high_and_left_at_the_low() -> None:
    entry = better_entry(PATH, side="short", entry_price=100.0, risk_per_unit=4.0)
    leave = better_exit(PATH, side="short", exit_price=100.0, risk_per_unit=4.0)
    assert (entry.best_price, entry.missed_rr) == (110.0, 2.5)
    assert (leave.best_price, leave.missed_rr) == (97.0, 0.75)


def test_the_first_of_equal_prices_is_taken_and_nothing_missed_is_zero() -> None:
    flat = PricePath(np.arange(3.0), np.full(3, 10.0), np.full(3, 9.0))
    found = better_exit(flat, side="long", exit_price=10.5, risk_per_unit=1.0)
    assert (found.bars_after, found.missed_rr) == (0, 0.0)


@pytest.mark.parametrize(
    ("missed", "expected"),
    [(0.0, "none"), (0.4999, "none"), (0.5, "small"), (0.9999, "small"), (1.0, "medium"),
     (1.9999, "medium"), (2.0, "large"), (50.0, "large")],
)  # fmt: skip
def test_classes_begin_at_a_half_one_and_two_r(missed: float, expected: str) -> None:
    assert missed_class(missed) == expected


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="risk_per_unit must be above 0, got 0"):
        better_entry(PATH, side="long", entry_price=100.0, risk_per_unit=0.0)
    with pytest.raises(ValueError, match="must increase"):
        PricePath(np.array([1.0, 1.0]), np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match="finite low <= high"):
        PricePath(np.arange(2.0), np.ones(2), np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="at least one bar"):
        PricePath(np.empty(0), np.empty(0), np.empty(0))
    with pytest.raises(ValueError, match="missed_rr must be a number, got nan"):
        missed_class(float("nan"))
