"""Standing lessons measured again without a search."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from learning.lessons.mining import MiningRun
from learning.lessons.scope_edges import EvidenceReference, ScopeEdge
from learning.lessons.standing import StandingScope, Undetermined, standing_edges
from tests.learning.lessons.test_mining import made_events, mined


def found() -> tuple[MiningRun, EvidenceReference, list[StandingScope]]:
    run = mined(made_events(2, edge_rr=2.0))
    assert run.reference is not None
    return run, run.reference, [StandingScope(one.group, one.scope) for one in run.lessons]


def test_on_the_same_trades_a_refresh_says_what_the_discovery_said():
    run, reference, standing = found()
    edges = standing_edges(made_events(2, edge_rr=2.0), standing, reference=reference)
    for lesson, edge in zip(run.lessons, edges, strict=True):
        assert isinstance(edge, ScopeEdge)
        for part in fields(ScopeEdge):
            expected = getattr(lesson, part.name)
            if isinstance(expected, float):
                expected = pytest.approx(expected)
            assert getattr(edge, part.name) == expected


def test_a_reference_survives_its_way_through_json():
    _, reference, _ = found()
    assert EvidenceReference.from_json(json.loads(json.dumps(reference.to_json()))) == reference


def test_trades_of_other_groups_do_not_move_a_standing_lesson():
    _, reference, standing = found()
    events = made_events(2, edge_rr=2.0)
    alone = events.where(events.group == 0)
    of_group = [one for one in standing if one.group == ("pm.a", "entry")]
    whole, part = (standing_edges(e, of_group, reference=reference) for e in (events, alone))
    assert whole == part


def test_what_cannot_be_told_says_why():
    _, reference, _ = found()
    events = made_events(2)
    asked = [
        StandingScope(("pm.gone", "entry"), (("bucket", 1),)),
        StandingScope(("pm.a", "entry"), (("bucket", 99),)),
        StandingScope(("pm.a", "entry"), ()),
    ]
    reasons = [
        edge.reason
        for edge in standing_edges(events, asked, reference=reference)
        if isinstance(edge, Undetermined)
    ]
    assert reasons == [
        "no trades of this pattern and category",
        "0 trades in scope, 2 needed",
        "every trade of the group is in scope: nothing to compare with",
    ]


def test_a_scope_in_two_weeks_has_too_few_blocks():
    _, reference, standing = found()
    events = made_events(2, edge_rr=2.0)
    inside = events.scope_matches(dict(standing[0].scope))
    kept = events.where(~inside | (events.closed_at_days < 14))
    edge = standing_edges(kept, standing[:1], reference=reference)[0]
    assert isinstance(edge, Undetermined)
    assert "effective blocks in scope, 4 needed" in edge.reason


def test_dimensions_other_than_those_of_the_reference_are_refused():
    _, reference, standing = found()
    events = made_events(2)
    renamed = replace(events, dims=("macro_phase", "bucket", "timeframe", "E_mode"))
    with pytest.raises(ValueError, match="must have the dimensions of the reference"):
        standing_edges(renamed, standing, reference=reference)
    wrong = StandingScope(("pm.a", "entry"), (("phase", "Dip"),))
    with pytest.raises(ValueError, match="scope dimension 'phase' is not among"):
        standing_edges(events, [wrong], reference=reference)


def test_a_refresh_does_not_depend_on_the_order_of_the_rows():
    _, reference, standing = found()
    events = made_events(2, edge_rr=2.0)
    shuffled = events.where(np.random.default_rng(1).permutation(events.n))
    one, other = (standing_edges(e, standing, reference=reference) for e in (events, shuffled))
    assert one == other
