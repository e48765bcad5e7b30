"""A worker in a process of its own, with jobs that take a while: ``python -m … URL JOB_S MODE``.

Modes: drain (run what is queued, then end), patient (the same, but wait for more), worker (as
``./run worker``), ticking (the same with a slot each second, which tells how its clock is off),
unlocked (drain without any lock) and unfenced (patient without asking whether a run is still its
own): the controls that must be caught.
"""

from __future__ import annotations

import logging
import signal
import sys
import time
from datetime import timedelta

import sqlalchemy as sa

from jobs.job import Job, JobContext, JobReport
from jobs.runner import Runner
from jobs.scheduler import Scheduler, run_worker
from jobs.timetable import TIMETABLE
from learning.settings import Settings
from learning.store import job_rows
from learning.store.database import create_engine, transaction
from learning.store.job_rows import ClaimedRun
from learning.store.state_rows import touch

SLOW, TICKING = "slow", "ticking"


def slow(context: JobContext, seconds: float) -> JobReport:
    """Wait in small steps, then write."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.005)
    with context.transaction() as connection:
        touch(connection)
    return JobReport(rows_out=1)


def runner_of(url: str, seconds: float) -> Runner:
    """A runner whose every job does nothing but wait."""
    hour = timedelta(hours=1)

    def run(context: JobContext) -> JobReport:
        return slow(context, seconds)

    names = [SLOW, *(job.name for job in TIMETABLE)]
    jobs = {name: Job(name, run, hour, timedelta(0), 2 * hour, "a test") for name in names}
    return Runner(create_engine(url, pool_size=3), Settings.from_env(database_url=url), jobs)


def told(context: JobContext) -> JobReport:
    """Tell how this worker's clock differs from the database's."""
    with transaction(context.engine, read_only=True) as connection:
        return JobReport(changed={"skew_s": job_rows.clock_skew(connection).total_seconds()})


def tick(runner: Runner) -> None:
    """Work off a timetable of one job whose every second is a slot of its own."""
    second = timedelta(seconds=1)
    job = Job(TICKING, told, second, timedelta(0), 2 * second, "a test", catch_up="every")
    runner.jobs = {TICKING: job}
    scheduler = Scheduler(runner)
    scheduler._jobs = (job,)
    signal.signal(signal.SIGTERM, lambda *_: scheduler.stop())
    scheduler.run()


def claim_any(
    connection: sa.Connection, *, worker: str, code_version: str, run_id: int | None = None
) -> ClaimedRun | None:
    """Claim as many a queue does: each row once, whatever else is running."""
    row = connection.execute(
        sa.text(
            "UPDATE job_runs SET status = 'running', worker = :worker, started_at = "
            "clock_timestamp(), heartbeat_at = clock_timestamp() WHERE id = (SELECT id FROM "
            "job_runs WHERE status = 'queued' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) "
            "RETURNING id, job, slot, run_trigger, requested_by"
        ),
        {"worker": worker},
    ).one_or_none()
    return None if row is None else ClaimedRun(*row)


def main() -> None:
    url, seconds, mode = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    logging.basicConfig(level="WARNING")
    runner = runner_of(url, seconds)
    print("ready", flush=True)
    if mode == "worker":
        run_worker(runner)
        return
    if mode == "ticking":
        tick(runner)
        return
    if mode == "unlocked":
        job_rows.claim = claim_any
    if mode == "unfenced":
        job_rows.is_still_mine = lambda *_args, **_more: True
    idle, patience = 0, 2000 if mode in ("patient", "unfenced") else 20
    while idle < patience:
        idle = idle + 1 if runner.run_next() is None else 0
        time.sleep(0.01)


if __name__ == "__main__":
    main()
