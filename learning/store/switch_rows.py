"""The kill switch: one row that every bot obeys at its next read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.store.decision_rows import refusals_told
from learning.store.schema import kill_switch, kill_switch_history

CONFIRMATION = "ENABLE"  # typed by who switches overrides on again


@dataclass(frozen=True, slots=True)
class Switch:
    """How the kill switch stands, or stood: off means that every lever is neutral."""

    overrides_on: bool
    reason: str
    changed_by: str
    changed_at: datetime
    switch_revision: int


_NAMES = ("overrides_on", "reason", "changed_by", "changed_at", "switch_revision")


def read_switch(connection: Connection) -> Switch:
    """Return how the switch stands."""
    return Switch(*connection.execute(sa.select(*(kill_switch.c[n] for n in _NAMES))).one())


def set_switch(
    connection: Connection, *, on: bool, actor: str, reason: str, confirmation: str = ""
) -> Switch:
    """Turn the switch, in the caller's transaction, and tell every bot when it commits.

    Off is one step. On needs a reason of at least 10 characters and the typed confirmation.

    Raises:
        DecisionRefused: If the actor may not, or what switching on needs is missing.
    """
    typed = (sa.column(name, kill_switch.c[name].type) for name in _NAMES)
    call = sa.func.set_kill_switch(on, actor, reason, confirmation)
    with refusals_told(connection):
        return Switch(*connection.execute(sa.select(*typed).select_from(call.alias("s"))).one())


def read_switch_history(connection: Connection, *, limit: int = 100) -> list[Switch]:
    """Return the turns of the switch, the newest first."""
    newest = kill_switch_history.c.id.desc()
    query = sa.select(*(kill_switch_history.c[n] for n in _NAMES)).order_by(newest).limit(limit)
    return [Switch(*row) for row in connection.execute(query)]
