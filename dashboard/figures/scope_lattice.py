"""The stored scopes of a setup: where each condition leads, against how many there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.theme import Palette, add_zero_line, kept_figure, safe_label, style


@dataclass(frozen=True)
class ScopeLattice:
    """One dot per stored scope: raw difference against the setup, by number of conditions.

    Attributes:
        delta_rr: Raw difference, R.
        depth: Number of conditions.
        size: Of the dot, by the trades.
        is_lesson: Whether the scope is a lesson.
        hover: What is said of it.
        scopes: The scopes themselves.
        path: Difference and depth of each step to the node that is looked at, from the setup on.
        alt: The chart in one sentence.
    """

    delta_rr: tuple[float, ...]
    depth: tuple[int, ...]
    size: tuple[float, ...]
    is_lesson: tuple[bool, ...]
    hover: tuple[str, ...]
    scopes: tuple[Mapping[str, Any], ...]
    path: tuple[tuple[float, int], ...]
    alt: str


def scope_lattice(
    scopes: pd.DataFrame,
    lessons: Mapping[str, str],
    *,
    path: Sequence[tuple[float, int]] = ((0.0, 0),),
) -> ScopeLattice:
    """Arrange stored scopes.

    Args:
        scopes: With scope, depth, n, delta_rr, se_rr, avg_rr.
        lessons: Label of the lesson of a scope, by the scope in words.
        path: Difference and depth of each step to the node that is looked at.
    """
    rows = scopes.to_dict("records")
    biggest = max((row["n"] for row in rows), default=1)
    names = [formats.scope(row["scope"]) for row in rows]
    found = sum(name in lessons for name in names)
    return ScopeLattice(
        delta_rr=tuple(float(row["delta_rr"]) for row in rows),
        depth=tuple(int(row["depth"]) for row in rows),
        size=tuple(5 + 12 * np.sqrt(row["n"] / biggest) for row in rows),
        is_lesson=tuple(name in lessons for name in names),
        hover=tuple(_told(*pair, lessons) for pair in zip(names, rows, strict=True)),
        scopes=tuple(row["scope"] for row in rows),
        path=tuple(path),
        alt=f"{formats.plural(len(rows), 'stored scope')} by number of conditions; "
        f"{formats.plural(found, 'lesson')} among them.",
    )


def _told(name: str, row: dict[Any, Any], lessons: Mapping[str, str]) -> str:
    said = lessons.get(name)
    return "<br>".join(
        (
            f"<b>{safe_label(name, longest=80)}</b>",
            f"raw difference {formats.signed(row['delta_rr'])}, own mean "
            f"{formats.signed(row['avg_rr'])}",
            formats.plural(int(row["n"]), "trade"),
            f"this is {said}" if said else "not a lesson: untested, or no more than chance",
        )
    )


@kept_figure
def draw_scope_lattice(shown: ScopeLattice, palette: Palette) -> go.Figure:
    """Draw the lattice: lessons and the way to the node in the accent colour, all else grey."""
    figure = go.Figure(_dots(shown, palette))
    style(figure, palette, height=300)
    add_zero_line(figure, palette, vertical=True)
    if len(shown.path) > 1:
        figure.add_trace(_way(shown, palette))
    depths = sorted({*shown.depth, *(depth for _, depth in shown.path)})
    figure.update_yaxes(
        tickvals=depths,
        ticktext=["setup" if d == 0 else f"{d} cond." for d in depths],
        showgrid=False,
        autorange="reversed",
    )
    figure.update_xaxes(
        title={"text": "raw difference against the setup (R)", "standoff": 8}, showgrid=True
    )
    return figure


def _dots(shown: ScopeLattice, palette: Palette) -> go.Scatter:
    jitter = np.random.default_rng(7).uniform(-0.28, 0.28, size=len(shown.depth))
    opacity = [0.95 if one else 0.35 for one in shown.is_lesson]
    return go.Scatter(
        x=shown.delta_rr,
        y=np.array(shown.depth) + jitter,
        mode="markers",
        marker={
            "size": shown.size,
            "color": [palette.accent if one else palette.muted for one in shown.is_lesson],
            "opacity": opacity,
            "line": {"width": 0},
        },
        unselected={"marker": {"opacity": 0.35}},
        customdata=[[told, i] for i, told in enumerate(shown.hover)],
        hovertemplate="%{customdata[0]}<extra></extra>",
    )


def _way(shown: ScopeLattice, palette: Palette) -> go.Scatter:
    return go.Scatter(
        x=[delta for delta, _ in shown.path],
        y=[depth for _, depth in shown.path],
        mode="lines+markers",
        line={"color": palette.accent, "width": 1.5},
        marker={"size": 8, "symbol": "diamond", "color": palette.accent},
        unselected={"marker": {"opacity": 1}},
        hoverinfo="skip",
    )
