"""A database that has learned from the demo's trades, made once for all tests of the jobs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from jobs import demo
from jobs.job import silent
from jobs.runner import Runner
from jobs.timetable import JOBS, LEARNING_ORDER
from learning.settings import Settings
from learning.store.database import create_engine

SEED = 2026


def runner_on(url: str, **settings: object) -> Runner:
    return Runner(create_engine(url), Settings.from_env(database_url=url, **settings), JOBS)


def learn(runner: Runner) -> None:
    for name in LEARNING_ORDER:
        ended = runner.run_now(name, requested_by="test")
        assert ended is not None
        assert ended.status == "ok", (name, ended.error)


@contextlib.contextmanager
def copied(source: Runner, server_url: str, **settings: object) -> Iterator[Runner]:
    """A runner on a copy of another one's database, gone afterwards."""
    source.engine.dispose()
    original = str(source.engine.url.database)
    names = sql.Identifier(f"{original}_again"), sql.Identifier(original)
    plain = make_url(server_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
        url = source.engine.url.set(database=f"{original}_again")
        made = runner_on(url.render_as_string(hide_password=False), **settings)
        yield made
        made.engine.dispose()
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(names[0]))


@pytest.fixture(scope="session")
def learned(new_database: Callable[[], str]) -> Iterator[Runner]:
    """A runner on a database that learned from the demo's history; tests leave it as it is."""
    runner = runner_on(new_database())
    demo.load(runner.engine, seed=SEED, tell=silent)
    learn(runner)
    yield runner
    runner.engine.dispose()


@pytest.fixture
def runner(fresh_database: str) -> Iterator[Runner]:
    """A runner on an empty database of the test's own."""
    made = runner_on(fresh_database)
    yield made
    made.engine.dispose()
