"""Sums by week and level are those of the trades, whatever they are split by."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from learning.evidence.trade_events import TradeEvents
from learning.evidence.week_sums import week_sums

CLIP = (-2.0, 3.0)


def drawn(n: int, seed: int) -> TradeEvents:
    rng = np.random.default_rng(seed)
    return TradeEvents.from_columns(
        pattern_key=[f"pm.{i}" for i in rng.integers(0, 3, n)],
        action_category=["entry"] * n,
        scope={
            "bucket": [(None, "mid", "big")[i] for i in rng.integers(0, 3, n)],
            "rank": [(1, 2)[i] for i in rng.integers(0, 2, n)],
        },
        closed_at_days=rng.uniform(19_000, 19_400, n),
        rr=rng.normal(0, 3, n),
        trade=np.arange(n),
    )


def test_every_row_is_the_sum_of_its_trades() -> None:
    events = drawn(500, seed=1)
    by_hand: dict[tuple[int, ...], list[float]] = defaultdict(list)
    for i in range(events.n):
        week = int(events.closed_at_days[i] // 7)
        for dimension in range(2):
            place = int(events.group[i]), dimension, int(events.scope_codes[i, dimension]), week
            by_hand[place].append(min(max(float(events.rr[i]), CLIP[0]), CLIP[1]))
    found = {
        (one.group, one.dimension, int(code), int(week)): (n, total, total_sq)
        for one in week_sums(events, clip=CLIP)
        for code, week, n, total, total_sq in zip(
            one.code, one.week, one.n, one.total, one.total_sq, strict=True
        )
    }
    assert found.keys() == by_hand.keys()
    for place, outcomes in by_hand.items():
        n, total, total_sq = found[place]
        assert n == len(outcomes)
        assert total == pytest.approx(sum(outcomes))
        assert total_sq == pytest.approx(sum(one * one for one in outcomes))


def test_each_dimension_holds_every_trade_of_its_group_once() -> None:
    events = drawn(300, seed=2)
    trades = np.bincount(events.group)
    for one in week_sums(events, clip=CLIP):
        assert one.n.sum() == trades[one.group]
    assert sum(1 for _ in week_sums(events, clip=CLIP)) == 2 * len(trades)


def test_no_trades_make_no_sums() -> None:
    events = drawn(10, seed=3)
    assert list(week_sums(events.where(np.zeros(10, dtype=np.bool_)), clip=CLIP)) == []
