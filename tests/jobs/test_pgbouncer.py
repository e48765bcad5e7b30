"""Everything that the worker and a bot do, through a real PgBouncer in transaction mode."""

from __future__ import annotations

import logging
import os
import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import make_url

from jobs.runner import Runner
from jobs.scheduler import start_scheduler
from jobs.timetable import JOBS
from learning.bot.config_feed import start_config_feed
from learning.errors import ConfigError
from learning.settings import Settings
from learning.store import database, job_rows, strand_rows, switch_rows
from learning.store.database import create_engine, migrate, newest_revision, undo_migrations
from tests.forked_process import in_a_process
from tests.jobs.conftest import runner_on
from tests.jobs.test_workers import OVERLAPS, ROOT, queue, rows
from tests.strand_builders import action, close

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
POOL = 4  # sessions at the server, fewer than clients: each is handed round


@pytest.fixture(scope="module")
def bouncer(server_url: str, make_home: Callable[[], Path]) -> Iterator[Path]:
    """The folder of its socket."""
    if PROGRAM is None:
        pytest.skip("PgBouncer is not installed (Debian: apt install pgbouncer)")
    url = make_url(server_url)
    if "host" not in url.query:
        pytest.skip("the test server is not reached by a socket file")
    folder = make_home()
    folder.chmod(0o777)
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={url.query['host']} port={url.query.get('port', '5432')} "
        f"user={url.username}\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\n"
        f"unix_socket_dir = {folder}\nauth_type = any\npool_mode = transaction\n"
        f"default_pool_size = {POOL}\nmax_client_conn = 200\nlogfile = {folder}/log\n"
    )
    # it refuses to be root
    as_user = ["--user", pwd.getpwuid(os.stat(str(url.query["host"])).st_uid).pw_name]
    process = subprocess.Popen(
        [PROGRAM, "--quiet", *(as_user if os.getuid() == 0 else []), str(folder / "pgbouncer.ini")],
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 20
    while not (folder / ".s.PGSQL.6432").exists():
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.05)
    yield folder
    process.terminate()
    process.wait()
    shutil.rmtree(folder)


@pytest.fixture
def pooled(bouncer: Path, fresh_database: str) -> str:
    """URL of the test's database through the pooler."""
    url = make_url(fresh_database).update_query_dict({"host": str(bouncer), "port": "6432"})
    return url.render_as_string(hide_password=False)


@pytest.fixture
def through(pooled: str) -> Iterator[Runner]:
    made = runner_on(pooled)
    yield made
    made.engine.dispose()


def until(condition: Callable[[], bool], *, within_s: float = 90) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)


def only_arrivals(runner: Runner) -> None:
    with database.transaction(runner.engine) as connection:
        for name in set(JOBS) - {"ingest_strands", "aggregate_scopes"}:
            job_rows.pause_job(connection, name, by="t", reason="the timetable rests")


def close_trades(runner: Runner, name: str, n: int) -> None:
    with database.transaction(runner.engine) as connection:
        for i in range(n):
            pair = [action(f"{name}{i}", name=f"{name}{i}"), close(f"{name}{i}")]
            strand_rows.append(connection, pair)


def n_in_stats(runner: Runner) -> int:
    with database.transaction(runner.engine, read_only=True) as connection:
        query = "SELECT coalesce(max(n), 0) FROM pattern_scope_stats"
        return int(connection.execute(sa.text(query)).scalar_one())


def overlaps(runner: Runner) -> int:
    with runner.engine.connect() as connection:
        return int(connection.execute(OVERLAPS).scalar_one())


@pytest.mark.slow
def test_the_tables_are_made_once_by_four_processes(pooled: str, fresh_database: str) -> None:
    undo_migrations(fresh_database, revision="base")
    made = [os.waitpid(in_a_process(migrate, pooled), 0)[1] for _ in range(4)]
    assert made == [0] * 4
    engine = create_engine(pooled)
    with engine.connect() as connection:
        assert database.schema_revision(connection) == newest_revision()
    engine.dispose()


