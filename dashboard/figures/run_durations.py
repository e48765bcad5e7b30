"""How long the runs of one job took, against what it usually takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.figures.time_axis import date_axis
from dashboard.theme import Palette, kept_figure, safe_label, style
from learning.domain.durations import span

_LEAST_SPAN = timedelta(hours=1)


@dataclass(frozen=True)
class RunDurations:
    """One dot per run that ended, in seconds; ``median_s`` is None without any."""

    at: tuple[datetime, ...]
    seconds: tuple[float, ...]
    is_well: tuple[bool, ...]
    hover: tuple[str, ...]
    median_s: float | None
    alt: str


def run_durations(runs: pd.DataFrame) -> RunDurations:
    """Arrange runs of one job.

    Args:
        runs: With id, job, status, started_at and finished_at.
    """
    ended = runs.dropna(subset=["started_at", "finished_at"]).sort_values("started_at")
    rows = ended.to_dict("records")
    seconds = [(row["finished_at"] - row["started_at"]).total_seconds() for row in rows]
    median = float(np.median(seconds)) if seconds else None
    usual = formats.NOTHING if median is None else span(median)
    return RunDurations(
        at=tuple(row["started_at"] for row in rows),
        seconds=tuple(seconds),
        is_well=tuple(row["status"] == "ok" for row in rows),
        hover=tuple(
            f"<b>{safe_label(row['job'])}</b> run {row['id']}: {safe_label(row['status'])}<br>"
            f"{formats.utc(row['started_at'])}, took {span(took)}"
            for row, took in zip(rows, seconds, strict=True)
        ),
        median_s=median,
        alt=f"{formats.plural(len(rows), 'run')} took {usual} in the middle.",
    )


@kept_figure
def draw_run_durations(shown: RunDurations, palette: Palette, *, height: int = 180) -> go.Figure:
    """Draw dots over time, failed ones in vermilion, and the median as a dotted line."""
    colours = [palette.accent if one else palette.negative for one in shown.is_well]
    figure = go.Figure(
        go.Scatter(
            x=list(shown.at),
            y=list(shown.seconds),
            mode="markers",
            marker={"size": 7, "color": colours},
            customdata=shown.hover,
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    style(figure, palette, height=height)
    figure.update_yaxes(title={"text": "seconds", "standoff": 10}, rangemode="tozero")
    figure.update_xaxes(type="date", range=_span(shown.at))
    if shown.median_s is not None:
        figure.add_hline(y=shown.median_s, line={"color": palette.muted, "width": 1, "dash": "dot"})
    date_axis(figure)
    return figure


def _span(moments: Sequence[datetime]) -> list[datetime] | None:
    """An hour at least: around one run alone the axis would tell parts of a millisecond."""
    if not moments or max(moments) - min(moments) >= _LEAST_SPAN:
        return None
    middle = min(moments) + (max(moments) - min(moments)) / 2
    return [middle - _LEAST_SPAN / 2, middle + _LEAST_SPAN / 2]
