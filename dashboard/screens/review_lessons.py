"""Decisions: which lessons should become overrides?"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import pandas as pd
import streamlit as st

from dashboard import commands, controls, formats, lesson_card, queries
from dashboard.alert_list import open_alerts, show_alerts
from dashboard.controls import Page
from dashboard.figures.lesson_forest import draw_lesson_forest, lesson_forest
from dashboard.lesson_table import lesson_columns, lesson_table
from dashboard.waiting_list import (
    PUT_OFF,
    SORTS,
    STATES,
    Asked,
    Queue,
    factors_of,
    narrowed,
    neighbour,
    with_states,
)

_JOBS = ("ingest_strands", "mine_pm_lessons", "mine_dm_lessons")
_DAYS_OFF = 7
_MOST_ALERTS = 3
_LONGEST_SETUP = 30  # letters that its column has room for
_SHOWN_FIRST = ("lesson", "setup", "context", "edge", "interval", "n", "q", "change", "outcome")


def show() -> None:
    """Draw the page."""
    page = controls.open_page("Decisions", jobs=_JOBS)
    lesson_card.show_open_dialog(page)
    show_alerts(page, open_alerts(page), most=_MOST_ALERTS)
    put_off = queries.read_put_off(page.engine, page.viewer.name)
    lessons = with_states(
        queries.of_filters(queries.read_lessons(page.source), page.filters),
        now=page.health.now,
        put_off=put_off,
    )
    state = _choose_state(lessons)
    of_state = lessons[lessons["state"] == state]
    wanted = narrowed(of_state, _ask(lessons))
    if wanted.empty:
        _show_nothing(page, state, filtered=not of_state.empty)
        return
    queue = _frozen(page, wanted, lessons, state)
    left, right = st.columns([1.3, 1], gap="medium")
    with left:
        chosen, marked = _show_queue(page, queue, state)
    with right:
        _show_preview(page, lessons, chosen, put_off)
    if controls.is_open("reject several"):
        _reject_several(page, marked)


# ------------------------------------------------------------------ which lessons
def _choose_state(lessons: pd.DataFrame) -> str:
    counts = lessons["state"].value_counts()
    with st.container(horizontal=True, vertical_alignment="center"):
        chosen = st.segmented_control(
            "State",
            STATES,
            default="proposed",
            required=True,
            key="status",
            bind="query-params",
            label_visibility="collapsed",
        )
        st.caption(" · ".join(f"{counts[one]} {one}" for one in STATES if one in counts))
    return chosen or "proposed"


def _ask(lessons: pd.DataFrame) -> Asked:
    """Show what the list can be narrowed by, and return what was chosen."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        sort = st.selectbox("Sort by", list(SORTS), key="sort", bind="query-params", width=120)
        min_n = st.number_input(
            "Trades at least", 0, step=10, key="min_n", bind="query-params", width=130
        )
        max_q = st.selectbox(
            "q at most", ["any", "0.01", "0.05", "0.1"], key="max_q", bind="query-params", width=100
        )
        factor = st.selectbox(
            "Factor",
            list(factors_of(lessons)),
            index=None,
            placeholder="all factors",
            key="factor",
            bind="query-params",
            width=170,
        )
        apart = st.toggle(
            "Hide what overlaps with an override",
            key="free",
            bind="query-params",
            help="Leaves out lessons that an override in force competes with: of one latent "
            "factor, or of one setup with contexts that can both hold.",
        )
    q = None if max_q in (None, "any") else float(max_q)
    return Asked(int(min_n or 0), q, factor, apart, sort or "at stake")


# ------------------------------------------------------------------ a list that stands still
_NARROWING = ("sort", "min_n", "max_q", "factor", "free")


def _frozen(page: Page, wanted: pd.DataFrame, lessons: pd.DataFrame, state: str) -> pd.DataFrame:
    """Return the queue as it stood when it was opened, so that no row moves under a finger.

    What is kept are ids and versions; the rows themselves are read anew.
    """
    asked = (state, tuple(page.filters), *(st.session_state.get(k) for k in _NARROWING),
             st.session_state.get("decided"))  # fmt: skip
    kept = _kept()
    if kept is None or kept.asked != asked:
        kept = Queue(
            asked,
            (kept.number if kept else 0) + 1,
            page.source.edition.data_version,
            tuple(wanted["id"].tolist()),
            tuple(wanted["version"].tolist()),
        )
        st.session_state["queue"] = kept
    known = lessons.set_index("id", drop=False)
    return known.loc[[one for one in kept.ids if one in known.index]].reset_index(drop=True)


