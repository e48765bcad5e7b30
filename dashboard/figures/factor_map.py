"""Lessons on a map: those that match the same trades stand together, each setup by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.theme import Palette, kept_figure, safe_label, safe_labels, style

MOST_COLOURS = 4
_CELL = 1.7  # two strangers stand 1 apart
_MOST_NAMED = 16
_MOST_SVG = 2_000
_ABOVE = 16  # pixels from a lesson to the name of its setup
_FEW = 6
_SYMBOLS = {"active": "circle", "proposed": "diamond", "disabled": "x", "watch": "circle-open"}


@dataclass(frozen=True)
class FactorMap:
    """One point a lesson.

    Attributes:
        x: Across; setups stand side by side, distances hold within a setup.
        y: Down.
        size: Diameter by the root of the lesson's trades.
        status: Told by the symbol.
        factor: The factor that a point belongs to, told back when it is clicked.
        colour: Place of its factor among the largest with two members or more; absent: grey.
        is_chosen: Whether it belongs to the factor that was chosen.
        hover: What is said of each point.
        titles: Place and name of each setup, where there are some and not too many.
        alt: The chart in words.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    size: tuple[float, ...]
    status: tuple[str, ...]
    factor: tuple[str, ...]
    colour: tuple[int | None, ...]
    is_chosen: tuple[bool, ...]
    hover: tuple[str, ...]
    titles: tuple[tuple[float, float, str], ...]
    alt: str


def factor_map(
    lessons: pd.DataFrame, places: pd.DataFrame, *, chosen: str | None = None
) -> FactorMap:
    """Place lessons.

    Args:
        lessons: With id, label, setup, context, n, status, latent_factor_id, posterior_mean_rr,
            ci_low_rr and ci_high_rr.
        places: With id, setup, x and y: where each stands within its setup.
        chosen: The factor to stand out.
    """
    points = lessons.merge(places[["id", "x", "y"]], on="id")
    centres = _centres(points["setup"].drop_duplicates().tolist())
    colours = _colours(points["latent_factor_id"])
    rows = points.to_dict("records")
    return FactorMap(
        x=tuple(float(row["x"] + centres[row["setup"]][0]) for row in rows),
        y=tuple(float(row["y"] + centres[row["setup"]][1]) for row in rows),
        size=tuple(float(np.clip(math.sqrt(row["n"]) * 0.8, 7, 26)) for row in rows),
        status=tuple(row["status"] for row in rows),
        factor=tuple(row["latent_factor_id"] for row in rows),
        colour=tuple(colours.get(row["latent_factor_id"]) for row in rows),
        is_chosen=tuple(row["latent_factor_id"] == chosen for row in rows),
        hover=tuple(_told(row) for row in rows),
        titles=_titles(points, centres),
        alt=_in_words(points, colours),
    )


def _centres(setups: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Setups in rows, like the cells of a page."""
    across = max(1, math.ceil(math.sqrt(len(setups) * 1.6)))
    return {name: (_CELL * (i % across), -_CELL * (i // across)) for i, name in enumerate(setups)}


def _titles(
    points: pd.DataFrame, centres: Mapping[str, tuple[float, float]]
) -> tuple[tuple[float, float, str], ...]:
    """Name each setup above the highest of its lessons."""
    if not 1 < len(centres) <= _MOST_NAMED:
        return ()
    tops = points.groupby("setup")["y"].max()
    names = safe_labels(
        formats.without_common_end(centres), longest=36 if len(centres) <= 4 else 20
    )
    return tuple(
        (x, float(y + tops[setup]), name)
        for (setup, (x, y)), name in zip(centres.items(), names, strict=True)
    )


def _colours(factors: pd.Series) -> dict[str, int]:
    sizes = factors.value_counts()
    shared = sizes[sizes > 1].sort_index().sort_values(ascending=False, kind="stable")
    return {str(name): i for i, name in enumerate(shared.index[:MOST_COLOURS])}


def _told(row: Mapping[Any, Any]) -> str:
    return "<br>".join(
        (
            f"<b>{row['label']}</b> {row['status']}, {safe_label(row['setup'])}",
            safe_label(row["context"], longest=70),
            f"edge {formats.signed(row['posterior_mean_rr'])}, 95 % "
            + formats.interval(row["ci_low_rr"], row["ci_high_rr"])
            + f", {formats.plural(int(row['n']), 'trade')}",
            safe_label(row["latent_factor_id"], longest=60),
        )
    )


def _in_words(points: pd.DataFrame, colours: Mapping[str, int]) -> str:
    sizes = points["latent_factor_id"].value_counts()
    head = (
        f"Map of {formats.plural(len(points), 'lesson')} in {formats.plural(len(sizes), 'factor')}"
    )
    if not colours:
        return f"{head}: no two of them match the same trades."
    return f"{head}; the largest, {sizes.index[0]}, has {sizes.iloc[0]}."


@kept_figure
def draw_factor_map(shown: FactorMap, palette: Palette) -> go.Figure:
    """Draw the points, one trace, so that a click tells its lesson's factor."""
    scale = (palette.accent, palette.warning, palette.violet, palette.positive)
    colours = [palette.muted if one is None else scale[one] for one in shown.colour]
    kind = go.Scatter if len(shown.x) <= _MOST_SVG else go.Scattergl
    figure = go.Figure(
        kind(
            x=shown.x,
            y=shown.y,
            mode="markers",
            marker={
                "size": shown.size,
                "color": colours,
                "symbol": [_SYMBOLS.get(one, "circle-open") for one in shown.status],
                "opacity": 0.8,
                "line": {
                    "width": [2 if one else 1 for one in shown.is_chosen],
                    "color": [
                        palette.text if chosen else colour
                        for chosen, colour in zip(shown.is_chosen, colours, strict=True)
                    ],
                },
            },
            customdata=list(zip(shown.hover, shown.factor, strict=True)),
            hovertemplate="%{customdata[0]}<extra></extra>",
        )
    )
    are_strangers = len(shown.x) <= max(len(shown.titles), 1)
    style(figure, palette, height=220 if are_strangers and len(shown.x) <= _FEW else 380)
    figure.update_xaxes(visible=False, scaleanchor="y")
    figure.update_yaxes(visible=False)
    for x, y, name in shown.titles:
        figure.add_annotation(
            x=x, y=y, text=name, showarrow=False, yanchor="bottom", yshift=_ABOVE,
            font={"size": 11, "color": palette.muted},
        )  # fmt: skip
    return figure
