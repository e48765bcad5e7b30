"""Decisions on lessons: made by functions of the database, which check who, what and whether.

The rules live there so that no page, script or job gets round them; here they are called, and
what they refuse becomes a ``DecisionRefused`` with the database's sentence.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.exc import DBAPIError, OperationalError

from learning.domain.pattern_key import Module
from learning.errors import DecisionRefused
from learning.lessons.life_cycle import JobDecision, PersonDecision, Status
from learning.store.schema import lesson_decisions

_REFUSALS = "EK1"  # SQLSTATEs EK101 to EK109, listed in the migration that makes the functions
_PRIVILEGE = "42501"
_DEADLOCK = "40P01"
_ATTEMPTS = 3  # a disabling must not be lost to a job that takes its locks in another order


@dataclass(frozen=True, slots=True)
class Decision:
    """One row of ``lesson_decisions``, without its hashes."""

    id: int
    lesson_id: int
    lesson_version: int
    decision: str
    from_status: Status | None  # None: the lesson is new
    to_status: Status  # of the first of two approvals: as before
    decided_by: str
    decided_at: datetime
    reason: str
    source: str
    token: UUID
    evidence: Mapping[str, Any]

    @property
    def waits_for_another(self) -> bool:
        """Whether this approval needs a second person's."""
        return self.decision == "approve" and self.to_status != "active"


_COLUMNS = (
    "id", "lesson_id", "lesson_version", "decision", "from_status", "to_status", "decided_by",
    "decided_at", "reason", "source", "decision_token", "evidence",
)  # fmt: skip


def decide(
    connection: Connection,
    *,
    lesson_id: int,
    version: int,
    status: Status,
    decision: PersonDecision,
    actor: str,
    reason: str,
    token: UUID,
    source: str,
    approvals_required: int,
) -> Decision:
    """Approve, reject, disable or renew a lesson, with all that follows from it.

    Approving queues a run that materialises; disabling takes the override out of everything a
    bot reads, in this transaction. The same token decides once: the second time the first
    result comes back.

    Args:
        connection: In a transaction; the decision holds when it commits.
        lesson_id: The lesson.
        version: As the person saw it.
        status: As the person saw it.
        decision: What was decided.
        actor: Login name of who decides.
        reason: At least 10 characters.
        token: Made when the dialog opened.
        source: cli, dashboard, job or demo.
        approvals_required: 1, or 2 different people to activate; where the database keeps a
            higher number (``people_rows.set_approvals``), that one holds.

    Raises:
        DecisionRefused: With one sentence. What was done in this transaction before stays.
    """
    return _called(
        connection,
        sa.func.decide_lesson(
            lesson_id, version, status, decision, actor, reason, token, source, approvals_required
        ),
    )


def move(
    connection: Connection, *, lesson_id: int, decision: JobDecision, reason: str, job: str
) -> Decision:
    """Move a lesson for a job: propose, watch, retire, or refresh back to proposed.

    A job can neither activate nor reject, nor take a lesson out of disabled but to retire it.
    A new lesson, stored as watch or proposed, gets its first decision by the same call.

    Raises:
        DecisionRefused: If the move is not a job's, or the reason has fewer than 10 characters.
    """
    return _called(connection, sa.func.move_lesson(lesson_id, decision, reason, job))


def auto_approve(
    connection: Connection, module: Module, *, max_effect: float, approvals_required: int
) -> list[int]:
    """Approve, as ``auto``, the proposals of which every lever is near enough to neutral.

    Args:
        connection: In a transaction; the approvals hold when it commits.
        module: The module.
        max_effect: Largest distance of a lever from neutral, 0 (none is approved) to 0.1. A delay
            of a bar is further, and a signal threshold has no neutral: neither is approved so.
        approvals_required: People needed, 1 or 2; where this or the database's own number is 2,
            nothing is approved.

    Returns:
        The lessons approved. A person's rejecting or disabling, however long ago, keeps a lesson
        out, and so do a failed confirmation and a person's sending it back.

    Raises:
        DecisionRefused: If an argument is not as said.
    """
    call = sa.func.auto_approve_lessons(module, max_effect, approvals_required)
    with refusals_told(connection):
        return list(connection.scalars(sa.select(call)))


