"""Runs of jobs: queued, claimed by one worker, closed.

Every moment here is the database's clock: a worker whose own is wrong does the same as any other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB, insert

from learning.store.decision_rows import refusals_told
from learning.store.schema import job_runs, job_settings

LOST_AFTER_S = 60  # a running row without a heartbeat for that long belongs to a dead worker
STOPPED_AFTER_S = 15  # the same where the process is known to be frozen
LOST_IN_A_ROW = 3  # a job that takes its worker down so often waits for its next slot
_CLAIM = sa.text("SELECT pg_advisory_xact_lock(hashtext('edgekeeper_claim'))")
_END_SESSIONS = sa.text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
    "AND usename = current_user AND application_name = ANY(:names)"
)


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run that this worker owns; ``attempt`` counts what was tried again before it."""

    run_id: int
    job: str
    slot: datetime
    run_trigger: str
    requested_by: str
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended."""

    status: str
    rows_in: int | None = None
    rows_out: int | None = None
    changed: Mapping[str, Any] | None = None
    peak_memory_mb: float | None = None
    error: str | None = None
    error_id: str | None = None
    log_tail: str | None = None


@dataclass(frozen=True, slots=True)
class Failures:
    """How often a job failed since it last ran well, and when it last did."""

    in_a_row: int
    last_at: datetime


def enqueue(
    connection: Connection,
    job: str,
    *,
    slot: datetime | None,
    trigger: str,
    requested_by: str,
    delay: timedelta = timedelta(0),
    attempt: int = 0,
) -> int | None:
    """Queue a run; return its id, or None where the slot has its run already.

    Args:
        slot: The moment the run stands for; None is now, by the database's clock.
        delay: How long after ``slot`` it may begin at the earliest.
        attempt: How often the same was tried before.
    """
    values: dict[str, Any] = {
        "job": job,
        "slot": slot if slot is not None else sa.func.clock_timestamp() + delay,
        "run_trigger": trigger,
        "requested_by": requested_by,
        "status": "queued",
    }
    if attempt:  # who only asks for runs may not write this column
        values["changed"] = {"attempt": attempt}
    statement = insert(job_runs).values(values).on_conflict_do_nothing().returning(job_runs.c.id)
    run_id: int | None = connection.execute(statement).scalar_one_or_none()
    if run_id is not None:
        connection.execute(sa.text("SELECT pg_notify('edgekeeper_jobs', '')"))
    return run_id


def enqueue_unless_queued(
    connection: Connection, job: str, *, trigger: str, requested_by: str
) -> int:
    """Queue a run of now, unless one waits already; return the id of the one that waits."""
    connection.execute(_CLAIM)
    waiting = oldest_queued(connection, job)
    if waiting is not None:
        return waiting
    run_id = enqueue(connection, job, slot=None, trigger=trigger, requested_by=requested_by)
    if run_id is None:  # the clock's step is a microsecond, and the lock is ours
        raise RuntimeError(f"a run of {job} at this very microsecond exists already")
    return run_id


def claim(
    connection: Connection, *, worker: str, code_version: str, run_id: int | None = None
) -> ClaimedRun | None:
    """Claim the oldest queued run whose job is not running and not paused; None where none is.

    The transaction-level lock makes the look and the claim one step for all workers; the unique
    index on running rows is the second wall.
    """
    connection.execute(_CLAIM)
    running = sa.select(job_runs.c.job).where(job_runs.c.status == "running")
    paused = sa.select(job_settings.c.job).where(job_settings.c.is_paused)
    wanted = (
        sa.select(job_runs.c.id)
        .where(job_runs.c.status == "queued", job_runs.c.job.not_in(running))
        .where(job_runs.c.slot <= sa.func.clock_timestamp())
        .where(sa.or_(job_runs.c.job.not_in(paused), job_runs.c.run_trigger == "manual"))
        .order_by(job_runs.c.queued_at, job_runs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)  # a decision that is being made is added to it
    )
    if run_id is not None:
        wanted = wanted.where(job_runs.c.id == run_id)
    row = connection.execute(
        sa.update(job_runs)
        # again by itself: somebody may cancel it between the look and the claim
        .where(job_runs.c.id == wanted.scalar_subquery(), job_runs.c.status == "queued")
        .values(
            status="running",
            worker=worker,
            code_version=code_version,
            started_at=sa.func.clock_timestamp(),
            heartbeat_at=sa.func.clock_timestamp(),
        )
        .returning(
            job_runs.c.id,
            job_runs.c.job,
            job_runs.c.slot,
            job_runs.c.run_trigger,
            job_runs.c.requested_by,
            sa.func.coalesce(job_runs.c.changed["attempt"].as_integer(), 0),
        )
    ).one_or_none()
    return None if row is None else ClaimedRun(*row)


def oldest_queued(connection: Connection, job: str) -> int | None:
    """Return the oldest queued run of a job that may begin now, None where none is."""
    oldest: int | None = connection.scalar(
        sa.select(sa.func.min(job_runs.c.id)).where(
            job_runs.c.job == job,
            job_runs.c.status == "queued",
            job_runs.c.slot <= sa.func.clock_timestamp(),
        )
    )
    return oldest


def is_still_mine(connection: Connection, *, run_id: int, worker: str) -> bool:
    """Say, and hold to the end of the transaction, whether this worker still owns a run."""
    owned = sa.select(job_runs.c.id).where(
        job_runs.c.id == run_id, job_runs.c.status == "running", job_runs.c.worker == worker
    )
    return connection.execute(owned.with_for_update()).first() is not None


def beat(
    connection: Connection, *, run_id: int, worker: str, progress: Mapping[str, Any] | None = None
) -> bool:
    """Say that a run is alive, and how far; False where it is no longer this worker's."""
    values: dict[str, Any] = {"heartbeat_at": sa.func.clock_timestamp()}
    if progress is not None:
        before = sa.func.coalesce(job_runs.c.changed, sa.literal({}, JSONB))
        values["changed"] = before.op("||")(sa.literal({"progress": dict(progress)}, JSONB))
    result = connection.execute(
        sa.update(job_runs)
        .where(job_runs.c.id == run_id, job_runs.c.worker == worker, job_runs.c.status == "running")
        .values(values)
    )
    return result.rowcount == 1


