"""Outcomes of treated and held-out trades, one above the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.theme import Palette, add_zero_line, alpha, kept_figure, style

ARMS = ("treated", "held out")
CUT = 0.99  # outcomes beyond are drawn at the quantile, as the comparison cuts them


@dataclass(frozen=True)
class ArmSpread:
    """Outcomes by arm, cut at their common 99 % quantile, with mean and n of each."""

    rr: Mapping[str, npt.NDArray[np.float64]]
    mean_rr: Mapping[str, float]
    cut_rr: float
    alt: str


def arm_spread(trades: pd.DataFrame) -> ArmSpread:
    """Arrange the trades of one override.

    Args:
        trades: At least one, with rr and treated.
    """
    rr = trades["rr"].to_numpy(np.float64)
    cut = float(np.quantile(rr, CUT))
    low = float(np.quantile(rr, 1 - CUT))
    treated = trades["treated"].to_numpy(bool)
    shown = np.clip(rr, low, cut)
    arms = {"treated": shown[treated], "held out": shown[~treated]}
    means = {name: float(values.mean()) for name, values in arms.items() if len(values)}
    told = "; ".join(
        f"{name} {formats.plural(len(arms[name]), 'trade')}, mean {formats.signed(mean)}"
        for name, mean in means.items()
    )
    return ArmSpread(arms, means, cut, f"Outcomes by arm: {told}.")


@kept_figure
def draw_arm_spread(shown: ArmSpread, palette: Palette, *, height: int = 240) -> go.Figure:
    """Draw a violin with its box for each arm; the mean is the dotted line within."""
    colours = {"treated": palette.accent, "held out": palette.muted}
    figure = go.Figure(
        [
            _violin(f"{name}, n {len(values)}", values, colours[name])
            for name, values in shown.rr.items()
            if len(values)
        ]
    )
    style(figure, palette, height=height)
    add_zero_line(figure, palette, vertical=True)
    figure.update_yaxes(showgrid=False)
    figure.update_xaxes(showgrid=True, title={"text": "outcome (R)", "standoff": 8})
    return figure


def _violin(name: str, values: npt.NDArray[np.float64], colour: str) -> go.Violin:
    return go.Violin(
        x=values,
        name=name,
        orientation="h",
        side="positive",
        width=1.5,
        points=False,
        box={"visible": True, "width": 0.12},
        meanline={"visible": True},
        line={"color": colour, "width": 1.4},
        fillcolor=alpha(colour, 0.2),
        spanmode="hard",
        hoverinfo="x+name",
    )
