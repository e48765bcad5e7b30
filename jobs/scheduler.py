"""The worker: the library ``schedule`` ticks, the table ``job_runs`` decides.

``schedule`` keeps a raising job due and fires it at every tick, ends its loop with it, knows
nothing of missed runs and is local time. So all it does here is tick: a tick queues the slots
that are due, by the database's clock, and runs what is queued. A failing job is a row.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from datetime import datetime

import schedule
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from jobs.runner import Runner
from jobs.timetable import LEARNING_ORDER, TIMETABLE, due_slot
from learning.errors import LearningError
from learning.store import database, job_rows

log = logging.getLogger("edgekeeper.scheduler")
TICK_S = 1


class Scheduler:
    """Queues what is due and runs what is queued, until it is told to stop."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._stop = threading.Event()
        self._clock = schedule.Scheduler()
        self._clock.every(TICK_S).seconds.do(self.tick)

    def stop(self) -> None:
        """Ask to stop after the run that is under way."""
        self._stop.set()

    def run(self) -> None:
        """Tick until stopped; what goes wrong in a tick is logged and tried again."""
        while not self._stop.is_set():
            try:
                self._clock.run_pending()
            except (SQLAlchemyError, LearningError) as error:
                log.warning("tick failed, trying again: %s", error)
                # the library leaves a job that raised due at once; the pause is ours
                time.sleep(TICK_S)
            self._stop.wait(0.2)

    def tick(self) -> None:
        """Queue every due slot, then run all that is queued."""
        with database.transaction(self._runner.engine) as connection:
            queue_due(connection, job_rows.database_now(connection), self._runner.worker)
        while not self._stop.is_set() and self._runner.run_next() is not None:
            pass


def queue_due(connection: Connection, now: datetime, worker: str) -> list[str]:
    """Queue the newest due slot of each job that has not had it; return the jobs queued.

    However many slots were missed, one run makes up for them. A job that never ran is queued
    too, so that a fresh install learns at once.
    """
    attempted = job_rows.last_attempts(connection)
    in_order = sorted(TIMETABLE, key=lambda job: LEARNING_ORDER.index(job.name))
    queued = []
    for job in in_order:
        slot = due_slot(job, now)
        last = attempted.get(job.name)
        if last is not None and last >= slot:
            continue
        missed = last is not None and slot - last > job.every
        trigger = "catch_up" if missed else "schedule"
        run_id = job_rows.enqueue(
            connection, job.name, slot=slot, trigger=trigger, requested_by=worker
        )
        if run_id is not None:
            queued.append(job.name)
    return queued


def run_worker(runner: Runner) -> None:
    """Run the scheduler in this process until SIGTERM or SIGINT."""
    scheduler = Scheduler(runner)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: scheduler.stop())
    scheduler.run()
