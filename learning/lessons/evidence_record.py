"""What is written down of a lesson: one record, whether it was searched for or measured again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from learning.domain.levers import CAPITAL_LEVERS
from learning.domain.pattern_key import ActionCategory, Module
from learning.domain.scope import ScopeValue
from learning.evidence.aggregation import ScopeScores
from learning.evidence.trade_events import GroupKey
from learning.lessons.level_lessons import LevelMean
from learning.lessons.lever_targets import (
    EdgePosterior,
    LeverTargets,
    capital_targets,
    lesson_strength,
)
from learning.lessons.scope_edges import ScopeEdge
from learning.lessons.stepwise import IncrementalEdge

LessonType = Literal["pm_strength", "pm_tuning", "dm_alloc", "level"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POSTERIOR_NUMBERS = (
    "delta_q25_rr", "own_mean_q25_rr", "sd_rr", "ci_low_rr", "ci_high_rr",
)  # fmt: skip
_EDGE_NUMBERS = (
    "n", "n_effective_blocks", "delta_group_rr", "se_rr", "z", "posterior_mean_rr", "ci_low_rr",
    "ci_high_rr", "lfsr", "delta_q25_rr", "own_mean_rr", "own_mean_q25_rr", "sd_rr",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """A lesson's evidence as stored.

    Attributes:
        key: The (pattern_key, action_category).
        scope: Its conditions, in dimension order.
        lesson_type: What kind of levers it carries.
        n: Distinct trades in scope.
        stats: Every number that screens and decisions need, by name.
        effect: ``capital_levers`` and ``execution_levers``.
        strength: 0 to 1.
        mean_closed_at: Where the average evidence sits in time.
        excludes_zero: Whether its own 95 % interval excludes 0; else it may only be watched.
        trades: Ids of the trades in scope.
    """

    key: GroupKey
    scope: Mapping[str, ScopeValue]
    lesson_type: LessonType
    n: int
    stats: Mapping[str, Any]
    effect: Mapping[str, Mapping[str, Any]]
    strength: float
    mean_closed_at: datetime
    excludes_zero: bool
    trades: tuple[int, ...]

    @property
    def sign(self) -> int:
        """The direction of the edge."""
        return 1 if self.stats["posterior_mean_rr"] > 0 else -1


def scope_lesson_type(module: Module) -> LessonType:
    """Return the type of a module's lessons about the edge of a scope."""
    return "dm_alloc" if module == "dm" else "pm_strength"


def scope_record(
    edge: ScopeEdge,
    scores: ScopeScores,
    *,
    module: Module,
    outcome: str,
    weights: Mapping[str, float],
    search: Mapping[str, Any],
) -> EvidenceRecord:
    """Record the edge of a scope.

    Args:
        edge: Measured against its group.
        scores: Its displayed scores.
        module: Decides the kind of levers.
        outcome: The analysed outcome, stored beside every number.
        weights: Regime weights of the scope; they move the strength, never the test.
        search: What the discovery look said: q_value, critical_z, incremental edge, counts.
    """
    numbers = {name: getattr(edge, name) for name in _EDGE_NUMBERS}
    return _record(
        key=edge.group,
        scope=dict(edge.scope),
        lesson_type=scope_lesson_type(module),
        numbers={**_shown(scores), **numbers, "rr_kind": outcome, **search},
        module=module,
        weights=weights,
        mean_closed_at_days=edge.mean_closed_at_days,
        trades=edge.trades,
    )


def level_record(
    level: LevelMean,
    scores: ScopeScores,
    *,
    module: Module,
    weights: Mapping[str, float],
    search: Mapping[str, Any],
) -> EvidenceRecord:
    """Record the level of a pattern: its mean net outcome against 0.

    The mean is not shrunk, so mean and posterior mean are one; the sign's error rate is half
    the two-sided p-value.
    """
    numbers = {
        "n": level.n,
        "n_effective_blocks": level.n_effective_blocks,
        "delta_group_rr": level.mean_rr,
        "se_rr": level.se_rr,
        "z": level.t,
        "posterior_mean_rr": level.mean_rr,
        "ci_low_rr": level.ci_low_rr,
        "ci_high_rr": level.ci_high_rr,
        "lfsr": min(level.p_value / 2, 0.5),
        "delta_q25_rr": level.mean_q25_rr,
        "own_mean_rr": level.mean_rr,
        "own_mean_q25_rr": level.mean_q25_rr,
        "sd_rr": level.sd_rr,
        "rr_kind": "r_multiple_net",
    }
    return _record(
        key=level.group,
        scope=dict(level.scope),
        lesson_type="level",
        numbers={**_shown(scores), **numbers, **search},
        module=module,
        weights=weights,
        mean_closed_at_days=level.mean_closed_at_days,
        trades=level.trades,
    )


def _record(
    *,
    key: GroupKey,
    scope: Mapping[str, ScopeValue],
    lesson_type: LessonType,
    numbers: Mapping[str, Any],
    module: Module,
    weights: Mapping[str, float],
    mean_closed_at_days: float,
    trades: tuple[int, ...],
) -> EvidenceRecord:
    posterior = EdgePosterior(**{name: numbers[name] for name in _POSTERIOR_NUMBERS})
    targets = capital_targets(posterior, module=module, category=_category(key))
    stats = {**numbers, "withheld_levers": dict(targets.withheld)}
    return EvidenceRecord(
        key=key,
        scope=scope,
        lesson_type=lesson_type,
        n=numbers["n"],
        stats=stats,
        effect=effect_payload(targets),
        strength=lesson_strength(numbers["lfsr"], strength_scores(stats), weights),
        mean_closed_at=_EPOCH + timedelta(days=mean_closed_at_days),
        excludes_zero=not posterior.contains_zero,
        trades=trades,
    )


def _shown(scores: ScopeScores) -> dict[str, Any]:
    shown = asdict(scores)
    shown["recurrence_score"] = shown.pop("recurrence")
    return shown


def _category(key: GroupKey) -> ActionCategory:
    return key[1]  # type: ignore[return-value]


def effect_payload(targets: LeverTargets) -> dict[str, dict[str, float]]:
    """Return the payload of a lesson's levers."""
    return {
        "capital_levers": {
            name: targets.levers[name] for name in CAPITAL_LEVERS if name in targets.levers
        },
        "execution_levers": {},
    }


def strength_scores(stats: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the scores that make up a lesson's strength, from its stored statistics."""
    return {
        "time_efficiency": stats.get("time_efficiency"),
        "field_coherence": stats.get("field_coherence"),
        "recurrence": stats.get("recurrence_score"),
    }


def increment_stats(increment: IncrementalEdge) -> dict[str, Any]:
    """Return what is stored of an incremental edge."""
    return {
        "incremental_edge": increment.edge_rr,
        "incremental_ci_low_rr": increment.ci_low_rr,
        "incremental_ci_high_rr": increment.ci_high_rr,
        "parent_scope": dict(increment.parent_scope),
    }
