"""Another list of dimensions is a person's decision, and one module's refusal is its own."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
import sqlalchemy as sa

from jobs.commands.app import main
from jobs.runner import Runner
from learning.domain.scope import PM_DIMENSIONS
from learning.store import (
    database,
    decision_rows,
    lesson_rows,
    mining_run_rows,
    scope_stat_rows,
    strand_rows,
)
from learning.store.lesson_rows import StoredLesson
from tests.jobs.conftest import runner_on
from tests.strand_builders import action, close

OTHER = ("session_open", "weekday")
LEARNING = (
    "aggregate_scopes", "mine_pm_lessons", "mine_dm_lessons", "estimate_half_lives",
    "cluster_factors", "learn_regime_weights", "measure_effects",
)  # fmt: skip
SENTENCE = (
    "EDGEKEEPER_PM_DIMENSIONS asks for macro_phase,meso_phase,micro_phase,bucket_leader,"
    "bucket_rank_position,market_family,bucket,timeframe,A_mode,E_mode, but the evidence of pm "
    "rests on session_open,weekday; ./run dimensions pm --reason … changes it and sends every "
    "active lesson back to proposed"
)


def trades(pattern: str, scope: Callable[[int], dict[str, str]], n: int) -> list[object]:
    """Trades four hours apart: those of an open session win, and the others lose."""
    made: list[object] = []
    for i in range(n):
        name, at = f"{pattern}-{i}", f"2024-{1 + i // 84:02d}-{1 + i // 3 % 28:02d}"
        hour = f"{4 * (i % 3):02d}"
        opened, closed = f"{at}T{hour}:00:00+00:00", f"{at}T{hour}:30:00+00:00"
        wins = scope(i).get("session_open") == "yes"
        made.append(action(name, pattern=pattern, name=name, scope=scope(i), ts=opened))
        rr = (1.0 if wins else -0.5) + 0.1 * (i % 7)
        made.append(close(name, opened_at=opened, closed_at=closed, r_multiple=rr))
    return made


def pm_scope(i: int) -> dict[str, str]:
    is_open = "yes" if (i // 2) % 2 else "no"
    return {"session_open": is_open, "weekday": str(i % 5), "bucket": ("micro", "mid")[i % 2]}


def dm_scope(i: int) -> dict[str, str]:
    return {"intent": "swing" if i % 2 else "scalp"}


def run(runner: Runner, job: str) -> tuple[str, str | None]:
    ended = runner.run_now(job, requested_by="test")
    assert ended is not None
    return ended.status, ended.error


def lessons(runner: Runner) -> list[StoredLesson]:
    with database.transaction(runner.engine, read_only=True) as connection:
        return lesson_rows.read_lessons(connection, "pm")


def groups(runner: Runner, module: str) -> int:
    with database.transaction(runner.engine, read_only=True) as connection:
        return len(scope_stat_rows.read_groups(connection, module))  # type: ignore[arg-type]


@pytest.fixture
def taught(fresh_database: str) -> str:
    """A database whose PM learned under another list than the usual; its DM has new trades."""
    runner = runner_on(fresh_database, pm_dimensions=OTHER)
    with database.transaction(runner.engine) as connection:
        strand_rows.append(connection, trades("pm.trend.S1.flag", pm_scope, 600))  # type: ignore[arg-type]
    for job in ("ingest_strands", *LEARNING):
        assert run(runner, job)[0] == "ok", job
    approve_one(runner)
    with database.transaction(runner.engine) as connection:
        strand_rows.append(connection, trades("dm.alloc.S1.call", dm_scope, 40))  # type: ignore[arg-type]
    assert run(runner, "ingest_strands")[0] == "ok"
    runner.engine.dispose()
    return fresh_database


def approve_one(runner: Runner) -> None:
    lesson = next(one for one in lessons(runner) if one.scope and one.status == "proposed")
    with database.transaction(runner.engine) as connection:
        decision_rows.decide(
            connection,
            lesson_id=lesson.lesson_id,
            version=lesson.version,
            status="proposed",
            decision="approve",
            actor="ann",
            reason="looked at the evidence",
            token=uuid4(),
            source="cli",
            approvals_required=1,
        )


def test_every_learning_job_refuses_another_list_for_its_module_alone(taught: str) -> None:
    runner = runner_on(taught)
    for job in LEARNING:
        status, error = run(runner, job)
        if job == "mine_dm_lessons":
            assert (status, error) == ("ok", None)
            continue
        assert status == "failed"
        assert error is not None
        assert SENTENCE in error
    assert (groups(runner, "pm"), groups(runner, "dm")) == (1, 1)
    with database.transaction(runner.engine, read_only=True) as connection:
        look = mining_run_rows.last_run(connection, "dm")
    assert look is not None
    assert look.n_trades == 40
    runner.engine.dispose()


def test_a_person_changes_the_list_and_the_next_run_looks_anew(
    taught: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEKEEPER_DATABASE_URL", taught)
    with pytest.raises(SystemExit) as ended:
        main(["dimensions", "pm", "--reason", "sessions are recorded no more"])
    assert ended.value.code == 0
    assert "1 active lessons went back to proposed" in " ".join(capsys.readouterr().out.split())
    runner = runner_on(taught)
    assert {one.status for one in lessons(runner)} == {"proposed"}
    assert groups(runner, "pm") == 0
    for job in LEARNING:
        assert run(runner, job) == ("ok", None), job
    with database.transaction(runner.engine, read_only=True) as connection:
        look = mining_run_rows.last_discovery(connection, "pm", "r_multiple")
        names = set(
            connection.scalars(sa.text("SELECT name FROM scope_levels WHERE module = 'pm'"))
        )
    assert look is not None
    assert (look.look, look.details["dimensions"]) == (2, list(PM_DIMENSIONS))
    assert names == {"bucket"}
    of_before = [one for one in lessons(runner) if set(one.scope) & set(OTHER)]
    assert {one.status for one in of_before} == {"watch"}  # not measurable, so not approvable
    assert run(runner, "mine_pm_lessons") == ("ok", None)
    with database.transaction(runner.engine, read_only=True) as connection:
        refresh = mining_run_rows.last_run(connection, "pm")
    assert refresh is not None
    assert not refresh.is_discovery
    runner.engine.dispose()
