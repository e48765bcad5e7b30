"""What runs when, as one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from jobs.aggregate_scopes import aggregate_scopes
from jobs.cluster_factors import cluster_factors
from jobs.estimate_half_lives import estimate_half_lives
from jobs.ingest_strands import Ingested, ingest_strands
from jobs.job import Job, JobContext, JobReport
from jobs.learn_regime_weights import learn_regime_weights
from jobs.materialise_overrides import materialise_overrides
from jobs.measure_effects import measure_effects
from jobs.mine_lessons import mine_lessons
from jobs.prune_history import prune_history
from jobs.validate_learning import validate_learning
from learning.settings import Profile
from learning.store import database, state_rows, strand_rows

_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)  # slots count from a Monday
QUICK_MARGIN = 10_000  # ids below the newest ingested one that a quick look goes back


def _ingest(context: JobContext) -> JobReport:
    is_quick = context.trigger == "notify"
    with database.transaction(context.engine, read_only=True) as connection:
        # what commits later than so many younger strands is found by the runs that look at all
        low_water = strand_rows.low_water(connection, margin=QUICK_MARGIN) if is_quick else 0
        pending = None if is_quick else strand_rows.accounts(connection).pending

    def tell(done: Ingested) -> None:
        context.progress(done.strands, pending, "strands")

    done = ingest_strands(context.engine, context.settings, low_water=low_water, progress=tell)
    if done.strands:
        with context.transaction() as connection:
            state_rows.touch(connection)
    changed = {"ingested": done.ingested, "quarantined": done.quarantined, "ignored": done.ignored}
    return JobReport(done.strands, done.events, changed)


def _hours(count: float) -> timedelta:
    return timedelta(hours=count)


def _minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


_DAY, _WEEK = timedelta(days=1), timedelta(days=7)

TIMETABLE = (
    # name, function, every, from (after Monday 00:00 UTC), stale after, what for
    Job("ingest_strands", _ingest, _hours(2), _hours(0), _hours(5),
        "inbox to trade events, exactly once", then="aggregate_scopes"),
    Job("aggregate_scopes", aggregate_scopes, _hours(2), _minutes(2), _hours(5),
        "scope statistics of changed groups"),
    Job("mine_lessons", mine_lessons, _hours(6), _minutes(8), _hours(13),
        "discovery looks and refreshed lessons, pm and dm", timeout=_hours(3)),
    Job("estimate_half_lives", estimate_half_lives, _WEEK, _hours(2), timedelta(days=8),
        "windowed edges and how fast they decay"),
    Job("cluster_factors", cluster_factors, _WEEK, _hours(3), timedelta(days=8),
        "lessons that are one lesson"),
    Job("learn_regime_weights", learn_regime_weights, _DAY, _hours(1), timedelta(days=2),
        "which scores hold in which regime; lesson strengths"),
    Job("materialise_overrides", materialise_overrides, _hours(2), _minutes(10), _hours(5),
        "what bots apply"),
    Job("measure_effects", measure_effects, _DAY, _hours(4), timedelta(days=2),
        "whether each override helped"),
    Job("validate_learning", validate_learning, _hours(1), _minutes(30), _hours(3),
        "every promise checked"),
    Job("prune_history", prune_history, _WEEK, timedelta(days=6, hours=4), timedelta(days=15),
        "old runs, silent bots and edge history thinned"),
)  # fmt: skip

# What the profile hourly does otherwise: name to period, first slot and age.
_HOURLY = {
    "ingest_strands": (_hours(1), _minutes(0), _hours(3)),
    "aggregate_scopes": (_hours(1), _minutes(2), _hours(3)),
    "mine_lessons": (_hours(1), _minutes(8), _hours(3)),
    "materialise_overrides": (_hours(1), _minutes(10), _hours(3)),
}

JOBS: Mapping[str, Job] = {job.name: job for job in TIMETABLE}


def timetable(profile: Profile) -> tuple[Job, ...]:
    """Return what runs when, by the profile that the setting names.

    Examples:
        >>> [str(job.every) for job in timetable("hourly") if job.name == "mine_lessons"]
        ['1:00:00']
    """
    return TIMETABLE if profile == "v5" else tuple(_hourly(job) for job in TIMETABLE)


def _hourly(job: Job) -> Job:
    if job.name not in _HOURLY:
        return job
    every, offset, max_age = _HOURLY[job.name]
    return replace(job, every=every, offset=offset, max_age=max_age)


LEARNING_ORDER = (
    "ingest_strands", "aggregate_scopes", "mine_lessons", "estimate_half_lives",
    "cluster_factors", "learn_regime_weights", "materialise_overrides", "measure_effects",
    "validate_learning",
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
