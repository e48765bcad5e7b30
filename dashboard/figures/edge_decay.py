"""How an edge went from week to week, and the decay that was fitted to it, if one was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard import formats
from dashboard.figures.time_axis import date_axis, leave_out, long_pauses, within
from dashboard.theme import Palette, alpha, kept_figure, style

_Z95 = 1.96
_MOST_HALVINGS = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Part:
    """The mean edge between two long breaks; ``reach_rr`` is half its 95 % interval, if known."""

    start: datetime
    end: datetime
    edge_rr: float
    reach_rr: float | None
    n: int


@dataclass(frozen=True)
class EdgeDecay:
    """Windows on their own, the curve through the last of them, the parts between breaks.

    Attributes:
        at: Mean close time of each window.
        edge_rr: Edge of each window, R.
        reach_rr: Half its 95 % interval, 0 where there is none.
        n: Trades of each window.
        curve_at: Where the curve is known; empty where nothing was fitted.
        curve_rr: The fitted edge, R, with ``low_rr`` and ``high_rr`` its 95 % band.
        parts: Mean edges side by side, where a break or a missing fit asks for them.
        halvings: Moments at which half, a quarter, an eighth of the first edge is left.
        limits_rr: What the axis shows; a window beyond is drawn at its rim.
        breaks: Long pauses between windows, from the end of one to the start of the next.
        marks: Moments to be named, where the windows reach to them.
        alt: The chart in words.
    """

    at: tuple[datetime, ...]
    edge_rr: tuple[float, ...]
    reach_rr: tuple[float, ...]
    n: tuple[int, ...]
    curve_at: tuple[datetime, ...]
    curve_rr: tuple[float, ...]
    low_rr: tuple[float, ...]
    high_rr: tuple[float, ...]
    parts: tuple[Part, ...]
    halvings: tuple[datetime, ...]
    limits_rr: tuple[float, float]
    breaks: tuple[tuple[datetime, datetime], ...]
    marks: tuple[tuple[datetime, str], ...]
    alt: str


def edge_decay(
    windows: pd.DataFrame,
    *,
    segments: Sequence[Mapping[str, Any]] = (),
    half_life_days: float | None = None,
    marks: tuple[tuple[datetime, str], ...] = (),
) -> EdgeDecay:
    """Arrange the windows of a lesson with its fit.

    Args:
        windows: With mean_closed_at, n, edge_rr, se_rr and the fitted edge with its band, in
            order of time.
        segments: Mean edges between breaks, as the job keeps them.
        half_life_days: Only where it is identified.
        marks: Moments to be named, such as an approval.
    """
    numbers = windows[["edge_rr", "se_rr", "fitted_rr", "fitted_low_rr", "fitted_high_rr"]]
    numbers = numbers.apply(pd.to_numeric).astype("float64")
    reach = (numbers["se_rr"].fillna(0.0) * _Z95).to_numpy()
    fitted = numbers["fitted_rr"].notna()
    at, curve_at = tuple(windows["mean_closed_at"]), tuple(windows["mean_closed_at"][fitted])
    parts = tuple(_part(one) for one in segments)
    return EdgeDecay(
        at=at,
        edge_rr=tuple(numbers["edge_rr"]),
        reach_rr=tuple(reach),
        n=tuple(int(n) for n in windows["n"]),
        curve_at=curve_at,
        curve_rr=tuple(numbers["fitted_rr"][fitted]),
        low_rr=tuple(numbers["fitted_low_rr"][fitted]),
        high_rr=tuple(numbers["fitted_high_rr"][fitted]),
        parts=parts if len(parts) > 1 or not curve_at else (),
        halvings=_halvings(curve_at, half_life_days),
        limits_rr=_limits(numbers, parts),
        breaks=long_pauses(at),
        marks=within(marks, at),
        alt=_in_words(numbers, windows["n"], parts, half_life_days),
    )


def _part(segment: Mapping[str, Any]) -> Part:
    se = segment.get("se_rr")
    return Part(
        start=_EPOCH + timedelta(days=segment["from_days"]),
        end=_EPOCH + timedelta(days=segment["to_days"]),
        edge_rr=segment["edge_rr"],
        reach_rr=None if se is None else se * _Z95,
        n=segment["n"],
    )


def _halvings(curve_at: Sequence[datetime], half_life_days: float | None) -> tuple[datetime, ...]:
    if not curve_at or half_life_days is None:
        return ()
    moments = (
        curve_at[0] + timedelta(days=half_life_days * k) for k in range(1, _MOST_HALVINGS + 1)
    )
    return tuple(one for one in moments if one <= curve_at[-1])


def _limits(numbers: pd.DataFrame, parts: Sequence[Part]) -> tuple[float, float]:
    """A few thin weeks must not flatten the rest: the axis shows 90 % of them, and the curve."""
    if numbers.empty:
        return -1.0, 1.0
    low, high = np.quantile(numbers["edge_rr"], [0.05, 0.95])
    known = [one.edge_rr for one in parts]
    low = min(low, numbers["fitted_low_rr"].min(skipna=True), *known, 0.0)
    high = max(high, numbers["fitted_high_rr"].max(skipna=True), *known, 0.0)
    low, high = np.nanmin([low, 0.0]), np.nanmax([high, 0.0])
    room = 0.12 * max(high - low, 0.1)
    return float(low - room), float(high + room)


def _in_words(
    numbers: pd.DataFrame,
    n: pd.Series,
    parts: Sequence[Part],
    half_life_days: float | None,
) -> str:
    total = formats.plural(int(n.sum()), "trade")
    head = f"Edge per week: {formats.plural(len(numbers), 'window')}, {total}"
    if len(parts) > 1:
        told = ", then ".join(
            f"{formats.signed(one.edge_rr)} ({formats.plural(one.n, 'trade')})" for one in parts
        )
        head += f"; with a break of over 180 days between: {told}"
    fitted = numbers["fitted_rr"].dropna()
    if fitted.empty:
        return f"{head}; no curve was fitted."
    curve = f"{formats.signed(fitted.iloc[0])} to {formats.signed(fitted.iloc[-1])}"
    if half_life_days is None:
        return f"{head}; the fitted edge runs from {curve}, a half-life is not identified."
    return f"{head}; the fitted edge falls from {curve}, halving every {half_life_days:.0f} days."


@kept_figure
def draw_edge_decay(shown: EdgeDecay, palette: Palette, *, height: int = 320) -> go.Figure:
    """Draw windows with their intervals, the curve with its band, and bars of trades."""
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.8, 0.2], vertical_spacing=0.04
    )
    told = _told(shown)
    for trace in (*_band(shown, palette), *_part_lines(shown, palette)):
        figure.add_trace(trace, row=1, col=1)
    figure.add_trace(_dots(shown, palette, told), row=1, col=1)
    figure.add_trace(_bars(shown, palette, told), row=2, col=1)
    style(figure, palette, height=height)
    figure.add_hline(y=0, line={"color": palette.muted, "width": 1, "dash": "dot"}, row=1, col=1)
    figure.update_yaxes(range=list(shown.limits_rr), row=1)
    figure.update_yaxes(range=None, nticks=3, row=2)
    figure.update_xaxes(nticks=6, tickangle=0)
    date_axis(figure)
    _add_moments(figure, shown, palette)
    _add_parts(figure, shown, palette)
    figure.update_layout(margin={"t": 18})
    return figure


def _told(shown: EdgeDecay) -> list[str]:
    windows = zip(shown.at, shown.edge_rr, shown.reach_rr, shown.n, strict=True)
    return [
        f"week of {formats.utc(at, with_year=True)}<br>edge {formats.signed(edge)} "
        f"±{reach:.2f} R, {formats.plural(n, 'trade')}"
        for at, edge, reach, n in windows
    ]


def _band(shown: EdgeDecay, palette: Palette) -> list[go.Scatter]:
    if not shown.curve_at:
        return []
    edge = {"width": 0, "color": palette.accent}
    hidden = {"x": shown.curve_at, "mode": "lines", "line": edge, "hoverinfo": "skip"}
    told = [
        f"{formats.utc(at, with_year=True)}<br>fitted {formats.signed(mid)}, 95 % "
        + formats.interval(low, high)
        for at, mid, low, high in zip(
            shown.curve_at, shown.curve_rr, shown.low_rr, shown.high_rr, strict=True
        )
    ]
    return [
        go.Scatter(y=shown.low_rr, **hidden),
        go.Scatter(
            y=shown.high_rr, fill="tonexty", fillcolor=alpha(palette.accent, 0.15), **hidden
        ),
        go.Scatter(
            x=shown.curve_at, y=shown.curve_rr, mode="lines",
            line={"width": 2.2, "color": palette.accent},
            customdata=told, hovertemplate="%{customdata}<extra></extra>",
        ),
    ]  # fmt: skip


def _part_lines(shown: EdgeDecay, palette: Palette) -> list[go.Scatter]:
    """The mean of each part as a level line; nothing crosses the gap between two."""
    return [
        go.Scatter(
            x=[one.start, one.end], y=[one.edge_rr, one.edge_rr], mode="lines",
            line={"width": 1.8, "color": palette.violet, "dash": "dash"}, hoverinfo="skip",
        )
        for one in shown.parts
    ]  # fmt: skip


def _part_label(part: Part) -> str:
    reach = "" if part.reach_rr is None else f" ±{part.reach_rr:.2f}"
    return f"{formats.signed(part.edge_rr, unit='')}{reach} R, n {formats.count(part.n)}"


def _dots(shown: EdgeDecay, palette: Palette, told: list[str]) -> go.Scatter:
    low, high = shown.limits_rr
    edge = np.array(shown.edge_rr)
    rim = 0.015 * (high - low)
    symbols = np.where(edge > high, "triangle-up", np.where(edge < low, "triangle-down", "circle"))
    return go.Scatter(
        x=shown.at,
        y=np.clip(edge, low + rim, high - rim),
        mode="markers",
        marker={
            "size": np.clip(np.sqrt(shown.n) * 1.2, 4.0, 8.0),
            "symbol": symbols,
            "color": palette.muted,
            "opacity": 0.85,
            "line": {"width": 0},
        },
        error_y={
            "type": "data",
            "array": shown.reach_rr,
            "width": 0,
            "thickness": 1,
            "color": alpha(palette.muted, 0.38),
        },
        customdata=told,
        hovertemplate="%{customdata}<extra></extra>",
    )


def _bars(shown: EdgeDecay, palette: Palette, told: list[str]) -> go.Bar:
    return go.Bar(
        x=shown.at,
        y=shown.n,
        marker={"color": palette.muted, "line": {"width": 0}},
        opacity=0.5,
        customdata=told,
        hovertemplate="%{customdata}<extra></extra>",
    )


def _add_moments(figure: go.Figure, shown: EdgeDecay, palette: Palette) -> None:
    named = [(at, f"1/{2**k} left", palette.accent) for k, at in enumerate(shown.halvings, start=1)]
    named += [(at, name, palette.warning) for at, name in shown.marks]
    for at, name, colour in named:
        line = {"color": colour, "width": 1, "dash": "dot"}
        figure.add_vline(x=at, line=line, row=1, col=1)
        figure.add_annotation(
            x=at, y=1, yref="y domain", text=name, showarrow=False, xanchor="left",
            yanchor="bottom", font={"size": 11, "color": colour},
        )  # fmt: skip


def _add_parts(figure: go.Figure, shown: EdgeDecay, palette: Palette) -> None:
    """Name each part below it, and leave the pauses between them out of the axis."""
    leave_out(figure, shown.breaks, palette)
    for one in shown.parts:
        figure.add_annotation(
            x=one.start, y=0, yref="y domain", text=_part_label(one), showarrow=False,
            xanchor="left", yanchor="bottom", font={"size": 11, "color": palette.violet},
            bgcolor=alpha(palette.background, 0.75),
        )  # fmt: skip
