"""Trades still open are not missing alike in both arms: young decisions wait, alike in both."""

from __future__ import annotations

import numpy as np
import pytest

from learning.overrides.effect_record import AppliedTrades, PatternTrades, comparison_record
from learning.overrides.holding import of_period, old_enough

HORIZON = 91.0


def held_longer_when_treated(seed: int, *, now_days: float) -> AppliedTrades:
    """What has closed by now of four trades a day; the longer one runs, the more it returns.

    The override changes no outcome: it makes trades take 25 days on average instead of 15.
    """
    rng = np.random.default_rng([seed, 2])
    n = int(4 * HORIZON * 4)
    decided, treated = np.sort(rng.uniform(0, 4 * HORIZON, n)), rng.random(n) < 0.8
    length = rng.exponential(1, n)
    closed = decided + length * np.where(treated, 25, 15)
    trades = AppliedTrades(
        rr=length - 1 + rng.normal(0, 0.7, n),
        closed_at_days=closed,
        decided_at_days=decided,
        multiplier=np.full(n, np.nan),
        is_randomised=np.ones(n, dtype=np.bool_),
        treated=treated,
        p_treated=np.full(n, 0.8),
        unit=np.arange(n),
    )
    return trades.chosen(closed <= now_days)


def effect(trades: AppliedTrades) -> float:
    found = comparison_record(trades, PatternTrades(np.zeros(0), np.zeros(0)))
    return float(found.details["raw"]["estimate_rr"])


def mean_and_error(values: list[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values)) / len(values) ** 0.5


def test_a_longer_hold_alone_is_no_effect_at_a_horizon() -> None:
    """150 seeds, within three standard errors and 0.02 R: a hundredth may still be open.

    What has closed on the day of the horizon says -0.12 R of the same trades.
    """
    naive, ripe = [], []
    for seed in range(150):
        on_the_day = held_longer_when_treated(seed, now_days=HORIZON)
        naive.append(effect(on_the_day.decided_between(0, HORIZON)))
        ripe.append(effect(of_period(held_longer_when_treated(seed, now_days=1e9), 0, 91).trades))
    mean, error = mean_and_error(naive)
    assert mean < -0.05 - 3 * error
    mean, error = mean_and_error(ripe)
    assert abs(mean) <= 0.02 + 3 * error


def test_nor_is_it_one_in_what_stands_today() -> None:
    today = 4 * HORIZON
    found = [
        effect(old_enough(held_longer_when_treated(seed, now_days=today), now_days=today))
        for seed in range(150)
    ]
    mean, error = mean_and_error(found)
    assert abs(mean) <= 0.02 + 3 * error


def test_once_ripe_a_period_stays_as_it_is_whenever_one_looks() -> None:
    known = of_period(held_longer_when_treated(1, now_days=1e9), 0, HORIZON)
    assert HORIZON + 60 < known.ripe_on_days < HORIZON + 150
    for later in (0.0, 1.0, 30.0):
        now = known.ripe_on_days + later
        again = of_period(held_longer_when_treated(1, now_days=now), 0, HORIZON)
        assert again.ripe_on_days == known.ripe_on_days
        assert again.trades.rr.tolist() == known.trades.rr.tolist()
    early = of_period(held_longer_when_treated(1, now_days=HORIZON + 40), 0, HORIZON)
    assert early.ripe_on_days > HORIZON + 40


def test_one_arm_alone_held_long_makes_both_wait() -> None:
    """Twenty of a hundred are held out and held for 9 days, the others for one."""
    treated = np.arange(100) % 5 > 0
    decided = np.arange(100.0)
    held = np.where(treated, 1.0, 9.0)
    trades = AppliedTrades(
        held, decided + held, decided, held, treated | True, treated, held * 0 + 0.8, np.arange(100)
    )
    found = old_enough(trades.chosen(decided + held <= 100), now_days=100.0)
    assert found.decided_at_days.max() == pytest.approx(91.0)
    assert old_enough(trades.chosen(treated), now_days=100.0).n == 80
    none = trades.chosen(decided < 0)
    assert old_enough(none, now_days=100.0).n == of_period(none, 0, 91).trades.n == 0
