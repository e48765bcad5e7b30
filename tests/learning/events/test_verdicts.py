"""What becomes of a batch of strands."""

from __future__ import annotations

from learning.domain.scope import DEFAULT_DIMENSIONS
from learning.events.strands import StoredStrand
from learning.events.verdicts import Readings, Verdict, judge, read_strands
from tests.strand_builders import action, close, key, stored


def readings(*strands: StoredStrand) -> Readings:
    return read_strands(strands, dims=DEFAULT_DIMENSIONS)


def test_a_malformed_strand_keeps_no_other_from_being_read() -> None:
    found = readings(
        stored(action(ts=None), strand_id=1),
        stored(action(), strand_id=2),
        stored(close("t2"), strand_id=3),
        stored(close(), strand_id=4, kind="heartbeat"),
    )
    assert [a.strand_id for a in found.actions] == [2]
    assert [c.strand_id for c in found.closes] == [3]
    assert [(v.strand_id, v.status) for v in found.verdicts] == [(1, "quarantined"), (4, "ignored")]
    assert found.trades == [("bot-a", "t1"), ("bot-a", "t2")]


def test_an_action_of_an_open_trade_touches_no_events() -> None:
    judged = judge(readings(stored(action())), {}, {})
    assert not judged.closed
    assert judged.verdicts == [Verdict(1, "ingested")]


def test_an_action_after_the_close_touches_the_trade() -> None:
    (earlier,) = readings(stored(close(), strand_id=1)).closes
    judged = judge(readings(stored(action(), strand_id=2)), {("bot-a", "t1"): earlier}, {})
    assert judged.closed == {("bot-a", "t1"): earlier}


def test_a_second_close_of_a_trade_is_quarantined_and_touches_nothing() -> None:
    (earlier,) = readings(stored(close(), strand_id=1)).closes
    second = readings(stored(close(name="again"), strand_id=2))
    judged = judge(second, {("bot-a", "t1"): earlier}, {})
    reason = f"trade 't1' was already closed by strand {key('bot-a/t1/close')}"
    assert judged.verdicts == [Verdict(2, "quarantined", reason)]
    assert not judged.closed


def test_of_two_closes_in_one_batch_the_first_stands() -> None:
    both = readings(stored(close(), strand_id=1), stored(close(name="again"), strand_id=2))
    judged = judge(both, {}, {})
    assert judged.closed["bot-a", "t1"].strand_id == 1
    assert {v.strand_id: v.status for v in judged.verdicts} == {1: "ingested", 2: "quarantined"}


def test_the_same_trade_id_of_two_accounts_is_two_trades() -> None:
    both = readings(stored(close(), strand_id=1), stored(close(bot="bot-b"), strand_id=2))
    assert {v.status for v in judge(both, {}, {}).verdicts} == {"ingested"}


def test_what_arrives_for_a_close_that_cannot_be_read_any_more_is_quarantined() -> None:
    arrived = readings(stored(action(), strand_id=5), stored(close(name="x"), strand_id=6))
    judged = judge(arrived, {}, {("bot-a", "t1"): "scope.venue must be text"})
    reason = "the close of trade 't1' can no longer be read: scope.venue must be text"
    assert sorted(judged.verdicts, key=lambda v: v.strand_id) == [
        Verdict(5, "quarantined", reason), Verdict(6, "quarantined", reason),
    ]  # fmt: skip
    assert (judged.actions, judged.closed) == ([], {})
