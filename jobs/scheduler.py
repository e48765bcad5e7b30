"""The worker: the library ``schedule`` ticks, the table ``job_runs`` decides.

``schedule`` keeps a raising job due and fires it at every tick, ends its loop with it, knows
nothing of missed runs and is local time. So all it does here is tick: a tick queues the slots
that are due, by the database's clock, and runs what is queued. A failing job is a row.

In a process of one's own, a bot's for one, the same runs in a thread::

    from jobs.scheduler import start_scheduler

    scheduler = start_scheduler("postgresql://…")
    ...
    scheduler.stop()
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

import schedule
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from jobs.arrivals import Arrivals
from jobs.job import Job
from jobs.runner import Runner
from jobs.slots import back_off_end, jitter, missing_slots
from jobs.timetable import JOBS, LEARNING_ORDER, TIMETABLE, load_all, timetable
from learning.errors import DatabaseUnavailable, LearningError
from learning.settings import Settings
from learning.store import database, job_rows

log = logging.getLogger("edgekeeper.scheduler")
TICK_S = 1
GRACE_S = 10.0  # from being told to end to having ended
_ABANDON_S = 8.0
_HUNG_S = 120.0  # a side thread that did not go round for so long counts as dead
_UNREACHABLE = (DatabaseUnavailable, OperationalError)


class Scheduler:
    """Queues what is due and runs what is queued, until it is told to stop."""

    def __init__(self, runner: Runner, *, takes_arrivals: bool = False) -> None:
        self._runner = runner
        self._jobs = timetable(runner.settings.profile)
        self._wake = threading.Event()
        self._arrivals = self._make_arrivals() if takes_arrivals else None
        self._clock = schedule.Scheduler()
        self._told = ""  # the failure that was logged last
        self._set_clock()

    def stop(self) -> None:
        """Ask to stop: a run under way has three seconds, then it is ended and queued again."""
        self._runner.stop.set()
        self._wake.set()

    def run(self) -> None:
        """Tick until stopped; what goes wrong in a tick is logged and tried again.

        Raises:
            LearningError: If its side thread died or hangs: a worker that is only half alive
                must end, so that whoever watches it starts another.
        """
        load_all(self._jobs)
        if self._arrivals is not None:
            self._arrivals.start()
        while not self._runner.stop.is_set():
            try:
                self._tick_if_due()
            except (SQLAlchemyError, LearningError) as error:
                self._after_failure(error)
            self._check_side_thread()
            self._wake.wait(0.2)
        if self._arrivals is not None:
            self._arrivals.join(GRACE_S)

    def tick(self) -> None:
        """Queue every due slot, then run all that is queued."""
        with database.transaction(self._runner.engine) as connection:
            now = job_rows.database_now(connection)
            queue_due(connection, now, self._runner.worker, jobs=self._jobs, seed=self._seed())
        while not self._runner.stop.is_set() and self._runner.run_next() is not None:
            pass

    def _after_failure(self, error: Exception) -> None:
        """Say once what is wrong, bring a crashed embedded server back, and pause."""
        told = str(error).strip().partition("\n")[0]
        if told != self._told:
            log.warning("tick failed, trying again: %s", told)
            self._told = told
        if self._runner.settings.database_url is None and isinstance(error, _UNREACHABLE):
            self._revive()
        # the library leaves a job that raised due at once; the pause is ours
        self._runner.stop.wait(TICK_S)

    def _revive(self) -> None:
        from learning.store.embedded import revive_server

        try:
            if revive_server(self._runner.settings.home):
                log.warning("the embedded database had crashed; it is back")
        except LearningError as error:
            log.warning("the embedded database does not come back: %s", error)

    def _tick_if_due(self) -> None:
        idle_s = self._clock.idle_seconds or 0.0
        if self._wake.is_set() or idle_s > 2 * TICK_S:
            # told that something is queued; or the local clock was set back, for which the
            # library would wait
            self._wake.clear()
            self._set_clock()
            self.tick()
        else:
            self._clock.run_pending()

    def _set_clock(self) -> None:
        self._clock.clear()
        self._clock.every(TICK_S).seconds.do(self.tick)

    def _make_arrivals(self) -> Arrivals:
        own = self._runner.engine.url.render_as_string(hide_password=False)
        return Arrivals(self._runner, self._runner.settings.listen_url or own, self._wake.set)

    def _check_side_thread(self) -> None:
        thread = self._arrivals
        if thread is None or self._runner.stop.is_set():
            return
        silent_s = time.monotonic() - thread.seen_at
        if not thread.is_alive():
            raise LearningError("the thread that takes in arrivals died; the worker ends")
        if silent_s > _HUNG_S + self._runner.jobs["aggregate_scopes"].timeout.total_seconds():
            raise LearningError(
                f"the thread that takes in arrivals hangs since {silent_s:.0f} s; the worker ends"
            )

    def _seed(self) -> str:
        url = self._runner.engine.url
        return f"{url.host}/{url.database}"


def queue_due(
    connection: Connection,
    now: datetime,
    worker: str,
    *,
    jobs: Sequence[Job] = TIMETABLE,
    seed: str | None = None,
) -> list[str]:
    """Queue the newest due slot of each job that has not had it; return the jobs queued.

    However many slots were missed, one run makes up for them, unless the job wants each. A job
    that never ran is queued too, so that a fresh install learns at once. One that failed
    three times in a row gets fewer and fewer of its slots, until it runs well again. A paused one
    gets none, and one for all of them when it is resumed.

    Args:
        seed: What spreads the slots of several installations by some seconds; None: nothing.
    """
    names = [job.name for job in jobs]
    attempted = job_rows.last_attempts(connection, names)
    failures = job_rows.read_failures(connection, names)
    pauses = job_rows.read_pauses(connection)
    queued = []
    for job in sorted(jobs, key=_place):
        if job.name in pauses:
            continue
        late = now - (timedelta(0) if seed is None else jitter(job, seed))
        resumes_at = back_off_end(job, failures.get(job.name))
        if resumes_at is not None and late < resumes_at:
            continue
        slots = missing_slots(job, attempted.get(job.name), late)
        for slot in slots:
            is_missed = len(slots) > 1 or _is_catch_up(job, attempted.get(job.name), slot)
            trigger = "catch_up" if is_missed else "schedule"
            run_id = job_rows.enqueue(
                connection, job.name, slot=slot, trigger=trigger, requested_by=worker
            )
            if run_id is not None and job.name not in queued:
                queued.append(job.name)
    return queued


def _place(job: Job) -> int:
    known = job.name in LEARNING_ORDER
    return LEARNING_ORDER.index(job.name) if known else len(LEARNING_ORDER)


def _is_catch_up(job: Job, last: datetime | None, slot: datetime) -> bool:
    return last is not None and slot - last > job.every


def run_worker(runner: Runner) -> None:
    """Run the scheduler in this process until SIGTERM or SIGINT; it ends within ten seconds."""
    scheduler = Scheduler(runner, takes_arrivals=True)

    def end(_number: int, _frame: object) -> None:
        scheduler.stop()
        threading.Thread(target=_end_anyway, args=(runner,), daemon=True).start()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, end)
    scheduler.run()


def _end_anyway(runner: Runner) -> None:
    """End a process whose run cannot be pulled out, with its row marked."""
    time.sleep(_ABANDON_S)
    runner.abandon()
    logging.shutdown()
    os._exit(0)


class RunningScheduler:
    """A scheduler in a thread of a user's own process."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._scheduler = Scheduler(runner, takes_arrivals=True)
        self._thread = threading.Thread(target=self._run, name="edgekeeper jobs", daemon=True)
        self.problem: str | None = None

    @property
    def is_running(self) -> bool:
        """Whether jobs are being run; ``problem`` says why not."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End within ten seconds; a run under way is finished, or given back and queued again."""
        self._scheduler.stop()
        self._thread.join(_ABANDON_S)
        if self._thread.is_alive():
            self._runner.abandon()
        self._runner.engine.dispose()

    def _run(self) -> None:
        try:
            self._scheduler.run()
        except LearningError as error:
            self.problem = str(error)
            log.critical("the scheduler ended: %s", error)
            self._runner.stop.set()


def start_scheduler(
    database_url: str | None = None, *, settings: Settings | None = None
) -> RunningScheduler:
    """Run Edgekeeper's jobs in this process, beside a bot for one, until ``stop``.

    The tables are brought up to date first. Any number of schedulers and workers may run on one
    database: no job runs twice at once, and no slot twice.

    Args:
        database_url: PostgreSQL URL; None: what the settings name, else the embedded server.
        settings: None: read from the environment.

    Raises:
        DatabaseUnavailable: If the database cannot be reached now.
    """
    if settings is None:
        given = {} if database_url is None else {"database_url": database_url}
        settings = Settings.from_env(**given)
    url = database_url or settings.database_url
    engine = database.create_engine(database.resolve_url(url, settings.home))
    database.migrate(engine)
    started = RunningScheduler(Runner(engine, settings, JOBS))
    started.start()
    return started
