"""Finds lessons at a discovery look, and refreshes the standing ones at every other run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from jobs.analysed_outcome import analysed_outcome
from jobs.job import JobContext, JobReport
from learning.domain.pattern_key import MODULES, Module
from learning.domain.scope import Scope
from learning.evidence.aggregation import (
    FrozenReference,
    RegimeWeights,
    frozen_reference,
    regime_weights_for,
    scope_scores,
)
from learning.evidence.trade_events import GroupKey, TradeEvents
from learning.lessons.confirmation import Candidate, confirmations
from learning.lessons.evidence_record import (
    EvidenceRecord,
    increment_stats,
    level_record,
    scope_record,
)
from learning.lessons.level_lessons import LevelMean, LevelRun, level_lessons, standing_levels
from learning.lessons.look_verdicts import LookVerdict, Standing, look_verdict
from learning.lessons.mining import MiningRun, surviving_lessons
from learning.lessons.scope_edges import EvidenceReference, ScopeEdge
from learning.lessons.standing import StandingScope, standing_edges
from learning.settings import Settings
from learning.store import (
    database,
    decision_rows,
    event_rows,
    lesson_rows,
    mining_run_rows,
    regime_weight_rows,
    scope_stat_rows,
    state_rows,
)
from learning.store.lesson_rows import LessonKey, StoredLesson
from learning.store.mining_run_rows import StoredRun

_NET = "r_multiple_net"
_SEARCHED = (
    "q_value", "critical_z", "incremental_edge", "incremental_ci_low_rr",
    "incremental_ci_high_rr", "parent_scope", "claim_rr", "claimed_at_days", "hypotheses",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a run of one module works on."""

    module: Module
    outcome: str
    events: TradeEvents
    net_events: TradeEvents | None
    n_without_outcome: int
    n_scopes_stored: int
    last_look: StoredRun | None
    lessons: tuple[StoredLesson, ...]
    weights: RegimeWeights
    now: datetime


@dataclass(frozen=True, slots=True)
class Findings:
    """What a run of one module has to say."""

    is_look: bool
    run: Mapping[str, Any]
    records: Mapping[LessonKey, EvidenceRecord]
    found: frozenset[LessonKey] = frozenset()
    confirmed: Mapping[int, tuple[str, str]] = field(default_factory=dict)


def mine_lessons(context: JobContext) -> JobReport:
    """Mine both modules."""
    changed = {"new": 0, "refreshed": 0, "proposed": 0, "watched": 0, "retired": 0}
    n_events = 0
    for module in MODULES:
        context.progress(0, None, f"mining {module}")
        with database.transaction(context.engine, read_only=False) as connection:
            inputs = read_inputs(connection, module, context.settings, context.now)
        if inputs is None:
            continue
        findings = find(inputs, context.settings)
        with context.transaction() as connection:
            decision_rows.lock(connection)
            write(connection, inputs, findings, context.settings, changed)
        n_events += inputs.events.n
    return JobReport(n_events, sum(changed.values()), changed)


def read_inputs(
    connection: Connection, module: Module, settings: Settings, now: datetime
) -> Inputs | None:
    """Read what a run needs; None where the module has no trades."""
    outcome = analysed_outcome(connection, settings)
    if outcome is None:
        return None
    events = _events(connection, module, outcome, settings)
    if not events.n:
        return None
    net = events if outcome == _NET else _events(connection, module, _NET, settings)
    return Inputs(
        module=module,
        outcome=outcome,
        events=events,
        net_events=net if net.n else None,
        n_without_outcome=event_rows.count_without_outcome(
            connection, module, outcome=outcome, origins=settings.origins
        ),
        n_scopes_stored=scope_stat_rows.count_cells(connection, module),
        last_look=mining_run_rows.last_discovery(connection, module, outcome),
        lessons=tuple(lesson_rows.read_lessons(connection, module)),
        weights=regime_weight_rows.read_weights(connection, module),
        now=now,
    )