def close(connection: Connection, *, run_id: int, worker: str, outcome: RunOutcome) -> bool:
    """Close a run; False where it was taken from this worker meanwhile."""
    result = connection.execute(
        sa.update(job_runs)
        .where(job_runs.c.id == run_id, job_runs.c.worker == worker, job_runs.c.status == "running")
        .values(
            status=outcome.status,
            finished_at=sa.func.clock_timestamp(),
            rows_in=outcome.rows_in,
            rows_out=outcome.rows_out,
            changed=dict(outcome.changed) if outcome.changed is not None else sa.null(),
            peak_memory_mb=outcome.peak_memory_mb,
            error=outcome.error,
            error_id=outcome.error_id,
            log_tail=outcome.log_tail,
        )
    )
    return result.rowcount == 1


def session_name(run_id: int) -> str:
    """Return what the sessions of a run are called while it is in a transaction."""
    return f"edgekeeper run {run_id}"


def _never(*_: object) -> bool:
    return False


def mark_lost(
    connection: Connection,
    *,
    after_s: float = LOST_AFTER_S,
    stopped_after_s: float = STOPPED_AFTER_S,
    is_dead: Callable[[str], bool] = _never,
    is_stopped: Callable[[str], bool] = _never,
    is_forgotten: Callable[[int, str], bool] = _never,
) -> list[int]:
    """Mark running rows of dead workers as lost, and queue each of their jobs again.

    What a lost run still holds, in a transaction that will never end by itself, is freed: its
    sessions are ended.

    Args:
        after_s: Seconds without a heartbeat after which a worker is taken for dead.
        stopped_after_s: The same for one that is known to be frozen.
        is_dead: Whether a worker is known to be gone, by its name: asked before that.
        is_stopped: Whether a worker is known to be frozen.
        is_forgotten: Whether a run, by its id, is known not to be run by its living worker.

    Returns:
        The ids of the lost runs. One whose row is locked, by its own worker for one, is passed by
        until the session that locks it has ended, so that nobody waits for that.
    """

    def why(run_id: int, worker: str, silent_s: float) -> str | None:
        limit_s = stopped_after_s if is_stopped(worker) else after_s
        gone = f"worker {worker} is gone"
        if is_dead(worker):
            return f"its process has ended: {gone}"
        if is_forgotten(run_id, worker):
            return f"its beginning or its end could not be told to worker {worker}"
        return f"no heartbeat for {limit_s:g} s: {gone}" if silent_s > limit_s else None

    running = connection.execute(_running()).all()
    suspects = [row.id for row in running if why(*row) is not None]
    if not suspects:
        return []
    end_sessions(connection, suspects)
    lost = []
    rows = _running().where(job_runs.c.id.in_(suspects)).with_for_update(skip_locked=True)
    for row in connection.execute(rows).all():
        told = why(*row)  # it may have come back meanwhile
        if told is not None:
            _mark_lost(connection, row.id, told)
            lost.append(row.id)
    return lost


