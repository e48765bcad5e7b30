"""Edge map: where is edge, and is it more than chance?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import controls, edge_queries, formats, queries
from dashboard.controls import Page
from dashboard.edge_queries import EdgeTable
from dashboard.figures.edge_map import Layer, draw_edge_map, edge_map
from dashboard.figures.scope_lattice import draw_scope_lattice, scope_lattice
from dashboard.figures.search_funnel import draw_search_funnel, search_funnel
from dashboard.queries import Group
from learning.domain.pattern_key import ACTION_CATEGORIES

_JOBS = ("ingest_strands", "aggregate_scopes", "mine_pm_lessons", "mine_dm_lessons")
_LAYERS: Mapping[str, Layer] = {"edge": "edge", "raw difference": "raw", "trades": "n"}
_SETUP = "setup"


def show() -> None:
    """Draw the page."""
    page = controls.open_page("Edge map", jobs=_JOBS)
    lessons = queries.of_filters(queries.read_lessons(page.source), page.filters)
    module = page.filters.module or _with_scopes(page)
    dims = edge_queries.read_dimensions(page.source, module)
    if not dims or page.health.state.outcome is None:
        controls.nothing(
            "No scope is stored yet. Scopes come from closed trades with context, 10 of them at "
            "least, once aggregate_scopes has run."
        )
        return
    _show_map(page, module, list(dims), lessons)
    st.space("small")
    left, right = st.columns([1.5, 1], gap="medium")
    with left:
        _show_children(page, module, lessons)
    with right:
        _show_search(page, module, lessons)


def _with_scopes(page: Page) -> str:
    return "pm" if edge_queries.read_dimensions(page.source, "pm") else "dm"


# ------------------------------------------------------------------ the map
def _show_map(page: Page, module: str, dims: list[str], lessons: pd.DataFrame) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        column = st.selectbox("Across", dims, key="x", bind="query-params", width=190)
        rows = [_SETUP, *(dim for dim in dims if dim != column)]
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
    asked = (column or dims[0],) if row == _SETUP else (row or dims[0], column or dims[0])
    table = edge_queries.read_edge_table(
        page.source, module, asked, page.filters, page.unit, page.outcome, category
    )
    if table.cells.empty:
        controls.nothing("No trade carries these conditions. Widen the filters.")
        return
    if row != _SETUP and table.cells.groupby(["pattern_key", "action_category"]).ngroups > 1:
        _show_maps_by_setup(page, table, asked, lessons, layer)
    else:
        _show_one_map(page, table, row or _SETUP, asked, lessons, layer)
    st.caption(formats.plain(_map_told(table), longest=500))
    controls.downloads(_exported(table), "edge-map")


def _show_one_map(
    page: Page,
    table: EdgeTable,
    row: str,
    dims: tuple[str, ...],
    lessons: pd.DataFrame,
    layer: Layer,
) -> None:
    narrowed = page.filters.narrows_trades or page.unit != "R"
    cells = controls.with_lessons(table.cells, dims, lessons, narrowed=narrowed)
    shown = edge_map(cells, row=row, column=dims[-1], unit=table.unit, layer=layer)
    controls.chart(draw_edge_map(shown, page.palette), key="map", alt=shown.alt)


def _show_maps_by_setup(
    page: Page, table: EdgeTable, dims: tuple[str, ...], lessons: pd.DataFrame, layer: Layer
) -> None:
    """Show the map of one setup at a time: a cell of two setups would mix what they are."""
    groups = table.groups.sort_values("n", ascending=False).to_dict("records")
    names = [formats.setup(one["pattern_key"], one["action_category"]) for one in groups]
    name = st.selectbox("Setup of the map", names, key="map_setup", bind="query-params")
    one = groups[names.index(name)] if name in names else groups[0]
    own = table.cells[
        (table.cells["pattern_key"] == one["pattern_key"])
        & (table.cells["action_category"] == one["action_category"])
    ]
    narrowed = EdgeTable(
        own, table.groups, table.prior_sd, table.n_trades, table.unit, table.outcome
    )
    if own.empty:
        controls.nothing("No trade of this setup carries these conditions.")
        return
    _show_one_map(page, narrowed, dims[0], dims, lessons, layer)


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
        f"its own posterior. {formats.plural(table.n_trades, 'decision')} in the table."
    )


def _exported(table: EdgeTable) -> pd.DataFrame:
    return table.cells.rename(columns={"mean": f"mean_{table.outcome}"})


# ------------------------------------------------------------------ down the lattice
def _show_children(page: Page, module: str, lessons: pd.DataFrame) -> None:
    groups = edge_queries.read_groups(page.source, module)
    if page.filters.pattern_key is not None:
        groups = groups[groups["pattern_key"] == page.filters.pattern_key]
    controls.section("What each condition adds")
    if groups.empty:
        controls.nothing("No statistics are stored for this setup.")
        return
    group, row = _chosen_group(groups, module)
    within = _breadcrumb(group, row)
    children = edge_queries.read_scopes(page.source, group, within, 1)
    if children.empty:
        controls.nothing(f"No stored scope adds a condition to: {formats.scope(within)}.")
        return
    _show_table(children, within, lessons, group)
    _show_lattice(page, group, within, lessons)


def _chosen_group(groups: pd.DataFrame, module: str) -> tuple[Group, Mapping[Any, Any]]:
    rows = groups.to_dict("records")
    names = [formats.setup(one["pattern_key"], one["action_category"]) for one in rows]
    name = st.selectbox("Setup", names, key="node", bind="query-params")
    row = rows[names.index(name)] if name in names else rows[0]
    return Group(module, row["pattern_key"], row["action_category"]), row


def _breadcrumb(group: Group, row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the context that was drilled into, and show the way back."""
    kept = st.session_state.get("within")
    if kept is None or kept["group"] != group:
        kept = {"group": group, "scope": {}}
        st.session_state["within"] = kept
    scope: dict[str, Any] = kept["scope"]
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.button("all", key="crumb-all", type="tertiary", on_click=_go, args=(group, {}))
        for i, (name, value) in enumerate(scope.items()):
            upto = dict(list(scope.items())[: i + 1])
            st.button(
                f"+ {formats.plain(name)} {formats.plain(value)}",
                key=f"crumb-{i}",
                type="tertiary",
                on_click=_go,
                args=(group, upto),
            )
        st.caption(
            f"{formats.plural(row['n'], 'trade')}, mean {formats.signed(row['avg_rr'])} in all"
        )
    return scope


