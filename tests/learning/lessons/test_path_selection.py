import numpy as np

from learning.evidence.trade_events import TradeEvents
from learning.lessons.mining import surviving_lessons
from learning.lessons.path_selection import path_selected_groups, without_timing_choices


def added_to_winners(n: int = 3000, seed: int = 3) -> TradeEvents:
    """Pure noise, but late adds happen in winners only: no mode has any edge."""
    rng = np.random.default_rng(seed)
    rr = rng.normal(0, 1, n)
    mode = rng.choice(["early", "late"], n)
    has_add = np.where(mode == "late", rr > 0.5, rr > -0.2)
    trade = np.arange(n)
    closed = 19_000 + rng.random(n) * 300
    keep = np.flatnonzero(has_add)
    rows = np.concatenate([trade, trade[keep]])
    return TradeEvents.from_columns(
        pattern_key=["pm.a.b.c"] * len(rows),
        action_category=["entry"] * n + ["add"] * len(keep),
        scope={"A_mode": mode[rows].tolist(), "bucket": rng.choice(["x", "y"], n)[rows].tolist()},
        closed_at_days=closed[rows],
        rr=rr[rows],
        trade=rows,
    )


def found(events: TradeEvents) -> list[tuple[str, str]]:
    run = surviving_lessons(events, fdr_target=0.1, look=1, seed=1)
    return [(lesson.group[1], str(dict(lesson.scope))) for lesson in run.lessons]


def test_when_to_add_looks_like_an_edge_where_it_only_picks_winners() -> None:
    lessons = found(added_to_winners())
    assert lessons
    assert all(category == "add" and "A_mode" in scope for category, scope in lessons)


def test_without_the_timing_choice_the_arithmetic_is_no_lesson() -> None:
    narrowed, groups = without_timing_choices(added_to_winners(), ["A_mode", "E_mode"])
    assert groups == (("pm.a.b.c", "add"),)
    assert found(narrowed) == []


def test_entries_keep_their_modes() -> None:
    events = added_to_winners()
    narrowed, _ = without_timing_choices(events, ["A_mode"])
    entries = events.group == events.group_code(("pm.a.b.c", "entry"))
    assert np.array_equal(narrowed.scope_codes[entries], events.scope_codes[entries])


def test_adds_recorded_without_entries_or_in_every_trade_are_not_selected() -> None:
    events = added_to_winners()
    alone = events.where(events.group == events.group_code(("pm.a.b.c", "add")))
    assert path_selected_groups(alone) == ()
    entries = events.where(events.group == events.group_code(("pm.a.b.c", "entry")))
    every = TradeEvents.from_columns(
        pattern_key=["pm.a.b.c"] * 2 * entries.n,
        action_category=["entry"] * entries.n + ["add"] * entries.n,
        scope={"A_mode": ["late"] * 2 * entries.n},
        closed_at_days=np.tile(entries.closed_at_days, 2),
        rr=np.tile(entries.rr, 2),
        trade=np.tile(entries.trade, 2),
    )
    assert path_selected_groups(every) == ()
