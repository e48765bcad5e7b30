"""Finds lessons at a discovery look, and refreshes the standing ones at every other run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from jobs.job import JobContext, JobReport
from jobs.lesson_findings import Findings, find
from jobs.mining_inputs import Inputs, read_inputs
from jobs.mining_mark import NAME as MARK
from jobs.mining_mark import is_mined_already, mining_mark
from learning.domain.pattern_key import Module
from learning.lessons.evidence_record import EvidenceRecord
from learning.lessons.look_verdicts import LookVerdict, Standing, look_verdict, unmeasured_verdict
from learning.settings import Settings
from learning.store import (
    database,
    decision_rows,
    lesson_rows,
    mining_run_rows,
    state_rows,
)
from learning.store.lesson_rows import LessonKey, StoredLesson


def mine_pm_lessons(context: JobContext) -> JobReport:
    """Mine the lessons of the portfolio manager."""
    return mine_lessons(context, "pm")


def mine_dm_lessons(context: JobContext) -> JobReport:
    """Mine the lessons of the decision maker."""
    return mine_lessons(context, "dm")


def mine_lessons(context: JobContext, module: Module) -> JobReport:
    """Mine one module: a discovery look where one is due, else its standing lessons anew.

    Where nothing has changed of what the newest run rested on, nothing is read and written: the
    numbers would be the same.
    """
    changed = {"new": 0, "refreshed": 0, "proposed": 0, "watched": 0, "retired": 0}
    context.progress(0, None, f"mining {module}")
    with database.transaction(context.engine) as connection:
        mark = mining_mark(connection, module, context.settings)
        if is_mined_already(connection, module, mark, context):
            context.progress(0, None, "nothing has changed that a lesson rests on")
            return JobReport(changed=changed)
        inputs = read_inputs(connection, module, context.settings, context.now)
    if inputs is None:
        return JobReport(changed=changed)
    findings = find(inputs, context.settings)
    run = {**findings.run, "details": {**findings.run["details"], MARK: mark}}
    findings = replace(findings, run=run)
    with context.transaction() as connection:
        decision_rows.lock(connection)
        write(connection, inputs, findings, context.settings, changed)
    return JobReport(inputs.events.n, sum(changed.values()), changed)


def write(
    connection: Connection,
    inputs: Inputs,
    findings: Findings,
    settings: Settings,
    changed: dict[str, int],
) -> None:
    """Write a run: its row, new lessons, refreshed ones and their moves."""
    run_id = mining_run_rows.append(connection, findings.run)
    stored = {one.identity: one for one in lesson_rows.read_lessons(connection, inputs.module)}
    snapshots = lesson_rows.read_effects(connection, inputs.module)
    for identity, record in findings.records.items():
        composition = lesson_rows.read_composition(
            connection,
            inputs.module,
            record.key,
            record.scope,
            outcome=record.stats["rr_kind"],
            origins=settings.origins,
        )
        known = stored.get(identity)
        if known is None:
            parent = _parent_id(record, stored)
            _insert(connection, inputs, record, composition, run_id, parent, changed)
            continue
        verdict = look_verdict(
            _standing(known, snapshots),
            record,
            is_look=findings.is_look,
            was_found=identity in findings.found,
        )
        _move(connection, known.lesson_id, verdict, changed)
        _refresh(connection, known.lesson_id, record, verdict, composition, run_id, changed)
    for identity, lost in stored.items():
        if identity not in findings.records:
            verdict = unmeasured_verdict(_standing(lost, snapshots), is_look=findings.is_look)
            _move(connection, lost.lesson_id, verdict, changed)
            lesson_rows.set_weak_looks(connection, lost.lesson_id, verdict.weak_looks)
    for lesson_id, (state, reason) in findings.confirmed.items():
        lesson_rows.set_confirmation(connection, lesson_id, state=state, reason=reason)
    state_rows.touch(connection)


def _parent_id(record: EvidenceRecord, stored: Mapping[LessonKey, StoredLesson]) -> int | None:
    scope = record.stats.get("parent_scope")
    if not scope:
        return None
    parent = stored.get(lesson_rows.lesson_key(record.key, scope, record.lesson_type))
    return None if parent is None else parent.lesson_id


def _insert(
    connection: Connection,
    inputs: Inputs,
    record: EvidenceRecord,
    composition: Mapping[str, Any],
    run_id: int,
    parent: int | None,
    changed: dict[str, int],
) -> None:
    status = "proposed" if record.excludes_zero else "watch"
    reason = (
        "found by a discovery look, its 95 % interval is clear of 0"
        if record.excludes_zero
        else "found by a discovery look, but its own 95 % interval contains 0"
    )
    lesson_id = lesson_rows.insert_lesson(
        connection,
        inputs.module,
        record,
        status=status,
        reason=reason,
        mining_run_id=run_id,
        parent_lesson_id=parent,
        composition=composition,
        now=inputs.now,
    )
    if record.lesson_type == "pm_tuning":
        lesson_rows.set_half_life(
            connection,
            lesson_id,
            hours=None,
            state="undetermined",
            reason="its evidence is how trades were carried out, not an edge whose decay is fitted",
            details={},
        )
    decision_rows.move(
        connection,
        lesson_id=lesson_id,
        decision="propose" if record.excludes_zero else "watch",
        reason=reason,
        job="mine_lessons",
    )
    changed["new"] += 1
    changed["proposed" if record.excludes_zero else "watched"] += 1


def _standing(lesson: StoredLesson, effects: Mapping[int, Mapping[str, Any]]) -> Standing:
    return Standing(
        lesson.status,  # type: ignore[arg-type]
        lesson.stats,
        effects[lesson.lesson_id],
        lesson.weak_looks,
    )


def _move(
    connection: Connection, lesson_id: int, verdict: LookVerdict, changed: dict[str, int]
) -> None:
    if verdict.decision is not None:
        decision_rows.move(
            connection,
            lesson_id=lesson_id,
            decision=verdict.decision,
            reason=verdict.reason,
            job="mine_lessons",
        )
        counted = {"propose": "proposed", "refresh": "proposed", "watch": "watched"}
        changed[counted.get(verdict.decision, "retired")] += 1


def _refresh(
    connection: Connection,
    lesson_id: int,
    record: EvidenceRecord,
    verdict: LookVerdict,
    composition: Mapping[str, Any],
    run_id: int,
    changed: dict[str, int],
) -> None:
    if verdict.writes_evidence:
        lesson_rows.refresh_lesson(
            connection,
            lesson_id,
            record,
            weak_looks=verdict.weak_looks,
            mining_run_id=run_id,
            composition=composition,
        )
        changed["refreshed"] += 1
    if verdict.raises_version:
        lesson_rows.raise_version(connection, lesson_id, reason=verdict.reason)