def _kept() -> Queue | None:
    kept = st.session_state.get("queue")
    return kept if isinstance(kept, Queue) else None


def _offer_refresh(queue: pd.DataFrame, versions: tuple[int, ...]) -> None:
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
    kept = _kept()
    if kept is not None:
        st.session_state["queue"] = Queue((), kept.number, 0, (), ())


# ------------------------------------------------------------------ the queue
def _show_queue(page: Page, queue: pd.DataFrame, state: str) -> tuple[int, list[commands.Seen]]:
    """Show the list; return the lesson that is looked at, and those marked to be rejected."""
    kept = _kept()
    assert kept is not None
    if kept.data_version != page.source.edition.data_version:
        _offer_refresh(queue, kept.versions)
    several = _may_mark(page, state)
    first = _linked(queue)
    listed = lesson_table(queue)
    picked = controls.table(
        listed.assign(setup=[formats.shortened(one, _LONGEST_SETUP) for one in listed["setup"]]),
        column_config=lesson_columns(setup=186, context=98),
        column_order=_SHOWN_FIRST,
        on_select="rerun",
        selection_mode="multi-row" if several else "single-row",
        selection_default={"selection": {"rows": [] if several else [first]}},
        key=f"lessons-{kept.number}-{several}-{st.session_state.get('moved', 0)}",
        height="content" if len(queue) < 9 else 334,
        alt=f"{len(queue)} {state} lessons",
    )
    rows = [row for row in picked["selection"]["rows"] if row < len(queue)]
    chosen = int(queue.iloc[rows[-1] if rows else first]["id"])
    if st.query_params.get("lesson") != str(chosen):
        st.query_params["lesson"] = str(chosen)
    marked = [lesson_card.seen_of(queue.iloc[row]) for row in rows] if several else []
    _show_below(page, queue, state, marked, several=several)
    _show_forest(page, queue, chosen)
    return chosen, marked


def _may_mark(page: Page, state: str) -> bool:
    if state not in ("proposed", PUT_OFF) or not page.viewer.may_decide:
        return False
    return bool(st.session_state.get("several"))


def _linked(queue: pd.DataFrame) -> int:
    """Return the row that the address names, or the first."""
    asked = st.query_params.get("lesson", "")
    ids = queue["id"].tolist()
    return ids.index(int(asked)) if asked.isdigit() and int(asked) in ids else 0


def _show_below(
    page: Page, queue: pd.DataFrame, state: str, marked: list[commands.Seen], *, several: bool
) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if page.viewer.may_decide and state in ("proposed", PUT_OFF):
            st.toggle(
                "Mark several",
                key="several",
                help="To reject them together. Approving is one lesson at a time.",
            )
        if several:
            st.button(
                f"Reject {formats.plural(len(marked), 'lesson')}",
                key="reject-several",
                icon=":material/cancel:",
                disabled=not marked,
                on_click=controls.open_dialog,
                args=("reject several",),
            )
        controls.downloads(lesson_table(queue), f"lessons-{state.replace(' ', '-')}")


def _show_forest(page: Page, queue: pd.DataFrame, chosen: int) -> None:
    forest = lesson_forest(queue, selected_id=chosen)
    st.caption(
        "Shrunk edge with its 95 % interval; | is what was measured raw. Size: trades. "
        "Blue q up to 0.01, violet up to 0.05, grey above or not in the last look."
        + (f" The first {len(forest.labels)} of {len(queue)}." if forest.n_left_out else "")
    )
    controls.chart(draw_lesson_forest(forest, page.palette), key="forest", alt=forest.alt)


