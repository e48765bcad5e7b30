"""What the timetable says comes next, and what people may do about it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from jobs.commands.app import main
from jobs.planned import PlannedRun, planned_runs, utc
from jobs.runner import Runner
from jobs.scheduler import queue_due
from jobs.timetable import JOBS, TIMETABLE, next_slot, timetable
from learning.errors import DecisionRefused
from learning.store import database, job_rows, people_rows
from learning.store.job_rows import Failures
from learning.store.schema import job_runs

NAME = "validate_learning"  # every hour, stale after two
HOUR = timedelta(hours=1)


def planned(runner: Runner) -> PlannedRun:
    with database.transaction(runner.engine, read_only=True) as connection:
        return {one.job.name: one for one in planned_runs(connection, "v5")}[NAME]


def ran(runner: Runner, *statuses: str, ago: timedelta) -> datetime:
    """Store runs one after the other, the last of which ended so long ago; return that moment."""
    with database.transaction(runner.engine) as connection:
        now = job_rows.database_now(connection)
        for i, status in enumerate(statuses):
            at = now - ago - timedelta(minutes=len(statuses) - 1 - i)
            connection.execute(
                sa.insert(job_runs).values(
                    job=NAME, slot=at, run_trigger="schedule", requested_by="t", status=status,
                    queued_at=at, started_at=at, finished_at=at,
                )
            )  # fmt: skip
    return now - ago


def test_a_job_that_ran_well_is_planned_for_its_next_slot(runner: Runner) -> None:
    ended = ran(runner, "ok", ago=timedelta(seconds=1))
    one = planned(runner)
    assert (one.state, one.at) == ("planned", next_slot(JOBS[NAME], ended))
    assert (one.last_ok_at, one.late_since) == (ended, None)


def test_lateness_says_which_job_and_since_when(runner: Runner) -> None:
    ended = ran(runner, "ok", ago=2 * HOUR + timedelta(minutes=7))
    one = planned(runner)
    assert one.state == "due"  # two slots came, and no worker has queued one
    assert one.late_since == ended + 2 * HOUR
    assert "does a worker run?" in one.said


def test_the_doctor_says_since_when_a_job_is_late(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = ran(runner, "ok", ago=5 * HOUR)
    monkeypatch.setenv("EDGEKEEPER_DATABASE_URL", str(runner.settings.database_url))
    with pytest.raises(SystemExit):
        main(["doctor"])
    told = " ".join(capsys.readouterr().out.split())
    assert f"job {NAME} warning last ok, well {utc(ended)}, late since" in told


def test_no_job_may_be_older_than_two_of_its_periods() -> None:
    for job in (*timetable("v5"), *timetable("hourly")):
        assert job.every <= job.max_age <= 2 * job.every, job.name


def test_a_job_that_keeps_failing_says_when_it_is_tried_again(runner: Runner) -> None:
    ended = ran(runner, *["failed"] * 5, ago=timedelta(seconds=1))
    one = planned(runner)
    assert (one.state, one.at) == ("backs off", ended + 4 * HOUR)
    assert one.said.endswith("failed 5 times")


def test_a_good_run_ends_the_back_off_and_failures_count_anew(runner: Runner) -> None:
    ended = ran(runner, *["failed"] * 5, "ok", "failed", "lost", ago=timedelta(seconds=1))
    one = planned(runner)
    assert one.failures == Failures(2, ended)
    assert one.state == "planned"


def test_paused_says_so_and_never_a_date(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran(runner, "ok", ago=30 * HOUR)
    with database.transaction(runner.engine) as connection:
        job_rows.pause_job(connection, NAME, by="ann", reason="moving house")
    one = planned(runner)
    assert (one.state, one.at, one.late_since) == ("paused", None, None)
    assert one.said.startswith("paused by ann, ")
    assert one.said.endswith(": moving house")
    monkeypatch.setenv("EDGEKEEPER_DATABASE_URL", str(runner.settings.database_url))
    with pytest.raises(SystemExit):
        main(["jobs"])
    assert "paused by" in capsys.readouterr().out


def test_a_paused_job_is_not_queued_and_made_up_for_once_when_resumed(runner: Runner) -> None:
    start = ran(runner, "ok", ago=10 * HOUR)
    jobs = [JOBS[NAME]]
    with database.transaction(runner.engine) as connection:
        job_rows.pause_job(connection, NAME, by="ann", reason="moving house")
        for k in range(10):
            assert queue_due(connection, start + k * HOUR, "w", jobs=jobs) == []
        job_rows.resume_job(connection, NAME, by="ann", reason="moved")
        now = job_rows.database_now(connection)
        assert queue_due(connection, now, "w", jobs=jobs) == [NAME]
        assert queue_due(connection, now, "w", jobs=jobs) == []
    with database.transaction(runner.engine, read_only=True) as connection:
        [run] = job_rows.read_queue(connection)
    assert run.run_trigger == "catch_up"


def test_a_cancelled_run_is_not_run_and_says_who_cancelled_it(runner: Runner) -> None:
    with database.transaction(runner.engine) as connection:
        run_id = job_rows.ask_for_run(connection, NAME, by="ann")
        assert job_rows.ask_for_run(connection, NAME, by="bob") == run_id
    assert planned(runner).said.endswith("by ann")
    with database.transaction(runner.engine) as connection:
        assert job_rows.cancel_queued_run(connection, run_id, by="bob", reason="not now")
        assert not job_rows.cancel_queued_run(connection, run_id, by="bob", reason="again")
    assert runner.run_next() is None
    with database.transaction(runner.engine, read_only=True) as connection:
        [row] = job_rows.last_runs(connection, list(JOBS))
        assert job_rows.read_queue(connection) == []
    assert (row["status"], row["error"]) == ("skipped", "cancelled by bob: not now")


def test_a_viewer_neither_asks_nor_pauses_nor_cancels(runner: Runner) -> None:
    with database.transaction(runner.engine) as connection:
        run_id = job_rows.ask_for_run(connection, NAME, by="eve")
        people_rows.set_person(connection, "ann", "admin", actor="ann")
        people_rows.set_person(connection, "eve", "viewer", actor="ann")
        for refused in (
            lambda: job_rows.ask_for_run(connection, NAME, by="eve"),
            lambda: job_rows.pause_job(connection, NAME, by="eve", reason="r"),
            lambda: job_rows.resume_job(connection, NAME, by="eve", reason="r"),
            lambda: job_rows.cancel_queued_run(connection, run_id, by="eve", reason="r"),
        ):
            with pytest.raises(DecisionRefused, match="'eve' may not decide"):
                refused()
        assert job_rows.read_pauses(connection) == {}
        assert len(job_rows.read_queue(connection)) == 1


def test_every_job_of_the_timetable_is_told(runner: Runner) -> None:
    with database.transaction(runner.engine, read_only=True) as connection:
        told = planned_runs(connection, "hourly")
    assert [one.job.name for one in told] == [job.name for job in TIMETABLE]
    assert {one.state for one in told} == {"due"}  # nothing ever ran
