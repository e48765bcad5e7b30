"""What a close says of its actions: their own fields, or reconstructed from their context."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from learning.domain.scope import DEFAULT_DIMENSIONS
from learning.errors import MalformedStrand
from learning.events.completed_trades import CompletedAction
from learning.events.strands import ClosedTrade, parse_strand
from tests.strand_builders import START, close, stored

KEY = "pm.uptrend.S1.buy_flag"


def listed(*entries: Any, **options: Any) -> tuple[CompletedAction, ...]:
    strand = stored(close(completed=list(entries), **options))
    found = parse_strand(strand, dims=DEFAULT_DIMENSIONS)
    assert isinstance(found, ClosedTrade)
    return found.actions


def test_an_entry_that_names_pattern_and_category_has_its_own_fields() -> None:
    (found,) = listed(
        {
            "pattern_key": KEY,
            "decision_type": "scale_up",
            "scope": {"bucket": "mid"},
            "controls": {"signals": {"TS": 1}},
            "ts": "2024-03-01T15:00:00Z",
        },
        entered={"scope": {"macro_phase": "Dip"}},
    )
    assert found == CompletedAction(
        pattern_key=KEY,
        action_category="add",
        scope={"bucket": "mid"},
        controls={"signals": {"TS": 1.0}},
        acted_at=START + timedelta(hours=3),
        provenance="own_fields",
    )


def test_an_entry_of_an_older_bot_is_reconstructed_from_its_context_the_entry_and_the_regime() -> (
    None
):
    (found,) = listed(
        {"action_context": {"decision_type": "cut", "bucket": "micro", "A_mode": "normal"}},
        entered={"pattern_key": KEY, "scope": {"timeframe": "1h", "bucket": "mid"}},
        regime={"macro_phase": "Dip", "meso_phase": "Unknown", "bucket_rank": ["mid", "micro"]},
    )
    assert found.provenance == "reconstructed"
    assert (found.pattern_key, found.action_category) == (KEY, "exit")
    assert found.scope == {
        "macro_phase": "Dip",
        "bucket_leader": "mid",
        "bucket_rank_position": 2,
        "bucket": "micro",
        "timeframe": "1h",
        "A_mode": "normal",
    }


def test_an_action_without_a_time_was_at_the_open_or_for_an_exit_at_the_close() -> None:
    entry, leave = listed(
        {"pattern_key": KEY, "action_category": "entry"},
        {"pattern_key": KEY, "action_category": "exit"},
    )
    assert (entry.acted_at, leave.acted_at) == (START, START + timedelta(hours=24))


def test_an_entry_of_which_pattern_or_category_is_unknown_is_left_out() -> None:
    assert listed({"action_context": {"decision_type": "cut"}}, {"pattern_key": KEY}) == ()


def test_a_trade_that_lists_nothing_but_was_entered_on_a_pattern_has_that_entry() -> None:
    (found,) = listed(entered={"pattern_key": KEY, "scope": {"bucket": "mid"}})
    assert (found.pattern_key, found.action_category) == (KEY, "entry")
    assert (found.scope, found.provenance) == ({"bucket": "mid"}, "reconstructed")


def test_a_broken_entry_names_its_place() -> None:
    with pytest.raises(MalformedStrand, match=r"^completed_trades\[1\] must be an object, got 7$"):
        listed({"pattern_key": KEY, "action_category": "entry"}, 7)
    with pytest.raises(MalformedStrand, match=r"^completed_trades\[0\]\.scope\.bucket must be"):
        listed({"pattern_key": KEY, "action_category": "entry", "scope": {"bucket": 1.5}})
    with pytest.raises(MalformedStrand, match="at most 1000 entries, got 1001"):
        listed(*[{}] * 1001)
