"""Which fields trades lack, over time: one row a field, dark where all is there."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.theme import Palette, safe_label, style


@dataclass(frozen=True)
class MissingValues:
    """Shares between 0 and 1, a row per field and a column per period; what the hover says."""

    periods: tuple[object, ...]
    fields: tuple[str, ...]
    share: list[list[float]]
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
    periods = sorted(counted["period"].unique())
    cells = {(row["field"], row["period"]): row for row in counted.to_dict("records")}
    rows = [[cells[name, period] for period in periods] for name in fields]
    worst = fields[-1]
    return MissingValues(
        periods=tuple(periods),
        fields=tuple(fields),
        share=[[row["missing"] / max(row["n"], 1) for row in line] for line in rows],
        hover=[[_told(row) for row in line] for line in rows],
        alt=f"{formats.plural(len(fields), 'field')}; {worst} is missing in "
        f"{formats.share(float(shares.iloc[-1]))} of the entries, the most.",
    )


def _told(row: dict[object, object]) -> str:
    n, missing, filled = (int(str(row[name])) for name in ("n", "missing", "filled"))
    text = f"{missing:,} of {n:,} entries lack it"
    return text + (f"<br>{filled:,} were filled from candles" if filled else "")


def draw_missing_values(shown: MissingValues, palette: Palette) -> go.Figure:
    """Draw a heatmap with a fixed scale from nothing to everything missing."""
    figure = go.Figure(
        go.Heatmap(
            x=list(shown.periods),
            y=[safe_label(name) for name in shown.fields],
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
    figure.update_yaxes(showgrid=False, tickmode="linear")
    return figure