def _go(group: Group, scope: dict[str, Any]) -> None:
    st.session_state["within"] = {"group": group, "scope": scope}


def _show_table(
    children: pd.DataFrame, within: Mapping[str, Any], lessons: pd.DataFrame, group: Group
) -> None:
    known = _lessons_of(lessons, group)
    ranked = children.assign(rank=children["delta_rr"].abs() * children["n"] ** 0.5)
    ranked = ranked.sort_values("rank", ascending=False).reset_index(drop=True)
    added = [
        {name: value for name, value in scope.items() if name not in within}
        for scope in ranked["scope"]
    ]
    few = ranked["n"] < formats.MIN_SHOWN_N
    table = pd.DataFrame(
        {
            "condition": [formats.guarded(formats.scope(one)) for one in added],
            "n": ranked["n"],
            "delta": ranked["delta_rr"].astype(float).round(3).mask(few),
            "se": ranked["se_rr"].astype(float).round(3).mask(few),
            "mean": ranked["avg_rr"].astype(float).round(3).mask(few),
            "edge_raw": ranked["edge_raw"].astype(float).mask(few),
            "weeks": [
                f"{int(p)} of {int(t)}"
                for p, t in zip(ranked["segments_positive"], ranked["segments_tested"], strict=True)
            ],
            "lesson": [known.get(formats.scope(one), "") for one in ranked["scope"]],
        }
    )
    picked = controls.table(
        table,
        on_select="rerun",
        selection_mode="single-row",
        column_config=_child_columns(),
        key=f"children-{formats.setup(*group[1:])}-{formats.scope(within)}",
        height="content" if len(table) < 9 else 334,
        alt=f"{len(table)} conditions that can be added",
    )
    rows = picked["selection"]["rows"]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Drill down",
            disabled=not rows,
            key="drill",
            icon=":material/subdirectory_arrow_right:",
            on_click=_go,
            args=(group, dict(ranked.iloc[rows[0]]["scope"]) if rows else {}),
        )
        st.caption(
            "Raw differences of one scope of many: they rank, they decide nothing. "
            f"Blank below {formats.MIN_SHOWN_N} trades."
        )


def _child_columns() -> dict[str, Any]:
    column = st.column_config
    return {
        "condition": column.TextColumn("Condition", width="medium", pinned=True),
        "n": column.NumberColumn("Trades", format="%d"),
        "delta": column.NumberColumn("Raw diff. (R)", format="%+.2f"),
        "se": column.NumberColumn("Std. err. (R)", format="%.2f", help="As if independent."),
        "mean": column.NumberColumn("Mean (R)", format="%+.2f"),
        "edge_raw": column.NumberColumn("edge_raw", format="%+.3f", help="Ranks, no evidence."),
        "weeks": column.TextColumn("Segments up", alignment="right"),
        "lesson": column.TextColumn("Lesson"),
    }


def _lessons_of(lessons: pd.DataFrame, group: Group) -> dict[str, str]:
    own = lessons[
        (lessons["pattern_key"] == group.pattern_key)
        & (lessons["action_category"] == group.action_category)
        & (lessons["lesson_type"] != "level")
    ]
    return {row["context"]: row["label"] for row in own.to_dict("records")}


def _show_lattice(
    page: Page, group: Group, within: Mapping[str, Any], lessons: pd.DataFrame
) -> None:
    scopes = edge_queries.read_scopes(page.source, group, within, 3)
    scopes = scopes[scopes["n"] >= formats.MIN_SHOWN_N]
    if scopes.empty:
        return
    shown = scope_lattice(scopes, _lessons_of(lessons, group))
    st.caption(
        f"The {len(scopes)} largest stored scopes below, raw; blue ones are lessons. "
        "The wider the cloud at depth, the more of it is chance."
    )
    controls.chart(draw_scope_lattice(shown, page.palette), key="lattice", alt=shown.alt)


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
        column_config={
            "setup": column.TextColumn("Setup"),
            "p": column.TextColumn("p of the best scope", alignment="right"),
            "q": column.TextColumn("q", alignment="right"),
            "asked": column.TextColumn("|z| asked", alignment="right"),
        },
    )


if __name__ == "__main__":
    show()
