"""Alerts: what needs a person, raised by jobs, marked seen by people, kept for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from learning.domain.pattern_key import Module
from learning.store.schema import alerts, learning_lessons

if TYPE_CHECKING:  # who marks an alert as seen need not wait for statistics
    from learning.overrides.guardrail import GuardrailAlert

GUARDRAIL = "guardrail"
CONFIRMATION = "confirmation"


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as stored; open until ``closed_at``."""

    alert_id: int
    kind: str
    lesson_id: int
    lesson_version: int
    measure: str
    message: str
    evidence: Mapping[str, Any]
    raised_at: datetime
    seen_at: datetime | None
    seen_by: str | None
    closed_at: datetime | None
    closed_reason: str | None
    lesson_status: str

    @property
    def label(self) -> str:
        """The lesson's name on screens and in commands."""
        return f"L-{self.lesson_id:04d}"


def raise_guardrail(connection: Connection, raised: Sequence[GuardrailAlert]) -> int:
    """Raise alerts; one that is open already for its lesson and measure stays as it was raised.

    Returns:
        How many are new.
    """
    if not raised:
        return 0
    rows = [{"kind": GUARDRAIL, **asdict(one)} for one in raised]
    statement = insert(alerts).values(rows).on_conflict_do_nothing().returning(alerts.c.id)
    return len(connection.execute(statement).all())


def settle_confirmations(connection: Connection, module: Module) -> int:
    """Raise an alert for each active lesson that the trades since it was found do not confirm.

    One whose lesson is no longer active, or claims anew, is closed with that as its reason.

    Returns:
        How many are new.
    """
    lesson = learning_lessons.c
    is_failed = sa.and_(lesson.status == "active", lesson.confirmation == "failed")
    connection.execute(
        sa.update(alerts)
        .where(
            alerts.c.kind == CONFIRMATION,
            alerts.c.closed_at.is_(None),
            lesson.id == alerts.c.lesson_id,
            lesson.module == module,
            sa.not_(is_failed),
        )
        .values(
            closed_at=sa.func.now(),
            closed_reason=sa.case(
                (lesson.status == "active", "it claims anew: its confirmation is open again"),
                else_=sa.func.concat("the lesson is ", lesson.status),
            ),
        )
    )
    failed = sa.select(
        sa.literal(CONFIRMATION),
        lesson.id,
        lesson.version,
        sa.literal("later_trades"),
        sa.func.concat(
            "later trades do not confirm it (", lesson.confirmation_reason, "): disable it?"
        ),
        sa.func.jsonb_build_object("stats", lesson.stats, "effect", lesson.effect),
    ).where(lesson.module == module, is_failed)
    columns = ["kind", "lesson_id", "lesson_version", "measure", "message", "evidence"]
    raised = insert(alerts).from_select(columns, failed).on_conflict_do_nothing()
    return len(connection.execute(raised.returning(alerts.c.id)).all())


def close_alert(connection: Connection, alert_id: int, *, reason: str) -> None:
    """Close an open alert; one that is closed stays as it is."""
    connection.execute(
        sa.update(alerts)
        .where(alerts.c.id == alert_id, alerts.c.closed_at.is_(None))
        .values(closed_at=sa.func.now(), closed_reason=reason)
    )


def mark_seen(connection: Connection, alert_id: int, *, actor: str) -> bool:
    """Note who saw an alert first; return whether that is the caller.

    Raises:
        ValueError: If the actor has no name.
    """
    if not actor.strip():
        raise ValueError("an alert is seen by somebody with a name, got ''")
    found = connection.execute(
        sa.update(alerts)
        .where(alerts.c.id == alert_id, alerts.c.seen_at.is_(None))
        .values(seen_at=sa.func.now(), seen_by=actor)
        .returning(alerts.c.id)
    )
    return found.one_or_none() is not None


def read_alerts(
    connection: Connection,
    module: Module | None = None,
    *,
    kind: str | None = None,
    only_open: bool = True,
) -> list[Alert]:
    """Return alerts, the newest first: the open ones, or all that were ever raised."""
    lesson = learning_lessons.c
    query = (
        sa.select(alerts, lesson.status.label("lesson_status"))
        .join(learning_lessons, lesson.id == alerts.c.lesson_id)
        .order_by(alerts.c.id.desc())
    )
    if module is not None:
        query = query.where(lesson.module == module)
    if kind is not None:
        query = query.where(alerts.c.kind == kind)
    if only_open:
        query = query.where(alerts.c.closed_at.is_(None))
    rows = (dict(row) for row in connection.execute(query).mappings())
    return [Alert(alert_id=row.pop("id"), **row) for row in rows]
