"""Decisions that follow one another share the run that materialises them; none is left out."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from jobs.runner import Runner
from learning.store import job_rows
from learning.store.database import create_engine, transaction
from learning.store.schema import job_runs, pm_overrides
from tests.learning.store.stored_lessons import decide, store_lesson

JOB = "materialise_overrides"
ASKED = sa.select(job_runs.c.requested_by, job_runs.c.status).order_by(job_runs.c.id)


@pytest.fixture
def lessons(runner: Runner) -> list[int]:
    with transaction(runner.engine) as connection:
        return [store_lesson(connection) for _ in range(15)]


@pytest.fixture
def other(fresh_database: str) -> Iterator[Engine]:
    """Another process's engine."""
    engine = create_engine(fresh_database)
    yield engine
    engine.dispose()


def approve(engine: Engine, lesson_id: int, actor: str = "ann") -> None:
    with transaction(engine) as connection:
        decide(connection, lesson_id, "approve", actor=actor)


def asked(engine: Engine) -> list[tuple[str, str]]:
    with transaction(engine, read_only=True) as connection:
        return [(by, status) for by, status in connection.execute(ASKED)]


def claim(connection: Connection) -> job_rows.ClaimedRun | None:
    return job_rows.claim(connection, worker="w", code_version="1")


def n_overrides(engine: Engine) -> int:
    with transaction(engine, read_only=True) as connection:
        query = sa.select(sa.func.count()).select_from(pm_overrides)
        return int(connection.execute(query).scalar_one())


def test_fifteen_approvals_queue_one_run_that_names_who_asked(
    runner: Runner, lessons: list[int]
) -> None:
    for i, lesson_id in enumerate(lessons):
        approve(runner.engine, lesson_id, actor=("ann", "bob")[i % 2])
    assert asked(runner.engine) == [("ann, bob", "queued")]
    ended = runner.run_next()
    assert ended is not None
    assert ended.status == "ok"
    assert n_overrides(runner.engine) == 15
    assert runner.run_next() is None


def test_a_run_that_has_begun_is_not_shared(runner: Runner, lessons: list[int]) -> None:
    approve(runner.engine, lessons[0])
    with transaction(runner.engine) as connection:
        assert claim(connection) is not None
    approve(runner.engine, lessons[1])
    assert asked(runner.engine) == [("ann", "running"), ("ann", "queued")]


def test_a_run_that_waits_for_later_or_is_tried_again_is_not_shared(
    runner: Runner, lessons: list[int]
) -> None:
    for attempt, delay in ((1, "0 s"), (0, "1 h")):
        with transaction(runner.engine) as connection:
            later = connection.scalar(sa.text("SELECT CAST(:delay AS interval)"), {"delay": delay})
            job_rows.enqueue(
                connection, JOB, slot=None, trigger="manual", requested_by="eve", delay=later,
                attempt=attempt,
            )  # fmt: skip
    approve(runner.engine, lessons[0], actor="bob")
    assert asked(runner.engine) == [("eve", "queued"), ("eve", "queued"), ("bob", "queued")]


def test_a_run_does_not_begin_while_a_decision_joins_it(
    runner: Runner, lessons: list[int], other: Engine
) -> None:
    """It would read the lessons without that decision, and nothing would be queued for it."""
    approve(runner.engine, lessons[0])
    with transaction(other) as deciding:
        decide(deciding, lessons[1], "approve", actor="bob")
        assert runner.run_next() is None  # at once: it passes the run by
    assert runner.run_next() is not None
    assert n_overrides(runner.engine) == 2
    assert asked(runner.engine) == [("ann, bob", "ok")]


def test_a_decision_that_meets_a_run_being_claimed_queues_another(
    runner: Runner, lessons: list[int], other: Engine
) -> None:
    approve(runner.engine, lessons[0])
    deciding = threading.Thread(target=approve, args=(other, lessons[1], "bob"))
    with transaction(runner.engine) as connection:
        assert claim(connection) is not None
        deciding.start()
        wait_until_blocked(runner.engine)
    deciding.join()
    assert asked(runner.engine) == [("ann", "running"), ("bob", "queued")]


def wait_until_blocked(engine: Engine, *, or_ended: threading.Thread | None = None) -> None:
    """Wait until some session waits for a lock, or a thread that need not has ended."""
    waiting = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + 20
    while True:
        with transaction(engine, read_only=True) as connection:
            if connection.scalar(waiting):
                return
        if or_ended is not None and not or_ended.is_alive():
            return
        assert time.monotonic() < deadline, "it never waited"
        time.sleep(0.02)
