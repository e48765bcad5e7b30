"""Reading strands: what is in order becomes typed, everything else says which rule it breaks."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learning.domain.pattern_key import Module
from learning.domain.scope import DEFAULT_DIMENSIONS
from learning.errors import MalformedStrand
from learning.events import completed_trades, strands
from learning.events.strands import ActionStrand, ClosedTrade, Ignored, StoredStrand, parse_strand
from learning.store import schema
from tests.strand_builders import HOSTILE, action, close, key, spoiled, stored

Dims = dict[Module, tuple[str, ...]]
DIMS: Dims = dict(DEFAULT_DIMENSIONS)


def read(stored_strand: StoredStrand) -> ActionStrand | ClosedTrade | Ignored:
    return parse_strand(stored_strand, dims=DIMS)


def reason(stored_strand: StoredStrand) -> str:
    with pytest.raises(MalformedStrand) as raised:
        read(stored_strand)
    return str(raised.value)


def test_an_action_is_read_with_its_scope_in_dimension_order_and_absent_values_left_out() -> None:
    absent = {"macro_phase": "Unknown", "A_mode": "", "E_mode": None}
    scope = {"timeframe": "1h", "bucket": "micro", "bucket_rank_position": 2.0, **absent}
    found = read(stored(action(scope=scope, ts="2024-03-01T13:00:00+01:00")))
    assert isinstance(found, ActionStrand)
    assert list(found.scope.items()) == [
        ("bucket_rank_position", 2), ("bucket", "micro"), ("timeframe", "1h"),
    ]  # fmt: skip
    assert found.acted_at == datetime(2024, 3, 1, 12, tzinfo=UTC)


def test_a_close_after_the_limit_is_malformed_and_one_at_the_limit_is_not() -> None:
    strand = stored(close())
    limit = datetime(2024, 3, 2, 12, tzinfo=UTC)
    assert isinstance(parse_strand(strand, dims=DIMS, closed_by=limit), ClosedTrade)
    with pytest.raises(
        MalformedStrand, match=r"closed_at must be no time in the future, got '2024"
    ):
        parse_strand(strand, dims=DIMS, closed_by=limit - timedelta(seconds=1))


def test_a_decision_module_action_has_the_decision_modules_dimensions() -> None:
    strand = stored(action(pattern="dm.curator.S0.call", scope={"chain": "sol"}))
    found = read(strand)
    assert isinstance(found, ActionStrand)
    assert (found.module, found.scope) == ("dm", {"chain": "sol"})
    assert reason(stored(action(pattern="dm.a.b.c", scope={"chain": 1.5}))).startswith(
        "scope.chain"
    )


def test_other_dimensions_can_be_configured_later_and_have_their_past() -> None:
    odd = {"too_odd": 1.5, "no name": "x", "zone": "Unknown", "deep": {}, "venue": "dex"}
    strand = stored(action(scope={**odd, "bucket": "mid", "age": 3}))
    found = read(strand)
    assert isinstance(found, ActionStrand)
    assert list(found.scope.items()) == [("bucket", "mid"), ("age", 3), ("venue", "dex")]
    with pytest.raises(MalformedStrand, match=r"^scope\.too_odd must be"):
        parse_strand(strand, dims={**DIMS, "pm": ("too_odd",)})
    many = read(stored(action(scope={f"d{i}": "x" for i in range(100)})))
    assert isinstance(many, ActionStrand)
    assert len(many.scope) == completed_trades.MAX_OTHERS


def test_the_older_spelling_of_a_pattern_key_is_normalised() -> None:
    strand = action(pattern_key="module=pm|pattern_key=uptrend.S1.buy_flag")
    found = read(stored(strand))
    assert isinstance(found, ActionStrand)
    assert found.pattern_key == "pm.uptrend.S1.buy_flag"


def test_a_decision_type_stands_in_for_a_missing_category() -> None:
    found = read(stored(action(action_category=None, decision_type="emergency_exit")))
    assert isinstance(found, ActionStrand)
    assert (found.action_category, found.decision_type) == ("exit", "emergency_exit")


def test_a_close_is_read_with_its_summary() -> None:
    strand = close(could_enter_better={"missed_rr": 0.7}, could_exit_better={}, payback_hours=6)
    found = read(stored(strand))
    assert isinstance(found, ClosedTrade)
    assert (found.summary.r_multiple, found.summary.missed_entry_rr) == (1.5, 0.7)
    assert (found.summary.missed_exit_rr, found.summary.payback_hours) == (None, 6.0)


def test_a_kind_of_others_is_ignored_with_its_reason() -> None:
    assert read(stored(action(), kind="heartbeat")) == Ignored(
        "kind 'heartbeat' is none of the learning system's"
    )


CONTENT_REASONS = {
    "pattern_key must be text, got True": {"pattern_key": True},
    "pattern_key must have 1 to 200 characters, got 300": {"pattern_key": "x" * 300},
    "ts must be set": {"ts": None},
    "ts must be an ISO-8601 time with its UTC offset, got '2024-03-01T12:00:00'": {
        "ts": "2024-03-01T12:00:00"
    },
    "ts must be an ISO-8601 time with its UTC offset, got 1709294400": {"ts": 1709294400},
    "ts must be a time between 1970 and 2100, got '2100-01-01T00:00:00Z'": {
        "ts": "2100-01-01T00:00:00Z"
    },
    "action_category or decision_type must be set": {"action_category": None},
    "scope must be an object, got a list": {"scope": ["bucket"]},
    "scope.bucket must be printable text of at most 64 characters or an integer below 2**53, "
    "got True": {"scope": {"bucket": True}},
    "scope.bucket_rank_position must be printable text of at most 64 characters or an integer "
    "below 2**53, got 1.5": {"scope": {"bucket_rank_position": 1.5}},
    "controls.signals.TS must be a finite number, got 'NaN'": {
        "controls": {"signals": {"TS": "NaN"}}
    },
    "controls.signals.TS must be a finite number, got True": {
        "controls": {"signals": {"TS": True}}
    },
    "controls.applied_knobs.a.b.c must be nested at most 3 deep": {
        "controls": {"applied_knobs": {"a": {"b": {"c": {"d": 1}}}}}
    },
}


@pytest.mark.parametrize("expected", CONTENT_REASONS)
def test_a_malformed_action_says_what_breaks_which_rule(expected: str) -> None:
    assert reason(stored(action(**CONTENT_REASONS[expected]))) == expected


def test_a_close_that_names_another_trade_than_its_strand_is_refused() -> None:
    assert reason(stored(close("t1"), trade_id="t2")) == (
        "trade_id in the content must be the strand's, 't2', got 't1'"
    )


SUMMARY_REASONS = {
    "trade_summary.closed_at must be set": {"closed_at": None},
    "trade_summary.closed_at must be at or after 2024-03-01 12:00:00+00:00, got "
    "'2024-02-29 12:00:00+00:00'": {"closed_at": "2024-02-29T12:00:00Z"},
    "trade_summary must hold one of r_multiple, r_multiple_net, rr_path, return_pct, "
    "return_net_pct": {"r_multiple": None},
    "trade_summary.r_multiple must be a number from -1e+06 to 1e+06, got 2000000.0": {
        "r_multiple": 2e6
    },
    "trade_summary.max_drawdown_pct must be a number from 0 to inf, got -1": {
        "max_drawdown_pct": -1
    },
    "trade_summary.side must be one of long, short, got 'LONG'": {"side": "LONG"},
    "trade_summary.could_exit_better.missed_rr must be a finite number, got 'big'": {
        "could_exit_better": {"missed_rr": "big"}
    },
}


@pytest.mark.parametrize("expected", SUMMARY_REASONS)
def test_a_malformed_summary_says_what_breaks_which_rule(expected: str) -> None:
    assert reason(stored(close(**SUMMARY_REASONS[expected]))) == expected


ROW_REASONS: dict[str, dict[str, Any]] = {
    "content must be JSON": {"content": None},
    "content must be an object, got a list": {"content": "[]"},
    "content must be JSON nested less than 900 deep": {"content": "[" * 9000 + "]" * 9000},
    "trade_id of a pm_action must be set": {"trade_id": None},
    "trade_id must have 1 to 200 characters, got 201": {"trade_id": "t" * 201},
    "bot must be printable, got 'a\\x07'": {"bot": "a\x07"},
    "origin must be one of live, dry_run, backtest, simulated, got 'paper'": {"origin": "paper"},
    "module of a pm_action must be 'pm', got 'dm'": {"module": "dm"},
    f"strand_key {key('first')} was delivered before with other content": {
        "conflicts_with": key("first")
    },
}


@pytest.mark.parametrize("expected", ROW_REASONS)
def test_a_malformed_row_says_what_breaks_which_rule(expected: str) -> None:
    assert reason(stored(action(), **ROW_REASONS[expected])) == expected


def test_numbers_that_no_float_holds_are_refused() -> None:
    text = '{"pattern_key": "pm.a.b.c", "action_category": "entry", "ts": "2024-03-01T12:00:00Z", '
    infinite = text + '"controls": {"signals": {"TS": 1e400}}}'
    assert reason(stored(action(), content=infinite)) == (
        "controls.signals.TS must be a finite number, got inf"
    )
    endless = text + '"controls": {"signals": {"TS": ' + "9" * 5000 + "}}}"
    assert reason(stored(action(), content=endless)).startswith("content must be readable JSON")


def test_the_words_of_the_inbox_are_those_of_the_schema() -> None:
    assert strands.ORIGINS == schema.ORIGINS
    assert {*strands.ACTION_KINDS, strands.CLOSE_KIND} == set(schema.STRAND_KINDS)
    assert completed_trades.SIDES == schema.SIDES
    assert completed_trades.RR_LIMIT == schema.RR_LIMIT


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
hostile_scalars = scalars | st.integers(0, len(HOSTILE) - 1).map(lambda i: HOSTILE[i])
anything = st.recursive(
    hostile_scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(strand=st.sampled_from([action(), close()]), change=st.dictionaries(
    st.sampled_from(["pattern_key", "action_category", "decision_type", "scope", "controls", "ts",
                     "trade_id", "entry_context", "trade_summary", "completed_trades"]),
    anything, min_size=1, max_size=3))  # fmt: skip
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_content_makes_reading_fail_otherwise(strand: Any, change: dict[str, Any]) -> None:
    _reads_or_refuses({**strand.content, **change}, strand)


def test_a_thousand_spoiled_strands_are_read_or_refused_with_a_reason() -> None:
    rng = random.Random(7)
    refused = 0
    for _ in range(1000):
        strand = spoiled(
            rng.choice([action(), close(completed=[{"pattern_key": "pm.a.b.c"}])]), rng
        )
        refused += _reads_or_refuses(strand.content, strand)
        refused += _reads_or_refuses(close().content, strand, regime=strand.regime_context)
    assert 300 < refused < 2000  # some changes do no harm


def _reads_or_refuses(content: Any, strand: Any, *, regime: Any = None) -> bool:
    try:
        text, regime_text = json.dumps(content), json.dumps(regime)
    except (ValueError, RecursionError):
        return True  # cannot even be sent
    try:
        read(_row(strand, text, regime_text))
    except MalformedStrand as error:
        said = str(error)
    else:
        return False
    assert 0 < len(said.encode()) < 1000
    return True


def _row(strand: Any, text: str, regime: str) -> StoredStrand:
    return StoredStrand(
        1, strand.strand_key, strand.kind, strand.module, strand.bot, strand.origin,
        strand.position_id, strand.trade_id, text, regime,
    )  # fmt: skip
