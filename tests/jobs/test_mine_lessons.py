"""What mining does with lessons whose trades are gone."""

from __future__ import annotations

import sqlalchemy as sa

from jobs.runner import Runner
from learning.store import database, lesson_rows, strand_rows
from learning.store.schema import mining_runs
from tests.jobs.conftest import runner_on
from tests.learning.store.stored_lessons import store_lesson
from tests.strand_builders import action, close


def mine(runner: Runner) -> None:
    ended = runner.run_now("mine_pm_lessons", requested_by="test")
    assert ended is not None
    assert ended.status == "ok", ended.error


def statuses(runner: Runner) -> dict[int, str]:
    with database.transaction(runner.engine, read_only=True) as connection:
        return {one.lesson_id: one.status for one in lesson_rows.read_lessons(connection)}


def check_unmeasured(runner: Runner) -> None:
    with database.transaction(runner.engine) as connection:
        proposed, active = store_lesson(connection), store_lesson(connection, "active")
        for lesson_id in (proposed, active):
            lesson_rows.append_version(connection, lesson_id, reason="found")
        before = connection.scalar(sa.select(sa.func.max(mining_runs.c.id)))
    mine(runner)
    assert statuses(runner) == {proposed: "watch", active: "active"}
    with database.transaction(runner.engine, read_only=True) as connection:
        [run] = connection.execute(
            sa.select(mining_runs).where(mining_runs.c.id > before)
        ).mappings()
        [lesson] = lesson_rows.read_lessons(connection, lesson_id=proposed)
    assert (run["module"], run["n_trades"], run["is_discovery"]) == ("pm", 0, False)
    assert set(run["counts"].values()) == {0}
    assert "can no longer be measured" in lesson.status_reason


def test_without_any_trade_a_proposal_is_watched_and_the_run_counts_nothing(
    runner: Runner,
) -> None:
    check_unmeasured(runner)


def test_without_a_trade_of_the_origins_a_proposal_is_watched(fresh_database: str) -> None:
    runner = runner_on(fresh_database, origins=("backtest",))
    with database.transaction(runner.engine) as connection:
        strand_rows.append(connection, [action(), close()])  # of a live bot
    ended = runner.run_now("ingest_strands", requested_by="test")
    assert ended is not None
    assert ended.rows_out
    check_unmeasured(runner)
    runner.engine.dispose()


def n_runs(runner: Runner) -> int:
    with database.transaction(runner.engine, read_only=True) as connection:
        query = sa.select(sa.func.count()).where(mining_runs.c.module == "pm")
        return int(connection.scalar(query) or 0)


def add_trades(runner: Runner, name: str, n: int) -> None:
    with database.transaction(runner.engine) as connection:
        for i in range(n):
            pair = [action(f"{name}{i}", name=f"{name}{i}"), close(f"{name}{i}")]
            strand_rows.append(connection, pair)
    ended = runner.run_now("ingest_strands", requested_by="test")
    assert ended is not None
    assert ended.status == "ok"


def test_mining_again_does_nothing_until_something_changes_that_it_rests_on(
    runner: Runner,
) -> None:
    add_trades(runner, "a", 12)
    mine(runner)  # the first discovery look
    mine(runner)  # the first one chose the outcome
    before = n_runs(runner)
    mine(runner)
    assert n_runs(runner) == before
    add_trades(runner, "b", 1)
    mine(runner)
    assert n_runs(runner) == before + 1
    mine(runner)
    assert n_runs(runner) == before + 1
    other = runner_on(str(runner.settings.database_url), timing_dimensions=("bucket",))
    mine(other)
    assert n_runs(runner) == before + 2
    with database.transaction(runner.engine) as connection:  # a discovery look is due by time
        connection.execute(sa.text("ALTER TABLE mining_runs DISABLE TRIGGER ALL"))
        connection.execute(sa.text("UPDATE mining_runs SET created_at = now() - interval '29 d'"))
        connection.execute(sa.text("ALTER TABLE mining_runs ENABLE TRIGGER ALL"))
    mine(other)
    assert n_runs(runner) == before + 3
    other.engine.dispose()
