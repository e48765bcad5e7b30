"""What runs when, as one table."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from jobs.job import Job, JobContext, JobReport
from learning.settings import Profile

_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)  # slots count from a Monday


@dataclass(frozen=True, slots=True)
class Loaded:
    """A job's function, loaded when it is first called.

    The jobs bring every statistic library with them, for which no page and no command that only
    shows the timetable should wait.
    """

    module: str
    name: str

    def __call__(self, context: JobContext) -> JobReport:
        """Run it."""
        report: JobReport = self.load()(context)
        return report

    def load(self) -> Callable[[JobContext], JobReport]:
        """Return the function itself."""
        function: Callable[[JobContext], JobReport] = getattr(
            importlib.import_module(self.module), self.name
        )
        return function


def load_all(jobs: Iterable[Job]) -> None:
    """Load what the jobs need now, so that what is missing is told at once and not at a slot."""
    for job in jobs:
        if isinstance(job.run, Loaded):
            job.run.load()


def _of(module: str, name: str | None = None) -> Loaded:
    return Loaded(f"jobs.{module}", name or module)


def _hours(count: float) -> timedelta:
    return timedelta(hours=count)


def _minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


_DAY, _WEEK = timedelta(days=1), timedelta(days=7)

TIMETABLE = (
    # name, function, every, from (after Monday 00:00 UTC), stale after, what for
    Job("ingest_strands", _of("ingest_strands", "ingest_arrived"), _hours(2), _hours(0), _hours(4),
        "inbox to trade events, exactly once", then="aggregate_scopes"),
    Job("aggregate_scopes", _of("aggregate_scopes"), _hours(2), _minutes(2), _hours(4),
        "scope statistics of changed groups"),
    Job("mine_pm_lessons", _of("mine_lessons", "mine_pm_lessons"), _hours(6), _minutes(8),
        _hours(12), "discovery looks and refreshed lessons, pm", timeout=_hours(3)),
    Job("mine_dm_lessons", _of("mine_lessons", "mine_dm_lessons"), _hours(6), _minutes(9),
        _hours(12), "discovery looks and refreshed lessons, dm", timeout=_hours(3)),
    Job("estimate_half_lives", _of("estimate_half_lives"), _WEEK, _hours(2), timedelta(days=8),
        "windowed edges and how fast they decay"),
    Job("cluster_factors", _of("cluster_factors"), _WEEK, _hours(3), timedelta(days=8),
        "lessons that are one lesson"),
    Job("learn_regime_weights", _of("learn_regime_weights"), _DAY, _hours(1), timedelta(days=2),
        "which scores hold in which regime; lesson strengths"),
    Job("materialise_overrides", _of("materialise_overrides"), _hours(2), _minutes(10), _hours(4),
        "what bots apply"),
    Job("measure_effects", _of("measure_effects"), _DAY, _hours(4), timedelta(days=2),
        "whether each override helped"),
    Job("validate_learning", _of("validate_learning"), _hours(1), _minutes(30), _hours(2),
        "every promise checked"),
    Job("prune_history", _of("prune_history"), _WEEK, timedelta(days=6, hours=4),
        timedelta(days=14), "old runs, silent bots and edge history thinned"),
    Job("back_up", _of("back_up"), _WEEK, timedelta(days=6, hours=5), timedelta(days=14),
        "the whole database, restored to compare, the newest backups kept", timeout=_hours(3)),
)  # fmt: skip

# What the profile hourly does otherwise: name to period, first slot and age.
_HOURLY = {
    "ingest_strands": (_hours(1), _minutes(0), _hours(2)),
    "aggregate_scopes": (_hours(1), _minutes(2), _hours(2)),
    "mine_pm_lessons": (_hours(1), _minutes(8), _hours(2)),
    "mine_dm_lessons": (_hours(1), _minutes(9), _hours(2)),
    "materialise_overrides": (_hours(1), _minutes(10), _hours(2)),
}

JOBS: Mapping[str, Job] = {job.name: job for job in TIMETABLE}


def timetable(profile: Profile) -> tuple[Job, ...]:
    """Return what runs when, by the profile that the setting names.

    Examples:
        >>> [str(job.offset) for job in timetable("hourly") if job.name.startswith("mine")]
        ['0:08:00', '0:09:00']
    """
    return TIMETABLE if profile == "v5" else tuple(_hourly(job) for job in TIMETABLE)


def _hourly(job: Job) -> Job:
    if job.name not in _HOURLY:
        return job
    every, offset, max_age = _HOURLY[job.name]
    return replace(job, every=every, offset=offset, max_age=max_age)


LEARNING_ORDER = (
    "ingest_strands", "aggregate_scopes", "mine_pm_lessons", "mine_dm_lessons",
    "estimate_half_lives", "cluster_factors", "learn_regime_weights", "materialise_overrides",
    "measure_effects", "validate_learning",
)  # fmt: skip


def due_slot(job: Job, now: datetime) -> datetime:
    """Return the newest slot of a job at or before a moment.

    Examples:
        >>> from datetime import UTC
        >>> at = datetime(2024, 3, 5, 12, 30, tzinfo=UTC)  # a Tuesday
        >>> due_slot(JOBS["cluster_factors"], at).isoformat()
        '2024-03-04T03:00:00+00:00'
        >>> due_slot(JOBS["ingest_strands"], at).isoformat()
        '2024-03-05T12:00:00+00:00'
    """
    start = _MONDAY + job.offset
    return start + (now - start) // job.every * job.every


def next_slot(job: Job, now: datetime) -> datetime:
    """Return the first slot of a job after a moment."""
    return due_slot(job, now) + job.every
