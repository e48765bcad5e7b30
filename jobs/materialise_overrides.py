"""Writes what bots apply: overrides, the snapshot of each module, and the history of moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

_NEW = 0  # identity columns begin at 1


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
    state_rows.hold(connection)  # a flag that is turned meanwhile is turned in what we write
    wanted = _Snapshot(module, state_rows.read_flags(connection), settings.holdout_share)
    if _is_current(overrides, previous, override_rows.read_config(connection, module), wanted):
        return len(overrides), []
    state = state_rows.next_revision(connection)
    moves = _write(connection, overrides, previous, wanted, state=state, now=now)
    return len(overrides), moves


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """What a module's snapshot says beside its overrides."""

    module: Module
    feature_flags: Mapping[str, bool]
    holdout_share: float

    def data(
        self, overrides: Sequence[tuple[int, Override]], *, generation: int, revision: int
    ) -> dict[str, Any]:
        """Return it as bots read it."""
        return config_data(
            overrides,
            module=self.module,
            feature_flags=self.feature_flags,
            holdout_share=self.holdout_share,
            generation=generation,
            revision=revision,
        )


def _is_current(
    overrides: Sequence[Override],
    previous: Mapping[int, Materialised],
    stored: Mapping[str, Any] | None,
    wanted: _Snapshot,
) -> bool:
    """Whether bots already read, and the rows already say, all that would be written."""
    if stored is None:
        return False
    epochs = {one.lesson.lesson_id: one.epoch for one in overrides}
    if epochs != {lesson_id: one.epoch for lesson_id, one in previous.items()}:
        return False
    ids = _override_ids(stored)
    named = [(ids.get(one.lesson.lesson_id, _NEW), one) for one in overrides]
    data = wanted.data(named, generation=stored["generation"], revision=stored["revision"])
    return data == dict(stored)


def _override_ids(stored: Mapping[str, Any]) -> dict[int, int]:
    """Return the override id of each lesson of a snapshot."""
    parts = ("pattern_strength_overrides", "pattern_overrides", "alloc_overrides")
    return {entry["lesson"]["id"]: entry["override_id"] for part in parts for entry in stored[part]}


def _write(
    connection: Connection,
    overrides: Sequence[Override],
    previous: Mapping[int, Materialised],
    wanted: _Snapshot,
    *,
    state: State,
    now: datetime,
) -> list[dict[str, Any]]:
    kept = [one.lesson.lesson_id for one in overrides]
    moves = [
        *_removals(connection, wanted.module, kept, previous, state=state, now=now),
        *_moves(overrides, previous, state=state),
    ]
    written = override_rows.write(
        connection,
        overrides,
        holdout_share=wanted.holdout_share,
        generation=state.generation,
        revision=state.revision,
    )
    override_rows.append_history(connection, moves)
    snapshot = wanted.data(written, generation=state.generation, revision=state.revision)
    override_rows.write_config(connection, wanted.module, snapshot, revision=state.revision)
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
