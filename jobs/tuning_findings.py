"""Execution lessons of a mining run: found at a discovery look, measured again at any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from jobs.mining_inputs import Inputs
from learning.domain.levers import THRESHOLD_PREFIX
from learning.evidence.aggregation import FrozenReference, regime_weights_for, scope_scores
from learning.evidence.block_statistics import ClipLimits
from learning.evidence.trade_events import GroupKey
from learning.lessons.evidence_record import EvidenceRecord
from learning.lessons.execution_evidence import ExecutionTrades, execution_trades
from learning.lessons.execution_record import by_scope, tuning_record
from learning.lessons.execution_search import (
    ExecutionFinding,
    ExecutionRun,
    execution_findings,
    standing_threshold,
    standing_timing,
)
from learning.lessons.scope_edges import ScopePairs, trades_by_group
from learning.settings import Settings
from learning.store import lesson_rows
from learning.store.lesson_rows import LessonKey, StoredLesson

Groups = Mapping[GroupKey, ExecutionTrades]
_ENDED = ("retired", "rejected")


def execution_groups(inputs: Inputs, clip: ClipLimits) -> dict[GroupKey, ExecutionTrades]:
    """Return the groups whose execution was read, with outcomes clipped as in the search."""
    if not inputs.execution:
        return {}
    return {
        trades.key: execution_trades(
            trades,
            trade=details.trade,
            missed_entry_rr=details.missed_entry_rr,
            missed_exit_rr=details.missed_exit_rr,
            entry_gap_days=details.entry_gap_days,
            exit_gap_days=details.exit_gap_days,
            signals=details.signals,
        )
        for trades in trades_by_group(inputs.events, clip)
        if (details := inputs.execution.get(trades.key)) is not None
    }


def found_tuning(
    inputs: Inputs, groups: Groups, frozen: FrozenReference, settings: Settings, *, look: int
) -> tuple[dict[LessonKey, EvidenceRecord], ExecutionRun]:
    """Search the execution of all groups; what a lesson said before stays with it."""
    run = execution_findings(
        list(groups.values()),
        thresholds=settings.signal_thresholds,
        fdr_target=settings.fdr_target,
        look=look,
    )
    known = {one.identity: one for one in inputs.lessons if one.status not in _ENDED}
    searched = {"hypotheses": {"tested": run.n_tested, "candidates": run.n_candidates}}
    records = {}
    for (key, scope), found in by_scope(run.findings).items():
        identity = lesson_rows.lesson_key(key, dict(scope), "pm_tuning")
        kept: list[ExecutionFinding] = []
        if identity in known:
            families = {one.family for one in found}
            measured = _measured_again(known[identity], groups, settings)
            kept = [one for one in measured if one.family not in families]
        record = _record(inputs, [*found, *kept], frozen, searched)
        if record is not None:
            records[identity] = record
    return records, run


def standing_tuning(
    inputs: Inputs,
    groups: Groups,
    lessons: Sequence[StoredLesson],
    frozen: FrozenReference,
    settings: Settings,
) -> dict[LessonKey, EvidenceRecord]:
    """Return today's evidence of execution lessons; one that cannot be told keeps its numbers."""
    records = {}
    for lesson in lessons:
        if lesson.lesson_type != "pm_tuning" or lesson.outcome != inputs.outcome:
            continue
        findings = _measured_again(lesson, groups, settings)
        if findings:
            search = {name: lesson.stats[name] for name in ("hypotheses",) if name in lesson.stats}
            record = _record(inputs, findings, frozen, search)
            if record is not None:
                records[lesson.identity] = record
    return records


def tuning_counts(run: ExecutionRun) -> dict[str, int]:
    """Return what the search of a look counted."""
    return {
        "execution_candidates": run.n_candidates,
        "execution_tested": run.n_tested,
        "execution_found": len(run.findings),
    }


def _measured_again(
    lesson: StoredLesson, groups: Groups, settings: Settings
) -> list[ExecutionFinding]:
    group = groups.get(lesson.key)
    if group is None:
        return []
    measured = [
        _measured(group, tuple(lesson.scope.items()), family, stored, settings)
        for family, stored in lesson.stats["execution"].items()
    ]
    return [one for one in measured if one is not None]


def _measured(
    group: ExecutionTrades,
    scope: ScopePairs,
    family: str,
    stored: Mapping[str, Any],
    settings: Settings,
) -> ExecutionFinding | None:
    """One finding on today's trades; None where it cannot be told, or its setting is gone."""
    if stored["threshold"] is None:
        found = standing_timing(
            group,
            scope,
            family,
            hindsight_rr=stored["hindsight_rr"],
            is_early=stored["is_early"],
        )
    else:
        name = family.removeprefix(THRESHOLD_PREFIX)
        given = settings.signal_thresholds.get(name)
        if given is None:
            return None
        found = standing_threshold(
            group,
            name,
            given,
            value=stored["threshold"],
            chosen_before_days=stored["chosen_before_days"],
        )
    if not isinstance(found, ExecutionFinding):
        return None
    return replace(found, p_value=stored["p_value"], q_value=stored["q_value"])


def _record(
    inputs: Inputs,
    findings: Sequence[ExecutionFinding],
    frozen: FrozenReference,
    search: Mapping[str, Any],
) -> EvidenceRecord | None:
    key, scope = findings[0].group, dict(findings[0].scope)
    scores = scope_scores(inputs.events, key, scope, frozen, weights=inputs.weights)
    if scores is None:
        return None
    return tuning_record(
        findings,
        scores,
        outcome=inputs.outcome,
        weights=regime_weights_for(inputs.weights, *key, scope),
        search=search,
    )
