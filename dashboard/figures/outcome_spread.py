"""Outcomes inside a scope against those of the rest of its setup."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.theme import Palette, alpha, kept_figure, style

BINS = 40


@dataclass(frozen=True)
class OutcomeSpread:
    """Shares of trades per bin, inside and outside, with their means and trades."""

    at: npt.NDArray[np.float64]
    inside: npt.NDArray[np.float64]
    outside: npt.NDArray[np.float64]
    mean_inside: float | None
    mean_outside: float | None
    n_inside: int
    n_outside: int
    alt: str


def outcome_spread(bins: pd.DataFrame, *, low: float, high: float) -> OutcomeSpread:
    """Arrange counted outcomes.

    Args:
        bins: With is_inside, bin (0 below, 1 to 40, 41 above), n and total.
        low: Lower end of the bins.
        high: Upper end.
    """
    width = (high - low) / BINS
    inside, outside = bins[bins["is_inside"]], bins[~bins["is_inside"].astype(bool)]
    n_in, n_out = int(inside["n"].sum()), int(outside["n"].sum())
    mean_in = float(inside["total"].sum()) / n_in if n_in else None
    mean_out = float(outside["total"].sum()) / n_out if n_out else None
    return OutcomeSpread(
        at=np.asarray(low + width * (np.arange(BINS) + 0.5), dtype=np.float64),
        inside=_shares(inside),
        outside=_shares(outside),
        mean_inside=mean_in,
        mean_outside=mean_out,
        n_inside=n_in,
        n_outside=n_out,
        alt=f"Outcomes: mean {formats.signed(mean_in)} in {formats.plural(n_in, 'trade')} inside, "
        f"{formats.signed(mean_out)} in {formats.plural(n_out, 'trade')} outside.",
    )


def _shares(bins: pd.DataFrame) -> npt.NDArray[np.float64]:
    shares = np.zeros(BINS)
    # what lies beyond the ends is counted at the ends
    at = bins["bin"].astype(int).clip(1, BINS).to_numpy() - 1
    np.add.at(shares, at, bins["n"].to_numpy(float))
    scaled: npt.NDArray[np.float64] = shares / max(float(shares.sum()), 1.0)
    return scaled


@kept_figure
def draw_outcome_spread(shown: OutcomeSpread, palette: Palette) -> go.Figure:
    """Draw both as steps, with their means."""
    figure = go.Figure()
    looks = (
        ("rest of the setup", shown.outside, shown.mean_outside, palette.muted, shown.n_outside),
        ("in scope", shown.inside, shown.mean_inside, palette.accent, shown.n_inside),
    )
    for name, shares, mean, colour, n in looks:
        if n == 0:
            continue
        figure.add_trace(
            go.Scatter(
                x=shown.at, y=shares, mode="lines", name=f"{name}, {formats.plural(n, 'trade')}",
                line={"color": colour, "width": 1.6, "shape": "hvh"}, fill="tozeroy",
                fillcolor=alpha(colour, 0.15),
                hovertemplate="%{x:+.1f} R: %{y:.1%} of trades<extra>" + name + "</extra>",
            )
        )  # fmt: skip
        if mean is not None:
            figure.add_vline(x=mean, line={"color": colour, "width": 1.2, "dash": "dash"})
    style(figure, palette, height=240)
    figure.update_layout(showlegend=True, margin={"t": 36})
    figure.update_yaxes(tickformat=".0%", nticks=4)
    figure.update_xaxes(title={"text": "outcome (R); dashed: means", "standoff": 4})
    return figure
