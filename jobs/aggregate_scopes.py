"""Refreshes the stored scope statistics of every group whose trades changed, and of no other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import Connection

from jobs.analysed_outcome import provisional_outcome
from jobs.both_modules import ModuleFailures
from jobs.dimension_list import check_dimensions, is_under
from jobs.job import JobContext, JobReport
from learning.domain.pattern_key import MODULES, Module
from learning.evidence.aggregation import (
    FrozenReference,
    RegimeWeights,
    aggregated_scopes,
    frozen_reference,
)
from learning.evidence.block_statistics import clip_limits
from learning.evidence.edge_score import ScopeStatistics
from learning.evidence.scope_cube import ScopeCube
from learning.evidence.trade_events import GroupKey, TradeEvents
from learning.evidence.week_sums import week_sums
from learning.settings import Settings
from learning.store import (
    event_rows,
    group_mark_rows,
    mining_run_rows,
    regime_weight_rows,
    scope_stat_rows,
    state_rows,
    week_sum_rows,
)
from learning.store.group_mark_rows import GroupMark
from learning.store.scope_stat_rows import GroupRow

CALCULATION = "4"  # raised when the same trades give other statistics
ALL_FROM = 0.5  # share of the trades in changed groups from which all are read at once


@dataclass(frozen=True, slots=True)
class Measure:
    """What the statistics of a module are measured with, beside its trades."""

    module: Module
    outcome: str
    dims: tuple[str, ...]
    origins: tuple[str, ...]
    n_min: tuple[int, ...]
    reference: FrozenReference
    weights: RegimeWeights

    def salt(self) -> bytes:
        """Return a hash of all of it."""
        learned = [[*key, sorted(values.items())] for key, values in sorted(self.weights.items())]
        told = [
            CALCULATION, self.outcome, self.dims, sorted(self.origins), self.n_min,
            self.reference.to_json(), learned,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(told).encode()).digest()


@dataclass(frozen=True, slots=True)
class Aggregated:
    """What was done for a module: trades read, cells written, groups refreshed and removed."""

    n_events: int = 0
    n_cells: int = 0
    refreshed: tuple[GroupKey, ...] = ()
    removed: tuple[GroupKey, ...] = ()


def aggregate_scopes(context: JobContext) -> JobReport:
    """Aggregate both modules, each in one transaction."""
    rows_in = rows_out = 0
    refreshed: list[GroupKey] = []
    removed: list[GroupKey] = []
    failures = ModuleFailures()
    for module in MODULES:
        context.progress(0, None, f"aggregating {module}")
        with failures.kept(module):
            with context.transaction() as connection:
                done = aggregate_module(
                    connection, module, context.settings, is_sweep=context.trigger != "notify"
                )
            rows_in, rows_out = rows_in + done.n_events, rows_out + done.n_cells
            refreshed += done.refreshed
            removed += done.removed
    failures.tell()
    changed = {
        "groups_refreshed": len(refreshed),
        "groups_removed": len(removed),
        "groups": ["/".join(key) for key in refreshed[:20]],
    }
    return JobReport(rows_in, rows_out, changed)


def aggregate_module(
    connection: Connection, module: Module, settings: Settings, *, is_sweep: bool = False
) -> Aggregated:
    """Refresh the groups of one module whose trades, or what they are measured with, changed.

    What a group's cells rest on is fixed by its fingerprint: the ids of its trades and all that
    ``Measure`` holds. So the result is that of a rebuild, exactly.

    Args:
        is_sweep: Look at every group, not only at those whose events were written.

    Raises:
        ConfigError: If the settings name other dimensions, or another outcome, than those in
            force.
    """
    check_dimensions(connection, module, settings)
    outcome = provisional_outcome(connection, settings)
    if outcome is None:
        return Aggregated()
    if scope_stat_rows.dimensions_changed(connection, module, settings.dimensions(module)):
        scope_stat_rows.clear(connection, module)
    look = _look(connection, module, outcome, settings, is_sweep=is_sweep)
    scope_stat_rows.remove_groups(connection, module, look.removed)
    n_events, n_cells = _refresh(connection, look)
    if look.changed or look.removed:
        state_rows.touch(connection)
    return Aggregated(n_events, n_cells, look.changed, look.removed)


@dataclass(frozen=True, slots=True)
class _Look:
    """What a look at the groups of a module found.

    Attributes:
        measure: None where no group has trades.
        marks: Of the groups looked at, with their fingerprints.
        changed: Groups whose statistics are not those of their trades.
        removed: Stored groups without trades.
        n_others: Trades of the groups that keep their statistics.
    """

    measure: Measure | None
    marks: Mapping[GroupKey, GroupMark]
    prints: Mapping[GroupKey, bytes]
    changed: tuple[GroupKey, ...]
    removed: tuple[GroupKey, ...]
    n_others: int


def _look(
    connection: Connection, module: Module, outcome: str, settings: Settings, *, is_sweep: bool
) -> _Look:
    """Look at the groups whose events were written; at all where another measure is in force."""
    told = group_mark_rows.take_changed(connection, module)
    stored = scope_stat_rows.read_groups(connection, module)
    # one group that nobody wrote to: it tells whether all are measured as before
    witness = min(stored.keys() - told, key=lambda key: (stored[key].n, key), default=None)
    while True:
        asked = None if is_sweep or witness is None else {*told, witness}
        marks = group_mark_rows.read_marks(
            connection, module, outcome=outcome, origins=settings.origins, groups=asked
        )
        looked_at = stored.keys() if asked is None else stored.keys() & asked
        removed = tuple(sorted(looked_at - marks.keys()))
        measure = current_measure(connection, module, outcome, settings) if marks else None
        prints = {} if measure is None else fingerprints(marks, measure)
        changed = tuple(
            sorted(k for k in marks if k not in stored or stored[k].fingerprint != prints[k])
        )
        if asked is None or not ({*changed, *removed} - told):
            kept = stored.keys() - {*changed, *removed}
            n_others = sum(stored[key].n for key in kept)
            return _Look(measure, marks, prints, changed, removed, n_others)
        is_sweep = True  # the witness changed, and so may any other


def fingerprints(marks: Mapping[GroupKey, GroupMark], measure: Measure) -> dict[GroupKey, bytes]:
    """Return for each group a hash of everything its statistics depend on."""
    salt = measure.salt()
    return {
        key: hashlib.sha256(salt + f"{mark.n}/{mark.events_hash}".encode()).digest()
        for key, mark in marks.items()
    }


def current_measure(
    connection: Connection, module: Module, outcome: str, settings: Settings
) -> Measure:
    """Return what the last discovery look froze; before the first, what it would freeze now.

    A look under another list of dimensions is none: the next one follows under this list.
    """
    dims = settings.dimensions(module)
    look = mining_run_rows.last_discovery(connection, module, outcome)
    if look is None or not is_under(look, dims):
        reference = frozen_now(connection, module, outcome, dims, settings.origins)
    else:
        reference = FrozenReference.from_json(look.baselines)
    return Measure(
        module=module,
        outcome=outcome,
        dims=dims,
        origins=settings.origins,
        n_min=settings.n_min_by_size(),
        reference=reference,
        weights=regime_weight_rows.read_weights(connection, module),
    )


def frozen_now(
    connection: Connection,
    module: Module,
    outcome: str,
    dims: Sequence[str],
    origins: Sequence[str],
) -> FrozenReference:
    """Return the reference that a discovery look of this moment would freeze."""
    events = event_rows.read_trade_events(
        connection, module, outcome=outcome, dims=dims, origins=origins
    )
    limits = clip_limits(events)
    return frozen_reference(events, clip=(limits.low_rr, limits.high_rr))


def measured_groups(
    connection: Connection, groups: Sequence[GroupKey], measure: Measure, *, is_all: bool
) -> tuple[TradeEvents, ScopeCube, ScopeStatistics]:
    """Return the trades of some groups with their cells, in stored codes.

    Args:
        is_all: Whether the groups hold most trades of the module: then one scan of all of them is
            cheaper than looking the groups up.
    """
    events = event_rows.read_trade_events(
        connection,
        measure.module,
        outcome=measure.outcome,
        dims=measure.dims,
        origins=measure.origins,
        groups=None if is_all else groups,
    )
    if is_all:
        events = of_groups(events, groups)
    levels = scope_stat_rows.stored_levels(connection, measure.module, measure.dims, events.levels)
    coded = with_levels(events, levels)
    cube, statistics = aggregated_scopes(
        coded, measure.reference, n_min=measure.n_min, weights=measure.weights
    )
    return coded, cube, statistics


def of_groups(events: TradeEvents, groups: Sequence[GroupKey]) -> TradeEvents:
    """Return the events of some groups, as if no others had been read."""
    wanted = set(groups)
    inside = np.array([key in wanted for key in events.groups], dtype=np.bool_)
    if inside.all():
        return events
    code = np.cumsum(inside) - 1
    chosen = events.where(inside[events.group])
    return replace(
        chosen,
        group=code[chosen.group].astype(np.int32),
        groups=tuple(key for key in events.groups if key in wanted),
    )


def with_levels(events: TradeEvents, levels: Sequence[Sequence]) -> TradeEvents:
    """Return the events with their scope codes pointing into other lists of values."""
    columns = []
    for i, values in enumerate(levels):
        position = {value: code for code, value in enumerate(values)}
        own = [position[value] for value in events.levels[i]]
        columns.append(np.array([*own, -1], dtype=np.int16)[events.scope_codes[:, i]])
    return replace(
        events,
        scope_codes=np.column_stack(columns),
        levels=tuple(tuple(values) for values in levels),
    )


def _refresh(connection: Connection, look: _Look) -> tuple[int, int]:
    """Replace the cells of changed groups; return trades read and cells written."""
    if look.measure is None or not look.changed:
        return 0, 0
    n_changed = sum(look.marks[key].n for key in look.changed)
    events, cube, statistics = measured_groups(
        connection,
        look.changed,
        look.measure,
        is_all=n_changed > ALL_FROM * (n_changed + look.n_others),
    )
    mean, variance = cube.totals.avg_rr(), cube.totals.variance()
    rows = [
        GroupRow(
            key=key,
            n=int(cube.totals.n[i]),
            avg_rr=float(mean[i]),
            variance=float(variance[i]),
            fingerprint=look.prints[key],
            outcome=look.measure.outcome,
            origins=look.measure.origins,
        )
        for i, key in enumerate(events.groups)
    ]
    ids = scope_stat_rows.replace_groups(connection, look.measure.module, rows, cube, statistics)
    week_sum_rows.replace(connection, ids, week_sums(events, clip=look.measure.reference.clip))
    return events.n, len(cube)
