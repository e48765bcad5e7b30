"""From active lessons to what the bot applies: decay, merge, step, clamp."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from learning.domain.levers import (
    CAPITAL_LEVERS,
    EXECUTION_LEVERS,
    LEVERS,
    THRESHOLD_PREFIX,
    Lever,
    clamp,
)
from learning.domain.pattern_key import ActionCategory, Module
from learning.domain.scope import Scope

LeverTable = Mapping[str, Lever]
"""Levers by flat name: the fixed ones, and the signal thresholds that the settings define."""

_DIGITS = 9  # of a materialised lever, so that 1 + 0.02 is one step and not a hair more


@dataclass(frozen=True, slots=True)
class ActiveLesson:
    """An approved lesson, as far as materialising needs it. Levers are named flatly."""

    lesson_id: int
    version: int
    module: Module
    pattern_key: str
    action_category: ActionCategory
    scope: Scope
    lesson_type: str
    levers: Mapping[str, float]
    strength: float
    decay_halflife_hours: float | None
    latent_factor_id: str | None
    mean_closed_at: datetime
    activated_at: datetime
    expires_at: datetime
    is_confirmed: bool = False

    def held_out(self, share: float) -> float:
        """Return the share of decisions held out: half of it once later trades confirmed.

        Examples:
            >>> from datetime import datetime, UTC
            >>> t = datetime(2024, 1, 1, tzinfo=UTC)
            >>> lesson = ActiveLesson(1, 1, "pm", "pm.a.b.c", "entry", {}, "pm_strength", {}, 0.5,
            ...                       None, None, t, t, t, is_confirmed=True)
            >>> lesson.held_out(0.2)
            0.1
        """
        return share / 2 if self.is_confirmed else share


@dataclass(frozen=True, slots=True)
class Materialised:
    """The levers of an override as last written, and as its epoch began."""

    levers: Mapping[str, float]
    epoch: date
    epoch_start: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Override:
    """One row for the bot: a lesson, its levers now, and where they are heading."""

    lesson: ActiveLesson
    levers: Mapping[str, float]
    target: Mapping[str, float]
    epoch: date
    epoch_start: Mapping[str, float] = field(default_factory=dict)


def decayed(
    lever: str,
    value: float,
    *,
    age_hours: float,
    lesson: ActiveLesson,
    levers: LeverTable = LEVERS,
) -> float:
    """Return a lever decayed toward neutral by age and scaled by strength.

    ``neutral + (value − neutral) · 2^(−age / half-life) · strength``; without a half-life only
    the strength counts. An age below 0 (a clock behind the trades) counts as 0.

    Examples:
        >>> from datetime import datetime, UTC
        >>> t = datetime(2024, 1, 1, tzinfo=UTC)
        >>> lesson = ActiveLesson(1, 1, "pm", "pm.a.b.c", "entry", {}, "pm_strength", {}, 0.5,
        ...                       24.0, None, t, t, t)
        >>> decayed("size_mult", 1.2, age_hours=24.0, lesson=lesson)
        1.05
    """
    neutral = levers[lever].neutral
    share = share_left(age_hours, lesson.decay_halflife_hours)
    return neutral + (value - neutral) * share * lesson.strength


def share_left(age_hours: float, decay_halflife_hours: float | None) -> float:
    """Return how much of an adjustment is left at an age; all of it without a half-life.

    Args:
        age_hours: Since the mean close time of the evidence; below 0 counts as 0.
        decay_halflife_hours: Absent where nothing is known to decay.

    Examples:
        >>> share_left(48.0, 24.0), share_left(48.0, None)
        (0.25, 1.0)
    """
    if decay_halflife_hours is None:
        return 1.0
    return float(2.0 ** (-max(age_hours, 0.0) / decay_halflife_hours))


def lever_targets_now(
    lessons: Sequence[ActiveLesson], *, now: datetime, levers: LeverTable = LEVERS
) -> dict[int, dict[str, float]]:
    """Return for each lesson id the decayed levers, merged within latent factors.

    Lessons of one factor speak about the same trades. Each lever becomes the strength-weighted
    mean over the members that have it, so that one insight is counted once. A signal threshold
    that ``levers`` does not hold is left out: nothing says where it may stand.
    """
    single = {lesson.lesson_id: _decayed_levers(lesson, now, levers) for lesson in lessons}
    members: dict[tuple[str, str], list[ActiveLesson]] = defaultdict(list)
    for lesson in lessons:
        members[_factor(lesson)].append(lesson)
    merged: dict[int, dict[str, float]] = {}
    for group in members.values():
        common = _weighted_levers(group, single)
        for lesson in group:
            merged[lesson.lesson_id] = {name: common[name] for name in single[lesson.lesson_id]}
    return merged


def _factor(lesson: ActiveLesson) -> tuple[str, str]:
    # a level lesson applies together with the scope override, so it is never merged into one
    kind = "level" if lesson.lesson_type == "level" else "scope"
    return kind, lesson.latent_factor_id or f"lesson {lesson.lesson_id}"


def _decayed_levers(lesson: ActiveLesson, now: datetime, levers: LeverTable) -> dict[str, float]:
    age_hours = (now - lesson.mean_closed_at).total_seconds() / 3600
    return {
        name: decayed(name, value, age_hours=age_hours, lesson=lesson, levers=levers)
        for name, value in lesson.levers.items()
        if name in levers
    }


def _weighted_levers(
    group: Iterable[ActiveLesson], single: Mapping[int, Mapping[str, float]]
) -> dict[str, float]:
    values: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for lesson in sorted(group, key=lambda one: one.lesson_id):
        for name, value in single[lesson.lesson_id].items():
            values[name].append((lesson.strength, value))
    return {name: _weighted_mean(pairs) for name, pairs in values.items()}


def _weighted_mean(pairs: Sequence[tuple[float, float]]) -> float:
    total = sum(weight for weight, _ in pairs)
    if total <= 0:
        return sum(value for _, value in pairs) / len(pairs)
    return sum(weight * value for weight, value in pairs) / total


def stepped(target: float, *, epoch_start: float, lever: str, levers: LeverTable = LEVERS) -> float:
    """Return the next value of a lever: at most one step from where its epoch began.

    A lever on a grid stands whole steps away from neutral, rounded toward it.

    Examples:
        >>> stepped(1.2, epoch_start=1.0, lever="size_mult")
        1.02
        >>> stepped(1.01, epoch_start=1.0, lever="size_mult")
        1.01
    """
    rule = levers[lever]
    low, high = epoch_start - rule.step, epoch_start + rule.step
    value = min(max(target, low), high)
    if rule.on_grid:
        steps = (value - rule.neutral) / rule.step
        value = rule.neutral + math.trunc(steps + math.copysign(1e-6, steps)) * rule.step
    return round(clamp(rule, float(value)), _DIGITS)


def materialised_overrides(
    lessons: Sequence[ActiveLesson],
    previous: Mapping[int, Materialised],
    *,
    now: datetime,
    levers: LeverTable = LEVERS,
) -> list[Override]:
    """Return the overrides of all active lessons at a moment.

    Running it again in one UTC day takes no further step: the step is measured from where the day
    began, so that a lever only follows what its lesson's age takes away meanwhile. One that its
    lesson no longer asks for walks back to neutral by steps and then goes. Lessons past their end
    are left out.

    Args:
        lessons: Active lessons of one module.
        previous: By lesson id, what was materialised last.
        now: The database's clock.
        levers: The lever table, with the signal thresholds that the settings define.

    Returns:
        One override per lesson that has any lever, ordered by lesson id.
    """
    standing = [lesson for lesson in lessons if lesson.expires_at > now]
    targets = lever_targets_now(standing, now=now, levers=levers)
    overrides = []
    for lesson in sorted(standing, key=lambda one: one.lesson_id):
        override = _next_override(
            lesson,
            targets[lesson.lesson_id],
            previous.get(lesson.lesson_id),
            today=now.date(),
            table=levers,
        )
        if override.levers:
            overrides.append(override)
    return overrides


def _next_override(
    lesson: ActiveLesson,
    target: Mapping[str, float],
    last: Materialised | None,
    *,
    today: date,
    table: LeverTable,
) -> Override:
    start = _epoch_start(last, today)
    held = set(start) | (set(last.levers) if last else set())
    levers: dict[str, float] = {}
    for name, rule in table.items():
        neutral = rule.neutral
        if name not in target and name not in held:
            continue
        value = stepped(
            target.get(name, neutral),
            epoch_start=start.get(name, neutral),
            lever=name,
            levers=table,
        )
        # a threshold is set, not multiplied: at its neutral end the bot's own value stays
        if value != neutral or (name in target and not rule.on_grid):
            levers[name] = value
    return Override(lesson, levers, dict(target), today, start)


def _epoch_start(last: Materialised | None, today: date) -> dict[str, float]:
    if last is None:
        return {}
    return dict(last.epoch_start if last.epoch == today else last.levers)


def config_data(
    overrides: Sequence[tuple[int, Override]],
    *,
    module: Module,
    feature_flags: Mapping[str, bool],
    holdout_share: float,
    generation: int,
    revision: int,
) -> dict[str, Any]:
    """Return the snapshot a bot reads, in its published shape.

    Args:
        overrides: Override ids with their overrides.
    """
    strength: list[dict[str, Any]] = []
    execution: list[dict[str, Any]] = []
    allocation: list[dict[str, Any]] = []
    for override_id, override in overrides:
        capital = _only(override.levers, CAPITAL_LEVERS)
        if capital:
            bucket = allocation if module == "dm" else strength
            bucket.append(_entry(override_id, override, capital, holdout_share))
        timing = {
            **_only(override.levers, EXECUTION_LEVERS),
            **thresholds_of(override.levers),
        }
        if timing:
            execution.append(_entry(override_id, override, nested_levers(timing), holdout_share))
    return {
        "generation": generation,
        "revision": revision,
        "feature_flags": dict(feature_flags),
        "pattern_strength_overrides": strength,
        "pattern_overrides": execution,
        "alloc_overrides": allocation,
    }


def thresholds_of(levers: Mapping[str, float]) -> dict[str, float]:
    """Return the signal thresholds among levers, under their flat names."""
    return {name: value for name, value in levers.items() if name.startswith(THRESHOLD_PREFIX)}


def _only(levers: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    return {name: levers[name] for name in names if name in levers}


def nested_levers(levers: Mapping[str, float]) -> dict[str, Any]:
    """Return flat lever names as the nested payload: ``phase_scaling.S1`` under its parent.

    Examples:
        >>> nested_levers({"trail_mult": 1.1, "phase_scaling.S1": 0.9})
        {'trail_mult': 1.1, 'phase_scaling': {'S1': 0.9}}
    """
    nested: dict[str, Any] = {}
    for name, value in levers.items():
        parent, _, child = name.partition(".")
        if child:
            nested.setdefault(parent, {})[child] = value
        else:
            nested[name] = value
    return nested


def flat_levers(effect: Mapping[str, Any]) -> dict[str, float]:
    """Return the levers of an effect payload under their flat names.

    Examples:
        >>> flat_levers({"capital_levers": {"size_mult": 1.1},
        ...              "execution_levers": {"signal_thresholds": {"min_ts_for_add": 0.4}}})
        {'size_mult': 1.1, 'signal_thresholds.min_ts_for_add': 0.4}
    """
    flat: dict[str, float] = {}
    for part in ("capital_levers", "execution_levers"):
        for name, value in dict(effect.get(part, {})).items():
            if isinstance(value, Mapping):
                flat.update({f"{name}.{child}": number for child, number in value.items()})
            else:
                flat[name] = value
    return flat


def _entry(
    override_id: int, override: Override, levers: Mapping[str, Any], holdout_share: float
) -> dict[str, Any]:
    lesson = override.lesson
    return {
        "override_id": override_id,
        "pattern_key": lesson.pattern_key,
        "action_category": lesson.action_category,
        "scope": dict(lesson.scope),
        "levers": dict(levers),
        "expires_at": lesson.expires_at.isoformat(),
        "holdout": {
            "share": lesson.held_out(holdout_share),
            "salt": f"L-{lesson.lesson_id}-v{lesson.version}",
        },
        "lesson": {
            "id": lesson.lesson_id,
            "version": lesson.version,
            "type": lesson.lesson_type,
            "strength": lesson.strength,
            "decay_halflife_hours": lesson.decay_halflife_hours,
            "latent_factor_id": lesson.latent_factor_id,
            "enabled": True,
        },
    }
