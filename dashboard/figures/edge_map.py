"""Edges by two conditions: shrunk, with their trades, blank where trades are few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.theme import Palette, diverging, safe_label, style, text_on

Layer = Literal["edge", "raw", "n"]


@dataclass(frozen=True)
class EdgeMap:
    """What an edge map shows.

    Attributes:
        rows: Label of each row.
        columns: Label of each column.
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
    value: npt.NDArray[np.float64]
    text: list[list[str]]
    hover: list[list[str]]
    limit: float
    unit: str
    is_diverging: bool
    alt: str


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
            (label of the lesson a cell is, or empty).
        row: Name of the column that makes rows.
        column: Name of the column that makes columns.
        unit: Of the outcome.
        layer: The shrunk edge, the raw difference, or the trades.
        min_n: Cells of fewer trades stay blank.
    """
    rows = sorted(cells[row].unique(), key=str)
    columns = sorted(cells[column].unique(), key=_numbers_first)
    value = np.full((len(rows), len(columns)), np.nan)
    text = [["" for _ in columns] for _ in rows]
    hover = [["no trades" for _ in columns] for _ in rows]
    for cell in cells.to_dict("records"):
        i, j = rows.index(cell[row]), columns.index(cell[column])
        value[i, j], text[i][j] = _shown(cell, layer, min_n)
        hover[i][j] = _told(cell, row, column, unit, min_n)
    limit = _limit(value, cells, layer)
    return EdgeMap(
        rows=[safe_label(name) for name in _without_common_end(rows)],
        columns=[safe_label(name, longest=18) for name in columns],
        value=value,
        text=text,
        hover=hover,
        limit=limit,
        unit="trades" if layer == "n" else unit,
        is_diverging=layer != "n",
        alt=_in_words(cells, row, column, unit, min_n),
    )


def _without_common_end(names: list[str]) -> list[str]:
    """Leave out what all setups do alike, so that labels stay short on a phone."""
    heads = [str(name).rpartition(" · ")[0] for name in names]
    ends = {str(name).rpartition(" · ")[2] for name in names}
    return heads if len(ends) == 1 and all(heads) else [str(name) for name in names]


def _limit(value: npt.NDArray[np.float64], cells: pd.DataFrame, layer: Layer) -> float:
    known = np.abs(value[np.isfinite(value)])
    largest = float(np.quantile(known, 0.95)) if len(known) else 0.0
    if layer == "n":
        return largest or 1.0
    errors = cells["se"].astype(float).dropna()
    return max(largest, float(errors.median()) if len(errors) else 0.0) or 1.0


def _numbers_first(value: object) -> tuple[int, float, str]:
    text = str(value)
    return (0, float(text), "") if text.lstrip("-").isdigit() else (1, 0.0, text)


def _shown(cell: dict, layer: Layer, min_n: int) -> tuple[float, str]:
    if layer == "n":
        return float(cell["n"]), formats.count(int(cell["n"]))
    number = cell["edge"] if layer == "edge" else cell["delta"]
    if cell["n"] < min_n or not np.isfinite(number):
        return float("nan"), f"n<{min_n}" if cell["n"] < min_n else "one week"
    mark = " ◆" if cell.get("lesson") else ""
    return float(number), formats.signed(number, unit="") + mark


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


def draw_edge_map(shown: EdgeMap, palette: Palette, *, height: int | None = None) -> go.Figure:
    """Draw an edge map."""
    scale = (
        diverging(palette)
        if shown.is_diverging
        else [(0.0, palette.neutral), (1.0, palette.accent)]
    )
    figure = go.Figure(
        go.Heatmap(
            z=shown.value,
            x=shown.columns,
            y=shown.rows,
            customdata=shown.hover,
            hovertemplate="%{customdata}<extra></extra>",
            colorscale=scale,
            zmid=0 if shown.is_diverging else None,
            zmin=-shown.limit if shown.is_diverging else 0,
            zmax=shown.limit,
            xgap=2,
            ygap=2,
            hoverongaps=True,
            colorbar={
                "thickness": 8,
                "outlinewidth": 0,
                "tickfont": {"color": palette.muted, "size": 10},
                "title": {"text": shown.unit, "font": {"color": palette.muted, "size": 11}},
                "nticks": 5,
                "xpad": 6,
            },
        )
    )
    figure.add_trace(_texts(shown, palette))
    style(figure, palette, height=height or max(160, 56 + 34 * len(shown.rows)))
    figure.update_yaxes(
        showgrid=False, autorange="reversed", ticks="outside", ticklen=6, tickcolor="rgba(0,0,0,0)"
    )
    figure.update_xaxes(ticks="", type="category")
    return figure


def _texts(shown: EdgeMap, palette: Palette) -> go.Scatter:
    """Return the numbers of the cells, each in a colour that reads on its cell."""
    places = [
        (column, row, shown.text[i][j], shown.value[i, j])
        for i, row in enumerate(shown.rows)
        for j, column in enumerate(shown.columns)
        if shown.text[i][j]
    ]
    colours = [
        text_on(palette, abs(value) / shown.limit) if np.isfinite(value) else palette.muted
        for *_, value in places
    ]
    return go.Scatter(
        x=[place[0] for place in places],
        y=[place[1] for place in places],
        text=[place[2] for place in places],
        mode="text",
        textfont={"size": 11, "color": colours},
        hoverinfo="skip",
    )
