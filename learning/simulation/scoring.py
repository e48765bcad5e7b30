"""Scores against a known truth: false lessons, power, error of estimates and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from learning.evidence.block_statistics import Floats
from learning.lessons.scope_edges import ScopeEdge
from learning.simulation.planted_world import (
    DIMS,
    PlantedEffect,
    PlantedTrades,
    PlantedWorld,
    Scope,
    jaccard,
    matches,
)

FALSE_BELOW_RR: Final = 0.10
SAME_EFFECT_JACCARD: Final = 0.5
DETECTABLE_Z: Final = 4.0
_OUTCOME_SD_RR: Final = 2.1
_MIN_FRESH_TRADES: Final = 5


@dataclass(frozen=True, slots=True)
class EmittedLesson:
    """What a method says: a scope of a group, the signed edge and its interval."""

    group: int
    scope: Scope
    edge_rr: float
    ci_low_rr: float | None = None
    ci_high_rr: float | None = None


@dataclass(frozen=True)
class LessonScore:
    """How a method's lessons compare with what was planted; None where nothing to compare.

    Attributes:
        n_lessons: Lessons emitted.
        false_share: Lessons whose trades have a true shift against their group below 0.10 R
            in the lesson's direction.
        strict_false_share: Lessons that match no planted effect of their sign (Jaccard 0.5).
        n_found: Planted effects matched by a lesson.
        n_detectable: Effects that an oracle would see at z = 4.
        power: Share of effects found.
        detectable_power: Share of detectable effects found.
        lessons_per_effect: Lessons that are not false, per effect found.
        bias_rr: Mean error of the edge, positive: too large.
        rmse_rr: Root mean squared error of the edge.
        coverage: Share of intervals that hold the truth.
        fresh_edge_rr: Mean realised edge on other trades, in the lessons' directions.
    """

    n_lessons: int
    false_share: float
    strict_false_share: float
    n_found: int
    n_detectable: int
    power: float | None
    detectable_power: float | None
    lessons_per_effect: float | None
    bias_rr: float | None
    rmse_rr: float | None
    coverage: float | None
    fresh_edge_rr: float | None


@dataclass(frozen=True, slots=True)
class _Judged:
    is_false: bool
    effects: tuple[int, ...]
    error_rr: float
    sign: float
    covered: bool | None
    fresh_edge_rr: float | None


def emitted_lesson(world: PlantedWorld, edge: ScopeEdge) -> EmittedLesson:
    """Translate a mined edge into the numbers of the planted world."""
    return EmittedLesson(
        group=world.groups.index(edge.group),
        scope=tuple((DIMS.index(name), int(value)) for name, value in edge.scope),
        edge_rr=edge.posterior_mean_rr,
        ci_low_rr=edge.ci_low_rr,
        ci_high_rr=edge.ci_high_rr,
    )


def score_lessons(
    world: PlantedWorld,
    trades: PlantedTrades,
    lessons: Sequence[EmittedLesson],
    *,
    fresh: PlantedTrades | None = None,
) -> LessonScore:
    """Compare lessons with the noise-free truth of the trades they were mined from."""
    judged = [_judged(world, trades, lesson, fresh) for lesson in lessons]
    found = {effect for one in judged for effect in one.effects}
    detectable = {e.effect_id for e in world.effects if _oracle_z(e, trades) >= DETECTABLE_Z}
    n, n_false = len(judged), sum(one.is_false for one in judged)
    planted = len(world.effects)
    return LessonScore(
        n_lessons=n,
        false_share=n_false / n if n else 0.0,
        strict_false_share=sum(not one.effects for one in judged) / n if n else 0.0,
        n_found=len(found),
        n_detectable=len(detectable),
        power=len(found) / planted if planted else None,
        detectable_power=len(found & detectable) / len(detectable) if detectable else None,
        lessons_per_effect=(n - n_false) / max(1, len(found)) if planted else None,
        bias_rr=_mean([one.error_rr * one.sign for one in judged]),
        rmse_rr=_root_mean_square([one.error_rr for one in judged]),
        coverage=_mean([float(one.covered) for one in judged if one.covered is not None]),
        fresh_edge_rr=_mean([x for one in judged if (x := one.fresh_edge_rr) is not None]),
    )


def _judged(
    world: PlantedWorld,
    trades: PlantedTrades,
    lesson: EmittedLesson,
    fresh: PlantedTrades | None,
) -> _Judged:
    in_group = trades.group == lesson.group
    matched = matches(trades.levels[in_group], lesson.scope)
    shift = trades.true_shift_rr[in_group]
    truth = float(shift[matched].mean() - shift.mean()) if matched.any() else 0.0
    sign = float(np.sign(lesson.edge_rr))
    same = [
        effect.effect_id
        for effect in world.effects
        if effect.group == lesson.group
        and np.sign(effect.delta_rr) == sign
        and jaccard(effect.share_active(trades)[in_group] > 0, matched) >= SAME_EFFECT_JACCARD
    ]
    low, high = lesson.ci_low_rr, lesson.ci_high_rr
    return _Judged(
        is_false=sign * truth < FALSE_BELOW_RR,
        effects=tuple(same),
        error_rr=lesson.edge_rr - truth,
        sign=sign,
        covered=None if low is None or high is None else low <= truth <= high,
        fresh_edge_rr=None if fresh is None else _fresh_edge(fresh, lesson, sign),
    )


def _fresh_edge(fresh: PlantedTrades, lesson: EmittedLesson, sign: float) -> float | None:
    in_group = fresh.group == lesson.group
    matched = matches(fresh.levels[in_group], lesson.scope)
    if matched.sum() < _MIN_FRESH_TRADES:
        return None
    rr = fresh.rr[in_group]
    return float(sign * (rr[matched].mean() - rr.mean()))


def _oracle_z(effect: PlantedEffect, trades: PlantedTrades) -> float:
    """Score of the true mean shift if it were known exactly where to look."""
    in_group = trades.group == effect.group
    active = effect.share_active(trades)[in_group] > 0
    if not active.any():
        return 0.0
    shift = trades.true_shift_rr[in_group]
    truth = shift[active].mean() - shift.mean()
    return float(truth * np.sign(effect.delta_rr) * np.sqrt(active.sum()) / _OUTCOME_SD_RR)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _root_mean_square(values: Sequence[float]) -> float | None:
    return float(np.sqrt(np.mean(np.square(values)))) if values else None


@dataclass(frozen=True, slots=True)
class HalfLifeScore:
    """Errors of estimated half-lives against true ones."""

    median_relative_error: float
    share_within_half: float
    coverage: float
    median_factor: float


def score_half_lives(
    estimate: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike, truth: npt.ArrayLike
) -> HalfLifeScore:
    """Compare half-lives with the truth, all in one unit and of one shape.

    Examples:
        >>> score_half_lives([50.0, 100], [10, 10], [90, 60], [100, 100]).coverage
        0.0
    """
    e, lo, hi, true = (np.asarray(column, float) for column in (estimate, low, high, truth))
    relative = np.abs(e - true) / true
    factor = np.abs(np.log(np.clip(e, 1e-3, 1e6) / true))
    return HalfLifeScore(
        median_relative_error=float(np.median(relative)),
        share_within_half=float(np.mean(relative < 0.5)),
        coverage=float(np.mean((lo <= true) & (true <= hi))),
        median_factor=float(np.exp(np.median(factor))),
    )


@dataclass(frozen=True, slots=True)
class IntervalScore:
    """Errors of estimates with intervals against one truth."""

    bias: float
    rmse: float
    coverage: float
    median_width: float


def score_intervals(
    estimate: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike, truth: npt.ArrayLike
) -> IntervalScore:
    """Compare estimates and their intervals with the truth.

    Examples:
        >>> score_intervals([1.0, 3.0], [0.0, 2.5], [2.5, 3.5], 2.0)
        IntervalScore(bias=0.0, rmse=1.0, coverage=0.5, median_width=1.75)
    """
    e, lo, hi = (np.asarray(column, float) for column in (estimate, low, high))
    error = e - np.asarray(truth, float)
    return IntervalScore(
        bias=float(error.mean()),
        rmse=float(np.sqrt((error**2).mean())),
        coverage=float(np.mean((lo <= truth) & (truth <= hi))),
        median_width=float(np.median(hi - lo)),
    )


def adjusted_rand(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return how far two partitions agree: 1 the same, 0 as by chance.

    References:
        Hubert & Arabie (1985), J. Classification 2, 193-218.

    Examples:
        >>> adjusted_rand([0, 0, 1, 1], [1, 1, 0, 0])
        1.0
    """
    a = np.unique(np.asarray(first), return_inverse=True)[1]
    b = np.unique(np.asarray(second), return_inverse=True)[1]
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)
    together = _pairs(table)
    of_a, of_b = _pairs(table.sum(axis=1)), _pairs(table.sum(axis=0))
    chance = of_a * of_b / (len(a) * (len(a) - 1) / 2)
    best = (of_a + of_b) / 2
    return float((together - chance) / (best - chance)) if best != chance else 1.0


def _pairs(counts: Floats) -> float:
    return float((counts * (counts - 1) / 2).sum())
