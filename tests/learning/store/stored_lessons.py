"""Lessons in a database, brought to any status by the decisions that lead there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from learning.domain.scope import scope_hash
from learning.lessons.life_cycle import PersonDecision, Status
from learning.store import decision_rows
from learning.store.decision_rows import Decision
from learning.store.schema import learning_lessons, mining_runs

CLEAR: Mapping[str, Any] = {"ci_low_rr": 0.1, "ci_high_rr": 0.9}
NOT_CLEAR: Mapping[str, Any] = {"ci_low_rr": -0.1, "ci_high_rr": 0.9}
SIZE_UP: Mapping[str, Any] = {"capital_levers": {"size_mult": 1.1}, "execution_levers": {}}
_WAY: Mapping[Status, tuple[PersonDecision, ...]] = {
    "watch": (),
    "proposed": (),
    "active": ("approve",),
    "disabled": ("approve", "disable"),
    "rejected": ("reject",),
    "retired": (),
}


def store_run(connection: Connection) -> int:
    """Store a mining run that is no discovery look; return its id."""
    row = {
        "module": "pm", "is_discovery": False, "look": 1, "outcome": "rr_path", "fdr_level": 0.1,
        "seed": 1, "clip_low_rr": -5.0, "clip_high_rr": 5.0, "n_trades": 100,
        "n_without_outcome": 0, "counts": {}, "details": {}, "baselines": {},
    }  # fmt: skip
    return connection.execute(
        sa.insert(mining_runs).values(row).returning(mining_runs.c.id)
    ).scalar_one()


def lesson_row(connection: Connection, **changes: Any) -> dict[str, Any]:
    """A lesson as a miner writes it; each call has a scope of its own."""
    scope = changes.pop("scope", {"bucket": uuid4().hex})
    return {
        "module": "pm",
        "pattern_key": "pm.uptrend.S1.buy_flag",
        "action_category": "entry",
        "scope_dims": list(scope),
        "scope_values": scope,
        "scope_values_hash": scope_hash(scope),
        "lesson_type": "pm_strength",
        "outcome": "rr_path",
        "n": 40,
        "stats": dict(CLEAR),
        "effect": dict(SIZE_UP),
        "lesson_strength": 0.5,
        "decay_halflife_hours": None,
        "half_life_reason": "4 windows with trades, 6 needed",
        "status": "proposed",
        "status_reason": "found",
        "mean_closed_at": datetime(2024, 3, 1, tzinfo=UTC),
        "discovered_at": datetime(2024, 3, 2, tzinfo=UTC),
        "mining_run_id": store_run(connection),
        "composition": {},
        **changes,
    }


def store_lesson(connection: Connection, status: Status = "proposed", **changes: Any) -> int:
    """Store a lesson and lead it to a status; return its id."""
    first = "watch" if status == "watch" else "proposed"
    row = lesson_row(connection, **{**changes, "status": first})
    lesson_id: int = connection.execute(
        sa.insert(learning_lessons).values(row).returning(learning_lessons.c.id)
    ).scalar_one()
    for decision in _WAY[status]:
        decide(connection, lesson_id, decision)
    if status == "retired":
        decision_rows.move(
            connection, lesson_id=lesson_id, decision="retire", reason="lost its evidence", job="m"
        )
    return lesson_id


def decide(
    connection: Connection,
    lesson_id: int,
    decision: PersonDecision,
    *,
    actor: str = "ann",
    token: UUID | None = None,
    approvals_required: int = 1,
    **seen: Any,
) -> Decision:
    """Decide on a lesson as it stands, or as ``seen`` (version, status) says it was seen."""
    version, status = stands(connection, lesson_id)
    return decision_rows.decide(
        connection,
        lesson_id=lesson_id,
        version=seen.get("version", version),
        status=seen.get("status", status),
        decision=decision,
        actor=actor,
        reason=seen.get("reason", "looked at the evidence"),
        token=token or uuid4(),
        source="cli",
        approvals_required=approvals_required,
    )


def stands(connection: Connection, lesson_id: int) -> tuple[int, Status]:
    """Version and status of a lesson."""
    c = learning_lessons.c
    row = connection.execute(sa.select(c.version, c.status).where(c.id == lesson_id)).one()
    return row.version, row.status


def store_override(
    connection: Connection, lesson_id: int, *, epoch_start: str = "{}", **levers: float
) -> None:
    """Store the override of an active lesson, stepped today."""
    columns = "".join(f", {name}" for name in levers)
    values = "".join(f", :{name}" for name in levers)
    connection.execute(
        sa.text(
            f"""
            INSERT INTO pm_overrides (
                lesson_id, lesson_version, module, pattern_key, action_category, scope_values,
                scope_values_hash, lesson_type, lesson_strength, epoch, epoch_start,
                holdout_share, activated_at, expires_at, generation, revision{columns}
            )
            SELECT
                id, version, module, pattern_key, action_category, scope_values,
                scope_values_hash, lesson_type, lesson_strength,
                (now() AT TIME ZONE 'UTC')::date, CAST(:epoch_start AS jsonb),
                0.2, activated_at, expires_at, 1, 1{values}
            FROM learning_lessons WHERE id = :lesson_id
            """
        ),
        {"lesson_id": lesson_id, "epoch_start": epoch_start, **levers},
    )


@contextlib.contextmanager
def refused(connection: Connection, sqlstate: str) -> Iterator[None]:
    """Expect that the database refuses what is done, by this SQLSTATE; undo it."""
    with pytest.raises(DBAPIError) as caught, connection.begin_nested():
        yield
    assert caught.value.orig.sqlstate == sqlstate, caught.value  # type: ignore[union-attr]
