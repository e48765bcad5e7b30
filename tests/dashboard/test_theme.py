"""What is drawn of the same values is drawn once."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io

from dashboard.figures.edge_map import draw_edge_map, edge_map
from dashboard.theme import DARK, LIGHT, Palette, kept_figure, style


@dataclass(frozen=True, slots=True)
class Shown:
    values: tuple[float, ...]


def test_the_same_values_are_drawn_once_and_others_anew() -> None:
    drawn: list[tuple[Shown, str, int]] = []

    @kept_figure
    def draw(shown: Shown, palette: Palette, *, height: int = 100) -> go.Figure:
        drawn.append((shown, palette.mode, height))
        return style(go.Figure(go.Scatter(y=shown.values)), palette, height=height)

    first = draw(Shown((1.0, 2.0)), DARK)
    assert draw(Shown((1.0, 2.0)), DARK) is first
    assert len(drawn) == 1
    others = (
        draw(Shown((1.0, 2.5)), DARK),
        draw(Shown((1.0, 2.0)), LIGHT),
        draw(Shown((1.0, 2.0)), DARK, height=120),
    )
    assert len({id(one) for one in (first, *others)}) == 4
    assert list(others[0].data[0].y) == [1.0, 2.5]
    assert others[2].layout.height == 120


def test_what_is_kept_of_a_figure_is_what_is_sent_of_it() -> None:
    def draw(shown: Shown, palette: Palette) -> go.Figure:
        bars = go.Bar(
            x=pd.date_range("2024-03-01", periods=3), y=np.array(shown.values), customdata=["a"] * 3
        )
        return style(go.Figure(bars), palette, height=100)

    once = draw(Shown((1.0, float("nan"), 2.5)), LIGHT)
    kept = kept_figure(draw)(Shown((1.0, float("nan"), 2.5)), LIGHT)
    assert json.loads(plotly.io.to_json(kept.to_dict(), validate=False)) == json.loads(
        plotly.io.to_json(once.to_dict(), validate=False)
    )
    assert kept.to_dict() is kept.to_dict()
    assert kept.layout.height == 100


def test_what_was_not_asked_for_lately_is_forgotten() -> None:
    drawn: list[float] = []

    @kept_figure
    def draw(value: float) -> go.Figure:
        drawn.append(value)
        return go.Figure()

    for value in range(40):
        draw(float(value))
    draw(0.0)
    draw(39.0)
    assert len(drawn) == 41


def test_rows_whose_long_names_begin_alike_stay_rows_of_their_own() -> None:
    setup = "pm.reversion.S0.a_very_long_name_of_a_failed_breakdown"
    cells = pd.DataFrame(
        {
            "setup": [f"{setup} · {done}" for done in ("add", "entry", "exit", "trim")],
            "bucket": "micro", "n": 100, "mean": 0.1, "delta": 0.1, "se": 0.1,
            "edge": [0.1, 0.2, 0.3, 0.4], "low": 0.0, "high": 0.5, "lesson": "",
        }
    )  # fmt: skip
    shown = edge_map(cells, row="setup", column="bucket", unit="R")
    assert len(set(shown.rows)) == 4
    assert [one.rpartition(" · ")[2] for one in shown.rows] == ["add", "entry", "exit", "trim"]
    heat = draw_edge_map(shown, DARK).data[0]
    assert len(set(heat.y)) == len(heat.z) == 4
