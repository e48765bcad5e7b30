"""Decisions: which lessons should become overrides?"""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import controls, formats, lesson_card, queries
from dashboard.controls import Page
from dashboard.figures.lesson_forest import draw_lesson_forest, lesson_forest
from dashboard.lesson_table import lesson_columns, lesson_table

_JOBS = ("ingest_strands", "mine_pm_lessons", "mine_dm_lessons")
STATUSES = ("proposed", "active", "watch", "disabled", "rejected", "retired")
SORTS = {
    "at stake": ("value_rr", False),
    "edge": ("posterior_mean_rr", False),
    "q": ("q_value", True),
    "trades": ("n", False),
    "newest": ("discovered_at", False),
}


def show() -> None:
    """Draw the page."""
    page = controls.open_page("Decisions", jobs=_JOBS)
    lessons = queries.of_filters(queries.read_lessons(page.source), page.filters)
    status = _choose_status(lessons)
    wanted = _narrowed(lessons[lessons["status"] == status])
    if wanted.empty:
        _show_nothing(page, status, filtered=bool((lessons["status"] == status).any()))
        return
    queue = _frozen(page, wanted, lessons, status)
    left, right = st.columns([1.3, 1], gap="medium")
    with left:
        chosen = _show_queue(page, queue, status)
    with right:
        _show_preview(page, lessons, chosen)
    lesson_card.show_open_dialog(page, lessons)


# ------------------------------------------------------------------ which lessons
def _choose_status(lessons: pd.DataFrame) -> str:
    counts = lessons["status"].value_counts()
    with st.container(horizontal=True, vertical_alignment="center"):
        chosen = _status_control()
        st.caption(" · ".join(f"{counts.get(one, 0)} {one}" for one in STATUSES))
    return chosen


def _status_control() -> str:
    chosen = st.segmented_control(
        "Status",
        STATUSES,
        default="proposed",
        required=True,
        key="status",
        bind="query-params",
        label_visibility="collapsed",
    )
    return chosen or "proposed"


def _narrowed(lessons: pd.DataFrame) -> pd.DataFrame:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        sort = st.selectbox("Sort by", list(SORTS), key="sort", bind="query-params", width=130)
        min_n = st.number_input("Trades at least", 0, step=10, key="min_n", width=130)
        max_q = st.selectbox(
            "q at most", ["any", "0.01", "0.05", "0.1"], key="max_q", bind="query-params", width=110
        )
        free = st.toggle(
            "Hide those of a factor in force",
            key="free",
            bind="query-params",
            help="Leaves out lessons whose latent factor has an active override already.",
        )
    kept = lessons[lessons["n"] >= (min_n or 0)]
    if max_q != "any":
        kept = kept[kept["q_value"] <= float(max_q or 1)]
    if free:
        kept = kept[~kept["has_active_sibling"]]
    column, ascending = SORTS[sort or "at stake"]
    return kept.sort_values([column, "id"], ascending=[ascending, True])


def _frozen(page: Page, wanted: pd.DataFrame, lessons: pd.DataFrame, status: str) -> pd.DataFrame:
    """Return the queue as it stood when it was opened, so that no row moves under a finger.

    What is kept are ids and versions; the rows themselves are read anew.
    """
    asked = (status, tuple(page.filters), *(st.session_state.get(k) for k in _NARROWING))
    kept = st.session_state.get("queue")
    if kept is None or kept["asked"] != asked or kept["decided"] != st.session_state.get("decided"):
        kept = {
            "asked": asked,
            "decided": st.session_state.get("decided"),
            "number": (kept or {}).get("number", 0) + 1,
            "data_version": page.source.edition.data_version,
            "ids": wanted["id"].tolist(),
            "versions": wanted["version"].tolist(),
        }
        st.session_state["queue"] = kept
    known = lessons.set_index("id", drop=False)
    return known.loc[[one for one in kept["ids"] if one in known.index]].reset_index(drop=True)


_NARROWING = ("sort", "min_n", "max_q", "free")


