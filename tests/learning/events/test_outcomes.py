"""Outcomes by hand: percent over percent, in R."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from learning.events.completed_trades import TradeSummary
from learning.events.outcomes import NoRisk, Outcome, initial_risk_pct, outcome_of
from tests.strand_builders import START


def summary(**known: Any) -> TradeSummary:
    return TradeSummary(START, START + timedelta(days=3), **known)


def outcome(**known: Any) -> Outcome:
    return outcome_of(summary(**known), max_stop_distance=0.12)


def test_a_long_that_risked_four_percent_and_made_six_is_one_and_a_half_r() -> None:
    found = outcome(
        side="long", entry_price=50.0, initial_stop=48.0, return_pct=6.0, return_net_pct=5.0
    )
    assert (found.r_multiple, found.r_multiple_net) == (1.5, 1.25)


def test_the_stop_of_a_short_lies_above() -> None:
    found = outcome(side="short", entry_price=50.0, initial_stop=52.0, return_pct=-4.0)
    assert found.r_multiple == -1.0


def test_what_the_source_gives_is_taken_as_given() -> None:
    found = outcome(
        side="long", entry_price=50.0, initial_stop=48.0, return_pct=6.0, r_multiple=1.4,
        rr_path=2.5, max_drawdown_pct=1.0,
    )  # fmt: skip
    assert (found.r_multiple, found.rr_path) == (1.4, 2.5)


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({"side": "long", "initial_stop": 51.0}, "initial_stop 51 is on the wrong side of "
         "entry_price 50 for a long"),
        ({"side": "short", "initial_stop": 50.0}, "initial_stop 50 is on the wrong side of "
         "entry_price 50 for a short"),
        ({"side": "long", "initial_stop": 40.0}, "initial_stop 40 is further than 12 % from "
         "entry_price 50"),
        ({"initial_stop": 48.0}, "side is missing"),
        ({"side": "long"}, "initial_stop or entry_price is missing"),
    ],
)  # fmt: skip
def test_without_a_usable_stop_there_is_no_r_multiple_but_a_reason(
    known: dict[str, Any], reason: str
) -> None:
    trade = summary(entry_price=50.0, return_pct=6.0, **known)
    assert initial_risk_pct(trade, max_stop_distance=0.12) == NoRisk(reason)
    found = outcome_of(trade, max_stop_distance=0.12)
    assert (found.r_multiple, found.no_risk_reason) == (None, reason)


def test_a_stop_exactly_as_far_as_allowed_is_a_risk() -> None:
    trade = summary(side="long", entry_price=100.0, initial_stop=88.0)
    assert initial_risk_pct(trade, max_stop_distance=0.12) == pytest.approx(12.0)


@pytest.mark.parametrize(
    ("return_pct", "drawdown_pct", "expected"),
    [(4.0, 2.0, 2.0), (-2.0, 2.0, -1.0), (1.0, 0.01, 10.0), (50.0, 0.5, 33.0), (-50.0, 0.1, -33.0)],
)
def test_the_path_outcome_is_floored_and_bounded(
    return_pct: float, drawdown_pct: float, expected: float
) -> None:
    found = outcome(return_pct=return_pct, max_drawdown_pct=drawdown_pct)
    assert found.rr_path == pytest.approx(expected)


def test_a_path_outcome_that_its_source_did_not_bound_is_bounded() -> None:
    assert outcome(rr_path=400.0).rr_path == 33.0


def test_without_a_drawdown_there_is_no_path_outcome() -> None:
    assert outcome(return_pct=4.0).rr_path is None


def test_an_outcome_beyond_any_trade_is_absent() -> None:
    tiny = outcome(side="long", entry_price=1.0, initial_stop=1.0 - 1e-12, return_pct=1.0)
    assert tiny.r_multiple is None


def test_time_efficiency_counts_days_to_payback_and_without_one_days_held() -> None:
    assert outcome(payback_hours=24.0).time_efficiency == 0.5
    assert outcome().time_efficiency == 0.25
    assert outcome(payback_hours=0.0).time_efficiency == 1.0


@pytest.mark.real_data
def test_real_trades_have_the_multiples_that_follow_from_their_prices() -> None:
    """Without adds, the largest cost basis is the entry, so that return / risk is the multiple."""
    folder = os.environ.get("EDGEKEEPER_REAL_DATA")
    if not folder:
        pytest.skip("EDGEKEEPER_REAL_DATA names no folder")
    trades = pd.read_parquet(Path(folder) / "trades_crypto.parquet")
    trades = trades[~trades.has_add & (trades.risk_pct < 12)].iloc[::37]
    assert len(trades) > 500
    for row in trades.itertuples():
        found = outcome(
            side=row.side, entry_price=row.entry_price, initial_stop=row.initial_stop,
            return_pct=row.return_pct, return_net_pct=row.return_net_pct,
        )  # fmt: skip
        assert found.r_multiple == pytest.approx(row.r_multiple, rel=2e-3, abs=2e-3)
        assert found.r_multiple_net == pytest.approx(row.r_multiple_net, rel=2e-3, abs=2e-3)