def read_outgrown(connection: Connection, module: Module, *, max_effect: float) -> list[int]:
    """Return the active lessons that only ``auto`` approved and whose effect is too large for it.

    Too large is beyond the bound, and beyond the effect that was approved.
    """
    return list(connection.scalars(sa.select(sa.func.outgrown_lessons(module, max_effect))))


def change_outcome(
    connection: Connection, outcome: str, *, actor: str, reason: str, source: str
) -> int | None:
    """Analyse another outcome; every active lesson goes back to proposed, as a decision says.

    Args:
        connection: In a transaction; the change holds when it commits.
        outcome: One of ``schema.OUTCOMES``.
        actor: Login name of who changes it.
        reason: At least 10 characters.
        source: cli or dashboard.

    Returns:
        How many lessons went back; None where the outcome was analysed already.

    Raises:
        DecisionRefused: If the actor may not, or an argument is not as said.
    """
    with refusals_told(connection):
        sent: int | None = connection.scalar(
            sa.select(sa.func.set_outcome(outcome, actor, reason, source))
        )
    return sent


def lock(connection: Connection) -> None:
    """Hold back all decisions until the transaction ends.

    A job that writes lessons and then moves some takes this first, so that it and a person's
    decision never wait for each other. Keep the transaction short: a disabling waits too.
    """
    connection.execute(sa.select(sa.func.lock_decisions()))


def read_decisions(
    connection: Connection, *, lesson_id: int | None = None, limit: int = 500
) -> list[Decision]:
    """Return the newest decisions, of one lesson or of all, the newest first."""
    query = sa.select(*(lesson_decisions.c[name] for name in _COLUMNS))
    if lesson_id is not None:
        query = query.where(lesson_decisions.c.lesson_id == lesson_id)
    query = query.order_by(lesson_decisions.c.id.desc()).limit(limit)
    return [Decision(*row) for row in connection.execute(query)]


def verify_chain(connection: Connection) -> int | None:
    """Return the id of the first decision that was edited, moved or removed; None if none was."""
    broken: int | None = connection.scalar(sa.select(sa.func.verify_decision_chain()))
    return broken


def chain_head(connection: Connection) -> str:
    """Return the hash of the last decision, to be kept elsewhere: it vouches for all before."""
    head = connection.scalar(sa.text("SELECT encode(row_hash, 'hex') FROM decision_chain_head"))
    return str(head)


def _called(connection: Connection, call: sa.Function[Any]) -> Decision:
    typed = (sa.column(name, lesson_decisions.c[name].type) for name in _COLUMNS)
    query = sa.select(*typed).select_from(call.alias("decided"))
    for _ in range(_ATTEMPTS - 1):
        try:
            with refusals_told(connection):
                return Decision(*connection.execute(query).one())
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _DEADLOCK:
                raise
    with refusals_told(connection):
        return Decision(*connection.execute(query).one())


@contextlib.contextmanager
def refusals_told(connection: Connection) -> Iterator[None]:
    """Turn what a decision function refuses into a ``DecisionRefused`` with its sentence.

    A savepoint keeps the caller's transaction usable.
    """
    try:
        with connection.begin_nested():
            yield
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None) or ""
        said = getattr(getattr(error.orig, "diag", None), "message_primary", None) or str(error)
        if state.startswith(_REFUSALS):
            raise DecisionRefused(said) from error
        if state == _PRIVILEGE:
            raise DecisionRefused(f"this database login may not decide: {said}") from error
        raise


def approved_versions() -> sa.Subquery:
    """Return lesson_id, lesson_version and evidence of what was last approved.

    Whatever came after it: a lesson that was sent back as a new version was last in force with
    the one before.
    """
    c = lesson_decisions.c
    return (
        sa.select(c.lesson_id, c.lesson_version, c.evidence)
        .ext(distinct_on(c.lesson_id))
        .where(c.decision == "approve", c.to_status == "active")
        .order_by(c.lesson_id, c.id.desc())
        .subquery("approved")
    )


def read_approved_stats(connection: Connection) -> dict[int, Mapping[str, Any]]:
    """Return by lesson id the statistics as they stood when the lesson was last approved."""
    approved = approved_versions()
    query = sa.select(approved.c.lesson_id, approved.c.evidence["stats"])
    return dict(connection.execute(query).all())
