"""Room for labels is left before a browser draws them, about as much as it takes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import plotly.graph_objects as go
import pytest

from dashboard.figures.margins import make_room, text_width
from dashboard.figures.time_axis import date_axis
from dashboard.theme import DARK, LABEL_GAP, kept_figure, style

# What Chromium found: px of the longest label, 12 px high.
MEASURED = {
    "bench.S1.p07": 68.0,
    "L-0001": 33.0,
    "Confirmed": 54.0,
    "materialise_overrides": 112.0,
    "1000": 23.0,
}


def margins(figure: go.Figure) -> dict[str, float]:
    return make_room(figure.to_plotly_json())


@pytest.mark.parametrize(("text", "px"), MEASURED.items())
def test_a_label_is_as_wide_as_it_is_drawn_or_a_little_wider(text: str, px: float) -> None:
    assert px <= text_width(text) <= 1.15 * px


def test_markup_takes_no_room_and_the_longest_line_counts() -> None:
    assert text_width("<b>a &amp; b</b><br>1") == text_width("a & b")


def named(labels: list[str], **axis: Any) -> go.Figure:
    figure = go.Figure(go.Bar(x=[1.0] * len(labels), y=labels, orientation="h"))
    style(figure, DARK, height=200)
    figure.update_yaxes(type="category", **axis)
    return figure


def test_rows_get_the_room_of_their_longest_name() -> None:
    assert margins(named(["L-0001", "a"]))["l"] == pytest.approx(text_width("L-0001") + 4, abs=1)
    with_gap = margins(named(["L-0001"], **LABEL_GAP))["l"]
    assert with_gap - margins(named(["L-0001"]))["l"] == 7


def test_a_title_and_labels_above_take_room_on_their_own_side() -> None:
    plain = margins(named(["a"]))
    titled = named(["a"])
    titled.update_xaxes(title={"text": "R", "standoff": 8})
    assert margins(titled)["b"] - plain["b"] == 25
    titled.update_xaxes(side="top")
    assert (margins(titled)["b"], margins(titled)["t"]) == (0, margins(named(["a"]))["b"] + 25)


def test_days_take_two_lines_and_months_one() -> None:
    def of(days: int) -> float:
        start = datetime(2026, 1, 5, tzinfo=UTC)
        figure = go.Figure(go.Scatter(x=[start, start + timedelta(days=days)], y=[1.0, 2.0]))
        style(figure, DARK, height=200)
        date_axis(figure)
        return make_room(_sent(figure))["b"]

    assert of(30) - of(400) == pytest.approx(15.6, abs=1)


def test_names_of_one_axis_make_no_room_on_another() -> None:
    """Bars that begin at a date are measured along x: their dates are no names of rows."""
    figure = named(["L-0001"])
    figure.update_traces(base=["2026-01-01"])
    assert margins(figure)["l"] == margins(named(["L-0001"]))["l"]


def test_a_scale_of_colours_takes_room_where_it_is_shown() -> None:
    def of(**look: Any) -> float:
        figure = go.Figure(go.Heatmap(z=[[1.0]], x=["a"], y=["b"], colorbar={"xpad": 6}, **look))
        return margins(style(figure, DARK, height=200))["r"]

    assert of(showscale=False) == 0
    assert of() > 50


def test_what_a_figure_leaves_by_itself_is_kept() -> None:
    figure = named(["a"])
    figure.update_layout(margin={"l": 200, "t": 34})
    assert (margins(figure)["l"], margins(figure)["t"]) == (200, 34)


def test_a_kept_figure_is_sent_with_its_room() -> None:
    @kept_figure
    def drawn() -> go.Figure:
        return named(["a longer name of a row"])

    sent = drawn().to_dict()
    assert sent["layout"]["margin"]["l"] > 100
    assert sent["layout"]["yaxis"]["automargin"]  # where it is too little, Plotly makes more


def _sent(figure: go.Figure) -> dict[str, Any]:
    @kept_figure
    def drawn() -> go.Figure:
        return figure

    found: dict[str, Any] = drawn().to_dict()
    return found
