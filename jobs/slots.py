"""Which slots of a job are to be queued, and when one that keeps failing gets its next."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from jobs.job import Job
from jobs.timetable import due_slot
from learning.store.job_rows import Failures

_MAX_JITTER = timedelta(seconds=30)
_BACK_OFF_FROM = 3  # failures in a row from which a job's slots are spaced out
_MAX_BACK_OFF = timedelta(days=1)


def missing_slots(job: Job, last: datetime | None, now: datetime) -> list[datetime]:
    """Return the slots to queue now: at most the newest, or all that were missed in order."""
    newest = due_slot(job, now)
    if last is not None and last >= newest:
        return []
    if job.catch_up == "once" or last is None:
        return [newest]
    n_missed = -((last - newest) // job.every)
    slots = [newest - k * job.every for k in range(n_missed)]
    return sorted(slot for slot in slots if slot > last)


def jitter(job: Job, seed: str) -> timedelta:
    """Return how long after a slot it is queued: up to 5 % of the period, at most 30 s.

    Many installations on one server then do not all begin in the same second. Jobs of less than
    ten minutes begin on time.

    Examples:
        >>> from jobs.timetable import JOBS
        >>> jitter(JOBS["ingest_strands"], "db/a") == jitter(JOBS["ingest_strands"], "db/a")
        True
    """
    if job.every < timedelta(minutes=10):
        return timedelta(0)
    drawn = int.from_bytes(hashlib.sha256(f"{seed}/{job.name}".encode()).digest()[:4], "big")
    return drawn / 2**32 * min(job.every * 0.05, _MAX_JITTER)


def back_off_end(job: Job, failures: Failures | None) -> datetime | None:
    """Return from when a job that keeps failing is queued again; None where it does not.

    After the third failure in a row it is queued one period later at the earliest, then two, four
    and so on, up to a day or its period if that is longer.

    Examples:
        >>> from datetime import UTC
        >>> from jobs.timetable import JOBS
        >>> failed = Failures(5, datetime(2024, 3, 4, tzinfo=UTC))
        >>> back_off_end(JOBS["ingest_strands"], failed).isoformat()  # every 2 h
        '2024-03-04T08:00:00+00:00'
    """
    if failures is None or failures.in_a_row < _BACK_OFF_FROM:
        return None
    spaced = 2 ** min(failures.in_a_row - _BACK_OFF_FROM, 10) * job.every
    waits: timedelta = max(min(spaced, _MAX_BACK_OFF), job.every)
    return failures.last_at + waits
