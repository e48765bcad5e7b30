"""Down the lattice of a setup: where one stands, the way back, and what each condition adds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import controls, edge_queries, formats, queries
from dashboard.controls import Page
from dashboard.figures.scope_lattice import ScopeLattice, draw_scope_lattice, scope_lattice
from dashboard.queries import Filters, Group, Source, kept

_MOST_COLUMNS = 9
_AT = "within"  # in the address: the conditions, in the order they were added


def spelled(scope: Mapping[str, Any]) -> str:
    """Return a context as it stands in the address.

    Examples:
        >>> spelled({"phase": "Dip", "rank": 1}), read_spelled('[["phase","Dip"],["rank",1]]')
        ('[["phase","Dip"],["rank",1]]', {'phase': 'Dip', 'rank': 1})
        >>> read_spelled("nonsense"), read_spelled('[["phase",{}]]'), read_spelled('{"a": 1}')
        ({}, {}, {})
    """
    return json.dumps([list(pair) for pair in scope.items()], separators=(",", ":"))


def read_spelled(text: str) -> dict[str, Any]:
    """Return the context that an address names; none where it cannot be read."""
    try:
        pairs = json.loads(text)
        scope = {name: value for name, value in pairs}  # noqa: C416 (pairs may be anything)
    except (ValueError, TypeError, RecursionError):
        return {}
    sound = all(isinstance(k, str) and isinstance(v, str | int) for k, v in scope.items())
    return scope if sound else {}


def stored_value(value: Any) -> str | int:
    """Return a value of a map as scopes store it: there, numbers are numbers.

    Examples:
        >>> stored_value("1"), stored_value("Dip")
        (1, 'Dip')
    """
    text = str(value)
    return int(text) if text.lstrip("-").isdigit() and len(text) < 16 else text


def most_named(dims: Mapping[str, Sequence[object]], lessons: pd.DataFrame) -> str:
    """Return the condition that most standing lessons name: they have paid for the search.

    Where none stands, the first with a handful of values: by order, never by what it shows.
    """
    handy = [name for name, values in dims.items() if 2 <= len(values) <= _MOST_COLUMNS]
    standing = lessons[lessons["status"].isin(["proposed", "active"])]
    named = pd.Series([name for scope in standing["scope"] for name in scope], dtype=object)
    counted = named[named.isin(handy)].value_counts()
    if len(counted):
        return str(min(counted.index[counted == counted.max()], key=handy.index))
    return handy[0] if handy else next(iter(dims))


def go_to(setup: str, scope: Mapping[str, Any]) -> None:
    """Stand at a context of a setup, from the next look at it on."""
    st.session_state["node"] = setup
    st.session_state["node-stood"] = setup
    st.query_params[_AT] = spelled(scope)


def show_children(page: Page, module: str) -> None:
    """Show what each further condition adds to where one stands."""
    groups = edge_queries.read_groups(page.source, module)
    if page.filters.pattern_key is not None:
        groups = groups[groups["pattern_key"] == page.filters.pattern_key]
    controls.section("What each condition adds")
    if groups.empty:
        controls.nothing("No statistics are stored for this setup.")
        return
    group, setup, row = _chosen_group(groups, module)
    within = _where(setup)
    way = edge_queries.read_way(page.source, group, within)
    _show_breadcrumb(setup, within, row, way)
    parent_rr = way.iloc[-1]["avg_rr"] if len(way) else row["avg_rr"]
    children = _children(page.source, group, within, page.filters, parent_rr)
    if children.empty:
        controls.nothing(
            f"No stored scope adds a condition to: {formats.scope(within)}. "
            "It takes 10 trades, and more with more conditions."
        )
    else:
        _show_table(children, within, setup)
    _show_lattice(page, group, setup, within)


def _chosen_group(groups: pd.DataFrame, module: str) -> tuple[Group, str, Mapping[Any, Any]]:
    rows = groups.to_dict("records")
    names = [formats.setup(one["pattern_key"], one["action_category"]) for one in rows]
    if st.session_state.get("node") not in (None, *names):
        del st.session_state["node"]
    name = st.selectbox("Setup", names, key="node", bind="query-params")
    chosen = names.index(name) if name in names else 0
    row = rows[chosen]
    return Group(module, row["pattern_key"], row["action_category"]), names[chosen], row


def _where(setup: str) -> dict[str, Any]:
    """Return the context one stands at; another setup begins at its top."""
    stood = st.session_state.get("node-stood")
    st.session_state["node-stood"] = setup
    if stood not in (None, setup):
        st.query_params.pop(_AT, None)
    return read_spelled(st.query_params.get(_AT, "[]"))


def _show_breadcrumb(
    setup: str, scope: Mapping[str, Any], row: Mapping[Any, Any], way: pd.DataFrame
) -> None:
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.button("all", key="crumb-all", type="tertiary", on_click=go_to, args=(setup, {}))
        for i, (name, value) in enumerate(scope.items()):
            st.button(
                f"+ {formats.plain(name)} {formats.plain(value)}",
                key=f"crumb-{i}",
                type="tertiary",
                on_click=go_to,
                args=(setup, dict(list(scope.items())[: i + 1])),
            )
        here = row if not len(way) or not scope else way.iloc[-1]
        st.caption(
            f"{formats.plural(int(here['n']), 'trade')}, mean "
            + (
                formats.TOO_FEW
                if here["n"] < formats.MIN_SHOWN_N
                else formats.signed(here["avg_rr"])
            )
        )


# ------------------------------------------------------------------ the children
@kept
def _children(
    source: Source, group: Group, within: Mapping[str, Any], filters: Filters, parent_rr: Any
) -> pd.DataFrame:
    """Return the children of a context, described; none where none is stored."""
    children = edge_queries.read_scopes(source, group, within, 1)
    if children.empty:
        return children
    return child_table(children, within, _lessons_of(source, filters, group), float(parent_rr))


def child_table(
    children: pd.DataFrame, within: Mapping[str, Any], known: Mapping[str, str], parent_rr: float
) -> pd.DataFrame:
    """Return the children of a context, those with the strongest signal first.

    Args:
        children: Stored scopes of one condition more.
        within: The context.
        known: Label of the lesson of a scope, by the scope in words.
        parent_rr: Mean outcome of the context, R.
    """
    few = children["n"] < formats.MIN_SHOWN_N
    signal = (children["avg_rr"].astype(float) - parent_rr).abs() * children["n"] ** 0.5
    ranked = children.assign(rank=signal.mask(few, -1.0)).sort_values("rank", ascending=False)
    added = [{k: v for k, v in scope.items() if k not in within} for scope in ranked["scope"]]
    return pd.DataFrame(
        {
            "condition": [formats.guarded(formats.scope(one)) for one in added],
            "n": ranked["n"],
            "adds": _told(ranked, ranked["avg_rr"].astype(float) - parent_rr),
            "delta": _told(ranked, ranked["delta_rr"]),
            "se": _told(ranked, ranked["se_rr"], with_sign=False),
            "mean": _told(ranked, ranked["avg_rr"]),
            "edge_raw": _told(ranked, ranked["edge_raw"], digits=3),
            "weeks": [
                f"{int(p)} of {int(t)}"
                for p, t in zip(ranked["segments_positive"], ranked["segments_tested"], strict=True)
            ],
            "lesson": [known.get(formats.scope(one), "") for one in ranked["scope"]],
            "scope": list(ranked["scope"]),
        }
    )


def _told(
    scopes: pd.DataFrame, values: pd.Series, *, digits: int = 2, with_sign: bool = True
) -> list[str]:
    """Return numbers for a table; those of too few trades say so instead."""
    texts = [formats.signed(value, digits=digits, unit="") for value in values.astype(float)]
    if not with_sign:
        texts = [text.lstrip("+") for text in texts]
    return [
        formats.TOO_FEW if n < formats.MIN_SHOWN_N else text
        for n, text in zip(scopes["n"], texts, strict=True)
    ]


def _show_table(table: pd.DataFrame, within: Mapping[str, Any], setup: str) -> None:
    shown = table.drop(columns="scope")
    picked = controls.table(
        shown,
        on_select="rerun",
        selection_mode="single-row",
        column_config=_child_columns(),
        key=f"children-{setup}-{spelled(within)}",
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
            on_click=go_to,
            args=(setup, _further(within, table.iloc[rows[0]]["scope"]) if rows else {}),
        )
        controls.downloads(shown, "conditions")
    st.caption(
        "Raw differences of one scope of many: they rank, they decide nothing. "
        f"No number below {formats.MIN_SHOWN_N} trades."
    )


def _further(within: Mapping[str, Any], scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return a scope with the conditions one stands at first, in their order."""
    return {**within, **{k: v for k, v in scope.items() if k not in within}}


