"""Axes of time: days before months, the year where it changes, and no room for long pauses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import plotly.graph_objects as go

from dashboard.theme import Palette

LONG_PAUSE: Final = timedelta(days=180)
Pause = tuple[datetime, datetime]
Mark = tuple[datetime, str]
_EDGE = timedelta(days=7)  # left of a pause on either side of it
_ROOM = timedelta(days=28)
_MINUTE, _DAY = 60_000, 86_400_000  # ms
_FORMATS: Final[tuple[dict[str, Any], ...]] = (
    {"dtickrange": [None, _MINUTE - 1], "value": "%H:%M:%S\n%-d %b %Y"},
    {"dtickrange": [_MINUTE, _DAY - 1], "value": "%H:%M\n%-d %b %Y"},
    {"dtickrange": [_DAY, 28 * _DAY - 1], "value": "%-d %b\n%Y"},
    {"dtickrange": ["M1", "M11"], "value": "%b %Y"},
    {"dtickrange": ["M12", None], "value": "%Y"},
)  # what stands after the line's end is written where it changes


def date_axis(figure: go.Figure) -> None:
    """Write the dates below a figure as the pages write them; the first clears the axis' 0."""
    figure.update_xaxes(
        tickformatstops=list(_FORMATS), hoverformat="%-d %b %Y", ticklabelstandoff=4
    )


def long_pauses(moments: Sequence[datetime]) -> tuple[Pause, ...]:
    """Return the pauses of more than 180 days between moments, which are in order of time.

    Examples:
        >>> long_pauses([datetime(2021, 1, 1), datetime(2021, 3, 1), datetime(2024, 1, 1)])
        ((datetime.datetime(2021, 3, 1, 0, 0), datetime.datetime(2024, 1, 1, 0, 0)),)
    """
    return tuple((a, b) for a, b in pairwise(moments) if b - a > LONG_PAUSE)


def leave_out(figure: go.Figure, pauses: Sequence[Pause], palette: Palette) -> None:
    """Give pauses no room in a figure of two rows, and mark the place of each in the upper one."""
    cut = [(a + _EDGE, b - _EDGE) for a, b in pauses]
    figure.update_xaxes(rangebreaks=[{"bounds": [a.isoformat(), b.isoformat()]} for a, b in cut])
    for a, _ in cut:
        figure.add_vline(x=a, line={"color": palette.muted, "width": 1}, row=1, col=1)


def within(marks: tuple[Mark, ...], moments: Sequence[datetime]) -> tuple[Mark, ...]:
    """Leave out the marks that lie far from all moments: they would press them together."""
    if not moments:
        return ()
    first, last = moments[0], moments[-1]
    room = max((last - first) / 8, _ROOM)
    return tuple((at, name) for at, name in marks if first - room < at < last + room)