def _mark_lost(connection: Connection, run_id: int, error: str) -> None:
    job: str = connection.execute(
        sa.update(job_runs)
        .where(job_runs.c.id == run_id)
        .values(status="lost", finished_at=sa.func.clock_timestamp(), error=error)
        .returning(job_runs.c.job)
    ).scalar_one()
    _queue_again(connection, job, run_id)


def read_errors(connection: Connection, run_ids: Sequence[int]) -> dict[str, str]:
    """Return what some runs ended with, by job."""
    if not run_ids:
        return {}
    c = job_runs.c
    return dict(connection.execute(sa.select(c.job, c.error).where(c.id.in_(run_ids))).all())


def _running() -> sa.Select[int, str, float]:
    """Running rows with the seconds since their heartbeat."""
    c = job_runs.c
    silent = sa.extract("epoch", sa.func.clock_timestamp() - c.heartbeat_at)
    return sa.select(c.id, c.worker, silent.cast(sa.Double)).where(c.status == "running")


def end_sessions(connection: Connection, run_ids: Sequence[int]) -> int:
    """End the sessions of runs that are lost, as far as they are this user's; return how many."""
    ended = connection.execute(_END_SESSIONS, {"names": [session_name(one) for one in run_ids]})
    return len(ended.all())


def _queue_again(connection: Connection, job: str, run_id: int) -> None:
    failures = read_failures(connection, [job]).get(job)
    if failures is not None and failures.in_a_row < LOST_IN_A_ROW:
        enqueue(
            connection, job, slot=None, trigger="catch_up", requested_by=f"after lost run {run_id}"
        )


def last_attempts(connection: Connection, jobs: Sequence[str]) -> dict[str, datetime]:
    """Return for each job that ever was queued the newest slot of it.

    A run for an arrival is none: it looks at what is new alone, and under a busy bot there is one
    at every moment, so that no slot would ever get the run that looks at everything.
    """
    wanted = _these(jobs)
    c = job_runs.c
    newest = sa.select(sa.func.max(c.slot)).where(c.job == wanted.c.job, c.run_trigger != "notify")
    rows = connection.execute(sa.select(wanted.c.job, newest.scalar_subquery()))
    return {job: slot for job, slot in rows if slot is not None}


def read_failures(connection: Connection, jobs: Sequence[str]) -> dict[str, Failures]:
    """Return the failures (failed and lost runs) of each job since it last ran well, if any."""
    wanted, c = _these(jobs), job_runs.c
    since = sa.func.coalesce(_last_ok(wanted), 0)
    failed = (
        sa.select(sa.func.count().label("in_a_row"), sa.func.max(c.finished_at).label("last_at"))
        .where(c.job == wanted.c.job, c.status.in_(("failed", "lost")), c.id > since)
        .lateral("failed")
    )
    rows = connection.execute(
        sa.select(wanted.c.job, failed.c.in_a_row, failed.c.last_at)
        .join_from(wanted, failed, sa.true())
        .where(failed.c.in_a_row > 0)
    )
    return {job: Failures(count, last_at) for job, count, last_at in rows}


def failed_lately(connection: Connection, job: str) -> bool:
    """Say whether a job failed and ran well again in the quarter of a day of its present failures.

    Those are the ones since it last ran well; where there are none, the quarter is that of now.
    """
    c = job_runs.c
    failed = sa.and_(c.job == job, c.status.in_(("failed", "lost")))
    well = sa.select(sa.func.max(c.id)).where(c.job == job, c.status == "ok").scalar_subquery()
    first = sa.select(sa.func.min(c.finished_at)).where(failed, c.id > sa.func.coalesce(well, 0))
    since = sa.func.coalesce(first.scalar_subquery(), sa.func.clock_timestamp())
    quarter = sa.func.date_bin(timedelta(hours=6), since, datetime(2000, 1, 1, tzinfo=UTC))
    earlier = sa.select(sa.exists().where(failed, c.id < well, c.finished_at >= quarter))
    return bool(connection.scalar(earlier))


def _last_ok(wanted: sa.TableValuedAlias) -> sa.ScalarSelect[Any]:
    """The id of the newest run of a job that ended well."""
    well = job_runs.alias("well")
    newest = sa.select(sa.func.max(well.c.id)).where(
        well.c.job == wanted.c.job, well.c.status == "ok"
    )
    return newest.correlate(wanted).scalar_subquery()