@st.dialog(
    "Reject several", width="medium", icon=":material/cancel:", on_dismiss=controls.close_dialog
)
def _reject_several(page: Page, marked: list[commands.Seen]) -> None:
    """Reject what is marked, for good and for one reason."""
    opened = controls.opened()
    token = opened.token if opened is not None else UUID(int=0)
    st.text(", ".join(one.label for one in marked) or "Nothing is marked any more.")
    st.caption("Final for these versions. One comes back only if its evidence changes materially.")
    reason = st.text_area("Reason (10 characters or more)", key=f"several-reason-{token}",
                          max_chars=2000)  # fmt: skip
    name = f"Reject {formats.plural(len(marked), 'lesson')}"
    if st.button(name, type="primary", key=f"several-{token}", disabled=not marked):
        if len(reason.strip()) < commands.MIN_REASON:
            st.error(f"A reason of at least {commands.MIN_REASON} characters is needed.",
                     icon=":material/edit:")  # fmt: skip
            return
        done = commands.reject_all(
            page.engine, marked, actor=page.viewer.name, reason=reason, token=token
        )
        controls.finish(done)


# ------------------------------------------------------------------ the preview
def _show_preview(
    page: Page, lessons: pd.DataFrame, lesson_id: int, put_off: dict[int, datetime]
) -> None:
    lesson: dict[Any, Any] = lessons[lessons["id"] == lesson_id].iloc[0].to_dict()
    with st.container(border=True):
        lesson_card.show_head(page, lesson)
        lesson_card.show_numbers(lesson)
        lesson_card.show_actions(page, lesson)
        _show_steps(page, lesson, put_off.get(lesson_id))
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


def _show_steps(page: Page, lesson: dict[Any, Any], until: datetime | None) -> None:
    """Show the way through the list, and the reminder."""
    kept = _kept()
    assert kept is not None
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for name, key, step in (("Previous", "k", -1), ("Next", "j", 1)):
            st.button(
                name,
                key=f"step-{key}",
                shortcut=key,
                type="tertiary",
                on_click=_move,
                args=(list(kept.ids), int(lesson["id"]), step),
            )
        if page.viewer.may_decide and lesson["status"] == "proposed":
            _show_reminder(page, lesson, until)
    if until is not None:
        st.caption(f"You put it off until {formats.utc(until)}; a new version comes back at once.")


def _show_reminder(page: Page, lesson: dict[Any, Any], until: datetime | None) -> None:
    if until is None:
        st.button(f"Put off {_DAYS_OFF} d", key="put-off", shortcut="d", type="tertiary",
                  on_click=_put_off, args=(page, lesson_card.seen_of(lesson)),
                  help="A reminder for you alone; it changes nothing.")  # fmt: skip
    else:
        st.button("Show it again now", key="show-again", type="tertiary",
                  on_click=_show_again, args=(page, int(lesson["id"])))  # fmt: skip


def _move(ids: list[int], chosen: int, step: int) -> None:
    st.query_params["lesson"] = str(neighbour(ids, chosen, step))
    st.session_state["moved"] = st.session_state.get("moved", 0) + 1


def _put_off(page: Page, seen: commands.Seen) -> None:
    done = commands.put_off(page.engine, seen, actor=page.viewer.name, days=_DAYS_OFF)
    _told(done)


def _show_again(page: Page, lesson_id: int) -> None:
    _told(commands.show_again(page.engine, lesson_id, actor=page.viewer.name))


def _told(done: commands.Done) -> None:
    st.session_state["said"] = done.said
    if done.is_done:
        st.session_state["decided"] = (done.said, st.session_state.get("moved", 0))
        st.query_params.pop("lesson", None)


def _show_nothing(page: Page, state: str, *, filtered: bool) -> None:
    if filtered:
        controls.nothing(f"No {state} lesson passes these filters.")
        return
    if state == PUT_OFF:
        controls.nothing("You have put nothing off.")
        return
    looks = queries.read_looks(page.source)
    if looks.empty:
        controls.nothing("Nothing waits, and nothing was searched yet: the miner runs every 6 h.")
        return
    for look in looks.to_dict("records"):
        counts = look["counts"]
        controls.nothing(
            f"No {state} lesson. The last look at {look['module']}, "
            f"{formats.utc(look['created_at'], with_year=True)}: "
            f"{formats.plural(counts.get('scopes_stored', 0), 'scope')} stored, "
            f"{formats.count(counts.get('tested', 0))} tested, {counts.get('found', 0)} found. "
            + (look["reason"] or "")
        )
    st.page_link("screens/watch_jobs.py", label="See the runs", icon=":material/schedule:")


if __name__ == "__main__":
    show()
