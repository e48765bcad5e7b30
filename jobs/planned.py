"""When each job runs next, or why it does not: for the command, the page and the doctor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection

from jobs.job import Job
from jobs.slots import back_off_end, missing_slots
from jobs.timetable import next_slot, timetable
from learning.settings import Profile
from learning.store import job_rows
from learning.store.job_rows import Failures, Pause, QueuedRun

PlannedState = Literal["paused", "running", "queued", "retries", "backs off", "due", "planned"]
_PATIENCE = timedelta(minutes=1)  # a worker queues what is due within its jitter and a tick


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """How one job of the timetable stands.

    Attributes:
        job: The row of the timetable.
        state: ``due``: its slot came, and no worker has queued it.
        at: When it runs next; None where it is paused, running or waiting already.
        said: The same in words.
        last: Its newest run; None where it never ran.
        last_ok_at: When its last good run ended.
        late_since: From when its last good run is older than it may be; None: it is not, it never
            ran well, or it is paused.
        failures: Failures since its last good run.
        pause: Who took it off the timetable.
    """

    job: Job
    state: PlannedState
    at: datetime | None
    said: str
    last: sa.RowMapping | None
    last_ok_at: datetime | None
    late_since: datetime | None
    failures: Failures | None
    pause: Pause | None


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database holds about all jobs."""

    now: datetime
    last: Mapping[str, sa.RowMapping]
    attempted: Mapping[str, datetime]
    failures: Mapping[str, Failures]
    pauses: Mapping[str, Pause]
    queue: Mapping[str, QueuedRun]


def planned_runs(connection: Connection, profile: Profile) -> tuple[PlannedRun, ...]:
    """Return how every job of the timetable stands, in its order."""
    jobs = timetable(profile)
    names = [job.name for job in jobs]
    known = _Known(
        now=job_rows.database_now(connection),
        last={row["job"]: row for row in job_rows.last_runs(connection, names)},
        attempted=job_rows.last_attempts(connection, names),
        failures=job_rows.read_failures(connection, names),
        pauses=job_rows.read_pauses(connection),
        queue={run.job: run for run in reversed(job_rows.read_queue(connection))},
    )
    return tuple(_planned(job, known) for job in jobs)


def _planned(job: Job, known: _Known) -> PlannedRun:
    last = known.last.get(job.name)
    pause = known.pauses.get(job.name)
    ok_at = None if last is None else last["last_ok_at"]
    state, at, said = _stands(job, last, known)
    return PlannedRun(
        job,
        state,
        at,
        said,
        last,
        ok_at,
        None if pause is not None else _late_since(job, ok_at, known.now),
        known.failures.get(job.name),
        pause,
    )


def _stands(
    job: Job, last: sa.RowMapping | None, known: _Known
) -> tuple[PlannedState, datetime | None, str]:
    pause, waiting = known.pauses.get(job.name), known.queue.get(job.name)
    if last is not None and last["status"] == "running":
        return "running", None, running_words(last["changed"])
    if pause is not None:
        return "paused", None, f"paused by {pause.paused_by}, {utc(pause.since)}: {pause.reason}"
    if waiting is not None and waiting.not_before > known.now:
        return "retries", waiting.not_before, f"again at {utc(waiting.not_before)}"
    if waiting is not None:
        asked = f"queued since {utc(waiting.queued_at)} by {waiting.requested_by}"
        return "queued", None, asked
    failures = known.failures.get(job.name)
    resumes_at = back_off_end(job, failures)
    slot = next_slot(job, known.now)
    if failures is not None and resumes_at is not None and resumes_at > slot:
        said = f"{utc(resumes_at)}, failed {failures.in_a_row} times"
        return "backs off", resumes_at, said
    missed = missing_slots(job, known.attempted.get(job.name), known.now - _PATIENCE)
    if missed:
        return "due", missed[-1], f"due since {utc(missed[-1])}: does a worker run?"
    return "planned", slot, utc(slot)


def _late_since(job: Job, ok_at: datetime | None, now: datetime) -> datetime | None:
    if ok_at is None or ok_at + job.max_age >= now:
        return None
    return ok_at + job.max_age


def running_words(changed: Mapping[str, Any] | None) -> str:
    """Say how far a run is that goes on.

    Examples:
        >>> running_words({"progress": {"done": 200, "total": 1000, "what": "strands"}})
        'running: strands 200 of 1000'
        >>> running_words(None)
        'running'
    """
    progress = (changed or {}).get("progress")
    if not progress:
        return "running"
    of = f" of {progress['total']}" if progress["total"] else ""
    return f"running: {progress['what']} {progress['done']}{of}"


def utc(moment: datetime) -> str:
    """Return a moment of the database as its clock shows it.

    Examples:
        >>> from datetime import UTC
        >>> utc(datetime(2024, 3, 5, 12, 30, tzinfo=UTC))
        '5 Mar 12:30 UTC'
    """
    return f"{moment.day} {moment:%b %H:%M} UTC"
