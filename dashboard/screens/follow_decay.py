"""Half-lives: which edges fade, and when must each override end?"""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import controls, decay_queries, formats
from dashboard.controls import Page
from dashboard.decay_card import JOB, next_refit, show_decay
from dashboard.figures.half_life_forest import draw_half_life_forest, half_life_forest
from dashboard.figures.override_periods import draw_override_periods, override_periods
from dashboard.job_button import show_job_button
from dashboard.lesson_card import TONES

_SHOWN = ("all", "active", "candidates")
_SORTS = {
    "half-life": ["half_life_days", "ci_low_days", "id"],
    "end": ["expires_at", "half_life_days", "id"],
    "least left": ["share_left", "half_life_days", "id"],
}
_TOLD = [
    "label", "version", "setup", "context", "status", "half_life_state", "half_life_days",
    "ci_low_days", "ci_high_days", "p_decaying", "ci_low_rr", "ci_high_rr", "half_life_reason",
]  # fmt: skip
_STATES = {
    "decaying": "halves",
    "improving": "grows",
    "sign_flip": "turned round",
    "undetermined": "not identified",
}


def show() -> None:
    """Draw the page."""
    page = controls.open_page("Half-lives", jobs=("mine_pm_lessons", "mine_dm_lessons", JOB))
    standing = decay_queries.read_standing(page.source, page.filters, page.minute)
    if standing.empty:
        _show_empty()
        return
    _show_counts(standing)
    lessons = _chosen(page, standing)
    if lessons.empty:
        controls.nothing("No lesson is left by this choice.")
        return
    left, right = st.columns([1, 1.25], gap="medium")
    with left:
        _show_forest(page, lessons)
    with right:
        _show_selected(page, lessons)
    _show_ends(page, standing)
    _show_table(lessons)


def _show_empty() -> None:
    box = controls.nothing(
        "No lesson stands here yet, so nothing can fade. Lessons come from closed trades, once "
        "they are mined; their half-lives are fitted after that."
    )
    with box:
        st.page_link("screens/watch_jobs.py", label="See the jobs", icon=":material/schedule:")


# ------------------------------------------------------------------ how many
def _show_counts(lessons: pd.DataFrame) -> None:
    counts = lessons["half_life_state"].value_counts()
    fading = lessons[(lessons["status"] == "active") & (lessons["share_left"] < 0.5)]
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for state, name in _STATES.items():
            _count(name.capitalize(), int(counts.get(state, 0)), f"of {len(lessons)} lessons")
        _count("Past half", len(fading), "active overrides")


def _count(label: str, value: int, told: str) -> None:
    st.metric(
        label, formats.count(value), delta=told, delta_arrow="off", delta_color="off", border=True
    )


def _chosen(page: Page, lessons: pd.DataFrame) -> pd.DataFrame:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        which = st.segmented_control(
            "Lessons", _SHOWN, default="all", required=True, key="of", bind="query-params"
        )
        sort = st.selectbox(
            "Sort by", list(_SORTS), key="sort_decay", bind="query-params", width=150
        )
        show_job_button(page, JOB, "Refit now")
        st.caption(f"Fitted weekly; next refit {formats.utc(next_refit(page))}.")
    active = lessons["status"] == "active"
    kept = {"active": active, "candidates": ~active}.get(which or "all")
    rows = lessons if kept is None else lessons[kept]
    return rows.sort_values(_SORTS[sort or "half-life"], na_position="last")


# ------------------------------------------------------------------ charts
def _show_forest(page: Page, lessons: pd.DataFrame) -> None:
    controls.section("Half-lives with their 95 % intervals")
    forest = half_life_forest(lessons)
    if not forest.labels:
        controls.nothing(
            "No lesson has enough windows for a fit: it takes 8 weeks with trades and 60 trades. "
            "The table says what each one lacks."
        )
        return
    drawn = draw_half_life_forest(forest, page.palette)

    def choose(clicked: list[Any]) -> None:
        st.session_state["fit"] = clicked[0]  # the list of lessons beside it follows

    controls.chart(drawn, key="half-lives", alt=forest.alt, on_pick=choose)
    more = f" {forest.n_left_out} more in the table." if forest.n_left_out else ""
    st.caption(
        "Click one to see its fit. Blue: active, violet: candidate, amber tick: days since "
        "approval. Grey and dotted: not "
        "identified, a constant edge is possible too; such a lesson does not fade, and its "
        f"override ends after 30 days.{more}"
    )


