"""Runs one job once and records it; the only place where a failing job must not make us fall."""

from __future__ import annotations

import logging
import os
import resource
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from jobs.job import Job, JobContext, JobReport, Progress, RunLost, silent
from learning.settings import Settings
from learning.store import database, job_rows
from learning.store.job_rows import ClaimedRun, RunOutcome

log = logging.getLogger("edgekeeper.jobs")
HEARTBEAT_S = 10.0


def worker_name() -> str:
    """Return a name of this process that no earlier or other process has had."""
    return f"{socket.gethostname()}/{os.getpid()}/{time.time_ns():x}"


def code_version() -> str:
    """Return the commit that is running, or the release where there is no checkout."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty"],  # noqa: S607
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unversioned"
    return described.stdout.strip()


class Runner:
    """Claims queued runs and runs them, one after another.

    Args:
        engine: The database.
        settings: Read once, at the entry point.
        jobs: The timetable, by name.
    """

    def __init__(self, engine: Engine, settings: Settings, jobs: Mapping[str, Job]) -> None:
        self.engine = engine
        self.settings = settings
        self.jobs = jobs
        self.worker = worker_name()
        self.version = code_version()

    def run_now(
        self, name: str, *, requested_by: str, trigger: str = "manual", progress: Progress = silent
    ) -> RunOutcome | None:
        """Queue a job and run it here; None where another worker is running it."""
        with database.transaction(self.engine) as connection:
            job_rows.mark_lost(connection)
            run_id = job_rows.enqueue(
                connection, name, slot=None, trigger=trigger, requested_by=requested_by
            )
        with database.transaction(self.engine) as connection:
            claimed = job_rows.claim(
                connection, worker=self.worker, code_version=self.version, run_id=run_id
            )
        return None if claimed is None else self.run_claimed(claimed, progress=progress)

    def run_next(self) -> RunOutcome | None:
        """Run the oldest queued run, if there is one."""
        with database.transaction(self.engine) as connection:
            job_rows.mark_lost(connection)
            claimed = job_rows.claim(connection, worker=self.worker, code_version=self.version)
        return None if claimed is None else self.run_claimed(claimed)

    def run_queued(self, name: str) -> RunOutcome | None:
        """Run the oldest queued run of one job; None where there is none, or it runs elsewhere."""
        with database.transaction(self.engine) as connection:
            run_id = job_rows.oldest_queued(connection, name)
            claimed = None
            if run_id is not None:
                claimed = job_rows.claim(
                    connection, worker=self.worker, code_version=self.version, run_id=run_id
                )
        return None if claimed is None else self.run_claimed(claimed)

    def run_claimed(self, claimed: ClaimedRun, *, progress: Progress = silent) -> RunOutcome:
        """Run what was claimed and close its row, however it ends."""
        with _Heartbeat(self.engine, claimed.run_id, self.worker):
            outcome = self._outcome(claimed, progress)
        try:
            with database.transaction(self.engine) as connection:
                kept = job_rows.close(
                    connection, run_id=claimed.run_id, worker=self.worker, outcome=outcome
                )
        except SQLAlchemyError:
            log.exception("run %s of %s could not be closed", claimed.run_id, claimed.job)
            return outcome
        if not kept:
            log.error("run %s of %s was taken over by another worker", claimed.run_id, claimed.job)
        return outcome

    def _outcome(self, claimed: ClaimedRun, progress: Progress) -> RunOutcome:
        try:
            report = self._report(claimed, progress)
        except RunLost as lost:
            return RunOutcome("lost", error=str(lost), peak_memory_mb=_peak_memory_mb())
        except (Exception, SystemExit, RecursionError) as error:
            # a job that raises, whatever it raises, must not end the worker or starve the others
            error_id = uuid.uuid4().hex[:12]
            log.exception("job %s failed, error %s", claimed.job, error_id)
            described = f"{type(error).__name__}: {error}"[:2000]
            return RunOutcome(
                "failed", error=described, error_id=error_id, peak_memory_mb=_peak_memory_mb()
            )
        return RunOutcome("ok", report.rows_in, report.rows_out, report.changed, _peak_memory_mb())

    def _report(self, claimed: ClaimedRun, progress: Progress) -> JobReport:
        with database.transaction(self.engine) as connection:
            now = job_rows.database_now(connection)
        context = JobContext(self.engine, self.settings, claimed.run_id, self.worker, now, progress)
        return self.jobs[claimed.job].run(context)


def _peak_memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class _Heartbeat:
    """Says every few seconds that a run is alive, from a thread of its own."""

    def __init__(self, engine: Engine, run_id: int, worker: str) -> None:
        self._engine, self._run_id, self._worker = engine, run_id, worker
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            try:
                with database.transaction(self._engine) as connection:
                    job_rows.beat(connection, run_id=self._run_id, worker=self._worker)
            except SQLAlchemyError:
                log.warning("heartbeat of run %s failed", self._run_id, exc_info=True)
