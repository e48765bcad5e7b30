"""The analysed outcome is settled by the first mining run and by nothing before it."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.analysed_outcome import provisional_outcome
from jobs.runner import Runner
from learning.errors import ConfigError
from learning.events.strands import Strand
from learning.settings import Settings
from learning.store import database, state_rows, strand_rows
from tests.strand_builders import action, close


def trades(name: str, n: int, *outcomes: str) -> list[Strand]:
    made = []
    for i in range(n):
        made.append(action(f"{name}-{i}", "entry", name=f"{name}-{i}/entry"))
        known: dict[str, Any] = dict.fromkeys(outcomes, 1.5 if i % 3 else -1.0)
        made.append(close(f"{name}-{i}", **known))
    return made


def run(runner: Runner, *jobs: str) -> None:
    for job in jobs:
        ended = runner.run_now(job, requested_by="test")
        assert ended is not None
        assert ended.status == "ok", (job, ended.error)


def append(runner: Runner, strands: list[Strand]) -> None:
    with database.transaction(runner.engine) as connection:
        strand_rows.append(connection, strands)


def stored(runner: Runner) -> str | None:
    with database.transaction(runner.engine, read_only=True) as connection:
        return state_rows.read_state(connection).outcome


def test_only_mining_settles_what_is_analysed(runner: Runner) -> None:
    append(runner, trades("gross", 3, "r_multiple"))
    run(runner, "ingest_strands", "aggregate_scopes", "estimate_half_lives", "measure_effects")
    assert stored(runner) is None
    # 3 of 103 trades lack it: what the first few had is not what is analysed
    append(runner, trades("net", 100, "r_multiple", "r_multiple_net"))
    run(runner, "ingest_strands", "aggregate_scopes", "mine_pm_lessons")
    assert stored(runner) == "r_multiple_net"


def test_a_setting_against_the_stored_outcome_is_refused(runner: Runner) -> None:
    with database.transaction(runner.engine) as connection:
        state_rows.choose_outcome(connection, "r_multiple", chosen_by="ann")
        with pytest.raises(ConfigError, match="this database analyses r_multiple"):
            provisional_outcome(connection, Settings.from_env(outcome="rr_path"))
