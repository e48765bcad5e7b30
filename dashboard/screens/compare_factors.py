"""Factors: how many different things have we really learned?"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pandas as pd
import streamlit as st

from dashboard import commands, controls, factor_queries, formats, lesson_card, queries, theme
from dashboard.controls import Page
from dashboard.factor_commands import disable_factor
from dashboard.figures.factor_map import draw_factor_map, factor_map
from dashboard.figures.lesson_similarity import draw_lesson_similarity, lesson_similarity
from dashboard.figures.shared_conditions import draw_shared_conditions, shared_conditions
from dashboard.job_button import show_job_button

_JOB = "cluster_factors"
_MAP = "map-of-lessons"
_MAPS = ("this setup", "all setups")
_LONGEST_SETUP = 27  # letters that its column has room for


def show() -> None:
    """Draw the page."""
    page = controls.open_page("Factors", jobs=("mine_pm_lessons", "mine_dm_lessons", _JOB))
    lesson_card.show_open_dialog(page)
    factors = factor_queries.read_factors(page.source, page.filters)
    if factors.empty:
        _show_empty(page)
        return
    members = factor_queries.read_clustered(page.source, page.filters)
    _show_counts(factors)
    factor = _choose(page, factors)
    left, right = st.columns([1.15, 1], gap="medium")
    with left:
        _show_map(page, members, factor)
    with right:
        _show_similarity(page, members, factor)
    own = members[members["latent_factor_id"] == factor["factor_id"]]
    left, right = st.columns([1.5, 1], gap="medium")
    with left:
        _show_members(page, factor, own)
    with right:
        _show_decisions(page, factor, own)
    _show_table(factors)


def _show_empty(page: Page) -> None:
    box = controls.nothing(
        "No factor yet. Factors are lessons that match the same trades: it takes a lesson at "
        "least, and a run of cluster_factors."
    )
    with box:
        show_job_button(page, _JOB, "Cluster now")
        st.page_link("screens/watch_jobs.py", label="See the jobs", icon=":material/schedule:")


# ------------------------------------------------------------------ how many
def _show_counts(factors: pd.DataFrame) -> None:
    n_lessons, effective = int(factors["n_lessons"].sum()), factors["effective_lessons"].sum()
    largest = factors.iloc[0]
    acting = int((factors["n_active"] > 0).sum())
    with st.container(horizontal=True, gap="small"):
        _metric("Lessons standing", formats.count(n_lessons), f"in {len(factors)} factors")
        _metric(
            "Really different",
            f"{effective:.1f}",
            "effective lessons",
            "Sum over the factors of trace² / sum of squared similarities: 1 for copies, m for "
            "m strangers.",
        )
        _metric(
            "Largest factor", formats.plural(int(largest["n_lessons"]), "lesson"), _amounts(largest)
        )
        _metric("Factors acting", formats.count(acting), f"of {len(factors)}")
    st.text(_told(factors))


def _metric(label: str, value: str, told: str, more: str | None = None) -> None:
    st.metric(
        label, value, delta=told, delta_arrow="off", delta_color="off", border=True, help=more
    )


def _amounts(factor: Any) -> str:
    return f"amounts to {factor['effective_lessons']:.1f}"


def _told(factors: pd.DataFrame) -> str:
    largest = factors.iloc[0]
    if largest["n_lessons"] == 1:
        return "Every lesson stands for itself: no two of a setup match the same trades."
    return (
        f"The {largest['n_lessons']} lessons of {largest['factor_id']} are "
        f"{largest['effective_lessons']:.1f}: "
        f"{formats.share(largest['shared_trade_share'])} of their trades are matched by two or "
        "more of them. Approve one; however many act, they move a trade once."
    )


def _choose(page: Page, factors: pd.DataFrame) -> dict[Any, Any]:
    ids = factors["factor_id"].tolist()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        name = st.selectbox("Factor", ids, key="sel", bind="query-params", width=380)
        show_job_button(page, _JOB, "Cluster now")
        updated = formats.utc(factors["updated_at"].max())
        st.caption(f"Clustered {updated}; the largest first.")
    chosen: dict[Any, Any] = factors.iloc[ids.index(name) if name in ids else 0].to_dict()
    return chosen


# ------------------------------------------------------------------ charts
def _show_map(page: Page, members: pd.DataFrame, factor: dict[Any, Any]) -> None:
    places = _choose_places(page, factor)
    shown = factor_map(members, places, chosen=factor["factor_id"])
    if not shown.x:
        controls.nothing("The map is drawn with the next run of cluster_factors.")
        return
    st.plotly_chart(
        draw_factor_map(shown, page.palette),
        key=_MAP,
        theme=None,
        config=theme.PLOT_CONFIG,
        alt=shown.alt,
        on_select=_follow_click,
        selection_mode="points",
    )
    st.caption(
        "Near: they match the same trades. Colour: the four largest factors of the map, grey: the "
        "rest. Size: trades. ● active, ◆ proposed, ○ watched, × disabled. Click one to choose its "
        "factor."
    )


def _choose_places(page: Page, factor: dict[Any, Any]) -> pd.DataFrame:
    """Return where lessons stand: those of the factor's setup, or all; one alone is no map."""
    places = factor_queries.read_places(page.source, page.filters)
    own = places[places["setup"] == factor["setup"]]
    if len(own) < 2:
        controls.section("Map of lessons")
        return places
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.subheader("Map of lessons", anchor=False, width="content")
        which = st.segmented_control(
            "Map", _MAPS, default=_MAPS[0], required=True, key="map", bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip
    return own if which == _MAPS[0] else places


def _follow_click() -> None:
    """Choose the factor of the lesson that was clicked."""
    points = st.session_state[_MAP]["selection"]["points"]
    if points:
        st.session_state["sel"] = points[0]["customdata"][1]


def _show_similarity(page: Page, members: pd.DataFrame, factor: dict[Any, Any]) -> None:
    controls.section(f"How alike the lessons of {formats.plain(factor['setup'])} are")
    found = factor_queries.read_setup_map(page.source, controls.group_of(factor), factor["outcome"])
    if found is None:
        controls.nothing("Similarities appear with the next run of cluster_factors.")
        return
    if len(found.lesson_ids) < 2:
        controls.nothing("This setup has one lesson: there is nothing to compare it with.")
        return
    shown = lesson_similarity(
        found.lesson_ids,
        found.similarity,
        found.shared_trades,
        factor_of=dict(zip(members["id"], members["latent_factor_id"], strict=True)),
        context_of=dict(zip(members["id"], members["context"], strict=True)),
    )
    controls.chart(draw_lesson_similarity(shown, page.palette), key="similarity", alt=shown.alt)
    most = (
        ""
        if found.n_lessons == len(found.lesson_ids)
        else (f" The strongest {len(found.lesson_ids)} of {found.n_lessons}.")
    )
    kept = (
        ""
        if found.kept_share is None
        else (f" The map keeps {formats.share(found.kept_share)} of how they spread.")
    )
    st.caption(
        "1: they match the same trades; 0: none in common beyond chance, or opposite edges. Amber: "
        f"a factor.{most}{kept}"
    )


# ------------------------------------------------------------------ one factor
def _show_members(page: Page, factor: dict[Any, Any], own: pd.DataFrame) -> None:
    controls.section(
        f"Members of {formats.plain(factor['factor_id'])}",
        "1 lesson: no other matches its trades."
        if len(own) == 1
        else f"{formats.plural(len(own), 'lesson')}, effectively "
        f"{factor['effective_lessons']:.1f}; "
        f"{formats.share(factor['shared_trade_share'])} of their trades are shared.",
    )
    table = _member_table(page, factor, own)
    column = st.column_config
    controls.table(
        table,
        alt=f"{len(table)} members of {factor['factor_id']}",
        height="content" if len(table) < 11 else 400,
        column_config={
            "lesson": column.LinkColumn(
                "Lesson", display_text=r"id=(L-\d+)", width=80, pinned=True
            ),
            "context": column.TextColumn("Context", width=170),
            "edge": column.NumberColumn("Edge (R)", format="%+.2f"),
            "interval": column.TextColumn("95 % (R)", alignment="right"),
            "n": column.NumberColumn("Trades", format="%d"),
            "similarity": column.ProgressColumn(
                "Like its lead",
                min_value=0,
                max_value=1,
                format="%.2f",
                width=110,
                help="Similarity to the representative, 0 to 1.",
            ),
            "shared": column.NumberColumn(
                "In common", format="%d", help="Trades that it and the representative match."
            ),
        },
    )
    controls.downloads(table, f"members-{factor['factor_id']}")


def _member_table(page: Page, factor: dict[Any, Any], own: pd.DataFrame) -> pd.DataFrame:
    alike, shared = _beside_representative(page, factor)
    rows = own.to_dict("records")
    table = pd.DataFrame(
        {
            "lesson": [f"/lesson?id={row['label']}&v={row['version']}" for row in rows],
            "context": [formats.guarded(row["context"]) for row in rows],
            "status": [row["status"] for row in rows],
            "edge": own["posterior_mean_rr"].round(3).to_numpy() + 0.0,
            "interval": [formats.bracketed(row["ci_low_rr"], row["ci_high_rr"]) for row in rows],
            "n": own["n"].to_numpy(),
            "similarity": [alike.get(row["id"]) for row in rows],
            "shared": [shared.get(row["id"]) for row in rows],
        }
    )
    return table.sort_values("similarity", ascending=False, na_position="last").reset_index(
        drop=True
    )


def _beside_representative(
    page: Page, factor: dict[Any, Any]
) -> tuple[dict[int, float], dict[int, int]]:
    """Return by lesson how alike it is to the representative, and the trades in common."""
    at = factor["representative_lesson_id"]
    stored = factor_queries.read_similarity(page.source, factor["factor_id"])
    ids = list(stored["lesson_ids"])
    row = stored["similarity"][ids.index(at)] if at in ids else []
    found = factor_queries.read_setup_map(page.source, controls.group_of(factor), factor["outcome"])
    if found is None or at not in found.lesson_ids:
        return dict(zip(ids, row, strict=False)), {}
    trades = found.shared_trades[found.lesson_ids.index(at)].tolist()
    return dict(zip(ids, row, strict=False)), dict(zip(found.lesson_ids, trades, strict=True))


def _show_decisions(page: Page, factor: dict[Any, Any], own: pd.DataFrame) -> None:
    conditions = shared_conditions(own["scope"].tolist())
    controls.section("What it is about")
    controls.chart(
        draw_shared_conditions(conditions, page.palette), key="conditions", alt=conditions.alt
    )
    controls.section("Its representative")
    lessons = queries.read_lesson(page.source, int(factor["representative_lesson_id"]))
    if lessons.empty:
        controls.nothing("It is no longer stored: cluster the factors again.")
        return
    lesson: dict[Any, Any] = lessons.iloc[0].to_dict()
    with st.container(border=True):
        lesson_card.show_head(page, lesson)
        st.caption(
            f"{formats.plain(lesson['outcome'])}; 95 % "
            + formats.interval(lesson["ci_low_rr"], lesson["ci_high_rr"])
            + f"; n {formats.count(int(lesson['n']))}"
        )
        lesson_card.show_actions(page, lesson)
    _show_disable(page, factor, own)


def _show_disable(page: Page, factor: dict[Any, Any], own: pd.DataFrame) -> None:
    """Disable what acts of a factor, with one reason: a decision per member, all or none."""
    active = own[own["status"] == "active"].to_dict("records")
    if not active or not page.viewer.may_decide:
        return
    key = f"disable-{factor['factor_id']}"
    told = formats.plural(len(active), "active member")
    with st.popover(f"Disable the factor ({told})", icon=":material/block:"):
        st.text("Gone for every bot at once: " + ", ".join(one["label"] for one in active) + ".")
        reason = st.text_input("Reason (10 characters or more)", key=f"{key}-reason", max_chars=500)
        if st.button("Disable them now", type="primary", key=key):
            _disable(page, [lesson_card.seen_of(one) for one in active], reason, key)


def _disable(page: Page, seen: list[commands.Seen], reason: str, key: str) -> None:
    if len(reason.strip()) < commands.MIN_REASON:
        st.error(
            f"A reason of at least {commands.MIN_REASON} characters is needed.",
            icon=":material/edit:",
        )
        return
    done = disable_factor(
        page.engine,
        seen,
        actor=page.viewer.name,
        reason=reason,
        token=st.session_state.setdefault(f"{key}-token", uuid4()),
        approvals_required=page.settings.approvals_required,
    )
    if done.is_done:
        del st.session_state[f"{key}-token"]
    controls.finish(done)


# ------------------------------------------------------------------ table
def _show_table(factors: pd.DataFrame) -> None:
    controls.section("All factors")
    rows = factors.to_dict("records")
    table = pd.DataFrame(
        {
            "factor": [f"/factors?sel={row['factor_id']}" for row in rows],
            "setup": [formats.guarded(row["setup"]) for row in rows],
            "lessons": factors["n_lessons"].to_numpy(),
            "effective": factors["effective_lessons"].round(2).to_numpy(),
            "shared": [formats.share(row["shared_trade_share"]) for row in rows],
            "representative": [row["representative"] for row in rows],
            "edge": factors["posterior_mean_rr"].round(3).to_numpy() + 0.0,
            "interval": [formats.bracketed(row["ci_low_rr"], row["ci_high_rr"]) for row in rows],
            "n": factors["n"].to_numpy(),
            "active": factors["n_active"].to_numpy(),
            "context": [formats.guarded(row["context"]) for row in rows],
        }
    )
    column = st.column_config
    controls.table(
        table.assign(setup=[formats.shortened(one, _LONGEST_SETUP) for one in table["setup"]]),
        alt=f"{len(table)} factors",
        height="content" if len(table) < 11 else 400,
        column_config={
            "factor": column.LinkColumn("Factor", display_text=r"sel=(.+)$", pinned=True),
            "setup": column.TextColumn("Setup", width=166),
            "lessons": column.NumberColumn("Lessons", format="%d"),
            "effective": column.NumberColumn("Amount to", format="%.1f", help="Effective lessons."),
            "shared": column.TextColumn("Shared", alignment="right", help="Share of trades."),
            "representative": column.TextColumn("Lead", width=62, help="Its representative."),
            "context": column.TextColumn("Context", width=130),
            "edge": column.NumberColumn(
                "Edge (R)", format="%+.2f", help="Shrunk, of the representative."
            ),
            "interval": column.TextColumn("95 % (R)", alignment="right"),
            "n": column.NumberColumn("Trades", format="%d"),
            "active": column.NumberColumn("Active", format="%d", help="Active overrides."),
        },
    )
    controls.downloads(table, "factors")


if __name__ == "__main__":
    show()
