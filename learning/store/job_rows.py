"""Runs of jobs: queued, claimed by one worker, closed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import distinct_on, insert

from learning.store.schema import job_runs, job_settings

LOST_AFTER_S = 60  # a running row without a heartbeat for that long belongs to a dead worker


@dataclass(frozen=True, slots=True)
class ClaimedRun:
    """A run that this worker owns."""

    run_id: int
    job: str
    slot: datetime
    run_trigger: str
    requested_by: str


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


def enqueue(
    connection: Connection, job: str, *, slot: datetime | None, trigger: str, requested_by: str
) -> int | None:
    """Queue a run; return its id, or None where the slot has its run already.

    Args:
        slot: The moment the run stands for; None is now, by the database's clock.
    """
    statement = (
        insert(job_runs)
        .values(
            job=job,
            slot=slot if slot is not None else sa.func.clock_timestamp(),
            run_trigger=trigger,
            requested_by=requested_by,
            status="queued",
        )
        .on_conflict_do_nothing()
        .returning(job_runs.c.id)
    )
    run_id: int | None = connection.execute(statement).scalar_one_or_none()
    if run_id is not None:
        connection.execute(sa.text("SELECT pg_notify('edgekeeper_jobs', '')"))
    return run_id


def claim(
    connection: Connection, *, worker: str, code_version: str, run_id: int | None = None
) -> ClaimedRun | None:
    """Claim the oldest queued run whose job is not running and not paused; None where none is.

    The transaction-level lock makes the look and the claim one step for all workers; the unique
    index on running rows is the second wall.
    """
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('edgekeeper_claim'))"))
    running = sa.select(job_runs.c.job).where(job_runs.c.status == "running")
    paused = sa.select(job_settings.c.job).where(job_settings.c.is_paused)
    wanted = (
        sa.select(job_runs.c.id)
        .where(job_runs.c.status == "queued", job_runs.c.job.not_in(running))
        .where(sa.or_(job_runs.c.job.not_in(paused), job_runs.c.run_trigger == "manual"))
        .order_by(job_runs.c.queued_at, job_runs.c.id)
        .limit(1)
    )
    if run_id is not None:
        wanted = wanted.where(job_runs.c.id == run_id)
    row = connection.execute(
        sa.update(job_runs)
        .where(job_runs.c.id == wanted.scalar_subquery())
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
        )
    ).one_or_none()
    return None if row is None else ClaimedRun(*row)


def oldest_queued(connection: Connection, job: str) -> int | None:
    """Return the oldest queued run of a job, None where none is."""
    oldest: int | None = connection.scalar(
        sa.select(sa.func.min(job_runs.c.id)).where(
            job_runs.c.job == job, job_runs.c.status == "queued"
        )
    )
    return oldest


def is_still_mine(connection: Connection, *, run_id: int, worker: str) -> bool:
    """Say, and hold to the end of the transaction, whether this worker still owns a run."""
    owned = sa.select(job_runs.c.id).where(
        job_runs.c.id == run_id, job_runs.c.status == "running", job_runs.c.worker == worker
    )
    return connection.execute(owned.with_for_update()).first() is not None


def beat(connection: Connection, *, run_id: int, worker: str) -> None:
    """Say that a run is alive."""
    connection.execute(
        sa.update(job_runs)
        .where(job_runs.c.id == run_id, job_runs.c.worker == worker)
        .values(heartbeat_at=sa.func.clock_timestamp())
    )


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
        )
    )
    return result.rowcount == 1


def mark_lost(connection: Connection) -> list[int]:
    """Mark running rows without a heartbeat as lost; return their ids."""
    silent = sa.func.clock_timestamp() - sa.func.make_interval(0, 0, 0, 0, 0, 0, LOST_AFTER_S)
    rows = connection.execute(
        sa.update(job_runs)
        .where(job_runs.c.status == "running", job_runs.c.heartbeat_at < silent)
        .values(
            status="lost",
            finished_at=sa.func.clock_timestamp(),
            error=f"no heartbeat for {LOST_AFTER_S} s: its worker is gone",
        )
        .returning(job_runs.c.id)
    )
    return list(rows.scalars())


def last_attempts(connection: Connection) -> dict[str, datetime]:
    """Return for each job the newest slot that was ever queued."""
    rows = connection.execute(
        sa.select(job_runs.c.job, sa.func.max(job_runs.c.slot)).group_by(job_runs.c.job)
    )
    return dict(rows.all())


def last_runs(connection: Connection) -> list[sa.RowMapping]:
    """Return the newest run of each job, with the last time it was well."""
    ok_at = (
        sa.func.max(job_runs.c.finished_at)
        .filter(job_runs.c.status == "ok")
        .over(partition_by=job_runs.c.job)
    )
    newest = (
        sa.select(job_runs, ok_at.label("last_ok_at"))
        .ext(distinct_on(job_runs.c.job))
        .order_by(job_runs.c.job, job_runs.c.queued_at.desc(), job_runs.c.id.desc())
    )
    return list(connection.execute(newest).mappings())


def database_now(connection: Connection) -> datetime:
    """Return the database's clock, the one that counts."""
    now: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return now


def clock_skew(connection: Connection) -> timedelta:
    """Return how far this process's clock is ahead of the database's."""
    before = datetime.now(UTC)
    theirs = database_now(connection)
    return before + (datetime.now(UTC) - before) / 2 - theirs


def paused_jobs(connection: Connection) -> set[str]:
    """Return the paused jobs."""
    rows = connection.execute(sa.select(job_settings.c.job).where(job_settings.c.is_paused))
    return set(rows.scalars())


def set_paused(
    connection: Connection, job: str, *, paused: bool, changed_by: str, reason: str
) -> None:
    """Pause or resume a job."""
    values = {
        "is_paused": paused,
        "changed_by": changed_by,
        "reason": reason,
        "changed_at": sa.func.now(),
    }
    connection.execute(
        insert(job_settings)
        .values(job=job, **values)
        .on_conflict_do_update(index_elements=["job"], set_=values)
    )
