"""What a path offered, by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from learning.context.candles import DAY_MS, HOUR_MS, Candles
from learning.context.excursions import Excursions, NoPath, excursions, path_of
from tests.learning.context.candle_builders import START_MS, candles

# four bars: up to 103, down to 97, up to 106, down to 94
BARS = Candles(
    "X", HOUR_MS, START_MS + HOUR_MS * np.arange(4), np.array([103.0, 102, 106, 104]),
    np.array([99.0, 97, 100, 94]), np.array([101.0, 100, 105, 95]), np.ones(4),
)  # fmt: skip


def found(
    side: Any,
    hours: tuple[float, float],
    *,
    exit_price: float,
    stopped: bool,
    risk: float | None = 2.0,
) -> Excursions | NoPath:
    opened, closed = (int(START_MS + hour * HOUR_MS) for hour in hours)
    path = path_of(BARS, opened, closed, exit_price=exit_price, is_stopped=stopped)
    if isinstance(path, NoPath):
        return path
    return excursions(
        path,
        side=side,
        opened_ms=opened,
        entry_price=100.0,
        exit_price=exit_price,
        risk_per_unit=risk,
    )


def test_a_long_that_hits_its_target_counts_the_whole_bar_of_its_exit() -> None:
    told = found("long", (0, 3), exit_price=104.0, stopped=False)
    assert isinstance(told, Excursions)
    assert (told.mfe_r, told.mae_r, told.max_drawdown_pct) == (3.0, -1.5, 3.0)
    assert told.payback_hours == 0.0  # 102 was touched within the first bar
    assert told.could_enter_better is not None
    assert told.could_exit_better is not None
    assert (told.could_enter_better.best_price, told.could_enter_better.missed_rr) == (97.0, 1.5)
    assert (told.could_exit_better.best_price, told.could_exit_better.missed_rr) == (106.0, 1.0)


def test_after_a_stop_nothing_of_its_bar_belongs_to_the_trade() -> None:
    told = found("long", (1, 4), exit_price=98.0, stopped=True)
    assert isinstance(told, Excursions)
    assert (told.mfe_r, told.mae_r) == (3.0, -1.5)  # the low of 94 came after the stop
    alone = found("long", (3, 4), exit_price=98.0, stopped=True)
    assert isinstance(alone, Excursions)
    assert (alone.mfe_r, alone.mae_r, alone.payback_hours) == (0.0, -1.0, None)


def test_a_short_is_the_mirror_of_a_long() -> None:
    told = found("short", (1, 4), exit_price=96.0, stopped=False)
    assert isinstance(told, Excursions)
    assert (told.mfe_r, told.mae_r, told.max_drawdown_pct) == (3.0, -3.0, 6.0)
    assert told.payback_hours == 0.0  # 98 within the first bar


def test_without_a_stop_nothing_is_told_in_r() -> None:
    assert found("long", (0, 3), exit_price=104.0, stopped=False, risk=None) == Excursions(3.0)


@pytest.mark.parametrize(
    ("hours", "reason"),
    [
        ((-1, 2), "no candle holds its entry"),
        ((0, 6), "no candle holds its exit"),
        ((5, 6), "no candle holds its entry"),
        ((0.5, 1.5), "its candles are too coarse for the time it was held"),
        ((0.5, 0.5), "its candles are too coarse for the time it was held"),
    ],
)
def test_a_path_that_candles_do_not_hold_is_absent_with_its_reason(
    hours: tuple[float, float], reason: str
) -> None:
    assert found("long", hours, exit_price=100.0, stopped=False) == NoPath(reason)


def test_a_market_that_closes_overnight_holds_an_exit_at_its_next_open() -> None:
    start = BARS.start_ms.copy()
    start[2:] += 16 * HOUR_MS
    nightly = replace(BARS, start_ms=start)
    next_open = int(start[2])
    path = path_of(nightly, START_MS, next_open, exit_price=101.0, is_stopped=False)
    assert not isinstance(path, NoPath)
    assert len(path.high) == 2  # nothing of the bar that begins with the exit
    later = path_of(nightly, START_MS, next_open - HOUR_MS, exit_price=101.0, is_stopped=False)
    assert later == NoPath("no candle holds its exit")


def test_a_pause_of_over_a_week_within_a_trade_leaves_its_path_open() -> None:
    start = BARS.start_ms.copy()
    start[2:] += 9 * DAY_MS
    paused = replace(BARS, start_ms=start)
    closed = int(start[3]) + HOUR_MS
    path = path_of(paused, START_MS, closed, exit_price=101.0, is_stopped=False)
    assert path == NoPath("its candles pause for over a week")


def test_candles_of_one_bar_a_minute_need_no_more_than_the_trade() -> None:
    minutes = candles(np.linspace(100, 101, 60), bar_ms=60_000)
    path = path_of(
        minutes, START_MS + 90_000, START_MS + 1_500_000, exit_price=1.0, is_stopped=False
    )
    assert not isinstance(path, NoPath)
    assert len(path.high) == 24  # the bars of minutes 1 to 24
