"""Edge map: where is edge, and is it more than chance?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import controls, edge_queries, formats, queries
from dashboard.controls import Page
from dashboard.drill_down import follow_click, go_to, show_children, stored_value
from dashboard.edge_queries import EdgeTable
from dashboard.figures.edge_map import EdgeMap, Layer, draw_edge_map
from dashboard.figures.search_funnel import draw_search_funnel, search_funnel
from dashboard.setup_map import MOST_ROWS, SETUP, map_dimension, map_of
from learning.domain.pattern_key import ACTION_CATEGORIES

_JOBS = ("ingest_strands", "aggregate_scopes", "mine_pm_lessons", "mine_dm_lessons")
_LAYERS: Mapping[str, Layer] = {"edge": "edge", "raw difference": "raw", "trades": "n", "q": "q"}


def show() -> None:
    """Draw the page."""
    page = controls.open_page("Edge map", jobs=_JOBS)
    follow_click()
    lessons = queries.of_filters(queries.read_lessons(page.source), page.filters)
    module = page.filters.module or _with_scopes(page)
    dims = edge_queries.read_dimensions(page.source, module)
    if not dims or page.health.state.outcome is None:
        controls.nothing(
            "No scope is stored yet. Scopes come from closed trades with context, 10 of them at "
            "least, once aggregate_scopes has run."
        )
        return
    _show_map(page, module, dims)
    st.space("small")
    left, right = st.columns([1.5, 1], gap="medium")
    with left:
        show_children(page, module)
    with right:
        _show_search(page, module, lessons)


def _with_scopes(page: Page) -> str:
    return "pm" if edge_queries.read_dimensions(page.source, "pm") else "dm"


# ------------------------------------------------------------------ the map
def _show_map(page: Page, module: str, known: Mapping[str, Sequence[object]]) -> None:
    dims, first = list(known), map_dimension(page.source, module, page.filters)
    with st.container(horizontal=True, gap="small"):
        column = st.selectbox(
            "Across", dims, index=None, placeholder=first, key="x", bind="query-params", width=190
        )
        column = column or first  # nobody chose: what lessons are about
        rows = [SETUP, *(dim for dim in dims if dim != column)]
        row = st.selectbox("Down", rows, key="y", bind="query-params", width=190)
        category = st.selectbox(
            "Action",
            ACTION_CATEGORIES,
            index=None,
            placeholder="all actions",
            key="action",
            bind="query-params",
            width=150,
        )
        layer_name = st.segmented_control(
            "Show",
            list(_LAYERS),
            default="edge",
            required=True,
            key="layer",
            bind="query-params",
        )
    layer = _LAYERS[layer_name or "edge"]
    row = row or dims[0]
    asked = edge_queries.EdgeQuery(
        module, (column,) if row == SETUP else (row, column), page.filters, page.unit,
        page.outcome, category,
    )  # fmt: skip
    table = edge_queries.read_edge_table(page.source, asked)
    if table.cells.empty:
        controls.nothing("No trade carries these conditions. Widen the filters.")
        return
    setup = None if row == SETUP else _setup_of_map(table)
    shown = map_of(page.source, asked, row=row, layer=layer, setup=setup)
    _show_one_map(page, shown, asked.dims, table, setup)
    st.caption(formats.plain(_map_told(table), longest=500))
    controls.downloads(_exported(table), "edge-map")


def _setup_of_map(table: EdgeTable) -> tuple[str, str]:
    """Return the one setup of a map of two conditions: a cell of two would mix what they are."""
    keys = ["pattern_key", "action_category"]
    with_cells = table.groups.merge(table.cells[keys].drop_duplicates())
    ordered = with_cells.sort_values("n", ascending=False)[keys].itertuples(index=False, name=None)
    setups = {formats.setup(*one): one for one in ordered}
    if len(setups) == 1:
        return next(iter(setups.values()))
    name = st.selectbox("Setup of the map", list(setups), key="map_setup", bind="query-params")
    return setups.get(name, next(iter(setups.values())))


def _show_one_map(
    page: Page,
    shown: EdgeMap,
    dims: tuple[str, ...],
    table: EdgeTable,
    setup: tuple[str, str] | None,
) -> None:
    def stand(clicked: list[Any]) -> None:
        row, across = shown.row_values[clicked[1]], shown.column_values[clicked[2]]
        if setup is None:
            go_to(str(row), {dims[-1]: stored_value(across)})
        else:
            at = {dims[0]: stored_value(row), dims[-1]: stored_value(across)}
            go_to(formats.setup(*setup), at)

    controls.chart(draw_edge_map(shown, page.palette), key="map", alt=shown.alt, on_pick=stand)
    if setup is None and len(table.groups) > MOST_ROWS:
        st.caption(
            f"The {MOST_ROWS} setups with most trades of {len(table.groups)}: a setup or an "
            "action chosen above shows others, the download has all."
        )


def _map_told(table: EdgeTable) -> str:
    spread = (
        "The spread of the table is no more than chance makes, so every cell shrinks to 0."
        if table.prior_sd == 0
        else f"True edges of the table lie about {table.prior_sd:.2f} {table.unit} apart "
        "(standard deviation); every cell is shrunk by that."
    )
    return (
        f"Mean of the cell minus mean of its setup, {table.outcome} in {table.unit}, standard "
        f"errors by weeks. {spread} Blank below {formats.MIN_SHOWN_N} trades. ◆ is a lesson, with "
        "its own posterior; a q belongs to a lesson, never to a cell. Click a cell to see what "
        f"adds to it. {formats.plural(table.n_trades, 'decision')} in the table."
    )


def _exported(table: EdgeTable) -> pd.DataFrame:
    return table.cells.rename(columns={"mean": f"mean_{table.outcome}"})


# ------------------------------------------------------------------ the price of the search
def _show_search(page: Page, module: str, lessons: pd.DataFrame) -> None:
    controls.section("What the search counted")
    looks = queries.read_looks(page.source)
    looks = looks[looks["module"] == module]
    if looks.empty:
        controls.nothing("No discovery look yet: the miner runs every 6 h.")
        return
    look = looks.iloc[0]
    own = lessons[lessons["module"] == module]
    funnel = search_funnel(look["counts"], queries.offered(own, page.outcome))
    controls.chart(draw_search_funnel(funnel, page.palette), key="funnel", alt=funnel.alt)
    if funnel.chance is not None:
        st.caption(f"{funnel.chance}.")
    _show_setups(look)


def _show_setups(look: pd.Series) -> None:
    groups = pd.DataFrame(look["groups"] or [])
    if groups.empty:
        st.text(look["reason"] or "No setup was tested.")
        return
    table = pd.DataFrame(
        {
            "setup": [
                formats.guarded(formats.setup(k, a))
                for k, a in zip(groups["pattern_key"], groups["action_category"], strict=True)
            ],
            "p": [formats.q_text(p) for p in groups["p"]],
            "q": [formats.q_text(q) for q in groups["q"]],
            "asked": [
                formats.NOTHING if z is None or pd.isna(z) else f"{z:.2f}"
                for z in groups["critical_z"]
            ],
        }
    )
    column = st.column_config
    controls.table(
        table,
        height="content" if len(table) < 9 else 300,
        alt="Setups as tested",
        saved_as="setups-as-tested",
        column_config={
            "setup": column.TextColumn("Setup"),
            "p": column.TextColumn(
                "Best p", alignment="right", help="p of the setup's best scope."
            ),
            "q": column.TextColumn("q", alignment="right"),
            "asked": column.TextColumn("|z| asked", alignment="right"),
        },
    )


if __name__ == "__main__":
    show()
