"""What is queued when, what is tried again, and what a worker does about arrivals."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest
import sqlalchemy as sa

from jobs import arrivals
from jobs.both_modules import ModuleFailures
from jobs.job import Job, JobContext, JobReport
from jobs.runner import Runner
from jobs.scheduler import Scheduler, queue_due, start_scheduler
from jobs.slots import back_off_end, jitter, missing_slots
from jobs.timetable import JOBS, TIMETABLE, timetable
from learning.errors import ConfigError, LearningError
from learning.settings import Settings
from learning.store import database, job_rows, strand_rows
from learning.store.binary_copy import copy_columns
from learning.store.job_rows import Failures
from learning.store.schema import job_runs, job_settings
from learning.store.state_rows import touch
from tests.strand_builders import action, close

MONDAY = datetime(2024, 3, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)


def job(name: str, run: Callable[[JobContext], JobReport], **changes: object) -> Job:
    return replace(Job(name, run, HOUR, timedelta(0), 2 * HOUR, "a test"), **changes)


def fine(context: JobContext) -> JobReport:
    return JobReport()


def run_one(runner: Runner, one: Job) -> sa.RowMapping:
    runner.jobs = {one.name: one}
    runner.run_now(one.name, requested_by="t")
    return rows(runner)[0]


def rows(runner: Runner) -> list[sa.RowMapping]:
    with runner.engine.connect() as connection:
        return list(connection.execute(sa.select(job_runs).order_by(job_runs.c.id)).mappings())


def until(condition: Callable[[], bool], *, within_s: float = 90) -> None:
    # longer than the 30 s after which a run that met a database error is tried again
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)


# --- slots ------------------------------------------------------------------------------------


def test_a_job_that_wants_each_slot_gets_all_it_missed_in_order_and_once() -> None:
    each = job("each", fine, catch_up="every")
    missed = missing_slots(each, MONDAY, MONDAY + 10 * HOUR + timedelta(minutes=7))
    assert missed == [MONDAY + k * HOUR for k in range(1, 11)]
    assert missing_slots(each, missed[-1], MONDAY + 10 * HOUR) == []
    assert missing_slots(job("once", fine), MONDAY, MONDAY + 10 * HOUR) == [MONDAY + 10 * HOUR]


def test_missed_slots_are_queued_in_order_and_not_again(runner: Runner) -> None:
    jobs = [job("each", fine, catch_up="every"), job("once", fine)]
    with database.transaction(runner.engine) as connection:
        queue_due(connection, MONDAY, "w", jobs=jobs)
        queue_due(connection, MONDAY + 10 * HOUR, "w", jobs=jobs)
        queue_due(connection, MONDAY + 10 * HOUR, "another", jobs=jobs)
    slots = [(row["job"], row["slot"]) for row in rows(runner)]
    assert [slot for name, slot in slots if name == "each"] == [
        MONDAY + k * HOUR for k in range(11)
    ]
    assert [slot for name, slot in slots if name == "once"] == [MONDAY, MONDAY + 10 * HOUR]


def test_a_run_for_an_arrival_does_not_stand_for_a_slot(runner: Runner) -> None:
    """It looks at what is new alone: under a busy bot nothing would look at everything."""
    one = job("one", fine)
    with database.transaction(runner.engine) as connection:
        queue_due(connection, MONDAY, "w", jobs=[one])
        for minute in range(0, 60, 5):  # the last one after the slot, within its jitter
            at = MONDAY + timedelta(minutes=minute, seconds=3600 - 55 * 60 + 2)
            job_rows.enqueue(connection, "one", slot=at, trigger="notify", requested_by="w")
        assert queue_due(connection, MONDAY + HOUR + timedelta(seconds=9), "w", jobs=[one])
    slots = [row["slot"] for row in rows(runner) if row["run_trigger"] == "schedule"]
    assert slots == [MONDAY, MONDAY + HOUR]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_slots_are_the_same_in_any_zone_across_both_changes_of_the_clock(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        two_hourly = JOBS["ingest_strands"]
        for day in (datetime(2024, 3, 9, tzinfo=UTC), datetime(2024, 10, 26, tzinfo=UTC)):
            queued: list[datetime] = [day]
            for step in range(6 * 24 * 10):
                at = (day + step * timedelta(minutes=10)).astimezone()  # the local zone
                queued += missing_slots(two_hourly, queued[-1], at)
            assert queued == [day + k * 2 * HOUR for k in range(len(queued))]
            assert len(queued) == 120
    finally:
        monkeypatch.undo()
        time.tzset()


def test_failing_jobs_get_fewer_of_their_slots_and_keep_none_from_the_others(
    runner: Runner,
) -> None:
    def raising(error: BaseException) -> Callable[[JobContext], JobReport]:
        def run(context: JobContext) -> JobReport:
            raise error

        return run

    errors = (ValueError("no"), SystemExit(3), MemoryError(), RecursionError("deep"))
    bad = [job(f"bad {type(error).__name__}", raising(error)) for error in errors]
    jobs = [*bad, job("good", fine), job("well", fine)]
    runner.jobs = {one.name: one for one in jobs}
    ran: list[str] = []
    for k in range(50):
        at = MONDAY + k * HOUR
        with database.transaction(runner.engine) as connection:
            queue_due(connection, at, "w", jobs=jobs)
        while (claimed := claimed_at(runner, at)) is not None:
            ran.append(claimed)
    assert [ran.count(name) for name in ("good", "well")] == [50, 50]
    # after 3 failures it waits 1 h, 2, 4, 8, 16 and then a day
    assert [ran.count(one.name) for one in bad] == [3 + 1 + 1 + 1 + 1 + 1] * 4
    with database.transaction(runner.engine, read_only=True) as connection:
        failures = job_rows.read_failures(connection, [one.name for one in jobs])
    assert {name: one.in_a_row for name, one in failures.items()} == {one.name: 8 for one in bad}


def claimed_at(runner: Runner, at: datetime) -> str | None:
    """Run what is queued next; let its end be at a moment of the test."""
    if runner.run_next() is None:
        return None
    with database.transaction(runner.engine) as connection:
        ended = connection.execute(
            sa.update(job_runs)
            .where(job_runs.c.id == sa.select(sa.func.max(job_runs.c.id))
                   .where(job_runs.c.finished_at > at + 100 * HOUR).scalar_subquery())
            .values(finished_at=at)
            .returning(job_runs.c.job)
        )  # fmt: skip
        return str(ended.scalar_one())


def test_back_off_begins_with_the_third_failure_and_is_a_day_at_most() -> None:
    ends = [back_off_end(job("x", fine), Failures(k, MONDAY)) for k in (1, 2, 3, 4, 8, 99)]
    day = MONDAY + timedelta(days=1)
    assert ends == [None, None, MONDAY + HOUR, MONDAY + 2 * HOUR, day, day]


def test_jitter_is_small_stays_and_differs_between_installations() -> None:
    hourly = job("hourly", fine)
    drawn = {jitter(hourly, f"host/db{i}") for i in range(50)}
    assert len(drawn) == 50
    assert all(timedelta(0) <= one <= timedelta(seconds=30) for one in drawn)
    assert jitter(hourly, "a") == jitter(hourly, "a")
    assert jitter(replace(hourly, every=timedelta(minutes=9)), "a") == timedelta(0)


def test_a_local_clock_that_was_set_back_is_not_waited_for(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library counts by local time: its next tick then lies an hour ahead."""
    ticks: list[str] = []
    scheduler = Scheduler(runner)
    monkeypatch.setattr(scheduler, "tick", lambda: ticks.append("tick"))
    [waiting] = scheduler._clock.jobs
    assert waiting.next_run is not None
    scheduler._tick_if_due()
    assert ticks == []
    waiting.next_run += HOUR
    scheduler._tick_if_due()
    assert ticks == ["tick"]


