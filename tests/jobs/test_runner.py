"""One run of a job: recorded, alone, and kept inside whatever it raises."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from jobs.job import Job, JobContext, JobReport, RunLost
from jobs.runner import Runner
from jobs.scheduler import Scheduler, queue_due
from jobs.timetable import JOBS, LEARNING_ORDER, TIMETABLE, Loaded, due_slot, next_slot
from learning.store import database, job_rows
from learning.store.schema import job_runs
from learning.store.state_rows import touch

MONDAY = datetime(2024, 3, 4, tzinfo=UTC)


def job(name: str, run: Callable[[JobContext], JobReport]) -> Job:
    hour = timedelta(hours=1)
    return Job(name, run, hour, timedelta(0), 2 * hour, "a test")


def fine(context: JobContext) -> JobReport:
    return JobReport(3, 2, {"new": 1})


def with_jobs(runner: Runner, *jobs: Job) -> Runner:
    runner.jobs = {one.name: one for one in jobs}
    return runner


def rows(runner: Runner) -> list[sa.RowMapping]:
    with runner.engine.connect() as connection:
        return list(connection.execute(sa.select(job_runs).order_by(job_runs.c.id)).mappings())


def test_a_run_records_who_asked_what_changed_and_how_it_ended(runner: Runner) -> None:
    with_jobs(runner, job("fine", fine)).run_now("fine", requested_by="ann")
    [row] = rows(runner)
    assert (row["status"], row["requested_by"], row["run_trigger"]) == ("ok", "ann", "manual")
    assert (row["rows_in"], row["rows_out"], row["changed"]) == (3, 2, {"new": 1})
    assert row["finished_at"] >= row["started_at"] >= row["queued_at"]
    assert row["peak_memory_mb"] > 1
    assert row["code_version"]


@pytest.mark.parametrize(
    "raised", [ValueError("no"), SystemExit(3), MemoryError(), RecursionError("deep")]
)
def test_a_failing_job_is_recorded_and_the_next_one_still_runs(
    runner: Runner, raised: BaseException
) -> None:
    def failing(context: JobContext) -> JobReport:
        raise raised

    with_jobs(runner, job("failing", failing), job("fine", fine))
    failed = runner.run_now("failing", requested_by="t")
    after = runner.run_now("fine", requested_by="t")
    assert failed is not None
    assert after is not None
    assert (failed.status, after.status) == ("failed", "ok")
    assert failed.error is not None
    assert type(raised).__name__ in failed.error
    assert failed.error_id


def test_a_job_never_runs_twice_at_once(runner: Runner) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(context: JobContext) -> JobReport:
        entered.set()
        leave.wait(20)
        return JobReport()

    with_jobs(runner, job("slow", slow))
    other = Runner(runner.engine, runner.settings, runner.jobs)
    first = threading.Thread(target=lambda: runner.run_now("slow", requested_by="a"))
    first.start()
    assert entered.wait(20)
    assert other.run_now("slow", requested_by="b") is None
    leave.set()
    first.join()
    assert [row["status"] for row in rows(runner)] == ["ok", "queued"]


def test_what_is_asked_for_here_is_run_here_though_a_worker_waits_for_it(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Runner(runner.engine, runner.settings, with_jobs(runner, job("fine", fine)).jobs)
    claim = job_rows.claim

    def claim_later(*args: Any, **options: Any) -> object:
        with monkeypatch.context() as undone:
            undone.setattr(job_rows, "claim", claim)
            assert other.run_next() is None  # it sees nothing to take
        return claim(*args, **options)

    monkeypatch.setattr(job_rows, "claim", claim_later)
    ended = runner.run_now("fine", requested_by="ann")
    assert ended is not None
    assert [row["worker"] for row in rows(runner)] == [runner.worker]


def test_a_worker_whose_run_was_taken_over_commits_nothing(runner: Runner) -> None:
    def overtaken(context: JobContext) -> JobReport:
        with database.transaction(runner.engine) as connection:
            connection.execute(sa.update(job_runs).values(status="lost"))
        with pytest.raises(RunLost), context.transaction() as connection:
            touch(connection)
        raise RunLost("as a job would say")

    with_jobs(runner, job("overtaken", overtaken))
    before = version(runner)
    ended = runner.run_now("overtaken", requested_by="t")
    assert ended is not None
    assert ended.status == "lost"
    assert version(runner) == before


def version(runner: Runner) -> int:
    with runner.engine.connect() as connection:
        return connection.execute(sa.text("SELECT data_version FROM edgekeeper_state")).scalar_one()


def test_a_run_without_heartbeat_is_lost_and_its_job_free_again(runner: Runner) -> None:
    with_jobs(runner, job("fine", fine))
    with database.transaction(runner.engine) as connection:
        run_id = job_rows.enqueue(connection, "fine", slot=None, trigger="manual", requested_by="t")
        job_rows.claim(connection, worker="dead", code_version="1", run_id=run_id)
        connection.execute(
            sa.update(job_runs).values(heartbeat_at=sa.text("now() - interval '61 seconds'"))
        )
    ended = runner.run_now("fine", requested_by="t")
    assert ended is not None
    # what was lost is queued again, beside what was asked for
    assert [row["status"] for row in rows(runner)] == ["lost", "queued", "ok"]


@pytest.mark.parametrize("unanswered", ["claim", "close"])
def test_a_run_is_free_at_once_whose_claim_or_end_the_database_took_without_an_answer(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, unanswered: str
) -> None:
    """Nobody runs what this worker, which lives, does not know that it claimed."""
    with_jobs(runner, job("fine", fine))
    monkeypatch.setattr("jobs.runner._CLOSE_AGAIN_S", ())
    with database.transaction(runner.engine) as connection:
        job_rows.enqueue(connection, "fine", slot=None, trigger="manual", requested_by="t")
    with monkeypatch.context() as broken:
        fail_after(broken, unanswered)
        with contextlib.suppress(OperationalError):
            runner.run_next()
    assert [row["status"] for row in rows(runner)] == ["running"]
    ended = runner.run_next()
    assert ended is not None
    assert [row["status"] for row in rows(runner)] == ["lost", "ok"]
    assert "could not be told" in rows(runner)[0]["error"]


def fail_after(broken: pytest.MonkeyPatch, name: str) -> None:
    """Lose the answer to the commit of a claim; or never reach the database with an end."""
    gone = OperationalError("COMMIT", {}, psycopg.OperationalError("server closed the connection"))
    real = getattr(job_rows, name)
    transaction = database.transaction
    was_called = False

    def called(*args: Any, **options: Any) -> object:
        nonlocal was_called
        was_called = True
        if name == "close":
            raise gone
        return real(*args, **options)

    @contextlib.contextmanager
    def unanswered(*args: Any, **options: Any) -> Iterator[Connection]:
        with transaction(*args, **options) as connection:
            yield connection
        if was_called:
            raise gone

    broken.setattr(job_rows, name, called)
    broken.setattr(database, "transaction", unanswered)


def test_a_run_under_way_in_another_thread_is_not_taken_for_forgotten(runner: Runner) -> None:
    looked = []

    def looking(context: JobContext) -> JobReport:
        other = threading.Thread(target=lambda: looked.append(runner.run_next()))
        other.start()
        other.join(20)
        return JobReport()

    with_jobs(runner, job("looking", looking)).run_now("looking", requested_by="t")
    assert looked == [None]
    assert [row["status"] for row in rows(runner)] == ["ok"]


def test_a_paused_job_stays_queued_unless_a_person_asks(runner: Runner) -> None:
    with_jobs(runner, job("fine", fine))
    with database.transaction(runner.engine) as connection:
        job_rows.pause_job(connection, "fine", by="t", reason="r")
        job_rows.enqueue(connection, "fine", slot=MONDAY, trigger="schedule", requested_by="w")
    assert runner.run_next() is None
    assert runner.run_now("fine", requested_by="ann") is not None


def test_a_slot_is_queued_once_however_many_workers_see_it_due(runner: Runner) -> None:
    with database.transaction(runner.engine) as connection:
        first = queue_due(connection, MONDAY, "worker 1")
        second = queue_due(connection, MONDAY + timedelta(minutes=1), "worker 2")
    assert first == [*LEARNING_ORDER, "prune_history", "back_up"]
    assert second == []


def test_missed_slots_are_made_up_for_once(runner: Runner) -> None:
    with database.transaction(runner.engine) as connection:
        queue_due(connection, MONDAY, "w")
        again = queue_due(connection, MONDAY + timedelta(days=3), "w")
        triggers = connection.execute(
            sa.select(job_runs.c.job, job_runs.c.run_trigger).where(
                job_runs.c.slot > MONDAY, job_runs.c.job == "ingest_strands"
            )
        ).all()
    assert "ingest_strands" in again
    assert triggers == [("ingest_strands", "catch_up")]


def test_slots_are_utc_and_weekly_ones_fall_on_their_monday() -> None:
    weekly = JOBS["cluster_factors"]
    assert due_slot(weekly, MONDAY + timedelta(hours=2)) == MONDAY - timedelta(days=7, hours=-3)
    assert due_slot(weekly, MONDAY + timedelta(hours=3)) == MONDAY + timedelta(hours=3)
    assert next_slot(weekly, MONDAY) == MONDAY + timedelta(hours=3)


def test_every_job_of_the_timetable_is_part_of_a_learning_run() -> None:
    assert {one.name for one in TIMETABLE} - {"prune_history", "back_up"} == set(LEARNING_ORDER)


def test_every_job_of_the_timetable_loads_a_function_of_a_module_of_the_jobs() -> None:
    for one in TIMETABLE:
        assert isinstance(one.run, Loaded)
        assert one.run.load().__module__ == one.run.module


def test_the_timetable_alone_loads_no_statistics() -> None:
    script = "import sys, jobs.timetable; print({'numpy', 'scipy', 'pandas'} & set(sys.modules))"
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert told == "set()\n"


def test_the_scheduler_goes_on_after_a_failing_job(runner: Runner) -> None:
    ran: list[str] = []

    def note(name: str) -> Callable[[JobContext], JobReport]:
        def run(context: JobContext) -> JobReport:
            ran.append(name)
            if name == "ingest_strands":
                raise SystemExit(1)
            return JobReport()

        return run

    years = timedelta(days=3650)  # no slot begins between the two ticks
    with_jobs(runner, *(replace(one, run=note(one.name), every=years) for one in TIMETABLE))
    scheduler = Scheduler(runner)
    scheduler._jobs = tuple(runner.jobs.values())
    scheduler.tick()
    assert ran == [*LEARNING_ORDER, "prune_history", "back_up"]
    scheduler.tick()  # the failed slot is not due again: no hot loop
    assert len(ran) == len(TIMETABLE)
