"""Edges by two conditions: shrunk, with their trades, blank where trades are few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.theme import (
    LABEL_GAP,
    Palette,
    Scale,
    between,
    diverging,
    kept_figure,
    safe_label,
    safe_labels,
    style,
    text_on,
)

_TALL = 12  # rows
Layer = Literal["edge", "raw", "n", "q"]


@dataclass(frozen=True)
class EdgeMap:
    """What an edge map shows.

    Attributes:
        rows: Label of each row.
        columns: Label of each column.
        row_values: What each row stands for.
        column_values: What each column stands for.
        value: Shape (rows, columns); nan where nothing is shown.
        text: What stands in each cell.
        hover: What is said of each cell.
        limit: Largest absolute value of the colour scale: never below the typical standard error,
            so that a table of nothing looks like nothing.
        unit: Of the values.
        is_diverging: Whether values have a sign.
        alt: The map in one sentence.
    """

    rows: list[str]
    columns: list[str]
    row_values: list[Any]
    column_values: list[Any]
    value: npt.NDArray[np.float64]
    text: list[list[str]]
    hover: list[list[str]]
    limit: float
    unit: str
    is_diverging: bool
    alt: str

    @property
    def is_blank(self) -> bool:
        """Whether no cell has a number."""
        return not np.isfinite(self.value).any()


def edge_map(
    cells: pd.DataFrame,
    *,
    row: str,
    column: str,
    unit: str,
    layer: Layer = "edge",
    min_n: int = formats.MIN_SHOWN_N,
) -> EdgeMap:
    """Arrange cells as a map.

    Args:
        cells: With ``row``, ``column``, n, mean, delta, se, edge, low, high and ``lesson``
            (label of the lesson a cell is, or empty); for the layer q also its ``q_value``.
        row: Name of the column that makes rows.
        column: Name of the column that makes columns.
        unit: Of the outcome.
        layer: The shrunk edge, the raw difference, the trades, or the q of the lessons.
        min_n: Cells of fewer trades stay blank.
    """
    rows = sorted(cells[row].unique(), key=formats.natural_order)
    columns = sorted(cells[column].unique(), key=formats.natural_order)
    value, text, hover = _filled(cells, rows, columns, (row, column, unit, min_n), layer)
    limit = _limit(value, cells, layer)
    return EdgeMap(
        rows=safe_labels(formats.without_common_end(rows), longest=46),
        columns=safe_labels(columns, longest=18),
        row_values=rows,
        column_values=columns,
        value=value,
        text=text,
        hover=hover,
        limit=limit,
        unit={"n": "trades", "q": "q"}.get(layer, unit),
        is_diverging=layer not in ("n", "q"),
        alt=_in_words(cells, row, column, unit, min_n),
    )


def _filled(
    cells: pd.DataFrame,
    rows: list[Any],
    columns: list[Any],
    asked: tuple[str, str, str, int],
    layer: Layer,
) -> tuple[npt.NDArray[np.float64], list[list[str]], list[list[str]]]:
    """Return value, text and hover of every cell of the map, (rows, columns) each."""
    row, column, unit, min_n = asked
    value = np.full((len(rows), len(columns)), np.nan)
    text = [["" for _ in columns] for _ in rows]
    hover = [["no trades" for _ in columns] for _ in rows]
    for cell in cells.to_dict("records"):
        i, j = rows.index(cell[row]), columns.index(cell[column])
        value[i, j], text[i][j] = _shown(cell, layer, min_n)
        hover[i][j] = _told(cell, row, column, unit, min_n)
    return value, text, hover


def _limit(value: npt.NDArray[np.float64], cells: pd.DataFrame, layer: Layer) -> float:
    known = np.abs(value[np.isfinite(value)])
    largest = float(np.quantile(known, 0.95)) if len(known) else 0.0
    if layer in ("n", "q"):
        return largest or 1.0
    errors = cells["se"].astype(float).dropna()
    return max(largest, float(errors.median()) if len(errors) else 0.0) or 1.0


def _shown(cell: dict, layer: Layer, min_n: int) -> tuple[float, str]:
    if layer == "n":
        return float(cell["n"]), formats.count(int(cell["n"]))
    if layer == "q":
        return _shown_q(cell)
    number = cell["edge"] if layer == "edge" else cell["delta"]
    if cell["n"] < min_n or not np.isfinite(number):
        return float("nan"), f"n<{min_n}" if cell["n"] < min_n else "one week"
    mark = " ◆" if cell.get("lesson") else ""
    return float(number), formats.signed(number, unit="") + mark


def _shown_q(cell: dict) -> tuple[float, str]:
    """A q belongs to a lesson, never to a cell: the brighter, the smaller."""
    q = cell.get("q_value")
    if not cell.get("lesson") or q is None or not np.isfinite(q):
        return float("nan"), "·"
    return -float(np.log10(max(q, 1e-4))), formats.q_text(q)


def _told(cell: dict, row: str, column: str, unit: str, min_n: int) -> str:
    head = f"<b>{safe_label(cell[row])} · {safe_label(cell[column])}</b>"
    trades = formats.plural(int(cell["n"]), "trade")
    if cell["n"] < min_n or not np.isfinite(cell["edge"]):
        return f"{head}<br>{trades}: too few to say"
    lines = [
        head,
        f"edge {formats.signed(cell['edge'], unit=unit)}, 95 % "
        f"{formats.interval(cell['low'], cell['high'], unit=unit)}",
        f"raw difference {formats.signed(cell['delta'], unit=unit)} "
        f"(standard error {cell['se']:.2f}), own mean {formats.signed(cell['mean'], unit=unit)}",
        trades + (f"; this is {cell['lesson']}" if cell.get("lesson") else ""),
    ]
    return "<br>".join(lines)


def _in_words(cells: pd.DataFrame, row: str, column: str, unit: str, min_n: int) -> str:
    shown = cells[(cells["n"] >= min_n) & np.isfinite(cells["edge"].astype(float))]
    head = f"Edge by {row.replace('_', ' ')} and {column.replace('_', ' ')}"
    if shown.empty:
        return f"{head}: no cell has {min_n} trades."
    best = shown.iloc[int(shown["edge"].to_numpy(float).argmax())]
    worst = shown.iloc[int(shown["edge"].to_numpy(float).argmin())]
    ends = [
        f"{name} {one[row]} in {one[column]} {formats.signed(one['edge'], unit=unit)}"
        for name, one in (("best", best), ("worst", worst))
    ]
    return f"{head}; {'; '.join(ends)}; {len(shown)} of {len(cells)} cells have {min_n} trades."


@kept_figure
def draw_edge_map(shown: EdgeMap, palette: Palette, *, height: int | None = None) -> go.Figure:
    """Draw an edge map: colours below, numbers on them, and what is clicked on top."""
    figure = go.Figure([_cells(shown, palette), *_texts(shown, palette), _targets(shown)])
    style(figure, palette, height=height or max(160, 56 + 34 * len(shown.rows)))
    # what is written and clicked on the cells would widen axes that find their own ranges
    figure.update_yaxes(
        showgrid=False, type="category", range=[len(shown.rows) - 0.5, -0.5], **LABEL_GAP
    )
    is_tall = len(shown.rows) > _TALL  # below its names could not be seen with the first rows
    figure.update_xaxes(
        ticks="",
        type="category",
        range=[-0.5, len(shown.columns) - 0.5],
        side="top" if is_tall else "bottom",
    )
    figure.update_layout(hoverdistance=200)  # the nearest centre is the cell one points at
    return figure


def _cells(shown: EdgeMap, palette: Palette) -> go.Heatmap:
    return go.Heatmap(
        z=shown.value,
        x=shown.columns,
        y=shown.rows,
        hoverinfo="skip",
        colorscale=_scale(shown, palette),
        zmid=0 if shown.is_diverging else None,
        zmin=-shown.limit if shown.is_diverging else 0,
        zmax=shown.limit,
        xgap=2,
        ygap=2,
        showscale=shown.unit != "q",
        colorbar={
            "thickness": 8,
            "outlinewidth": 0,
            "tickfont": {"color": palette.muted, "size": 10},
            "title": {"text": shown.unit, "font": {"color": palette.muted, "size": 11}},
            "nticks": 5,
            "xpad": 6,
        },
    )


def _scale(shown: EdgeMap, palette: Palette) -> Scale:
    one_sided = [(0.0, palette.neutral), (1.0, palette.accent)]
    return diverging(palette) if shown.is_diverging else one_sided


def _place(shown: EdgeMap, value: float) -> float:
    """Return where a value stands on the scale of the colours."""
    share = value / shown.limit
    return (1 + share) / 2 if shown.is_diverging else share


def _texts(shown: EdgeMap, palette: Palette) -> list[go.Scatter]:
    """Return the numbers of the cells, each in a colour that reads on its cell.

    One trace a colour: what is selected elsewhere must not dim them.
    """
    scale = _scale(shown, palette)
    by_colour: dict[str, list[tuple[str, str, str]]] = {}
    for i, row in enumerate(shown.rows):
        for j, column in enumerate(shown.columns):
            value = shown.value[i, j]
            known = bool(np.isfinite(value))
            colour = text_on(between(scale, _place(shown, value))) if known else palette.muted
            if shown.text[i][j]:
                by_colour.setdefault(colour, []).append((column, row, shown.text[i][j]))
    return [_text(places, colour) for colour, places in by_colour.items()]


def _text(places: list[tuple[str, str, str]], colour: str) -> go.Scatter:
    return go.Scatter(
        x=[place[0] for place in places],
        y=[place[1] for place in places],
        text=[place[2] for place in places],
        mode="text",
        textfont={"size": 11, "color": colour},
        unselected={"textfont": {"color": colour}},
        hoverinfo="skip",
    )


def _targets(shown: EdgeMap) -> go.Scatter:
    """Return what is pointed at and clicked: a heatmap itself cannot be selected."""
    places = [(i, j) for i in range(len(shown.rows)) for j in range(len(shown.columns))]
    unseen = {"marker": {"opacity": 0}}
    return go.Scatter(
        x=[shown.columns[j] for _, j in places],
        y=[shown.rows[i] for i, _ in places],
        mode="markers",
        marker={"size": 24, "symbol": "square", "opacity": 0},
        selected=unseen,
        unselected=unseen,
        customdata=[[shown.hover[i][j], i, j] for i, j in places],
        hovertemplate="%{customdata[0]}<extra></extra>",
    )