# ------------------------------------------------------------------ the queue
def _show_queue(page: Page, queue: pd.DataFrame, status: str) -> int:
    kept = st.session_state["queue"]
    if kept["data_version"] != page.source.edition.data_version:
        _offer_refresh(queue, kept["versions"])
    picked = controls.table(
        lesson_table(queue),
        column_config=lesson_columns(),
        column_order=[
            "lesson",
            "edge",
            "interval",
            "n",
            "context",
            "setup",
            "q",
            "outcome",
            "change",
        ],
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [_linked(queue)]}},
        key=f"lessons-{kept['number']}",
        height="content" if len(queue) < 9 else 334,
        alt=f"{len(queue)} {status} lessons",
    )
    rows = picked["selection"]["rows"]
    chosen = int(queue.iloc[rows[0] if rows else 0]["id"])
    controls.downloads(lesson_table(queue), f"lessons-{status}")
    forest = lesson_forest(queue, selected_id=chosen)
    st.caption(
        "Shrunk edge with its 95 % interval; | is what was measured raw. Size: trades. "
        "Blue q up to 0.01, violet up to 0.05, grey above or not in the last look."
        + (f" The first {len(forest.labels)} of {len(queue)}." if forest.n_left_out else "")
    )
    controls.chart(draw_lesson_forest(forest, page.palette), key="forest", alt=forest.alt)
    return chosen


def _linked(queue: pd.DataFrame) -> int:
    """Return the row that the address names, or the first."""
    asked = st.query_params.get("lesson", "")
    ids = queue["id"].tolist()
    return ids.index(int(asked)) if asked.isdigit() and int(asked) in ids else 0


def _offer_refresh(queue: pd.DataFrame, versions: list[int]) -> None:
    moved = sum(a != b for a, b in zip(queue["version"], versions, strict=False))
    told = "The data moved on since this list was made"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(
            told + (f"; {moved} have a new version" if moved else ""),
            color="orange",
            icon=":material/update:",
        )
        st.button("Refresh the list", key="refresh", on_click=_forget_queue, type="tertiary")


def _forget_queue() -> None:
    number = st.session_state["queue"]["number"]
    st.session_state["queue"] = {"asked": None, "decided": None, "number": number}


# ------------------------------------------------------------------ the preview
def _show_preview(page: Page, lessons: pd.DataFrame, lesson_id: int) -> None:
    lesson: dict[Any, Any] = lessons[lessons["id"] == lesson_id].iloc[0].to_dict()
    with st.container(border=True):
        lesson_card.show_head(page, lesson)
        lesson_card.show_numbers(lesson)
        lesson_card.show_actions(page, lesson)
        st.markdown("**What it would change**")
        lesson_card.show_change(page, lesson)
        st.markdown("**Why believe it**")
        st.caption(formats.plain(controls.outcome_told(lesson["outcome"]), longest=120))
        lesson_card.show_evidence(page, lesson)
        st.page_link(
            "screens/read_lesson.py",
            label="The whole lesson",
            icon=":material/arrow_forward:",
            query_params={"id": str(lesson_id)},
        )


def _show_nothing(page: Page, status: str, *, filtered: bool) -> None:
    if filtered:
        controls.nothing(f"No {status} lesson passes these filters.")
        return
    looks = queries.read_looks(page.source)
    if looks.empty:
        controls.nothing("Nothing waits, and nothing was searched yet: the miner runs every 6 h.")
        return
    for look in looks.to_dict("records"):
        counts = look["counts"]
        controls.nothing(
            f"No {status} lesson. The last look at {look['module']}, "
            f"{formats.utc(look['created_at'], with_year=True)}: "
            f"{formats.plural(counts.get('scopes_stored', 0), 'scope')} stored, "
            f"{formats.count(counts.get('tested', 0))} tested, {counts.get('found', 0)} found. "
            + (look["reason"] or "")
        )
    st.page_link("screens/watch_jobs.py", label="See the runs", icon=":material/schedule:")


if __name__ == "__main__":
    show()
