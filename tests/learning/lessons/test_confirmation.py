"""Confirmation: later trades only, one-sided, at few moments, at a price per candidate asked."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from learning.evidence.trade_events import TradeEvents
from learning.lessons.confirmation import (
    MOMENTS,
    Candidate,
    Confirmation,
    confirmations,
    judged,
    level_confirmations,
)
from learning.lessons.level_lessons import LevelMean, standing_levels
from learning.lessons.scope_edges import EvidenceReference, ScopeEdge
from learning.lessons.standing import StandingScope, Undetermined, standing_edges
from tests.learning.lessons.test_level_lessons import net_events
from tests.learning.lessons.test_mining import made_events, mined

EDGE = StandingScope(("pm.a", "entry"), (("bucket", 1), ("timeframe", 2)))


def reference_of(events: TradeEvents) -> EvidenceReference:
    reference = mined(events).reference
    assert reference is not None
    return reference


def status(found: Confirmation, moment: int = len(MOMENTS)) -> str:
    """What follows for a candidate that is asked alone."""
    return judged([found.p_confirm], [found.p_fail], [moment])[0]


def test_an_edge_that_goes_on_is_confirmed_on_later_trades_only():
    events = made_events(2, edge_rr=2.0)
    reference = reference_of(events)
    found = confirmations(events, [Candidate(EDGE, 100.0, 0.5)], reference=reference)[0]
    assert status(found) == "confirmed"
    later = events.where(events.closed_at_days > 100.0)
    assert found.prospective == standing_edges(later, [EDGE], reference=reference)[0]
    assert isinstance(found.prospective, ScopeEdge)
    assert found.p_confirm == pytest.approx(stats.norm.sf(found.prospective.z))


def test_an_edge_that_turned_out_to_be_nothing_fails():
    events = made_events(12, edge_rr=0.0)
    found = confirmations(events, [Candidate(EDGE, 50.0, 1.5)], reference=reference_of(events))[0]
    assert status(found) == "failed"
    assert found.p_fail is not None
    assert found.p_fail < 0.01


def test_a_losing_lesson_is_tested_in_its_own_direction():
    events = made_events(4, edge_rr=-2.0)
    reference = reference_of(events)
    losing = confirmations(events, [Candidate(EDGE, 100.0, -0.5)], reference=reference)[0]
    winning = confirmations(events, [Candidate(EDGE, 100.0, 0.5)], reference=reference)[0]
    assert status(losing) == "confirmed"
    assert status(winning) == "failed"


def test_too_few_later_trades_leave_it_pending_with_a_reason():
    events = made_events(2, edge_rr=2.0)
    found = confirmations(events, [Candidate(EDGE, 225.0, 0.5)], reference=reference_of(events))[0]
    assert status(found) == "pending"
    assert isinstance(found.prospective, Undetermined)
    assert found.p_confirm is None
    assert "needed" in found.prospective.reason


def test_every_candidate_that_is_asked_raises_the_price():
    """By hand: 0.05 is below 0.0836, twice as much is not; one without trades counts as well."""
    assert judged([0.05], [None], [4]) == ["confirmed"]
    assert judged([0.05, None], [None, None], [4, 4]) == ["pending", "pending"]
    assert judged([0.05, 0.06], [None, None], [4, 4]) == ["confirmed", "confirmed"]


def test_candidates_at_different_moments_are_weighted_by_their_levels():
    """By hand: 0.02 / 0.279 = 0.072 and 0.02 / 0.836 = 0.024 pass 0.10 as first of one or two."""
    assert judged([0.02, 0.02], [None, None], [3, 4]) == ["confirmed", "confirmed"]
    assert judged([0.03, 0.02], [None, None], [3, 4]) == ["pending", "confirmed"]


def lives(edge: float, n: int) -> np.ndarray:
    """Scores at the moments of lessons whose edge is so many standard errors of a week."""
    weeks = np.array([0, *(one.weeks for one in MOMENTS)])
    gained = np.random.default_rng(8).normal(0, np.sqrt(np.diff(weeks)), (n, len(MOMENTS)))
    total = (gained + edge * np.diff(weeks)).cumsum(axis=1)
    scores: np.ndarray = total / np.sqrt(weeks[1:])
    return scores


def test_the_levels_of_all_moments_come_to_a_tenth_over_a_life():
    """Independently of how they were found: 40 000 lives, within three standard errors."""
    n = 40_000
    crossed = stats.norm.sf(lives(0.0, n)) <= [one.level for one in MOMENTS]
    assert crossed.any(axis=1).mean() == pytest.approx(0.10, abs=3 * np.sqrt(0.09 / n))


NET = StandingScope(("pm.a", "entry"), (("timeframe", "15m"),))


def test_a_level_is_tested_on_the_plain_mean_of_later_trades_after_costs():
    events = net_events(2, loss_rr=0.8)
    found = level_confirmations(events, [Candidate(NET, 100.0, -0.3)])[0]
    later = events.where(
        (events.group == events.groups.index(NET.group)) & (events.closed_at_days > 100.0)
    )
    mean = standing_levels(later, (NET,))[0]
    assert isinstance(mean, LevelMean)
    assert found.prospective == mean
    assert found.p_confirm == pytest.approx(mean.p_value / 2)
    dof = mean.n_effective_blocks - 1
    short = stats.t.cdf(-(mean.mean_rr + 0.3) / mean.se_rr, dof)
    assert found.p_fail == pytest.approx(short)
    assert status(found) == "confirmed"


@pytest.mark.parametrize(("loss", "claim"), [(0.0, -0.6), (0.8, 0.3)])
def test_a_level_that_is_no_longer_there_fails(loss: float, claim: float):
    events = net_events(3, loss_rr=loss)
    assert status(level_confirmations(events, [Candidate(NET, 100.0, claim)])[0]) == "failed"


def test_a_level_waits_for_later_trades_and_says_so_where_costs_are_not_known():
    events = net_events(3, loss_rr=0.8)
    waiting = level_confirmations(events, [Candidate(NET, 340.0, -0.3)])[0]
    unknown = level_confirmations(None, [Candidate(NET, 100.0, -0.3)])[0]
    other = StandingScope(("pm.z", "entry"), ())
    missing = level_confirmations(events, [Candidate(other, 100.0, -0.3)])[0]
    assert isinstance(waiting.prospective, Undetermined)
    assert "100 needed" in waiting.prospective.reason
    for found in (unknown, missing):
        assert found.prospective == Undetermined("no outcome after costs is known of its trades")
        assert status(found) == "pending"


def test_without_candidates_there_is_nothing_to_say():
    events = made_events(6)
    assert confirmations(events, [], reference=reference_of(events)) == ()


def test_a_claim_of_nothing_cannot_be_confirmed():
    with pytest.raises(ValueError, match="claim_rr must not be 0"):
        Candidate(EDGE, 0.0, 0.0)
