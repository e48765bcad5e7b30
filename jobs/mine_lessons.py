"""Finds lessons at a discovery look, and refreshes the standing ones at every other run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from jobs.approve_small_effects import approve_small_effects
from jobs.job import JobContext, JobReport
from jobs.lesson_claims import claims_anew
from jobs.lesson_findings import Findings, find
from jobs.mining_inputs import Inputs, read_inputs
from jobs.mining_mark import NAME as MARK
from jobs.mining_mark import is_mined_already, read_grounds
from learning.domain.pattern_key import Module
from learning.lessons.evidence_record import EvidenceRecord
from learning.lessons.look_verdicts import LookVerdict, Standing, look_verdict, unmeasured_verdict
from learning.settings import Settings
from learning.store import (
    alert_rows,
    database,
    decision_rows,
    lesson_mark_rows,
    lesson_rows,
    mining_run_rows,
    state_rows,
)
from learning.store.lesson_mark_rows import LessonMark
from learning.store.lesson_rows import LessonKey, StoredLesson


def mine_pm_lessons(context: JobContext) -> JobReport:
    """Mine the lessons of the portfolio manager."""
    return mine_lessons(context, "pm")


def mine_dm_lessons(context: JobContext) -> JobReport:
    """Mine the lessons of the decision maker."""
    return mine_lessons(context, "dm")


def mine_lessons(context: JobContext, module: Module) -> JobReport:
    """Mine one module: a discovery look where one is due, else its lessons anew.

    Between looks only the lessons are read, measured and written of which something changed that
    they rest on; where nothing has changed at all, nothing: the numbers would be the same.
    """
    changed = {"new": 0, "refreshed": 0, "proposed": 0, "watched": 0, "retired": 0}
    n_events = _mine(context, module, changed)
    with context.transaction() as connection:
        approve_small_effects(connection, module, context.settings, changed)
        unconfirmed = alert_rows.settle_confirmations(connection, module)
        if unconfirmed:
            changed["unconfirmed"] = unconfirmed
            state_rows.touch(connection)
    return JobReport(n_events, sum(changed.values()), changed)


def _mine(context: JobContext, module: Module, changed: dict[str, int]) -> int:
    """Write what mining a module finds; return how many events it read."""
    context.progress(0, None, f"mining {module}")
    with database.transaction(context.engine) as connection:
        grounds = read_grounds(connection, module, context.settings)
        lessons = lesson_rows.read_lessons(connection, module)
        mark = None if grounds is None else grounds.of_run(lessons, context.now)
        if mark is not None and is_mined_already(connection, module, mark, context):
            context.progress(0, None, "nothing has changed that a lesson rests on")
            return 0
        inputs = read_inputs(connection, module, context.settings, context.now, grounds=grounds)
    if inputs is None:
        return 0
    findings = find(inputs, context.settings)
    run = {**findings.run, "details": {**findings.run["details"], MARK: mark}}
    findings = replace(findings, run=run)
    with context.transaction() as connection:
        decision_rows.lock(connection)
        write(connection, inputs, findings, context.settings, changed)
    return inputs.events.n


@dataclass(frozen=True, slots=True)
class _Run:
    """A run that is being written; ``changed`` counts what it moves."""

    connection: Connection
    inputs: Inputs
    findings: Findings
    run_id: int
    changed: dict[str, int]

    def verdict(self, lesson: StoredLesson, effect: Mapping[str, Any]) -> LookVerdict:
        """Judge a lesson that is there already by what was measured, if anything was."""
        standing = Standing(lesson.status, lesson.stats, effect, lesson.weak_looks)  # type: ignore[arg-type]
        record = self.findings.records.get(lesson.identity)
        is_look = self.findings.is_look
        if record is None:
            return unmeasured_verdict(standing, is_look=is_look)
        was_found = lesson.identity in self.findings.found
        return look_verdict(standing, record, is_look=is_look, was_found=was_found)


def write(
    connection: Connection,
    inputs: Inputs,
    findings: Findings,
    settings: Settings,
    changed: dict[str, int],
) -> None:
    """Write a run: its row, new lessons, refreshed ones and their moves."""
    run_id = mining_run_rows.append(connection, findings.run)
    run = _Run(connection, inputs, findings, run_id, changed)
    stored = {one.identity: one for one in lesson_rows.read_lessons(connection, inputs.module)}
    effects = lesson_rows.read_effects(connection, inputs.module)
    for lesson_id, found in findings.confirmed.items():
        lesson_rows.set_confirmation(
            connection,
            lesson_id,
            state=found.state,
            reason=found.reason,
            moments_asked=found.moments_asked,
        )
    for identity, record in findings.records.items():
        composition = _composition(run, record, settings)
        known = stored.get(identity)
        if known is None:
            _insert(run, record, composition, _parent_id(record, stored))
        else:
            verdict = run.verdict(known, effects[known.lesson_id])
            _move(run, known.lesson_id, verdict)
            _refresh(run, known, record, verdict, composition)
    for identity, lost in stored.items():
        if identity not in findings.records and lost.lesson_id in inputs.stale.ids:
            verdict = run.verdict(lost, effects[lost.lesson_id])
            _move(run, lost.lesson_id, verdict)
            lesson_rows.set_weak_looks(connection, lost.lesson_id, verdict.weak_looks)
    lesson_mark_rows.write(connection, _marks(inputs, findings))
    state_rows.touch(connection)


def _composition(run: _Run, record: EvidenceRecord, settings: Settings) -> Mapping[str, Any]:
    return lesson_rows.read_composition(
        run.connection,
        run.inputs.module,
        record.key,
        record.scope,
        outcome=record.stats["rr_kind"],
        origins=settings.origins,
    )


def _marks(inputs: Inputs, findings: Findings) -> dict[int, LessonMark]:
    """Return what the measured lessons rest on, for the next run."""
    return {
        lesson_id: LessonMark(mark, findings.prospects.get(lesson_id))
        for lesson_id, mark in inputs.stale.marks.items()
        if lesson_id in inputs.stale.ids
    }


def _parent_id(record: EvidenceRecord, stored: Mapping[LessonKey, StoredLesson]) -> int | None:
    scope = record.stats.get("parent_scope")
    if not scope:
        return None
    parent = stored.get(lesson_rows.lesson_key(record.key, scope, record.lesson_type))
    return None if parent is None else parent.lesson_id


def _insert(
    run: _Run, record: EvidenceRecord, composition: Mapping[str, Any], parent: int | None
) -> None:
    reason = "found by a discovery look, but its own 95 % interval contains 0"
    if record.excludes_zero:
        reason = "found by a discovery look, its 95 % interval is clear of 0"
    lesson_id = lesson_rows.insert_lesson(
        run.connection,
        run.inputs.module,
        record,
        status="proposed" if record.excludes_zero else "watch",
        reason=reason,
        mining_run_id=run.run_id,
        parent_lesson_id=parent,
        composition=composition,
        now=run.inputs.now,
    )
    if record.lesson_type == "pm_tuning":
        lesson_rows.set_half_life(
            run.connection,
            lesson_id,
            hours=None,
            state="undetermined",
            reason="its evidence is how trades were carried out, not an edge whose decay is fitted",
            details={},
        )
    decision_rows.move(
        run.connection,
        lesson_id=lesson_id,
        decision="propose" if record.excludes_zero else "watch",
        reason=reason,
        job="mine_lessons",
    )
    run.changed["new"] += 1
    run.changed["proposed" if record.excludes_zero else "watched"] += 1


def _move(run: _Run, lesson_id: int, verdict: LookVerdict) -> None:
    if verdict.decision is None:
        return
    decision_rows.move(
        run.connection,
        lesson_id=lesson_id,
        decision=verdict.decision,
        reason=verdict.reason,
        job="mine_lessons",
    )
    counted = {"propose": "proposed", "refresh": "proposed", "watch": "watched"}
    run.changed[counted.get(verdict.decision, "retired")] += 1


def _refresh(
    run: _Run,
    known: StoredLesson,
    record: EvidenceRecord,
    verdict: LookVerdict,
    composition: Mapping[str, Any],
) -> None:
    if verdict.writes_evidence:
        lesson_rows.refresh_lesson(
            run.connection,
            known.lesson_id,
            record,
            weak_looks=verdict.weak_looks,
            mining_run_id=run.run_id,
            composition=composition,
            claims_anew=claims_anew(known, record.stats),
        )
        run.changed["refreshed"] += 1
    if verdict.raises_version:
        lesson_rows.raise_version(run.connection, known.lesson_id, reason=verdict.reason)
