"""What people are told, and that it never becomes a flood."""

from __future__ import annotations

import sys
import threading
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
import sqlalchemy as sa

from jobs.job import Job, JobContext, JobReport
from jobs.notices import Notices, messenger
from jobs.runner import Runner
from learning.store import database, job_rows
from learning.store.job_rows import RunOutcome
from learning.store.schema import job_runs
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


def test_workers_that_come_and_go_do_not_tell_the_same_again(runner: Runner) -> None:
    """A worker that is started anew each minute knows nothing of what was told before."""
    fails = [True, False]
    told: list[str] = []

    def flapping(context: JobContext) -> JobReport:
        fails.append(fails.pop(0))
        if fails[-1]:
            raise ValueError("no")
        return JobReport()

    def run_in_a_new_worker() -> None:
        worker = Runner(runner.engine, runner.settings, {"flapping": job("flapping", flapping)})
        worker.notices = Notices(told.append)
        with database.transaction(runner.engine) as connection:
            job_rows.enqueue(
                connection, "flapping", slot=None, trigger="schedule", requested_by="t"
            )
        before = threading.active_count()
        assert worker.run_next() is not None
        until(lambda: threading.active_count() <= before)

    for _ in range(6):
        run_in_a_new_worker()
    once = ["flapping failed: ValueError: no", "flapping runs again, after 1 failure"]
    assert told == once
    with database.transaction(runner.engine) as connection:
        connection.execute(
            sa.update(job_runs).values(finished_at=job_runs.c.finished_at - 7 * HOUR)
        )
    run_in_a_new_worker()
    run_in_a_new_worker()
    assert told == once * 2


def test_a_worker_tells_of_a_run_that_another_one_died_of(runner: Runner) -> None:
    told: list[str] = []
    runner.notices = Notices(told.append)
    with database.transaction(runner.engine) as connection:
        run_id = job_rows.enqueue(
            connection, "measure_effects", slot=None, trigger="schedule", requested_by="t"
        )
        job_rows.claim(connection, worker="dead", code_version="1", run_id=run_id)
        connection.execute(
            sa.update(job_runs).values(heartbeat_at=sa.text("now() - interval '61 seconds'"))
        )
    runner.jobs = {}
    runner.run_next()
    until(lambda: bool(told))  # by a thread of its own
    assert any("measure_effects lost: no heartbeat for 60 s" in sentence for sentence in told)


def test_a_sentence_goes_to_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the package apprise is called; it is no dependency, so it stands in for itself."""
    sent: list[tuple[str, str]] = []

    class Apprise:
        def __init__(self) -> None:
            self.urls: list[str] = []

        def add(self, url: str) -> None:
            self.urls.append(url)

        def notify(self, *, title: str, body: str) -> None:
            sent.extend((url, f"{title}: {body}") for url in self.urls)

    module = ModuleType("apprise")
    module.Apprise = Apprise  # type: ignore[attr-defined]
    module.__spec__ = ModuleSpec("apprise", None)
    monkeypatch.setitem(sys.modules, "apprise", module)
    send = messenger(["mailto://a", "tgram://b"])
    assert send is not None
    send("A guardrail was crossed.")
    said = "Edgekeeper: A guardrail was crossed."
    assert sent == [("mailto://a", said), ("tgram://b", said)]
