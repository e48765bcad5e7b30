"""Who may decide, and how many people activate a lesson: rules the database keeps by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.store.decision_rows import refusals_told
from learning.store.schema import edgekeeper_state


@dataclass(frozen=True, slots=True)
class Approvals:
    """How many people activate a lesson, at least; who set it is None as long as nobody did."""

    required: int
    set_by: str | None
    set_at: datetime | None
    reason: str | None


def read_approvals(connection: Connection) -> Approvals:
    """Return how many people activate a lesson."""
    c = edgekeeper_state.c
    query = sa.select(
        c.approvals_required, c.approvals_set_by, c.approvals_set_at, c.approvals_reason
    )
    return Approvals(*connection.execute(query).one())


def set_approvals(connection: Connection, required: int, *, actor: str, reason: str) -> bool:
    """Keep how many people activate a lesson; a process may ask for more, never for fewer.

    Args:
        connection: In a transaction; the number holds when it commits.
        required: 1 or 2.
        actor: Login name of an approver or admin.
        reason: At least 10 characters.

    Returns:
        Whether anything changed.

    Raises:
        DecisionRefused: If the actor may not, or an argument is not as said.
    """
    with refusals_told(connection):
        return bool(
            connection.scalar(sa.select(sa.func.set_approvals_required(required, actor, reason)))
        )
