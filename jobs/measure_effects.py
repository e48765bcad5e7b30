"""Measures whether each override helped, on the trades it was applied to or held out from."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Final, get_args

import numpy as np
from sqlalchemy import Connection

from jobs.analysed_outcome import provisional_outcome
from jobs.both_modules import ModuleFailures
from jobs.dimension_list import check_dimensions, is_within
from jobs.job import JobContext, JobReport
from jobs.standing_trades import LessonTrades, lesson_trades, read_groups
from learning.domain.pattern_key import MODULES, Module
from learning.evidence.trade_events import GroupKey, TradeEvents
from learning.overrides.effect_record import (
    AppliedTrades,
    EffectRecord,
    HorizonJudgement,
    Measure,
    PatternTrades,
    absent_edge,
    comparison_record,
    edge_record,
    uplift_record,
)
from learning.overrides.effects import NotMeasured
from learning.overrides.guardrail import guardrail_alerts, why_withdrawn
from learning.overrides.holding import of_period, old_enough
from learning.overrides.portfolio import (
    HORIZON_DAYS,
    judged_together,
    newest_judgement,
    reached_horizons,
    shrunk_together,
)
from learning.settings import Settings
from learning.store import alert_rows, decision_rows, effect_rows, lesson_rows, state_rows
from learning.store.lesson_rows import StoredLesson

_NO_EDGE = "it is about how trades are carried out: its ΔR/R tells"
_OTHER_DIMENSIONS = "its scope names a dimension that is no longer configured"
_NO_TRADES = "no trade of its pattern and category has closed"
_MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


def measure_effects(context: JobContext) -> JobReport:
    """Measure every lesson that was ever active, in both modules."""
    changed = {"measured": 0, "absent": 0, "guardrails_crossed": 0, "alerts_raised": 0}
    trades = 0
    failures = ModuleFailures()
    for module in MODULES:
        context.progress(0, None, f"effects of {module}")
        with failures.kept(module):
            with context.transaction() as connection:
                effects, applied = measure_module(connection, module, context.settings, context.now)
                effect_rows.write(connection, effects)
                changed["alerts_raised"] += tell_people(connection, module, effects)
                state_rows.touch(connection)
            trades += applied
            for record in (one for records in effects.values() for one in records):
                changed["measured" if record.absent_reason is None else "absent"] += 1
                changed["guardrails_crossed"] += record.is_guardrail_crossed
    failures.tell()
    return JobReport(trades, changed["measured"] + changed["absent"], changed)


def tell_people(
    connection: Connection, module: Module, effects: Mapping[int, Sequence[EffectRecord]]
) -> int:
    """Propose to disable the active lessons that do harm; return how many proposals are new.

    A proposal whose lesson is no longer active, or whose interval no longer lies below zero, is
    closed with that as its reason. It stays readable.
    """
    active = {
        one.lesson_id: one
        for one in lesson_rows.read_lessons(connection, module, statuses=["active"])
    }
    raised = [
        alert
        for lesson_id, lesson in active.items()
        for alert in guardrail_alerts(lesson_id, lesson.version, effects.get(lesson_id, ()))
    ]
    standing = {(one.lesson_id, one.measure) for one in raised}
    for alert in alert_rows.read_alerts(connection, module, kind=alert_rows.GUARDRAIL):
        if (alert.lesson_id, alert.measure) not in standing:
            reason = f"the lesson is {alert.lesson_status}"
            if alert.lesson_id in active:
                records = effects.get(alert.lesson_id, ())
                reason = why_withdrawn(
                    next((one for one in records if one.measure == alert.measure), None)
                )
            alert_rows.close_alert(connection, alert.alert_id, reason=reason)
    return alert_rows.raise_guardrail(connection, raised)


def measure_module(
    connection: Connection, module: Module, settings: Settings, now: datetime
) -> tuple[dict[int, list[EffectRecord]], int]:
    """Measure one module; return its effects by lesson id, and how many trades they rest on."""
    check_dimensions(connection, module, settings)
    outcome = provisional_outcome(connection, settings)
    lessons = [one for one in lesson_rows.read_lessons(connection, module) if one.activated_at]
    if outcome is None or not lessons:
        return {}, 0
    applied = effect_rows.read_applied(
        connection, module, outcome=outcome, origins=settings.origins
    )
    groups = sorted({one.key for one in lessons})
    events = read_groups(connection, module, groups, outcome, settings)
    edges = {
        one.lesson.lesson_id: one for one in lesson_trades(connection, module, lessons, settings)
    }
    approved = decision_rows.read_approved_stats(connection)
    sources = [
        _Source(
            lesson,
            applied.get(lesson.lesson_id, effect_rows.NOTHING_APPLIED),
            _pattern(events, lesson.key),
            edges.get(lesson.lesson_id),
            sign=1 if approved[lesson.lesson_id]["posterior_mean_rr"] > 0 else -1,
            has_dimensions=is_within(lesson.scope, events.dims),
        )
        for lesson in lessons
    ]
    effects = _together(sources, now_days=_days(now), fdr_target=settings.fdr_target)
    return effects, sum(one.n for one in applied.values())


@dataclass(frozen=True, slots=True)
class _Source:
    """What the effects of one lesson rest on."""

    lesson: StoredLesson
    applied: AppliedTrades
    pattern: PatternTrades
    edge: LessonTrades | None
    sign: int  # of the edge that was approved, whatever today's evidence says
    has_dimensions: bool

    @property
    def activated_days(self) -> float:
        """When it was activated, days since 1970."""
        return _days(self.lesson.activated_at or _NEVER)


def _together(
    sources: Sequence[_Source], *, now_days: float, fdr_target: float
) -> dict[int, list[EffectRecord]]:
    """Measure each lesson, then shrink and judge the lessons' effects of one measure together."""
    alone = {one.lesson.lesson_id: _effects(one, now_days=now_days) for one in sources}
    judged = _at_horizons(sources, now_days=now_days, fdr_target=fdr_target)
    together: dict[int, list[EffectRecord]] = {lesson_id: [] for lesson_id in alone}
    for i in range(len(_MEASURES)):
        records = {lesson_id: found[i] for lesson_id, found in alone.items()}
        shrunk = shrunk_together(records)
        for lesson_id, record in records.items():
            horizons = judged.get((lesson_id, record.measure), {})
            together[lesson_id].append(
                replace(
                    record,
                    shrunk=shrunk[lesson_id],
                    horizon=newest_judgement(horizons),
                    details={**record.details, "horizons": _told(horizons)},
                )
            )
    return together


