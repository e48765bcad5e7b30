"""Every job may run again: nothing doubles, and what is derived comes out of nothing the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from jobs.runner import Runner
from jobs.timetable import LEARNING_ORDER, TIMETABLE
from learning.store.schema import metadata
from tests.jobs.conftest import copied

# one row a run by design, counters of what was written, or what a run rested on
OF_RUNS = {"job_runs", "mining_runs", "edgekeeper_state", "bot_heartbeats", "lesson_marks"}
# moments, and identities of rows that are replaced
PASSING = {"id", "mining_run_id", "group_id", "revision"}


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
    if table.name == "learning_configs":
        kept = ["module"]  # its content bears the revision
    rows = connection.execute(sa.text(f"SELECT {', '.join(kept)} FROM {table.name}"))
    lines = sorted(repr(tuple(row)) for row in rows)
    return f"{len(lines)} " + hashlib.sha256("\n".join(lines).encode()).hexdigest()


def run(runner: Runner, name: str) -> None:
    ended = runner.run_now(name, requested_by="test")
    assert ended is not None
    assert ended.status == "ok", (name, ended.error)


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [name for name in before if before[name] != after[name]]


@pytest.fixture
def copy(learned: Runner, server_url: str) -> Iterator[Runner]:
    """A runner on a copy of the database that has learned."""
    with copied(learned, server_url) as made:
        yield made


def test_on_an_empty_database_every_job_writes_nothing_but_empty_snapshots(runner: Runner) -> None:
    before = digests(runner)
    for job in TIMETABLE:
        run(runner, job.name)
    assert changed(before, after := digests(runner)) == ["learning_configs"]
    for job in TIMETABLE:
        run(runner, job.name)
    assert changed(after, digests(runner)) == []


@pytest.mark.slow
def test_every_job_runs_again_and_changes_nothing(copy: Runner) -> None:
    for name in LEARNING_ORDER:  # once more for each: what one job writes another one reads
        run(copy, name)
    before = digests(copy)
    for job in TIMETABLE:
        run(copy, job.name)
        assert (job.name, changed(before, digests(copy))) == (job.name, [])


DERIVED = {
    "aggregate_scopes": ("scope_stat_packs", "scope_groups"),
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