def test_the_hourly_profile_mines_pm_then_dm_then_materialises() -> None:
    hourly = {one.name: one for one in timetable("hourly")}
    assert set(hourly) == set(JOBS)
    assert timetable("v5") == TIMETABLE
    mining = ("mine_pm_lessons", "mine_dm_lessons", "materialise_overrides")
    told = [(hourly[name].every, hourly[name].offset) for name in mining]
    assert told == [(HOUR, timedelta(minutes=minute)) for minute in (8, 9, 10)]


# --- runs that end badly ----------------------------------------------------------------------


def test_errors_of_the_database_are_tried_again_twice_and_no_others(runner: Runner) -> None:
    def cut_off(context: JobContext) -> JobReport:
        with database.transaction(context.engine) as connection:
            connection.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
        raise AssertionError

    runner.jobs = {"cut": job("cut", cut_off)}
    runner.run_now("cut", requested_by="ann")
    waits = []
    for _ in range(4):
        last = rows(runner)[-1]
        if last["status"] != "queued":
            break
        waits.append((last["slot"] - rows(runner)[-2]["finished_at"]).total_seconds())
        assert runner.run_next() is None  # not before its time
        with database.transaction(runner.engine) as connection:
            connection.execute(
                sa.text("UPDATE job_runs SET slot = now() - slot_age FROM (SELECT id, "
                        "make_interval(secs => 100 - id) AS slot_age FROM job_runs) AS x "
                        "WHERE x.id = job_runs.id AND status = 'queued'")
            )  # fmt: skip
        assert runner.run_next() is not None
    assert waits == [pytest.approx(30, abs=5), pytest.approx(300, abs=5)]
    assert [row["status"] for row in rows(runner)] == ["failed"] * 3
    assert all(row["requested_by"] == "ann" for row in rows(runner))


