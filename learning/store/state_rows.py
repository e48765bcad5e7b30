"""What holds for the whole database: generation, revision, data version, outcome, flags."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from learning.store.schema import edgekeeper_state, feature_flags

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


def set_flag(connection: Connection, name: str, enabled: bool, *, changed_by: str) -> None:
    """Turn a feature flag.

    Raises:
        ValueError: If there is no such flag.
    """
    if name not in FEATURE_FLAGS:
        raise ValueError(f"feature flag must be one of {FEATURE_FLAGS}, got {name!r}")
    values = {"enabled": enabled, "changed_by": changed_by, "changed_at": sa.func.now()}
    connection.execute(
        insert(feature_flags)
        .values(name=name, **values)
        .on_conflict_do_update(index_elements=["name"], set_=values)
    )
