"""What the screens write: one function, one transaction, then what the database holds."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine

from learning.errors import DatabaseUnavailable, DecisionRefused
from learning.lessons.life_cycle import PersonDecision, Status
from learning.store import alert_rows, database, decision_rows, job_rows, switch_rows

_LOCK_TIMEOUT_MS = 5_000
MIN_REASON = 10


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a command, in one sentence; ``is_done`` says whether anything changed."""

    is_done: bool
    said: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A lesson as the person saw it when the dialog opened."""

    lesson_id: int
    version: int
    status: Status

    @property
    def label(self) -> str:
        """Its name, with the version that is decided on."""
        return f"L-{self.lesson_id:04d} v{self.version}"


_VERB = {
    "approve": "approved",
    "reject": "rejected",
    "disable": "disabled: its override is gone for every bot",
    "renew": "renewed",
}


def decide(
    engine: Engine,
    seen: Seen,
    decision: PersonDecision,
    *,
    actor: str,
    reason: str,
    token: UUID,
    approvals_required: int,
) -> Done:
    """Decide on a lesson as it was seen; the same token decides once.

    The database checks who, which version and whether; what it refuses comes back as its
    sentence.
    """
    try:
        with database.transaction(engine, lock_timeout_ms=_LOCK_TIMEOUT_MS) as connection:
            made = decision_rows.decide(
                connection,
                lesson_id=seen.lesson_id,
                version=seen.version,
                status=seen.status,
                decision=decision,
                actor=actor,
                reason=reason.strip(),
                token=token,
                source="dashboard",
                approvals_required=approvals_required,
            )
    except (DecisionRefused, DatabaseUnavailable) as error:
        return Done(False, str(error))
    if made.waits_for_another:
        return Done(True, f"{seen.label}: first approval recorded, a second person is needed")
    return Done(True, f"{seen.label} {_VERB[decision]}")


def turn_switch(engine: Engine, *, on: bool, actor: str, reason: str, typed: str = "") -> Done:
    """Turn the kill switch."""
    try:
        with database.transaction(engine, lock_timeout_ms=_LOCK_TIMEOUT_MS) as connection:
            switch = switch_rows.set_switch(
                connection, on=on, actor=actor, reason=reason.strip(), confirmation=typed.strip()
            )
    except (DecisionRefused, DatabaseUnavailable) as error:
        return Done(False, str(error))
    stands = "ON" if switch.overrides_on else "OFF"
    return Done(True, f"Overrides are {stands} (switch revision {switch.switch_revision})")


def queue_run(engine: Engine, job: str, *, actor: str) -> Done:
    """Queue a run of a job for the worker."""
    try:
        with database.transaction(engine, lock_timeout_ms=_LOCK_TIMEOUT_MS) as connection:
            run_id = job_rows.enqueue(
                connection, job, slot=None, trigger="manual", requested_by=actor
            )
    except DatabaseUnavailable as error:
        return Done(False, str(error))
    return Done(run_id is not None, f"Queued run {run_id} of {job}")


def mark_seen(engine: Engine, alert_id: int, *, actor: str) -> Done:
    """Note that somebody has seen an alert; it stays open until its cause is gone."""
    try:
        with database.transaction(engine, lock_timeout_ms=_LOCK_TIMEOUT_MS) as connection:
            is_first = alert_rows.mark_seen(connection, alert_id, actor=actor)
    except DatabaseUnavailable as error:
        return Done(False, str(error))
    return Done(is_first, "Noted as seen" if is_first else "Somebody has seen it already")
