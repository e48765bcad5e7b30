"""The arrays that evidence reads: validation, absent values, and one canonical form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from learning.evidence.trade_events import TradeEvents


def four_trades(**changes: Any) -> TradeEvents:
    columns: dict[str, Any] = {
        "pattern_key": ["pm.b", "pm.a", "pm.a", "pm.a"],
        "action_category": ["entry", "entry", "add", "entry"],
        "scope": {"bucket": ["micro", "xl", "xl", None], "rank": [2, 1, 1, 2]},
        "closed_at_days": [3.0, 2.0, 2.0, 1.0],
        "rr": [0.1, 0.2, 0.2, 0.4],
        "trade": [10, 11, 11, 12],
    }
    return TradeEvents.from_columns(**{**columns, **changes})


def test_unknown_null_and_empty_values_are_absent():
    events = four_trades(scope={"bucket": ["Unknown", "", None, float("nan")]})
    assert events.scope_codes.ravel().tolist() == [-1, -1, -1, -1]
    assert events.levels == ((),)


def test_a_whole_float_is_the_integer_it_stands_for():
    events = four_trades(scope={"rank": np.array([1.0, 2.0, np.nan, 1.0])})
    assert events.levels == ((1, 2),)
    assert events.scope_codes.ravel().tolist() == [0, 1, -1, 0]


def test_canonical_events_are_ordered_by_group_time_and_trade():
    events = four_trades().canonical()
    assert events.groups == (("pm.a", "add"), ("pm.a", "entry"), ("pm.b", "entry"))
    assert events.group.tolist() == [0, 1, 1, 2]
    assert events.trade.tolist() == [11, 12, 11, 10]
    assert events.levels == (("micro", "xl"), (1, 2))
    assert events.scope_codes.tolist() == [[1, 0], [-1, 1], [1, 0], [0, 1]]


def test_a_trade_may_appear_in_two_groups_but_not_twice_in_one():
    with pytest.raises(ValueError, match=r"got trade 11 twice in \('pm.a', 'entry'\)"):
        four_trades(action_category=["entry"] * 4)


def test_an_outcome_that_is_not_a_number_is_named():
    with pytest.raises(ValueError, match=r"rr\[2\] must be finite, got nan"):
        four_trades(rr=[0.1, 0.2, np.nan, 0.4])


def test_a_code_without_a_level_is_named():
    events = four_trades()
    wrong = events.scope_codes.copy()
    wrong[1, 0] = 7
    with pytest.raises(ValueError, match=r"scope_codes\['bucket'\]\[1\] must be in \[-1, 1\]"):
        replace(events, scope_codes=wrong)


def test_an_absent_value_may_not_be_a_level():
    with pytest.raises(ValueError, match="must be present values, got 'Unknown'"):
        replace(four_trades(), levels=(("micro", "Unknown"), (1, 2)))


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match=r"trade must have shape \(4,\), got \(3,\)"):
        four_trades(trade=[1, 2, 3])


def test_a_scope_matches_the_trades_that_have_all_its_values():
    events = four_trades()
    assert events.scope_matches({"bucket": "xl", "rank": 1}).tolist() == [False, True, True, False]
    assert not events.scope_matches({"bucket": "never seen"}).any()
    with pytest.raises(ValueError, match="'phase' is not among"):
        events.scope_matches({"phase": "Dip"})
