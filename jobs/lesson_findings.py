"""What a mining run has to say: found at a discovery look, or measured again at any other run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.dimension_list import DIMENSIONS
from jobs.lesson_claims import days_of, new_claim, refreshed_claim, standing_claim
from jobs.lesson_confirmations import (
    Judgement,
    has_edge,
    judgements,
    scope_prospects,
    standing_scope,
)
from jobs.mining_inputs import Inputs
from jobs.tuning_findings import (
    execution_groups,
    found_tuning,
    standing_tuning,
    tuning_counts,
    tuning_prospects,
)
from learning.evidence.aggregation import (
    FrozenReference,
    frozen_reference,
    regime_weights_for,
    scope_scores,
)
from learning.evidence.block_statistics import ClipLimits
from learning.evidence.trade_events import TradeEvents
from learning.lessons.confirmation import Prospect
from learning.lessons.evidence_record import (
    EvidenceRecord,
    increment_stats,
    level_record,
    scope_lesson_type,
    scope_record,
)
from learning.lessons.level_lessons import LevelMean, LevelRun, level_lessons, standing_levels
from learning.lessons.mining import MiningRun, surviving_lessons
from learning.lessons.scope_edges import EvidenceReference, ScopeEdge
from learning.lessons.standing import standing_edges
from learning.settings import Settings
from learning.store import lesson_rows
from learning.store.lesson_rows import LessonKey, StoredLesson
from learning.store.mining_run_rows import StoredRun

_SEARCHED = (
    "q_value", "critical_z", "incremental_edge", "incremental_ci_low_rr",
    "incremental_ci_high_rr", "parent_scope", "claim_rr", "claimed_at_days",
    "last_found_at_days", "hypotheses",
)  # fmt: skip
COUNTS = (
    "scopes_stored", "searched", "distinct", "eligible", "tested", "groups", "groups_selected",
    "found", "proposed", "watch", "levels_tested", "levels_found", "upper_tail", "lower_tail",
    "execution_candidates", "execution_tested", "execution_found",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Findings:
    """What a run of one module has to say.

    Attributes:
        is_look: Whether it searched.
        run: Its row.
        records: The evidence of what was measured.
        found: What the search found.
        confirmed: What is written of open lessons: judged where they are asked now, else told.
        prospects: What the later trades of each measured open lesson say of it alone.
    """

    is_look: bool
    run: Mapping[str, Any]
    records: Mapping[LessonKey, EvidenceRecord]
    found: frozenset[LessonKey] = frozenset()
    confirmed: Mapping[int, Judgement] = field(default_factory=dict)
    prospects: Mapping[int, Prospect] = field(default_factory=dict)


def find(inputs: Inputs, settings: Settings) -> Findings:
    """Search, where a look is due; else measure the lessons again whose grounds changed."""
    if not inputs.n_trades:
        return _nothing(inputs, settings)
    if inputs.is_look:
        return _discovered(inputs, settings)
    assert inputs.last_look is not None
    last = inputs.last_look
    reference = _reference_of(last)
    frozen = FrozenReference.from_json(last.baselines)
    stale = [one for one in inputs.lessons if one.lesson_id in inputs.stale.ids]
    records = _standing_records(inputs, reference, frozen, stale)
    groups = execution_groups(inputs, ClipLimits(*_clip_of(last)))
    records |= standing_tuning(inputs, groups, stale, frozen, settings)
    run = {
        **_run_head(inputs, settings, look=last.look, level=0.0, is_look=False),
        "clip_low_rr": last.clip_low_rr,
        "clip_high_rr": last.clip_high_rr,
        "counts": dict(last.counts),
        "details": {"reference_run": last.run_id, **_named_dimensions(inputs)},
        "baselines": {},
    }
    prospects = scope_prospects(inputs, reference)
    prospects |= tuning_prospects(inputs, groups, settings)
    confirmed = judgements(inputs, prospects)
    return Findings(False, run, records, confirmed=confirmed, prospects=prospects)


def _nothing(inputs: Inputs, settings: Settings) -> Findings:
    """A run without a trade: no lesson can be measured, and its row counts nothing."""
    last = inputs.last_look
    look, low, high = (0, 0.0, 0.0) if last is None else (last.look, *_clip_of(last))
    run = {
        **_run_head(inputs, settings, look=look, level=0.0, is_look=False),
        "clip_low_rr": low,
        "clip_high_rr": high,
        "counts": dict.fromkeys(COUNTS, 0),
        "details": {
            "reason": f"no closed trade of {', '.join(settings.origins)}",
            **_named_dimensions(inputs),
        },
        "baselines": {},
    }
    return Findings(False, run, {})


def _named_dimensions(inputs: Inputs) -> dict[str, list[str]]:
    return {DIMENSIONS: list(inputs.events.dims)}


def _reference_of(look: StoredRun) -> EvidenceReference | None:
    """Return what a look measured scopes with; None where it could only test levels."""
    stored = look.details.get("reference")
    return None if stored is None else EvidenceReference.from_json(stored)


def _clip_of(look: StoredRun) -> tuple[float, float]:
    return look.clip_low_rr, look.clip_high_rr


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
    groups = execution_groups(inputs, ClipLimits(*clip))
    tuned, tuning = found_tuning(inputs, groups, frozen, settings, look=look)
    new = {**_found_records(inputs, mined, levels, frozen), **tuned}
    rest = [one for one in inputs.lessons if one.identity not in new]
    old = standing_tuning(inputs, groups, rest, frozen, settings)
    old |= _standing_records(inputs, mined.reference, frozen, rest)
    counts = {**_counts(inputs, mined, levels), **tuning_counts(tuning)}
    is_look = has_tested(counts)
    run = {
        **_run_head(inputs, settings, look=look, level=mined.level, is_look=is_look),
        "clip_low_rr": clip[0],
        "clip_high_rr": clip[1],
        "counts": counts,
        "details": {
            **_details(mined, levels),
            **_named_dimensions(inputs),
            "execution_level": tuning.level,
            "without_timing_dimensions": [list(key) for key in inputs.path_selected],
        },
        "baselines": frozen.to_json(),
    }
    prospects = scope_prospects(inputs, mined.reference)
    prospects |= tuning_prospects(inputs, groups, settings)
    confirmed = judgements(inputs, prospects)
    return Findings(is_look, run, {**old, **new}, frozenset(new), confirmed)


def has_tested(counts: Mapping[str, int]) -> bool:
    """Say whether a search tested anything; one that did not has spent no error, and is no look.

    Examples:
        >>> has_tested({"tested": 0, "levels_tested": 2}), has_tested({"tested": 0})
        (True, False)
    """
    return any(counts.get(name, 0) for name in ("tested", "levels_tested", "execution_tested"))


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
        "n_trades": inputs.n_trades,
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
    known = {one.identity: one for one in inputs.lessons}
    records = []
    for lesson in mined.lessons:
        identity = lesson_rows.lesson_key(
            lesson.group, dict(lesson.scope), scope_lesson_type(inputs.module)
        )
        claim = new_claim(lesson.ci_low_rr, lesson.ci_high_rr, inputs.now)
        search = {
            "q_value": lesson.q_value,
            "critical_z": lesson.critical_z,
            **increment_stats(lesson.increment),
            **standing_claim(known.get(identity), claim),
            "last_found_at_days": days_of(inputs.now),
            "hypotheses": hypotheses,
        }
        records.append(_scope_record(inputs, lesson, frozen, search))
    for level in levels.lessons:
        identity = lesson_rows.lesson_key(level.level.group, dict(level.level.scope), "level")
        claim = new_claim(level.level.ci_low_rr, level.level.ci_high_rr, inputs.now)
        search = {
            "q_value": level.q_value,
            **standing_claim(known.get(identity), claim),
            "hypotheses": {"tested": levels.n_tested},
        }
        records.append(_level_record(inputs, level.level, frozen, search))
    return {_identity(record): record for record in records if record is not None}


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
    reference: EvidenceReference | None,
    frozen: FrozenReference,
    lessons: Sequence[StoredLesson],
) -> dict[LessonKey, EvidenceRecord]:
    """Return today's evidence of lessons; one that cannot be told keeps its stored numbers."""
    # a lesson found under another outcome is measured under the analysed one from now on
    records = [] if reference is None else _edge_records(inputs, reference, frozen, lessons)
    if inputs.net_events is not None:
        cells = [one for one in lessons if one.lesson_type == "level"]
        means = standing_levels(inputs.net_events, tuple(standing_scope(one) for one in cells))
        records += [
            _level_record(inputs, mean, frozen, _measured_search(inputs, one, mean))
            for one, mean in zip(cells, means, strict=True)
            if isinstance(mean, LevelMean)
        ]
    return {_identity(record): record for record in records if record is not None}


def _edge_records(
    inputs: Inputs,
    reference: EvidenceReference,
    frozen: FrozenReference,
    lessons: Sequence[StoredLesson],
) -> list[EvidenceRecord | None]:
    own = [one for one in lessons if has_edge(one)]
    edges = standing_edges(inputs.events, [standing_scope(one) for one in own], reference=reference)
    return [
        _scope_record(inputs, edge, frozen, _measured_search(inputs, one, edge))
        for one, edge in zip(own, edges, strict=True)
        if isinstance(edge, ScopeEdge)
    ]


def _kept_search(lesson: StoredLesson) -> dict[str, Any]:
    return {name: lesson.stats[name] for name in _SEARCHED if name in lesson.stats}


def _measured_search(
    inputs: Inputs, lesson: StoredLesson, found: ScopeEdge | LevelMean
) -> dict[str, Any]:
    claim = new_claim(found.ci_low_rr, found.ci_high_rr, inputs.now)
    return {**_kept_search(lesson), **refreshed_claim(lesson, claim)}
