"""The other module from its actions to the bot's allocation, and nothing of it in PM."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4, uuid5

import numpy as np
import pytest

from jobs.runner import Runner
from jobs.timetable import LEARNING_ORDER
from learning import (
    apply_allocation_overrides,
    apply_pattern_strength_overrides,
    load_overrides,
)
from learning.events.strands import Strand
from learning.runtime.in_force import uninstall
from learning.store import database, decision_rows, lesson_rows, override_rows, strand_rows
from tests.jobs.conftest import runner_on

START = datetime(2024, 1, 1, tzinfo=UTC)
NAMESPACE = uuid4()
PATTERN = "dm.curator.live.signal"
EDGE = {"curator_tier": "gold"}


def strands(n: int = 1500, seed: int = 5) -> Iterator[Strand]:
    """Signals of curators; those of gold ones earn 1.2 R more, the rest is noise."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        tier = ("gold", "silver", "bronze")[rng.integers(3)]
        closed = START + timedelta(days=float(i) / 5 + 0.5)
        action = {
            "pattern_key": PATTERN,
            "action_category": "entry",
            "scope": {"curator_tier": tier, "chain": ("sol", "eth")[rng.integers(2)]},
            "controls": {},
            "ts": (closed - timedelta(hours=6)).isoformat(),
        }
        rr = float(rng.normal(0.1, 1.5)) + 1.2 * (tier == "gold")
        summary = {
            "opened_at": action["ts"],
            "closed_at": closed.isoformat(),
            "r_multiple_net": rr,
        }
        content = {
            "trade_id": f"d{i}",
            "entry_context": {},
            "trade_summary": summary,
            "completed_trades": [action],
        }
        yield strand("dm_action", i, action)
        yield strand("position_closed", i, content)


def strand(kind: str, i: int, content: dict[str, object]) -> Strand:
    return Strand(
        strand_key=uuid5(NAMESPACE, f"{kind}{i}"),
        kind=kind,
        module="dm",
        bot="allocator",
        origin="live",
        content=content,
        trade_id=f"d{i}",
    )


@pytest.fixture
def allocated(fresh_database: str) -> Iterator[tuple[Runner, str]]:
    """A database that learned from curators' signals, with the lesson on gold ones approved."""
    runner = runner_on(fresh_database)
    with database.transaction(runner.engine) as connection:
        strand_rows.append(connection, list(strands()))
    for name in LEARNING_ORDER:
        ended = runner.run_now(name, requested_by="test")
        assert ended is not None
        assert ended.status == "ok", (name, ended.error)
    approve_gold(runner)
    yield runner, fresh_database
    uninstall()
    runner.engine.dispose()


def approve_gold(runner: Runner) -> None:
    with database.transaction(runner.engine) as connection:
        found = [one for one in lesson_rows.read_lessons(connection) if one.scope == EDGE]
        [lesson] = [one for one in found if one.lesson_type == "dm_alloc"]
        decision_rows.decide(
            connection,
            lesson_id=lesson.lesson_id,
            version=lesson.version,
            status="proposed",
            decision="approve",
            actor="ann",
            reason="gold curators earn more",
            token=uuid4(),
            source="cli",
            approvals_required=1,
        )
    assert runner.run_queued("materialise_overrides") is not None


def test_an_allocation_lesson_moves_the_allocation_and_nothing_of_pm(
    allocated: tuple[Runner, str],
) -> None:
    runner, url = allocated
    with runner.engine.connect() as connection:
        lessons = lesson_rows.read_lessons(connection)
        snapshot = override_rows.read_config(connection, "dm")
        other = override_rows.read_config(connection, "pm")
    assert {one.module for one in lessons} == {"dm"}
    assert snapshot is not None
    [entry] = snapshot["alloc_overrides"]
    assert entry["levers"] == {"alloc_mult": 1.02}
    assert snapshot["pattern_strength_overrides"] == snapshot["pattern_overrides"] == []
    assert other is None or other["alloc_overrides"] == []

    load_overrides(url)
    gold = {"curator_tier": "gold", "chain": "sol"}
    given = apply_allocation_overrides(PATTERN, "entry", gold, {"allocation": 0.1}, trade_id="t1")
    assert given["allocation"] == pytest.approx(0.102)
    silver = {**gold, "curator_tier": "silver"}
    untouched = apply_allocation_overrides(PATTERN, "entry", silver, {"allocation": 0.1})
    assert dict(untouched) == {"allocation": 0.1}
    pm = apply_pattern_strength_overrides(PATTERN, "entry", gold, {"position_size_frac": 0.1})
    assert dict(pm) == {"position_size_frac": 0.1}