def _events(
    connection: Connection, module: Module, outcome: str, settings: Settings
) -> TradeEvents:
    return event_rows.read_trade_events(
        connection,
        module,
        outcome=outcome,
        dims=settings.dimensions(module),
        origins=settings.origins,
    )


def is_look_due(inputs: Inputs, settings: Settings) -> bool:
    """Say whether a discovery look may spend error: at first, then rarely or after growth."""
    last = inputs.last_look
    if last is None:
        return True
    if "reference" not in last.details:
        return True  # the look before had too little to measure anything and found nothing
    waited = inputs.now - last.created_at >= timedelta(days=settings.discovery_interval_days)
    grown = _n_trades(inputs.events) >= (1 + settings.discovery_growth) * last.n_trades
    return waited or grown


def _n_trades(events: TradeEvents) -> int:
    return len(set(events.trade.tolist()))


def find(inputs: Inputs, settings: Settings) -> Findings:
    """Search, where a look is due; else measure the standing lessons again."""
    if is_look_due(inputs, settings):
        return _discovered(inputs, settings)
    assert inputs.last_look is not None
    reference = EvidenceReference.from_json(inputs.last_look.details["reference"])
    frozen = FrozenReference.from_json(inputs.last_look.baselines)
    records = _standing_records(inputs, reference, frozen, inputs.lessons)
    last = inputs.last_look
    run = {
        **_run_head(inputs, settings, look=last.look, level=0.0, is_look=False),
        "clip_low_rr": last.clip_low_rr,
        "clip_high_rr": last.clip_high_rr,
        "counts": dict(last.counts),
        "details": {"reference_run": last.run_id},
        "baselines": {},
    }
    confirmed = _confirmations(inputs, reference)
    return Findings(False, run, records, confirmed=confirmed)


def _discovered(inputs: Inputs, settings: Settings) -> Findings:
    look = 1 if inputs.last_look is None else inputs.last_look.look + 1
    mined = surviving_lessons(
        inputs.events, fdr_target=settings.fdr_target, look=look, seed=settings.seed
    )
    levels = (
        LevelRun((), 0, mined.level)
        if inputs.net_events is None
        else level_lessons(inputs.net_events, fdr_target=settings.fdr_target, look=look)
    )
    clip = _clip(mined, inputs.events)
    frozen = frozen_reference(inputs.events, clip=clip)
    new = _found_records(inputs, mined, levels, frozen)
    rest = [one for one in inputs.lessons if one.identity not in new]
    old = (
        {} if mined.reference is None else _standing_records(inputs, mined.reference, frozen, rest)
    )
    run = {
        **_run_head(inputs, settings, look=look, level=mined.level, is_look=True),
        "clip_low_rr": clip[0],
        "clip_high_rr": clip[1],
        "counts": _counts(inputs, mined, levels),
        "details": _details(mined, levels),
        "baselines": frozen.to_json(),
    }
    confirmed = {} if mined.reference is None else _confirmations(inputs, mined.reference)
    return Findings(True, run, {**old, **new}, frozenset(new), confirmed)


def _clip(mined: MiningRun, events: TradeEvents) -> tuple[float, float]:
    if mined.reference is None:
        return float(events.rr.min()), float(events.rr.max())
    limits = mined.reference.scale.clip
    return limits.low_rr, limits.high_rr


def _run_head(
    inputs: Inputs, settings: Settings, *, look: int, level: float, is_look: bool
) -> dict[str, Any]:
    return {
        "module": inputs.module,
        "is_discovery": is_look,
        "look": look,
        "outcome": inputs.outcome,
        "fdr_level": level,
        "seed": settings.seed,
        "n_trades": _n_trades(inputs.events),
        "n_without_outcome": inputs.n_without_outcome,
    }


