"""Runs for arrivals come by the thousand: what is asked often reads few of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, event

from dashboard.queries import UNDER_WAY, read_runs
from jobs.planned import planned_runs
from jobs.scheduler import queue_due
from jobs.timetable import JOBS, TIMETABLE
from learning.store import job_rows
from learning.store.database import create_engine, transaction

N_ARRIVALS = 60_000
Ask = Callable[[Connection], object]


def fill(connection: Connection, *, n_arrivals: int) -> None:
    """Runs for arrivals every five seconds, and the timetable's own."""
    connection.execute(
        sa.text(
            "INSERT INTO job_runs (job, slot, run_trigger, requested_by, status, queued_at, "
            "started_at, finished_at) SELECT job, at, 'notify', 'w', 'ok', at, at, at FROM "
            "generate_series(:n, 1, -1) AS i, unnest(ARRAY['ingest_strands', 'aggregate_scopes']) "
            "AS job, LATERAL (SELECT now() - i * interval '5 s' AS at) AS moment"
        ),
        {"n": n_arrivals // 2},
    )
    for job in TIMETABLE:
        connection.execute(
            sa.text(
                "INSERT INTO job_runs (job, slot, run_trigger, requested_by, status, queued_at, "
                "started_at, finished_at) SELECT :job, at, 'schedule', 'w', 'ok', at, at, at FROM "
                "generate_series(20, 0, -1) AS i, LATERAL (SELECT now() - i * CAST(:every AS "
                "interval) - interval '1.2345 s' AS at) AS moment"
            ),
            {"job": job.name, "every": job.every},
        )


@pytest.fixture
def busy(connection: Connection) -> Connection:
    """Days of a busy bot."""
    fill(connection, n_arrivals=N_ARRIVALS)
    connection.execute(sa.text("ANALYZE job_runs"))
    return connection


@pytest.fixture
def asked(busy: Connection) -> Iterator[list[tuple[str, Any]]]:
    """The statements that are sent, with their values."""
    sent: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        sent.append((statement, values))

    event.listen(busy, "before_cursor_execute", note)
    yield sent
    event.remove(busy, "before_cursor_execute", note)


def rows_read(connection: Connection, statement: str, values: Any) -> float:
    """How many rows of job_runs the server means to touch, or has to pass by."""
    explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
    [told] = explained.scalar_one()
    return max(_touched(told["Plan"]), default=0)


def _touched(node: dict[str, Any]) -> Iterator[float]:
    if node.get("Relation Name") == "job_runs":
        passed_by = node.get("Rows Removed by Filter", 0) + node.get(
            "Rows Removed by Join Filter", 0
        )
        yield (node["Actual Rows"] + passed_by) * node["Actual Loops"]
    for inner in node.get("Plans", ()):
        yield from _touched(inner)


ASKED_OFTEN: dict[str, Ask] = {
    "what is due": lambda c: queue_due(c, job_rows.database_now(c), "w"),
    "what waits": lambda c: job_rows.claim(c, worker="w", code_version="1"),
    "the oldest that waits": lambda c: job_rows.oldest_queued(c, "aggregate_scopes"),
    "what is lost": job_rows.mark_lost,
    "how every job stands": lambda c: planned_runs(c, "v5"),
    "what is under way": lambda c: c.execute(UNDER_WAY),
    "failures": lambda c: job_rows.read_failures(c, list(JOBS)),
}


@pytest.mark.parametrize("name", ASKED_OFTEN)
def test_what_is_asked_often_does_not_read_every_run(
    busy: Connection, asked: list[tuple[str, Any]], name: str
) -> None:
    ASKED_OFTEN[name](busy)
    about_runs = [one for one in asked if "job_runs" in one[0] and "INSERT" not in one[0]]
    assert about_runs
    for statement, values in about_runs:
        assert rows_read(busy, statement, values) < N_ARRIVALS / 10, statement


def test_control_a_count_reads_every_run(busy: Connection) -> None:
    assert rows_read(busy, "SELECT count(*) FROM job_runs WHERE rows_in IS NULL", ()) > N_ARRIVALS


def test_every_job_is_told_with_its_own_runs(busy: Connection) -> None:
    failed = "UPDATE job_runs SET status = 'failed' WHERE id = :id"
    newest = job_rows.last_runs(busy, list(JOBS))
    assert [run["job"] for run in newest] == sorted(JOBS)
    for run in newest:
        assert run["last_ok_at"] == run["finished_at"]
        busy.execute(sa.text(failed), {"id": run["id"]})
    again = {run["job"]: run for run in job_rows.last_runs(busy, list(JOBS))}
    for run in newest:
        assert again[run["job"]]["status"] == "failed"
        assert again[run["job"]]["last_ok_at"] == busy.scalar(
            sa.text(
                "SELECT finished_at FROM job_runs WHERE job = :j AND status = 'ok' "
                "ORDER BY id DESC LIMIT 1"
            ),
            {"j": run["job"]},
        )
    failures = job_rows.read_failures(busy, list(JOBS))
    assert {job: one.in_a_row for job, one in failures.items()} == dict.fromkeys(JOBS, 1)


def test_the_page_of_the_jobs_shows_the_other_runs_beside_the_newest_arrivals(
    new_database: Callable[[], str],
) -> None:
    engine = create_engine(new_database())
    with transaction(engine) as connection:
        fill(connection, n_arrivals=3000)
        some = "run_trigger = 'notify' AND id % 1500 = 7"
        failing = sa.text(f"UPDATE job_runs SET status = 'failed' WHERE {some}")
        n_failed = connection.execute(failing).rowcount
    shown = read_runs(engine, n_arrivals=20)
    engine.dispose()
    assert shown["id"].is_monotonic_decreasing
    counted = shown.groupby(["run_trigger", "status"]).size().to_dict()
    assert counted["notify", "ok"] == 20
    assert counted["notify", "failed"] == n_failed > 0
    assert {*shown.loc[shown["run_trigger"] == "schedule", "job"]} >= {"measure_effects"}
