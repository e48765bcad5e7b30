"""Checks every promise, and keeps what it found for the screens and ``./run doctor``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
from sqlalchemy import Connection

from jobs.aggregate_scopes import Measure, current_measure, fingerprints, measured_groups
from jobs.job import JobContext, JobReport
from jobs.planned import planned_runs, utc
from learning.domain.pattern_key import MODULES, Module
from learning.evidence.edge_score import ScopeStatistics
from learning.evidence.scope_cube import ScopeCube
from learning.evidence.trade_events import GroupKey
from learning.settings import Profile, Settings
from learning.store import (
    database,
    day_count_rows,
    group_mark_rows,
    job_rows,
    scope_cell_rows,
    scope_stat_rows,
    state_rows,
    validation_rows,
)
from learning.store.scope_cell_rows import VALUES, CellKey
from learning.store.validation_rows import Check, State

MAX_SKEW = timedelta(seconds=5)
_FAILS_AGAIN = 3  # failures in a row from which a job is broken, not unlucky
_SAMPLE_TRADES = 10_000  # recomputed at each run: some seconds; every group has its turn
_SAMPLE_DAYS = 50
_FLOAT32 = ("time_efficiency", "field_coherence", "recurrence_score")


def validate_learning(context: JobContext) -> JobReport:
    """Run every check; a failed check is a finding, not a failed job."""
    with database.transaction(context.engine, read_only=True) as connection:
        checks = run_all_checks(connection, context.settings, now=context.now)
    return JobReport(len(checks), count(checks, "failed"), findings(checks))


def run_all_checks(
    connection: Connection, settings: Settings, *, now: datetime, every_group: bool = False
) -> list[Check]:
    """Run the checks of the stored rows, then those that need the clock or a recalculation.

    Args:
        connection: In a transaction; nothing is written.
        settings: What the statistics are measured with.
        now: The database's clock; also chooses whose turn it is to be recomputed.
        every_group: Recompute all groups instead of some.
    """
    return [
        *validation_rows.run_checks(connection),
        clock_check(connection),
        timetable_check(connection, settings.profile),
        day_count_check(connection, settings, now, every_day=every_group),
        *(recomputation_check(connection, one, settings, now, every_group) for one in MODULES),
    ]


def findings(checks: Sequence[Check]) -> dict[str, object]:
    """Return what is kept of a validation."""
    return {
        "failed": count(checks, "failed"),
        "warnings": count(checks, "warning"),
        "checks": [asdict(check) for check in checks],
    }


def count(checks: Sequence[Check], state: str) -> int:
    """Return how many checks ended in a state."""
    return sum(check.state == state for check in checks)


def clock_check(connection: Connection) -> Check:
    """Compare this process's clock with the database's, which is the one that counts."""
    skew = job_rows.clock_skew(connection)
    state: State = "warning" if abs(skew) > MAX_SKEW else "ok"
    return Check("clock of the worker", state, f"{skew.total_seconds():+.1f} s to the database's")


def timetable_check(connection: Connection, profile: Profile) -> Check:
    """Say which jobs are late, and since when, or keep failing."""
    told: list[str] = []
    state: State = "ok"
    for one in planned_runs(connection, profile):
        name = one.job.name
        if one.failures is not None and one.failures.in_a_row >= _FAILS_AGAIN:
            told.append(f"{name} failed {one.failures.in_a_row} times in a row")
            state = "failed"
        elif one.late_since is not None:
            told.append(f"{name} is late since {utc(one.late_since)}")
    if told and state == "ok":
        state = "warning"
    return Check("jobs keep to their timetable", state, "; ".join(told) or "all do")


def day_count_check(
    connection: Connection, settings: Settings, now: datetime, *, every_day: bool
) -> Check:
    """Count days again from the events, and compare with what is stored of them."""
    name = "counts by day are what the events give"
    span = day_count_rows.days_of_events(connection)
    if span is None:
        return Check(name, "ok", "no trades")
    dims = settings.every_dimension()
    waiting = day_count_rows.changed_days(connection, dims)
    others = sorted(set(pd.date_range(*span).date) - set(waiting))
    days = others if every_day else days_of_turn(others, now)
    wrong = [
        table.name
        for table in day_count_rows.TABLES
        if day_count_rows.count_departures(connection, table, days, dims)
    ]
    told = f"{len(days)} of {len(others)} days counted again; {len(waiting)} wait for the sweep"
    if wrong:
        return Check(name, "failed", f"{told}; wrong: {', '.join(wrong)}")
    return Check(name, "ok", told)


def days_of_turn(days: Sequence[date], now: datetime) -> list[date]:
    """Return the days to count again now: others each hour, all of them in time.

    Examples:
        >>> from datetime import UTC
        >>> days_of_turn([date(2024, 1, 1)], datetime(2024, 1, 1, tzinfo=UTC))
        [datetime.date(2024, 1, 1)]
    """
    drawn = np.random.default_rng(_hour(now)).permutation(len(days))[:_SAMPLE_DAYS]
    return [days[i] for i in sorted(drawn)]


def _hour(now: datetime) -> int:
    return int(now.timestamp() // 3600)


def recomputation_check(
    connection: Connection, module: Module, settings: Settings, now: datetime, every_group: bool
) -> Check:
    """Compute stored statistics again from the events, and compare them exactly."""
    name = f"{module} statistics are what the events give"
    outcome = state_rows.read_state(connection).outcome
    if outcome is None:
        return Check(name, "ok", "no outcome is analysed yet")
    if scope_stat_rows.dimensions_changed(connection, module, settings.dimensions(module)):
        return Check(name, "warning", "the dimensions changed: ./run dimensions tells both lists")
    marks = group_mark_rows.read_marks(
        connection, module, outcome=outcome, origins=settings.origins
    )
    if not marks:
        return Check(name, "ok", "no trades")
    measure = current_measure(connection, module, outcome, settings)
    stored = scope_stat_rows.read_groups(connection, module)
    prints = fingerprints(marks, measure)
    current = [key for key in marks if key in stored and stored[key].fingerprint == prints[key]]
    if every_group:
        chosen = sorted(current)
    else:
        chosen = turn_of(current, {key: marks[key].n for key in current}, now)
    n_cells, wrong = recomputed(connection, chosen, measure)
    waiting = len(set(stored) | set(marks)) - len(current)
    told = f"{len(chosen)} of {len(marks)} groups computed again, {n_cells} scopes compared"
    if waiting:
        told += f"; {waiting} groups wait for the next aggregation"
    if wrong:
        return Check(name, "failed", f"{told}; wrong: {', '.join(wrong[:5])}")
    return Check(name, "ok", told)


def turn_of(
    groups: Sequence[GroupKey], n_trades: Mapping[GroupKey, int], now: datetime
) -> list[GroupKey]:
    """Return the groups to compute again now: others each hour, all of them in time.

    Examples:
        >>> from datetime import UTC
        >>> turn_of([("a", "entry")], {("a", "entry"): 5}, datetime(2024, 1, 1, tzinfo=UTC))
        [('a', 'entry')]
    """
    drawn = np.random.default_rng(_hour(now)).permutation(len(groups))
    chosen: list[GroupKey] = []
    left = _SAMPLE_TRADES
    for i in drawn:
        key = sorted(groups)[i]
        if n_trades[key] <= left or not chosen:
            chosen.append(key)
            left -= n_trades[key]
    return sorted(chosen)


def recomputed(
    connection: Connection, groups: Sequence[GroupKey], measure: Measure
) -> tuple[int, list[str]]:
    """Compute groups again; return how many scopes were compared, and which groups differ."""
    if not groups:
        return 0, []
    events, cube, statistics = measured_groups(connection, groups, measure, is_all=False)
    fresh = _by_group(events.groups, cube, statistics)
    wrong = []
    for key in groups:
        stored = scope_cell_rows.read_cells(connection, measure.module, key)
        if stored != fresh.get(key, {}):
            wrong.append("/".join(key))
    return len(cube.mask), wrong


def _by_group(
    groups: Sequence[GroupKey], cube: ScopeCube, statistics: ScopeStatistics
) -> dict[GroupKey, dict[CellKey, tuple[float | None, ...]]]:
    """The cells as they would be stored."""
    columns = [_plain(statistics, name) for name in VALUES]
    cells: dict[GroupKey, dict[CellKey, tuple[float | None, ...]]] = {key: {} for key in groups}
    for i, (group, mask, codes) in enumerate(
        zip(cube.group.tolist(), cube.mask.tolist(), cube.scope_codes.tolist(), strict=True)
    ):
        fixed = tuple(code for code in codes if code >= 0)
        cells[groups[group]][mask, fixed] = tuple(column[i] for column in columns)
    return cells


def _plain(statistics: ScopeStatistics, name: str) -> list[float | None]:
    values = np.asarray(getattr(statistics, name))
    if name in _FLOAT32:
        # the server tells the shortest text of a real, and that is read as a double
        return [_shortest(value) for value in values.astype(np.float32)]
    return [None if value != value else value for value in values.tolist()]


def _shortest(value: np.float32) -> float | None:
    return None if np.isnan(value) else float(str(value))
