"""Phases, against the definition computed the slow way, and against knowledge of the future."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise

import numpy as np
import pytest

from learning.context.candles import DAY_MS, HOUR_MS, Candles
from learning.context.phases import HORIZONS, LEAST_SIGMA_BARS, phase_history, phase_name
from tests.learning.context.candle_builders import START_MS, candles, walk


def slow_phase(closes: list[float], bars: int) -> str | None:
    """The phase after the last close, by the words of the definition."""
    returns = [math.log(b / a) for a, b in pairwise(closes)][-720:]
    if len(returns) < LEAST_SIGMA_BARS or len(closes) <= bars:
        return None
    sigma = statistics.stdev(returns)
    z = math.log(closes[-1] / closes[-1 - bars]) / (sigma * math.sqrt(bars))
    third = bars // 3
    z_third = math.log(closes[-1] / closes[-1 - third]) / (sigma * math.sqrt(third))
    if z >= 1.5:
        return "Euphoria"
    if z >= 0.5:
        return "Good"
    if z_third >= 0.9:
        return "Recover"
    limits = ((-0.5, "Chop"), (-1.0, "Dip"), (-1.75, "Double-Dip"))
    return next((name for limit, name in limits if z > limit), "Oh-Shit")


def test_phases_are_those_of_the_definition_computed_the_slow_way() -> None:
    prices = walk(1_500, seed=4)
    moments = START_MS + HOUR_MS * np.arange(1, 1_501)
    found = phase_history(candles(prices)).at(moments)
    seen = set()
    for i in range(400, 1_500, 7):
        for horizon, bars in HORIZONS.items():
            expected = slow_phase(prices[: i + 1].tolist(), bars)
            assert found[i].get(f"{horizon}_phase") == expected, (i, horizon)
            seen.add(expected)
    assert len(seen) == 8  # every phase, and none


def test_a_phase_holds_from_the_end_of_its_hour_and_not_before() -> None:
    prices = [*walk(600, seed=1), *([200.0] * 30)]  # a jump within hour 600
    history = phase_history(candles(prices))
    end = START_MS + 601 * HOUR_MS
    before, after = history.at(np.array([end - 1, end]))
    assert before["micro_phase"] != "Euphoria"
    assert after["micro_phase"] == "Euphoria"


def test_finer_candles_give_the_same_phases_as_their_hours() -> None:
    prices = walk(4 * 900, seed=2, scale=0.005)
    quarters = candles(prices, bar_ms=HOUR_MS // 4)
    hours = candles(prices[3::4])
    moments = START_MS + HOUR_MS * np.arange(900) + 1
    assert phase_history(quarters).at(moments) == phase_history(hours).at(moments)


def test_a_pause_of_over_a_week_begins_another_series() -> None:
    prices = walk(1_200, seed=3)
    whole = candles(prices)
    start = whole.start_ms.copy()
    start[600:] += 8 * DAY_MS
    paused = Candles("X", HOUR_MS, start, whole.high, whole.low, whole.close, whole.quote_volume)
    moments = start[600:] + HOUR_MS
    alone = candles(prices[600:], start_ms=int(start[600]))
    assert phase_history(paused).at(moments) == phase_history(alone).at(moments)


def test_a_phase_of_five_days_ago_is_no_phase_of_now() -> None:
    history = phase_history(candles(walk(800, seed=5)))
    end = START_MS + 800 * HOUR_MS
    fresh, stale = history.at(np.array([end + 3 * DAY_MS, end + 5 * DAY_MS]))
    assert fresh
    assert stale == {}


def test_candles_of_four_hours_cannot_tell_the_hours() -> None:
    with pytest.raises(ValueError, match="longer than"):
        phase_history(candles([1.0, 2.0], bar_ms=4 * HOUR_MS))


def test_the_bounds_belong_to_the_phase_above() -> None:
    found = [phase_name(z, 0.0) for z in (1.5, 0.5, -0.5, -1.0, -1.75)]
    assert found == ["Euphoria", "Good", "Dip", "Double-Dip", "Oh-Shit"]
