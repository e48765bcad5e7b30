"""Patterns that lose or earn by themselves, net of costs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from learning.evidence.trade_events import TradeEvents
from learning.lessons.level_lessons import LevelMean, level_lessons, standing_levels
from learning.lessons.standing import StandingScope, Undetermined


def net_events(seed: int, *, loss_rr: float, shock: float = 0.0, n: int = 1200) -> TradeEvents:
    """Pattern a loses on 15m, pattern b does not; some trades of a also have an exit row."""
    rng = np.random.default_rng(seed)
    pattern = np.where(rng.random(n) < 0.5, "pm.a", "pm.b")
    timeframe = np.where(rng.random(n) < 0.5, "15m", "4h")
    closed = rng.uniform(0, 350, n)
    rr = rng.normal(0, 1, n) + rng.normal(0, shock, 51)[(closed / 7).astype(int)]
    rr -= loss_rr * ((pattern == "pm.a") & (timeframe == "15m"))
    twice = np.flatnonzero(pattern == "pm.a")[:200]
    rows = np.concatenate([np.arange(n), twice])
    return TradeEvents.from_columns(
        pattern_key=pattern[rows].tolist(),
        action_category=["entry"] * n + ["exit"] * len(twice),
        scope={"timeframe": timeframe[rows].tolist(), "bucket": ["micro"] * len(rows)},
        closed_at_days=closed[rows],
        rr=rr[rows],
        trade=rows,
    )


def test_the_cell_that_loses_is_found_among_six():
    run = level_lessons(net_events(1, loss_rr=0.8), fdr_target=0.1, look=1)
    assert run.n_tested == 6  # two patterns, each also on two timeframes; entries only
    found = {(one.level.group[0], one.level.scope) for one in run.lessons}
    assert ("pm.a", (("timeframe", "15m"),)) in found
    assert not any(pattern == "pm.b" for pattern, _ in found)


def test_a_timeframe_that_is_all_of_its_pattern_is_no_cell_of_its_own():
    events = net_events(1, loss_rr=0.8)
    on_15m = events.where(events.scope_matches({"timeframe": "15m"}))
    run = level_lessons(on_15m, fdr_target=0.1, look=1)
    assert run.n_tested == 2  # the two patterns
    assert [(one.level.group[0], one.level.scope) for one in run.lessons] == [("pm.a", ())]


def test_a_level_is_the_plain_mean_with_a_block_standard_error():
    events = net_events(2, loss_rr=0.8)
    cell = StandingScope(("pm.a", "entry"), (("timeframe", "15m"),))
    found = standing_levels(events, (cell,))[0]
    assert isinstance(found, LevelMean)
    chosen = (
        (events.group == events.groups.index(("pm.a", "entry")))
        & events.scope_matches({"timeframe": "15m"})
    )  # fmt: skip
    rr, week = events.rr[chosen], np.floor(events.closed_at_days[chosen] / 7)
    weeks = sorted(set(week))
    left_out = np.array([rr[week != b].mean() for b in weeks])
    b = len(weeks)
    se = np.sqrt((b - 1) / b * ((rr.mean() - left_out) ** 2).sum())
    assert found.mean_rr == pytest.approx(rr.mean())
    assert found.se_rr == pytest.approx(se)
    dof = found.n_effective_blocks - 1
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(rr.mean() / se), dof))
    quartile = rr.mean() + stats.t.ppf(0.75, dof) * se
    assert found.mean_q25_rr == pytest.approx(quartile)
    assert found.sd_rr == pytest.approx(rr.std())


def test_shocks_of_the_week_widen_the_interval():
    cell = (StandingScope(("pm.b", "entry"), ()),)
    calm = standing_levels(net_events(3, loss_rr=0.0), cell)[0]
    rough = standing_levels(net_events(3, loss_rr=0.0, shock=1.0), cell)[0]
    assert isinstance(calm, LevelMean)
    assert isinstance(rough, LevelMean)
    assert rough.se_rr > 2 * calm.se_rr


def test_a_quantile_toward_zero_never_crosses_it():
    found = standing_levels(net_events(4, loss_rr=0.0), (StandingScope(("pm.b", "entry"), ()),))[0]
    assert isinstance(found, LevelMean)
    if abs(found.t) < 0.5:
        assert found.mean_q25_rr == 0
    assert abs(found.mean_q25_rr) < abs(found.mean_rr)


def test_fewer_than_a_hundred_trades_are_not_tested():
    events = net_events(5, loss_rr=2.0, n=180)
    run = level_lessons(events, fdr_target=0.1, look=1)
    small = standing_levels(events, (StandingScope(("pm.a", "entry"), (("timeframe", "4h"),)),))
    assert isinstance(small[0], Undetermined)
    assert "100 needed" in small[0].reason
    assert run.n_tested < 6


def test_a_later_look_asks_for_more():
    events = net_events(6, loss_rr=0.25)
    first = level_lessons(events, fdr_target=0.1, look=1)
    ninth = level_lessons(events, fdr_target=0.1, look=9)
    assert ninth.level < first.level
    assert len(ninth.lessons) <= len(first.lessons)


def test_without_the_timeframe_dimension_only_patterns_are_tested():
    events = net_events(7, loss_rr=0.0)
    bare = TradeEvents.from_columns(
        pattern_key=[events.groups[g][0] for g in events.group],
        action_category=[events.groups[g][1] for g in events.group],
        scope={"bucket": ["micro"] * events.n},
        closed_at_days=events.closed_at_days,
        rr=events.rr,
        trade=events.trade,
    )
    assert level_lessons(bare, fdr_target=0.1, look=1).n_tested == 2
