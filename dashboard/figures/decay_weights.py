"""How probable it is that an edge stays, fades or grows, as three bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from dashboard import formats
from dashboard.theme import Palette, kept_figure, style

_KEYS = {"decaying": "p_decaying", "constant": "p_constant", "improving": "p_improving"}


@dataclass(frozen=True)
class DecayWeights:
    """Posterior probability of each explanation; they sum to 1."""

    names: tuple[str, ...]
    shares: tuple[float, ...]
    alt: str


def decay_weights(details: Mapping[str, Any]) -> DecayWeights | None:
    """Arrange the three explanations of a fit; None where nothing was fitted."""
    known = {name: details.get(key) for name, key in _KEYS.items()}
    shares = {name: float(one) for name, one in known.items() if isinstance(one, int | float)}
    if len(shares) < len(known):
        return None
    told = ", ".join(f"{name} {formats.share(one)}" for name, one in shares.items())
    return DecayWeights(tuple(shares), tuple(shares.values()), f"Posterior probability: {told}.")


@kept_figure
def draw_decay_weights(shown: DecayWeights, palette: Palette, *, height: int = 96) -> go.Figure:
    """Draw the bars from 0 to 100 %; the likeliest stands out."""
    most = max(shown.shares)
    figure = go.Figure(
        go.Bar(
            x=shown.shares,
            y=shown.names,
            orientation="h",
            width=0.6,
            marker={
                "color": [palette.accent if s == most else palette.muted for s in shown.shares],
                "line": {"width": 0},
            },
            text=[formats.share(one) for one in shown.shares],
            textposition="outside",
            cliponaxis=False,
            textfont={"color": palette.text, "size": 12},
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    style(figure, palette, height=height)
    figure.update_xaxes(visible=False, range=[0, 1.6])
    figure.update_yaxes(showgrid=False, autorange="reversed", color=palette.text, ticksuffix="  ")
    return figure
