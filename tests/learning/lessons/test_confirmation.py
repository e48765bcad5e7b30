"""Prospective confirmation: later trades only, one-sided, at a price per open candidate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from learning.evidence.trade_events import TradeEvents
from learning.lessons.confirmation import Candidate, confirmations
from learning.lessons.scope_edges import EvidenceReference, ScopeEdge
from learning.lessons.standing import StandingScope, Undetermined, standing_edges
from tests.learning.lessons.test_mining import made_events, mined

EDGE = StandingScope(("pm.a", "entry"), (("bucket", 1), ("timeframe", 2)))
OTHER = StandingScope(("pm.b", "entry"), (("bucket", 1),))


def reference_of(events: TradeEvents) -> EvidenceReference:
    reference = mined(events).reference
    assert reference is not None
    return reference


def test_an_edge_that_goes_on_is_confirmed_on_later_trades_only():
    events = made_events(2, edge_rr=2.0)
    reference = reference_of(events)
    found = confirmations(events, [Candidate(EDGE, 100.0, 0.5)], reference=reference)[0]
    assert found.status == "confirmed"
    later = events.where(events.closed_at_days > 100.0)
    assert found.prospective == standing_edges(later, [EDGE], reference=reference)[0]
    assert isinstance(found.prospective, ScopeEdge)
    assert found.p_confirm == pytest.approx(stats.norm.sf(found.prospective.z))


def test_an_edge_that_turned_out_to_be_nothing_fails():
    events = made_events(12, edge_rr=0.0)
    found = confirmations(events, [Candidate(EDGE, 50.0, 1.5)], reference=reference_of(events))[0]
    assert found.status == "failed"
    assert found.p_fail is not None
    assert found.p_fail < 0.01


def test_a_losing_lesson_is_tested_in_its_own_direction():
    events = made_events(4, edge_rr=-2.0)
    reference = reference_of(events)
    losing = confirmations(events, [Candidate(EDGE, 100.0, -0.5)], reference=reference)[0]
    winning = confirmations(events, [Candidate(EDGE, 100.0, 0.5)], reference=reference)[0]
    assert losing.status == "confirmed"
    assert winning.status == "failed"


def test_too_few_later_trades_leave_it_pending_with_a_reason():
    events = made_events(2, edge_rr=2.0)
    found = confirmations(events, [Candidate(EDGE, 225.0, 0.5)], reference=reference_of(events))[0]
    assert found.status == "pending"
    assert isinstance(found.prospective, Undetermined)
    assert found.p_confirm is None
    assert "needed" in found.prospective.reason


def test_every_open_candidate_raises_the_price():
    events = made_events(5, edge_rr=0.0)
    reference = reference_of(events)
    later = events.where(events.closed_at_days > 50.0)
    edge = standing_edges(later, [OTHER], reference=reference)[0]
    assert isinstance(edge, ScopeEdge)
    claim = float(np.sign(edge.z)) * 0.001
    p = float(stats.norm.sf(abs(edge.z)))
    alone = [Candidate(OTHER, 50.0, claim)]
    waiting = Candidate(EDGE, 249.0, 0.5)  # no later trades: still an open candidate
    level = 1.5 * p
    options = {"reference": reference, "level": level}
    assert confirmations(events, alone, **options)[0].status == "confirmed"
    assert confirmations(events, [*alone, waiting], **options)[0].status == "pending"


def test_without_candidates_there_is_nothing_to_say():
    events = made_events(6)
    assert confirmations(events, [], reference=reference_of(events)) == ()


def test_a_claim_of_nothing_cannot_be_confirmed():
    with pytest.raises(ValueError, match="claim_rr must not be 0"):
        Candidate(EDGE, 0.0, 0.0)
