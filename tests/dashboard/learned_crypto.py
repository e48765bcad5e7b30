"""A server that holds the real crypto set, imported and learned once, and copies of it for tests.

The folder of real trades is named by ``EDGEKEEPER_REAL_DATA``. Importing and learning takes ten
minutes; ``EDGEKEEPER_TEST_REAL_HOME`` may name a home folder in which that was done before, its
server stopped: it is copied, never touched.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import make_url

from learning.importers.recognition import recognise
from learning.importers.store_import import store_import
from learning.store.database import create_engine, migrate, transaction
from learning.store.embedded import start_server
from tests.jobs.conftest import learn, runner_on

_FILES = ("trades_crypto.parquet", "actions_crypto.parquet")


def learned_server(make_home: Callable[[], Path]) -> tuple[Path, str]:
    """Return a home folder whose server holds the set, and the URL of its database."""
    folder = os.environ.get("EDGEKEEPER_REAL_DATA")
    if not folder:
        pytest.skip("EDGEKEEPER_REAL_DATA names no folder of real trades")
    kept = os.environ.get("EDGEKEEPER_TEST_REAL_HOME")
    home = make_home()
    if kept:
        subprocess.run(["cp", "-a", f"{kept}/.", str(home)], check=True)
        home.chmod(0o711)
    url = start_server(home)
    migrate(url)
    if not kept:
        _learn(url, [Path(folder) / name for name in _FILES])
    return home, url


def _learn(url: str, files: list[Path]) -> None:
    engine = create_engine(url, application_name="edgekeeper real set")
    with transaction(engine) as connection:
        store_import(connection, recognise(files), imported_by="test")
    engine.dispose()
    runner = runner_on(url)
    learn(runner)
    runner.engine.dispose()


@contextmanager
def copied(url: str) -> Iterator[str]:
    """A database of a test's own with the same content."""
    source = make_url(url).set(drivername="postgresql")
    name = f"copy_{uuid4().hex[:8]}"
    upkeep = source.set(database="template1").render_as_string(hide_password=False)
    with psycopg.connect(upkeep, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {source.database}")
    yield make_url(url).set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(upkeep, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