def ended_in_a_copy(connection: sa.Connection) -> None:
    """The driver itself is at work: its errors come as they are."""

    def parts() -> Iterator[dict[str, np.ndarray]]:
        yield {"n": np.ones(1, dtype=np.int32)}
        url = connection.engine.url.set(drivername="postgresql")
        with psycopg.connect(url.render_as_string(hide_password=False)) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (process,))
        for _ in range(9):
            yield {"n": np.ones(1_000_000, dtype=np.int32)}

    process = connection.scalar(sa.text("SELECT pg_backend_pid()"))
    connection.execute(sa.text("CREATE TEMPORARY TABLE filled (n integer)"))
    copy_columns(connection, "filled", parts())


def idle_for_too_long(connection: sa.Connection) -> None:
    connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = '20ms'"))
    time.sleep(0.5)
    connection.execute(sa.text("SELECT 1"))


def in_transaction_for_too_long(connection: sa.Connection) -> None:
    connection.execute(sa.text("SET LOCAL transaction_timeout = '20ms'"))
    connection.execute(sa.text("SELECT pg_sleep(1)"))


def on_a_server_that_became_a_standby(connection: sa.Connection) -> None:
    connection.execute(sa.text("SET TRANSACTION READ ONLY"))
    touch(connection)


@pytest.mark.parametrize(
    "lose",
    [
        ended_in_a_copy,
        idle_for_too_long,
        in_transaction_for_too_long,
        on_a_server_that_became_a_standby,
    ],
)
def test_a_run_that_lost_its_session_in_either_way_is_tried_again(
    runner: Runner, lose: Callable[[sa.Connection], None]
) -> None:
    def losing(context: JobContext) -> JobReport:
        failures = ModuleFailures()  # it is no failure of a module alone
        with failures.kept("pm"), context.transaction() as connection:
            lose(connection)
        raise AssertionError

    runner.jobs = {"losing": job("losing", losing)}
    runner.run_now("losing", requested_by="ann")
    first, again = rows(runner)
    assert (first["status"], again["status"]) == ("failed", "queued")
    assert again["changed"] == {"attempt": 1}


