"""Several workers, killed and frozen ones: every slot once, nothing at once, nothing late."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from jobs.runner import Runner
from jobs.worker_name import is_dead, worker_name
from learning.store import database, job_rows
from learning.store.schema import job_runs
from tests.jobs.worker_process import SLOW, runner_of

ROOT = Path(__file__).parents[2]
MONDAY = datetime(2024, 3, 4, tzinfo=UTC)
Start = Callable[..., subprocess.Popen[str]]
OVERLAPS = sa.text(
    "SELECT count(*) FROM job_runs a JOIN job_runs b ON a.job = b.job AND a.id < b.id "
    "AND tstzrange(a.started_at, a.finished_at) && tstzrange(b.started_at, b.finished_at)"
)


@pytest.fixture
def start(fresh_database: str) -> Iterator[Start]:
    """Start a worker process; whatever is left of them is killed after the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(mode: str, seconds: float) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.jobs.worker_process", fresh_database, str(seconds), mode],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()


def ready(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"


def queue(runner: Runner, n: int, *, first: int = 0) -> None:
    with database.transaction(runner.engine) as connection:
        for i in range(first, first + n):
            slot = MONDAY + timedelta(hours=i)
            job_rows.enqueue(connection, SLOW, slot=slot, trigger="schedule", requested_by="t")


def rows(runner: Runner) -> list[sa.RowMapping]:
    with runner.engine.connect() as connection:
        query = sa.select(job_runs).where(job_runs.c.job == SLOW).order_by(job_runs.c.id)
        return list(connection.execute(query).mappings())


def until(condition: Callable[[], bool], *, within_s: float = 40) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)


def overlaps(runner: Runner) -> int:
    with runner.engine.connect() as connection:
        return int(connection.execute(OVERLAPS).scalar_one())


@pytest.mark.parametrize("n_workers", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_fifty_slots_run_once_each_and_never_at_once(
    runner: Runner, start: Start, n_workers: int
) -> None:
    queue(runner, 50)
    workers = [start("drain", 0.01) for _ in range(n_workers)]
    for worker in workers:
        worker.wait(60)
    ended = rows(runner)
    assert [row["status"] for row in ended] == ["ok"] * 50
    assert len({row["slot"] for row in ended}) == 50
    assert len({row["worker"] for row in ended}) > 1
    assert overlaps(runner) == 0


@pytest.mark.slow
def test_without_lock_and_index_the_same_test_sees_runs_at_once(
    runner: Runner, start: Start
) -> None:
    """The control: what protects, taken away, must be missed."""
    with runner.engine.begin() as connection:
        connection.execute(sa.text("DROP INDEX uq_job_runs_running"))
    queue(runner, 50)
    workers = [start("unlocked", 0.05) for _ in range(4)]
    for worker in workers:
        worker.wait(60)
    assert overlaps(runner) > 0


@pytest.mark.slow
def test_a_killed_workers_run_is_taken_over_at_once_and_its_job_runs_again(
    runner: Runner, start: Start
) -> None:
    queue(runner, 1)
    victim = start("drain", 60)
    until(lambda: rows(runner)[0]["status"] == "running")
    victim.kill()
    victim.wait()
    other = start("drain", 0.01)
    other.wait(60)
    ended = rows(runner)
    assert [row["status"] for row in ended] == ["lost", "ok"]
    assert "has ended" in ended[0]["error"]
    assert ended[1]["run_trigger"] == "catch_up"


def freeze_and_take_over(runner: Runner, zombie: subprocess.Popen[str], k: int) -> None:
    """Freeze a worker in its run, let another take the run over, and wake the worker up."""
    queue(runner, 1, first=k)
    until(lambda: rows(runner)[-1]["status"] == "running")
    zombie.send_signal(signal.SIGSTOP)
    lost = rows(runner)[-1]["id"]
    with database.transaction(runner.engine) as connection:
        connection.execute(sa.text("SELECT pg_sleep(0.02)"))
        assert job_rows.mark_lost(connection, after_s=0.01, is_dead=is_dead) == [lost]
    taken_over = runner.run_next()
    assert taken_over is not None
    assert taken_over.status == "ok"
    zombie.send_signal(signal.SIGCONT)


def late_writes(runner: Runner, zombie: subprocess.Popen[str], n_rounds: int) -> int:
    """How often a worker wrote that had lost its run while it was frozen."""
    runner.jobs = runner_of(str(runner.settings.database_url), 0.0).jobs  # quick for who takes over
    ready(zombie)
    before = version(runner)
    for k in range(n_rounds):
        freeze_and_take_over(runner, zombie, k)
    queue(runner, 1, first=n_rounds)
    until(lambda: rows(runner)[-1]["status"] == "ok")  # by now it has tried to end all others
    assert [row["status"] for row in rows(runner)] == ["lost", "ok"] * n_rounds + ["ok"]
    return version(runner) - before - (n_rounds + 1)


def test_a_frozen_worker_that_wakes_up_writes_nothing(runner: Runner, start: Start) -> None:
    assert late_writes(runner, start("patient", 0.1), 20) == 0


def test_control_one_that_does_not_ask_whether_its_run_is_still_its_own_writes_late(
    runner: Runner, start: Start
) -> None:
    assert late_writes(runner, start("unfenced", 0.1), 5) > 0


def version(runner: Runner) -> int:
    with runner.engine.connect() as connection:
        return int(
            connection.execute(sa.text("SELECT data_version FROM edgekeeper_state")).scalar_one()
        )


def test_sigterm_ends_a_worker_within_ten_seconds_and_gives_its_run_back(
    runner: Runner, start: Start
) -> None:
    queue(runner, 1)
    worker = start("worker", 300)
    until(lambda: rows(runner)[0]["status"] == "running")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    first, again = rows(runner)
    assert first["status"] == "skipped"
    assert "told to end" in first["error"]
    assert again["status"] == "queued"


def test_only_a_process_known_to_have_ended_counts_as_dead() -> None:
    name = worker_name()
    assert not is_dead(name)
    ended = subprocess.run(
        [sys.executable, "-c", "from jobs.worker_name import worker_name; print(worker_name())"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    assert is_dead(ended)
    host, process, rest = ended.rsplit("/", 2)
    assert not is_dead(f"elsewhere/{process}/{rest}")  # only silence tells of another machine
    assert not is_dead(f"{host}/{process}/1-otherboot-abc")
    assert is_dead(name.replace(f"/{os.getpid()}/", "/4194303/"))
