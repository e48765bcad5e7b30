"""Charts show the numbers they are given, and hide those that too few trades support."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from dashboard.figures.context_drift import (
    context_drift,
    draw_context_drift,
    population_stability,
)
from dashboard.figures.edge_history import draw_edge_over_time, edge_over_time
from dashboard.figures.edge_map import draw_edge_map, edge_map
from dashboard.figures.effect_forest import draw_effect_forest, effect_forest
from dashboard.figures.lesson_forest import draw_lesson_forest, lesson_forest
from dashboard.figures.missing_values import draw_missing_values, missing_values
from dashboard.figures.outcome_spread import draw_outcome_spread, outcome_spread
from dashboard.figures.override_periods import draw_override_periods, override_periods
from dashboard.figures.run_durations import draw_run_durations, run_durations
from dashboard.figures.run_timeline import draw_run_timeline, run_timeline
from dashboard.figures.scope_lattice import draw_scope_lattice, scope_lattice
from dashboard.figures.search_funnel import draw_search_funnel, search_funnel
from dashboard.figures.trades_per_day import draw_trades_per_day, trades_per_day
from dashboard.figures.what_if import MOST_POINTS, draw_what_if, sample_table, what_if
from dashboard.theme import DARK, LIGHT, Palette
from learning.overrides.replay import LessonReplay, ReplayTrades, replayed

PALETTES = (DARK, LIGHT)


def cells(**changes: object) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "setup": ["a.b.c · entry", "a.b.c · entry", "a.b.d · entry"],
            "phase": ["Good", "Dip", "Good"],
            "n": [120, 29, 40],
            "mean": [0.5, 0.9, -0.2],
            "delta": [0.3, 0.7, -0.4],
            "se": [0.1, 0.4, 0.2],
            "edge": [0.25, 0.2, -0.1],
            "low": [0.1, -0.2, -0.3],
            "high": [0.4, 0.6, 0.1],
            "lesson": ["L-0001", "", ""],
        }
    )
    return frame.assign(**changes)


def test_a_cell_of_29_trades_prints_no_number() -> None:
    shown = edge_map(cells(), row="setup", column="phase", unit="R")
    assert shown.columns == ["Good", "Dip"]  # phases from the best to the worst
    assert shown.text == [["+0.25 ◆", "n<30"], ["-0.10", ""]]
    assert np.isnan(shown.value).tolist() == [[False, True], [False, True]]
    assert "too few" in shown.hover[0][1]


def test_labels_leave_out_what_all_setups_share() -> None:
    assert edge_map(cells(), row="setup", column="phase", unit="R").rows == ["a.b.c", "a.b.d"]


def test_a_map_in_which_no_cell_has_enough_trades_is_blank() -> None:
    assert not edge_map(cells(), row="setup", column="phase", unit="R").is_blank
    assert edge_map(cells(n=[3, 4, 5]), row="setup", column="phase", unit="R").is_blank


def test_a_table_of_nothing_is_not_stretched_over_the_whole_scale() -> None:
    nothing = cells(edge=[0.001, 0.0, -0.001], se=[0.2, 0.2, 0.2])
    assert edge_map(nothing, row="setup", column="phase", unit="R").limit == pytest.approx(0.2)


def test_markup_in_a_context_is_shown_never_read() -> None:
    bad = cells(phase=["<a href='x'>pump</a>", "Dip", "Good"])
    shown = edge_map(bad, row="setup", column="phase", unit="R")
    drawn = draw_edge_map(shown, DARK).to_json()
    assert "<a href" not in drawn.replace("\\u003c", "<")


def test_the_alternative_text_names_best_and_worst() -> None:
    shown = edge_map(cells(), row="setup", column="phase", unit="R")
    assert "best a.b.c · entry in Good +0.25 R" in shown.alt
    assert "worst a.b.d · entry in Good -0.10 R" in shown.alt


@pytest.mark.parametrize("palette", PALETTES)
def test_the_map_draws_value_and_unit(palette: Palette) -> None:
    shown = edge_map(cells(), row="setup", column="phase", unit="R")
    trace, *texts, _ = draw_edge_map(shown, palette).data
    assert {text for one in texts for text in one.text} == {"n<30", "+0.25 ◆", "-0.10"}
    assert trace.z[0][0] == 0.25
    assert trace.zmin == -trace.zmax
    assert trace.colorbar.title.text == "R"


def lessons() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [7, 3],
            "label": ["L-0007", "L-0003"],
            "setup": ["a.b.c · entry"] * 2,
            "context": ["phase Good", "everywhere"],
            "n": [100, 25],
            "posterior_mean_rr": [0.4, -0.2],
            "ci_low_rr": [0.1, -0.5],
            "ci_high_rr": [0.7, -0.1],
            "delta_group_rr": [0.5, -0.3],
            "q_value": [0.004, np.nan],
        }
    )


def test_the_forest_keeps_the_order_of_the_table_and_marks_the_chosen_lesson() -> None:
    shown = lesson_forest(lessons(), selected_id=3)
    assert shown.labels == ("L-0007", "L-0003")
    assert shown.selected == 1
    assert shown.band == (0, 2)
    assert "L-0007 +0.40 R" in shown.alt


def test_whiskers_reach_to_the_interval() -> None:
    dots = draw_lesson_forest(lesson_forest(lessons()), DARK).data[0]
    np.testing.assert_allclose(np.array(dots.x) + dots.error_x.array, [0.7, -0.1])
    np.testing.assert_allclose(np.array(dots.x) - dots.error_x.arrayminus, [0.1, -0.5])


def test_the_funnel_counts_levels_with_the_scopes_they_were_tested_beside() -> None:
    counts = {"scopes_stored": 900, "eligible": 300, "tested": 200, "found": 3,
              "levels_tested": 10, "levels_found": 2, "upper_tail": 4, "lower_tail": 1}  # fmt: skip
    shown = search_funnel(counts, {"proposed": 5, "approved": 2, "confirmed": 1})
    assert shown.counts == (910, 310, 210, 5, 5, 2, 1)
    assert shown.chance is not None
    assert shown.chance.startswith("5 of 300 scopes")
    (bars,) = draw_search_funnel(shown, DARK).data
    assert list(bars.text) == ["910", "310", "210", "5", "5", "2", "1"]


def test_a_window_without_standard_error_has_no_whisker() -> None:
    windows = pd.DataFrame(
        {
            "mean_closed_at": [datetime(2026, 1, d, tzinfo=UTC) for d in (1, 8)],
            "n": [9, 1],
            "edge_rr": [0.5, -2.0],
            "se_rr": [0.1, None],
        }
    )
    shown = edge_over_time(windows, marks=((datetime(2026, 1, 5, tzinfo=UTC), "approved"),))
    assert shown.reach_rr == pytest.approx((0.196, 0.0))
    assert draw_edge_over_time(shown, DARK).layout.annotations[0].text == "approved"


def test_the_lattice_tells_lessons_from_scopes_that_only_rank_high() -> None:
    scopes = pd.DataFrame(
        {
            "scope": [{"phase": "Good"}, {"phase": "Dip", "timeframe": "1h"}],
            "depth": [1, 2],
            "n": [400, 100],
            "delta_rr": [0.2, 0.9],
            "se_rr": [0.1, 0.3],
            "avg_rr": [0.4, 1.1],
        }
    )
    shown = scope_lattice(scopes, {"phase Good": "L-0004"})
    assert shown.is_lesson == (True, False)
    assert "1 lesson among them" in shown.alt
    assert len(draw_scope_lattice(shown, LIGHT).data[0].x) == 2


def effects() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "lesson_id": [1, 2, 3],
            "effect_rr": [0.02, 0.5, -0.1],
            "ci_low_rr": [0.01, np.nan, -0.3],
            "ci_high_rr": [0.03, np.nan, 0.1],
            "n_treated": [400, 5, 300],
            "n_held_out": [100, 0, 80],
            "verdict": ["helps", "not clear yet", "not clear yet"],
        }
    )


def test_an_effect_without_an_interval_is_not_drawn() -> None:
    shown = effect_forest(effects())
    assert shown.labels == ("L-0001", "L-0003")
    assert shown.n_left_out == 1
    assert "1 above zero" in shown.alt


def test_only_effects_clear_of_zero_are_coloured() -> None:
    (dots,) = draw_effect_forest(effect_forest(effects()), DARK).data
    assert list(dots.marker.color) == [DARK.accent, DARK.muted]


def replay(rr: list[float], *, n_in_sample: int, multiplier: float = 1.5) -> LessonReplay:
    trades = ReplayTrades(
        np.array(rr), np.arange(len(rr), dtype=float), np.arange(len(rr)) < n_in_sample
    )
    return LessonReplay(
        outcome="r_multiple",
        lever="size_mult",
        trades=trades,
        traded_curve_rr=np.cumsum(trades.rr),
        replays=(replayed(trades, multiplier, kind="target"),),
        not_replayable={},
    )


DISCOVERED = datetime(1970, 1, 2, 12, tzinfo=UTC)


def test_what_if_draws_the_same_trades_at_both_sizes_and_where_the_lesson_was_found() -> None:
    shown = what_if(replay([1.0, -2.0, 4.0], n_in_sample=2), claimed_at=DISCOVERED)
    assert shown.at[2] == datetime(1970, 1, 3, tzinfo=UTC)
    assert shown.traded.tolist() == [1.0, -1.0, 3.0]
    assert shown.adjusted["target ×1.500"].tolist() == [1.5, -1.5, 4.5]
    assert "In sample, 2 trades: -1.00 R as traded, -1.50 R with target ×1.500" in shown.alt
    assert "largest drawdown 3.00 R instead of 2.00 R" in shown.alt
    assert "Out of sample, 1 trade: +4.00 R as traded, +6.00 R" in shown.alt
    figure = draw_what_if(shown, DARK)
    assert [list(line.y) for line in figure.data] == [[1.0, -1.0, 3.0], [1.5, -1.5, 4.5]]
    assert DISCOVERED in {one.x0 for one in figure.layout.shapes}
    assert [one.text.strip() for one in figure.layout.annotations] == ["in sample", "out of sample"]


@pytest.mark.parametrize("n_in_sample", [0, 3])
def test_what_if_marks_no_discovery_where_all_trades_lie_on_one_side(n_in_sample: int) -> None:
    found = replay([1.0, -2.0, 4.0], n_in_sample=n_in_sample)
    shown = what_if(found, claimed_at=DISCOVERED)
    assert shown.split_at is None
    assert not draw_what_if(shown, LIGHT).layout.annotations


def test_a_thinned_what_if_keeps_the_first_the_last_and_both_sides_of_the_discovery() -> None:
    shown = what_if(replay([1.0] * 5000, n_in_sample=1234), claimed_at=DISCOVERED)
    assert len(shown.at) <= MOST_POINTS + 2
    assert {1.0, 1234.0, 1235.0, 5000.0} <= set(shown.traded.tolist())


def test_only_out_of_sample_has_the_difference_per_trade_an_interval() -> None:
    rng = np.random.default_rng(3)
    found = replay([*rng.normal(0, 1, 100), *rng.normal(1, 0.2, 400)], n_in_sample=100)
    table = sample_table(found)
    assert table["sample"].tolist() == ["in sample", "out of sample"]
    assert table["n"].tolist() == [100, 400]
    assert table["adjusted"].tolist() == pytest.approx((1.5 * table["traded"]).tolist())
    assert table["per_trade"][0] == "the lesson was chosen on these trades"
    mean = float(np.mean(0.5 * found.trades.rr[100:]))
    assert table["per_trade"][1].startswith(f"{mean:+.3f} [+0.")
    assert table["per_trade"][1].endswith("helps")


def test_too_few_weeks_since_the_discovery_have_a_reason_for_an_interval() -> None:
    table = sample_table(replay([1.0, -2.0, 4.0], n_in_sample=2))
    assert "week" in table["per_trade"][1]
    assert "[" not in table["per_trade"][1]


def test_outcomes_beyond_the_ends_are_counted_at_the_ends() -> None:
    bins = pd.DataFrame(
        {
            "is_inside": [True, True, False],
            "bin": [0, 41, 20],
            "n": [1, 3, 4],
            "total": [-2.0, 6.0, 0.4],
        }
    )
    shown = outcome_spread(bins, low=-2.0, high=2.0)
    assert (shown.inside[0], shown.inside[-1]) == (0.25, 0.75)
    assert shown.mean_inside == 1.0
    assert shown.outside.sum() == 1
    assert (shown.n_inside, shown.n_outside) == (4, 4)
    assert len(draw_outcome_spread(shown, LIGHT).data) == 2


def runs() -> pd.DataFrame:
    at = pd.Timestamp("2026-01-01", tz="UTC")
    return pd.DataFrame(
        {
            "id": [1, 2, 3],
            "job": ["a", "b", "a"],
            "status": ["ok", "failed", "queued"],
            "run_trigger": ["schedule", "manual", "schedule"],
            "started_at": [at, at, pd.NaT],
            "finished_at": [at + pd.Timedelta(hours=2), at, pd.NaT],
            "error": [None, "boom", None],
        }
    )


def test_a_run_that_took_no_time_can_still_be_seen() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    shown = run_timeline(runs(), now=now, least=timedelta(minutes=5))
    assert [one.total_seconds() for one in shown.length] == [7200, 300]
    assert shown.alt == "2 runs, 1 failed."
    (bars,) = draw_run_timeline(
        shown, DARK, jobs=("a", "b"), start=now - timedelta(days=2), end=now
    ).data
    assert list(bars.marker.color) == [DARK.positive, DARK.negative]
    assert list(bars.marker.line.width) == [0, 1]


def test_overrides_that_end_first_stand_on_top() -> None:
    at = pd.Timestamp("2026-01-01", tz="UTC")
    overrides = pd.DataFrame(
        {
            "lesson_id": [1, 2],
            "pattern_key": ["pm.a.b.c"] * 2,
            "action_category": ["entry"] * 2,
            "context": ["everywhere"] * 2,
            "activated_at": [at, at],
            "expires_at": [at + pd.Timedelta(days=9), at + pd.Timedelta(days=2)],
        }
    )
    shown = override_periods(overrides, now=at)
    assert shown.labels == ("L-0002", "L-0001")
    (bars,) = draw_override_periods(shown, DARK).data
    assert list(bars.x) == [2 * 86400e3, 9 * 86400e3]


def test_small_bots_are_joined_into_one_series() -> None:
    day = pd.Timestamp("2026-01-05", tz="UTC")
    counts = pd.DataFrame({"day": [day] * 8, "bot": list("abcdefgh"), "n": range(8, 0, -1)})
    shown = trades_per_day(counts)
    assert list(shown.series)[:2] == ["a", "b"]
    assert shown.series["other bots"] == (3,)
    assert len(draw_trades_per_day(shown, DARK).data) == 7


def test_what_lacks_most_stands_at_the_top_with_its_share() -> None:
    weeks = pd.to_datetime(["2026-01-05", "2026-01-19"], utc=True)
    counted = pd.DataFrame(
        {
            "period": [*weeks, *weeks],
            "field": ["symbol", "symbol", "mfe_r", "mfe_r"],
            "n": [10, 30, 10, 30],
            "missing": [0, 0, 10, 15],
            "filled": [0, 0, 0, 12],
        }
    )
    shown = missing_values(counted)
    assert shown.fields == ("symbol", "mfe_r")  # plotly draws from the bottom
    assert shown.share == [[0.0, None, 0.0], [1.0, None, 0.5]]  # the week between had no trades
    assert shown.hover[0][1] == "no entries"
    assert "12 were filled from candles" in shown.hover[1][2]
    assert "mfe_r is missing in 62" in shown.alt
    for palette in PALETTES:
        (heat,) = draw_missing_values(shown, palette).data
        assert (heat.zmin, heat.zmax) == (0.0, 1.0)


def test_population_stability_of_a_worked_example() -> None:
    # shares 0.6 and 0.4 against 0.5 and 0.5, by hand: 0.1 ln 1.2 - 0.1 ln 0.8
    found = population_stability(np.array([6e6, 4e6]), np.array([5e6, 5e6]))
    assert found == pytest.approx(0.1 * np.log(1.2) - 0.1 * np.log(0.8), abs=1e-6)


def test_drift_draws_its_threshold_and_its_values() -> None:
    levels = pd.DataFrame(
        {
            "dimension": ["bucket", "bucket", "phase", "phase", "never"],
            "level": ["xl", None, "Good", "Dip", None],
            "recent": [50, 50, 90, 10, 100],
            "before": [500, 500, 100, 900, 1000],
        }
    )
    shown = context_drift(levels)
    assert shown is not None
    assert shown.dims == ("bucket", "phase")  # one that no trade has cannot move
    assert shown.index[0] == pytest.approx(0.0, abs=1e-3)
    assert shown.index[1] > 0.25
    assert shown.hover[1] == "Good: 10 % → 90 %"
    assert shown.alt.endswith("phase.")
    figure = draw_context_drift(shown, DARK)
    bars, values = figure.data
    assert list(values.text) == [f"{one:.2f}" for one in shown.index]
    assert list(bars.y) == list(values.y)
    assert figure.layout.shapes[0].x0 == 0.25
    assert all(at >= max(one, 0.25) for at, one in zip(values.x, bars.x, strict=True))


def test_a_history_gives_a_long_pause_no_room_and_marks_nothing_far_from_it() -> None:
    start = datetime(2021, 1, 1, tzinfo=UTC)
    at = [start + timedelta(days=days) for days in (0, 14, 28, 1000, 1014)]
    windows = pd.DataFrame({"mean_closed_at": at, "n": 40, "edge_rr": 0.1, "se_rr": 0.05})
    marks = ((at[1], "approved"), (at[-1] + timedelta(days=700), "renewed"))
    shown = edge_over_time(windows, marks=marks)
    assert [name for _, name in shown.marks] == ["approved"]
    layout = draw_edge_over_time(shown, DARK).layout
    for axis in (layout.xaxis, layout.xaxis2):
        [gap] = axis.rangebreaks
        assert [one[:10] for one in gap.bounds] == ["2021-02-05", "2023-09-21"]


def test_drift_of_few_trades_is_not_told() -> None:
    levels = pd.DataFrame(
        {"dimension": ["bucket"], "level": ["xl"], "recent": [29], "before": [500]}
    )
    assert context_drift(levels) is None


def test_the_time_around_one_run_alone_is_an_hour() -> None:
    at = datetime(2026, 11, 28, 7, 13, tzinfo=UTC)
    one = pd.DataFrame(
        {"id": [3], "job": ["mine"], "status": ["ok"], "started_at": [at],
         "finished_at": [at + timedelta(seconds=89)]}
    )  # fmt: skip
    shown = draw_run_durations(run_durations(one), DARK).layout.xaxis.range
    assert shown[1] - shown[0] == timedelta(hours=1)
    assert shown[0] < at < shown[1]
