"""Charts of effects over time show the path as it is, its band where it holds, and decisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dashboard.figures.effect_over_time import draw_effect_over_time, effect_over_time
from dashboard.theme import DARK, LIGHT
from learning.overrides.effect_path import EffectPath, PathPoint

DAY = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = DAY.timestamp() / 86400
PATH = EffectPath(
    (
        PathPoint(FIRST, 10, 0.1, None, None),
        PathPoint(FIRST + 7, 20, 0.2, None, None),
        PathPoint(FIRST + 14, 40, 0.2, 0.05, 0.35),
    ),
    starts_at=20,
    n_units=3,
    unit="weeks with trades",
)


def test_sums_are_means_times_trades_and_the_band_begins_where_it_holds() -> None:
    shown = effect_over_time(PATH, cumulative=True)
    assert shown.value == (1.0, 4.0, 8.0)
    assert shown.band_from == 2
    assert (shown.low, shown.high) == ((2.0,), (14.0,))
    assert shown.at[0] == DAY
    assert shown.alt == "Effect +8.00 R after 40 trades, 95 % +2.00 to +14.00 R."


def test_means_have_their_own_band_and_unit() -> None:
    shown = effect_over_time(PATH, cumulative=False)
    assert shown.value == (0.1, 0.2, 0.2)
    assert (shown.low, shown.high, shown.unit) == ((0.05,), (0.35,), "R per trade")


def test_without_a_band_the_sentence_says_what_is_missing() -> None:
    short = EffectPath(PATH.points[:2], 20, 2, "weeks with trades")
    shown = effect_over_time(short, cumulative=True)
    assert shown.low == ()
    assert "an interval begins at 20 weeks with trades, 2 so far" in shown.alt


def test_decisions_outside_the_time_shown_are_left_out() -> None:
    marks = [
        (DAY - timedelta(days=1), "L-0001 approved"),
        (DAY + timedelta(days=9), "L-0001 disabled"),
    ]
    assert effect_over_time(PATH, cumulative=True, marks=marks).marks == (marks[1],)


def test_the_drawing_has_line_band_and_one_upright_line_a_decision() -> None:
    marks = [(DAY + timedelta(days=9), "<b>L-0001</b> disabled")]
    for palette in (DARK, LIGHT):
        shown = effect_over_time(PATH, cumulative=True, marks=marks)
        figure = draw_effect_over_time(shown, palette)
        assert [len(trace.y) for trace in figure.data] == [1, 1, 3]
        assert list(figure.data[2].y) == [1.0, 4.0, 8.0]
        assert figure.layout.yaxis.title.text == "R"
        assert len(figure.layout.shapes) == 2  # nothing gained, and the decision
        assert "&lt;b&gt;" in figure.layout.annotations[0].text
