"""Half-lives side by side on a logarithmic axis, those that are not identified in grey."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.theme import Palette, kept_figure, safe_label, style

MOST_SHOWN = 20
_TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


@dataclass(frozen=True)
class HalfLifeForest:
    """One row per lesson whose windows allow an interval, the shortest half-life first.

    Attributes:
        labels: Names of the lessons.
        median_days: Posterior median; absent where it is not identified.
        low_days: Lower end of the 95 % interval.
        high_days: Upper end; infinite where a constant edge is possible too.
        age_days: Days since approval of an active override; absent for a candidate.
        is_active: Whether its override acts.
        hover: What is said of each row.
        n_left_out: Lessons without an interval, or beyond the most that are shown.
        alt: The chart in words.
    """

    labels: tuple[str, ...]
    median_days: tuple[float | None, ...]
    low_days: tuple[float, ...]
    high_days: tuple[float, ...]
    age_days: tuple[float | None, ...]
    is_active: tuple[bool, ...]
    hover: tuple[str, ...]
    n_left_out: int
    alt: str


def half_life_forest(lessons: pd.DataFrame) -> HalfLifeForest:
    """Arrange half-lives.

    Args:
        lessons: With label, setup, context, status, half_life_state, half_life_days, ci_low_days,
            ci_high_days, age_days, n and windows.
    """
    known = lessons[lessons["ci_low_days"].notna()]
    known = known.sort_values(["half_life_days", "ci_low_days", "label"], na_position="last")
    rows = known.head(MOST_SHOWN).to_dict("records")
    identified = known["half_life_days"].notna()
    return HalfLifeForest(
        labels=tuple(str(row["label"]) for row in rows),
        median_days=tuple(_known(row["half_life_days"]) for row in rows),
        low_days=tuple(float(row["ci_low_days"]) for row in rows),
        high_days=tuple(_known(row["ci_high_days"]) or math.inf for row in rows),
        age_days=tuple(_known(row["age_days"]) for row in rows),
        is_active=tuple(row["status"] == "active" for row in rows),
        hover=tuple(_told(row) for row in rows),
        n_left_out=len(lessons) - len(rows),
        alt=_in_words(known[identified], n=len(lessons)),
    )


def _known(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _told(row: dict[Any, Any]) -> str:
    half_life, upper = _known(row["half_life_days"]), _known(row["ci_high_days"])
    ends = f"95 % {row['ci_low_days']:.0f} d to " + (
        "no end" if upper is None else f"{upper:.0f} d"
    )
    head = "not identified" if half_life is None else f"half-life {half_life:.0f} d"
    lines = [
        f"<b>{row['label']}</b> {safe_label(row['setup'])}",
        safe_label(row["context"], longest=70),
        f"{head}, {ends}",
        f"{formats.plural(int(row['n']), 'trade')} in {int(row['windows'])} windows",
    ]
    age = _known(row["age_days"])
    return "<br>".join(lines if age is None else [*lines, f"approved {age:.0f} d ago"])


def _in_words(identified: pd.DataFrame, *, n: int) -> str:
    head = f"Half-lives of {formats.plural(n, 'lesson')}: {len(identified)} identified"
    if identified.empty:
        return f"{head}."
    first = identified.iloc[0]
    return f"{head}; the shortest is {first['half_life_days']:.0f} days, {first['label']}."


@kept_figure
def draw_half_life_forest(shown: HalfLifeForest, palette: Palette) -> go.Figure:
    """Draw dots with their intervals; an interval without an end runs out of the picture."""
    left, right = _ends(shown)
    colours = [
        palette.muted if median is None else palette.accent if active else palette.violet
        for median, active in zip(shown.median_days, shown.is_active, strict=True)
    ]
    figure = go.Figure()
    for at, label in enumerate(shown.labels):
        figure.add_trace(_whisker(shown, at, label, colours[at], right))
    figure.add_trace(_dots(shown, colours))
    figure.add_trace(_ages(shown, palette))
    style(figure, palette, height=64 + 22 * max(len(shown.labels), 4))
    figure.update_xaxes(
        type="log", showgrid=True, range=[math.log10(left), math.log10(right)],
        tickvals=_TICKS, ticktext=[f"{one:,}".replace(",", " ") for one in _TICKS],
        title={"text": "half-life (days, log)", "standoff": 10},
    )  # fmt: skip
    figure.update_yaxes(
        autorange="reversed", showgrid=False, type="category",
        categoryorder="array", categoryarray=list(shown.labels),
    )  # fmt: skip
    return figure


def _ends(shown: HalfLifeForest) -> tuple[float, float]:
    finite = [*shown.low_days, *(one for one in shown.high_days if math.isfinite(one))]
    finite += [one for one in (*shown.median_days, *shown.age_days) if one is not None and one >= 1]
    if not finite:
        return 5.0, 500.0
    return max(min(finite) / 1.6, 1.0), max(max(finite) * 1.6, 4 * min(finite))


def _whisker(shown: HalfLifeForest, at: int, label: str, colour: str, right: float) -> go.Scatter:
    is_open = not math.isfinite(shown.high_days[at])
    return go.Scatter(
        x=[shown.low_days[at], right if is_open else shown.high_days[at]],
        y=[label, label],
        mode="lines",
        line={"color": colour, "width": 1.6, "dash": "dot" if is_open else "solid"},
        hoverinfo="skip",
    )


def _dots(shown: HalfLifeForest, colours: Sequence[str]) -> go.Scatter:
    """A dot where a half-life is known; elsewhere a tick at the lower end, to be pointed at."""
    known = [median is not None for median in shown.median_days]
    places = zip(shown.median_days, shown.low_days, strict=True)
    return go.Scatter(
        x=[low if median is None else median for median, low in places],
        y=list(shown.labels),
        mode="markers",
        marker={
            "size": np.where(known, 10, 6),
            "symbol": np.where(known, "circle", "line-ns-open"),
            "color": list(colours),
            "line": {"width": np.where(known, 0, 2), "color": list(colours)},
        },
        customdata=list(zip(shown.labels, shown.hover, strict=True)),
        hovertemplate="%{customdata[1]}<extra></extra>",
    )


def _ages(shown: HalfLifeForest, palette: Palette) -> go.Scatter:
    """Where each active override stands: how long ago it was approved."""
    rows = [
        (age, label)
        for age, label in zip(shown.age_days, shown.labels, strict=True)
        if age is not None and age >= 1
    ]
    return go.Scatter(
        x=[age for age, _ in rows],
        y=[label for _, label in rows],
        mode="markers",
        marker={
            "symbol": "line-ns-open", "size": 12, "color": palette.warning,
            "line": {"width": 2, "color": palette.warning},
        },
        hoverinfo="skip",
    )  # fmt: skip
