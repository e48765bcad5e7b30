"""How alike the lessons of a setup are, in dendrogram order, with a border round each factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from dashboard import formats
from dashboard.theme import Palette, kept_figure, safe_label, style

_MOST_NAMED = 40


@dataclass(frozen=True)
class LessonSimilarity:
    """A square of similarities.

    Attributes:
        labels: Names of the lessons, in dendrogram order.
        similarity: Shape (L, L), 0 to 1.
        hover: What is said of each pair.
        blocks: First and last position of each factor with two members or more.
        alt: The chart in words.
    """

    labels: tuple[str, ...]
    similarity: npt.NDArray[np.float64]
    hover: tuple[tuple[str, ...], ...]
    blocks: tuple[tuple[int, int], ...]
    alt: str


def lesson_similarity(
    lesson_ids: Sequence[int],
    similarity: npt.NDArray[np.float64],
    shared_trades: npt.NDArray[np.int64],
    *,
    factor_of: Mapping[int, str],
    context_of: Mapping[int, str],
) -> LessonSimilarity:
    """Arrange the lessons of a setup.

    Args:
        lesson_ids: In dendrogram order.
        similarity: Shape (L, L).
        shared_trades: Shape (L, L); the diagonal is each lesson's own trades.
        factor_of: Factor of each lesson.
        context_of: Context of each lesson.
    """
    labels = tuple(f"L-{one:04d}" for one in lesson_ids)
    told = [f"{label} {safe_label(context_of.get(one, ''))}"
            for label, one in zip(labels, lesson_ids, strict=True)]  # fmt: skip
    hover = tuple(
        tuple(
            f"{told[i]}<br>{told[j]}<br>similarity {similarity[i, j]:.2f}, "
            f"{formats.plural(int(shared_trades[i, j]), 'trade')} in common"
            for j in range(len(labels))
        )
        for i in range(len(labels))
    )
    blocks = _blocks([factor_of.get(one, labels[i]) for i, one in enumerate(lesson_ids)])
    return LessonSimilarity(
        labels, similarity, hover, blocks, _in_words(labels, similarity, blocks)
    )


def _blocks(factors: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Runs of one factor: in dendrogram order the members of a factor stand together."""
    starts = [i for i in range(len(factors)) if i == 0 or factors[i] != factors[i - 1]]
    ends = [*starts[1:], len(factors)]
    return tuple((a, b - 1) for a, b in zip(starts, ends, strict=True) if b - a > 1)


def _in_words(
    labels: Sequence[str],
    similarity: npt.NDArray[np.float64],
    blocks: Sequence[tuple[int, int]],
) -> str:
    head = f"Similarity of {formats.plural(len(labels), 'lesson')} by the trades they match"
    if len(labels) < 2:
        return f"{head}."
    apart = similarity - np.eye(len(labels)) * 2
    i, j = divmod(int(np.argmax(apart)), len(labels))
    return (
        f"{head}: {formats.plural(len(blocks), 'factor')} of two or more; most alike "
        f"{labels[i]} and {labels[j]}, {similarity[i, j]:.2f}."
    )


@kept_figure
def draw_lesson_similarity(
    shown: LessonSimilarity, palette: Palette, *, height: int = 380
) -> go.Figure:
    """Draw the square, blue where lessons are alike, and a border round each factor."""
    places = list(range(len(shown.labels)))
    figure = go.Figure(
        go.Heatmap(
            z=shown.similarity,
            x=places,
            y=places,
            customdata=shown.hover,
            hovertemplate="%{customdata}<extra></extra>",
            colorscale=[(0.0, palette.neutral), (1.0, palette.accent)],
            zmin=0,
            zmax=1,
            xgap=1 if len(places) <= _MOST_NAMED else 0,
            ygap=1 if len(places) <= _MOST_NAMED else 0,
            colorbar={
                "thickness": 8,
                "outlinewidth": 0,
                "tickfont": {"color": palette.muted, "size": 10},
                "nticks": 5,
                "xpad": 6,
            },
        )
    )
    style(figure, palette, height=height)
    named = {
        "tickvals": places,
        "ticktext": list(shown.labels),
        "showticklabels": len(places) <= _MOST_NAMED,
        "showgrid": False,
        "ticks": "",
        "tickfont": {"size": 10},
    }
    figure.update_xaxes(**named, tickangle=-90)
    figure.update_yaxes(**named, autorange="reversed")
    for first, last in shown.blocks:
        figure.add_shape(
            type="rect", x0=first - 0.5, x1=last + 0.5, y0=first - 0.5, y1=last + 0.5,
            line={"color": palette.warning, "width": 1.6},
        )  # fmt: skip
    return figure
