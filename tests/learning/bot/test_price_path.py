from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from learning.bot.price_path import with_path

HOUR_MS = 3_600_000
START_MS = 1_772_323_200_000  # 2026-03-01T00:00Z
BARS = [
    (START_MS, 100, 101, 99, 101, 5),
    (START_MS + HOUR_MS, 101, 104, 100, 103, 5),
    (START_MS + 2 * HOUR_MS, 103, 103.5, 102, 103, 5),
]
GAP = (None, None, None, None, 0)
SUMMARY = {
    "opened_at": datetime(2026, 3, 1, tzinfo=UTC),
    "closed_at": datetime(2026, 3, 1, 3, tzinfo=UTC),
    "side": "long", "entry_price": 100.0, "exit_price": 103.0, "initial_stop": 98.0,
    "r_multiple": 0.5,
}  # fmt: skip


@pytest.mark.parametrize(
    "bars",
    [
        [*BARS[:2], *BARS[1:]],
        [BARS[0], (START_MS + HOUR_MS, 101, 102, 100.5, 101, 1), *BARS[1:]],  # once unfinished
        BARS[::-1],
        [BARS[2], BARS[0], BARS[1]],
    ],
)
def test_candles_given_twice_or_in_another_order_tell_the_same(bars):
    assert with_path(SUMMARY, bars) == with_path(SUMMARY, BARS)
    assert with_path(SUMMARY, bars)["mfe_r"] == 2.0  # 104 is two risks above 100


def test_the_exit_price_is_by_default_the_close_of_the_last_candle_in_time():
    summary = {name: value for name, value in SUMMARY.items() if name != "exit_price"}
    assert with_path(summary, BARS[::-1])["return_pct"] == 3.0


@pytest.mark.parametrize("gap", [GAP, (math.nan,) * 4 + (0,)])
def test_a_candle_without_prices_is_a_gap_and_the_others_stay(gap):
    bars = [BARS[0], (BARS[1][0], *gap), BARS[2]]
    told = with_path(SUMMARY, bars)
    assert told["mfe_r"] == 1.75  # 103.5: what the gap had is not known
    assert "path_reason" not in told


@pytest.mark.parametrize(
    ("changes", "bars", "reason"),
    [
        ({}, [*BARS[:2], (BARS[2][0], *GAP)], "no candle holds its exit"),
        ({}, [(START_MS, *GAP)], "the path has no bar with prices"),
        ({}, [{"t": 1}], "bars of a path must be open time, open, high, low, close, volume"),
        ({}, [(START_MS, 1.0)], "bars of a path must be open time, open, high, low, close, volume"),
        ({}, 5, "bars of a path must be open time, open, high, low, close, volume"),
        ({}, [(START_MS, 100, 99, 101, 100, 1)], "must have finite low <= high"),
        ({"exit_price": "101"}, BARS, "exit_price must be a number above 0, got '101'"),
        ({"entry_price": 0.0}, BARS, "entry_price must be a number above 0, got 0.0"),
        ({"initial_stop": "98"}, BARS, "initial_stop must be a number, got '98'"),
        ({"entry_price": math.nan}, BARS, "entry_price must be a number above 0, got nan"),
        ({"return_pct": "3"}, BARS, "return_pct must be a number, got '3'"),
        ({"side": "buy"}, BARS, "side must be one of long, short, got 'buy'"),
        ({"opened_at": "yesterday"}, BARS, "opened_at must be a time, got 'yesterday'"),
        ({"entry_price": None}, BARS, "entry_price is missing"),
    ],
)
def test_a_path_that_does_not_belong_changes_nothing_but_its_reason(changes, bars, reason):
    summary = {**SUMMARY, **changes}
    told = with_path(summary, bars)
    assert reason in told.pop("path_reason")
    assert repr(told) == repr(summary)  # as text: NaN is not itself


def test_what_a_summary_leaves_open_is_told_by_the_path():
    open_ = {"max_drawdown_pct": None, "return_pct": None}
    told = with_path({**SUMMARY, **open_}, BARS)
    assert (told["return_pct"], told["max_drawdown_pct"], told["rr_path"]) == (3.0, 1.0, 3.0)


def test_decimal_prices_are_numbers():
    exact = {name: Decimal(SUMMARY[name]) for name in ("entry_price", "exit_price", "initial_stop")}
    told = with_path({**SUMMARY, **exact, "return_pct": Decimal("2.5")}, BARS)
    assert (told["mfe_r"], told["rr_path"], told["return_pct"]) == (2.0, 2.5, Decimal("2.5"))