def _show_selected(page: Page, lessons: pd.DataFrame) -> None:
    labels = lessons["label"].tolist()
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        controls.section("One lesson")
        name = st.selectbox(
            "Lesson",
            labels,
            key="fit",
            bind="query-params",
            label_visibility="collapsed",
            width=120,
        )
    lesson: dict[Any, Any] = lessons[lessons["label"] == (name or labels[0])].iloc[0].to_dict()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(lesson["status"], color=TONES[lesson["status"]])
        st.text(f"{lesson['setup']}, {lesson['context']}", width="content")
        st.page_link(
            "screens/read_lesson.py",
            label=f"Open {lesson['label']}",
            query_params={"id": lesson["label"], "v": str(lesson["version"])},
        )
    show_decay(page, lesson, height=290)


def _show_ends(page: Page, lessons: pd.DataFrame) -> None:
    controls.section("When each override ends")
    active = lessons[lessons["status"] == "active"]
    if active.empty:
        controls.nothing("No override is active.")
        return
    shown = override_periods(active.assign(lesson_id=active["id"]), now=page.minute)
    controls.chart(draw_override_periods(shown, page.palette), key="ends", alt=shown.alt)
    st.caption(
        "From approval to its end: three half-lives, at most 90 days, 30 where none is identified. "
        "Renewing is a decision; nothing shortens an end but disabling."
    )


# ------------------------------------------------------------------ table
def _show_table(lessons: pd.DataFrame) -> None:
    controls.section("All of them")
    table = _table(lessons)
    controls.table(
        table,
        alt=f"{len(table)} lessons with their half-lives",
        height="content" if len(table) < 11 else 400,
        column_config=_columns(),
    )
    controls.downloads(table, "half-lives")


def _table(lessons: pd.DataFrame) -> pd.DataFrame:
    rows = lessons[_TOLD].to_dict("records")
    table = pd.DataFrame(
        {
            "lesson": [f"/lesson?id={row['label']}&v={row['version']}" for row in rows],
            "setup": [formats.guarded(row["setup"]) for row in rows],
            "context": [formats.guarded(row["context"]) for row in rows],
            "status": [row["status"] for row in rows],
            "fit": [_STATES[row["half_life_state"]] for row in rows],
            "half_life": [_rounded(row["half_life_days"]) for row in rows],
            "interval": [_days(row) for row in rows],
            "p_decaying": [
                formats.share(None if pd.isna(row["p_decaying"]) else row["p_decaying"])
                for row in rows
            ],
            "edge": lessons["posterior_mean_rr"].round(3).to_numpy() + 0.0,
            "edge_interval": [
                formats.bracketed(row["ci_low_rr"], row["ci_high_rr"]) for row in rows
            ],
            "edge_now": lessons["edge_now_rr"].round(3).to_numpy() + 0.0,
            "n": lessons["n"].to_numpy(),
            "windows": lessons["windows"].to_numpy(),
            "ends": lessons["expires_at"].to_numpy(),
            "why": [formats.guarded(row["half_life_reason"] or "") for row in rows],
        }
    )
    return table.reset_index(drop=True)


def _rounded(days: float) -> str:
    return formats.NOTHING if pd.isna(days) else f"{days:.0f}"


def _days(row: dict[Any, Any]) -> str:
    if pd.isna(row["ci_low_days"]):
        return formats.NOTHING
    upper = "no end" if pd.isna(row["ci_high_days"]) else f"{row['ci_high_days']:.0f}"
    return f"[{row['ci_low_days']:.0f}, {upper}]"


def _columns() -> dict[str, Any]:
    column = st.column_config
    return {
        "lesson": column.LinkColumn("Lesson", display_text=r"id=(L-\d+)", width=80, pinned=True),
        "context": column.TextColumn("Context", width=180),
        "fit": column.TextColumn("Fit"),
        "half_life": column.TextColumn("Half-life (d)", alignment="right"),
        "interval": column.TextColumn("95 % (d)", alignment="right"),
        "p_decaying": column.TextColumn(
            "P(decaying)", alignment="right", help="Posterior probability that the edge decays."
        ),
        "edge": column.NumberColumn(
            "Edge at fit (R)", format="%+.2f", help="Shrunk, where its evidence sits in time."
        ),
        "edge_interval": column.TextColumn("95 % (R)", alignment="right"),
        "edge_now": column.NumberColumn(
            "Edge now (R)",
            format="%+.2f",
            help="The same, faded by its half-life to today; without a half-life nothing fades.",
        ),
        "n": column.NumberColumn("Trades", format="%d"),
        "windows": column.NumberColumn("Windows", format="%d"),
        "ends": column.DatetimeColumn("Ends (UTC)", format="D MMM YYYY"),
        "why": column.TextColumn("Why no half-life", width="large"),
    }


if __name__ == "__main__":
    show()
