"""Which action earned the outcome: strands first, then the close's own list, then guesses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from learning.domain.scope import DEFAULT_DIMENSIONS
from learning.events.attribution import CreditedAction, credit, credited_actions
from learning.events.strands import ActionStrand, ClosedTrade, Strand, parse_strand
from tests.strand_builders import START, action, close, stored

KEY = "pm.uptrend.S1.buy_flag"


def trade(**options: Any) -> ClosedTrade:
    found = parse_strand(stored(close(**options), strand_id=99), dims=DEFAULT_DIMENSIONS)
    assert isinstance(found, ClosedTrade)
    return found


def typed(*strands: Strand) -> list[ActionStrand]:
    found = [
        parse_strand(stored(strand, strand_id=i), dims=DEFAULT_DIMENSIONS)
        for i, strand in enumerate(strands)
    ]
    return [strand for strand in found if isinstance(strand, ActionStrand)]


def brief(actions: Sequence[CreditedAction]) -> list[tuple[str, int, int | None, str]]:
    return [(a.action_category, a.seq, a.action_strand_id, a.provenance) for a in actions]


def listed(category: str, **more: Any) -> dict[str, Any]:
    return {"pattern_key": KEY, "action_category": category, **more}


def test_linked_strands_win_over_what_the_close_lists() -> None:
    found = credited_actions(
        trade(completed=[listed("entry", scope={"bucket": "xl"}), listed("exit")]),
        typed(action(category="entry"), action(category="exit", hours=20)),
    )
    assert brief(found) == [
        ("entry", 0, 0, "action_strand"), ("exit", 0, 1, "action_strand"),
    ]  # fmt: skip
    assert found[0].scope == {"bucket": "micro", "timeframe": "1h"}


def test_an_action_whose_strand_was_lost_comes_from_the_close() -> None:
    found = credited_actions(
        trade(completed=[listed("entry"), listed("trim", ts="2024-03-01T15:00:00Z")]),
        typed(action(category="entry")),
    )
    assert brief(found) == [("entry", 0, 0, "action_strand"), ("trim", 0, None, "own_fields")]


def test_listed_actions_are_paired_with_strands_one_to_one() -> None:
    adds = [listed("add", ts=f"2024-03-01T{hour}:00:00Z") for hour in (13, 14, 15)]
    found = credited_actions(trade(completed=adds), typed(action(category="add", hours=1)))
    assert brief(found) == [
        ("add", 0, 0, "action_strand"), ("add", 1, None, "own_fields"),
        ("add", 2, None, "own_fields"),
    ]  # fmt: skip


def test_a_guessed_pattern_is_paired_with_a_strand_of_its_category() -> None:
    found = credited_actions(
        trade(
            entered={"pattern_key": "pm.other.S0.guess"},
            completed=[{"action_context": {"decision_type": "cut"}}],
        ),
        typed(action(category="exit")),
    )
    assert brief(found) == [("exit", 0, 0, "action_strand")]


def test_two_patterns_of_one_trade_are_counted_apart() -> None:
    found = credited_actions(
        trade(),
        typed(action(), action(pattern="pm.trend.S2.dip"), action(pattern="dm.curator.S0.call")),
    )
    assert [a.seq for a in found] == [0, 0, 0]


def test_seq_follows_time_whatever_the_order_of_arrival() -> None:
    strands = typed(*(action(category="trim", hours=h) for h in (9, 2, 5)))
    for order in (strands, strands[::-1]):
        found = credited_actions(trade(), order)
        assert [(a.seq, a.acted_at) for a in found] == [
            (i, START + timedelta(hours=h)) for i, h in enumerate((2, 5, 9))
        ]


def test_actions_at_the_same_moment_are_ordered_by_their_strands_not_their_arrival() -> None:
    first, second = typed(action(name="a"), action(name="b"))
    keys = [a.action_strand_id for a in credited_actions(trade(), [first, second])]
    assert keys == [a.action_strand_id for a in credited_actions(trade(), [second, first])]


def test_strands_of_another_position_or_account_are_not_linked() -> None:
    same, other, unknown = typed(
        action(position_id="p1"), action(position_id="p2", hours=1), action(hours=2)
    )
    foreign, elsewhere = typed(action(bot="bot-b"), action("t2"))
    found = credited_actions(trade(position_id="p1"), [same, other, unknown, foreign, elsewhere])
    assert [a.acted_at for a in found] == [same.acted_at, unknown.acted_at]


def test_all_actions_of_a_trade_share_its_one_outcome() -> None:
    credited = credit(trade(r_multiple=-1.0), typed(action()), max_stop_distance=0.12)
    assert (credited.outcome.r_multiple, len(credited.actions)) == (-1.0, 1)
    assert credited.trade.strand_id == 99
