"""A button that queues a run of the job behind a page's numbers."""

from __future__ import annotations

import streamlit as st

from dashboard import commands, formats
from dashboard.controls import Page


def show_job_button(page: Page, job: str, label: str) -> None:
    """Offer a run of a job to who may decide; one that waits or runs already is not asked twice."""
    if not page.viewer.may_decide:
        return
    newest = page.health.runs.get(job)
    busy = None if newest is None else newest["status"]
    is_busy = busy in ("queued", "running")
    told = f"{job} is {busy} already." if is_busy else f"Queues a run of {job} for the worker."
    clicked = st.button(
        label, icon=":material/refresh:", key=f"run-{job}", disabled=is_busy, help=told
    )
    if clicked:
        done = commands.queue_run(page.engine, job, actor=page.viewer.name)
        st.toast(formats.plain(done.said, longest=200), duration="long")