def _counts(inputs: Inputs, mined: MiningRun, levels: LevelRun) -> dict[str, int]:
    counts, selection = mined.counts, mined.selection
    proposed = sum(one.status == "proposed" for one in mined.lessons)
    return {
        "scopes_stored": inputs.n_scopes_stored,
        "searched": counts.n_searched,
        "distinct": counts.n_distinct,
        "eligible": counts.n_eligible,
        "tested": counts.n_tested,
        "groups": counts.n_groups,
        "groups_selected": 0 if selection is None else len(selection.selected),
        "found": len(mined.lessons),
        "proposed": proposed,
        "watch": len(mined.lessons) - proposed,
        "levels_tested": levels.n_tested,
        "levels_found": len(levels.lessons),
        "upper_tail": counts.n_upper_tail,
        "lower_tail": counts.n_lower_tail,
    }


def _details(mined: MiningRun, levels: LevelRun) -> dict[str, Any]:
    selection = mined.selection
    groups = [] if selection is None else sorted(selection.p_group)
    details: dict[str, Any] = {
        "fdr_target": mined.fdr_target,
        "level_lessons_level": levels.level,
        "level_inside_groups": None if selection is None else selection.level,
        "groups": [
            {
                "pattern_key": key[0],
                "action_category": key[1],
                "p": selection.p_group[key],
                "q": selection.q_group[key],
                "critical_z": mined.critical_z.get(key),
            }
            for key in groups
            if selection is not None
        ],
    }
    if mined.reference is None:
        details["reason"] = mined.reason
    else:
        details["reference"] = mined.reference.to_json()
    return details


# ------------------------------------------------------------------ records
def _found_records(
    inputs: Inputs, mined: MiningRun, levels: LevelRun, frozen: FrozenReference
) -> dict[LessonKey, EvidenceRecord]:
    hypotheses = {"tested": mined.counts.n_tested, "groups": mined.counts.n_groups}
    records = []
    for lesson in mined.lessons:
        search = {
            "q_value": lesson.q_value,
            "critical_z": lesson.critical_z,
            **increment_stats(lesson.increment),
            **_claim(lesson.ci_low_rr, lesson.ci_high_rr, inputs.now),
            "hypotheses": hypotheses,
        }
        records.append(_scope_record(inputs, lesson, frozen, search))
    for level in levels.lessons:
        search = {"q_value": level.q_value, "hypotheses": {"tested": levels.n_tested}}
        records.append(_level_record(inputs, level.level, frozen, search))
    return {_identity(record): record for record in records if record is not None}


def _claim(low: float, high: float, now: datetime) -> dict[str, float]:
    """Return the least that a lesson claims; nothing where its interval contains 0."""
    if low <= 0 <= high:
        return {}
    return {"claim_rr": low if low > 0 else high, "claimed_at_days": now.timestamp() / 86400}


def _identity(record: EvidenceRecord) -> LessonKey:
    return lesson_rows.lesson_key(record.key, record.scope, record.lesson_type)


def _scope_record(
    inputs: Inputs, edge: ScopeEdge, frozen: FrozenReference, search: Mapping[str, Any]
) -> EvidenceRecord | None:
    scope = dict(edge.scope)
    scores = scope_scores(inputs.events, edge.group, scope, frozen, weights=inputs.weights)
    if scores is None:
        return None
    return scope_record(
        edge,
        scores,
        module=inputs.module,
        outcome=inputs.outcome,
        weights=regime_weights_for(inputs.weights, *edge.group, scope),
        search=search,
    )


def _level_record(
    inputs: Inputs, level: LevelMean, frozen: FrozenReference, search: Mapping[str, Any]
) -> EvidenceRecord | None:
    scope = dict(level.scope)
    scores = scope_scores(inputs.events, level.group, scope, frozen, weights=inputs.weights)
    if scores is None:
        return None
    return level_record(
        level,
        scores,
        module=inputs.module,
        weights=regime_weights_for(inputs.weights, *level.group, scope),
        search=search,
    )


