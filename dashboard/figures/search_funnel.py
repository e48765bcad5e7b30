"""How many scopes were looked at for the few that are left: the price of the search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboard import formats
from dashboard.theme import Palette, kept_figure, style


@dataclass(frozen=True)
class SearchFunnel:
    """The steps from counted to confirmed, each with what it means."""

    steps: tuple[str, ...]
    counts: tuple[int, ...]
    meanings: tuple[str, ...]
    chance: str | None
    alt: str


_STEPS = (
    ("Counted", "scopes_stored", "scopes with enough trades to be stored"),
    (
        "Enough n",
        "eligible",
        "scopes of at most four conditions, in eight weeks or more, that match different trades",
    ),
    ("Tested", "tested", "of these, scopes of setups that were tested: the price of the search"),
    ("Selected", "found", "lessons whose score beats the whole search of their setup"),
)
_LEVELS = {
    "scopes_stored": "levels_tested",
    "eligible": "levels_tested",
    "tested": "levels_tested",
    "found": "levels_found",
}  # the patterns themselves
_STANDING = (
    ("Proposed", "proposed", "lessons with an interval clear of 0, offered to a person"),
    ("Approved", "approved", "of these, lessons that a person approved"),
    ("Confirmed", "confirmed", "of these, lessons that trades since then confirm"),
)


def search_funnel(counts: Mapping[str, Any], standing: Mapping[str, int]) -> SearchFunnel:
    """Tell the search as a funnel.

    Args:
        counts: What a discovery look counted.
        standing: Lessons proposed, approved and confirmed so far.
    """
    rows = [
        (name, int(counts.get(key, 0) + counts.get(_LEVELS.get(key, ""), 0)), meaning)
        for name, key, meaning in _STEPS
    ]
    rows += [(name, int(standing.get(key, 0)), meaning) for name, key, meaning in _STANDING]
    names, numbers, meanings = zip(*rows, strict=True)
    told = ", ".join(f"{name.lower()} {formats.count(n)}" for name, n, _ in rows)
    return SearchFunnel(names, numbers, meanings, chance_told(counts), f"Search: {told}.")


def chance_told(counts: Mapping[str, Any]) -> str | None:
    """Say how many extreme scores were seen, and how many chance alone would make.

    Examples:
        >>> chance_told({"eligible": 2000, "upper_tail": 9, "lower_tail": 3})
        '12 of 2 000 scopes score beyond ±3.09; chance alone would make about 4'
        >>> chance_told({}) is None
        True
    """
    eligible = int(counts.get("eligible", 0))
    if not eligible or "upper_tail" not in counts:
        return None
    seen = int(counts["upper_tail"]) + int(counts["lower_tail"])
    by_chance = 0.002 * eligible  # two tails of one in a thousand each, at |z| = 3.09
    about = f"{by_chance:.0f}" if by_chance >= 1 else "none or one"
    return (
        f"{formats.count(seen)} of {formats.count(eligible)} scopes score beyond ±3.09; "
        f"chance alone would make about {about}"
    )


@kept_figure
def draw_search_funnel(shown: SearchFunnel, palette: Palette, *, height: int = 230) -> go.Figure:
    """Draw a funnel; the length is the logarithm, so that three of a thousand can be seen."""
    import math

    lengths = [math.log10(n + 1) for n in shown.counts]
    colours = [palette.muted] * len(_STEPS) + [palette.accent] * len(_STANDING)
    figure = go.Figure(
        go.Bar(
            x=lengths,
            y=list(shown.steps),
            orientation="h",
            marker={"color": colours, "line": {"width": 0}},
            opacity=0.85,
            text=[formats.count(n) for n in shown.counts],
            textposition="outside",
            textfont={"color": palette.text, "size": 12},
            cliponaxis=False,
            customdata=list(
                zip(shown.meanings, [formats.count(n) for n in shown.counts], strict=True)
            ),
            hovertemplate="<b>%{y}: %{customdata[1]}</b><br>%{customdata[0]}<extra></extra>",
            width=0.62,
        )
    )
    style(figure, palette, height=height)
    figure.update_yaxes(ticks="outside", ticklen=6, tickcolor="rgba(0,0,0,0)")
    figure.update_xaxes(visible=False, range=[0, max([*lengths, 1.0]) * 1.32])
    figure.update_yaxes(autorange="reversed", showgrid=False, color=palette.text)
    return figure
