"""Runs of jobs over time: one row per job, one bar per run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.figures.time_axis import date_axis
from dashboard.theme import LABEL_GAP, Palette, kept_figure, safe_label, style
from learning.domain.durations import span


@dataclass(frozen=True)
class RunTimeline:
    """One bar per run that started, with its status."""

    jobs: tuple[str, ...]
    start: tuple[datetime, ...]
    length: tuple[timedelta, ...]
    status: tuple[str, ...]
    is_manual: tuple[bool, ...]
    hover: tuple[str, ...]
    alt: str


def run_timeline(runs: pd.DataFrame, *, now: datetime, least: timedelta) -> RunTimeline:
    """Arrange runs.

    Args:
        runs: With id, job, status, run_trigger, started_at, finished_at and error.
        now: Where running runs end so far.
        least: A shorter run is drawn that long, so that it can be seen.
    """
    rows = [row for row in runs.to_dict("records") if not pd.isna(row["started_at"])]
    ends = [now if pd.isna(row["finished_at"]) else row["finished_at"] for row in rows]
    failed = sum(row["status"] in ("failed", "lost") for row in rows)
    return RunTimeline(
        jobs=tuple(row["job"] for row in rows),
        start=tuple(row["started_at"] for row in rows),
        length=tuple(
            max(end - row["started_at"], least) for row, end in zip(rows, ends, strict=True)
        ),
        status=tuple(row["status"] for row in rows),
        is_manual=tuple(row["run_trigger"] == "manual" for row in rows),
        hover=tuple(_told(row, end) for row, end in zip(rows, ends, strict=True)),
        alt=f"{formats.plural(len(rows), 'run')}, {failed} failed.",
    )


def _told(row: dict[Any, Any], end: datetime) -> str:
    took = span((end - row["started_at"]).total_seconds())
    lines = [
        f"<b>{safe_label(row['job'])}</b> run {row['id']}: {row['status']}",
        f"{formats.utc(row['started_at'])}, took {took}, by {safe_label(row['run_trigger'])}",
    ]
    if row["error"]:
        lines.append(safe_label(row["error"], longest=90))
    return "<br>".join(lines)


@kept_figure
def draw_run_timeline(
    shown: RunTimeline, palette: Palette, *, jobs: tuple[str, ...], start: datetime, end: datetime
) -> go.Figure:
    """Draw the timeline from start to end; every job has its row, run or not."""
    figure = go.Figure(_bars(shown, palette))
    style(figure, palette, height=50 + 24 * len(jobs))
    figure.update_yaxes(
        categoryorder="array", categoryarray=list(reversed(jobs)), showgrid=False,
        range=[-0.6, len(jobs) - 0.4], type="category", **LABEL_GAP,
    )  # fmt: skip
    figure.update_xaxes(type="date", showgrid=True, range=[start, end])
    date_axis(figure)
    return figure


def _bars(shown: RunTimeline, palette: Palette) -> go.Bar:
    colours = {
        "ok": palette.positive, "failed": palette.negative, "lost": palette.negative,
        "running": palette.accent, "skipped": palette.muted, "queued": palette.muted,
    }  # fmt: skip
    return go.Bar(
        base=list(shown.start),
        x=[one.total_seconds() * 1000 for one in shown.length],
        y=list(shown.jobs),
        orientation="h",
        width=0.55,
        marker={
            "color": [colours.get(one, palette.muted) for one in shown.status],
            "line": {"width": [1 if one else 0 for one in shown.is_manual],
                     "color": palette.text},
        },
        customdata=shown.hover,
        hovertemplate="%{customdata}<extra></extra>",
    )  # fmt: skip
