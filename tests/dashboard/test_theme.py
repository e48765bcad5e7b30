"""What is drawn of the same values is drawn once."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io
import pytest

from dashboard import theme
from dashboard.figures.edge_map import Layer, draw_edge_map, edge_map
from dashboard.figures.margins import make_room
from dashboard.figures.regime_weight_map import draw_regime_weight_map, regime_weight_map
from dashboard.theme import DARK, LIGHT, Palette, between, contrast, kept_figure, style


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
    once.update_layout(margin=make_room(once.to_plotly_json()))
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


# ------------------------------------------------------------------ what can be read
READS = 4.5  # to one, WCAG 2.2 for text of this size


def a_row_of_edges() -> pd.DataFrame:
    """Edges over the whole scale, a cell each, all of them lessons."""
    edges = np.linspace(-0.5, 0.5, 41)
    return pd.DataFrame(
        {
            "setup": "a.b · entry", "bucket": [f"b{i:02d}" for i in range(len(edges))],
            "n": np.arange(30, 30 + len(edges)), "mean": edges, "delta": edges, "se": 0.01,
            "edge": edges, "low": edges, "high": edges, "lesson": "L-0001",
            "q_value": np.geomspace(1e-4, 1.0, len(edges)),
        }
    )  # fmt: skip


def colour_of(heat: go.Heatmap, value: float) -> str:
    """The colour of a cell, by the scale that the browser is sent."""
    share = (value - heat.zmin) / (heat.zmax - heat.zmin)
    return between([(place, colour) for place, colour in heat.colorscale], share)


@pytest.mark.parametrize("palette", [DARK, LIGHT])
@pytest.mark.parametrize("layer", ["edge", "n", "q"])
def test_every_number_on_a_map_reads_on_its_cell(palette: Palette, layer: Layer) -> None:
    shown = edge_map(a_row_of_edges(), row="setup", column="bucket", unit="R", layer=layer)
    heat, *texts, _ = draw_edge_map(shown, palette).data
    of_column = dict(zip(heat.x, heat.z[0], strict=True))
    read = [
        contrast(text.textfont.color, colour_of(heat, of_column[column]))
        for text in texts
        for column in text.x
    ]
    assert len(read) == 41
    assert min(read) >= READS


@pytest.mark.parametrize("palette", [DARK, LIGHT])
def test_every_weight_reads_on_its_cell(palette: Palette) -> None:
    weights = pd.DataFrame(
        {
            "regime_signature": [f"macro={i:02d}" for i in range(11)],
            **{name: np.linspace(0.5, 1.5, 11) for name in
               ("time_efficiency", "field_coherence", "recurrence", "variance")},
            "n_samples": 90, "confidence": 1.0, "reason": None,
        }
    )  # fmt: skip
    heat, texts = draw_regime_weight_map(regime_weight_map(weights), palette).data
    read = [
        contrast(colour, colour_of(heat, weight))
        for colour, weight in zip(texts.textfont.color, heat.z.ravel(), strict=True)
    ]
    assert min(read) >= READS


def test_the_axes_of_a_map_end_where_its_cells_do() -> None:
    shown = edge_map(a_row_of_edges(), row="setup", column="bucket", unit="R")
    layout = draw_edge_map(shown, DARK).layout
    assert tuple(layout.yaxis.range) == (0.5, -0.5)  # the first row on top
    assert tuple(layout.xaxis.range) == (-0.5, 40.5)


@pytest.mark.parametrize("palette", [DARK, LIGHT])
def test_what_is_small_and_faded_still_reads(palette: Palette) -> None:
    """Streamlit writes captions at 60 % of the text's strength."""
    config = Path(theme.__file__).with_name(".streamlit") / "config.toml"
    told = tomllib.loads(config.read_text())["theme"][palette.mode]
    assert told["textColor"] == palette.text
    for background in (told["backgroundColor"], told["sidebar"]["backgroundColor"]):
        caption = between([(0.0, background), (1.0, told["textColor"])], 0.6)
        assert contrast(caption, background) >= READS