def _these(jobs: Sequence[str]) -> sa.TableValuedAlias:
    listed = sa.func.unnest(sa.literal(list(jobs), sa.ARRAY(sa.Text)))
    return listed.table_valued("job", name="wanted").render_derived()


def last_runs(connection: Connection, jobs: Sequence[str]) -> list[sa.RowMapping]:
    """Return the newest run of each of the jobs that ever was queued, with when it last was well.

    One that goes on comes before what waits behind it. Looked up job by job: under a busy bot
    there are hundreds of thousands of runs.
    """
    return list(connection.execute(_last_runs(tuple(jobs))).mappings())


@functools.lru_cache(maxsize=8)  # every page asks for the same
def _last_runs(jobs: tuple[str, ...]) -> sa.Select[Any]:
    wanted, newer, well = _these(jobs), job_runs.alias("newer"), job_runs.alias("then")
    newest = sa.select(sa.func.max(newer.c.id)).where(newer.c.job == wanted.c.job)
    going_on = newest.where(newer.c.status == "running")
    ids = (
        sa.select(
            sa.func.coalesce(
                going_on.correlate(wanted).scalar_subquery(),
                newest.correlate(wanted).scalar_subquery(),
            ).label("newest_id"),
            _last_ok(wanted).label("ok_id"),
        )
        .select_from(wanted)
        .subquery("ids")
    )
    return (
        sa.select(job_runs, well.c.finished_at.label("last_ok_at"))
        .join_from(ids, job_runs, job_runs.c.id == ids.c.newest_id)
        .outerjoin(well, well.c.id == ids.c.ok_id)
        .order_by(job_runs.c.job)
    )


def database_now(connection: Connection) -> datetime:
    """Return the database's clock, the one that counts."""
    now: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return now


def clock_skew(connection: Connection) -> timedelta:
    """Return how far this process's clock is ahead of the database's."""
    before = datetime.now(UTC)
    theirs = database_now(connection)
    return before + (datetime.now(UTC) - before) / 2 - theirs


def ask_for_run(connection: Connection, job: str, *, by: str) -> int:
    """Queue a run for the worker; return its id, or that of one which a person asked for before.

    It runs even while its job is paused.

    Raises:
        DecisionRefused: If this person may not ask.
    """
    with refusals_told(connection):
        run_id: int = connection.execute(sa.select(sa.func.ask_for_run(job, by))).scalar_one()
    return run_id


def pause_job(connection: Connection, job: str, *, by: str, reason: str) -> None:
    """Take a job off the timetable until it is resumed; a run under way goes on.

    Raises:
        DecisionRefused: If this person may not pause it.
    """
    with refusals_told(connection):
        connection.execute(sa.select(sa.func.set_job_paused(job, True, by, reason)))


def resume_job(connection: Connection, job: str, *, by: str, reason: str) -> None:
    """Put a paused job back on the timetable; what it missed is made up for once.

    Raises:
        DecisionRefused: If this person may not resume it.
    """
    with refusals_told(connection):
        connection.execute(sa.select(sa.func.set_job_paused(job, False, by, reason)))


def cancel_queued_run(connection: Connection, run_id: int, *, by: str, reason: str) -> bool:
    """Take a run out of the queue; False where it is not queued any more.

    Raises:
        DecisionRefused: If this person may not cancel it.
    """
    with refusals_told(connection):
        is_cancelled: bool = connection.execute(
            sa.select(sa.func.cancel_run(run_id, by, reason))
        ).scalar_one()
    return is_cancelled


@dataclass(frozen=True, slots=True)
class Pause:
    """That a job is off the timetable: by whom, why, since when."""

    paused_by: str
    reason: str
    since: datetime


def read_pauses(connection: Connection) -> dict[str, Pause]:
    """Return the paused jobs, by name."""
    c = job_settings.c
    rows = connection.execute(
        sa.select(c.job, c.changed_by, c.reason, c.changed_at).where(c.is_paused)
    )
    return {job: Pause(by, reason, since) for job, by, reason, since in rows}


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A run that waits; not before ``not_before``, where that lies ahead."""

    run_id: int
    job: str
    run_trigger: str
    requested_by: str
    queued_at: datetime
    not_before: datetime


def read_queue(connection: Connection) -> list[QueuedRun]:
    """Return what waits to be run, in the order in which it will be."""
    c = job_runs.c
    query = (
        sa.select(c.id, c.job, c.run_trigger, c.requested_by, c.queued_at, c.slot)
        .where(c.status == "queued")
        .order_by(c.queued_at, c.id)
    )
    return [QueuedRun(*row) for row in connection.execute(query)]
