"""An edge over time: each window on its own, never a running mean, with its trades below."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard import formats
from dashboard.figures.time_axis import date_axis, leave_out, long_pauses, within
from dashboard.theme import Palette, alpha, kept_figure, style

_Z95 = 1.96


@dataclass(frozen=True)
class EdgeOverTime:
    """What an edge history shows; ``reach`` is half the 95 % interval, 0 where there is none."""

    at: tuple[datetime, ...]
    edge_rr: tuple[float, ...]
    reach_rr: tuple[float, ...]
    n: tuple[int, ...]
    marks: tuple[tuple[datetime, str], ...]
    alt: str


def edge_over_time(
    windows: pd.DataFrame, *, marks: tuple[tuple[datetime, str], ...] = ()
) -> EdgeOverTime:
    """Arrange the windows of a history.

    Args:
        windows: With mean_closed_at, n, edge_rr and se_rr, in order of time.
        marks: Moments to be named, such as an approval.
    """
    at = tuple(windows["mean_closed_at"])
    se = pd.to_numeric(windows["se_rr"]).fillna(0.0) * _Z95
    edges = windows["edge_rr"].astype(float)
    positive = int((edges > 0).sum())
    return EdgeOverTime(
        at=at,
        edge_rr=tuple(edges),
        reach_rr=tuple(se.astype(float)),
        n=tuple(int(n) for n in windows["n"]),
        marks=within(marks, at),
        alt=f"Edge per window of time: {positive} of {len(windows)} windows are above 0.",
    )


@kept_figure
def draw_edge_over_time(shown: EdgeOverTime, palette: Palette, *, height: int = 240) -> go.Figure:
    """Draw a history: dots with their 95 % intervals, and bars of trades."""
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.76, 0.24], vertical_spacing=0.04
    )
    told = _told(shown)
    figure.add_trace(_dots(shown, palette, told), row=1, col=1)
    figure.add_trace(_bars(shown, palette, told), row=2, col=1)
    style(figure, palette, height=height)
    figure.add_hline(y=0, line={"color": palette.muted, "width": 1, "dash": "dot"}, row=1, col=1)
    figure.update_yaxes(nticks=3, row=2, col=1)
    figure.update_xaxes(nticks=6, tickangle=0)
    date_axis(figure)
    leave_out(figure, long_pauses(shown.at), palette)
    for at, name in shown.marks:
        figure.add_vline(x=at, line={"color": palette.warning, "width": 1}, row=1, col=1)
        figure.add_annotation(
            x=at, y=1, yref="y domain", text=name, showarrow=False, xanchor="left",
            font={"size": 11, "color": palette.warning},
        )  # fmt: skip
    return figure


def _told(shown: EdgeOverTime) -> list[str]:
    windows = zip(shown.at, shown.edge_rr, shown.reach_rr, shown.n, strict=True)
    return [
        f"{formats.utc(at, with_year=True)}<br>edge {formats.signed(edge)} ±{reach:.2f} R, "
        f"{formats.plural(n, 'trade')}"
        for at, edge, reach, n in windows
    ]


def _dots(shown: EdgeOverTime, palette: Palette, told: list[str]) -> go.Scatter:
    return go.Scatter(
        x=shown.at,
        y=shown.edge_rr,
        mode="markers",
        marker={"size": 7, "color": palette.accent},
        error_y={
            "type": "data",
            "array": shown.reach_rr,
            "width": 0,
            "thickness": 1.3,
            "color": alpha(palette.accent, 0.5),
        },
        customdata=told,
        hovertemplate="%{customdata}<extra></extra>",
    )


def _bars(shown: EdgeOverTime, palette: Palette, told: list[str]) -> go.Bar:
    return go.Bar(
        x=shown.at,
        y=shown.n,
        marker={"color": palette.muted, "line": {"width": 0}},
        opacity=0.6,
        customdata=told,
        hovertemplate="%{customdata}<extra></extra>",
    )
