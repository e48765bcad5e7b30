"""The same past trades as they were, and as they would have been with another size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.theme import Palette, add_zero_line, alpha, style

MOST_POINTS = 800


@dataclass(frozen=True)
class WhatIf:
    """Cumulative R as traded and with the multiplier, with the worst fall of each."""

    at: tuple[datetime, ...]
    traded: npt.NDArray[np.float64]
    changed: npt.NDArray[np.float64]
    fall_traded: float
    fall_changed: float
    n: int
    alt: str


def what_if(trades: pd.DataFrame, *, multiplier: float) -> WhatIf:
    """Replay trades with a size multiplier: R stays what it is, the stake is what changes.

    Args:
        trades: With closed_at and rr, in any order.
        multiplier: Of the size.
    """
    ordered = trades.sort_values("closed_at")
    traded = np.cumsum(ordered["rr"].to_numpy(np.float64))
    changed = multiplier * traded
    falls = worst_fall(traded), worst_fall(changed)
    keep = np.unique(np.linspace(0, len(traded) - 1, min(len(traded), MOST_POINTS)).astype(int))
    return WhatIf(
        at=tuple(ordered["closed_at"].iloc[keep]),
        traded=traded[keep],
        changed=changed[keep],
        fall_traded=falls[0],
        fall_changed=falls[1],
        n=len(traded),
        alt=f"Cumulative {formats.signed(traded[-1])} as traded, {formats.signed(changed[-1])} "
        f"with size ×{multiplier:.2f}; worst fall {formats.signed(falls[1])} instead of "
        f"{formats.signed(falls[0])}; {formats.plural(len(traded), 'trade')}.",
    )


def worst_fall(total: npt.NDArray[np.float64]) -> float:
    """Return the deepest fall of a running total below its highest point so far, at most 0.

    Examples:
        >>> worst_fall(np.array([1.0, 3.0, 0.5, 2.0]))
        -2.5
        >>> worst_fall(np.array([-1.0, -2.0]))
        -2.0
    """
    highest = np.maximum.accumulate(np.maximum(total, 0.0))
    return float((total - highest).min(initial=0.0))


def draw_what_if(shown: WhatIf, palette: Palette) -> go.Figure:
    """Draw both running totals and what lies between."""
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(x=shown.at, y=shown.traded, mode="lines", name="as traded",
                   line={"color": palette.muted, "width": 1.4})
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(x=shown.at, y=shown.changed, mode="lines", name="with the new size",
                   line={"color": palette.accent, "width": 1.8}, fill="tonexty",
                   fillcolor=alpha(palette.accent, 0.15))
    )  # fmt: skip
    figure.update_traces(hovertemplate="%{y:+.1f} R")
    style(figure, palette, height=240, hover="x unified")
    add_zero_line(figure, palette, vertical=False)
    figure.update_layout(showlegend=True, margin={"t": 30})
    return figure
