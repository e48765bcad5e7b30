"""Writes what bots apply: overrides, the snapshot of each module, and the history of moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from jobs.job import JobContext, JobReport
from learning.domain.levers import with_thresholds
from learning.domain.pattern_key import MODULES, Module
from learning.overrides.materialising import (
    Materialised,
    Override,
    config_data,
    materialised_overrides,
)
from learning.settings import Settings
from learning.store import override_rows, state_rows
from learning.store.state_rows import State


def materialise_overrides(context: JobContext) -> JobReport:
    """Materialise both modules, each in one transaction."""
    changed = {"created": 0, "moved": 0, "removed": 0}
    standing = 0
    for module in MODULES:
        with context.transaction() as connection:
            kept, moves = materialise_module(
                connection, module, settings=context.settings, now=context.now
            )
        standing += kept
        for move in moves:
            changed[move["change"]] += 1
    return JobReport(rows_in=standing, rows_out=sum(changed.values()), changed=changed)


def materialise_module(
    connection: Connection, module: Module, *, settings: Settings, now: datetime
) -> tuple[int, list[dict[str, Any]]]:
    """Materialise one module; return how many overrides stand, and what moved.

    Nothing is written, and no revision spent, where nothing changed.
    """
    lessons = override_rows.read_active_lessons(connection, module)
    previous = override_rows.read_materialised(connection, module)
    levers = with_thresholds(settings.signal_thresholds)
    overrides = materialised_overrides(lessons, previous, now=now, levers=levers)
    stored = override_rows.read_config(connection, module)
    flags = state_rows.read_flags(connection)
    if stored is not None and _is_current(overrides, previous, stored, flags):
        return len(overrides), []
    state = state_rows.next_revision(connection)
    moves = _write(connection, module, overrides, previous, settings=settings, state=state, now=now)
    return len(overrides), moves


def _is_current(
    overrides: Sequence[Override],
    previous: Mapping[int, Materialised],
    stored: Mapping[str, Any],
    flags: Mapping[str, bool],
) -> bool:
    levers = {one.lesson.lesson_id: (one.levers, one.epoch) for one in overrides}
    before = {lesson_id: (one.levers, one.epoch) for lesson_id, one in previous.items()}
    return (
        levers == before
        and stored["feature_flags"] == dict(flags)
        and _ends(stored) == {one.lesson.lesson_id: _end(one) for one in overrides}
    )


def _end(override: Override) -> tuple[str, int]:
    return override.lesson.expires_at.isoformat(), override.lesson.version


def _ends(stored: Mapping[str, Any]) -> dict[int, tuple[str, int]]:
    entries = [
        entry
        for part in ("pattern_strength_overrides", "pattern_overrides", "alloc_overrides")
        for entry in stored[part]
    ]
    return {
        entry["lesson"]["id"]: (entry["expires_at"], entry["lesson"]["version"])
        for entry in entries
    }


def _write(
    connection: Connection,
    module: Module,
    overrides: Sequence[Override],
    previous: Mapping[int, Materialised],
    *,
    settings: Settings,
    state: State,
    now: datetime,
) -> list[dict[str, Any]]:
    kept = [one.lesson.lesson_id for one in overrides]
    moves = [
        *_removals(connection, module, kept, previous, state=state, now=now),
        *_moves(overrides, previous, state=state),
    ]
    written = override_rows.write(
        connection,
        overrides,
        holdout_share=settings.holdout_share,
        generation=state.generation,
        revision=state.revision,
    )
    override_rows.append_history(connection, moves)
    snapshot = config_data(
        written,
        module=module,
        feature_flags=state_rows.read_flags(connection),
        holdout_share=settings.holdout_share,
        generation=state.generation,
        revision=state.revision,
    )
    override_rows.write_config(connection, module, snapshot, revision=state.revision)
    return moves


def _removals(
    connection: Connection,
    module: Module,
    kept: Sequence[int],
    previous: Mapping[int, Materialised],
    *,
    state: State,
    now: datetime,
) -> list[dict[str, Any]]:
    versions = override_rows.read_versions(connection, module)
    return [
        override_rows.move(
            lesson_id=lesson_id,
            lesson_version=versions[lesson_id],
            module=module,
            change="removed",
            before=previous[lesson_id].levers,
            after=None,
            epoch=now.date(),
            reason="its lesson is no longer active, has ended, or asks for nothing",
            generation=state.generation,
            revision=state.revision,
        )
        for lesson_id in override_rows.remove_all_but(connection, module, kept)
    ]


def _moves(
    overrides: Sequence[Override], previous: Mapping[int, Materialised], *, state: State
) -> list[dict[str, Any]]:
    moves = []
    for override in overrides:
        last = previous.get(override.lesson.lesson_id)
        if last is not None and last.levers == override.levers:
            continue
        moves.append(
            override_rows.move(
                lesson_id=override.lesson.lesson_id,
                lesson_version=override.lesson.version,
                module=override.lesson.module,
                change="created" if last is None else "moved",
                before=None if last is None else last.levers,
                after=override.levers,
                epoch=override.epoch,
                reason="first step after approval" if last is None else "one step toward target",
                generation=state.generation,
                revision=state.revision,
            )
        )
    return moves
