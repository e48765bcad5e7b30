"""What becomes of a batch of strands."""

from __future__ import annotations

import pytest

from learning.domain.scope import DEFAULT_DIMENSIONS
from learning.events.strands import StoredStrand
from learning.events.verdicts import Readings, Verdict, judge, read_strands
from tests.strand_builders import action, close, key, stored

T1 = ("bot-a", "live", "t1")


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
    assert found.trades == [T1, ("bot-a", "live", "t2")]


def test_an_action_of_an_open_trade_touches_no_events() -> None:
    judged = judge(readings(stored(action())), {}, {})
    assert not judged.closed
    assert judged.verdicts == [Verdict(1, "ingested")]


def test_an_action_after_the_close_touches_the_trade() -> None:
    (earlier,) = readings(stored(close(), strand_id=1)).closes
    judged = judge(readings(stored(action(), strand_id=2)), {T1: [earlier]}, {})
    assert judged.closed == {T1: [earlier]}


def test_a_second_close_of_a_trade_is_quarantined_and_touches_nothing() -> None:
    (earlier,) = readings(stored(close(), strand_id=1)).closes
    second = readings(stored(close(name="again"), strand_id=2))
    judged = judge(second, {T1: [earlier]}, {})
    reason = f"trade 't1' was already closed by strand {key('bot-a/t1/close')}"
    assert judged.verdicts == [Verdict(2, "quarantined", reason)]
    assert not judged.closed


def test_of_two_closes_in_one_batch_the_first_stands() -> None:
    both = readings(stored(close(), strand_id=1), stored(close(name="again"), strand_id=2))
    judged = judge(both, {}, {})
    assert [close.strand_id for close in judged.closed[T1]] == [1]
    assert {v.strand_id: v.status for v in judged.verdicts} == {1: "ingested", 2: "quarantined"}


def test_the_same_trade_id_of_two_accounts_is_two_trades() -> None:
    both = readings(stored(close(), strand_id=1), stored(close(bot="bot-b"), strand_id=2))
    assert {v.status for v in judge(both, {}, {}).verdicts} == {"ingested"}


def test_the_same_trade_id_of_two_origins_is_two_trades() -> None:
    dry = stored(close(name="dry"), strand_id=2, origin="dry_run")
    both = readings(stored(close(), strand_id=1), dry)
    assert {v.status for v in judge(both, {}, {}).verdicts} == {"ingested"}
    assert both.trades == [("bot-a", "dry_run", "t1"), T1]


@pytest.mark.parametrize(
    ("first", "second", "stands"),
    [("P1", "P2", True), ("P1", "P1", False), (None, "P1", False), ("P1", None, False)],
)
def test_each_position_of_a_trade_is_closed_once(
    first: str | None, second: str | None, stands: bool
) -> None:
    both = readings(
        stored(close(position_id=first), strand_id=1),
        stored(close(name="again", position_id=second), strand_id=2),
    )
    judged = judge(both, {}, {})
    assert {v.strand_id: v.status for v in judged.verdicts} == {
        1: "ingested", 2: "ingested" if stands else "quarantined",
    }  # fmt: skip
    assert len(judged.closed[T1]) == (2 if stands else 1)


def test_a_late_action_touches_all_closed_positions_of_its_trade() -> None:
    before = readings(
        stored(close(position_id="P1"), strand_id=1),
        stored(close(name="again", position_id="P2"), strand_id=2),
    ).closes
    judged = judge(readings(stored(action(position_id="P2"), strand_id=3)), {T1: before}, {})
    assert judged.closed == {T1: list(before)}


def test_the_re_run_of_a_backtest_is_no_more_evidence() -> None:
    def run(number: int, trade_id: str) -> StoredStrand:
        name = f"{number}/{trade_id}"
        made = close(trade_id, name=name, position_id=f"backtest run {number}")
        return stored(made, strand_id=number, origin="backtest")

    judged = judge(readings(run(1, "t1"), run(2, "t1"), run(3, "t2")), {}, {})
    reasons = {v.strand_id: v.reason for v in judged.verdicts}
    assert reasons == {
        1: None, 3: None,
        2: "trade 't1' was recorded before, by backtest run 1: a re-run of a backtest is not more "
        "evidence",
    }  # fmt: skip


def test_what_arrives_for_a_close_that_cannot_be_read_any_more_is_quarantined() -> None:
    arrived = readings(stored(action(), strand_id=5), stored(close(name="x"), strand_id=6))
    judged = judge(arrived, {}, {T1: "scope.venue must be text"})
    reason = "the close of trade 't1' can no longer be read: scope.venue must be text"
    assert sorted(judged.verdicts, key=lambda v: v.strand_id) == [
        Verdict(5, "quarantined", reason), Verdict(6, "quarantined", reason),
    ]  # fmt: skip
    assert (judged.actions, judged.closed) == ([], {})
