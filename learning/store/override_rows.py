"""Overrides as materialised, the snapshots that bots read, and every move of every override."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from learning.domain.levers import THRESHOLD_PREFIX
from learning.domain.pattern_key import Module
from learning.domain.scope import scope_hash
from learning.overrides.materialising import (
    ActiveLesson,
    Materialised,
    Override,
    flat_levers,
    thresholds_of,
)
from learning.store.schema import (
    LEVER_COLUMNS,
    learning_configs,
    learning_lessons,
    override_history,
    pm_overrides,
)

_LEVER_OF_COLUMN = {column: lever for lever, column in LEVER_COLUMNS.items()}


def read_active_lessons(connection: Connection, module: Module) -> list[ActiveLesson]:
    """Return the active lessons, locked against a decision until the transaction ends.

    A disabling that runs at the same time waits for this transaction and then wins.
    """
    c = learning_lessons.c
    rows = connection.execute(
        sa.select(learning_lessons)
        .where(c.module == module, c.status == "active")
        .order_by(c.id)
        .with_for_update(read=True)
    ).mappings()
    return [
        ActiveLesson(
            lesson_id=row["id"],
            version=row["version"],
            module=row["module"],
            pattern_key=row["pattern_key"],
            action_category=row["action_category"],
            scope=row["scope_values"],
            lesson_type=row["lesson_type"],
            levers=flat_levers(row["effect"]),
            strength=row["lesson_strength"],
            decay_halflife_hours=row["decay_halflife_hours"],
            latent_factor_id=row["latent_factor_id"],
            mean_closed_at=row["mean_closed_at"],
            activated_at=row["activated_at"],
            expires_at=row["expires_at"],
            is_confirmed=row["confirmation"] == "confirmed",
        )
        for row in rows
    ]


def read_materialised(connection: Connection, module: Module) -> dict[int, Materialised]:
    """Return by lesson id what was materialised last."""
    rows = connection.execute(
        sa.select(pm_overrides).where(pm_overrides.c.module == module)
    ).mappings()
    return {row["lesson_id"]: _materialised(row) for row in rows}


def _materialised(row: sa.RowMapping) -> Materialised:
    return Materialised(levers_of_row(row), row["epoch"], row["epoch_start"])


def read_versions(connection: Connection, module: Module) -> dict[int, int]:
    """Return by lesson id the version that was materialised last."""
    rows = connection.execute(
        sa.select(pm_overrides.c.lesson_id, pm_overrides.c.lesson_version).where(
            pm_overrides.c.module == module
        )
    )
    return dict(rows.all())


def levers_of_row(row: sa.RowMapping) -> dict[str, float]:
    """Return the levers that a row of ``pm_overrides`` sets, under their flat names."""
    levers = {
        lever: row[column] for column, lever in _LEVER_OF_COLUMN.items() if row[column] is not None
    }
    thresholds = row["signal_thresholds"]
    return {**levers, **{THRESHOLD_PREFIX + name: value for name, value in thresholds.items()}}


def write(
    connection: Connection,
    overrides: Sequence[Override],
    *,
    holdout_share: float,
    generation: int,
    revision: int,
) -> list[tuple[int, Override]]:
    """Insert or update overrides; return each with its id."""
    written = []
    for override in overrides:
        row = _row(override, holdout_share, generation, revision)
        statement = (
            insert(pm_overrides)
            .values(row)
            .on_conflict_do_update(
                index_elements=["lesson_id"],
                set_={**row, "materialised_at": sa.func.now()},
            )
            .returning(pm_overrides.c.id)
        )
        written.append((connection.execute(statement).scalar_one(), override))
    return written


def _row(
    override: Override, holdout_share: float, generation: int, revision: int
) -> dict[str, Any]:
    lesson = override.lesson
    return {
        "lesson_id": lesson.lesson_id,
        "lesson_version": lesson.version,
        "module": lesson.module,
        "pattern_key": lesson.pattern_key,
        "action_category": lesson.action_category,
        "scope_values": dict(lesson.scope),
        "scope_values_hash": scope_hash(lesson.scope),
        "lesson_type": lesson.lesson_type,
        "latent_factor_id": lesson.latent_factor_id,
        "lesson_strength": lesson.strength,
        "decay_halflife_hours": lesson.decay_halflife_hours,
        **{column: override.levers.get(lever) for lever, column in LEVER_COLUMNS.items()},
        "signal_thresholds": {
            name.removeprefix(THRESHOLD_PREFIX): value
            for name, value in thresholds_of(override.levers).items()
        },
        "epoch": override.epoch,
        "epoch_start": dict(override.epoch_start),
        "holdout_share": lesson.held_out(holdout_share),
        "activated_at": lesson.activated_at,
        "expires_at": lesson.expires_at,
        "generation": generation,
        "revision": revision,
    }


def remove_all_but(
    connection: Connection, module: Module, kept_lesson_ids: Sequence[int]
) -> list[int]:
    """Delete the overrides of lessons that no longer have one; return their lesson ids."""
    removed = connection.execute(
        sa.delete(pm_overrides)
        .where(pm_overrides.c.module == module, pm_overrides.c.lesson_id.not_in(kept_lesson_ids))
        .returning(pm_overrides.c.lesson_id)
    )
    return sorted(removed.scalars())


def append_history(connection: Connection, moves: Sequence[Mapping[str, Any]]) -> None:
    """Append moves to the history of overrides."""
    if moves:
        connection.execute(sa.insert(override_history), [dict(move) for move in moves])


def move(
    *,
    lesson_id: int,
    lesson_version: int,
    module: Module,
    change: str,
    before: Mapping[str, float] | None,
    after: Mapping[str, float] | None,
    epoch: date,
    reason: str,
    generation: int,
    revision: int,
) -> dict[str, Any]:
    """Return one row of the history."""
    return {
        "lesson_id": lesson_id,
        "lesson_version": lesson_version,
        "module": module,
        "change": change,
        "levers_before": None if before is None else dict(before),
        "levers_after": None if after is None else dict(after),
        "epoch": epoch,
        "reason": reason,
        "generation": generation,
        "revision": revision,
    }


def write_config(
    connection: Connection, module: Module, config_data: Mapping[str, Any], *, revision: int
) -> None:
    """Replace the snapshot of a module and tell every bot to read it."""
    values = {
        "config_data": dict(config_data),
        "version": revision,
        "generation": config_data["generation"],
        "updated_at": sa.func.now(),
    }
    connection.execute(
        insert(learning_configs)
        .values(module=module, **values)
        .on_conflict_do_update(index_elements=["module"], set_=values)
    )
    connection.execute(sa.text("SELECT pg_notify('edgekeeper_overrides', '')"))


def read_config(connection: Connection, module: Module) -> dict[str, Any] | None:
    """Return the snapshot of a module as bots read it, None before the first."""
    return connection.execute(
        sa.select(learning_configs.c.config_data).where(learning_configs.c.module == module)
    ).scalar_one_or_none()
