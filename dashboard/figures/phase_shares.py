"""How the observed phases share each week, stacked to the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.figures.time_axis import LONG_PAUSE, date_axis
from dashboard.theme import Palette, alpha, kept_figure, safe_label, style
from learning.domain.regime import PHASES

_LEAST_NAMED = 0.06
_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class PhaseShares:
    """Shares of the phases of one horizon.

    Attributes:
        weeks: Mondays, in order of time.
        shares: By phase, from the best to the worst, its share of each week; 0 where unseen.
        n: Observations of each week; 0 where a pause begins.
        unit: What was counted.
        last: Shares of the last week, the largest first.
        alt: The chart in words.
    """

    weeks: tuple[date, ...]
    shares: Mapping[str, tuple[float, ...]]
    n: tuple[int, ...]
    unit: str
    last: tuple[tuple[str, float], ...]
    alt: str


def phase_shares(counts: pd.DataFrame, *, unit: str) -> PhaseShares:
    """Turn counts into shares.

    Args:
        counts: Of one horizon, with week, phase and n.
        unit: What was counted, in the plural.
    """
    table = counts.pivot_table(index="week", columns="phase", values="n", aggfunc="sum")
    table = _with_pauses(table.fillna(0.0).sort_index())
    total = table.sum(axis=1)
    shares = table.div(total.where(total > 0, 1.0), axis=0)
    seen = {str(name) for name in shares}
    order = [*(one for one in PHASES if one in seen), *sorted(seen - set(PHASES))]
    last = (
        []
        if shares.empty
        else sorted(
            ((name, float(shares[name].iloc[-1])) for name in order), key=lambda one: -one[1]
        )
    )
    return PhaseShares(
        weeks=tuple(shares.index),
        shares={name: tuple(shares[name]) for name in order},
        n=tuple(int(one) for one in total),
        unit=unit,
        last=tuple(last),
        alt=_in_words(last, weeks=int((total > 0).sum()), unit=unit),
    )


def _with_pauses(table: pd.DataFrame) -> pd.DataFrame:
    """End each run of weeks with one in which nothing was seen: no share holds over a pause."""
    weeks = list(table.index)
    ends = [a + _WEEK for a, b in pairwise(weeks) if b - a > _WEEK]
    return table.reindex(sorted({*weeks, *ends}), fill_value=0.0)


def _in_words(last: Sequence[tuple[str, float]], *, weeks: int, unit: str) -> str:
    head = f"Shares of phases per week by {unit}, {formats.plural(weeks, 'week')}"
    if not last:
        return f"{head}."
    told = ", ".join(f"{name} {formats.share(share)}" for name, share in last[:3] if share > 0)
    return f"{head}; last week {told}."


@kept_figure
def draw_phase_shares(shown: PhaseShares, palette: Palette, *, height: int = 320) -> go.Figure:
    """Draw stacked areas, named above and, where the last week is wide enough, at its edge."""
    figure = go.Figure()
    # a step per week: what was seen in one says nothing about the days between two
    weeks = [*shown.weeks, shown.weeks[-1] + _WEEK]
    colours = _colours(tuple(shown.shares), palette)
    for name, shares in shown.shares.items():
        figure.add_trace(
            go.Scatter(
                x=weeks,
                y=[*shares, shares[-1]],
                name=safe_label(name),
                mode="lines",
                stackgroup="phases",
                line={"width": 0, "color": colours[name], "shape": "hv"},
                fillcolor=alpha(colours[name], 0.62),
                customdata=[*shown.n, shown.n[-1]],
                hovertemplate="%{y:.0%} of %{customdata} " + shown.unit,
            )
        )
    style(figure, palette, height=height, hover="x unified")
    figure.update_yaxes(range=[0, 1], tickformat=".0%", showgrid=False)
    pauses = [(a + _WEEK, b - _WEEK) for a, b in pairwise(shown.weeks) if b - a > LONG_PAUSE]
    figure.update_xaxes(rangebreaks=[{"bounds": [str(a), str(b)]} for a, b in pauses])
    date_axis(figure)
    _add_names(figure, shown, colours)
    return figure


def _colours(phases: Sequence[str], palette: Palette) -> dict[str, str]:
    known = {
        "Good": palette.positive, "Recover": palette.accent, "Dip": palette.warning,
        "Double-Dip": palette.pink, "Oh-Shit": palette.negative, "Euphoria": palette.violet,
        "Chop": palette.muted,
    }  # fmt: skip
    others = (palette.accent, palette.warning, palette.violet, palette.positive, palette.pink)
    free = (one for _ in phases for one in others)
    return {name: known[name] if name in known else next(free) for name in phases}


def _add_names(figure: go.Figure, shown: PhaseShares, colours: Mapping[str, str]) -> None:
    below = 0.0
    for name, shares in shown.shares.items():
        share = shares[-1]
        if share >= _LEAST_NAMED:
            figure.add_annotation(
                x=1, xref="paper", xanchor="left", y=below + share / 2, yref="y", showarrow=False,
                text=f" {safe_label(name, longest=14)} {formats.share(share)}",
                font={"size": 11, "color": colours[name]},
            )  # fmt: skip
        below += share
    # most phases of the past do not reach the last week, whose names stand at the edge
    figure.update_layout(margin={"r": 118, "t": 38}, showlegend=len(shown.shares) > 2)
