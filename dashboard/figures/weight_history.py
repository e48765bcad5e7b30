"""How the weights of one regime moved: a line for each score, with the band of what is learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.figures.regime_weight_map import SCORES
from dashboard.figures.time_axis import date_axis
from dashboard.theme import Palette, alpha, kept_figure, style

_LOWEST, _HIGHEST = 0.5, 1.5
_DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True)
class ScoreLine:
    """One score's weight over time; a weight that was not learned is 1 and has no band."""

    name: str
    weight: tuple[float, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


@dataclass(frozen=True)
class WeightHistory:
    """The weights of one regime, each of which holds from its day until the next one.

    Attributes:
        days: When weights were kept, and at the end the day up to which the last ones hold.
        lines: Those that ever differed from 1; none: nothing was learned yet.
        n: Lesson-segments behind the weights of each day.
        n_neutral: Scores that were 1 all the time.
        alt: The chart in words.
    """

    days: tuple[date, ...]
    lines: tuple[ScoreLine, ...]
    n: tuple[int, ...]
    n_neutral: int
    alt: str


def weight_history(kept: pd.DataFrame, *, until: date) -> WeightHistory:
    """Arrange what was kept of one regime.

    Args:
        kept: In order of time, with learned_on, weights, intervals and n_samples.
        until: The day of the last run: the last weights hold up to it.
    """
    rows = kept.to_dict("records")
    if rows:
        rows.append({**rows[-1], "learned_on": max(until, rows[-1]["learned_on"])})
    lines = [_line(rows, name) for name in SCORES]
    moved = tuple(one for one in lines if any(weight != 1.0 for weight in one.weight))
    return WeightHistory(
        days=tuple(row["learned_on"] for row in rows),
        lines=moved,
        n=tuple(int(row["n_samples"]) for row in rows),
        n_neutral=len(lines) - len(moved),
        alt=_in_words(rows, moved),
    )


def _line(rows: Sequence[Mapping[Any, Any]], name: str) -> ScoreLine:
    intervals = [row["intervals"].get(name) or (None, None) for row in rows]
    return ScoreLine(
        name=SCORES[name],
        weight=tuple(float(row["weights"].get(name, 1.0)) for row in rows),
        low=tuple(low for low, _ in intervals),
        high=tuple(high for _, high in intervals),
    )


def _in_words(rows: Sequence[Mapping[Any, Any]], moved: Sequence[ScoreLine]) -> str:
    if not rows:
        return "No weight was kept yet."
    span = f"{rows[0]['learned_on']:%d %b %Y} to {rows[-1]['learned_on']:%d %b %Y}"
    told = "; ".join(f"{one.name} now {_told(one, -1)}" for one in moved)
    return f"Weights of one regime, {span}: {told or 'every one was 1 all the time'}."


def _told(line: ScoreLine, at: int) -> str:
    low, high = line.low[at], line.high[at]
    if low is None or high is None:
        return f"×{line.weight[at]:.2f}, not learned"
    return f"×{line.weight[at]:.2f} ({low:.2f} to {high:.2f})"


@kept_figure
def draw_weight_history(shown: WeightHistory, palette: Palette, *, height: int = 210) -> go.Figure:
    """Draw steps: a weight holds until the next run moves it."""
    figure = go.Figure()
    colours = (palette.accent, palette.warning, palette.violet, palette.pink)
    for line, colour, dash in zip(shown.lines, colours, _DASHES, strict=False):
        _add_band(figure, shown.days, line, colour)
        figure.add_trace(
            go.Scatter(
                x=shown.days,
                y=line.weight,
                name=line.name,
                mode="lines",
                line={"color": colour, "width": 2, "shape": "hv", "dash": dash},
                customdata=[
                    f"{_told(line, i)}, n {formats.count(n)}" for i, n in enumerate(shown.n)
                ],
                hovertemplate="%{customdata}",
            )
        )
    style(figure, palette, height=height, hover="x unified")
    figure.add_hline(y=1, line={"color": palette.muted, "width": 1, "dash": "dot"})
    figure.update_yaxes(range=[_LOWEST - 0.04, _HIGHEST + 0.04], tickprefix="×", nticks=5)
    figure.update_layout(showlegend=len(shown.lines) > 1, margin={"t": 36})
    date_axis(figure)
    return figure


def _add_band(figure: go.Figure, days: Sequence[date], line: ScoreLine, colour: str) -> None:
    for ends, fill in ((line.low, None), (line.high, "tonexty")):
        figure.add_trace(
            go.Scatter(
                x=days,
                # where nothing is learned the band closes on the weight
                y=[w if end is None else end for end, w in zip(ends, line.weight, strict=True)],
                mode="lines",
                line={"width": 0, "shape": "hv", "color": colour},
                fill=fill,
                fillcolor=alpha(colour, 0.15),
                hoverinfo="skip",
                showlegend=False,
            )
        )
