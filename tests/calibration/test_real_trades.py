"""What the search says about trades on real prices, where entries are known to have no edge.

``A_mode`` was assigned by a hash, so its effect on the path outcome is as in a randomised trial.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from learning.evidence.trade_events import TradeEvents
from learning.lessons.level_lessons import level_lessons
from learning.lessons.mining import FoundLesson, surviving_lessons

pytestmark = [pytest.mark.real_data, pytest.mark.slow]

DIMS = (
    "macro_phase", "meso_phase", "micro_phase", "bucket_leader", "bucket_rank_position",
    "market_family", "bucket", "timeframe", "A_mode", "E_mode",
)  # fmt: skip


@cache
def real_trades(market: str) -> pd.DataFrame:
    folder = os.environ.get("EDGEKEEPER_REAL_DATA")
    if not folder:
        pytest.skip("EDGEKEEPER_REAL_DATA names no folder with real trades")
    return pd.read_parquet(Path(folder) / f"trades_{market}.parquet")


def entries(market: str, outcome: str) -> TradeEvents:
    trades = real_trades(market)
    epoch = pd.Timestamp("1970-01-01", tz="UTC")
    return TradeEvents.from_columns(
        pattern_key=trades["pattern_key"].astype(str).tolist(),
        action_category=["entry"] * len(trades),
        scope={name: trades[name].astype(object).tolist() for name in DIMS},
        closed_at_days=(trades["exit_time"] - epoch) / pd.Timedelta(days=1),
        rr=trades[outcome],
        trade=trades["trade_id"],
    )


@cache
def lessons(market: str, outcome: str) -> tuple[FoundLesson, ...]:
    run = surviving_lessons(entries(market, outcome), fdr_target=0.1, look=1, seed=0)
    return tuple(one for one in run.lessons if one.status == "proposed")


@pytest.mark.parametrize("market", ["crypto", "tradfi"])
def test_setups_without_an_edge_before_costs_give_hardly_a_lesson(market: str):
    assert len(lessons(market, "r_multiple")) <= 1


@pytest.mark.parametrize("market", ["crypto", "tradfi"])
def test_costs_alone_make_few_scopes_differ_from_their_pattern(market: str):
    assert len(lessons(market, "r_multiple_net")) <= 3


@pytest.mark.parametrize(("market", "at_least"), [("crypto", 8), ("tradfi", 5)])
def test_the_randomised_mode_is_found_in_the_path_outcome(market: str, at_least: int):
    found = lessons(market, "rr_path")
    assert len(found) >= at_least
    patient = [dict(one.scope).get("A_mode") == "patient" for one in found if one.z > 0]
    assert sum(patient) >= len(patient) / 2


def test_patterns_that_lose_net_of_costs_are_level_lessons():
    run = level_lessons(entries("crypto", "r_multiple_net"), fdr_target=0.1, look=1)
    losing = [one for one in run.lessons if one.level.mean_rr < 0]
    assert len(run.lessons) >= 8
    assert len(losing) >= 0.9 * len(run.lessons)
