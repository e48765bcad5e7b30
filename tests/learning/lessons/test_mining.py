"""The whole search, against the same search written slowly, and against planted effects."""

from __future__ import annotations

import numpy as np
import pytest

from learning.evidence.trade_events import TradeEvents
from learning.lessons.mining import MiningRun, surviving_lessons
from tests.learning.lessons.slow_search import slow_search

DIMS = ("macro_phase", "bucket", "timeframe", "A_mode")


def made_events(
    seed: int, *, edge_rr: float = 0.0, n: int = 1500, days: float = 250
) -> TradeEvents:
    """Three groups; in the first, trades of bucket 1 on timeframe 2 have an edge."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1, 3, (n, 4)).astype(np.int16)
    codes[:, 3] = np.where(rng.random(n) < 0.8, codes[:, 1], codes[:, 3])  # a proxy of bucket
    group = rng.choice(3, n, p=[0.5, 0.3, 0.2]).astype(np.int32)
    closed = rng.uniform(0, days, n)
    shocks = rng.normal(0, 0.3, int(days) + 1)[closed.astype(int)]
    rr = shocks + rng.gamma(0.6, 2.0, n) - 1.2
    rr += edge_rr * ((group == 0) & (codes[:, 1] == 1) & (codes[:, 2] == 2))
    return TradeEvents(
        group=group,
        groups=(("pm.a", "entry"), ("pm.b", "entry"), ("pm.c", "exit")),
        dims=DIMS,
        scope_codes=codes,
        levels=((0, 1, 2),) * 4,
        closed_at_days=closed,
        rr=rr,
        trade=np.arange(n),
    )


def mined(events: TradeEvents, **options: object) -> MiningRun:
    usual: dict = {"fdr_target": 0.1, "look": 1, "seed": 0}
    return surviving_lessons(events, **{**usual, **options})


def test_every_score_equals_the_slow_search():
    events = made_events(1, edge_rr=1.0)
    run = mined(events)
    slow = slow_search(events.group, events.scope_codes, events.closed_at_days, events.rr)
    eligible = {key: one for key, one in slow.items() if one["blocks"] >= 8}
    compared = 0
    for group in run.scored:
        code = events.groups.index(group.key)
        for j, codes in enumerate(group.scope_codes.tolist()):
            scope = tuple((i, v) for i, v in enumerate(codes) if v >= 0)
            one = eligible.pop((code, scope))
            assert group.n[j] == one["n"]
            assert group.delta_group_rr[j] == pytest.approx(one["delta"])
            assert group.z[j] == pytest.approx(one["z"], abs=1e-4)  # the slow d0 is a grid's
            compared += 1
    assert not eligible
    assert compared == run.counts.n_tested == run.counts.n_eligible > 100
    assert run.reference is not None
    assert run.reference.prior_dof == pytest.approx(one["d0"], abs=1e-3)


def test_a_strong_effect_is_one_lesson_with_its_simplest_scope():
    events = made_events(2, edge_rr=2.0)
    run = mined(events)
    of_group = [one for one in run.lessons if one.group == ("pm.a", "entry")]
    assert [dict(one.scope) for one in of_group] == [{"bucket": 1, "timeframe": 2}]
    lesson = of_group[0]
    in_group = events.group == 0
    inside = in_group & (events.scope_codes[:, 1] == 1) & (events.scope_codes[:, 2] == 2)
    y = np.clip(events.rr, *np.quantile(events.rr, [0.001, 0.99]))
    assert lesson.n == inside.sum()
    assert sorted(lesson.trades) == np.flatnonzero(inside).tolist()
    assert lesson.delta_group_rr == pytest.approx(y[inside].mean() - y[in_group].mean())
    assert lesson.sd_rr == pytest.approx(y[in_group].std())
    assert lesson.mean_closed_at_days == pytest.approx(events.closed_at_days[inside].mean())
    assert lesson.status == "proposed"


def test_what_is_said_about_a_lesson_is_consistent():
    lesson = mined(made_events(3, edge_rr=2.0)).lessons[0]
    assert lesson.se_rr == pytest.approx(abs(lesson.delta_group_rr / lesson.z))
    assert 0 < lesson.ci_low_rr < lesson.posterior_mean_rr < lesson.ci_high_rr
    assert lesson.posterior_mean_rr < lesson.delta_group_rr  # shrunk
    assert 0 < lesson.delta_q25_rr < lesson.posterior_mean_rr
    assert lesson.own_mean_q25_rr < lesson.own_mean_rr
    assert lesson.z >= lesson.critical_z
    assert lesson.q_value <= 0.1
    assert lesson.lfsr < 0.025


def test_a_losing_scope_is_a_lesson_too():
    lesson = mined(made_events(4, edge_rr=-2.0)).lessons[0]
    assert lesson.z < 0
    assert lesson.ci_high_rr < 0
    assert lesson.delta_q25_rr < 0


def test_a_lesson_of_two_dimensions_names_what_it_adds_to_its_parent():
    lesson = mined(made_events(2, edge_rr=2.0)).lessons[0]
    increment = lesson.increment
    assert len(increment.parent_scope) == 1
    assert set(increment.parent_scope) < set(lesson.scope)
    assert increment.ci_low_rr < increment.edge_rr < increment.ci_high_rr
    assert 0 < increment.edge_rr < lesson.delta_group_rr


def test_the_number_of_groups_tested_is_the_price_even_without_an_eligible_scope():
    events = made_events(5, edge_rr=2.0)
    short = events.closed_at_days < 30
    thinned = events.where((events.group != 1) | short)  # five weeks of trades in one group
    run = mined(thinned)
    assert run.counts.n_groups == 3
    assert run.selection is not None
    assert run.selection.p_group[("pm.b", "entry")] == 1.0
    assert run.selection.level == pytest.approx(0.1 * len(run.selection.selected) / 3)


def test_a_group_of_fewer_than_thirty_trades_is_not_tested():
    events = made_events(6)
    few = (events.group != 2) | (np.cumsum(events.group == 2) <= 29)
    assert mined(events.where(few)).counts.n_groups == 2


def test_a_group_whose_outcome_never_varies_counts_with_p_one():
    events = made_events(7)
    flat = np.where(events.group == 1, 0.5, events.rr)
    columns = {name: getattr(events, name) for name in TradeEvents.__slots__}
    run = mined(TradeEvents(**{**columns, "rr": flat}))
    assert run.selection is not None
    assert run.selection.p_group[("pm.b", "entry")] == 1.0


def test_too_short_a_history_gives_a_reason_instead_of_lessons():
    run = mined(made_events(8, edge_rr=3.0, days=20))
    assert run.lessons == ()
    assert run.reference is None
    assert run.reason is not None
    assert "six weeks" in run.reason


def test_no_trades_give_a_reason_instead_of_lessons():
    events = made_events(9)
    run = mined(events.where(np.zeros(events.n, dtype=np.bool_)))
    assert (run.lessons, run.reason) == ((), "no trades")


def test_a_later_look_spends_less_and_asks_for_more():
    events = made_events(10, edge_rr=2.0)
    first, third = mined(events), mined(events, look=3)
    assert third.level == pytest.approx(0.1 * 6 / (np.pi**2 * 4))
    assert third.lessons[0].critical_z > first.lessons[0].critical_z


def test_frozen_clip_limits_are_used_as_they_are():
    events = made_events(11)
    reference = mined(events).reference
    assert reference is not None
    again = mined(events.where(events.closed_at_days < 200), clip=reference.scale.clip).reference
    assert again is not None
    assert again.scale.clip == reference.scale.clip
