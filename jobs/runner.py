"""Runs one job once and records it; the only place where a failing job must not make us fall."""

from __future__ import annotations

import contextlib
import functools
import logging
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from jobs.job import Job, JobContext, JobReport, Progress, RunLost, silent
from jobs.notices import Notices, messenger
from jobs.peak_memory import PeakMemory
from jobs.run_guard import Interrupted, RunGuard
from jobs.run_log import RunLog, without_passwords
from jobs.run_sessions import RunSessions
from jobs.worker_name import is_dead, is_stopped, worker_name
from learning.errors import DatabaseUnavailable, LearningError
from learning.settings import Settings
from learning.store import database, job_rows
from learning.store.job_rows import ClaimedRun, RunOutcome

log = logging.getLogger("edgekeeper.jobs")
RETRY_AFTER = (timedelta(seconds=30), timedelta(minutes=5))  # for errors of the database only
_CLOSE_AGAIN_S = (0.2, 1.0, 3.0, 10.0, 20.0)  # within the time after which a run counts as lost
_BOOKKEEPING_MS = 10_000
_ASKED_FOR = ("manual", "demo")  # who asked sees how it ended


@functools.cache
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
        self.stop = threading.Event()
        self._sessions = RunSessions(engine)
        self._under_way: dict[int, ClaimedRun] = {}
        self.notices = Notices(messenger(settings.notice_urls))

    def run_now(
        self, name: str, *, requested_by: str, trigger: str = "manual", progress: Progress = silent
    ) -> RunOutcome | None:
        """Queue a job and run it here; None where it is running elsewhere: then it waits for that.

        Both in one transaction, so that no worker takes what is to be run here.
        """

        def ask(connection: Connection) -> int | None:
            return job_rows.enqueue(
                connection, name, slot=None, trigger=trigger, requested_by=requested_by
            )

        self._mark_lost()
        return self._claim_and_run(ask, progress)

    def run_next(self) -> RunOutcome | None:
        """Run the oldest queued run, if there is one."""
        self._mark_lost()
        return self._claim_and_run(lambda _connection: None)

    def run_queued(self, name: str) -> RunOutcome | None:
        """Run the oldest queued run of one job; None where there is none, or it runs elsewhere."""
        with self._bookkeeping() as connection:
            run_id = job_rows.oldest_queued(connection, name)
        return None if run_id is None else self._claim_and_run(lambda _connection: run_id)

    def run_arrived(self, name: str) -> RunOutcome | None:
        """Run a job for what has just arrived: all who ask while one waits share its run."""
        with self._bookkeeping() as connection:
            run_id = job_rows.enqueue_unless_queued(
                connection, name, trigger="notify", requested_by=self.worker
            )
        return self._claim_and_run(lambda _connection: run_id)

    def _run_claimed(self, claimed: ClaimedRun, progress: Progress) -> RunOutcome:
        """Run what was claimed and close its row, however it ends."""
        guard = RunGuard(
            beat=functools.partial(self._beat, claimed.run_id),
            cancel=self._sessions.cancel,
            timeout_s=self._timeout_s(claimed.job),
            wish=self.stop,
        )
        try:
            with RunLog() as lines, PeakMemory() as memory, guard:
                outcome, retry = self._outcome(claimed, guard, lines, progress)
            outcome = replace(outcome, peak_memory_mb=memory.megabytes(), log_tail=lines.tail())
            self._close(claimed, outcome, retry)
        finally:
            self._under_way.pop(claimed.run_id, None)
        return outcome

    def abandon(self) -> None:
        """Give back what is under way and does not end: its later commits are refused."""
        for claimed in list(self._under_way.values()):
            log.error("run %s of %s did not end in time", claimed.run_id, claimed.job)
            outcome = RunOutcome("skipped", error="its worker ended without it; queued again")
            try:
                self._write_end(claimed, outcome, retry=False)
            except (SQLAlchemyError, DatabaseUnavailable):
                log.warning("run %s stays open until its silence is noticed", claimed.run_id)

    def _mark_lost(self) -> None:
        """Mark what other workers left behind when they died, and tell of it for them."""
        with self._bookkeeping() as connection:
            lost = job_rows.mark_lost(
                connection,
                is_dead=is_dead,
                is_stopped=is_stopped,
                is_forgotten=self._is_forgotten,
            )
            errors = job_rows.read_errors(connection, lost)
            failures = job_rows.read_failures(connection, list(errors))
            again = {job for job in errors if job_rows.failed_lately(connection, job)}
        for job, error in errors.items():
            before = failures[job].in_a_row - 1 if job in failures else 0
            outcome = RunOutcome("lost", error=error)
            self.notices.after_run(job, outcome, before, is_again=job in again)

    @contextlib.contextmanager
    def _bookkeeping(self) -> Iterator[Connection]:
        """A short transaction that a frozen worker does not hold for long."""
        with database.transaction(
            self.engine, statement_timeout_ms=_BOOKKEEPING_MS, lock_timeout_ms=_BOOKKEEPING_MS
        ) as connection:
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '5s'")
            yield connection

    def _claim_and_run(
        self, choose: Callable[[Connection], int | None], progress: Progress = silent
    ) -> RunOutcome | None:
        """Claim a run, the oldest where none is chosen, and run it; None where there is none."""
        claimed = None
        try:
            with self._bookkeeping() as connection:
                claimed = job_rows.claim(
                    connection,
                    worker=self.worker,
                    code_version=self.version,
                    run_id=choose(connection),
                )
                if claimed is not None:
                    self._under_way[claimed.run_id] = claimed
        except BaseException:
            # the claim may stand all the same, and only its answer be lost: then nobody runs it,
            # and the next look marks it lost
            if claimed is not None:
                self._under_way.pop(claimed.run_id)
            raise
        return None if claimed is None else self._run_claimed(claimed, progress)

    def _is_forgotten(self, run_id: int, worker: str) -> bool:
        """Whether a running row is this worker's, which runs nothing of the kind."""
        return worker == self.worker and run_id not in self._under_way

    def _timeout_s(self, name: str) -> float:
        job = self.jobs.get(name)
        return 60.0 if job is None else job.timeout.total_seconds()

    def _beat(self, run_id: int, progress: Mapping[str, Any] | None) -> bool:
        with self._bookkeeping() as connection:
            return job_rows.beat(connection, run_id=run_id, worker=self.worker, progress=progress)

    def _outcome(
        self, claimed: ClaimedRun, guard: RunGuard, lines: RunLog, progress: Progress
    ) -> tuple[RunOutcome, bool]:
        """How the run ended, and whether trying again may help."""
        try:
            try:
                report = self._report(claimed, guard, lines, progress)
            finally:
                guard.release()
        except RunLost as lost:
            return RunOutcome("lost", error=str(lost)), False
        except (Exception, SystemExit, Interrupted) as error:
            # a job that raises, whatever it raises, must not end the worker or starve the others
            ended = _ended(guard)
            if ended is not None:
                return ended, False
            if guard.ending == "timed_out":
                told = f"ran past its time of {self._timeout_s(claimed.job):g} s and was ended"
                return self._failed(claimed, error, told), False
            return self._failed(claimed, error), database.is_passing(error)
        return RunOutcome("ok", report.rows_in, report.rows_out, report.changed), False

    def _failed(
        self, claimed: ClaimedRun, error: BaseException, told: str | None = None
    ) -> RunOutcome:
        error_id = uuid.uuid4().hex[:12]
        log.error("job %s failed, error %s", claimed.job, error_id, exc_info=error)
        described = told or f"{type(error).__name__}: {error}"
        described = without_passwords(described.replace("\x00", ""))
        return RunOutcome("failed", error=described[:2000], error_id=error_id)

    def _report(
        self, claimed: ClaimedRun, guard: RunGuard, lines: RunLog, progress: Progress
    ) -> JobReport:
        if claimed.job not in self.jobs:
            raise LearningError(f"this version knows no job {claimed.job!r}")
        with self._bookkeeping() as connection:
            now = job_rows.database_now(connection)

        def tell(done: int, total: int | None, what: str) -> None:
            guard.progress = {"done": done, "total": total, "what": what}
            lines.note(what)
            context.check()
            progress(done, total, what)

        context = JobContext(
            self.engine,
            self.settings,
            claimed.run_id,
            self.worker,
            now,
            tell,
            trigger=claimed.run_trigger,
            stopping=guard.stopping,
        )
        with self._sessions.of_run(claimed.run_id):
            return self.jobs[claimed.job].run(context)

    def _close(self, claimed: ClaimedRun, outcome: RunOutcome, retry: bool) -> None:
        """Close the row; while the database is away, try as long as the row may stay open."""
        for pause_s in (*_CLOSE_AGAIN_S, None):
            try:
                self._write_end(claimed, outcome, retry)
            except (SQLAlchemyError, DatabaseUnavailable):
                log.warning("run %s of %s cannot be closed", claimed.run_id, claimed.job)
                if pause_s is None or self.stop.wait(pause_s):
                    log.exception("run %s of %s stays open", claimed.run_id, claimed.job)
                    return
            else:
                return

    def _write_end(self, claimed: ClaimedRun, outcome: RunOutcome, retry: bool) -> None:
        with self._bookkeeping() as connection:
            before = job_rows.read_failures(connection, [claimed.job]).get(claimed.job)
            is_again = job_rows.failed_lately(connection, claimed.job)
            kept = job_rows.close(
                connection, run_id=claimed.run_id, worker=self.worker, outcome=outcome
            )
            if not kept:
                log.error("run %s of %s was taken over", claimed.run_id, claimed.job)
            elif retry and claimed.attempt < len(RETRY_AFTER):
                self._queue_again(connection, claimed, RETRY_AFTER[claimed.attempt])
            elif outcome.status == "skipped":
                self._queue_again(connection, claimed, timedelta(0))
            elif _may_have_written(claimed, outcome):
                self._queue_next(connection, claimed)

        if kept and claimed.run_trigger not in _ASKED_FOR:
            in_a_row = 0 if before is None else before.in_a_row
            self.notices.after_run(claimed.job, outcome, in_a_row, is_again=is_again)

    def _queue_next(self, connection: Connection, claimed: ClaimedRun) -> None:
        """Queue what follows, in the transaction that closes the run: no crash comes between."""
        then = self.jobs[claimed.job].then
        if then is not None:
            job_rows.enqueue_unless_queued(
                connection, then, trigger="notify", requested_by=claimed.requested_by
            )

    def _queue_again(self, connection: Connection, claimed: ClaimedRun, after: timedelta) -> None:
        job_rows.enqueue(
            connection,
            claimed.job,
            slot=None,
            trigger=claimed.run_trigger,
            requested_by=claimed.requested_by,
            delay=after,
            attempt=claimed.attempt + 1 if after else claimed.attempt,
        )


def _may_have_written(claimed: ClaimedRun, outcome: RunOutcome) -> bool:
    """Whether what follows has something to do: at once, and not at its own next slot.

    Its run of this slot may be under way already, and have begun before this one wrote. What a
    run that is made up for had written before it was lost, nobody has counted.
    """
    is_counted = claimed.run_trigger != "catch_up" and not claimed.attempt
    if outcome.status != "ok" or claimed.run_trigger in _ASKED_FOR:
        return False
    return bool(outcome.rows_out) or not is_counted


def _ended(guard: RunGuard) -> RunOutcome | None:
    """The outcome of a run that was taken from its worker, None where it failed."""
    if guard.ending == "stopped":
        return RunOutcome("skipped", error="its worker was told to end; queued again")
    if guard.ending == "lost":
        return RunOutcome("lost", error="the run was taken over by another worker")
    return None
