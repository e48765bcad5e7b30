"""What mining does with lessons whose trades are gone."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from jobs.runner import Runner
from learning.store import database, lesson_rows, mining_run_rows, strand_rows
from learning.store.schema import mining_runs
from tests.jobs.conftest import runner_on
from tests.learning.store.stored_lessons import store_lesson
from tests.strand_builders import START, action, close


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
            entered = {"hours": i * 30, "scope": {"bucket": ("micro", "mid")[i % 2]}}
            moments = {
                "opened_at": (START + timedelta(hours=i * 30)).isoformat(),
                "closed_at": (START + timedelta(hours=i * 30 + 6)).isoformat(),
            }
            rr = (i * 7919) % 13 / 6 - 1
            pair = [
                action(f"{name}{i}", name=f"{name}{i}", **entered),
                close(f"{name}{i}", r_multiple=rr, **moments),
            ]
            strand_rows.append(connection, pair)
    ended = runner.run_now("ingest_strands", requested_by="test")
    assert ended is not None
    assert ended.status == "ok"


def test_mining_again_does_nothing_until_something_changes_that_it_rests_on(
    runner: Runner,
) -> None:
    add_trades(runner, "a", 120)
    mine(runner)  # the first discovery look
    mine(runner)  # the first one chose the outcome
    assert looks(runner) == [1]
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
    assert looks(runner) == [1, 2]
    other.engine.dispose()


def looks(runner: Runner) -> list[int]:
    """Numbers of the looks that spent error."""
    with database.transaction(runner.engine, read_only=True) as connection:
        query = sa.select(mining_runs.c.look).where(mining_runs.c.is_discovery)
        return list(connection.scalars(query.order_by(mining_runs.c.id)))


def test_searches_that_could_test_nothing_spend_no_look(runner: Runner) -> None:
    for i, n in enumerate((1, 2, 3)):
        add_trades(runner, f"few{i}", n)
        mine(runner)
    assert looks(runner) == []
    add_trades(runner, "many", 120)
    mine(runner)
    with database.transaction(runner.engine, read_only=True) as connection:
        last = mining_run_rows.last_discovery(connection, "pm", "r_multiple")
        level = connection.scalar(
            sa.select(mining_runs.c.fdr_level).where(mining_runs.c.is_discovery)
        )
    assert last is not None
    assert last.counts["tested"] > 0
    assert (last.look, level) == (1, runner.settings.fdr_target)  # the whole level of a first look
