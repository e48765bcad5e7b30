"""What the search says about trades on real prices, where entries are known to have no edge.

``A_mode`` and ``E_mode`` were assigned by a hash, so their effects are as in a randomised trial.
The whole table: ``python -m tests.calibration.real_sets``.
"""

from __future__ import annotations

import os

import pytest

from learning.lessons.level_lessons import level_lessons
from learning.lessons.mining import FoundLesson
from tests.calibration.real_sets import (
    entries,
    later_evidence,
    proposed,
    real_trades,
    run_on_all,
    trial_sizes,
)
from tests.calibration.sign_flips import flipped_tails

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _real_data() -> None:
    if not os.environ.get("EDGEKEEPER_REAL_DATA"):
        pytest.skip("EDGEKEEPER_REAL_DATA names no folder with real trades")


def lessons(market: str, outcome: str) -> tuple[FoundLesson, ...]:
    return proposed(run_on_all(market, outcome))


@pytest.mark.parametrize("market", ["crypto", "tradfi"])
def test_setups_without_an_edge_before_costs_give_hardly_a_lesson(market: str):
    assert len(lessons(market, "r_multiple")) <= 1


@pytest.mark.parametrize("market", ["crypto", "tradfi"])
def test_costs_alone_make_few_scopes_differ_from_their_pattern(market: str):
    assert len(lessons(market, "r_multiple_net")) <= 3


@pytest.mark.parametrize(("market", "at_least"), [("crypto", 8), ("tradfi", 5)])
def test_the_randomised_mode_is_found_in_the_path_outcome(market: str, at_least: int):
    found = lessons(market, "rr_path")
    assert len(found) >= at_least
    patient = [dict(one.scope).get("A_mode") == "patient" for one in found if one.z > 0]
    assert sum(patient) >= len(patient) / 2


@pytest.mark.parametrize("market", ["crypto", "tradfi"])
def test_sizes_of_the_randomised_modes_are_those_of_the_plain_trial(market: str):
    """Pooled over patterns ours is clipped at 99 %, hence two standard errors of the trial."""
    sizes = list(trial_sizes(market, "rr_path"))
    assert len(sizes) == 6
    for one in sizes:
        assert one.ours_rr == pytest.approx(one.trial_rr, abs=2 * one.trial_se_rr), one.mode
        assert one.n_agree >= 8, one.mode


@pytest.mark.parametrize("market", ["crypto", "tradfi"])
def test_lessons_of_the_first_part_hold_in_the_rest(market: str):
    """One lesson of seven may lose its sign by chance: its later edge has an error too."""
    later = later_evidence(market, "rr_path")
    assert later.n_measured >= 2
    assert later.same_sign is not None
    assert round(later.same_sign * later.n_measured) >= later.n_measured - 1
    assert later.coverage is not None
    assert later.coverage >= 0.85
    assert later.uplift_rr > 0
    assert later.uplift_within_rr > 0


def test_patterns_that_lose_net_of_costs_are_level_lessons():
    trades = real_trades("crypto")
    run = level_lessons(entries(trades, trades["r_multiple_net"]), fdr_target=0.1, look=1)
    losing = [one for one in run.lessons if one.level.mean_rr < 0]
    assert len(run.lessons) >= 8
    assert len(losing) >= 0.9 * len(run.lessons)


def test_flipping_the_signs_of_weeks_leaves_no_more_than_chance():
    """One random sign per week on the residuals: no mean effect survives, dependence does.

    Whole sets over 16 flips: 0.84 above and 0.76 below, where normal scores have 1; one flip has
    a standard error of 0.25 on either side, three flips 0.15. In windows 0.70 and 0.62, as a sum
    of few weeks with random signs is bounded (:mod:`tests.calibration.sign_flips`).
    """
    tails = flipped_tails(n_flips=3, whole=True)
    assert 0.4 <= tails.upper_per_1000 <= 1.3
    assert 0.4 <= tails.lower_per_1000 <= 1.3
    windows = flipped_tails(n_flips=2, whole=False)
    assert windows.upper_per_1000 <= 1.3
    assert windows.lower_per_1000 <= 1.3
    assert (windows.upper_per_1000 + windows.lower_per_1000) / 2 >= 0.5
    assert windows.share_of_groups_below_a_tenth <= 0.12
