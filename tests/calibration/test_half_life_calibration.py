"""Half-lives on planted decays: 150 lessons a set, a quarter of them constant, over 40 weeks."""

from __future__ import annotations

import pytest

from tests.calibration.half_lives import averages


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trades_per_week", "largest_error", "least_power"),
    [(5.0, 0.40, 0.25), (15.0, 0.25, 0.60), (50.0, 0.20, 0.80)],
)
def test_planted_half_lives_are_found_with_the_promised_error_and_coverage(
    trades_per_week: float, largest_error: float, least_power: float
):
    """Standard errors over 12 sets: 0.008 of the error, 0.005 of coverage, 0.005 of false calls."""
    measured = averages(trades_per_week)
    assert measured.median_relative_error <= largest_error
    assert 0.93 <= measured.coverage <= 0.985
    assert measured.profile_coverage >= 0.92
    assert measured.constant_called_decaying <= 0.03
    assert measured.decay_called_decaying >= least_power
