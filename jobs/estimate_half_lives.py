"""Rebuilds the windowed edges of patterns and lessons, and fits how fast lessons decay."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection

from jobs.analysed_outcome import provisional_outcome
from jobs.both_modules import ModuleFailures
from jobs.dimension_list import check_dimensions
from jobs.job import JobContext, JobReport
from jobs.lesson_claims import days_of
from jobs.standing_trades import STANDING, LessonTrades, lesson_trades
from learning.domain.pattern_key import MODULES, Module
from learning.domain.scope import canonical_scope
from learning.evidence.edge_history import EdgeHistory, SegmentEdge, edge_history
from learning.meta.half_life import (
    DecayCurve,
    HalfLife,
    fit_half_lives,
    fitted_edges,
    sign_flip_reason,
)
from learning.settings import Settings
from learning.store import (
    database,
    decision_rows,
    edge_history_rows,
    event_rows,
    lesson_rows,
    state_rows,
)
from learning.store.edge_history_rows import HistoryKey
from learning.store.lesson_rows import StoredLesson

Histories = dict[HistoryKey, EdgeHistory]


@dataclass(frozen=True, slots=True)
class Refit:
    """What the trades of a module say of how its edges lasted.

    Attributes:
        fits: Of each lesson, with its history.
        kept: Every history to be stored: of patterns and of lessons.
        curves: What was fitted, by the same keys.
    """

    fits: Sequence[tuple[StoredLesson, HalfLife, EdgeHistory]]
    kept: Histories
    curves: Mapping[HistoryKey, DecayCurve]


def estimate_half_lives(context: JobContext) -> JobReport:
    """Refit every lesson ever found, watched ones included; both modules."""
    windows = lessons = decaying = 0
    failures = ModuleFailures()
    for module in MODULES:
        context.progress(0, None, f"edge history of {module}")
        with failures.kept(module):
            with database.transaction(context.engine, read_only=True) as connection:
                refit = refitted(connection, module, context.settings)
            with context.transaction() as connection:
                decision_rows.lock(connection)  # nobody's decision waits for a calculation
                windows += write_refit(connection, module, refit)
                state_rows.touch(connection)
            lessons += len(refit.fits)
            decaying += sum(fit.decay_halflife_hours is not None for _, fit, _ in refit.fits)
    failures.tell()
    return JobReport(lessons, windows, {"half_lives_refitted": lessons, "decaying": decaying})


def refitted(connection: Connection, module: Module, settings: Settings) -> Refit:
    """Refit one module from its trades; nothing is written."""
    check_dimensions(connection, module, settings)
    lessons = lesson_rows.read_lessons(connection, module)
    trades = list(lesson_trades(connection, module, lessons, settings))
    histories = [_history(one) for one in trades]
    fits = fit_half_lives(histories).fits
    kept = pattern_histories(connection, module, settings)
    curves: dict[HistoryKey, DecayCurve] = {}
    for one, fit, history in zip(trades, fits, histories, strict=True):
        key = (one.lesson.key, canonical_scope(one.lesson.scope), one.lesson.lesson_id)
        kept[key] = history
        curve = fitted_edges(fit, history)
        if curve is not None:
            curves[key] = curve
    found = zip((one.lesson for one in trades), fits, histories, strict=True)
    return Refit(tuple(found), kept, curves)


def write_refit(connection: Connection, module: Module, refit: Refit) -> int:
    """Write a refit; return how many windows there are.

    Lessons are judged by the status they have by now: somebody may have decided meanwhile.
    """
    now = {one.lesson_id: one for one in lesson_rows.read_lessons(connection, module)}
    for lesson, fit, history in refit.fits:
        _write(connection, lesson.lesson_id, fit)
        retire_where_flipped(connection, now[lesson.lesson_id], history)
    return edge_history_rows.replace_all(connection, module, refit.kept, refit.curves)


def pattern_histories(connection: Connection, module: Module, settings: Settings) -> Histories:
    """Return the history of every pattern as a whole: its mean outcome per week."""
    outcome = provisional_outcome(connection, settings)
    if outcome is None:
        return {}
    events = event_rows.read_trade_events(
        connection,
        module,
        outcome=outcome,
        dims=settings.dimensions(module),
        origins=settings.origins,
    )
    histories: Histories = {}
    for code, key in enumerate(events.groups):
        trades = events.where(events.group == code)
        histories[key, canonical_scope({}), None] = edge_history(
            trades.rr,
            trades.closed_at_days,
            np.ones(trades.n, dtype=np.bool_),
            against_group=False,
        )
    return histories


def _history(one: LessonTrades) -> EdgeHistory:
    return edge_history(
        one.outcomes,
        one.trades.closed_at_days,
        one.in_scope,
        against_group=one.lesson.lesson_type != "level",
    )


def _write(connection: Connection, lesson_id: int, fit: HalfLife) -> None:
    lesson_rows.set_half_life(
        connection,
        lesson_id,
        hours=fit.decay_halflife_hours,
        state=fit.state.value,
        reason=None if fit.decay_halflife_hours is not None else fit.reason,
        details=half_life_details(fit),
    )


def retire_where_flipped(
    connection: Connection, lesson: StoredLesson, history: EdgeHistory
) -> None:
    """Retire a lesson whose edge turned round in the windows since its standing claim.

    Windows before its discovery flatter it and do not count. Nor do those before it was found
    again: what had it retired would have it retired once more.
    """
    if lesson.status not in STANDING:
        return
    sign = 1 if lesson.stats["posterior_mean_rr"] > 0 else -1
    reason = sign_flip_reason(history.since(days_of(lesson.claimed_at)), sign=sign)
    if reason is not None:
        decision_rows.move(
            connection,
            lesson_id=lesson.lesson_id,
            decision="retire",
            reason=f"sign flip since it was found: {reason}",
            job="estimate_half_lives",
        )


def half_life_details(fit: HalfLife) -> dict[str, Any]:
    """Return what screens show of a fit; an infinite end is absent."""
    details: dict[str, Any] = {
        "reason": fit.reason,
        "n": fit.n,
        "windows": fit.windows,
        "segments": [_segment(one) for one in fit.segment_edges],
    }
    if fit.posterior is not None:
        posterior = fit.posterior
        details |= {
            "median_days": _finite(posterior.median_days),
            "ci_low_days": _finite(posterior.ci_low_days),
            "ci_high_days": _finite(posterior.ci_high_days),
            "p_decaying": posterior.p_decaying,
            "p_constant": posterior.p_constant,
            "p_improving": posterior.p_improving,
        }
    return details


def _segment(part: SegmentEdge) -> dict[str, Any]:
    return {
        "from_days": part.first_closed_at_days,
        "to_days": part.last_closed_at_days,
        "windows": part.windows,
        "n": part.n,
        "edge_rr": part.edge_rr,
        "se_rr": part.se_rr,
    }


def _finite(days: float) -> float | None:
    return days if math.isfinite(days) else None
