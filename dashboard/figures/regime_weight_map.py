"""Learned weights by regime and score: 1 says nothing better is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.theme import (
    DARK,
    Palette,
    Scale,
    between,
    kept_figure,
    safe_label,
    safe_labels,
    style,
    text_on,
)

MOST_SHOWN = 12
SCORES = {
    "time_efficiency": "time efficiency",
    "field_coherence": "field coherence",
    "recurrence": "recurrence",
    "variance": "variance",
}
_LOW, _HIGH = 0.5, 1.5


@dataclass(frozen=True)
class RegimeWeightMap:
    """One row per regime of a setup, the best known first; ``n_left_out`` are further ones."""

    regimes: tuple[str, ...]
    scores: tuple[str, ...]
    weight: npt.NDArray[np.float64]
    hover: tuple[tuple[str, ...], ...]
    n_left_out: int
    n_learned: int
    alt: str


def regime_weight_map(weights: pd.DataFrame) -> RegimeWeightMap:
    """Arrange the weights of one setup.

    Args:
        weights: With regime_signature, one column per score, n_samples, confidence and reason.
    """
    ordered = weights.sort_values(["n_samples", "regime_signature"], ascending=[False, True])
    rows = ordered.head(MOST_SHOWN).to_dict("records")
    learned = int((weights[list(SCORES)] != 1.0).to_numpy().sum())
    return RegimeWeightMap(
        regimes=tuple(
            f"{name}  n {row['n_samples']}"
            for name, row in zip(safe_labels(map(_signature, rows), longest=34), rows, strict=True)
        ),
        scores=tuple(SCORES.values()),
        weight=np.array([[row[name] for name in SCORES] for row in rows], dtype=np.float64),
        hover=tuple(tuple(_told(row, name) for name in SCORES) for row in rows),
        n_left_out=len(weights) - len(rows),
        n_learned=learned,
        alt=f"Weights of {formats.plural(len(weights), 'regime')} by four scores: {learned} of "
        f"{len(weights) * len(SCORES)} differ from 1.",
    )


def _signature(row: dict[Any, Any]) -> str:
    return str(row["regime_signature"] or "all regimes")


def _told(row: dict[Any, Any], name: str) -> str:
    confidence = row["confidence"]
    believed = "" if confidence is None or pd.isna(confidence) else f", confidence {confidence:.2f}"
    return "<br>".join(
        (
            f"<b>{safe_label(_signature(row), longest=80)}</b>",
            f"{SCORES[name]} ×{row[name]:.2f}",
            f"{formats.plural(int(row['n_samples']), 'lesson-segment')}{believed}",
            safe_label(_reason(row["reason"], name), longest=80),
        )
    )


def _reason(reasons: object, name: str) -> str:
    """What is said of one score: the job joins them as ``score: reason; score: reason``."""
    parts = str(reasons).split("; ") if isinstance(reasons, str) else []
    return next((one.split(": ", 1)[1] for one in parts if one.startswith(f"{name}: ")), "")


@kept_figure
def draw_regime_weight_map(shown: RegimeWeightMap, palette: Palette) -> go.Figure:
    """Draw the weights: blue counts more, amber less, the background as much as elsewhere."""
    figure = go.Figure(
        go.Heatmap(
            z=shown.weight,
            x=shown.scores,
            y=shown.regimes,
            customdata=shown.hover,
            hovertemplate="%{customdata}<extra></extra>",
            colorscale=_scale(palette),
            zmin=_LOW,
            zmid=1,
            zmax=_HIGH,
            xgap=2,
            ygap=2,
            showscale=False,
        )
    )
    figure.add_trace(_texts(shown, palette))
    style(figure, palette, height=64 + 26 * max(len(shown.regimes), 1))
    figure.update_yaxes(showgrid=False, autorange="reversed", type="category", ticksuffix="  ")
    figure.update_xaxes(
        side="top", type="category", tickangle=0, tickvals=list(shown.scores),
        ticktext=["time<br>efficiency", "field<br>coherence", "recur-<br>rence", "vari-<br>ance"],
        tickfont={"size": 10},
    )  # fmt: skip
    figure.update_layout(margin={"t": 34})
    return figure


def _scale(palette: Palette) -> Scale:
    return [(0.0, DARK.warning), (0.5, palette.neutral), (1.0, DARK.accent)]


def _place(weight: float) -> float:
    return (weight - _LOW) / (_HIGH - _LOW)


def _texts(shown: RegimeWeightMap, palette: Palette) -> go.Scatter:
    """The numbers, each in a colour that reads on its cell."""
    scale = _scale(palette)
    places = [
        (name, regime, float(shown.weight[i, j]))
        for i, regime in enumerate(shown.regimes)
        for j, name in enumerate(shown.scores)
    ]
    return go.Scatter(
        x=[name for name, _, _ in places],
        y=[regime for _, regime, _ in places],
        text=[f"{weight:.2f}" for *_, weight in places],
        mode="text",
        textfont={
            "size": 11,
            "color": [
                palette.muted if weight == 1 else text_on(between(scale, _place(weight)))
                for *_, weight in places
            ],
        },
        hoverinfo="skip",
    )