@pytest.mark.slow
def test_eight_workers_run_fifty_slots_once_each_and_never_at_once(
    through: Runner, pooled: str
) -> None:
    queue(through, 50)
    command = [sys.executable, "-m", "tests.jobs.worker_process", pooled, "0.01", "drain"]
    workers = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) for _ in range(8)]
    assert [worker.wait(90) for worker in workers] == [0] * 8
    assert [row["status"] for row in rows(through)] == ["ok"] * 50
    assert len({row["slot"] for row in rows(through)}) == 50
    assert overlaps(through) == 0


@pytest.mark.parametrize("listens_directly", [False, True])
def test_two_schedulers_take_in_what_closes_and_run_what_is_asked_for(
    through: Runner, pooled: str, fresh_database: str, listens_directly: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    only_arrivals(through)
    listen_url = fresh_database if listens_directly else None
    settings = Settings.from_env(database_url=pooled, listen_url=listen_url)
    with caplog.at_level(logging.WARNING, logger="edgekeeper.arrivals"):
        schedulers = [start_scheduler(settings=settings) for _ in range(2)]
        try:
            close_trades(through, "a", 12)
            until(lambda: n_in_stats(through) == 12)
            close_trades(through, "b", 1)
            until(lambda: n_in_stats(through) == 13)
            with database.transaction(through.engine) as connection:
                asked = job_rows.ask_for_run(connection, "validate_learning", by="ann")
            until(lambda: status(through, asked) == "ok")
        finally:
            for scheduler in schedulers:
                scheduler.stop()
    assert [scheduler.problem for scheduler in schedulers] == [None, None]
    falls_back = "looking twice a second instead" in caplog.text
    assert falls_back != listens_directly
    assert overlaps(through) == 0
    assert failures(through) == []


def status(runner: Runner, run_id: int) -> str:
    with database.transaction(runner.engine, read_only=True) as connection:
        query = sa.text("SELECT status FROM job_runs WHERE id = :id")
        return str(connection.execute(query, {"id": run_id}).scalar_one())


def failures(runner: Runner) -> list[str]:
    with database.transaction(runner.engine, read_only=True) as connection:
        query = sa.text("SELECT job || ': ' || error FROM job_runs WHERE status <> 'ok'")
        return list(connection.execute(query).scalars())


@pytest.mark.slow
def test_the_kill_switch_reaches_a_bot_that_listens_directly(
    through: Runner, pooled: str, fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="EDGEKEEPER_LISTEN_URL"):
        start_config_feed(pooled, bot="bot-a")
    monkeypatch.setenv("DATABASE_URL", pooled)
    monkeypatch.setenv("EDGEKEEPER_LISTEN_URL", fresh_database)
    feed = start_config_feed(bot="bot-a", poll_interval_s=60)  # by notification alone
    try:
        until(lambda: heartbeat(through) == [True])
        with database.transaction(through.engine) as connection:
            switch_rows.set_switch(connection, on=False, actor="ann", reason="a test of it")
        until(lambda: heartbeat(through) == [False], within_s=10)
    finally:
        feed.stop()


def heartbeat(runner: Runner) -> list[bool]:
    with database.transaction(runner.engine, read_only=True) as connection:
        return list(connection.scalars(sa.text("SELECT overrides_on FROM bot_heartbeats")))


@pytest.mark.slow
def test_what_a_transaction_sets_is_not_the_next_clients(through: Runner, pooled: str) -> None:
    with database.transaction(through.engine, statement_timeout_ms=77, lock_timeout_ms=78):
        pass
    found = set()
    engines = [create_engine(pooled) for _ in range(2 * POOL)]
    for engine in engines:
        with engine.connect() as connection:
            names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
            found |= {connection.execute(sa.text(f"SHOW {name}")).scalar_one() for name in names}
        engine.dispose()
    assert found == {"0"}