_Judged = dict[tuple[int, str], dict[int, HorizonJudgement | NotMeasured]]


def _at_horizons(sources: Sequence[_Source], *, now_days: float, fdr_target: float) -> _Judged:
    """Judge each measure at each declared horizon, over the lessons that can be judged there."""
    judged: _Judged = defaultdict(dict)
    for horizon in HORIZON_DAYS:
        found: defaultdict[str, dict[int, EffectRecord]] = defaultdict(dict)
        for one in sources:
            if horizon in reached_horizons(now_days - one.activated_days):
                for record in _effects_at(one, horizon, now_days=now_days):
                    found[record.measure][one.lesson.lesson_id] = record
        for measure, records in found.items():
            verdicts = judged_together(records, horizon_days=horizon, fdr_target=fdr_target)
            for lesson_id, verdict in verdicts.items():
                judged[lesson_id, measure][horizon] = verdict
    return judged


def _told(horizons: Mapping[int, HorizonJudgement | NotMeasured]) -> list[dict[str, object]]:
    return [{"days": days, **asdict(found)} for days, found in sorted(horizons.items())]


def _effects(source: _Source, *, now_days: float) -> list[EffectRecord]:
    """The effects of a lesson as they stand, one for each measure."""
    return [
        uplift_record(source.applied, source.pattern),
        comparison_record(old_enough(source.applied, now_days=now_days), source.pattern),
        _edge(source, until_days=math.inf),
    ]


def _effects_at(source: _Source, horizon: int, *, now_days: float) -> list[EffectRecord]:
    """The effects on what was decided before a horizon; absent while that may be open."""
    start, lesson = source.activated_days, source.lesson
    edge = _edge(source, until_days=start + horizon)
    period = of_period(source.applied, start, start + horizon)
    if period.ripe_on_days > now_days:
        return [edge]
    rng = np.random.default_rng([lesson.lesson_id, lesson.version, horizon])
    return [
        uplift_record(period.trades, source.pattern),
        comparison_record(period.trades, source.pattern, judge=rng),
        edge,
    ]


def _pattern(events: TradeEvents, key: GroupKey) -> PatternTrades:
    chosen = events.group == events.group_code(key)
    return PatternTrades(rr=events.rr[chosen], closed_at_days=events.closed_at_days[chosen])


def _days(moment: datetime) -> float:
    return moment.timestamp() / 86400


def _edge(source: _Source, *, until_days: float) -> EffectRecord:
    lesson, one = source.lesson, source.edge
    if not source.has_dimensions:
        return absent_edge(_OTHER_DIMENSIONS)
    if lesson.lesson_type == "pm_tuning":
        return absent_edge(_NO_EDGE)
    if one is None:
        return absent_edge(_NO_TRADES)
    closed = one.trades.closed_at_days
    since = (closed > source.activated_days) & (closed < until_days)
    return edge_record(
        one.outcomes[since],
        closed[since],
        one.in_scope[since],
        sign=source.sign,
        against_group=lesson.lesson_type != "level",
    )
