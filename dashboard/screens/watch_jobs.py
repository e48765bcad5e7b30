"""Jobs: did everything run, and what did it do?"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import commands, controls, formats, health, queries
from dashboard.controls import Page
from dashboard.figures.run_timeline import draw_run_timeline, run_timeline
from dashboard.queries import Health
from jobs.job import Job
from jobs.timetable import timetable

_PERIODS = {"24 h": 1, "7 d": 7, "30 d": 30}


def show() -> None:
    """Draw the page."""
    page = controls.open_page("Jobs")
    _show_jobs(page)
    _show_runs(page)


# ------------------------------------------------------------------ jobs
def _show_jobs(page: Page) -> None:
    table = _job_table(page.health)
    picked = controls.table(
        table,
        on_select="rerun",
        selection_mode="single-row",
        key="jobs",
        column_config=_job_columns(),
        alt=f"{len(table)} jobs and how old their last good run is",
    )
    rows = picked["selection"]["rows"]
    if not page.viewer.may_decide:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        job = str(table.iloc[rows[0]]["job"]) if rows else None
        label = "Run now" if job is None else f"Run {job} now"
        if st.button(label, disabled=job is None, icon=":material/play_arrow:") and job is not None:
            _run(page, job)
        st.caption("Select a job to run it. The worker takes queued runs one at a time.")


def _run(page: Page, job: str) -> None:
    newest = page.health.runs[page.health.runs["job"] == job]
    if not newest.empty and newest.iloc[0]["status"] in ("queued", "running"):
        run = newest.iloc[0]
        st.toast(f"{job} is {run['status']} already: run {run['id']}")
        return
    done = commands.queue_run(page.engine, job, actor=page.viewer.name)
    st.toast(formats.plain(done.said, longest=200), duration="long")


def _job_table(now: Health) -> pd.DataFrame:
    newest = {row["job"]: row for row in now.runs.to_dict("records")}
    times = {one.name: one for one in timetable(now.profile)}
    rows = []
    for state in health.job_states(now):
        row = newest.get(state.job, {})
        rows.append(
            {
                "job": state.job,
                "state": state.state,
                "every": formats.span(times[state.job].every.total_seconds()),
                "last_ok": formats.ago(state.last_ok_at, now.now),
                "age": _age_share(times[state.job], state.last_ok_at, now.now),
                "max_age": formats.span(times[state.job].max_age.total_seconds()),
                "took": _took(row),
                "rows": _rows(row),
                "run": formats.NOTHING if not row else str(row["id"]),
            }
        )
    return pd.DataFrame(rows)


def _age_share(times: Job, last_ok: datetime | None, now: datetime) -> float | None:
    if last_ok is None:
        return None
    return min((now - last_ok) / times.max_age, 1.0)


def _took(row: dict[Any, Any]) -> str:
    if not row or pd.isna(row["started_at"]) or pd.isna(row["finished_at"]):
        return formats.NOTHING
    return formats.span((row["finished_at"] - row["started_at"]).total_seconds())


def _rows(row: dict[Any, Any]) -> str:
    if not row or pd.isna(row["rows_in"]):
        return formats.NOTHING
    return (
        f"{formats.count(int(row['rows_in']))} in, {formats.count(int(row['rows_out'] or 0))} out"
    )


def _job_columns() -> dict[str, Any]:
    column = st.column_config
    return {
        "job": column.TextColumn("Job", pinned=True),
        "state": column.TextColumn("State"),
        "every": column.TextColumn("Every", alignment="right"),
        "last_ok": column.TextColumn("Last good run", alignment="right"),
        "age": column.ProgressColumn(
            "Age against the most it may be", min_value=0, max_value=1, format="percent"
        ),
        "max_age": column.TextColumn("Stale after", alignment="right"),
        "took": column.TextColumn("Took", alignment="right"),
        "rows": column.TextColumn("Rows"),
        "run": column.TextColumn("Run", alignment="right"),
    }


# ------------------------------------------------------------------ runs
def _show_runs(page: Page) -> None:
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.subheader("Runs", anchor=False, width="content")
        period = st.segmented_control(
            "Runs of the last",
            list(_PERIODS),
            default="7 d",
            required=True,
            key="runs",
            bind="query-params",
            label_visibility="collapsed",
        )
    runs = queries.read_runs(page.engine, days=_PERIODS[period or "7 d"])
    if runs.empty:
        controls.nothing("No run in this time. Start the worker: ./run up.")
        return
    length = timedelta(days=_PERIODS[period or "7 d"])
    timeline = run_timeline(runs, now=page.health.now, least=length / 300)
    controls.chart(
        draw_run_timeline(
            timeline,
            page.palette,
            jobs=tuple(one.name for one in timetable(page.settings.profile)),
            start=page.health.now - length,
            end=page.health.now,
        ),
        key="timeline",
        alt=timeline.alt,
    )
    st.caption("Teal well, vermilion failed or lost, blue running; outlined: run by hand.")
    _show_run_table(runs)


def _show_run_table(runs: pd.DataFrame) -> None:
    table = pd.DataFrame(
        {
            "run": runs["id"],
            "job": runs["job"],
            "status": runs["status"],
            "started": runs["started_at"],
            "took": [_took(row) for row in runs.to_dict("records")],
            "rows": [_rows(row) for row in runs.to_dict("records")],
            "changed": [formats.guarded(_changed(one)) for one in runs["changed"]],
            "by": [
                formats.guarded(f"{a} {b}")
                for a, b in zip(runs["run_trigger"], runs["requested_by"], strict=True)
            ],
        }
    )
    column = st.column_config
    picked = controls.table(
        table,
        on_select="rerun",
        selection_mode="single-row",
        key=f"runs-{runs['id'].max()}",
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
    asked = st.query_params.get("run", "")
    if rows:
        _show_run(runs.iloc[rows[0]])
    elif asked.isdigit() and (runs["id"] == int(asked)).any():
        _show_run(runs[runs["id"] == int(asked)].iloc[0])
    controls.downloads(table, "runs")


def _changed(changed: Any) -> str:
    if not isinstance(changed, dict):
        return ""
    return ", ".join(
        f"{name} {value}"
        for name, value in changed.items()
        if value and not isinstance(value, list | dict)
    )


def _show_run(run: pd.Series) -> None:
    with st.container(border=True):
        st.markdown(f"**Run {run['id']}**")
        st.text(f"{run['job']}, slot {formats.utc(run['slot'])}, {run['status']}")
        memory = "" if pd.isna(run["peak_memory_mb"]) else f", {run['peak_memory_mb']:.0f} MB"
        st.text(f"worker {run['worker'] or formats.NOTHING}, code {run['code_version']}{memory}")
        if run["error"]:
            st.text(f"error {run['error_id']}: {run['error']}")
        if run["log_tail"]:
            st.code(run["log_tail"], language=None, height=220)


if __name__ == "__main__":
    show()
