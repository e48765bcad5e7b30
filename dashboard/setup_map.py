"""The map of the first page: the largest setups by the condition that most lessons name."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from dashboard import controls, queries
from dashboard.drill_down import most_named
from dashboard.edge_queries import EdgeTable, Unit, read_dimensions, read_edge_table
from dashboard.figures.edge_map import EdgeMap, draw_edge_map, edge_map
from dashboard.queries import Filters, Source, kept
from dashboard.theme import Palette

_MOST_ROWS = 8


@kept
def map_dimension(source: Source, module: str, filters: Filters) -> str:
    """Return the condition that stands along the map."""
    lessons = queries.of_filters(queries.read_lessons(source), filters)
    return most_named(read_dimensions(source, module), lessons)


@kept
def map_of_setups(
    source: Source, module: str, dim: str, filters: Filters, unit: Unit, outcome: str
) -> EdgeMap:
    """Return the map of the largest setups by one condition, with the lessons in it."""
    table = read_edge_table(source, module, (dim,), filters, unit, outcome, None)
    lessons = queries.of_filters(queries.read_lessons(source), filters)
    is_narrowed = filters.narrows_trades or unit != "R"
    cells = controls.with_lessons(_largest(table), (dim,), lessons, narrowed=is_narrowed)
    return edge_map(cells, row="setup", column=dim, unit=table.unit)


def draw_map_of_setups(shown: EdgeMap, palette: Palette) -> go.Figure:
    """Draw the map, as high as its rows need."""
    return draw_edge_map(shown, palette, height=max(236, 60 + 30 * len(shown.rows)))


def _largest(table: EdgeTable) -> pd.DataFrame:
    """Return the cells of the largest setups, of each pattern what it does most often."""
    largest = table.groups.sort_values(["n", "action_category"], ascending=[False, True])
    listed = largest.drop_duplicates("pattern_key").head(_MOST_ROWS)
    return table.cells.merge(listed[["pattern_key", "action_category"]])
