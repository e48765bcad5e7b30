"""The mixture prior and its posterior, against numerical integration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from learning.lessons.posterior import EdgePrior, edge_posterior, fit_edge_prior

PRIOR = EdgePrior(scales_rr=(0.0, 0.2, 0.8), weights=(0.6, 0.3, 0.1))


def integrated(delta: float, se: float, upto: float) -> float:
    """P(edge <= upto) for a negative ``upto``, by quadrature instead of conjugacy."""

    def joint(edge: float) -> float:
        prior = 0.3 * stats.norm.pdf(edge, 0, 0.2) + 0.1 * stats.norm.pdf(edge, 0, 0.8)
        return prior * stats.norm.pdf(delta, edge, se)

    below = integrate.quad(joint, -6, upto)[0]
    total = sum(integrate.quad(joint, *part)[0] for part in ((-6, 0), (0, 6)))
    return below / (total + 0.6 * stats.norm.pdf(delta, 0, se))


@pytest.mark.parametrize(("delta", "se"), [(-0.5, 0.2), (-0.1, 0.3), (0.4, 0.25)])
def test_the_posterior_agrees_with_quadrature(delta: float, se: float):
    posterior = edge_posterior(PRIOR, delta, se)
    for upto in (-0.7, -0.3, -0.05):
        assert posterior.cdf(upto) == pytest.approx(integrated(delta, se, upto), abs=1e-7)


def test_quantiles_invert_the_distribution_and_stop_at_the_point_mass():
    posterior = edge_posterior(PRIOR, -0.5, 0.2)
    assert posterior.cdf(posterior.quantile(0.2)) == pytest.approx(0.2)
    shrunk = edge_posterior(PRIOR, 0.02, 0.1)  # most of the mass is the point at 0
    assert shrunk.interval(0.5) == (0.0, 0.0)
    assert shrunk.toward_zero(0.25, sign=1.0) == 0.0


def test_the_quantile_toward_zero_has_the_sign_of_the_edge_and_never_crosses_zero():
    prior = EdgePrior((0.0, 1.0), (0.0, 1.0))
    up = edge_posterior(prior, 1.0, 1.0)  # mean 1/2, variance 1/2
    down = edge_posterior(prior, -1.0, 1.0)
    quartile = 0.5 - stats.norm.isf(0.25) * np.sqrt(0.5)
    assert up.toward_zero(0.25, sign=1.0) == pytest.approx(quartile)
    assert down.toward_zero(0.25, sign=-1.0) == pytest.approx(-quartile)
    assert edge_posterior(prior, 0.2, 1.0).toward_zero(0.25, sign=1.0) == 0.0


def test_the_false_sign_rate_counts_the_point_on_both_sides():
    posterior = edge_posterior(PRIOR, 0.4, 0.25)
    mirrored = edge_posterior(PRIOR, -0.4, 0.25)
    assert posterior.lfsr == pytest.approx(posterior.cdf(0.0))
    assert mirrored.lfsr == pytest.approx(posterior.lfsr)
    assert posterior.lfsr > posterior.weights[0]


def test_a_tiny_false_sign_rate_is_not_rounded_to_nothing():
    prior = EdgePrior((0.0, 1.0), (0.0, 1.0))
    for delta in (1.2, -1.2):
        assert 1e-40 < edge_posterior(prior, delta, 0.1).lfsr < 1e-25


def test_an_edge_plus_an_independent_quantity_adds_means_and_variances():
    sum_of_two = edge_posterior(EdgePrior((0.0, 1.0), (0.0, 1.0)), 1.0, 1.0).plus(0.3, 0.25)
    assert sum_of_two.mean_rr == pytest.approx(0.8)
    expected = stats.norm.ppf(0.25, 0.8, np.sqrt(0.75))
    assert sum_of_two.quantile(0.25) == pytest.approx(expected)


def test_the_prior_is_found_again_in_what_it_generated():
    rng = np.random.default_rng(1)
    n = 30_000
    scale = rng.choice([0.0, 0.8], n, p=[0.7, 0.3])
    variance = rng.uniform(0.01, 0.04, n)
    delta = rng.normal(0, np.sqrt(scale**2 + variance))
    prior = fit_edge_prior(delta, variance, outcome_sd=2.0)
    assert prior.weights[5] == pytest.approx(0.3, abs=0.05)
    assert sum(prior.weights[:3]) == pytest.approx(0.7, abs=0.05)


def test_without_scopes_the_prior_says_no_edge():
    assert fit_edge_prior(np.empty(0), np.empty(0), outcome_sd=1.0).weights[0] == 1.0


def test_a_standard_error_of_zero_is_refused():
    with pytest.raises(ValueError, match="se_rr must be above 0, got 0"):
        edge_posterior(PRIOR, 0.1, 0.0)


def test_weights_that_do_not_sum_to_one_are_refused():
    with pytest.raises(ValueError, match="prior weights must sum to 1"):
        EdgePrior((0.0, 1.0), (0.5, 0.6))
