"""Every job may run again: nothing doubles, and what is derived comes out of nothing the same."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from jobs import demo
from jobs.runner import Runner
from jobs.timetable import LEARNING_ORDER, TIMETABLE
from learning.store import application_rows, job_rows
from learning.store.database import transaction
from learning.store.lesson_rows import StoredLesson
from learning.store.schema import metadata
from tests.jobs.conftest import copied
from tests.jobs.test_measure_effects import application

# one row a run by design, counters of what was written, or what a run rested on
OF_RUNS = {"job_runs", "mining_runs", "bot_heartbeats", "lesson_marks"}
# moments, identities of rows that are replaced, and what tells screens to look again
PASSING = {"id", "mining_run_id", "group_id", "data_version"}


def digests(runner: Runner) -> dict[str, str]:
    """A digest of each table, whatever the order of its rows, without moments and identities."""
    with runner.engine.connect() as connection:
        return {
            table.name: _digest(connection, table)
            for table in metadata.sorted_tables
            if table.name not in OF_RUNS
        }


def _digest(connection: sa.Connection, table: sa.Table) -> str:
    kept = [
        column.name
        for column in table.columns
        if column.name not in PASSING and not isinstance(column.type, sa.DateTime)
    ]
    rows = connection.execute(sa.text(f"SELECT {', '.join(kept)} FROM {table.name}"))
    lines = sorted(repr(tuple(row)) for row in rows)
    return f"{len(lines)} " + hashlib.sha256("\n".join(lines).encode()).hexdigest()


def run(runner: Runner, name: str) -> None:
    ended = runner.run_now(name, requested_by="test")
    assert ended is not None
    assert ended.status == "ok", (name, ended.error)


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [name for name in before if before[name] != after[name]]


# by the jobs of a world with active lessons, one of which does harm
WRITTEN = (
    "pattern_trade_events", "strand_ledger", "scope_stat_packs", "scope_week_sums",
    "learning_lessons", "lesson_versions", "lesson_decisions", "learning_edge_history",
    "learning_latent_factors", "learning_lesson_maps", "learning_regime_weights",
    "regime_weight_history", "regime_phase_counts", "pm_overrides", "override_history",
    "learning_configs", "override_effects", "alerts",
)  # fmt: skip


@pytest.fixture
def copy(learned: Runner, server_url: str) -> Iterator[Runner]:
    """A runner on a copy of the database that has learned, where lessons are active."""
    with copied(learned, server_url) as made:
        do_harm(made, demo.approve_lessons(made)[0])
        yield made


def do_harm(runner: Runner, lesson: StoredLesson) -> None:
    """Apply a lesson to the worse half of its trades, and hold it out from the better."""
    with transaction(runner.engine) as connection:
        trades = connection.execute(
            sa.text(
                "SELECT bot, origin, trade_id, r_multiple, acted_at FROM pattern_trade_events "
                "WHERE (pattern_key, action_category) = (:pattern, :category)"
            ),
            dict(zip(("pattern", "category"), lesson.key, strict=True)),
        ).all()
        middle = statistics.median(one.r_multiple for one in trades)
        application_rows.append(
            connection,
            [
                application(
                    lesson.lesson_id,
                    one.trade_id,
                    bot=one.bot,
                    origin=one.origin,
                    pattern_key=lesson.key[0],
                    action_category=lesson.key[1],
                    decided_at=one.acted_at,
                    arm="treated" if one.r_multiple < middle else "held_out",
                    p=0.5,
                )
                for one in trades
            ],
        )


def test_on_an_empty_database_every_job_writes_nothing_but_empty_snapshots(runner: Runner) -> None:
    before = digests(runner)
    for job in TIMETABLE:
        run(runner, job.name)
    assert changed(before, after := digests(runner)) == ["edgekeeper_state", "learning_configs"]
    for job in TIMETABLE:
        run(runner, job.name)
    assert changed(after, digests(runner)) == []


@pytest.mark.slow
def test_every_job_runs_again_at_the_same_moment_and_changes_nothing(
    copy: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction(copy.engine, read_only=True) as connection:
        moment = job_rows.database_now(connection)
    # an override decays with the age of its evidence, from one minute to the next
    monkeypatch.setattr(job_rows, "database_now", lambda _connection: moment)
    for name in LEARNING_ORDER:  # once more for each: what one job writes another one reads
        run(copy, name)
    before = digests(copy)
    empty = [name for name in WRITTEN if before[name].startswith("0 ")]
    assert empty == []  # else it says nothing of who writes them
    found = {}
    for job in TIMETABLE:
        run(copy, job.name)
        after = digests(copy)
        found[job.name], before = changed(before, after), after
    assert found == {job.name: [] for job in TIMETABLE}


DERIVED = {
    "aggregate_scopes": ("scope_stat_packs", "scope_week_sums", "scope_groups"),
    "estimate_half_lives": ("learning_edge_history",),
    "learn_regime_weights": ("learning_regime_weights",),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DERIVED)
def test_what_a_job_derives_is_the_same_from_nothing(copy: Runner, name: str) -> None:
    run(copy, name)
    before = digests(copy)
    with copy.engine.begin() as connection:
        connection.execute(sa.text(f"TRUNCATE {', '.join(DERIVED[name])}"))
    assert set(changed(before, digests(copy))) == set(DERIVED[name])
    run(copy, name)
    assert changed(before, digests(copy)) == []
