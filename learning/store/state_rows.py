"""What holds for the whole database: generation, revision, data version, outcome, flags."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.store.decision_rows import refusals_told
from learning.store.schema import edgekeeper_state, feature_flags, rule_changes

FEATURE_FLAGS = (
    "learning_overrides_enabled",
    "learning_overrides_enabled_regimes",
    "learning_overrides_enabled_buckets",
    "v5_meta_learning_enabled",
)


@dataclass(frozen=True, slots=True)
class State:
    """The one row of the system's state."""

    generation: int
    data_version: int
    revision: int
    outcome: str | None
    outcome_chosen_at: datetime | None
    outcome_chosen_by: str | None
    is_demo: bool


_COLUMNS = (
    edgekeeper_state.c.generation,
    edgekeeper_state.c.data_version,
    edgekeeper_state.c.revision,
    edgekeeper_state.c.outcome,
    edgekeeper_state.c.outcome_chosen_at,
    edgekeeper_state.c.outcome_chosen_by,
    edgekeeper_state.c.is_demo,
)


def read_state(connection: Connection) -> State:
    """Return the state."""
    return State(*connection.execute(sa.select(*_COLUMNS)).one())


def next_revision(connection: Connection) -> State:
    """Raise the revision of the overrides, and return the state with it.

    The row stays locked until the transaction ends, so revisions are handed out in the order
    in which they commit.
    """
    raised = (
        sa.update(edgekeeper_state)
        .values(
            revision=edgekeeper_state.c.revision + 1,
            data_version=edgekeeper_state.c.data_version + 1,
        )
        .returning(*_COLUMNS)
    )
    return State(*connection.execute(raised).one())


def touch(connection: Connection) -> None:
    """Say that what screens show has changed."""
    connection.execute(
        sa.update(edgekeeper_state).values(data_version=edgekeeper_state.c.data_version + 1)
    )


def choose_outcome(connection: Connection, outcome: str, *, chosen_by: str) -> None:
    """Set the analysed outcome where none is; ``decision_rows.change_outcome`` changes it."""
    connection.execute(
        sa.update(edgekeeper_state)
        .where(edgekeeper_state.c.outcome.is_(None))
        .values(outcome=outcome, outcome_chosen_at=sa.func.now(), outcome_chosen_by=chosen_by)
    )


def mark_demo(connection: Connection) -> None:
    """Mark the database as one of demo trades: real imports are refused there."""
    connection.execute(sa.update(edgekeeper_state).values(is_demo=True))


def read_flags(connection: Connection) -> dict[str, bool]:
    """Return every feature flag; one never set is on."""
    stored = connection.execute(sa.select(feature_flags.c.name, feature_flags.c.enabled))
    return {**dict.fromkeys(FEATURE_FLAGS, True), **dict(stored.all())}


def set_flag(
    connection: Connection, name: str, enabled: bool, *, actor: str, reason: str = ""
) -> bool:
    """Turn a feature flag, in every snapshot that bots read; they are told when it commits.

    Args:
        connection: In a transaction; the flag holds when it commits.
        name: One of ``FEATURE_FLAGS``.
        enabled: Whether it is on.
        actor: Login name of an approver or admin.
        reason: At least 10 characters to turn it on; off is one step.

    Returns:
        Whether anything changed.

    Raises:
        DecisionRefused: If the actor may not, or an argument is not as said.
    """
    with refusals_told(connection):
        return bool(
            connection.scalar(sa.select(sa.func.set_feature_flag(name, enabled, actor, reason)))
        )


def hold(connection: Connection) -> None:
    """Let no flag and no revision change until the transaction ends; waits for who is at it."""
    connection.execute(sa.select(edgekeeper_state.c.id).with_for_update())


@dataclass(frozen=True, slots=True)
class RuleChange:
    """A change of who decides, of how many people approve, or of a feature flag."""

    rule: str
    value_before: str
    value_after: str
    reason: str
    changed_by: str
    changed_at: datetime


_CHANGE = ("rule", "value_before", "value_after", "reason", "changed_by", "changed_at")


def read_rule_changes(connection: Connection, *, limit: int = 500) -> list[RuleChange]:
    """Return the changes of rules, the newest first."""
    newest = rule_changes.c.id.desc()
    query = sa.select(*(rule_changes.c[n] for n in _CHANGE)).order_by(newest).limit(limit)
    return [RuleChange(*row) for row in connection.execute(query)]
