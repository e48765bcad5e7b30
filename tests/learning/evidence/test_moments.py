"""Exact sums: parts make the whole, whatever the order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.events.completed_trades import RR_LIMIT
from learning.evidence.moments import R_SCALE, Moments, concatenated, moments_of, to_fixed

outcomes = st.lists(st.floats(-33, 33), max_size=30)


@given(outcomes, outcomes)
def test_two_parts_add_up_to_the_whole_in_any_order(first: list[float], second: list[float]):
    whole = moments_of([*second, *first], clip=(-1, 5))
    assert moments_of(first, clip=(-1, 5)) + moments_of(second, clip=(-1, 5)) == whole


@given(st.lists(st.floats(-33, 33), min_size=1, max_size=30))
def test_mean_and_variance_are_those_of_the_values(rr: list[float]):
    moments = moments_of(rr, clip=(-2, 8))
    assert moments.avg_rr()[0] == pytest.approx(np.mean(rr), abs=1e-6)
    assert moments.avg_clipped()[0] == pytest.approx(np.mean(np.clip(rr, -2, 8)), abs=1e-6)
    assert moments.variance()[0] == pytest.approx(np.var(np.clip(rr, -2, 8)), abs=2e-5)


def test_one_changed_outcome_is_another_moment():
    assert moments_of([1.0, 2.0]) != moments_of([1.0, 2.000001])


def test_segments_count_their_own_trades():
    moments = moments_of([1.0, 2.0, 4.0], segment=[0, 5, 5])
    assert moments.seg_n.tolist() == [[1, 0, 0, 0, 0, 2]]
    assert moments.seg_sum.tolist() == [[1_000_000, 0, 0, 0, 0, 6_000_000]]


def test_adding_by_row_is_adding_one_by_one():
    one, two, three = (moments_of([rr]) for rr in (1.0, 2.0, 3.0))
    added = concatenated([one, two, three]).added_by(np.array([0, 1, 0]), 2)
    assert added == concatenated([one + three, two])


def test_a_set_without_trades_has_moments_of_zero():
    assert moments_of([]) + moments_of([1.5]) == moments_of([1.5])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e13])
def test_what_fixed_point_cannot_hold_is_refused(wrong: float):
    with pytest.raises(ValueError, match="values must be finite and below 4"):
        to_fixed([1.0, wrong], R_SCALE)


def test_sums_that_could_leave_the_integers_are_refused():
    with pytest.raises(ValueError, match=r"below 2\*\*62, got 5 values"):
        moments_of([RR_LIMIT] * 5)


def test_every_outcome_that_is_taken_in_can_be_summed():
    assert moments_of([RR_LIMIT, -RR_LIMIT, 1.0]).avg_rr()[0] == pytest.approx(1 / 3, abs=1e-6)
    money = moments_of([1000.0] * 4000)  # taken for R by mistake
    assert money.variance()[0] == 0.0


def test_equality_asks_for_moments():
    assert moments_of([1.0]) != "moments"
    assert isinstance(moments_of([1.0]), Moments)