def _child_columns() -> dict[str, Any]:
    column = st.column_config
    return {
        "condition": column.TextColumn("Condition", width="medium", pinned=True),
        "n": column.NumberColumn("Trades", format="%d"),
        "adds": column.TextColumn(
            "Adds (R)",
            alignment="right",
            help="Mean of the scope minus mean of where one stands.",
        ),
        "delta": column.TextColumn("To setup (R)", alignment="right"),
        "se": column.TextColumn("Std. err. (R)", alignment="right", help="As if independent."),
        "mean": column.TextColumn("Mean (R)", alignment="right"),
        "edge_raw": column.TextColumn("edge_raw", alignment="right", help="Ranks, no evidence."),
        "weeks": column.TextColumn("Segments up", alignment="right"),
        "lesson": column.TextColumn("Lesson"),
    }


def _lessons_of(source: Source, filters: Filters, group: Group) -> dict[str, str]:
    """Return the labels of the lessons of a setup, by their contexts in words."""
    lessons = queries.of_filters(queries.read_lessons(source), filters)
    own = lessons[
        (lessons["pattern_key"] == group.pattern_key)
        & (lessons["action_category"] == group.action_category)
        & (lessons["lesson_type"] != "level")
    ]
    return dict(zip(own["context"], own["label"], strict=True))