@pytest.mark.parametrize("waits_in", ["a statement", "python"])
def test_a_run_past_its_time_is_pulled_out(runner: Runner, waits_in: str) -> None:
    def endless(context: JobContext) -> JobReport:
        if waits_in == "python":
            while True:
                time.sleep(0.01)
        with database.transaction(context.engine) as connection:
            connection.execute(sa.text("SELECT pg_sleep(60)"))
        raise AssertionError

    row = run_one(runner, job("endless", endless, timeout=timedelta(seconds=0.3)))
    assert row["status"] == "failed"
    assert row["error"] == "ran past its time of 0.3 s and was ended"
    assert row["error_id"] in row["log_tail"]  # which tells where it was
    assert "in endless" in row["log_tail"]
    assert runner.run_now("endless", requested_by="t") is not None  # the runner goes on


def test_a_run_keeps_its_own_log_without_passwords(runner: Runner) -> None:
    def chatty(context: JobContext) -> JobReport:
        context.progress(1, 2, "half of it")
        logging.getLogger("learning.x").warning("from postgresql://ann:secret@host/db \x00")
        other = threading.Thread(target=lambda: logging.getLogger("y").warning("of another"))
        other.start()
        other.join()
        raise ValueError("the end")

    tail = run_one(runner, job("chatty", chatty))["log_tail"]
    assert "half of it" in tail
    assert "ann:***@host" in tail
    assert "ValueError: the end" in tail
    assert "secret" not in tail
    assert "of another" not in tail


def test_memory_is_that_of_the_run_not_of_the_process(runner: Runner) -> None:
    def hungry(context: JobContext) -> JobReport:
        return JobReport(rows_out=len(bytearray(b"x") * 300_000_000))

    runner.jobs = {"hungry": job("hungry", hungry), "fine": job("fine", fine)}
    runner.run_now("hungry", requested_by="t")
    runner.run_now("fine", requested_by="t")
    hungry_mb, fine_mb = (row["peak_memory_mb"] for row in rows(runner))
    assert hungry_mb - fine_mb > 200


def test_progress_is_in_the_row_while_the_run_goes_on(runner: Runner) -> None:
    seen = threading.Event()

    def telling(context: JobContext) -> JobReport:
        context.progress(3, 9, "thirds")
        seen.wait(30)
        return JobReport(changed={"new": 1})

    runner.jobs = {"telling": job("telling", telling)}
    thread = threading.Thread(target=lambda: runner.run_now("telling", requested_by="t"))
    thread.start()
    until(lambda: bool(rows(runner) and (rows(runner)[0]["changed"] or {}).get("progress")))
    assert rows(runner)[0]["changed"]["progress"] == {"done": 3, "total": 9, "what": "thirds"}
    seen.set()
    thread.join()
    assert rows(runner)[0]["changed"] == {"new": 1}


@pytest.mark.parametrize(
    ("trigger", "attempt", "rows_out", "follows"),
    [
        ("schedule", 0, 3, True),
        ("notify", 0, 3, True),
        ("schedule", 0, 0, False),
        ("notify", 0, 0, False),
        ("catch_up", 0, 0, True),  # the run it makes up for may have written before it was lost
        ("notify", 1, 0, True),
        ("manual", 0, 3, False),
    ],
)
def test_what_follows_is_queued_even_while_its_run_of_the_same_slot_goes_on(
    runner: Runner, trigger: str, attempt: int, rows_out: int, follows: bool
) -> None:
    first = job("first", lambda _context: JobReport(rows_out=rows_out), then="second")
    runner.jobs = {"first": first, "second": job("second", fine)}
    with database.transaction(runner.engine) as connection:
        other = job_rows.enqueue(
            connection, "second", slot=MONDAY, trigger="schedule", requested_by="t"
        )
        assert job_rows.claim(connection, worker="another", code_version="1", run_id=other)
        job_rows.enqueue(
            connection, "first", slot=MONDAY, trigger=trigger, requested_by="t", attempt=attempt
        )
    assert runner.run_next() is not None
    with database.transaction(runner.engine, read_only=True) as connection:
        waiting = [run.job for run in job_rows.read_queue(connection)]
    assert waiting == (["second"] if follows else [])


# --- arrivals ---------------------------------------------------------------------------------


