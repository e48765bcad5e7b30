"""What a mining run works on, read in one transaction.

A discovery look reads every trade. Any other run reads the groups of the lessons whose trades, or
what else they were measured on last, changed since; all other lessons would say what they say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection

from jobs.analysed_outcome import analysed_outcome
from jobs.dimension_list import check_dimensions, is_under, is_within
from jobs.mining_mark import Grounds
from learning.domain.pattern_key import Module
from learning.evidence.aggregation import RegimeWeights
from learning.evidence.trade_events import GroupKey, TradeEvents
from learning.lessons.confirmation import Prospect
from learning.lessons.path_selection import groups_behind, without_timing_choices
from learning.settings import Settings
from learning.store import (
    event_rows,
    lesson_mark_rows,
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
class Stale:
    """Which lessons a run measures; the others rest on what they were measured on last.

    Attributes:
        ids: Their ids; of every lesson at a look.
        marks: What each lesson rests on now; empty at a look.
        prospects: Of the open lessons that are not measured: what their later trades said.
    """

    ids: frozenset[int]
    marks: Mapping[int, str]
    prospects: Mapping[int, Prospect]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a run of one module works on.

    Attributes:
        module: ``pm`` or ``dm``.
        outcome: The analysed one.
        is_look: Whether this run is a discovery look.
        n_trades: Distinct trades there are, read or not.
        events: The trades of the groups that are read.
        net_events: The same with outcomes after costs; None where none has one.
        n_without_outcome: Trades left out for want of the outcome.
        n_scopes_stored: Scopes that the screens can show.
        last_look: The discovery look that froze the reference.
        lessons: Those whose scope is within the configured dimensions.
        stale: Which of them are measured.
        weights: What was learned of regimes.
        now: The database's clock.
        path_selected: Adds and trims mined without the timing dimensions.
        execution: What the trades of a group missed, and the signals they saw.
    """

    module: Module
    outcome: str
    is_look: bool
    n_trades: int
    events: TradeEvents
    net_events: TradeEvents | None
    n_without_outcome: int
    n_scopes_stored: int
    last_look: StoredRun | None
    lessons: tuple[StoredLesson, ...]
    stale: Stale
    weights: RegimeWeights
    now: datetime
    path_selected: tuple[GroupKey, ...] = ()
    execution: Mapping[GroupKey, ActionDetails] = field(default_factory=dict)


