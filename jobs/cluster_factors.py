"""Clusters lessons that match the same trades into latent factors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection

from jobs.both_modules import ModuleFailures
from jobs.dimension_list import check_dimensions
from jobs.job import JobContext, JobReport
from jobs.lesson_claims import days_of
from jobs.standing_trades import STANDING, LessonTrades, lesson_trades
from learning.domain.pattern_key import MODULES, Module
from learning.lessons.stepwise import MAX_LESSONS_PER_GROUP
from learning.meta.latent_factors import GroupLessons, LatentFactor, latent_factors, lesson_map
from learning.settings import Settings
from learning.store import factor_rows, lesson_rows, state_rows
from learning.store.lesson_rows import StoredLesson

_ONE_LOOK_DAYS = 0.5  # lessons of one look carry its time, looks lie days apart


def cluster_factors(context: JobContext) -> JobReport:
    """Cluster the standing lessons of both modules in one go, so that ids never clash.

    A module that cannot be read keeps the factors it has, and their names stay taken.
    """
    failures = ModuleFailures()
    with context.transaction() as connection:
        lessons: dict[Module, list[LessonTrades]] = {}
        previous: dict[str, frozenset[int]] = {}
        for module in MODULES:
            previous |= factor_rows.read_members(connection, module)
            with failures.kept(module), connection.begin_nested():
                lessons[module] = _standing_trades(connection, module, context.settings)
        groups = {module: _groups(one) for module, one in lessons.items()}
        factors = latent_factors(
            [group for own in groups.values() for _, group in own], previous=previous
        )
        for module, found in lessons.items():
            own = _of_module(factors, found)
            patterns = {one.lesson.lesson_id: one.lesson.key[0] for one in found}
            factor_rows.replace_all(connection, module, own, patterns)
            maps = [(outcome, lesson_map(group)) for outcome, group in groups[module]]
            factor_rows.replace_maps(connection, module, maps)
            for factor in own:
                lesson_rows.set_factor(connection, factor.lesson_ids, factor.factor_id)
        state_rows.touch(connection)
    failures.tell()
    clustered = sum(len(factor.lesson_ids) for factor in factors)
    return JobReport(clustered, len(factors), {"factors": len(factors), "lessons": clustered})


def _standing_trades(
    connection: Connection, module: Module, settings: Settings
) -> list[LessonTrades]:
    check_dimensions(connection, module, settings)
    standing = lesson_rows.read_lessons(connection, module, statuses=STANDING)
    return list(lesson_trades(connection, module, standing, settings))


def _groups(lessons: Sequence[LessonTrades]) -> list[tuple[str, GroupLessons]]:
    """Return the scope lessons of each setup with the outcome that they rest on."""
    # a level lesson applies together with a scope lesson, so it is no member of its factor
    by_group: dict[tuple[str, ...], list[LessonTrades]] = defaultdict(list)
    for one in lessons:
        if one.lesson.lesson_type != "level":
            by_group[(*one.lesson.key, one.lesson.outcome)].append(one)
    return [(members[0].lesson.outcome, _group(members)) for members in by_group.values()]


def _group(members: Sequence[LessonTrades]) -> GroupLessons:
    return GroupLessons(
        group=members[0].lesson.key,
        lesson_ids=tuple(one.lesson.lesson_id for one in members),
        matched=np.array([one.in_scope for one in members]),
        strengths=np.array([one.lesson.strength for one in members]),
        # a winner and a loser on the same trades are two lessons: merged, they would cancel
        directions=np.sign([one.lesson.stats["posterior_mean_rr"] for one in members]),
        leads=_leads([one.lesson for one in members]),
    )


def _leads(lessons: Sequence[StoredLesson]) -> tuple[int, ...] | None:
    """Return the lessons that the last look found, the strongest first, where a group is dense.

    One look takes at most eight lessons of a group. More stand only where looks piled up on one
    another, nested copies of the same effects, which linkage would chain; the last look was
    stepwise, so that what it found are different effects.
    """
    if len(lessons) <= MAX_LESSONS_PER_GROUP:
        return None
    found = np.array([_last_found_at_days(lesson) for lesson in lessons])
    last = np.flatnonzero(found > found.max() - _ONE_LOOK_DAYS).tolist()
    return tuple(sorted(last, key=lambda i: (-lessons[i].strength, lessons[i].lesson_id)))


def _last_found_at_days(lesson: StoredLesson) -> float:
    return float(lesson.stats.get("last_found_at_days", days_of(lesson.discovered_at)))


def _of_module(
    factors: Sequence[LatentFactor], lessons: Sequence[LessonTrades]
) -> list[LatentFactor]:
    ids = {one.lesson.lesson_id for one in lessons}
    return [factor for factor in factors if ids.issuperset(factor.lesson_ids)]
