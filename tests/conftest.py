"""Databases for tests: one server a session, one migrated template, one database a worker.

By default the server is an embedded one in a temporary folder, shared by all xdist workers and
stopped by the process that started pytest. ``EDGEKEEPER_TEST_DATABASE_URL`` names another server
instead; its user must be allowed to create databases, which are dropped at the end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import hypothesis
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Connection, Engine, make_url

from learning.store.database import create_engine, migrate, resolve_url
from learning.store.embedded import start_server, stop_server

# Set by the controlling process; its xdist workers inherit them.
_HOME = "EDGEKEEPER_TEST_SESSION_HOME"
_PREFIX = "EDGEKEEPER_TEST_SESSION_PREFIX"
_SERVER = "EDGEKEEPER_TEST_DATABASE_URL"
_BACKUPS = "EDGEKEEPER_BACKUP_KEEP"
_TEMPLATE_LOCK = 0x7E57

# The same examples everywhere, and a busy machine is no finding.
hypothesis.settings.load_profile("ci")


def new_home() -> Path:
    """A temporary home folder that the server of a root user may pass through, in CI for one."""
    home = Path(tempfile.mkdtemp(prefix="edgekeeper-test-", dir=_temporary_folder()))
    home.chmod(0o711)
    return home


def _temporary_folder() -> str:
    """In memory where there is room: making a database waits for the disk a thousand times."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage("/dev/shm").free > 2_000_000_000:
            return "/dev/shm"
    return "/tmp"


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        os.environ[_PREFIX] = f"edgekeeper_test_{uuid4().hex[:8]}"
        os.environ[_HOME] = str(new_home())
        os.environ.setdefault(_BACKUPS, "0")  # workers of tests leave none in the working folder


def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return
    home = Path(os.environ.pop(_HOME))
    prefix = os.environ.pop(_PREFIX)
    if os.environ.get(_SERVER):
        _drop_databases(os.environ[_SERVER], prefix)
    stop_server(home)
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def make_home() -> Callable[[], Path]:
    """Make a temporary home folder, for fixtures that outlive one test."""
    return new_home


@pytest.fixture(scope="session")
def server_url() -> str:
    """URL of the test server's maintenance database."""
    given = os.environ.get(_SERVER)
    home = Path(os.environ[_HOME])
    url = resolve_url(given, home)
    if not given:
        with _maintenance(url) as connection:  # its data is thrown away: do not wait for the disk
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
    return url


@pytest.fixture(scope="session")
def new_database(server_url: str) -> Callable[[], str]:
    """Make a database with all tables, empty, in well under a second; return its URL."""
    prefix = os.environ[_PREFIX]

    def make() -> str:
        name = f"{prefix}_{uuid4().hex[:8]}"
        with _maintenance(server_url) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (_TEMPLATE_LOCK,))
            template = _template(connection, server_url, prefix)
            _create_database(connection, name, template)
        return _url_of(server_url, name)

    return make


@pytest.fixture(scope="session")
def database_url(new_database: Callable[[], str]) -> str:
    """URL of this worker's database; tests leave it as they found it."""
    return new_database()


@pytest.fixture(scope="session")
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_engine(database_url, application_name="edgekeeper tests")
    yield engine
    engine.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that is rolled back after the test."""
    with engine.connect() as connection:
        begun = connection.begin()
        yield connection
        begun.rollback()


@pytest.fixture
def fresh_database(new_database: Callable[[], str], server_url: str) -> Iterator[str]:
    """URL of a database of the test's own, for tests that commit, kill or migrate."""
    url = new_database()
    yield url
    with _maintenance(server_url) as connection:
        _drop_database(connection, str(make_url(url).database))


@pytest.fixture
def own_home() -> Iterator[Path]:
    """A home folder of the test's own; whatever server the test left there is stopped."""
    home = new_home()
    yield home
    with contextlib.suppress(FileNotFoundError):
        stop_server(home, timeout_s=10)
        shutil.rmtree(home)


@pytest.fixture
def own_server(own_home: Path) -> Path:
    """A home folder whose embedded server runs, for tests that ill-treat it."""
    start_server(own_home)
    return own_home


def _maintenance(url: str) -> psycopg.Connection[tuple[object, ...]]:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True)


def _url_of(server_url: str, database: str) -> str:
    return make_url(server_url).set(database=database).render_as_string(hide_password=False)


def _template(
    connection: psycopg.Connection[tuple[object, ...]], server_url: str, prefix: str
) -> str:
    """The migrated template, made by whoever comes first; renamed last, so never seen half made."""
    name, unfinished = f"{prefix}_template", f"{prefix}_unfinished"
    found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
    if found is None:
        _drop_database(connection, unfinished)
        _create_database(connection, unfinished, "template0")
        migrate(_url_of(server_url, unfinished))
        connection.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                sql.Identifier(unfinished), sql.Identifier(name)
            )
        )
    return name


def _create_database(
    connection: psycopg.Connection[tuple[object, ...]], name: str, template: str
) -> None:
    connection.execute(
        sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template)
        )
    )


def _drop_database(connection: psycopg.Connection[tuple[object, ...]], name: str) -> None:
    connection.execute(
        sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    )


def _drop_databases(server_url: str, prefix: str) -> None:
    with _maintenance(resolve_url(server_url, Path())) as connection:
        names = connection.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (prefix,)
        ).fetchall()
        for (name,) in names:
            _drop_database(connection, str(name))
