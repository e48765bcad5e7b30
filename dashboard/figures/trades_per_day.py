"""How many trades closed each day, by bot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.figures.time_axis import date_axis
from dashboard.theme import Palette, kept_figure, safe_label, style

MOST_BOTS = 6


@dataclass(frozen=True)
class TradesPerDay:
    """Days as columns, one stacked series per bot; the smallest are joined."""

    days: tuple[object, ...]
    series: dict[str, tuple[int, ...]]
    alt: str


def trades_per_day(counts: pd.DataFrame) -> TradesPerDay:
    """Arrange counted trades.

    Args:
        counts: With day, bot and n.
    """
    largest = counts.groupby("bot")["n"].sum().sort_values(ascending=False)
    named = counts["bot"].where(counts["bot"].isin(largest.index[:MOST_BOTS]), "other bots")
    wide = counts.assign(bot=named).pivot_table(
        index="day", columns="bot", values="n", aggfunc="sum", fill_value=0
    )
    total = int(counts["n"].sum())
    return TradesPerDay(
        days=tuple(wide.index),
        series={str(bot): tuple(int(n) for n in wide[bot]) for bot in _by_size(wide)},
        alt=f"{formats.plural(total, 'trade')} in {formats.plural(len(wide), 'day')}.",
    )


def _by_size(wide: pd.DataFrame) -> list[Any]:
    return list(wide.sum().sort_values(ascending=False).index)


@kept_figure
def draw_trades_per_day(shown: TradesPerDay, palette: Palette) -> go.Figure:
    """Draw stacked bars."""
    colours = (palette.accent, palette.warning, palette.violet, palette.positive,
               palette.negative, palette.text, palette.muted)  # fmt: skip
    figure = go.Figure(
        [
            go.Bar(
                x=list(shown.days), y=list(n), name=safe_label(bot, longest=24),
                marker={"color": colours[i % len(colours)], "line": {"width": 0}}, opacity=0.85,
                hovertemplate="%{x|%d %b %Y}: %{y} trades<extra>"
                + safe_label(bot) + "</extra>",
            )
            for i, (bot, n) in enumerate(shown.series.items())
        ]
    )  # fmt: skip
    style(figure, palette, height=230)
    is_named = len(shown.series) > 1
    figure.update_layout(
        barmode="stack", bargap=0.05, showlegend=is_named, margin={"t": 36 if is_named else 8}
    )
    date_axis(figure)
    return figure
