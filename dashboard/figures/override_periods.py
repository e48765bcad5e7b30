"""When each override is in force, from approval to its end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.figures.time_axis import date_axis
from dashboard.theme import LABEL_GAP, Palette, kept_figure, safe_label, style


@dataclass(frozen=True)
class OverridePeriods:
    """One bar per override, those that end first on top."""

    labels: tuple[str, ...]
    start: tuple[datetime, ...]
    end: tuple[datetime, ...]
    hover: tuple[str, ...]
    now: datetime
    alt: str


def override_periods(overrides: pd.DataFrame, *, now: datetime) -> OverridePeriods:
    """Arrange overrides by their ends.

    Args:
        overrides: With lesson_id, pattern_key, action_category, context, activated_at and
            expires_at.
        now: The moment to mark.
    """
    rows = overrides.sort_values("expires_at").head(30).to_dict("records")
    first = formats.utc(rows[0]["expires_at"], with_year=True) if rows else formats.NOTHING
    return OverridePeriods(
        labels=tuple(f"L-{row['lesson_id']:04d}" for row in rows),
        start=tuple(row["activated_at"] for row in rows),
        end=tuple(row["expires_at"] for row in rows),
        hover=tuple(
            f"<b>{safe_label(formats.setup(row['pattern_key'], row['action_category']))}</b><br>"
            f"{safe_label(row['context'], longest=70)}<br>"
            f"ends {formats.utc(row['expires_at'], with_year=True)}"
            for row in rows
        ),
        now=now,
        alt=f"{formats.plural(len(overrides), 'override')}; the first ends {first}.",
    )


@kept_figure
def draw_override_periods(shown: OverridePeriods, palette: Palette) -> go.Figure:
    """Draw bars over time, with today."""
    lasting = [(b - a).total_seconds() * 1000 for a, b in zip(shown.start, shown.end, strict=True)]
    figure = go.Figure(
        go.Bar(
            base=list(shown.start), x=lasting, y=list(shown.labels), orientation="h", width=0.55,
            marker={"color": palette.accent, "line": {"width": 0}}, opacity=0.75,
            customdata=shown.hover, hovertemplate="%{customdata}<extra></extra>",
        )
    )  # fmt: skip
    style(figure, palette, height=56 + 22 * max(len(shown.labels), 3))
    figure.update_yaxes(autorange="reversed", showgrid=False, **LABEL_GAP)
    figure.update_xaxes(type="date", showgrid=True)
    figure.add_vline(x=shown.now, line={"color": palette.warning, "width": 1})
    figure.add_annotation(
        x=shown.now, y=1, yref="y domain", text="now", showarrow=False, xanchor="left",
        yanchor="bottom", font={"size": 11, "color": palette.warning},
    )  # fmt: skip
    figure.update_layout(margin={"t": 18})
    date_axis(figure)
    return figure
