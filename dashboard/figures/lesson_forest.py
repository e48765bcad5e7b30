"""Lessons as dots with whiskers: the shrunk edge, its interval, and what was measured raw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.theme import LABEL_GAP, Palette, add_zero_line, kept_figure, safe_label, style

MOST_SHOWN = 25


@dataclass(frozen=True)
class LessonForest:
    """What a forest plot shows: one row per lesson, in the order of the table."""

    labels: tuple[str, ...]
    edge_rr: tuple[float, ...]
    low_rr: tuple[float, ...]
    high_rr: tuple[float, ...]
    raw_rr: tuple[float, ...]
    band: tuple[int, ...]  # 0: q up to 0.01, 1: up to 0.05, 2: above, or none
    size: tuple[float, ...]
    hover: tuple[str, ...]
    selected: int | None
    n_left_out: int
    alt: str


def lesson_forest(lessons: pd.DataFrame, *, selected_id: int | None = None) -> LessonForest:
    """Arrange lessons as a forest.

    Args:
        lessons: With id, label, setup, context, n, posterior_mean_rr, ci_low_rr, ci_high_rr,
            delta_group_rr and q_value.
        selected_id: The lesson that is looked at.
    """
    shown = lessons.dropna(subset=["posterior_mean_rr", "ci_low_rr", "ci_high_rr"])
    left_out = max(len(shown) - MOST_SHOWN, 0)
    shown = shown.head(MOST_SHOWN)
    ids = shown["id"].tolist()
    biggest = float(shown["n"].max()) if len(shown) else 1.0
    return LessonForest(
        labels=tuple(shown["label"]),
        edge_rr=tuple(shown["posterior_mean_rr"].astype(float)),
        low_rr=tuple(shown["ci_low_rr"].astype(float)),
        high_rr=tuple(shown["ci_high_rr"].astype(float)),
        raw_rr=tuple(shown["delta_group_rr"].astype(float)),
        band=tuple(q_band(q) for q in shown["q_value"]),
        size=tuple(7 + 9 * np.sqrt(shown["n"].astype(float) / biggest)),
        hover=tuple(_told(row) for row in shown.to_dict("records")),
        selected=ids.index(selected_id) if selected_id in ids else None,
        n_left_out=left_out,
        alt=_in_words(shown),
    )


def q_band(q_value: float | None) -> int:
    """Return which band of q a lesson is in.

    Examples:
        >>> q_band(0.004), q_band(0.03), q_band(0.09), q_band(None)
        (0, 1, 2, 2)
    """
    if q_value is None or np.isnan(q_value):
        return 2
    return 0 if q_value <= 0.01 else 1 if q_value <= 0.05 else 2


def _told(lesson: dict) -> str:
    return "<br>".join(
        (
            f"<b>{lesson['label']}</b> {safe_label(lesson['setup'])}",
            safe_label(lesson["context"], longest=70),
            f"edge {formats.signed(lesson['posterior_mean_rr'])}, 95 % "
            f"{formats.interval(lesson['ci_low_rr'], lesson['ci_high_rr'])}",
            f"raw {formats.signed(lesson['delta_group_rr'])}, "
            f"n {formats.count(lesson['n'])}, q {formats.q_text(lesson['q_value'])}",
        )
    )


def _in_words(lessons: pd.DataFrame) -> str:
    if lessons.empty:
        return "No lesson with an interval."
    best = lessons.iloc[int(lessons["posterior_mean_rr"].abs().to_numpy().argmax())]
    edge = formats.signed(best["posterior_mean_rr"])
    return (
        f"{formats.plural(len(lessons), 'lesson')}; largest edge {best['label']} {edge}, 95 % "
        f"{formats.interval(best['ci_low_rr'], best['ci_high_rr'])}, n {best['n']}."
    )


@kept_figure
def draw_lesson_forest(shown: LessonForest, palette: Palette) -> go.Figure:
    """Draw a forest: colour is the band of q, never the sign."""
    figure = go.Figure([_dots(shown, palette), _raw(shown, palette)])
    if shown.selected is not None:
        figure.add_hrect(
            y0=shown.selected - 0.5,
            y1=shown.selected + 0.5,
            fillcolor=palette.accent,
            opacity=0.10,
            line_width=0,
        )
    style(figure, palette, height=64 + 24 * max(len(shown.labels), 3))
    add_zero_line(figure, palette, vertical=True)
    figure.update_yaxes(autorange="reversed", showgrid=False, **LABEL_GAP)
    figure.update_xaxes(showgrid=True, title={"text": "edge (R per trade)", "standoff": 8})
    return figure


def _dots(shown: LessonForest, palette: Palette) -> go.Scatter:
    bands = (palette.accent, palette.violet, palette.muted)
    edge = np.array(shown.edge_rr)
    return go.Scatter(
        x=edge,
        y=list(shown.labels),
        mode="markers",
        marker={
            "size": shown.size,
            "color": [bands[band] for band in shown.band],
            "line": {"width": 0},
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "color": palette.muted,
            "thickness": 1.4,
            "width": 0,
            "array": np.array(shown.high_rr) - edge,
            "arrayminus": edge - np.array(shown.low_rr),
        },
        customdata=shown.hover,
        hovertemplate="%{customdata}<extra></extra>",
    )


def _raw(shown: LessonForest, palette: Palette) -> go.Scatter:
    return go.Scatter(
        x=shown.raw_rr,
        y=list(shown.labels),
        mode="markers",
        hoverinfo="skip",
        marker={"symbol": "line-ns-open", "size": 9, "color": palette.muted},
    )
