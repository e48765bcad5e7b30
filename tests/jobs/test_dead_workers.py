"""How long what a killed or frozen worker held stays locked; prints the figures."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from jobs.job import Job, JobContext, JobReport
from jobs.runner import Runner
from learning.store import database, job_rows
from learning.store.database import create_engine
from learning.store.state_rows import touch
from tests.forked_process import in_a_process
from tests.jobs.conftest import runner_on

NAME, LOCK, HOLDS_S = "holding", 77, 10
IS_HELD = sa.text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def holding(context: JobContext, in_statement: bool) -> JobReport:
    """Take a lock, write, and come to an end after a while only."""
    with context.transaction() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
        touch(connection)
        if in_statement:
            connection.execute(sa.text(f"SELECT pg_sleep({HOLDS_S})"))
        else:
            time.sleep(HOLDS_S)
    return JobReport(rows_out=1)


def worker(in_statement: bool) -> Callable[[str], None]:
    def run(url: str) -> None:
        runner = runner_on(url)
        hour = timedelta(hours=1)

        def held(context: JobContext) -> JobReport:
            return holding(context, in_statement)

        runner.jobs = {NAME: Job(NAME, held, hour, timedelta(0), hour, "a test")}
        runner.run_next()

    return run


@pytest.fixture
def observer(fresh_database: str) -> Iterator[sa.Connection]:
    """A session of its own, of which each statement stands by itself.

    The server is like one that nobody set up for us: it does not look whether its clients live.
    """
    engine = create_engine(fresh_database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        name = connection.scalar(sa.text("SELECT quote_ident(current_database())"))
        connection.exec_driver_sql(
            f"ALTER DATABASE {name} SET client_connection_check_interval = 0"
        )
        yield connection
    engine.dispose()


def is_held(observer: sa.Connection) -> bool:
    return bool(observer.execute(IS_HELD).scalar_one())


def begin(runner: Runner, observer: sa.Connection, *, in_statement: bool) -> int:
    """Queue a run and start a worker on it; return its process once it holds the lock."""
    with database.transaction(runner.engine) as connection:
        connection.execute(sa.text("DELETE FROM job_runs"))
        job_rows.enqueue(connection, NAME, slot=None, trigger="manual", requested_by="t")
    pid = in_a_process(worker(in_statement), str(runner.settings.database_url))
    deadline = time.monotonic() + 30
    while not is_held(observer):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return pid


def seconds_until_free(observer: sa.Connection, *, meanwhile: Callable[[], object]) -> float:
    started = time.monotonic()
    while is_held(observer):
        assert time.monotonic() < started + 60
        meanwhile()
        time.sleep(0.002)
    return time.monotonic() - started


def version(observer: sa.Connection) -> int:
    return int(observer.execute(sa.text("SELECT data_version FROM edgekeeper_state")).scalar_one())


@pytest.mark.slow
@pytest.mark.parametrize(("n_kills", "in_statement"), [(30, False), (5, True)])
def test_what_a_killed_worker_held_is_free_within_a_second(
    runner: Runner, observer: sa.Connection, n_kills: int, in_statement: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    took_s = []
    before = version(observer)
    for _ in range(n_kills):
        pid = begin(runner, observer, in_statement=in_statement)
        os.kill(pid, signal.SIGKILL)
        took_s.append(seconds_until_free(observer, meanwhile=lambda: None))
        os.waitpid(pid, 0)
    held_in = "a statement" if in_statement else "a transaction"
    with capsys.disabled():
        print(f"\n{n_kills} kills within {held_in}: free after at most {max(took_s):.3f} s")
    assert max(took_s) < 1.0
    assert version(observer) == before


@pytest.mark.slow
def test_what_a_frozen_worker_held_is_free_within_half_a_minute_and_it_writes_nothing(
    runner: Runner, observer: sa.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    took_s = []
    before = version(observer)
    runner.jobs = {}
    for _ in range(3):
        pid = begin(runner, observer, in_statement=False)
        os.kill(pid, signal.SIGSTOP)
        took_s.append(seconds_until_free(observer, meanwhile=runner.run_next))
        os.kill(pid, signal.SIGCONT)
        os.waitpid(pid, 0)  # it goes on to its commit, and ends
    with capsys.disabled():
        print(f"\n3 frozen workers: free after at most {max(took_s):.1f} s")
    assert max(took_s) < 30.0
    assert version(observer) == before
