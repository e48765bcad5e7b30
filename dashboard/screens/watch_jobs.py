"""Jobs: did everything run, and what did it do?"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from dashboard import commands, controls, formats, queries
from dashboard.controls import Page
from dashboard.figures.run_durations import draw_run_durations, run_durations
from dashboard.figures.run_timeline import draw_run_timeline, run_timeline
from dashboard.queries import Plan
from dashboard.run_card import changes, rows_told, show_run, took
from jobs.planned import PlannedRun, running_words
from learning.domain.durations import span

_PERIODS = {"24 h": 1, "7 d": 7, "30 d": 30}
_JUST_NOW = timedelta(minutes=5)


def show() -> None:
    """Draw the page."""
    page = controls.open_page("Jobs")
    plan = queries.read_plan(page.engine, page.settings.profile)
    if plan.under_way:
        _show_progress(page.engine, plan.under_way)
    chosen = _show_jobs(page, plan)
    _show_queue(page, plan)
    _show_runs(page, plan, chosen)


# ------------------------------------------------------------------ what runs now
@st.fragment(run_every="2s", key="progress")
def _show_progress(engine: Engine, known: tuple[tuple[int, str], ...]) -> None:
    """Tell how far runs are, anew every two seconds; the page follows once one begins or ends."""
    runs = queries.read_under_way(engine)
    if tuple(zip(runs["id"], runs["status"], strict=True)) != known:
        st.rerun()
    for run in runs[runs["status"] == "running"].to_dict("records"):
        progress = (run["changed"] or {}).get("progress") or {}
        total = progress.get("total")
        share = min(progress["done"] / total, 1.0) if total else None
        told = formats.plain(f"{run['job']}, run {run['id']}: {running_words(run['changed'])}",
                             longest=200)  # fmt: skip
        if share is None:
            st.badge(told, icon=":material/progress_activity:", color="blue")
        else:
            st.progress(share, text=told)


# ------------------------------------------------------------------ jobs
def _show_jobs(page: Page, plan: Plan) -> str | None:
    table = _job_table(plan)
    asked = st.query_params.get("job", "")
    names = table["job"].tolist()
    picked = controls.table(
        table,
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [names.index(asked)] if asked in names else []}},
        key="jobs",
        height="content",
        column_config=_job_columns(),
        alt=f"{len(table)} jobs and how old their last good run is",
    )
    controls.downloads(table, "jobs")
    rows = picked["selection"]["rows"]
    chosen = next((one for i, one in enumerate(plan.jobs) if rows and i == rows[0]), None)
    _keep_in_address("job", None if chosen is None else chosen.job.name)
    if page.viewer.may_decide:
        _show_actions(page, plan, chosen)
    return None if chosen is None else chosen.job.name


def _keep_in_address(name: str, value: str | None) -> None:
    if value is None:
        st.query_params.pop(name, None)
    elif st.query_params.get(name) != value:
        st.query_params[name] = value


def _show_actions(page: Page, plan: Plan, chosen: PlannedRun | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        if chosen is None:
            st.caption("Select a job to run, pause or resume it.")
            return
        name = chosen.job.name
        st.button(
            f"Run {name} now",
            icon=":material/play_arrow:",
            key=f"run-{name}",
            disabled=chosen.state in ("running", "queued"),
            on_click=_run,
            args=(page, name),
            help=_why_not(chosen, plan.now),
        )
        with st.popover(
            f"Pause {name}" if chosen.pause is None else f"Resume {name}",
            icon=":material/pause:" if chosen.pause is None else ":material/play_circle:",
        ):
            _show_pause(page, name, is_paused=chosen.pause is not None)
        st.caption(formats.plain(f"{chosen.job.purpose}. Next: {chosen.said}", longest=200))


def _why_not(chosen: PlannedRun, now: datetime) -> str | None:
    if chosen.state in ("running", "queued"):
        return formats.plain(f"It is {chosen.state} already.")
    if chosen.last_ok_at is not None and now - chosen.last_ok_at < _JUST_NOW:
        return f"It ran well {formats.ago(chosen.last_ok_at, now)}."
    return "Queues a run for the worker."


def _run(page: Page, job: str) -> None:
    _say(commands.queue_run(page.engine, job, actor=page.viewer.name))


def _say(done: commands.Done) -> None:
    st.session_state["said"] = done.said


def _show_pause(page: Page, job: str, *, is_paused: bool) -> None:
    with st.form(f"pause-{job}-{is_paused}", border=False):
        reason = st.text_input("Reason (10 characters or more)", max_chars=500)
        if st.form_submit_button("Resume now" if is_paused else "Pause now", type="primary"):
            command = commands.resume if is_paused else commands.pause
            done = command(page.engine, job, actor=page.viewer.name, reason=reason)
            controls.finish(done)


def _job_table(plan: Plan) -> pd.DataFrame:
    rows = []
    for one in plan.jobs:
        run: dict[Any, Any] = dict(one.last) if one.last is not None else {}
        rows.append(
            {
                "job": one.job.name,
                "state": _state(one),
                "last_ok": formats.ago(one.last_ok_at, plan.now),
                "age": _age_share(one, plan.now),
                "next": formats.guarded(one.said),
                "every": span(one.job.every.total_seconds()),
                "took": took(run),
                "rows": rows_told(run),
                "run": formats.NOTHING if not run else str(run["id"]),
            }
        )
    return pd.DataFrame(rows)


def _state(one: PlannedRun) -> str:
    if one.state in ("running", "paused", "queued"):
        return one.state
    if one.last is None:
        return "never ran"
    if one.last["status"] in ("failed", "lost"):
        return str(one.last["status"])
    return "late" if one.late_since is not None else "ok"


def _age_share(one: PlannedRun, now: datetime) -> float | None:
    if one.last_ok_at is None:
        return None
    return 100 * min((now - one.last_ok_at) / one.job.max_age, 1.0)


def _job_columns() -> dict[str, Any]:
    column = st.column_config
    return {
        "job": column.TextColumn("Job", pinned=True),
        "state": column.TextColumn("State", width=80),
        "last_ok": column.TextColumn("Last good run", alignment="right"),
        "age": column.ProgressColumn(
            "Age of it, of the most", min_value=0, max_value=100, format="%d %%", width=130,
            help="How old the last good run is, against the age from which its numbers are stale.",
        ),
        "next": column.TextColumn("Next", width=270),
        "every": column.TextColumn("Every", alignment="right"),
        "took": column.TextColumn("Took", alignment="right"),
        "rows": column.TextColumn("Rows"),
        "run": column.TextColumn("Run", alignment="right"),
    }  # fmt: skip


# ------------------------------------------------------------------ the queue
def _show_queue(page: Page, plan: Plan) -> None:
    if not plan.queue:
        return
    controls.section("Waiting for the worker")
    for run in plan.queue:
        with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
            st.badge(f"run {run.run_id}", color="gray", icon=":material/hourglass_empty:")
            later = (
                "" if run.not_before <= plan.now else f", not before {formats.utc(run.not_before)}"
            )
            st.text(
                f"{run.job}: queued {formats.ago(run.queued_at, plan.now)} by {run.requested_by}"
                f" ({run.run_trigger}){later}",
                width="stretch",
            )
            if page.viewer.may_decide:
                _show_cancel(page, run.run_id)


def _show_cancel(page: Page, run_id: int) -> None:
    with (
        st.popover(f"Cancel run {run_id}", icon=":material/cancel:"),
        st.form(f"cancel-{run_id}", border=False),
    ):
        reason = st.text_input("Reason (10 characters or more)", max_chars=500)
        if st.form_submit_button("Cancel it now", type="primary"):
            controls.finish(
                commands.cancel_run(page.engine, run_id, actor=page.viewer.name, reason=reason)
            )


# ------------------------------------------------------------------ runs
def _show_runs(page: Page, plan: Plan, job: str | None) -> None:
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.subheader("Runs" if job is None else f"Runs of {job}", anchor=False, width="content")
        period = st.segmented_control(
            "Runs of the last",
            list(_PERIODS),
            default="24 h",
            required=True,
            key="runs",
            bind="query-params",
            label_visibility="collapsed",
        )
    days = _PERIODS[period or "24 h"]
    runs = queries.read_runs(page.engine, days=days)
    own = runs if job is None else runs[runs["job"] == job]
    if own.empty:
        controls.nothing("No run in this time. Start the worker: ./run up.")
    else:
        names = [one.job.name for one in plan.jobs]
        _show_charts(page, names, runs, own, job, length=timedelta(days=days))
        _show_run_table(own)
    _show_asked_run(page, own, job)


def _show_charts(
    page: Page,
    names: list[str],
    runs: pd.DataFrame,
    own: pd.DataFrame,
    job: str | None,
    *,
    length: timedelta,
) -> None:
    left, right = st.columns([1.6, 1], gap="medium") if job is not None else (st.container(), None)
    with left:
        if right is not None:
            st.caption("When every job ran")
        _show_timeline(page, names, runs, length)
    if right is None:
        return
    with right:
        shown = run_durations(own)
        usual = formats.NOTHING if shown.median_s is None else span(shown.median_s)
        st.caption(f"How long each run of {formats.plain(job or '')} took; usually {usual}")
        controls.chart(
            draw_run_durations(shown, page.palette, height=250), key="durations", alt=shown.alt
        )


def _show_timeline(page: Page, names: list[str], runs: pd.DataFrame, length: timedelta) -> None:
    now = page.minute + timedelta(minutes=1)
    timeline = run_timeline(runs, now=now, least=length / 100)
    older = [one for one in dict.fromkeys(timeline.jobs) if one not in names]
    controls.chart(
        draw_run_timeline(
            timeline, page.palette, jobs=(*names, *older), start=now - length, end=now
        ),
        key="timeline",
        alt=timeline.alt,
    )
    st.caption("Teal well, vermilion failed or lost, blue running; outlined: run by hand.")


def _show_run_table(runs: pd.DataFrame) -> None:
    records = runs.to_dict("records")
    table = pd.DataFrame(
        {
            "run": runs["id"],
            "job": runs["job"],
            "status": runs["status"],
            "started": runs["started_at"],
            "took": [took(row) for row in records],
            "rows": [rows_told(row) for row in records],
            "changed": [formats.guarded(_changed(row)) for row in records],
            "by": [formats.guarded(f"{r['run_trigger']} {r['requested_by']}") for r in records],
        }
    )
    column = st.column_config
    picked = controls.table(
        table,
        on_select="rerun",
        selection_mode="single-row",
        key=f"runs-{runs['id'].max()}-{len(runs)}",
        height="content" if len(table) < 9 else 334,
        alt=f"{len(table)} runs",
        column_config={
            "run": column.NumberColumn("Run", format="%d", pinned=True),
            "started": column.DatetimeColumn("Started (UTC)", format="D MMM HH:mm:ss"),
            "took": column.TextColumn("Took", alignment="right"),
            "changed": column.TextColumn("What changed", width="large"),
        },
    )
    rows = picked["selection"]["rows"]
    if rows:
        _keep_in_address("run", str(runs.iloc[rows[0]]["id"]))
    controls.downloads(table, "runs")


def _changed(run: dict[Any, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in changes(run["changed"]))


def _show_asked_run(page: Page, own: pd.DataFrame, job: str | None) -> None:
    """Show the run that the address names, or the newest of the job that is selected."""
    asked = st.query_params.get("run", "")
    found = queries.read_run(page.engine, int(asked)) if asked.isdigit() else None
    if job is not None and (found is None or found["job"] != job):
        found = None if own.empty else dict(own.iloc[0])
    if found is not None:
        show_run(found)
    elif asked:
        controls.nothing(f"No run {asked} is stored: old runs are pruned.")
    else:
        st.caption("Select a run to see what it did.")


if __name__ == "__main__":
    show()
