"""One run of a job: what it read and wrote, what it changed, what it cost, and what it said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import controls, formats
from learning.domain.durations import span

Run = Mapping[Any, Any]
_TELLS = ("progress", "checks", "attempt")  # of the runner itself, no change


def took(run: Run) -> str:
    """Return how long a run took, or how long it has been going on."""
    if _missing(run.get("started_at")) or _missing(run.get("finished_at")):
        return formats.NOTHING
    return span((run["finished_at"] - run["started_at"]).total_seconds())


def rows_told(run: Run) -> str:
    """Return how many rows a run read and wrote."""
    if _missing(run.get("rows_in")):
        return formats.NOTHING
    written = 0 if _missing(run["rows_out"]) else int(run["rows_out"])
    return f"{formats.count(int(run['rows_in']))} in, {formats.count(written)} out"


def _missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


def changes(changed: Any) -> list[tuple[str, str]]:
    """Return what a run changed, name by name; nothing that stayed zero.

    Examples:
        >>> changes({"proposed": 2, "retired": 0, "pm": {"tested": 3}, "progress": {"done": 1}})
        [('proposed', '2'), ('pm tested', '3')]
    """
    if not isinstance(changed, dict):
        return []
    found: list[tuple[str, str]] = []
    for name, value in changed.items():
        if name in _TELLS or value in (0, None, "", [], {}):
            continue
        if isinstance(value, dict):
            found += [(f"{name} {inner}", told) for inner, told in changes(value)]
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            found.append((name.replace("_", " "), text))
    return found


def show_run(run: Run) -> None:
    """Show a run whole."""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.subheader(f"Run {run['id']}", anchor=False, width="content")
            st.badge(formats.plain(run["status"]), color=_TONES.get(run["status"], "gray"))
            st.text(f"{run['job']}, slot {formats.utc(run['slot'])}")
        left, right = st.columns([1, 1.35], gap="medium")
        with left:
            _show_facts(run)
        with right:
            _show_said(run)


_TONES: Mapping[str, Any] = {
    "ok": "green", "failed": "red", "lost": "red", "running": "blue", "queued": "gray",
    "skipped": "gray",
}  # fmt: skip


def _show_facts(run: Run) -> None:
    memory = run["peak_memory_mb"]
    facts = [
        ("asked by", f"{run['run_trigger']}, {run['requested_by']}"),
        ("queued", formats.utc(run["queued_at"])),
        ("started", formats.NOTHING if _missing(run["started_at"])
         else formats.utc(run["started_at"])),
        ("took", took(run)),
        ("rows", rows_told(run)),
        ("peak memory", formats.NOTHING if _missing(memory) else f"{memory:.0f} MB"),
        ("worker", run["worker"] or formats.NOTHING),
        ("code", run["code_version"] or formats.NOTHING),
    ]  # fmt: skip
    table = pd.DataFrame(facts, columns=["fact", "value"])
    table["value"] = table["value"].map(formats.guarded)
    controls.table(
        table,
        alt=f"Facts of run {run['id']}",
        saved_as=f"run-{run['id']}",
        key=f"facts-{run['id']}",
        column_config={"fact": st.column_config.TextColumn("Fact", width=100, pinned=True)},
    )


def _show_said(run: Run) -> None:
    if run["error"]:
        error_id = run["error_id"] or "none"
        st.badge(f"error id {formats.plain(error_id)}", icon=":material/error:", color="red")
        st.text(run["error"])
    found = pd.DataFrame(changes(run["changed"]), columns=["what changed", "value"])
    if found.empty:
        st.caption("It changed nothing.")
    else:
        found = found.map(formats.guarded)
        controls.table(
            found,
            alt=f"What run {run['id']} changed",
            saved_as=f"changed-by-run-{run['id']}",
            key=f"changed-{run['id']}",
            height="content" if len(found) < 9 else 320,
        )
    if run["log_tail"]:
        st.caption("The end of its log")
        st.code(run["log_tail"], language=None, height=180)
