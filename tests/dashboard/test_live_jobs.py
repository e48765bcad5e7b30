"""The page Jobs in a real browser, beside a real worker: run now, progress, pause and resume."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from jobs.timetable import JOBS
from learning.store import job_rows, strand_rows
from learning.store.database import create_engine, transaction
from learning.store.schema import job_runs
from tests.dashboard.browsing import CHROMIUM, ROOT, chromium, served
from tests.dashboard.test_browser import open_tab
from tests.role_logins import logins
from tests.strand_builders import action, close

JOB = "ingest_strands"
N_TRADES = 8000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed on this machine"),
]


@pytest.fixture
def owner(fresh_database: str) -> Iterator[Engine]:
    """A database where the timetable rests, but for one job."""
    engine = create_engine(fresh_database)
    with transaction(engine) as connection:
        for name in JOBS:
            if name != JOB:
                job_rows.pause_job(connection, name, by="t", reason="not in this test")
    yield engine
    engine.dispose()


@pytest.fixture
def urls(fresh_database: str, owner: Engine) -> Iterator[Mapping[str, str]]:
    with logins(fresh_database) as made:
        yield made


@pytest.fixture
def worker(urls: Mapping[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs", "worker"],
        cwd=ROOT, env={**os.environ, "DATABASE_URL": urls["worker"]},
    )  # fmt: skip
    yield
    process.terminate()
    assert process.wait(15) == 0


@pytest.fixture
def tab(urls: Mapping[str, str]) -> Iterator[Any]:
    pytest.importorskip("playwright")
    with served(DATABASE_URL=urls["approver"]) as address, chromium() as browser:
        yield open_tab(browser, f"{address}jobs?job={JOB}")


def turn(tab: Any, doing: str) -> None:
    """Pause or resume the job that is selected."""
    tab.get_by_role("button", name=f"{doing} {JOB}").click()
    tab.get_by_role("textbox", name="Reason (10 characters or more)").fill("a look at the page")
    tab.get_by_role("button", name=f"{doing} now").click()


def manual_runs(owner: Engine) -> list[tuple[str, int | None]]:
    query = sa.select(job_runs.c.status, job_runs.c.rows_in).where(
        job_runs.c.run_trigger == "manual"
    )
    with transaction(owner, read_only=True) as connection:
        return [(status, rows_in) for status, rows_in in connection.execute(query)]


def test_a_paused_job_runs_when_it_is_asked_for_and_the_page_follows_it_to_its_end(
    owner: Engine, worker: None, tab: Any
) -> None:
    turn(tab, "Pause")
    tab.get_by_role("button", name=f"Resume {JOB}").wait_for()
    with transaction(owner) as connection:
        for i in range(N_TRADES):
            strand_rows.append(connection, [action(f"t{i}", name=f"a{i}"), close(f"t{i}")])
    tab.get_by_role("button", name=f"Run {JOB} now").click()
    tab.get_by_role("progressbar").first.wait_for()
    tab.get_by_text(f"of {2 * N_TRADES}").first.wait_for()
    tab.get_by_role("progressbar").first.wait_for(state="detached")  # by itself, nobody reloads
    assert manual_runs(owner) == [("ok", 2 * N_TRADES)]
    tab.get_by_role("button", name=f"Run {JOB} now").and_(tab.locator(":enabled")).wait_for()
    turn(tab, "Resume")
    tab.get_by_role("button", name=f"Pause {JOB}").wait_for()
    with transaction(owner, read_only=True) as connection:
        assert JOB not in job_rows.read_pauses(connection)
