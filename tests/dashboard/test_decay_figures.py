"""What the charts of decay show, by value."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dashboard.figures.decay_weights import decay_weights, draw_decay_weights
from dashboard.figures.edge_decay import draw_edge_decay, edge_decay
from dashboard.figures.half_life_forest import draw_half_life_forest, half_life_forest
from dashboard.theme import DARK, LIGHT

START = datetime(2026, 1, 1, tzinfo=UTC)


def windows(edges: list[float], *, fitted: list[float] | None = None) -> pd.DataFrame:
    """A window a week; the fit, where there is one, at the last of them, 0.2 R wide."""
    fitted = fitted or []
    missing = [None] * (len(edges) - len(fitted))
    return pd.DataFrame(
        {
            "mean_closed_at": [START + timedelta(days=7 * i) for i in range(len(edges))],
            "n": [9] * len(edges),
            "edge_rr": edges,
            "se_rr": [0.1] * len(edges),
            "fitted_rr": [*missing, *fitted],
            "fitted_low_rr": [*missing, *(one - 0.1 for one in fitted)],
            "fitted_high_rr": [*missing, *(one + 0.1 for one in fitted)],
        }
    )


def segment(first: float, last: float, edge_rr: float, n: int = 80) -> dict[str, Any]:
    return {"from_days": first, "to_days": last, "windows": 9, "n": n, "edge_rr": edge_rr,
            "se_rr": 0.05}  # fmt: skip


def test_the_curve_stands_with_its_band_and_halves_where_it_says() -> None:
    shown = edge_decay(windows([1.0, 0.7, 0.5], fitted=[1.0, 0.71, 0.5]), half_life_days=14.0)
    assert shown.curve_rr == (1.0, 0.71, 0.5)
    assert shown.low_rr == pytest.approx((0.9, 0.61, 0.4))
    assert shown.halvings == (START + timedelta(days=14),)
    assert shown.reach_rr == pytest.approx((0.196,) * 3)
    assert "from +1.00 R to +0.50 R, halving every 14 days" in shown.alt
    figure = draw_edge_decay(shown, DARK)
    band, upper, curve, dots, bars = figure.data
    assert list(band.y) == list(shown.low_rr)
    assert (upper.fill, list(upper.y)) == ("tonexty", list(shown.high_rr))
    assert list(curve.y) == [1.0, 0.71, 0.5]
    assert list(dots.error_y.array) == pytest.approx([0.196] * 3)
    assert list(bars.y) == [9, 9, 9]
    assert [one.text for one in figure.layout.annotations] == ["1/2 left"]


def test_a_fit_without_a_half_life_marks_no_halving_and_says_so() -> None:
    shown = edge_decay(windows([0.5, 0.6], fitted=[0.55, 0.54]))
    assert shown.halvings == ()
    assert "a half-life is not identified" in shown.alt


def test_after_a_break_two_parts_stand_side_by_side_and_no_curve_crosses() -> None:
    frame = windows([1.0, 0.9, 0.2, 0.1], fitted=[0.2, 0.1])
    days = (START - datetime(1970, 1, 1, tzinfo=UTC)).days
    parts = [segment(days, days + 7, 0.95), segment(days + 14, days + 21, 0.15, n=1200)]
    shown = edge_decay(frame, segments=parts)
    assert [one.edge_rr for one in shown.parts] == [0.95, 0.15]
    assert shown.parts[1].start == START + timedelta(days=14)
    assert shown.curve_at[0] == START + timedelta(days=14)
    assert "a break of over 180 days between: +0.95 R (80 trades), then +0.15 R" in shown.alt
    figure = draw_edge_decay(shown, LIGHT)
    lines = [one for one in figure.data if one.type == "scatter" and one.line.dash == "dash"]
    assert [list(one.y) for one in lines] == [[0.95, 0.95], [0.15, 0.15]]
    told = [one.text for one in figure.layout.annotations]
    assert told == ["+0.95 ±0.10 R, n 80", "+0.15 ±0.10 R, n 1 200"]


def test_a_long_pause_takes_no_room_and_what_is_far_away_is_not_marked() -> None:
    frame = windows([1.0, 0.9, 0.2, 0.1])
    frame.loc[2:, "mean_closed_at"] += timedelta(days=700)
    late = (START + timedelta(days=3000), "found")
    shown = edge_decay(frame, marks=(late, (START + timedelta(days=8), "approved")))
    assert shown.breaks == ((START + timedelta(days=7), START + timedelta(days=714)),)
    assert [name for _, name in shown.marks] == ["approved"]
    [gap] = draw_edge_decay(shown, DARK).layout.xaxis.rangebreaks
    assert gap.bounds[0].startswith("2026-01-15")


def test_one_part_without_a_fit_shows_its_mean() -> None:
    shown = edge_decay(windows([0.4]), segments=[segment(20454, 20454, 0.4, n=9)])
    assert [one.n for one in shown.parts] == [9]
    assert "no curve was fitted" in shown.alt


def test_a_wild_week_stands_at_the_rim_and_flattens_nothing() -> None:
    shown = edge_decay(windows([0.1] * 30 + [40.0]))
    assert shown.limits_rr[1] < 1.0
    dots = next(
        one
        for one in draw_edge_decay(shown, DARK).data
        if one.type == "scatter" and one.mode == "markers"
    )
    assert dots.y[-1] < shown.limits_rr[1]
    assert (dots.marker.symbol[0], dots.marker.symbol[-1]) == ("circle", "triangle-up")
    assert "+40.00" in dots.customdata[-1]


def test_three_explanations_are_three_bars_and_the_likeliest_stands_out() -> None:
    shown = decay_weights({"p_decaying": 0.7, "p_constant": 0.25, "p_improving": 0.05})
    assert shown is not None
    assert dict(zip(shown.names, shown.shares, strict=True))["constant"] == 0.25
    assert shown.alt == "Posterior probability: decaying 70 %, constant 25 %, improving 5 %."
    (bars,) = draw_decay_weights(shown, DARK).data
    assert list(bars.text) == ["70 %", "25 %", "5 %"]
    assert list(bars.marker.color) == [DARK.accent, DARK.muted, DARK.muted]


def test_without_a_fit_nothing_is_weighed() -> None:
    assert decay_weights({"reason": "not identified: 4 windows with trades, 8 needed"}) is None


def half_lives() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": ["L-0001", "L-0002", "L-0003"],
            "setup": ["a.b.c · entry"] * 3,
            "context": ["phase <b>Good</b>", "everywhere", "everywhere"],
            "status": ["active", "proposed", "active"],
            "half_life_days": [np.nan, 60.0, np.nan],
            "ci_low_days": [30.0, 40.0, np.nan],
            "ci_high_days": [np.nan, 100.0, np.nan],
            "age_days": [12.0, np.nan, 3.0],
            "n": [90, 200, 20],
            "windows": [12.0, 30.0, np.nan],
        }
    )


def test_a_half_life_that_is_not_identified_has_no_number_and_no_end() -> None:
    shown = half_life_forest(half_lives())
    assert shown.labels == ("L-0002", "L-0001")
    assert shown.median_days == (60.0, None)
    assert shown.high_days == (100.0, math.inf)
    assert shown.n_left_out == 1
    assert "not identified, 95 % 30 d to no end" in shown.hover[1]
    assert "1 identified; the shortest is 60 days, L-0002" in shown.alt


def test_the_forest_draws_open_intervals_in_grey_to_the_rim() -> None:
    shown = half_life_forest(half_lives())
    figure = draw_half_life_forest(shown, DARK)
    closed, wide_open, dots, ages = figure.data
    assert list(closed.x) == [40.0, 100.0]
    assert (closed.line.color, closed.line.dash) == (DARK.violet, "solid")
    assert wide_open.x[1] == pytest.approx(10 ** figure.layout.xaxis.range[1])
    assert (wide_open.line.color, wide_open.line.dash) == (DARK.muted, "dot")
    assert list(dots.x) == [60.0, 30.0]
    assert list(dots.marker.symbol) == ["circle", "line-ns-open"]
    assert [one[0] for one in dots.customdata] == ["L-0002", "L-0001"]
    assert (list(ages.x), list(ages.y)) == ([12.0], ["L-0001"])
    assert "<b>Good" not in figure.to_json().replace("\\u003c", "<")
