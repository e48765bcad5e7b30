"""How far the context of recent trades has moved from that of the trades before them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.theme import LABEL_GAP, Palette, kept_figure, safe_label, safe_labels, style

THRESHOLD = 0.25  # the usual limit of the index: above it, another population
LEAST_TRADES = 30


@dataclass(frozen=True)
class ContextDrift:
    """The index of each dimension, the largest last; what the hover says."""

    dims: tuple[str, ...]
    index: tuple[float, ...]
    hover: tuple[str, ...]
    n_recent: int
    n_before: int
    alt: str


def population_stability(recent: npt.NDArray[np.float64], before: npt.NDArray[np.float64]) -> float:
    """Return the population stability index of two distributions over the same levels.

    The sum over levels of (p − q) ln(p / q): 0 for equal shares, above 0.25 by custom another
    population. Half a trade is added to each level, so that one that is new stays finite; without
    any shift it lies near (levels − 1)(1/n + 1/m).

    Args:
        recent: Shape (k,), trades per level.
        before: Shape (k,), likewise.

    References:
        Siddiqi (2006), Credit Risk Scorecards, chapter 11.

    Examples:
        >>> population_stability(np.array([50.0, 50.0]), np.array([500.0, 500.0]))
        0.0
        >>> round(population_stability(np.array([90.0, 10.0]), np.array([500.0, 500.0])), 2)
        0.85
    """
    p = (recent + 0.5) / (recent + 0.5).sum()
    q = (before + 0.5) / (before + 0.5).sum()
    return float(np.sum((p - q) * np.log(p / q)))


def context_drift(levels: pd.DataFrame) -> ContextDrift | None:
    """Compare recent trades with those before, dimension by dimension.

    Args:
        levels: With dimension, level (None: absent), recent and before: counted trades.

    Returns:
        None where there are fewer than 30 trades on either side.
    """
    if levels.empty:
        return None
    totals = levels.groupby("dimension")[["recent", "before"]].sum()
    n_recent, n_before = int(totals["recent"].max()), int(totals["before"].max())
    if min(n_recent, n_before) < LEAST_TRADES:
        return None
    found = []
    for dim, part in levels.groupby("dimension", sort=False):
        if part["level"].notna().any():  # a dimension that no trade has cannot move
            recent, before = (part[name].to_numpy(dtype=float) for name in ("recent", "before"))
            found.append((population_stability(recent, before), str(dim), _moved_most(part)))
    found.sort()
    above = [dim for index, dim, _ in found if index > THRESHOLD]
    return ContextDrift(
        dims=tuple(dim for _, dim, _ in found),
        index=tuple(index for index, _, _ in found),
        hover=tuple(told for _, _, told in found),
        n_recent=n_recent,
        n_before=n_before,
        alt=f"{formats.plural(len(found), 'dimension')}; beyond {THRESHOLD}: "
        f"{', '.join(above) or 'none'}.",
    )


def _moved_most(part: pd.DataFrame) -> str:
    """The level whose share changed most, with both shares."""
    recent, before = part["recent"] / part["recent"].sum(), part["before"] / part["before"].sum()
    place = int((recent - before).abs().to_numpy().argmax())
    level = part["level"].iloc[place]
    name = "absent" if level is None or pd.isna(level) else safe_label(level)
    told = (
        f"{formats.share(float(before.iloc[place]))} → {formats.share(float(recent.iloc[place]))}"
    )
    return f"{name}: {told}"


def _values(shown: ContextDrift, names: list[str]) -> go.Scatter:
    """Write each value beside its bar, and none across the line of the threshold."""
    return go.Scatter(
        x=[max(one, THRESHOLD) for one in shown.index],
        y=names,
        text=[f"{one:.2f}" for one in shown.index],
        mode="markers+text",
        marker={"size": 8, "opacity": 0},  # keeps the text off bar and line
        textposition="middle right",
        cliponaxis=False,
        hoverinfo="skip",
    )


@kept_figure
def draw_context_drift(shown: ContextDrift, palette: Palette) -> go.Figure:
    """Draw a bar per dimension, its value beside it, and the line of the threshold."""
    colours = [palette.warning if one > THRESHOLD else palette.accent for one in shown.index]
    names = safe_labels(shown.dims)
    bars = go.Bar(
        x=list(shown.index),
        y=names,
        orientation="h",
        marker={"color": colours, "line": {"width": 0}},
        customdata=list(shown.hover),
        hovertemplate="%{y}: %{x:.3f}<br>moved most: %{customdata}<extra></extra>",
    )
    figure = go.Figure([bars, _values(shown, names)])
    style(figure, palette, height=100 + 24 * len(shown.dims))
    line = {"color": palette.muted, "width": 1, "dash": "dot"}
    figure.add_vline(x=THRESHOLD, line=line, layer="below")
    figure.add_annotation(
        x=THRESHOLD, y=1, yref="paper", yanchor="bottom", showarrow=False, text=f"{THRESHOLD}",
        font={"color": palette.muted},
    )  # fmt: skip
    largest = max(*shown.index, THRESHOLD) if shown.index else THRESHOLD
    figure.update_xaxes(range=[0, 1.15 * largest], title_text="population stability index")
    figure.update_yaxes(showgrid=False, tickmode="linear", **LABEL_GAP)
    figure.update_layout(margin={"t": 24, "b": 44})
    return figure
