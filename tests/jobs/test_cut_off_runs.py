"""A run whose session is lost at any moment fails as that, is tried again, and then ends well."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event

from jobs import demo
from jobs.job import Job, JobContext, JobReport
from jobs.runner import Runner
from jobs.timetable import JOBS, LEARNING_ORDER
from learning.store import job_rows, strand_rows
from learning.store.database import transaction
from learning.store.job_rows import RunOutcome
from learning.store.schema import job_runs
from tests.jobs.conftest import copied
from tests.strand_builders import action, close

N_MOMENTS = 8  # of each job, from its first statement to its last
# What gives a job something to write that had nothing left to do.
UNDONE = {
    "aggregate_scopes": "UPDATE scope_groups SET fingerprint = '' WHERE id IN "
    "(SELECT min(id) FROM scope_groups GROUP BY module)",
    "mine_pm_lessons": "UPDATE pattern_trade_events SET bot = bot WHERE id IN "
    "(SELECT min(id) FROM pattern_trade_events GROUP BY pattern_key)",
    "materialise_overrides": "UPDATE learning_lessons SET lesson_strength = random()",
}


@pytest.fixture(scope="module")
def world(learned: Runner, server_url: str) -> Iterator[Runner]:
    """A database that has learned, with active lessons."""
    with copied(learned, server_url) as made:
        demo.approve_lessons(made)
        yield made


@dataclass(slots=True)
class Knife:
    """Counts the statements of a job, and ends their session after one of them."""

    engine: Engine
    at: int | None = None
    counted: int = 0

    def job(self, name: str) -> Job:
        """A job under the knife."""

        def run(context: JobContext) -> JobReport:
            self.counted = 0
            with self._held():
                return JOBS[name].run(context)

        return replace(JOBS[name], run=run)

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        event.listen(self.engine, "after_cursor_execute", self._executed)
        try:
            yield
        finally:
            event.remove(self.engine, "after_cursor_execute", self._executed)

    def _executed(self, connection: Connection, *_: Any) -> None:
        self.counted += 1
        if self.counted != self.at:
            return
        driver = connection.connection.driver_connection
        assert driver is not None
        if self.at % 2:
            cut(driver)
        else:
            self._end(driver.info.backend_pid)

    def _end(self, process: int) -> None:
        url = self.engine.url.set(drivername="postgresql")
        with psycopg.connect(url.render_as_string(hide_password=False)) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (process,))


def cut(driver: Any) -> None:
    """Cut the network of a session: its server has vanished without a word."""
    with socket.socket(fileno=os.dup(driver.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


def undo(runner: Runner, name: str, tag: str) -> None:
    with transaction(runner.engine) as connection:
        if name == "ingest_strands":
            strand_rows.append(connection, [action(tag, name=f"{tag}/a"), close(tag)])
        elif name in UNDONE:
            connection.execute(sa.text(UNDONE[name]))


def ran(runner: Runner, knife: Knife, name: str, at: int | None) -> RunOutcome:
    undo(runner, name, f"{name}/{at}")
    knife.at = at
    runner.jobs = {**JOBS, name: knife.job(name)}
    ended = runner.run_now(name, requested_by="ann")
    assert ended is not None
    return ended


def take_queued(runner: Runner, name: str) -> list[tuple[str, int]]:
    """Empty the queue of a job; return who asked for its runs, and what number of try each is."""
    c = job_runs.c
    taken = (
        sa.delete(job_runs)
        .where(c.job == name, c.status == "queued")
        .returning(c.requested_by, c.changed["attempt"].as_integer())
    )
    with transaction(runner.engine) as connection:
        return [(by, attempt) for by, attempt in connection.execute(taken)]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*LEARNING_ORDER, "prune_history"])
def test_wherever_the_session_of_a_run_is_lost_the_run_is_tried_again_and_ends_well(
    world: Runner, name: str
) -> None:
    knife = Knife(world.engine)
    assert ran(world, knife, name, None).status == "ok"
    last = knife.counted
    assert last > 1
    take_queued(world, name)
    for k in sorted({round(1 + i * (last - 1) / (N_MOMENTS - 1)) for i in range(N_MOMENTS)}):
        ended = ran(world, knife, name, k)
        if knife.counted < k:  # fewer statements than before
            assert ended.status == "ok"
            continue
        assert (k, ended.status) == (k, "failed")
        assert (k, ended.error, take_queued(world, name)) == (k, ended.error, [("ann", 1)])
    assert ran(world, knife, name, None).status == "ok"
    with transaction(world.engine, read_only=True) as connection:
        assert job_rows.read_failures(connection, [name]) == {}
