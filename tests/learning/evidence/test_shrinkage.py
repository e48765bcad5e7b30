"""Cells of a table are measured by blocks and shrunk by what the table as a whole shows."""

from __future__ import annotations

import numpy as np

from learning.evidence.shrinkage import cell_edges, shrunk_edges


def test_pure_noise_is_shrunk_nearly_to_nothing() -> None:
    noise = np.random.default_rng(1).normal(0, 0.2, size=400)
    shrunk = shrunk_edges(noise, np.full(400, 0.2))
    assert np.abs(shrunk.mean).max() < 0.25 * np.abs(noise).max()


def test_true_spread_is_recovered_and_intervals_cover() -> None:
    # 4000 edges of sd 0.3 measured with se 0.2: 3 standard errors of a sd are 0.01
    rng = np.random.default_rng(2)
    truth = rng.normal(0, 0.3, size=4000)
    shrunk = shrunk_edges(truth + rng.normal(0, 0.2, size=4000), np.full(4000, 0.2))
    assert abs(shrunk.prior_sd - 0.3) < 0.02
    covered = ((shrunk.low <= truth) & (truth <= shrunk.high)).mean()
    assert abs(covered - 0.95) < 3 * np.sqrt(0.95 * 0.05 / 4000)


def test_a_cell_with_few_trades_is_pulled_further() -> None:
    shrunk = shrunk_edges(np.array([0.5, 0.5, -0.4, -0.6]), np.array([0.1, 0.4, 0.1, 0.1]))
    assert 0 < shrunk.mean[1] < shrunk.mean[0] < 0.5


def test_a_table_whose_spread_is_chance_says_zero() -> None:
    shrunk = shrunk_edges(np.array([0.1, -0.1, 0.05]), np.array([0.3, 0.3, 0.3]))
    assert shrunk.prior_sd == 0
    assert shrunk.mean.tolist() == [0, 0, 0]


def test_what_has_no_standard_error_stays_unknown() -> None:
    shrunk = shrunk_edges(np.array([0.5, 0.4, -0.5]), np.array([0.1, np.nan, 0.1]))
    assert np.isnan(shrunk.mean).tolist() == [False, True, False]


def test_standard_error_of_a_cell_with_one_shared_shock_a_week_exceeds_the_independent_one() -> (
    None
):
    # 20 weeks, 10 trades each; the outcome of a week is the same for all its trades
    week = np.random.default_rng(3).normal(size=20)
    n = np.vstack([np.full(20, 10.0), np.full(20, 10.0)])
    total = np.vstack([10 * week, np.zeros(20)])
    edges = cell_edges(
        n,
        total,
        np.array([10 * (week**2).sum(), 0.0]),
        group_n=n.sum(axis=0),
        group_total=total.sum(axis=0),
    )
    independent = week.std() / np.sqrt(200)
    # half of the shock is shared with the group: sd(week) / sqrt(20) / 2, and 3.16 times less
    assert edges.se[0] > 1.4 * independent
    assert np.isclose(edges.se[0], week.std() / np.sqrt(20) / 2, rtol=0.1)


def test_a_cell_of_one_week_has_no_standard_error() -> None:
    n = np.array([[5.0, 0.0], [5.0, 10.0]])
    total = np.array([[5.0, 0.0], [0.0, 2.0]])
    edges = cell_edges(
        n, total, np.array([9.0, 9.0]), group_n=n.sum(axis=0), group_total=total.sum(axis=0)
    )
    assert np.isnan(edges.se[0])
    assert np.isfinite(edges.se[1])