def _standing_records(
    inputs: Inputs,
    reference: EvidenceReference,
    frozen: FrozenReference,
    lessons: Sequence[StoredLesson],
) -> dict[LessonKey, EvidenceRecord]:
    """Return today's evidence of lessons; one that cannot be told keeps its stored numbers."""
    own = [one for one in lessons if one.lesson_type != "level" and one.outcome == inputs.outcome]
    edges = standing_edges(inputs.events, [_standing(one) for one in own], reference=reference)
    records = [
        _scope_record(inputs, edge, frozen, _kept_search(one))
        for one, edge in zip(own, edges, strict=True)
        if isinstance(edge, ScopeEdge)
    ]
    if inputs.net_events is not None:
        cells = [one for one in lessons if one.lesson_type == "level"]
        means = standing_levels(inputs.net_events, tuple(_standing(one) for one in cells))
        records += [
            _level_record(inputs, mean, frozen, _kept_search(one))
            for one, mean in zip(cells, means, strict=True)
            if isinstance(mean, LevelMean)
        ]
    return {_identity(record): record for record in records if record is not None}


def _standing(lesson: StoredLesson) -> StandingScope:
    return StandingScope(lesson.key, tuple(lesson.scope.items()))


def _kept_search(lesson: StoredLesson) -> dict[str, Any]:
    return {name: lesson.stats[name] for name in _SEARCHED if name in lesson.stats}


def _confirmations(inputs: Inputs, reference: EvidenceReference) -> dict[int, tuple[str, str]]:
    """Return for each open candidate what the trades since its claim say."""
    open_ = [
        one
        for one in inputs.lessons
        if one.confirmation == "pending"
        and one.status in ("proposed", "active", "disabled")
        and one.lesson_type != "level"
        and one.outcome == inputs.outcome
        and "claim_rr" in one.stats
    ]
    candidates = [
        Candidate(_standing(one), one.stats["claimed_at_days"], one.stats["claim_rr"])
        for one in open_
    ]
    judged = confirmations(inputs.events, candidates, reference=reference)
    return {
        one.lesson_id: (verdict.status, _confirmation_reason(verdict.prospective))
        for one, verdict in zip(open_, judged, strict=True)
    }


def _confirmation_reason(prospective: object) -> str:
    if isinstance(prospective, ScopeEdge):
        return (
            f"{prospective.n} trades since it was found: {prospective.delta_group_rr:+.2f} R "
            f"against its pattern, z {prospective.z:+.1f}"
        )
    return str(getattr(prospective, "reason", "no trades since it was found"))


# ------------------------------------------------------------------ writing
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
            parent = _parent_id(record.key, record.stats.get("parent_scope"), stored)
            _insert(connection, inputs, record, composition, run_id, parent, changed)
            continue
        standing = Standing(known.status, known.stats, snapshots[known.lesson_id], known.weak_looks)  # type: ignore[arg-type]
        verdict = look_verdict(
            standing, record, is_look=findings.is_look, was_found=identity in findings.found
        )
        _refresh(connection, known.lesson_id, record, verdict, composition, run_id, changed)
    for lesson_id, (state, reason) in findings.confirmed.items():
        lesson_rows.set_confirmation(connection, lesson_id, state=state, reason=reason)
    state_rows.touch(connection)


def _parent_id(
    key: GroupKey, scope: Scope | None, stored: Mapping[LessonKey, StoredLesson]
) -> int | None:
    if not scope:
        return None
    for lesson in stored.values():
        if lesson.key == key and dict(lesson.scope) == dict(scope):
            return lesson.lesson_id
    return None


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
    decision_rows.move(
        connection,
        lesson_id=lesson_id,
        decision="propose" if record.excludes_zero else "watch",
        reason=reason,
        job="mine_lessons",
    )
    changed["new"] += 1
    changed["proposed" if record.excludes_zero else "watched"] += 1


def _refresh(
    connection: Connection,
    lesson_id: int,
    record: EvidenceRecord,
    verdict: LookVerdict,
    composition: Mapping[str, Any],
    run_id: int,
    changed: dict[str, int],
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
