"""Maps of edge by setup and context, with the lessons in them, made once for all who look."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from dashboard import controls, queries
from dashboard.drill_down import most_named
from dashboard.edge_queries import EdgeQuery, EdgeTable, read_dimensions, read_edge_table
from dashboard.figures.edge_map import EdgeMap, Layer, draw_edge_map, edge_map
from dashboard.queries import Filters, Source, kept
from dashboard.theme import Palette

SETUP = "setup"
MOST_ROWS = 40
_FIRST_ROWS = 8


@kept
def map_dimension(source: Source, module: str, filters: Filters) -> str:
    """Return the condition that stands along the map."""
    lessons = queries.of_filters(queries.read_lessons(source), filters)
    return most_named(read_dimensions(source, module), lessons)


@kept
def map_of_setups(source: Source, asked: EdgeQuery) -> EdgeMap:
    """Return the map of the largest setups by one condition, one row for each pattern."""
    table = read_edge_table(source, asked)
    cells = _with_lessons(source, _largest_patterns(table), asked)
    return edge_map(cells, row=SETUP, column=asked.dims[-1], unit=table.unit)


def draw_map_of_setups(shown: EdgeMap, palette: Palette) -> go.Figure:
    """Draw the map, as high as its rows need."""
    return draw_edge_map(shown, palette, height=max(236, 60 + 30 * len(shown.rows)))


@kept
def map_of(
    source: Source,
    asked: EdgeQuery,
    *,
    row: str,
    layer: Layer,
    setup: tuple[str, str] | None,
) -> EdgeMap:
    """Return the map of the edges that are asked for.

    Args:
        row: What stands down the map: a condition, or the setups with most trades.
        layer: What its cells show.
        setup: Pattern and action of the only setup in it; None for all.
    """
    table = read_edge_table(source, asked)
    cells = table.cells if row != SETUP else largest(table)
    if setup is not None:
        pattern_key, action_category = setup
        cells = cells[
            (cells["pattern_key"] == pattern_key) & (cells["action_category"] == action_category)
        ]
    cells = _with_lessons(source, cells, asked)
    return edge_map(cells, row=row, column=asked.dims[-1], unit=table.unit, layer=layer)


def largest(table: EdgeTable) -> pd.DataFrame:
    """Return the cells of the setups with most trades: more rows than that nobody reads."""
    listed = table.groups.sort_values("n", ascending=False, kind="stable").head(MOST_ROWS)
    return table.cells.merge(listed[["pattern_key", "action_category"]])


def _with_lessons(source: Source, cells: pd.DataFrame, asked: EdgeQuery) -> pd.DataFrame:
    lessons = queries.of_filters(queries.read_lessons(source), asked.filters)
    is_narrowed = asked.filters.narrows_trades or asked.unit != "R"
    return controls.with_lessons(cells, asked.dims, lessons, narrowed=is_narrowed)


def _largest_patterns(table: EdgeTable) -> pd.DataFrame:
    """Return the cells of the largest setups, of each pattern what it does most often."""
    groups = table.groups.sort_values(["n", "action_category"], ascending=[False, True])
    listed = groups.drop_duplicates("pattern_key").head(_FIRST_ROWS)
    return table.cells.merge(listed[["pattern_key", "action_category"]])
