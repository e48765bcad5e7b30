"""Moderated variance and the skewness correction, against their definitions and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from learning.evidence.block_statistics import scope_sets
from learning.evidence.significance import (
    Clustering,
    ModeratedVariance,
    PooledScopes,
    dof_of_excess,
    fit_clustering,
    hall_transform,
    iid_variance,
    level_trades,
    level_variance_ratios,
    prior_dof,
    prior_tie,
    z_scores,
)


def pooled(**columns: np.ndarray) -> PooledScopes:
    n = len(columns["v_jack"])
    usual = {
        "mask": np.ones(n, dtype=np.int64),
        "n_dims": np.ones(n, dtype=np.int64),
        "v_iid": np.ones(n),
        "dof": np.full(n, 12.0),
        "trades_per_block": np.full(n, 2.0),
    }
    return PooledScopes(**{**usual, **columns})


def test_inverting_trigamma_returns_the_degrees_of_freedom():
    assert dof_of_excess(0.2) == pytest.approx(10.967, abs=5e-4)
    for dof in (1.0, 5.0, 29.0, 59.0):
        assert dof_of_excess(float(special.polygamma(1, dof / 2))) == pytest.approx(dof)


@pytest.mark.parametrize("excess", [0.0, -3.0, float(special.polygamma(1, 30))])
def test_no_excess_spread_means_the_prior_is_worth_the_cap(excess: float):
    assert dof_of_excess(excess) == 60.0


def test_the_worth_of_the_prior_is_recovered_from_its_own_model():
    rng = np.random.default_rng(1)
    n, d0, dof = 40_000, 8.0, 12.0
    truth = d0 / rng.chisquare(d0, n)
    v_jack = truth * rng.chisquare(dof, n) / dof
    columns = pooled(v_jack=v_jack, trades_per_block=np.ones(n))
    nothing = Clustering(by_mask={}, by_size={})
    # the median of squared deviations is only nearly normal for log chi-squares: 10 %
    assert prior_dof(columns, nothing) == pytest.approx(d0, rel=0.1)


def test_without_scopes_of_more_than_four_degrees_of_freedom_nothing_is_known():
    columns = pooled(v_jack=np.ones(5), dof=np.full(5, 4.0))
    assert prior_dof(columns, Clustering(by_mask={}, by_size={})) is None


def test_clustering_is_never_negative_and_unseen_masks_take_their_size():
    clustering = fit_clustering(pooled(v_jack=np.full(9, 0.1)))
    assert clustering.by_mask == {1: 0.0}
    known = Clustering(by_mask={1: 0.3}, by_size={1: 0.2, 2: 0.1})
    masks, sizes = np.array([1, 2, 3, 31]), np.array([1, 1, 2, 5])
    assert known.of(masks, sizes).tolist() == [0.3, 0.2, 0.1, 0.0]


def test_a_mask_with_few_scopes_leans_on_the_masks_of_its_size():
    seen = np.full(101, 3.0)
    v_jack = np.concatenate([[1 + 2 * 0.9], np.full(100, 1 + 2 * 0.1)])
    mask = np.concatenate([[1], np.full(100, 2)])
    fitted = fit_clustering(pooled(v_jack=v_jack, mask=mask, trades_per_block=seen))
    own, size_mean = 12 * 0.9, (12 * 0.9 + 1200 * 0.1) / 1212
    assert fitted.by_mask[1] == pytest.approx((own + 20 * size_mean) / 32)


def test_the_product_of_its_levels_ratios_is_the_variance_of_a_scope():
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 2, (400, 2)).astype(np.int16)
    y = rng.normal(size=400) * np.where(codes[:, 0] == 1, 3.0, 1.0)
    ratios = level_variance_ratios(codes, (2, 2), y)
    inside = codes[:, 0] == 1
    expected = (inside.sum() * y[inside].var() + 50 * y.var()) / ((inside.sum() + 50) * y.var())
    assert ratios[0][1] == pytest.approx(expected)
    sets = scope_sets(codes, (2, 2))
    j = int(np.flatnonzero((sets.codes == [1, 0]).all(axis=1))[0])
    n = sets.n[j]
    own = y.var() * ratios[0][1] * ratios[1][0]
    v_iid = iid_variance(sets, ratios, float(y.var()))[j]
    assert v_iid == pytest.approx(own * (1 - 2 * n / 400) / n + y.var() / 400)


def test_with_equal_variances_the_iid_variance_is_that_of_a_subsample():
    codes = np.array([[0]] * 100 + [[1]] * 300, dtype=np.int16)
    sets = scope_sets(codes, (2,))
    v_iid = iid_variance(sets, [np.ones(2)], 2.0)
    assert v_iid == pytest.approx(2.0 * (1 - sets.n / 400) / sets.n)


def test_the_variance_of_a_scope_that_is_nearly_its_group_keeps_a_floor():
    codes = np.array([[0]] * 390 + [[1]] * 10, dtype=np.int16)
    sets = scope_sets(codes, (2,), eligible_n={1: 50})
    v_iid = iid_variance(sets, [np.array([2.0, 1.0])], 1.0)
    assert v_iid == pytest.approx([0.1 * (1 - 390 / 400) / 390])


def test_hall_transform_is_monotone_for_any_share():
    t = np.linspace(-20, 20, 4001)
    for share in (0.0, 0.3, 1.0):
        transformed = hall_transform(t, np.full_like(t, 0.4), np.full_like(t, share))
        assert (np.diff(transformed) >= 0).all()


def test_means_of_skewed_outcomes_get_balanced_tails():
    """Standardised means of 80 exponentials (skewness 2), variance known."""
    rng = np.random.default_rng(3)
    n, draws = 80, 400_000
    t = (rng.gamma(n, size=draws) / n - 1) * np.sqrt(n)
    corrected = hall_transform(t, np.full_like(t, 2 / np.sqrt(n)), np.zeros_like(t))
    assert (t > 1.96).mean() > 0.030
    assert (t < -1.96).mean() < 0.020
    three_errors = 3 * np.sqrt(0.025 * 0.975 / draws)
    second_order = 0.025 * 4 / n
    for side in (corrected > 1.96, corrected < -1.96):
        assert side.mean() == pytest.approx(0.025, abs=three_errors + second_order)


def test_the_prior_variance_is_tied_to_the_mean_as_simulated_skewed_outcomes_are():
    """Covariance of delta and log prior variance over the one with a scope's own variance."""
    rng = np.random.default_rng(4)
    n, draws = 400, 2000
    codes = np.column_stack([np.arange(n) % 4, np.arange(n) // 4 % 3]).astype(np.int16)
    sets = scope_sets(codes, (4, 3))
    j = int(np.flatnonzero((sets.codes == [1, 2]).all(axis=1))[0])
    inside = sets.indicator(j) > 0
    deltas, logs, own = np.empty(draws), np.empty(draws), np.empty(draws)
    for i in range(draws):
        y = rng.gamma(2.0, size=n)
        ratios = level_variance_ratios(codes, (4, 3), y)
        deltas[i] = y[inside].mean() - y.mean()
        logs[i] = np.log(y.var() * ratios[0][1] * ratios[1][2])
        own[i] = y[inside].var() / 2 - y.var() / 2
    tie = prior_tie(sets, level_trades(codes, (4, 3)))[j]
    simulated = np.cov(deltas, logs)[0, 1] / np.cov(deltas, own)[0, 1]
    assert simulated == pytest.approx(tie, rel=0.1)


def test_scores_of_skewed_outcomes_are_balanced_though_their_level_gave_the_variance():
    """Nominal 2.5 % on each side; means of 30 of 60 trades, variance from those 60."""
    rng = np.random.default_rng(5)
    n, draws = 600, 2500
    codes = np.column_stack([np.arange(n) % 10, np.arange(n) // 10 % 2]).astype(np.int16)
    sets = scope_sets(codes, (10, 2))
    one = sets.take(np.flatnonzero((sets.codes == [3, 1]).all(axis=1)))
    tie = prior_tie(one, level_trades(codes, (10, 2)))
    skewness = np.sqrt(2.0) / np.sqrt(one.n) * (1 - one.n / n)
    z = {share: np.empty(draws) for share in ("tied", "known")}
    for i in range(draws):
        y = rng.gamma(2.0, size=n)
        v_iid = iid_variance(one, level_variance_ratios(codes, (10, 2), y), float(y.var()))
        t = (y[one.rows].mean() - y.mean()) / np.sqrt(v_iid)
        z["tied"][i] = hall_transform(t, skewness, tie)[0]
        z["known"][i] = hall_transform(t, skewness, np.zeros(1))[0]
    three_errors = 3 * np.sqrt(2 * 0.025 * 0.975 / draws)
    lean = {name: (one > 1.96).mean() - (one < -1.96).mean() for name, one in z.items()}
    assert abs(lean["tied"]) <= three_errors
    assert lean["known"] < -three_errors


def test_z_without_skewness_is_the_normal_score_of_student_t():
    moderation = ModeratedVariance(
        v_prior=np.array([0.04]), prior_dof=10.0, dof=np.array([5.0]), prior_tie=np.zeros(1)
    )
    scores = z_scores(np.array([-0.9]), np.array([0.1]), moderation, np.zeros(1))
    variance = (10 * 0.04 + 5 * 0.1) / 15
    assert scores.variance == pytest.approx([variance])
    p = stats.t.sf(0.9 / np.sqrt(variance), 15)
    assert scores.z == pytest.approx([-stats.norm.isf(p)])
    assert scores.se_effective == pytest.approx([0.9 / stats.norm.isf(p)])


def test_an_enormous_difference_has_a_finite_score():
    moderation = ModeratedVariance(
        v_prior=np.array([1e-12]), prior_dof=30.0, dof=np.array([1e6]), prior_tie=np.zeros(1)
    )
    scores = z_scores(np.array([1e9]), np.array([1e-12]), moderation, np.zeros(1))
    assert np.isfinite(scores.z).all()
    assert scores.z[0] > 30
