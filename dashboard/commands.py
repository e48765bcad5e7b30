"""What the screens write: one function, one transaction, then what the database holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from sqlalchemy import Engine

from learning.errors import DatabaseUnavailable, DecisionRefused
from learning.lessons.life_cycle import PersonDecision, Status
from learning.store import alert_rows, database, decision_rows, deferral_rows, job_rows, switch_rows

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


def reject_all(
    engine: Engine, seen: Sequence[Seen], *, actor: str, reason: str, token: UUID
) -> Done:
    """Reject several lessons as they were seen, in one transaction; the same token rejects once.

    One that changed meanwhile is left as it is and named. Nothing else is done to many at once.
    """
    refused: list[str] = []
    try:
        with database.transaction(engine, lock_timeout_ms=_LOCK_TIMEOUT_MS) as connection:
            for one in seen:
                own = uuid5(token, f"{one.lesson_id} v{one.version}")
                try:
                    decision_rows.decide(
                        connection, lesson_id=one.lesson_id, version=one.version,
                        status=one.status, decision="reject", actor=actor, reason=reason.strip(),
                        token=own, source="dashboard", approvals_required=1,
                    )  # fmt: skip
                except DecisionRefused as error:
                    refused.append(f"{one.label}: {error}")
    except DatabaseUnavailable as error:
        return Done(False, str(error))
    n = len(seen) - len(refused)
    said = f"{n} of {len(seen)} lessons rejected"
    return Done(n > 0, "; ".join([said, *refused]))


def put_off(engine: Engine, seen: Seen, *, actor: str, days: int) -> Done:
    """Put a lesson off for one reader: a reminder, no decision."""
    try:
        with database.transaction(engine, lock_timeout_ms=_LOCK_TIMEOUT_MS) as connection:
            deferral_rows.defer(connection, seen.lesson_id, seen.version, person=actor, days=days)
    except DatabaseUnavailable as error:
        return Done(False, str(error))
    return Done(True, f"{seen.label} comes back in {days} days, for you")


def show_again(engine: Engine, lesson_id: int, *, actor: str) -> Done:
    """Bring a lesson that was put off back to its reader now."""
    try:
        with database.transaction(engine, lock_timeout_ms=_LOCK_TIMEOUT_MS) as connection:
            deferral_rows.recall(connection, lesson_id, person=actor)
    except DatabaseUnavailable as error:
        return Done(False, str(error))
    return Done(True, f"L-{lesson_id:04d} waits again")


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
            run_id = job_rows.ask_for_run(connection, job, by=actor)
    except (DecisionRefused, DatabaseUnavailable) as error:
        return Done(False, str(error))
    return Done(True, f"Queued run {run_id} of {job}")


def pause(engine: Engine, job: str, *, actor: str, reason: str) -> Done:
    """Take a job off the timetable until it is resumed; a run asked for still runs."""
    try:
        with database.transaction(engine, lock_timeout_ms=_LOCK_TIMEOUT_MS) as connection:
            job_rows.pause_job(connection, job, by=actor, reason=reason.strip())
    except (DecisionRefused, DatabaseUnavailable) as error:
        return Done(False, str(error))
    return Done(True, f"{job} is paused")


def resume(engine: Engine, job: str, *, actor: str, reason: str) -> Done:
    """Put a paused job back on the timetable."""
    try:
        with database.transaction(engine, lock_timeout_ms=_LOCK_TIMEOUT_MS) as connection:
            job_rows.resume_job(connection, job, by=actor, reason=reason.strip())
    except (DecisionRefused, DatabaseUnavailable) as error:
        return Done(False, str(error))
    return Done(True, f"{job} is on the timetable")


def cancel_run(engine: Engine, run_id: int, *, actor: str, reason: str) -> Done:
    """Cancel a run that has not begun."""
    try:
        with database.transaction(engine, lock_timeout_ms=_LOCK_TIMEOUT_MS) as connection:
            is_cancelled = job_rows.cancel_queued_run(
                connection, run_id, by=actor, reason=reason.strip()
            )
    except (DecisionRefused, DatabaseUnavailable) as error:
        return Done(False, str(error))
    if not is_cancelled:
        return Done(False, f"Run {run_id} is not queued any more")
    return Done(True, f"Run {run_id} is cancelled")


def mark_seen(engine: Engine, alert_id: int, *, actor: str) -> Done:
    """Note that somebody has seen an alert; it stays open until its cause is gone."""
    try:
        with database.transaction(engine, lock_timeout_ms=_LOCK_TIMEOUT_MS) as connection:
            is_first = alert_rows.mark_seen(connection, alert_id, actor=actor)
    except DatabaseUnavailable as error:
        return Done(False, str(error))
    return Done(is_first, "Noted as seen" if is_first else "Somebody has seen it already")
