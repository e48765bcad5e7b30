"""Refreshes the stored scope statistics of every group whose trades changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from sqlalchemy import Connection

from jobs.analysed_outcome import analysed_outcome
from jobs.job import JobContext, JobReport
from learning.domain.pattern_key import MODULES, Module
from learning.evidence.aggregation import (
    FrozenReference,
    RegimeWeights,
    aggregated_scopes,
    frozen_reference,
    group_fingerprints,
)
from learning.evidence.block_statistics import clip_limits
from learning.evidence.trade_events import TradeEvents
from learning.settings import Settings
from learning.store import (
    event_rows,
    mining_run_rows,
    regime_weight_rows,
    scope_stat_rows,
    state_rows,
)
from learning.store.scope_stat_rows import GroupRow

CALCULATION = "1"  # raised when the same trades give other statistics


def aggregate_scopes(context: JobContext) -> JobReport:
    """Aggregate both modules, each in one transaction."""
    rows_in = rows_out = refreshed = 0
    for module in MODULES:
        context.progress(0, None, f"aggregating {module}")
        with context.transaction() as connection:
            n_events, n_cells, n_groups = aggregate_module(connection, module, context.settings)
        rows_in, rows_out = rows_in + n_events, rows_out + n_cells
        refreshed += n_groups
    return JobReport(rows_in, rows_out, {"groups_refreshed": refreshed})


def aggregate_module(
    connection: Connection, module: Module, settings: Settings
) -> tuple[int, int, int]:
    """Refresh one module; return events read, cells written and groups refreshed."""
    outcome = analysed_outcome(connection, settings)
    if outcome is None:
        return 0, 0, 0
    dims = settings.dimensions(module)
    events = event_rows.read_trade_events(
        connection, module, outcome=outcome, dims=dims, origins=settings.origins
    )
    if scope_stat_rows.dimensions_changed(connection, module, dims):
        scope_stat_rows.clear(connection, module)
    stored = scope_stat_rows.read_groups(connection, module)
    scope_stat_rows.remove_groups(connection, module, sorted(set(stored) - set(events.groups)))
    if not events.n:
        return 0, 0, 0
    levels = scope_stat_rows.stored_levels(connection, module, dims, events.levels)
    coded = with_levels(events.canonical(), levels)
    reference = current_reference(connection, module, outcome, coded)
    weights = regime_weight_rows.read_weights(connection, module)
    prints = group_fingerprints(coded, reference, _salt(settings, weights, outcome))
    changed = [
        code
        for code, key in enumerate(coded.groups)
        if key not in stored or stored[key].fingerprint != prints[code]
    ]
    n_cells = _refresh(connection, module, coded, changed, prints, reference, weights, settings)
    if changed:
        state_rows.touch(connection)
    return events.n, n_cells, len(changed)


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


def current_reference(
    connection: Connection, module: Module, outcome: str, events: TradeEvents
) -> FrozenReference:
    """Return what the last discovery look froze; before the first, what it would freeze now."""
    look = mining_run_rows.last_discovery(connection, module, outcome)
    if look is not None:
        return FrozenReference.from_json(look.baselines)
    limits = clip_limits(events)
    return frozen_reference(events, clip=(limits.low_rr, limits.high_rr))


def _salt(settings: Settings, weights: RegimeWeights, outcome: str) -> str:
    learned = [[*key, sorted(values.items())] for key, values in sorted(weights.items())]
    told = json.dumps([CALCULATION, outcome, settings.n_min, learned])
    return hashlib.sha256(told.encode()).hexdigest()


def _refresh(
    connection: Connection,
    module: Module,
    events: TradeEvents,
    changed: Sequence[int],
    prints: Sequence[bytes],
    reference: FrozenReference,
    weights: RegimeWeights,
    settings: Settings,
) -> int:
    if not changed:
        return 0
    new_code = np.full(len(events.groups), -1, dtype=np.int32)
    new_code[list(changed)] = np.arange(len(changed), dtype=np.int32)
    chosen = events.where(new_code[events.group] >= 0)
    chosen = replace(
        chosen,
        group=new_code[chosen.group],
        groups=tuple(events.groups[code] for code in changed),
    )
    cube, statistics = aggregated_scopes(
        chosen, reference, n_min=settings.n_min_by_size(), weights=weights
    )
    mean, variance = cube.totals.avg_rr(), cube.totals.variance()
    rows = [
        GroupRow(
            key=chosen.groups[i],
            n=int(cube.totals.n[i]),
            avg_rr=float(mean[i]),
            variance=float(variance[i]),
            fingerprint=prints[code],
        )
        for i, code in enumerate(changed)
    ]
    return scope_stat_rows.replace_groups(connection, module, rows, cube, statistics)
