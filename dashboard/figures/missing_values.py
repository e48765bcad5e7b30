"""Which fields trades lack, over time: one row a field, dark where all is there."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.figures.time_axis import date_axis
from dashboard.theme import LABEL_GAP, Palette, kept_figure, safe_labels, style


@dataclass(frozen=True)
class MissingValues:
    """Shares between 0 and 1, a row per field and a column per period; what the hover says.

    A period without trades has no share.
    """

    periods: tuple[pd.Timestamp, ...]
    fields: tuple[str, ...]
    share: list[list[float | None]]
    hover: list[list[str]]
    alt: str


def missing_values(counted: pd.DataFrame) -> MissingValues:
    """Arrange counts, the field that lacks most at the top.

    Args:
        counted: With period, field, n, missing and filled; each field once a period.
    """
    totals = counted.groupby("field", sort=False)[["missing", "n"]].sum()
    shares = (totals["missing"] / totals["n"].clip(lower=1)).sort_values(kind="stable")
    fields = [str(name) for name in shares.index]
    periods = _unbroken(counted["period"])
    cells = {(row["field"], row["period"]): row for row in counted.to_dict("records")}
    rows = [[cells.get((name, period)) for period in periods] for name in fields]
    worst = fields[-1]
    return MissingValues(
        periods=tuple(periods),
        fields=tuple(fields),
        share=[[_share(row) for row in line] for line in rows],
        hover=[[_told(row) for row in line] for line in rows],
        alt=f"{formats.plural(len(fields), 'field')}; {worst} is missing in "
        f"{formats.share(float(shares.iloc[-1]))} of the entries, the most.",
    )


def _unbroken(periods: pd.Series) -> list[pd.Timestamp]:
    """Every week, or every month, from the first to the last: an empty one is shown as such."""
    known = sorted(periods.unique())
    is_weekly = all(one.weekday() == 0 for one in known)
    step = "W-MON" if is_weekly else "MS"
    every = pd.date_range(known[0], known[-1], freq=step)
    return sorted({*known, *every})


def _share(row: dict[Hashable, Any] | None) -> float | None:
    return None if row is None or not row["n"] else row["missing"] / row["n"]


def _told(row: dict[Hashable, Any] | None) -> str:
    if row is None:
        return "no entries"
    text = f"{row['missing']:,} of {row['n']:,} entries lack it"
    return text + (f"<br>{row['filled']:,} were filled from candles" if row["filled"] else "")


@kept_figure
def draw_missing_values(shown: MissingValues, palette: Palette) -> go.Figure:
    """Draw a heatmap with a fixed scale from nothing to everything missing."""
    figure = go.Figure(
        go.Heatmap(
            x=list(shown.periods),
            y=safe_labels(shown.fields),
            z=shown.share,
            zmin=0.0,
            zmax=1.0,
            colorscale=[(0.0, palette.neutral), (1.0, palette.warning)],
            customdata=shown.hover,
            hovertemplate="%{y}, from %{x|%d %b %Y}: %{z:.0%} missing<br>%{customdata}"
            "<extra></extra>",
            xgap=1,
            ygap=1,
            colorbar={
                "tickformat": ".0%",
                "thickness": 10,
                "outlinewidth": 0,
                "tickvals": [0, 0.5, 1],
                "title": {"text": "missing", "side": "right"},
            },
        )
    )
    style(figure, palette, height=60 + 20 * len(shown.fields))
    figure.update_yaxes(showgrid=False, tickmode="linear", **LABEL_GAP)
    date_axis(figure)
    return figure
