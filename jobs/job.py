"""What a job is, what it is given, and what it tells."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from sqlalchemy import Connection, Engine

from learning.errors import LearningError
from learning.settings import Settings
from learning.store import database, job_rows


class RunLost(LearningError):
    """The run was taken from this worker; what it was about to commit is rolled back."""


class RunStopped(LearningError):
    """The run was told to stop; what it had not committed is rolled back."""


class Progress(Protocol):
    """Told how far a job is: ``done`` of ``total`` (None: not known), in words."""

    def __call__(self, done: int, total: int | None, what: str) -> None: ...


def silent(done: int, total: int | None, what: str) -> None:
    """Ignore progress."""


@dataclass(frozen=True, slots=True)
class JobReport:
    """What a run did: rows read, rows written, and what changed, by name."""

    rows_in: int = 0
    rows_out: int = 0
    changed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobContext:
    """What a run may use. ``now`` is the database's clock as the run began."""

    engine: Engine
    settings: Settings
    run_id: int
    worker: str
    now: datetime
    progress: Progress = silent
    trigger: str = "manual"
    stopping: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise RunStopped where the run shall end: called at every commit and every progress."""
        if self.stopping.is_set():
            raise RunStopped(f"run {self.run_id} was told to stop")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a transaction that commits only while this worker still owns the run.

        Raises:
            RunLost: If another worker took the run over; nothing is committed.
            RunStopped: If the run was told to stop; nothing is committed.
        """
        self.check()
        with database.transaction(self.engine) as connection:
            yield connection
            self.check()
            if not job_rows.is_still_mine(connection, run_id=self.run_id, worker=self.worker):
                raise RunLost(f"run {self.run_id} was taken over; its last step was not committed")


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the timetable.

    ``every`` is the period of its slots and ``offset`` where they start after a Monday 00:00
    UTC; ``max_age`` the age of the last good run from which the screens call it stale. A run that
    takes longer than ``timeout`` is ended. ``catch_up`` says what becomes of slots that were
    missed: one run makes up for all of them (once), or each has its own, in order (every).
    ``then`` names the job that is queued after a run that wrote something, unless a person
    asked for just that one.
    """

    name: str
    run: Callable[[JobContext], JobReport]
    every: timedelta
    offset: timedelta
    max_age: timedelta
    purpose: str
    timeout: timedelta = timedelta(hours=1)
    catch_up: Literal["once", "every"] = "once"
    then: str | None = None
