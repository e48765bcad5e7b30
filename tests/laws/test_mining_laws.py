"""What must not matter to the search: order of rows, names of codes, duplicated dimensions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from learning.evidence.trade_events import TradeEvents
from learning.lessons.mining import FoundLesson, MiningRun, surviving_lessons
from tests.learning.lessons.test_mining import made_events


def world_events() -> TradeEvents:
    return made_events(2, edge_rr=2.0, n=2500)


def mined(events: TradeEvents) -> MiningRun:
    return surviving_lessons(events, fdr_target=0.1, look=1, seed=7)


def same_lessons(one: MiningRun, other: MiningRun) -> bool:
    return len(one.lessons) > 0 and one.lessons == other.lessons


def test_the_order_of_the_rows_does_not_matter_to_the_last_bit():
    events = world_events()
    shuffled = events.where(np.random.default_rng(1).permutation(events.n))
    one, other = mined(events), mined(shuffled)
    assert same_lessons(one, other)
    assert one.critical_z == other.critical_z
    assert one.reference == other.reference


def test_the_numbering_of_groups_and_levels_does_not_matter():
    events = world_events()
    rng = np.random.default_rng(2)
    to_group = rng.permutation(len(events.groups))
    codes, levels = events.scope_codes.copy(), []
    for i, values in enumerate(events.levels):
        to_level = rng.permutation(len(values))
        codes[:, i] = np.append(to_level, -1)[events.scope_codes[:, i]]  # -1 stays absent
        levels.append(tuple(values[j] for j in np.argsort(to_level)))
    renumbered = replace(
        events,
        group=to_group[events.group].astype(np.int32),
        groups=tuple(events.groups[j] for j in np.argsort(to_group)),
        scope_codes=codes,
        levels=tuple(levels),
    )
    assert same_lessons(mined(events), mined(renumbered))


def test_a_second_run_is_the_same_run():
    events = world_events()
    one, other = mined(events), mined(events)
    assert same_lessons(one, other)
    assert one.selection == other.selection


def test_a_dimension_that_repeats_another_changes_no_lesson():
    events = world_events()
    doubled = replace(
        events,
        dims=(*events.dims, "bucket_again"),
        scope_codes=np.column_stack([events.scope_codes, events.scope_codes[:, 1]]),
        levels=(*events.levels, events.levels[1]),
    )
    one, other = mined(events), mined(doubled)
    assert one.counts.n_distinct == other.counts.n_distinct
    assert same_lessons(one, other)


def shifted(events: TradeEvents, *, by: float = 0.0, times: float = 1.0) -> TradeEvents:
    return replace(events, rr=times * (events.rr + by))


def test_adding_a_constant_to_every_outcome_changes_no_edge():
    events = world_events()
    one, other = mined(events), mined(shifted(events, by=5.0))
    assert_same_up_to(one, other, factor=1.0)


def test_measuring_in_another_unit_changes_the_unit_and_nothing_else():
    events = world_events()
    one, other = mined(events), mined(shifted(events, times=3.0))
    assert_same_up_to(one, other, factor=3.0)


def assert_same_up_to(one: MiningRun, other: MiningRun, *, factor: float) -> None:
    assert len(one.lessons) == len(other.lessons) > 0
    for a, b in zip(one.lessons, other.lessons, strict=True):
        assert (a.group, a.scope, a.status) == (b.group, b.scope, b.status)
        assert b.z == pytest.approx(a.z, rel=1e-6)
        assert b.lfsr == pytest.approx(a.lfsr, rel=1e-4)
        for name in ("delta_group_rr", "se_rr", "posterior_mean_rr", "ci_low_rr", "ci_high_rr"):
            assert getattr(b, name) == pytest.approx(factor * getattr(a, name), rel=1e-6)


def test_every_lesson_is_worth_what_its_trades_say():
    events = world_events()
    run = mined(events)
    assert run.reference is not None
    y = run.reference.scale.clip.clip(events.rr)
    for lesson in run.lessons:
        assert_counts_its_trades(events, y, lesson)


def assert_counts_its_trades(events: TradeEvents, y: np.ndarray, lesson: FoundLesson) -> None:
    in_group = events.group == events.groups.index(lesson.group)
    inside = in_group & events.scope_matches(dict(lesson.scope))
    assert sorted(lesson.trades) == sorted(events.trade[inside].tolist())
    assert lesson.n == inside.sum()
    assert lesson.delta_group_rr == pytest.approx(y[inside].mean() - y[in_group].mean())
