"""What a mining run works on, read in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from jobs.analysed_outcome import analysed_outcome
from jobs.dimension_list import check_dimensions, is_under, is_within
from learning.domain.pattern_key import Module
from learning.evidence.aggregation import RegimeWeights
from learning.evidence.trade_events import GroupKey, TradeEvents
from learning.lessons.path_selection import without_timing_choices
from learning.settings import Settings
from learning.store import (
    event_rows,
    lesson_rows,
    mining_run_rows,
    regime_weight_rows,
    scope_stat_rows,
)
from learning.store.event_rows import ActionDetails
from learning.store.lesson_rows import StoredLesson
from learning.store.mining_run_rows import StoredRun

_NET = "r_multiple_net"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a run of one module works on."""

    module: Module
    outcome: str
    events: TradeEvents
    net_events: TradeEvents | None
    n_without_outcome: int
    n_scopes_stored: int
    last_look: StoredRun | None
    lessons: tuple[StoredLesson, ...]
    weights: RegimeWeights
    now: datetime
    path_selected: tuple[GroupKey, ...] = ()  # adds and trims mined without the timing dimensions
    execution: Mapping[GroupKey, ActionDetails] = field(default_factory=dict)


def read_inputs(
    connection: Connection, module: Module, settings: Settings, now: datetime
) -> Inputs | None:
    """Read what a run needs; None where the module has neither trades nor lessons.

    Lessons whose trades are gone are still there: a run says that they cannot be measured. So
    it does of those whose scope names a dimension that is no longer configured.

    Raises:
        ConfigError: If the settings name other dimensions, or another outcome, than those in
            force.
    """
    check_dimensions(connection, module, settings)
    lessons = tuple(lesson_rows.read_lessons(connection, module))
    outcome = analysed_outcome(connection, settings)
    if outcome is None and lessons:
        outcome = lessons[-1].outcome
    if outcome is None:
        return None
    events = _events(connection, module, outcome, settings)
    if not events.n and not lessons:
        return None
    net = events if outcome == _NET else _events(connection, module, _NET, settings)
    events, path_selected = without_timing_choices(events, settings.timing_dimensions)
    inputs = Inputs(
        module=module,
        outcome=outcome,
        events=events,
        net_events=net if net.n else None,
        n_without_outcome=event_rows.count_without_outcome(
            connection, module, outcome=outcome, origins=settings.origins
        ),
        n_scopes_stored=scope_stat_rows.count_cells(connection, module),
        last_look=mining_run_rows.last_discovery(connection, module, outcome),
        lessons=tuple(one for one in lessons if is_within(one.scope, events.dims)),
        weights=regime_weight_rows.read_weights(connection, module),
        now=now,
        path_selected=path_selected,
    )
    return replace(inputs, execution=_execution(connection, inputs, settings))


def _execution(
    connection: Connection, inputs: Inputs, settings: Settings
) -> dict[GroupKey, ActionDetails]:
    """What trades missed and the signals they saw: of all groups for a look, else of lessons."""
    if inputs.module != "pm":
        return {}
    groups = {one.key for one in inputs.lessons if one.lesson_type == "pm_tuning"}
    if is_look_due(inputs, settings):
        groups = set(inputs.events.groups)
    return {
        key: event_rows.read_action_details(
            connection, inputs.module, key, origins=settings.origins
        )
        for key in sorted(groups)
    }


def _events(
    connection: Connection, module: Module, outcome: str, settings: Settings
) -> TradeEvents:
    return event_rows.read_trade_events(
        connection,
        module,
        outcome=outcome,
        dims=settings.dimensions(module),
        origins=settings.origins,
    )


def is_look_due(inputs: Inputs, settings: Settings) -> bool:
    """Say whether a discovery look may spend error: at first, then rarely or after growth.

    Without trades there is nothing to look at, and no error is spent.
    """
    if not inputs.events.n:
        return False
    last = inputs.last_look
    if last is None or not is_under(last, inputs.events.dims):
        return True  # under another list of dimensions other scopes are searched
    if "reference" not in last.details:
        return True  # the look before had too little to measure anything and found nothing
    waited = inputs.now - last.created_at >= timedelta(days=settings.discovery_interval_days)
    grown = n_trades(inputs.events) >= (1 + settings.discovery_growth) * last.n_trades
    return waited or grown


def n_trades(events: TradeEvents) -> int:
    """Count distinct trades."""
    return len(set(events.trade.tolist()))
