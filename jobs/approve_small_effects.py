"""Approves small effects without a person, where a setting says so; calls back what outgrew it."""

from __future__ import annotations

from collections.abc import MutableMapping

from sqlalchemy import Connection

from learning.domain.pattern_key import Module
from learning.settings import Settings
from learning.store import decision_rows, lesson_rows, state_rows

_OUTGROWN = "its effect grew beyond what may be approved without a person"


def approve_small_effects(
    connection: Connection, module: Module, settings: Settings, changed: MutableMapping[str, int]
) -> None:
    """Approve a module's small proposals, and send back active ones that are small no longer.

    The bound holds as long as no person has approved or renewed the lesson: its evidence is
    refreshed, and its levers may move on while it is active.
    """
    decision_rows.lock(connection)
    for lesson_id in decision_rows.read_outgrown(
        connection, module, max_effect=settings.auto_approve_max_effect
    ):
        decision_rows.move(
            connection,
            lesson_id=lesson_id,
            decision="refresh",
            reason=_OUTGROWN,
            job="mine_lessons",
        )
        lesson_rows.raise_version(connection, lesson_id, reason=_OUTGROWN)
        changed["proposed"] += 1
    approved = decision_rows.auto_approve(
        connection,
        module,
        max_effect=settings.auto_approve_max_effect,
        approvals_required=settings.approvals_required,
    )
    if approved:
        changed["approved"] = len(approved)
        state_rows.touch(connection)