def read_inputs(
    connection: Connection,
    module: Module,
    settings: Settings,
    now: datetime,
    *,
    grounds: Grounds | None = None,
) -> Inputs | None:
    """Read what a run needs; None where the module has neither trades nor lessons.

    Lessons whose trades are gone are still there: a run says that they cannot be measured. So
    it does of those whose scope names a dimension that is no longer configured.

    Args:
        connection: In a transaction.
        module: ``pm`` or ``dm``.
        settings: The outcome, the dimensions, and when a look is due.
        now: The database's clock.
        grounds: What the lessons rest on now; None: every lesson is measured.

    Raises:
        ConfigError: If the settings name other dimensions, or another outcome, than those in
            force.
    """
    check_dimensions(connection, module, settings)
    known = _known(connection, module, settings, now)
    if known is None:
        return None
    stale = _stale(connection, module, known, grounds)
    measured = [one for one in known.lessons if one.lesson_id in stale.ids]
    read = _read(connection, module, known.outcome, settings, None if known.is_look else measured)
    dims, origins = settings.dimensions(module), settings.origins
    return Inputs(
        module=module,
        outcome=known.outcome,
        is_look=known.is_look,
        n_trades=known.n_trades,
        events=read.events,
        net_events=read.net_events,
        n_without_outcome=event_rows.count_without_outcome(
            connection, module, outcome=known.outcome, origins=origins
        ),
        n_scopes_stored=scope_stat_rows.count_cells(connection, module),
        last_look=known.last_look,
        lessons=tuple(one for one in known.lessons if is_within(one.scope, dims)),
        stale=stale,
        weights=regime_weight_rows.read_weights(connection, module),
        now=now,
        path_selected=read.path_selected,
        execution=read.execution,
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a module before its trades are read."""

    outcome: str
    lessons: Sequence[StoredLesson]
    n_trades: int
    last_look: StoredRun | None
    is_look: bool


def _known(
    connection: Connection, module: Module, settings: Settings, now: datetime
) -> _Known | None:
    lessons = lesson_rows.read_lessons(connection, module)
    outcome = analysed_outcome(connection, settings)
    if outcome is None and lessons:
        outcome = lessons[-1].outcome
    if outcome is None:
        return None
    n_trades = event_rows.count_trades(
        connection, module, outcome=outcome, origins=settings.origins
    )
    if not n_trades and not lessons:
        return None
    last = mining_run_rows.last_discovery(connection, module, outcome)
    is_look = is_look_due(last, n_trades, settings.dimensions(module), settings, now)
    return _Known(outcome, lessons, n_trades, last, is_look)


def is_look_due(
    last: StoredRun | None, n_trades: int, dims: Sequence[str], settings: Settings, now: datetime
) -> bool:
    """Say whether a discovery look may spend error: at first, then rarely or after growth.

    A search that had too little to test anything was no look: it is made anew until one tests.
    Without trades there is nothing to look at, and no error is spent.
    """
    if not n_trades:
        return False
    if last is None or not is_under(last, dims):
        return True  # under another list of dimensions other scopes are searched
    waited = now - last.created_at >= timedelta(days=settings.discovery_interval_days)
    grown = n_trades >= (1 + settings.discovery_growth) * last.n_trades
    return waited or grown


def _stale(connection: Connection, module: Module, known: _Known, grounds: Grounds | None) -> Stale:
    """Say which lessons rest on something else than when they were measured last.

    At a look all do, and where it is not known what they rest on.
    """
    marks: dict[int, str] = {}
    if grounds is not None and known.last_look is not None and not known.is_look:
        run_id = known.last_look.run_id
        marks = {
            one.lesson_id: grounds.of_lesson(one, reference_run=run_id) for one in known.lessons
        }
    kept = {
        lesson_id: stored.prospect
        for lesson_id, stored in lesson_mark_rows.read_marks(connection, module).items()
        if stored.rests_on == marks.get(lesson_id)
    }
    ids = frozenset(one.lesson_id for one in known.lessons if one.lesson_id not in kept)
    return Stale(ids, marks, {one: found for one, found in kept.items() if found is not None})


@dataclass(frozen=True, slots=True)
class _Read:
    """The trades that a run works on."""

    events: TradeEvents
    net_events: TradeEvents | None
    path_selected: tuple[GroupKey, ...]
    execution: Mapping[GroupKey, ActionDetails]


def _read(
    connection: Connection,
    module: Module,
    outcome: str,
    settings: Settings,
    measured: Sequence[StoredLesson] | None,
) -> _Read:
    """Read the trades of all groups, or of those that the measured lessons rest on."""
    behind = levels = None
    if measured is not None:
        behind = {group for one in measured for group in groups_behind(one.key)}
        levels = {one.key for one in measured if one.lesson_type == "level"}
    events = _events(connection, module, outcome, settings, behind)
    net = events if outcome == _NET else _events(connection, module, _NET, settings, levels)
    events, path_selected = without_timing_choices(events, settings.timing_dimensions)
    tuned = set(events.groups)
    if measured is not None:
        tuned = {one.key for one in measured if one.lesson_type == "pm_tuning"}
    execution = {
        key: event_rows.read_action_details(connection, module, key, origins=settings.origins)
        for key in sorted(tuned)
        if module == "pm"
    }
    return _Read(events, net if net.n else None, path_selected, execution)


def _events(
    connection: Connection,
    module: Module,
    outcome: str,
    settings: Settings,
    groups: Collection[GroupKey] | None,
) -> TradeEvents:
    return event_rows.read_trade_events(
        connection,
        module,
        outcome=outcome,
        dims=settings.dimensions(module),
        origins=settings.origins,
        groups=None if groups is None else sorted(groups),
    )
