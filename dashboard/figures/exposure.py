"""How much of all trading each override speaks about."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.theme import LABEL_GAP, Palette, kept_figure, safe_label, style

MOST_SHOWN = 30


@dataclass(frozen=True)
class Exposure:
    """Share of all trades that lie in each override's context, in the order given."""

    labels: tuple[str, ...]
    share: tuple[float, ...]
    hover: tuple[str, ...]
    alt: str


def exposure(overrides: pd.DataFrame, *, n_trades: int, days: int) -> Exposure:
    """Arrange overrides.

    Args:
        overrides: With lesson_id, setup and n (trades in its context).
        n_trades: All trades of the same days.
        days: Of data.
    """
    rows = overrides.head(MOST_SHOWN).to_dict("records")
    shares = [row["n"] / n_trades if n_trades else 0.0 for row in rows]
    largest = formats.share(max(shares)) if shares else formats.NOTHING
    return Exposure(
        labels=tuple(f"L-{row['lesson_id']:04d}" for row in rows),
        share=tuple(shares),
        hover=tuple(
            f"<b>{safe_label(row['setup'])}</b><br>{formats.plural(int(row['n']), 'trade')} of "
            f"{formats.count(n_trades)} in {days} d, {formats.share(share, digits=1)}"
            for row, share in zip(rows, shares, strict=True)
        ),
        alt=f"Share of {formats.plural(n_trades, 'trade')} in {days} d that each of "
        f"{formats.plural(len(rows), 'override')} speaks about; at most {largest}.",
    )


@kept_figure
def draw_exposure(shown: Exposure, palette: Palette) -> go.Figure:
    """Draw one bar an override."""
    figure = go.Figure(
        go.Bar(
            x=[100 * one for one in shown.share],
            y=list(shown.labels),
            orientation="h",
            width=0.55,
            marker={"color": palette.muted, "line": {"width": 0}},
            text=[formats.share(one, digits=1) for one in shown.share],
            textposition="outside",
            textfont={"color": palette.text, "size": 11},
            cliponaxis=False,
            customdata=shown.hover,
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    style(figure, palette, height=56 + 22 * max(len(shown.labels), 3))
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category", **LABEL_GAP)
    figure.update_xaxes(title={"text": "% of all trades", "standoff": 8}, rangemode="tozero")
    figure.update_layout(margin={"t": 18, "r": 34})
    return figure
