"""Learns how strongly each score goes with the next edge, and refreshes lesson strengths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection

from jobs.both_modules import ModuleFailures
from jobs.dimension_list import check_dimensions
from jobs.job import JobContext, JobReport
from jobs.standing_trades import STANDING, LessonTrades, lesson_trades
from learning.domain.pattern_key import MODULES, Module
from learning.domain.regime import regime_signature
from learning.evidence.aggregation import regime_weights_for
from learning.evidence.trade_events import GroupKey
from learning.lessons.evidence_record import strength_scores
from learning.lessons.lever_targets import lesson_strength
from learning.meta.lesson_segments import LessonStream, lesson_segments
from learning.meta.regime_weights import RegimeWeights, regime_weights
from learning.settings import Settings
from learning.store import lesson_rows, phase_count_rows, regime_weight_rows, state_rows


def learn_regime_weights(context: JobContext) -> JobReport:
    """Learn the weights of both modules; they move strengths and ranking scores, never a test.

    On the way the phases that trades and the tracker saw are counted anew, for the screens.
    """
    rows_in = rows_out = moved = 0
    failures = ModuleFailures()
    with context.transaction() as connection:
        phase_count_rows.recount_tracked(connection)
    for module in MODULES:
        with failures.kept(module):
            with context.transaction() as connection:
                n_lessons, n_weights = learn_module(connection, module, context.settings)
                regime_weight_rows.note(connection, module, learned_on=context.now.date())
                moved += refresh_strengths(connection, module)
                phase_count_rows.recount_trades(
                    connection, module, origins=context.settings.origins
                )
                state_rows.touch(connection)
            rows_in, rows_out = rows_in + n_lessons, rows_out + n_weights
    failures.tell()
    return JobReport(rows_in, rows_out, {"strengths_moved": moved})


def learn_module(connection: Connection, module: Module, settings: Settings) -> tuple[int, int]:
    """Learn one module's weights: over all patterns, and for each pattern and category."""
    check_dimensions(connection, module, settings)
    standing = lesson_rows.read_lessons(connection, module, statuses=STANDING)
    scopes = [one for one in standing if one.lesson_type != "level"]
    streams: dict[GroupKey, list[LessonStream]] = defaultdict(list)
    for one in lesson_trades(connection, module, scopes, settings):
        streams[one.lesson.key].append(_stream(one))
        streams["", ""].append(_stream(one))
    rows = [
        _row(key, weights)
        for key, own in sorted(streams.items())
        for weights in _learned(own, settings)
    ]
    regime_weight_rows.replace_all(connection, module, rows)
    return len(scopes), len(rows)


def _learned(streams: Sequence[LessonStream], settings: Settings) -> list[RegimeWeights]:
    rng = np.random.default_rng(settings.seed)
    return list(regime_weights(lesson_segments(streams), rng=rng).values())


def _stream(one: LessonTrades) -> LessonStream:
    trades = one.trades
    unknown = np.full(trades.n, np.nan)
    return LessonStream(
        signature=regime_signature(one.lesson.scope),
        outcomes=one.outcomes,
        closed_at_days=trades.closed_at_days,
        time_efficiency=unknown if trades.time_efficiency is None else trades.time_efficiency,
        in_scope=one.in_scope,
    )


def _row(key: GroupKey, learned: RegimeWeights) -> dict[str, Any]:
    parts = {
        "time_efficiency": learned.time_efficiency,
        "field_coherence": learned.field_coherence,
        "recurrence": learned.recurrence_score,
        "variance": learned.variance,
    }
    return {
        "pattern_key": key[0],
        "action_category": key[1],
        "regime_signature": learned.signature,
        "weights": {name: part.weight for name, part in parts.items()},
        "intervals": {name: list(part.interval) for name, part in parts.items() if part.interval},
        "n_samples": learned.n_samples,
        "confidence": max(part.confidence for part in parts.values()),
        "reason": "; ".join(f"{name}: {part.reason}" for name, part in parts.items()),
    }


def refresh_strengths(connection: Connection, module: Module) -> int:
    """Bring every standing lesson's strength up to the learned weights; return how many moved."""
    weights = regime_weight_rows.read_weights(connection, module)
    moved = 0
    for lesson in lesson_rows.read_lessons(connection, module, statuses=STANDING):
        own = regime_weights_for(weights, *lesson.key, lesson.scope)
        strength = lesson_strength(lesson.stats["lfsr"], strength_scores(lesson.stats), own)
        if strength != lesson.strength:
            lesson_rows.set_strength(connection, lesson.lesson_id, strength)
            moved += 1
    return moved
