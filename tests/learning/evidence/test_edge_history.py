"""The weekly edge of a scope belongs to its week alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from learning.evidence.edge_history import (
    EdgeHistory,
    edge_history,
    pooled_within_variance,
    segment_edge,
    segments,
)
from tests.learning.meta.planted_cases import fading_edges


def three_weeks() -> EdgeHistory:
    """Week 0: scope 3, 1 against group 3, 1, 0, 0; week 1: scope only; week 2: 4 against 4, 1."""
    return edge_history(
        np.array([3.0, 1.0, 0.0, 0.0, 9.0, 4.0, 1.0]),
        np.array([1.0, 3.0, 2.0, 6.9, 7.0, 15.0, 16.0]),
        np.array([True, True, False, False, True, True, False]),
    )


def test_edges_counts_and_ages_equal_the_hand_computation():
    history = three_weeks()
    assert history.window.tolist() == [0, 2]
    assert history.n.tolist() == [2, 1]
    assert history.edge_rr.tolist() == [1.0, 1.5]  # 2 - 1 and 4 - 2.5
    assert history.mean_closed_at_days.tolist() == [2.0, 15.0]
    assert history.within_variance_rr.tolist() == [1.0, 0.0]
    assert history.mean_age_hours(now_days=16.0).tolist() == [336.0, 24.0]


def test_a_week_in_which_the_scope_is_the_whole_group_is_left_out_and_counted():
    assert three_weeks().windows_without_comparison == 1


def test_the_standard_error_pools_the_variance_inside_the_weeks():
    # sum of squares 2 on 1 degree of freedom: variance 2, so se = 1 with two trades
    assert three_weeks().se_rr == pytest.approx([1.0, np.sqrt(2)])
    assert pooled_within_variance(three_weeks()) == pytest.approx(2.0)


def test_without_two_trades_in_any_week_the_standard_error_is_absent():
    history = edge_history(
        np.array([1.0, 0.0, 2.0, 0.0]),
        np.array([0.0, 1.0, 8.0, 9.0]),
        np.array([True, False, True, False]),
    )
    assert history.se_rr is None
    assert pooled_within_variance(history) is None


def test_a_pattern_as_a_whole_is_compared_with_zero():
    history = edge_history(
        np.array([1.0, 2.0]), np.array([0.0, 1.0]), np.array([True, True]), against_group=False
    )
    assert history.edge_rr.tolist() == [1.5]
    assert history.windows_without_comparison == 0


def test_the_order_of_the_trades_does_not_matter():
    rng = np.random.default_rng(1)
    outcomes, days = rng.normal(size=200), rng.random(200) * 100
    in_scope = rng.random(200) < 0.5
    shuffled = rng.permutation(200)
    one = edge_history(outcomes, days, in_scope)
    other = edge_history(outcomes[shuffled], days[shuffled], in_scope[shuffled])
    np.testing.assert_allclose(one.edge_rr, other.edge_rr, atol=1e-12)
    np.testing.assert_array_equal(one.closed_at_days, other.closed_at_days)


def test_later_weeks_do_not_depend_on_what_happened_before():
    rng = np.random.default_rng(2)
    outcomes, days = rng.normal(size=400), np.sort(rng.random(400) * 140)
    in_scope = rng.random(400) < 0.5
    early = days < 70
    whole = edge_history(outcomes, days, in_scope)
    spoiled = edge_history(np.where(early, 1000.0, outcomes), days, in_scope)
    np.testing.assert_array_equal(whole.since(70.0).edge_rr, spoiled.since(70.0).edge_rr)


def test_a_break_of_more_than_180_days_starts_a_segment_and_a_shorter_one_does_not():
    days = np.array([0.0, 6.0, 186.0, 190.0, 371.0])  # pauses of 180 days and 181 days
    history = edge_history(
        np.array([1.0, 3.0, 1.0, 2.0, 5.0]), days, np.ones(5, dtype=bool), against_group=False
    )
    parts = segments(history)
    assert [part.n_trades for part in parts] == [4, 1]
    assert parts[1].closed_at_days is not None
    assert parts[1].closed_at_days.tolist() == [371.0]


def test_the_edges_on_both_sides_of_a_break_stand_side_by_side():
    history = edge_history(
        np.array([1.0, 1.0, 4.0, -2.0]),
        np.array([0.0, 1.0, 8.0, 400.0]),
        np.ones(4, dtype=bool),
        against_group=False,
    )
    before, after = (segment_edge(part) for part in segments(history))
    assert before.edge_rr == pytest.approx(2.0)  # (2*1 + 1*4)/3
    # residuals 2*(1-2)/3 and (4-2)/3; two windows: factor 2/(2-1)
    assert before.se_rr == pytest.approx(np.sqrt((4 / 9 + 4 / 9) * 2))
    assert (after.edge_rr, after.se_rr, after.windows) == (-2.0, None, 1)


def test_mean_decay_averages_over_the_trades_of_a_week():
    history = edge_history(
        np.array([1.0, 1.0]), np.array([1.0, 3.0]), np.ones(2, dtype=bool), against_group=False
    )
    rate = np.log(2)  # halves every day: 1/2 and 1/8
    decay = history.mean_decay(np.array([rate, 0.0]), origin_days=0.0)
    assert decay[:, 0] == pytest.approx([0.3125, 1.0])


def test_rows_read_back_without_trade_times_decay_nearly_alike():
    days = np.arange(0.0, 70.0, 0.25)
    history = edge_history(
        np.ones(len(days)), days, np.ones(len(days), dtype=bool), against_group=False
    )
    rows = EdgeHistory(
        history.window,
        history.n,
        history.edge_rr,
        history.se_rr,
        history.mean_closed_at_days,
        history.within_variance_rr,
    )
    rates = np.log(2) / np.array([5.0, 60.0, -30.0])
    exact = history.mean_decay(rates, origin_days=0.0)
    np.testing.assert_allclose(rows.mean_decay(rates, origin_days=0.0), exact, rtol=2e-3)


def test_shapes_and_values_that_make_no_sense_are_named():
    day, yes = np.array([0.0]), np.array([True])
    with pytest.raises(ValueError, match=r"outcomes\[0\] must be finite, got nan"):
        edge_history(np.array([np.nan]), day, yes)
    with pytest.raises(ValueError, match=r"must have one shape \(N,\), got \(2,\)"):
        edge_history(np.array([1.0, 2.0]), day, yes)


def test_a_scope_without_trades_has_an_empty_history():
    history = edge_history(np.array([1.0]), np.array([0.0]), np.array([False]))
    assert len(history) == 0
    assert segments(history) == ()


def running_mean(history: EdgeHistory) -> np.ndarray:
    """What a history of cumulative means would hold: the trap this module exists to avoid."""
    return np.cumsum(history.n * history.edge_rr) / np.cumsum(history.n)


def log_linear_halflife(days: np.ndarray, edge: np.ndarray) -> tuple[float, float, float]:
    """Half-life and 95 % interval of a straight line through the log of positive edges."""
    kept = edge > 0
    line = stats.linregress(days[kept], np.log(edge[kept]))
    half = stats.t.isf(0.025, kept.sum() - 2) * line.stderr
    rates = np.array([-line.slope, -line.slope + half, -line.slope - half])
    return tuple(np.where(rates > 0, np.log(2) / np.maximum(rates, 1e-12), np.inf))


def test_a_half_life_fitted_to_running_means_is_far_off_and_much_too_sure():
    """Why windows: running means err by 130-180 %, with intervals that hold one time in ten."""
    histories, truth = fading_edges(np.random.default_rng(3), 100)
    fits = np.array(
        [log_linear_halflife(h.mean_closed_at_days, running_mean(h)) for h in histories]
    )
    decays = np.isfinite(truth)
    error = np.abs(fits[decays, 0] - truth[decays]) / truth[decays]
    covered = (fits[:, 1] <= truth) & (truth <= fits[:, 2])
    assert np.median(error) > 1.0
    assert covered[decays].mean() < 0.25
    assert np.isfinite(fits[~decays, 2]).mean() > 0.2  # constant edges called decaying
