"""An effect as it came about: a line, its 95 % band from where it may be told, and decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import plotly.graph_objects as go

from dashboard import formats
from dashboard.figures.time_axis import date_axis
from dashboard.theme import LABEL_GAP, Palette, add_zero_line, alpha, kept_figure, safe_label, style
from learning.overrides.effect_path import EffectPath

MOST_MARKS = 6
Mark = tuple[datetime, str]


@dataclass(frozen=True)
class EffectOverTime:
    """What is drawn.

    Attributes:
        at: Moment of each point.
        value: R in all, or R per trade.
        low: Lower end of the band, from ``band_from`` on.
        high: Upper end.
        band_from: Index of the first point that has a band; len(at) where none has.
        n: Trades behind each point.
        marks: Decisions within the time shown.
        unit: Of the values.
        alt: The chart in one sentence.
    """

    at: tuple[datetime, ...]
    value: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    band_from: int
    n: tuple[int, ...]
    marks: tuple[Mark, ...]
    unit: str
    alt: str


def effect_over_time(
    path: EffectPath, *, cumulative: bool, marks: Sequence[Mark] = ()
) -> EffectOverTime:
    """Arrange the path of an effect.

    Args:
        path: At least one point.
        cumulative: Whether sums are shown, in R; else means, in R per trade.
        marks: Decisions with their names; those outside the time shown are left out.
    """
    points = path.points
    ranges = [
        one.total_range_rr if cumulative else _range(one.low_rr, one.high_rr) for one in points
    ]
    band_from = next((i for i, one in enumerate(ranges) if one is not None), len(points))
    band = [one for one in ranges[band_from:] if one is not None]
    at = tuple(_moment(one.at_days) for one in points)
    value = tuple(one.total_rr if cumulative else one.estimate_rr for one in points)
    unit = "R" if cumulative else "R per trade"
    last = band[-1] if band else None
    return EffectOverTime(
        at=at,
        value=value,
        low=tuple(low for low, _ in band),
        high=tuple(high for _, high in band),
        band_from=band_from,
        n=tuple(one.n for one in points),
        marks=tuple(grouped(marks, start=at[0], end=at[-1])),
        unit=unit,
        alt=_in_words(value[-1], last, path, unit),
    )


def _range(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)


def _moment(days: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=days)


def _in_words(value: float, band: tuple[float, float] | None, path: EffectPath, unit: str) -> str:
    n = path.points[-1].n
    head = f"Effect {formats.signed(value, unit=unit)} after {formats.plural(n, 'trade')}"
    if band is None:
        return f"{head}; an interval begins at {path.starts_at} {path.unit}, {path.n_units} so far."
    return f"{head}, 95 % {formats.interval(*band, unit=unit)}."


def grouped(marks: Sequence[Mark], *, start: datetime, end: datetime) -> list[Mark]:
    """Return the marks within a time, those that would print over each other as one.

    Examples:
        >>> day = datetime(2026, 1, 1, tzinfo=UTC)
        >>> year = timedelta(days=365)
        >>> marks = [(day, "L-1 approved"), (day + timedelta(hours=1), "L-2 approved"),
        ...          (day + year / 2, "L-1 disabled"), (day + 2 * year, "L-3 approved")]
        >>> [name for _, name in grouped(marks, start=day, end=day + year)]
        ['2 approved', 'L-1 disabled']
    """
    inside = sorted(one for one in marks if start <= one[0] <= end)
    apart = max((end - start) / (MOST_MARKS + 1), timedelta(seconds=1))
    groups: list[list[Mark]] = []
    for one in inside:
        if groups and one[0] - groups[-1][0][0] < apart:
            groups[-1].append(one)
        else:
            groups.append([one])
    return [(group[0][0], group[0][1] if len(group) == 1 else _several(group)) for group in groups]


def _several(group: Sequence[Mark]) -> str:
    verbs = {name.rpartition(" ")[2] for _, name in group}
    return f"{len(group)} {verbs.pop() if len(verbs) == 1 else 'decisions'}"


@kept_figure
def draw_effect_over_time(
    shown: EffectOverTime, palette: Palette, *, height: int = 260
) -> go.Figure:
    """Draw the line with its band, nothing gained as a dotted line, decisions as upright ones."""
    figure = go.Figure()
    for trace in _band(shown, palette):
        figure.add_trace(trace)
    figure.add_trace(_line(shown, palette))
    style(figure, palette, height=height, hover="x unified")
    add_zero_line(figure, palette, vertical=False)
    figure.update_yaxes(title={"text": shown.unit, "standoff": 16}, **LABEL_GAP)
    _add_marks(figure, shown, palette)
    date_axis(figure)
    return figure


def _band(shown: EffectOverTime, palette: Palette) -> list[go.Scatter]:
    if not shown.low:
        return []
    at = list(shown.at[shown.band_from :])
    plain = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "x": at}
    return [
        go.Scatter(y=list(shown.low), **plain),
        go.Scatter(
            y=list(shown.high), fill="tonexty", fillcolor=alpha(palette.accent, 0.15), **plain
        ),
    ]


def _line(shown: EffectOverTime, palette: Palette) -> go.Scatter:
    no_band = ["no interval yet"] * shown.band_from
    band = [
        f"95 % {formats.interval(low, high, unit=shown.unit)}"
        for low, high in zip(shown.low, shown.high, strict=True)
    ]
    told = [f"{formats.plural(n, 'trade')}, {r}"
            for n, r in zip(shown.n, no_band + band, strict=True)]  # fmt: skip
    return go.Scatter(
        x=list(shown.at),
        y=list(shown.value),
        mode="lines+markers" if len(shown.at) < 12 else "lines",
        line={"color": palette.accent, "width": 2},
        marker={"size": 5},
        customdata=told,
        hovertemplate=f"%{{y:+.2f}} {shown.unit}<br>%{{customdata}}<extra></extra>",
    )


def _add_marks(figure: go.Figure, shown: EffectOverTime, palette: Palette) -> None:
    middle = shown.at[0] + (shown.at[-1] - shown.at[0]) * 0.75
    for at, name in shown.marks:
        figure.add_vline(x=at, line={"color": palette.warning, "width": 1})
        figure.add_annotation(
            x=at, y=1, yref="y domain", text=safe_label(name, longest=24), showarrow=False,
            xanchor="right" if at > middle else "left", yanchor="bottom",
            font={"size": 11, "color": palette.warning},
        )  # fmt: skip
    if shown.marks:
        figure.update_layout(margin={"t": 20})
