"""Effects of overrides as dots with whiskers, against nothing gained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.theme import LABEL_GAP, Palette, add_zero_line, kept_figure, safe_label, style

MOST_SHOWN = 30


@dataclass(frozen=True)
class EffectForest:
    """One row per effect that has an interval, the largest first; the others are counted."""

    labels: tuple[str, ...]
    effect_rr: tuple[float, ...]
    low_rr: tuple[float, ...]
    high_rr: tuple[float, ...]
    verdict: tuple[str, ...]
    hover: tuple[str, ...]
    n_left_out: int
    alt: str


def effect_forest(effects: pd.DataFrame) -> EffectForest:
    """Arrange effects.

    Args:
        effects: With lesson_id, effect_rr, ci_low_rr, ci_high_rr, n_treated, n_held_out and
            verdict; an effect without an interval is no effect yet.
    """
    known = effects.dropna(subset=["effect_rr", "ci_low_rr", "ci_high_rr"])
    known = known.sort_values("effect_rr", ascending=False)
    rows = known.head(MOST_SHOWN).to_dict("records")
    helps = int((known["ci_low_rr"] > 0).sum())
    hurts = int((known["ci_high_rr"] < 0).sum())
    return EffectForest(
        labels=tuple(f"L-{int(row['lesson_id']):04d}" for row in rows),
        effect_rr=tuple(float(row["effect_rr"]) for row in rows),
        low_rr=tuple(float(row["ci_low_rr"]) for row in rows),
        high_rr=tuple(float(row["ci_high_rr"]) for row in rows),
        verdict=tuple(str(row["verdict"]) for row in rows),
        hover=tuple(_told(row) for row in rows),
        n_left_out=len(effects) - len(known),
        alt=f"{formats.plural(len(known), 'effect')}: {helps} above zero with their whole "
        f"interval, {hurts} below.",
    )


def _told(row: dict[Any, Any]) -> str:
    return "<br>".join(
        (
            f"<b>L-{int(row['lesson_id']):04d}</b> {safe_label(row['verdict'])}",
            f"{formats.signed(row['effect_rr'], digits=3)} per trade, 95 % "
            + formats.interval(row["ci_low_rr"], row["ci_high_rr"], digits=3),
            f"{formats.plural(int(row['n_treated']), 'trade')} treated, "
            f"{formats.count(int(row['n_held_out']))} held out",
        )
    )


@kept_figure
def draw_effect_forest(shown: EffectForest, palette: Palette) -> go.Figure:
    """Draw the forest: blue where it is clear, grey where it is not."""
    figure = go.Figure(_dots(shown, palette))
    style(figure, palette, height=64 + 22 * max(len(shown.labels), 3))
    add_zero_line(figure, palette, vertical=True)
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category", **LABEL_GAP)
    figure.update_xaxes(showgrid=True, title={"text": "effect (R per trade)", "standoff": 8})
    return figure


def _dots(shown: EffectForest, palette: Palette) -> go.Scatter:
    effect = np.array(shown.effect_rr)
    low, high = np.array(shown.low_rr), np.array(shown.high_rr)
    clear = (low > 0) | (high < 0)
    return go.Scatter(
        x=effect,
        y=list(shown.labels),
        mode="markers",
        marker={"size": 9, "color": [palette.accent if one else palette.muted for one in clear]},
        error_x={
            "type": "data",
            "symmetric": False,
            "color": palette.muted,
            "thickness": 1.4,
            "width": 0,
            "array": high - effect,
            "arrayminus": effect - low,
        },
        customdata=shown.hover,
        hovertemplate="%{customdata}<extra></extra>",
    )