# ------------------------------------------------------------------ the lattice
def _show_lattice(page: Page, group: Group, setup: str, within: Mapping[str, Any]) -> None:
    shown = _lattice(page.source, group, within, page.filters)
    if not shown.scopes:
        return
    st.caption(
        f"The {len(shown.scopes)} largest stored scopes below, raw; blue ones are lessons, ◆ "
        "the way here. The wider the cloud at depth, the more of it is chance. Click one to stand "
        "there."
    )

    def stand(clicked: list[Any]) -> None:
        stand_at(setup, _further(within, shown.scopes[int(clicked[1])]))

    figure = draw_scope_lattice(shown, page.palette)
    controls.chart(figure, key="lattice", alt=shown.alt, on_pick=stand)


@kept
def _lattice(
    source: Source, group: Group, within: Mapping[str, Any], filters: Filters
) -> ScopeLattice:
    """Return the stored scopes below a context, with the way to it."""
    scopes = edge_queries.read_scopes(source, group, within, 3)
    scopes = scopes[scopes["n"] >= formats.MIN_SHOWN_N]
    way = edge_queries.read_way(source, group, within)
    steps = [(float(one["delta_rr"]), int(one["depth"])) for one in way.to_dict("records")]
    return scope_lattice(scopes, _lessons_of(source, filters, group), path=[(0.0, 0), *steps])


def stand_at(setup: str, scope: Mapping[str, Any]) -> None:
    """Show the page anew at a context: charts are drawn when all else stands where it stood."""
    st.session_state["go to"] = (setup, scope)
    st.rerun()


def follow_click() -> None:
    """Go where a click in a chart led to; called before anything is drawn."""
    wanted = st.session_state.pop("go to", None)
    if wanted is not None:
        go_to(*wanted)
