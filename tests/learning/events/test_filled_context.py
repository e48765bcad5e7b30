"""What candles fill of a trade, and what they leave."""

from __future__ import annotations

from datetime import timedelta

from learning.events.attribution import credit
from learning.events.completed_trades import CompletedAction, TradeSummary
from learning.events.filled_context import FilledContext
from learning.events.strands import ClosedTrade
from tests.strand_builders import START, key

TOLD = FilledContext(
    scope={"macro_phase": "Dip", "bucket": "xl", "bucket_rank_position": 2, "session": "us"},
    max_drawdown_pct=2.0,
    mfe_r=3.0,
    mae_r=-1.0,
    payback_hours=48.0,
    missed_entry_rr=0.5,
)


def trade(scope: dict[str, str | int], **summary: object) -> ClosedTrade:
    said = TradeSummary(START, START + timedelta(days=4), return_pct=6.0, **summary)  # type: ignore[arg-type]
    action = CompletedAction("pm.a.b.c", "entry", scope, {}, START, "own_fields")
    return ClosedTrade(1, key("t"), "b", "live", "t", None, said, (action,))


def test_gaps_are_filled_and_named() -> None:
    found = credit(trade({}), [], max_stop_distance=0.12, context=TOLD)
    summary = found.trade.summary
    assert (summary.mfe_r, summary.mae_r, summary.missed_entry_rr) == (3.0, -1.0, 0.5)
    assert found.outcome.rr_path == 3.0  # 6 % by 2 %
    assert found.outcome.time_efficiency == 1 / 3  # paid back after two days, not held for four
    assert found.actions[0].scope == TOLD.scope
    assert set(found.actions[0].filled) == {
        "max_drawdown_pct", "mfe_r", "mae_r", "payback_hours", "missed_entry_rr", *TOLD.scope,
    }  # fmt: skip


def test_what_the_source_said_stays() -> None:
    said = trade({"macro_phase": "Good", "bucket": "mid"}, mfe_r=1.0, rr_path=-0.5, mae_r=0.0)
    found = credit(said, [], max_stop_distance=0.12, context=TOLD)
    assert (found.trade.summary.mfe_r, found.trade.summary.mae_r) == (1.0, 0.0)
    assert found.outcome.rr_path == -0.5
    # the rank beside its own bucket would be another bucket's
    assert found.actions[0].scope == {"macro_phase": "Good", "bucket": "mid", "session": "us"}
    assert "mfe_r" not in found.actions[0].filled


def test_without_candles_nothing_changes() -> None:
    said = trade({"bucket": "mid"})
    found = credit(said, [], max_stop_distance=0.12)
    assert found.trade is said
    assert found.actions[0].filled == ()
    empty = credit(said, [], max_stop_distance=0.12, context=FilledContext())
    assert empty == found
