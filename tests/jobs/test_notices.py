"""What people are told, and that it never becomes a flood."""

from __future__ import annotations

import threading

from jobs.job import Job, JobContext, JobReport
from jobs.notices import Notices, messenger
from jobs.runner import Runner
from learning.store import database, job_rows
from learning.store.job_rows import RunOutcome
from tests.jobs.test_scheduler import HOUR, job, until

FAILED, OK = RunOutcome("failed", error="no space"), RunOutcome("ok")


class Heard:
    """Notices that keep what they tell, by a clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sentences: list[str] = []
        self.notices = Notices(self.sentences.append, clock=lambda: self.now)

    def after(self, outcome: RunOutcome, failures_before: int, name: str = "mine") -> list[str]:
        before = threading.active_count()
        self.notices.after_run(name, outcome, failures_before)
        until(lambda: threading.active_count() <= before)
        return self.sentences


def test_only_the_first_failure_and_the_recovery_are_told() -> None:
    heard = Heard()
    for in_a_row in range(5):
        heard.after(FAILED, in_a_row)
    heard.after(OK, 5)
    assert heard.after(OK, 0) == ["mine failed: no space", "mine runs again, after 5 failures"]


def test_a_job_that_fails_and_recovers_all_day_is_told_every_six_hours() -> None:
    heard = Heard()
    for _ in range(24):
        heard.after(FAILED, 0)
        heard.after(OK, 1)
        heard.now += 3600
    assert len(heard.sentences) == 2 * 4


def test_no_more_than_twenty_things_are_told_a_day() -> None:
    heard = Heard()
    for i in range(100):
        heard.after(FAILED, 0, f"job{i}")
    assert len(heard.sentences) == 20
    heard.now += 86401
    assert len(heard.after(FAILED, 0, "another")) == 21


def test_alerts_and_waiting_decisions_are_told() -> None:
    heard = Heard()
    heard.after(RunOutcome("ok", changed={"alerts_raised": 1}), 0, "measure_effects")
    heard.after(RunOutcome("ok", changed={"proposed": 3}), 0, "mine_pm_lessons")
    assert ["guardrail" in heard.sentences[0], "3 lessons wait" in heard.sentences[1]] == [
        True,
        True,
    ]


def test_without_addresses_or_the_package_nothing_is_told() -> None:
    assert messenger(()) is None
    Notices(None).tell("x", "nobody hears")


def test_the_worker_tells_of_its_runs_and_not_of_those_a_person_asked_for(runner: Runner) -> None:
    def failing(context: JobContext) -> JobReport:
        raise ValueError("no")

    told: list[str] = []
    runner.notices = Notices(told.append)
    bad: Job = job("bad", failing)
    runner.jobs = {"bad": bad}
    runner.run_now("bad", requested_by="ann")
    assert told == []
    with database.transaction(runner.engine) as connection:
        connection.exec_driver_sql("DELETE FROM job_runs")
        now = job_rows.database_now(connection)
        job_rows.enqueue(connection, "bad", slot=now - HOUR, trigger="schedule", requested_by="w")
    runner.run_next()
    until(lambda: told == ["bad failed: ValueError: no"])
