"""What the members of a factor have in common: how many of them ask for each condition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboard import formats
from dashboard.theme import Palette, kept_figure, safe_labels, style

MOST_SHOWN = 10


@dataclass(frozen=True)
class SharedConditions:
    """Conditions with the number of members that ask for each, the commonest first."""

    names: tuple[str, ...]
    counts: tuple[int, ...]
    n_lessons: int
    alt: str


def shared_conditions(scopes: Sequence[Mapping[str, Any]]) -> SharedConditions:
    """Count the conditions of a factor's members.

    Examples:
        >>> shown = shared_conditions([{"phase": "Good"}, {"phase": "Good", "bucket": "mid"}])
        >>> dict(zip(shown.names, shown.counts))
        {'phase Good': 2, 'bucket mid': 1}
    """
    counted = Counter(f"{name} {value}" for scope in scopes for name, value in scope.items())
    most = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:MOST_SHOWN]
    head = f"Conditions of {formats.plural(len(scopes), 'lesson')}"
    told = f"; the commonest, {most[0][0]}, stands in {most[0][1]}" if most else ""
    return SharedConditions(
        tuple(name for name, _ in most),
        tuple(n for _, n in most),
        len(scopes),
        f"{head}{told}.",
    )


@kept_figure
def draw_shared_conditions(shown: SharedConditions, palette: Palette) -> go.Figure:
    """Draw a bar per condition; those that all members share stand out."""
    whole = [n == shown.n_lessons for n in shown.counts]
    figure = go.Figure(
        go.Bar(
            x=shown.counts,
            y=safe_labels(shown.names),
            orientation="h",
            width=0.6,
            marker={
                "color": [palette.accent if one else palette.muted for one in whole],
                "line": {"width": 0},
            },
            text=[f"{n} of {shown.n_lessons}" for n in shown.counts],
            textposition="outside",
            cliponaxis=False,
            textfont={"color": palette.text, "size": 11},
            hovertemplate="%{y}: %{text} lessons<extra></extra>",
        )
    )
    style(figure, palette, height=24 + 26 * max(len(shown.names), 2))
    figure.update_xaxes(visible=False, range=[0, shown.n_lessons * 1.3])
    figure.update_yaxes(showgrid=False, autorange="reversed", color=palette.text, ticksuffix="  ")
    return figure
