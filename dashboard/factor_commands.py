"""What is decided on a whole factor: one decision per member, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid5

from sqlalchemy import Engine

from dashboard import formats
from dashboard.commands import Done, Seen
from learning.errors import DatabaseUnavailable, DecisionRefused
from learning.store import database, decision_rows

_LOCK_TIMEOUT_MS = 5_000


def disable_factor(
    engine: Engine,
    seen: Sequence[Seen],
    *,
    actor: str,
    reason: str,
    token: UUID,
    approvals_required: int,
) -> Done:
    """Disable the active members of a factor as they were seen: all of them, or none.

    The same token disables once: each member's decision has a token made from it.
    """
    try:
        with database.transaction(engine, lock_timeout_ms=_LOCK_TIMEOUT_MS) as connection:
            for one in sorted(seen, key=lambda member: member.lesson_id):
                decision_rows.decide(
                    connection,
                    lesson_id=one.lesson_id,
                    version=one.version,
                    status=one.status,
                    decision="disable",
                    actor=actor,
                    reason=reason.strip(),
                    token=uuid5(token, str(one.lesson_id)),
                    source="dashboard",
                    approvals_required=approvals_required,
                )
    except (DecisionRefused, DatabaseUnavailable) as error:
        return Done(False, f"Nothing was disabled: {error}")
    told = formats.plural(len(seen), "override")
    return Done(True, f"{told} disabled: gone for every bot")
