"""Measures whether each override helped, on the trades it was applied to or held out from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    PatternTrades,
    absent_edge,
    comparison_record,
    edge_record,
    uplift_record,
)
from learning.overrides.guardrail import guardrail_alerts, why_withdrawn
from learning.settings import Settings
from learning.store import alert_rows, effect_rows, lesson_rows, state_rows
from learning.store.lesson_rows import StoredLesson

_NO_EDGE = "it is about how trades are carried out: its ΔR/R tells"
_OTHER_DIMENSIONS = "its scope names a dimension that is no longer configured"
_NO_TRADES = "no trade of its pattern and category has closed"


def measure_effects(context: JobContext) -> JobReport:
    """Measure every lesson that was ever active, in both modules."""
    changed = {"measured": 0, "absent": 0, "guardrails_crossed": 0, "alerts_raised": 0}
    trades = 0
    failures = ModuleFailures()
    for module in MODULES:
        context.progress(0, None, f"effects of {module}")
        with failures.kept(module):
            with context.transaction() as connection:
                effects, applied = measure_module(connection, module, context.settings)
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
    for alert in alert_rows.read_alerts(connection, module):
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
    connection: Connection, module: Module, settings: Settings
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
    effects = {one.lesson_id: _effects(one, applied, events, edges) for one in lessons}
    return effects, sum(one.n for one in applied.values())


def _effects(
    lesson: StoredLesson,
    applied: Mapping[int, AppliedTrades],
    events: TradeEvents,
    edges: Mapping[int, LessonTrades],
) -> list[EffectRecord]:
    pattern = _pattern(events, lesson.key)
    own = applied.get(lesson.lesson_id, effect_rows.NOTHING_APPLIED)
    if is_within(lesson.scope, events.dims):
        edge = _edge(lesson, edges.get(lesson.lesson_id))
    else:
        edge = absent_edge(_OTHER_DIMENSIONS)
    return [uplift_record(own, pattern), comparison_record(own, pattern), edge]


def _pattern(events: TradeEvents, key: GroupKey) -> PatternTrades:
    chosen = events.group == events.group_code(key)
    return PatternTrades(rr=events.rr[chosen], closed_at_days=events.closed_at_days[chosen])


def _edge(lesson: StoredLesson, one: LessonTrades | None) -> EffectRecord:
    if lesson.lesson_type == "pm_tuning":
        return absent_edge(_NO_EDGE)
    if one is None or lesson.activated_at is None:
        return absent_edge(_NO_TRADES)
    since = one.trades.closed_at_days > lesson.activated_at.timestamp() / 86400
    return edge_record(
        one.outcomes[since],
        one.trades.closed_at_days[since],
        one.in_scope[since],
        sign=1 if lesson.stats["posterior_mean_rr"] > 0 else -1,
        against_group=lesson.lesson_type != "level",
    )
