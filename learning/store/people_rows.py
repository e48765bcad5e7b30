"""Who may decide, and how many people activate a lesson: rules the database keeps by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.store.decision_rows import refusals_told
from learning.store.schema import edgekeeper_state, people

Role = Literal["viewer", "approver", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is listed: a viewer looks, an approver decides, an admin also lists people."""

    name: str  # login name or e-mail address
    role: Role
    added_at: datetime


def read_people(connection: Connection) -> list[Person]:
    """Return who is listed, by name; nobody: who reaches the database decides."""
    query = sa.select(people.c.name, people.c.role, people.c.added_at).order_by(people.c.name)
    return [Person(*row) for row in connection.execute(query)]


def set_person(connection: Connection, name: str, role: Role, *, actor: str) -> None:
    """List a person, or change the role of one who is listed.

    Anyone may list the first, who has to be an admin; afterwards an admin does.

    Raises:
        DecisionRefused: If the actor may not, or no admin would be left.
    """
    with refusals_told(connection):
        connection.execute(sa.select(sa.func.set_person(name, role, actor)))


def remove_person(connection: Connection, name: str, *, actor: str) -> None:
    """Take a person off the list; an admin does, and the last admin goes last.

    Raises:
        DecisionRefused: If the actor may not, nobody has the name, or no admin would be left.
    """
    with refusals_told(connection):
        connection.execute(sa.select(sa.func.remove_person(name, actor)))


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