@pytest.fixture
def only_arrivals(runner: Runner) -> Runner:
    """A database where the timetable rests."""
    with database.transaction(runner.engine) as connection:
        for name in JOBS:
            if name not in ("ingest_strands", "aggregate_scopes"):
                values = {"job": name, "is_paused": True, "changed_by": "t", "reason": "t"}
                connection.execute(sa.insert(job_settings).values(values))
    return runner


def close_trades(runner: Runner, name: str, n: int) -> None:
    with database.transaction(runner.engine) as connection:
        for i in range(n):
            pair = [action(f"{name}{i}", name=f"{name}{i}"), close(f"{name}{i}")]
            strand_rows.append(connection, pair)


def n_in_stats(runner: Runner) -> int:
    with runner.engine.connect() as connection:
        query = "SELECT coalesce(max(n), 0) FROM pattern_scope_stats"
        return int(connection.execute(sa.text(query)).scalar_one())


@pytest.mark.parametrize("is_pooled", [False, True])
def test_closes_reach_the_statistics_by_themselves_in_a_users_own_process(
    only_arrivals: Runner, is_pooled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ConfigError("a pooler")

    if is_pooled:
        monkeypatch.setattr(arrivals, "listen", refuse)
    url = only_arrivals.engine.url.render_as_string(hide_password=False)
    scheduler = start_scheduler(settings=Settings.from_env(database_url=url))
    try:
        close_trades(only_arrivals, "a", 12)
        until(lambda: n_in_stats(only_arrivals) == 12)
        close_trades(only_arrivals, "b", 1)
        until(lambda: n_in_stats(only_arrivals) == 13)
        assert scheduler.is_running
    finally:
        scheduler.stop()
    assert not scheduler.is_running
    assert scheduler.problem is None


def test_many_closes_share_few_runs(only_arrivals: Runner) -> None:
    url = only_arrivals.engine.url.render_as_string(hide_password=False)
    scheduler = start_scheduler(settings=Settings.from_env(database_url=url))
    try:
        for k in range(100):  # each commit notifies
            close_trades(only_arrivals, f"c{k}-", 1)
        until(lambda: n_in_stats(only_arrivals) == 100)
    finally:
        scheduler.stop()
    runs = [row for row in rows(only_arrivals) if row["run_trigger"] == "notify"]
    assert len(runs) < 50
    assert sum(row["rows_in"] for row in runs if row["job"] == "ingest_strands") <= 200


def test_a_dead_side_thread_ends_the_worker(
    only_arrivals: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(runner: Runner) -> bool:
        raise KeyError("a bug")

    monkeypatch.setattr(arrivals, "take_in", broken)
    monkeypatch.setattr(threading, "excepthook", lambda *_: None)
    close_trades(only_arrivals, "d", 1)
    scheduler = Scheduler(only_arrivals, takes_arrivals=True)
    with stopped_in_the_end(scheduler), pytest.raises(LearningError, match="died"):
        scheduler.run()


@contextlib.contextmanager
def stopped_in_the_end(scheduler: Scheduler) -> Iterator[None]:
    """Let a scheduler that does not end by itself end after a while all the same."""
    stop = threading.Timer(60.0, scheduler.stop)
    stop.start()
    try:
        yield
    finally:
        stop.cancel()


def test_a_side_thread_that_hangs_ends_the_worker(
    only_arrivals: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = threading.Event()
    monkeypatch.setattr(arrivals, "take_in", lambda _runner: leave.wait(60))
    close_trades(only_arrivals, "h", 1)
    waits = JOBS["aggregate_scopes"].timeout.total_seconds() + 121
    scheduler = Scheduler(only_arrivals, takes_arrivals=True)
    thread = scheduler._arrivals
    assert thread is not None
    threading.Timer(1.0, lambda: setattr(thread, "seen_at", time.monotonic() - waits)).start()
    with stopped_in_the_end(scheduler), pytest.raises(LearningError, match="hangs since"):
        scheduler.run()
    scheduler.stop()
    leave.set()
    thread.join(10)
