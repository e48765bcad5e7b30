"""Execution lessons of a mining run: found at a discovery look, measured again at any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from jobs.lesson_claims import is_open, new_claim, refreshed_claim, standing_claim
from jobs.mining_inputs import Inputs
from learning.domain.levers import THRESHOLD_PREFIX
from learning.evidence.aggregation import FrozenReference, regime_weights_for, scope_scores
from learning.evidence.block_statistics import ClipLimits
from learning.evidence.trade_events import GroupKey
from learning.lessons.confirmation import Prospect
from learning.lessons.evidence_record import EvidenceRecord
from learning.lessons.execution_confirmation import (
    ExecutionClaim,
    ExecutionConfirmation,
    ThresholdClaim,
    TimingClaim,
    execution_confirmations,
)
from learning.lessons.execution_evidence import ExecutionTrades, execution_trades
from learning.lessons.execution_record import by_scope, clearest_finding, tuning_record
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
_SEARCHED = ("hypotheses",)


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
        findings = [*found, *kept]
        claim = standing_claim(known.get(identity), _claim(findings, inputs.now))
        record = _record(inputs, findings, frozen, {**searched, **claim})
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
            claim = refreshed_claim(lesson, _claim(findings, inputs.now))
            search = {name: lesson.stats[name] for name in _SEARCHED if name in lesson.stats}
            record = _record(inputs, findings, frozen, {**search, **claim})
            if record is not None:
                records[lesson.identity] = record
    return records


def _claim(findings: Sequence[ExecutionFinding], now: datetime) -> dict[str, Any]:
    """Return the least that the clearest finding claims; nothing where it is only watched."""
    clearest = clearest_finding(findings)
    if not clearest.excludes_zero:
        return {}
    least = new_claim(clearest.ci_low_rr, clearest.ci_high_rr, now)
    return {**least, "claim_family": clearest.family}


def tuning_prospects(inputs: Inputs, groups: Groups, settings: Settings) -> dict[int, Prospect]:
    """Return for each stale open execution lesson what the trades since its claim say of it."""
    open_ = [
        (one.lesson_id, claim)
        for one in inputs.lessons
        if one.lesson_id in inputs.stale.ids
        and one.lesson_type == "pm_tuning"
        and is_open(one)
        and one.outcome == inputs.outcome
        and (claim := _open_claim(one, settings)) is not None
    ]
    later = execution_confirmations(groups, [claim for _, claim in open_])
    return {
        lesson_id: Prospect(found.p_confirm, found.p_fail, _since_found(found))
        for (lesson_id, _), found in zip(open_, later, strict=True)
    }


def _open_claim(lesson: StoredLesson, settings: Settings) -> ExecutionClaim | None:
    """What a lesson claimed; None where it was watched then, or its setting is gone."""
    family = str(lesson.stats.get("claim_family"))
    stored = lesson.stats["execution"].get(family)
    if stored is None:
        return None
    when, least = lesson.stats["claimed_at_days"], lesson.stats["claim_rr"]
    if stored["threshold"] is None:
        return TimingClaim(
            group=lesson.key,
            scope=tuple(lesson.scope.items()),
            family=family,
            found_at_days=when,
            claim_rr=least,
            hindsight_rr=stored["hindsight_rr"],
            is_early=stored["is_early"],
        )
    name = family.removeprefix(THRESHOLD_PREFIX)
    given = settings.signal_thresholds.get(name)
    if given is None:
        return None
    return ThresholdClaim(
        group=lesson.key,
        name=name,
        given=given,
        value=stored["threshold"],
        found_at_days=when,
        claim_rr=least,
    )


def _since_found(verdict: ExecutionConfirmation) -> str:
    found = verdict.prospective
    if not isinstance(found, ExecutionFinding):
        return f"since it was found: {found.reason}"
    what = "missed beyond what is usual" if found.threshold is None else "apart by the threshold"
    return f"{found.n} trades since it was found: {found.estimate_rr:+.2f} R {what}"


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
