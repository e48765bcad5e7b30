"""What the screens read; answers are kept until the data version moves."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import pandas as pd
import sqlalchemy as sa
import streamlit as st
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import distinct_on

from dashboard import formats
from dashboard.waiting_list import meets_active
from jobs.planned import PlannedRun, planned_runs
from jobs.timetable import JOBS
from learning.lessons.life_cycle import approvable, claimed_at, levers_of_effect
from learning.settings import Profile
from learning.store import (
    database,
    decision_rows,
    deferral_rows,
    inbox_count_rows,
    job_rows,
    people_rows,
    setup_rows,
    state_rows,
    switch_rows,
)
from learning.store.job_rows import QueuedRun
from learning.store.mining_run_rows import NEWEST_LOOK_FIRST, SEARCHED
from learning.store.people_rows import Approvals
from learning.store.schema import (
    LEVER_COLUMNS,
    ORIGINS,
    ad_strands,
    alerts,
    bot_heartbeats,
    import_batches,
    job_runs,
    learning_configs,
    learning_edge_history,
    learning_lessons,
    lesson_decisions,
    lesson_versions,
    mining_runs,
    override_applications,
    override_effects,
    override_history,
    pattern_trade_events,
    pm_overrides,
    strand_ledger,
)
from learning.store.state_rows import RuleChange, State
from learning.store.switch_rows import Switch

_TIMEOUT_MS = 20_000
_WORK_MEM = "48MB"
P = ParamSpec("P")
T = TypeVar("T")
_KEPT = 32
_KEPT_FOR = timedelta(minutes=10)  # an edition that is over is asked for by nobody
TOUCH_DAYS = 30
MOST_TRADES = 5_000


class Edition(NamedTuple):
    """Which data an answer belongs to: the database, and how far it has moved."""

    database: str
    generation: int
    data_version: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where to read, and the edition that answers are kept under."""

    engine: Engine
    edition: Edition


def kept(read: Callable[P, T]) -> Callable[P, T]:
    """Keep what a reader returns, by the edition it belongs to; nobody may change it.

    It is kept as it is: pickling thousands of lessons for each run of a page would take longer
    than all else. A frame is handed out as a view of its own, which copies what is written to.
    """
    cached = st.cache_resource(
        max_entries=_KEPT, ttl=_KEPT_FOR, show_spinner=False,
        hash_funcs={Source: lambda source: source.edition},
    )(read)  # fmt: skip

    @functools.wraps(read)
    def answer(*args: P.args, **kwargs: P.kwargs) -> T:
        found = cached(*args, **kwargs)
        return cast(T, found.copy(deep=False)) if isinstance(found, pd.DataFrame) else found

    return answer


class Group(NamedTuple):
    """A setup: what was traded, and what was done."""

    module: str
    pattern_key: str
    action_category: str


class Filters(NamedTuple):
    """What the sidebar leaves in. None or empty: no restriction."""

    module: str | None = None
    bot: str | None = None
    days: int | None = None  # counted back from the last closed trade
    pattern_key: str | None = None
    origins: tuple[str, ...] = ORIGINS  # those that count as evidence

    @property
    def narrows_trades(self) -> bool:
        """Whether they leave out trades that lessons rest on."""
        return self.bot is not None or self.days is not None


@dataclass(frozen=True)
class Health:
    """How the machine stands, read anew at every run of a page."""

    state: State
    switch: Switch
    now: datetime
    last_trade_at: datetime | None
    heartbeats: pd.DataFrame
    runs: Mapping[str, Mapping[str, Any]]  # the newest run of each job, by its name
    people: Mapping[str, str]
    approvals: Approvals  # kept by the database; a process may ask for more people
    profile: Profile = "v5"  # of the timetable

    def source(self, engine: Engine) -> Source:
        """Return where to read the edition that this is the health of."""
        name = engine.url.render_as_string(hide_password=True)
        return Source(engine, Edition(name, self.state.generation, self.state.data_version))


@dataclass(frozen=True)
class Reach:
    """What a lesson's levers would meet, counted on the trades of the last days of data.

    Attributes:
        n_touched: Distinct trades of its setup and context.
        n_setup: Distinct trades of its setup.
        last_trade_at: Where those days end.
        overlaps: Active overrides that meet some of the same trades.
    """

    n_touched: int
    n_setup: int
    last_trade_at: datetime | None
    overlaps: pd.DataFrame


def read_health(engine: Engine, profile: Profile = "v5") -> Health:
    """Read state, switch, heartbeats and the newest run of each job in one transaction."""
    with database.transaction(engine, read_only=True, statement_timeout_ms=_TIMEOUT_MS) as c:
        return Health(
            state=state_rows.read_state(c),
            switch=switch_rows.read_switch(c),
            now=job_rows.database_now(c),
            last_trade_at=c.scalar(sa.select(sa.func.max(pattern_trade_events.c.closed_at))),
            heartbeats=_frame(c, sa.select(bot_heartbeats).order_by(bot_heartbeats.c.bot)),
            runs=_runs(c),
            people={one.name: one.role for one in people_rows.read_people(c)},
            approvals=people_rows.read_approvals(c),
            profile=profile,
        )


def _runs(connection: Connection) -> dict[str, Mapping[str, Any]]:
    paused = job_rows.read_pauses(connection)
    last = job_rows.last_runs(connection, list(JOBS))
    return {row["job"]: {**row, "is_paused": row["job"] in paused} for row in last}


def _frame(connection: Connection, query: sa.Select[Any]) -> pd.DataFrame:
    result = connection.execute(query)
    return pd.DataFrame(result.mappings().all(), columns=list(result.keys()))


def sum_in_memory(connection: Connection) -> None:
    """Let what follows in the transaction be grouped in memory: sorting on disk takes thrice."""
    connection.execute(sa.select(sa.func.set_config("work_mem", _WORK_MEM, True)))


def _read(engine: Engine, query: sa.Select[Any]) -> pd.DataFrame:
    with database.transaction(engine, read_only=True, statement_timeout_ms=_TIMEOUT_MS) as c:
        return _frame(c, query)


# ------------------------------------------------------------------ lessons
_STATS = (
    "delta_group_rr",
    "posterior_mean_rr",
    "ci_low_rr",
    "ci_high_rr",
    "q_value",
    "z",
    "critical_z",
    "lfsr",
    "se_rr",
    "own_mean_rr",
    "delta_q25_rr",
    "incremental_edge",
    "edge_raw",
    "incremental_ci_low_rr",
    "incremental_ci_high_rr",
    "n_effective_blocks",
)


@kept
def read_lessons(source: Source) -> pd.DataFrame:
    """Return every lesson, one row each, its numbers as columns."""
    query = sa.select(learning_lessons).order_by(learning_lessons.c.id)
    found = _described(_read(source.engine, query))
    found["meets_active"] = meets_active(found)
    return found


@kept
def read_lesson(source: Source, lesson_id: int | None) -> pd.DataFrame:
    """Return one lesson, described as all are, or no row; what others do is not told."""
    query = sa.select(learning_lessons).where(learning_lessons.c.id == lesson_id)
    return _described(_read(source.engine, query))


def _described(found: pd.DataFrame) -> pd.DataFrame:
    for name in _STATS:
        numbers = [_number(stats.get(name)) for stats in found["stats"]]
        found[name] = pd.Series(numbers, index=found.index, dtype="float64")
    found["claimed_at"] = _objects(
        [
            claimed_at(stats, at)
            for stats, at in zip(found["stats"], found["discovered_at"], strict=True)
        ]
    )
    found["label"] = [f"L-{lesson_id:04d}" for lesson_id in found["id"]]
    found["setup"] = [
        formats.setup(key, category)
        for key, category in zip(found["pattern_key"], found["action_category"], strict=True)
    ]
    found["scope"] = _objects(
        [_in_order(*p) for p in zip(found["scope_dims"], found["scope_values"], strict=True)]
    )
    found["context"] = [formats.scope(values) for values in found["scope"]]
    found["levers"] = _objects([levers_of_effect(effect) for effect in found["effect"]])
    found["change"] = [formats.change(levers) for levers in found["levers"]]
    found["is_approvable"] = [approvable(stats) for stats in found["stats"]]
    found["half_life_days"] = found["decay_halflife_hours"].astype("float64") / 24
    # what the change is about: the cautious quartile of the edge, times the trades it was seen on
    found["value_rr"] = found["delta_q25_rr"].abs() * found["n"]
    return found


def _objects(values: Sequence[object]) -> pd.Series:
    return pd.Series(list(values), dtype=object)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _in_order(dims: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in dims if name in values}


def of_filters(lessons: pd.DataFrame, filters: Filters) -> pd.DataFrame:
    """Return the lessons of a module and setup: the only filters that lessons obey."""
    if filters.module is None and filters.pattern_key is None:
        return lessons
    kept = pd.Series(True, index=lessons.index)
    if filters.module is not None:
        kept &= lessons["module"] == filters.module
    if filters.pattern_key is not None:
        kept &= lessons["pattern_key"] == filters.pattern_key
    return lessons[kept]


def offered(lessons: pd.DataFrame, outcome: str) -> dict[str, int]:
    """Count the lessons on the analysed outcome that were offered, approved, and confirmed since.

    Those of levels rest on the outcome after costs, whichever is analysed.
    """
    own = (lessons["outcome"] == outcome) | (lessons["lesson_type"] == "level")
    approved = own & lessons["activated_at"].notna()
    proposed = approved | (own & lessons["status"].isin(["proposed", "rejected"]))
    confirmed = approved & (lessons["confirmation"] == "confirmed")
    return {
        "proposed": int(proposed.sum()),
        "approved": int(approved.sum()),
        "confirmed": int(confirmed.sum()),
    }


@kept
def read_history(source: Source, lesson_id: int) -> pd.DataFrame:
    """Return the edge of each time window of a lesson, and the fit beside it."""
    c = learning_edge_history.c
    return _read(
        source.engine,
        sa.select(learning_edge_history).where(c.lesson_id == lesson_id).order_by(c.window_start),
    )


@kept
def read_decisions(source: Source, lesson_id: int | None) -> pd.DataFrame:
    """Return the newest decisions, of one lesson or of all."""
    with database.transaction(source.engine, read_only=True) as c:
        rows = decision_rows.read_decisions(c, lesson_id=lesson_id)
    columns = (
        "id",
        "lesson_id",
        "lesson_version",
        "decision",
        "from_status",
        "to_status",
        "decided_by",
        "decided_at",
        "reason",
        "source",
        "evidence",
    )
    return pd.DataFrame([{n: getattr(row, n) for n in columns} for row in rows], columns=columns)


@kept
def read_versions(source: Source, lesson_id: int) -> pd.DataFrame:
    """Return the versions of a lesson, the newest first."""
    c = lesson_versions.c
    return _read(
        source.engine,
        sa.select(c.version, c.reason, c.created_at, c.snapshot)
        .where(c.lesson_id == lesson_id)
        .order_by(c.version.desc()),
    )


@kept
def read_looks(source: Source) -> pd.DataFrame:
    """Return the newest discovery look of each module; before the first, the newest search.

    That had too little to test anything, and says so.
    """
    c = mining_runs.c
    newest = (
        sa.select(
            c.module,
            c.id,
            c.look,
            c.outcome,
            c.fdr_level,
            c.n_trades,
            c.n_without_outcome,
            c.counts,
            c.created_at,
            c.details["reason"].as_string().label("reason"),
            c.details["groups"].label("groups"),
            c.clip_low_rr,
            c.clip_high_rr,
        )
        .where(SEARCHED)
        .ext(distinct_on(c.module))
        .order_by(c.module, *NEWEST_LOOK_FIRST)
    )
    return _read(source.engine, newest)


# ------------------------------------------------------------------ overrides
@kept
def read_overrides(source: Source) -> pd.DataFrame:
    """Return what bots apply: one row per override, its levers under their names."""
    found = _read(source.engine, sa.select(pm_overrides).order_by(pm_overrides.c.id))
    names = {column: lever for lever, column in LEVER_COLUMNS.items()}
    found["levers"] = _objects(
        [
            {names[c]: float(row[c]) for c in names if pd.notna(row[c])}
            for row in found.to_dict("records")
        ]
    )
    return found


@kept
def read_effects(source: Source) -> pd.DataFrame:
    """Return what is known of each override's effect."""
    return _read(source.engine, sa.select(override_effects).order_by(override_effects.c.lesson_id))


def read_open_alerts(engine: Engine) -> pd.DataFrame:
    """Return the open alerts with their lessons as they stand now, the newest first.

    Each proposes to disable its lesson: of one that is no longer active nothing is left to tell,
    though a job has yet to close it. Read anew each time: marking one as seen moves no data
    version.
    """
    lesson = learning_lessons.c
    query = (
        sa.select(alerts, lesson.module, lesson.pattern_key, lesson.version, lesson.status)
        .join(learning_lessons, lesson.id == alerts.c.lesson_id)
        .where(alerts.c.closed_at.is_(None), lesson.status == "active")
        .order_by(alerts.c.id.desc())
    )
    return _read(engine, query)


@kept
def read_override_moves(source: Source, lesson_id: int | None = None) -> pd.DataFrame:
    """Return the newest moves of overrides."""
    query = sa.select(override_history).order_by(override_history.c.id.desc()).limit(1000)
    if lesson_id is not None:
        query = query.where(override_history.c.lesson_id == lesson_id)
    return _read(source.engine, query)


@kept
def read_reach(source: Source, lesson_id: int, group: Group, scope: Mapping[str, Any]) -> Reach:
    """Count the trades a lesson would touch, and those that active overrides touch too."""
    with database.transaction(source.engine, read_only=True, statement_timeout_ms=_TIMEOUT_MS) as c:
        last = c.scalar(
            sa.select(sa.func.max(pattern_trade_events.c.closed_at)).where(
                pattern_trade_events.c.module == group.module
            )
        )
        if last is None:
            return Reach(0, 0, None, pd.DataFrame())
        since = last - timedelta(days=TOUCH_DAYS)
        return Reach(
            n_touched=_count_trades(c, group, since, scope),
            n_setup=_count_trades(c, group, since, {}),
            last_trade_at=last,
            overlaps=_overlaps(c, lesson_id, group, scope, since),
        )


def _count_trades(
    connection: Connection, group: Group, since: datetime, *scopes: Mapping[str, Any]
) -> int:
    e = pattern_trade_events.c
    query = sa.select(sa.func.count(sa.distinct(e.strand_id))).where(
        e.module == group.module,
        e.pattern_key == group.pattern_key,
        e.action_category == group.action_category,
        e.closed_at > since,
        *(e.scope.contains(dict(scope)) for scope in scopes),
    )
    return int(connection.scalar(query) or 0)


def _overlaps(
    connection: Connection,
    lesson_id: int,
    group: Group,
    scope: Mapping[str, Any],
    since: datetime,
) -> pd.DataFrame:
    o = pm_overrides.c
    others = connection.execute(
        sa.select(pm_overrides).where(
            o.module == group.module,
            o.pattern_key == group.pattern_key,
            o.action_category == group.action_category,
            o.lesson_id != lesson_id,
        )
    ).mappings()
    rows = []
    for other in others:
        shared = _count_trades(connection, group, since, scope, other["scope_values"])
        levers = {n: other[c] for n, c in LEVER_COLUMNS.items() if other[c] is not None}
        if shared:
            rows.append(
                {
                    "lesson_id": other["lesson_id"],
                    "scope": other["scope_values"],
                    "levers": levers,
                    "lesson_type": other["lesson_type"],
                    "latent_factor_id": other["latent_factor_id"],
                    "n_shared": shared,
                }
            )
    columns = ["lesson_id", "scope", "levers", "lesson_type", "latent_factor_id", "n_shared"]
    return pd.DataFrame(rows, columns=columns)


# ------------------------------------------------------------------ choices of the filters
@kept
def read_choices(source: Source) -> tuple[list[str], list[Group]]:
    """Return the bots and the setups that closed trades know."""
    with database.transaction(source.engine, read_only=True, statement_timeout_ms=_TIMEOUT_MS) as c:
        return setup_rows.list_bots(c), [Group(*row) for row in setup_rows.list_setups(c)]


def read_job_counts(engine: Engine) -> tuple[int, int]:
    """Return how many runs of the last 24 h went well, and how many failed or were lost."""
    r = job_runs.c
    query = sa.select(
        sa.func.count().filter(r.status == "ok"),
        sa.func.count().filter(r.status.in_(["failed", "lost"])),
    ).where(r.queued_at > sa.func.now() - timedelta(days=1))
    with database.transaction(engine, read_only=True) as connection:
        ok, failed = connection.execute(query).one()
    return int(ok), int(failed)


@kept
def read_expiry(source: Source, half_life_hours: float | None) -> datetime | None:
    """Return when an override approved now would end."""
    known = None if half_life_hours is None or pd.isna(half_life_hours) else float(half_life_hours)
    with database.transaction(source.engine, read_only=True) as connection:
        ends: datetime | None = connection.scalar(
            sa.select(sa.func.lesson_expiry(sa.cast(known, sa.Double)))
        )
    return ends


@dataclass(frozen=True)
class Snapshot:
    """What bots read, of one moment."""

    configs: Mapping[str, Any]
    flags: Mapping[str, bool]
    generation: int
    revision: int
    overrides_on: bool
    read_at: datetime


def read_flags(engine: Engine) -> dict[str, bool]:
    """Return every feature flag."""
    with database.transaction(engine, read_only=True) as connection:
        return state_rows.read_flags(connection)


def read_put_off(engine: Engine, person: str) -> dict[int, datetime]:
    """Return by lesson id until when a person put it off; read anew each time."""
    with database.transaction(engine, read_only=True) as connection:
        return deferral_rows.read_deferred(connection, person=person)


def read_snapshot(engine: Engine) -> Snapshot:
    """Read what bots read."""
    with database.transaction(engine, read_only=True) as c:
        state = state_rows.read_state(c)
        rows = c.execute(sa.select(learning_configs.c.module, learning_configs.c.config_data))
        return Snapshot(
            configs={row.module: row.config_data for row in rows},
            flags=state_rows.read_flags(c),
            generation=state.generation,
            revision=state.revision,
            overrides_on=switch_rows.read_switch(c).overrides_on,
            read_at=job_rows.database_now(c),
        )


@kept
def read_touched(source: Source) -> pd.DataFrame:
    """Return per lesson how many decisions its override touched, by arm, and when last."""
    a = override_applications.c
    query = sa.select(
        a.lesson_id,
        sa.func.count().label("n"),
        sa.func.count().filter(a.arm == "treated").label("treated"),
        sa.func.count().filter(a.arm == "held_out").label("held_out"),
        sa.func.max(a.decided_at).label("last_at"),
    ).group_by(a.lesson_id)
    return _read(source.engine, query)


@dataclass(frozen=True)
class Exposed:
    """Trades of the last days of data: by override those in its context, and all of them."""

    by_lesson: Mapping[int, int]
    n_trades: int
    days: int


@kept
def read_exposure(source: Source, days: int = TOUCH_DAYS) -> Exposed:
    """Count the trades that each override in force speaks about, applied or not."""
    e, o = pattern_trade_events.c, pm_overrides.c
    trade = sa.func.count(sa.distinct(e.strand_id))
    with database.transaction(source.engine, read_only=True, statement_timeout_ms=_TIMEOUT_MS) as c:
        last = c.scalar(sa.select(sa.func.max(e.closed_at)))
        if last is None:
            return Exposed({}, 0, days)
        recent = e.closed_at > last - timedelta(days=days)
        same_setup = (
            (e.module == o.module)
            & (e.pattern_key == o.pattern_key)
            & (e.action_category == o.action_category)
        )
        query = (
            sa.select(o.lesson_id, trade)
            .join_from(pm_overrides, pattern_trade_events, same_setup)
            .where(recent, e.scope.contains(o.scope_values))
            .group_by(o.lesson_id)
        )
        found = {lesson_id: int(n) for lesson_id, n in c.execute(query)}
        return Exposed(found, int(c.scalar(sa.select(trade).where(recent)) or 0), days)


def read_runs(
    engine: Engine, *, days: int = 7, limit: int = 1000, n_arrivals: int = 200
) -> pd.DataFrame:
    """Return the runs of the last days, the newest first.

    Of those that went well for an arrival only the newest: under a busy bot they come by the
    thousand, and none of the others would be seen.
    """
    r = job_runs.c
    is_recent = r.queued_at > sa.func.now() - timedelta(days=days)
    is_arrival = sa.and_(r.run_trigger == "notify", r.status == "ok")
    newest = [
        sa.select(r.id).where(is_recent, kind).order_by(r.id.desc()).limit(most)
        for kind, most in ((is_arrival, n_arrivals), (~is_arrival, limit))
    ]
    ids = sa.union_all(*(sa.select(part.subquery()) for part in newest))
    return _read(engine, sa.select(job_runs).where(r.id.in_(ids)).order_by(r.id.desc()))


@dataclass(frozen=True, slots=True)
class Plan:
    """How every job stands, and the database's clock as it was read.

    Attributes:
        jobs: Each job of the timetable.
        queue: What waits to be run.
        under_way: What tells apart runs that go on, or wait for the worker now.
        now: When this was read.
    """

    jobs: tuple[PlannedRun, ...]
    queue: tuple[QueuedRun, ...]
    under_way: tuple[tuple[int, str], ...]
    now: datetime


def read_plan(engine: Engine, profile: Profile) -> Plan:
    """Return how every job stands and what waits for the worker."""
    with database.transaction(engine, read_only=True) as connection:
        return Plan(
            jobs=planned_runs(connection, profile),
            queue=tuple(job_rows.read_queue(connection)),
            under_way=tuple((run.id, run.status) for run in connection.execute(UNDER_WAY)),
            now=job_rows.database_now(connection),
        )


UNDER_WAY = (
    sa.select(job_runs.c.id, job_runs.c.job, job_runs.c.status, job_runs.c.changed)
    .where(
        sa.or_(
            job_runs.c.status == "running",
            sa.and_(
                job_runs.c.status == "queued",
                # under a busy bot one for an arrival waits at nearly every moment
                job_runs.c.run_trigger != "notify",
                job_runs.c.slot <= sa.func.clock_timestamp(),
            ),
        )
    )
    .order_by(job_runs.c.id)
)


def read_under_way(engine: Engine) -> pd.DataFrame:
    """Return the runs that go on, with how far they are, and those that wait for the worker."""
    return _read(engine, UNDER_WAY)


def read_run(engine: Engine, run_id: int) -> dict[Any, Any] | None:
    """Return one run whole; None where it is not stored."""
    found = _read(engine, sa.select(job_runs).where(job_runs.c.id == run_id))
    return None if found.empty else dict(found.iloc[0])


@kept
def read_switch_turns(source: Source) -> pd.DataFrame:
    """Return the turns of the kill switch, the newest first."""
    with database.transaction(source.engine, read_only=True) as c:
        turns = switch_rows.read_switch_history(c, limit=500)
    columns = ["overrides_on", "reason", "changed_by", "changed_at", "switch_revision"]
    return pd.DataFrame([{n: getattr(t, n) for n in columns} for t in turns], columns=columns)


@kept
def read_rule_changes(source: Source) -> pd.DataFrame:
    """Return the changes of who decides, how many approve and flags, the newest first."""
    with database.transaction(source.engine, read_only=True) as c:
        changes = state_rows.read_rule_changes(c)
    columns = [field.name for field in fields(RuleChange)]
    return pd.DataFrame([asdict(one) for one in changes], columns=columns)


@kept
def read_chain(source: Source) -> tuple[int | None, str, int]:
    """Return the first broken decision (None: the chain holds), its head, and its length."""
    with database.transaction(source.engine, read_only=True, statement_timeout_ms=_TIMEOUT_MS) as c:
        length = c.scalar(sa.select(sa.func.count()).select_from(lesson_decisions))
        return decision_rows.verify_chain(c), decision_rows.chain_head(c), int(length or 0)


@kept
def read_inbox(source: Source) -> dict[str, int]:
    """Return the accounts of the inbox: strands, ingested, quarantined, ignored, pending."""
    with database.transaction(source.engine, read_only=True, statement_timeout_ms=_TIMEOUT_MS) as c:
        return asdict(inbox_count_rows.accounts_now(c))


@kept
def read_refused(source: Source, limit: int = 500) -> pd.DataFrame:
    """Return the newest strands that were quarantined or ignored, with their reasons."""
    g, s = strand_ledger.c, ad_strands.c
    query = (
        sa.select(s.id, g.status, g.reason, s.kind, s.bot, s.trade_id, s.created_at)
        .join_from(strand_ledger, ad_strands)
        .where(g.status != "ingested")
        .order_by(s.id.desc())
        .limit(limit)
    )
    return _read(source.engine, query)


@kept
def read_imports(source: Source) -> pd.DataFrame:
    """Return the imports, the newest first."""
    return _read(
        source.engine, sa.select(import_batches).order_by(import_batches.c.id.desc()).limit(200)
    )


@kept
def read_trades(
    source: Source,
    group: Group,
    scope: Mapping[str, Any],
    outcome: str,
    limit: int = MOST_TRADES,
) -> pd.DataFrame:
    """Return the trades in a scope of a setup, each with its outcome, the newest first."""
    e = pattern_trade_events.c
    query = (
        sa.select(
            e.closed_at, e.bot, e.trade_id, e.symbol, e.side, e.origin,
            e[outcome].label("rr"), e.provenance,
        )
        .where(
            e.module == group.module,
            e.pattern_key == group.pattern_key,
            e.action_category == group.action_category,
            e.seq == 0,
            e[outcome].is_not(None),
            e.scope.contains(dict(scope)),
        )
        .order_by(e.closed_at.desc())
        .limit(limit)
    )  # fmt: skip
    return _read(source.engine, query)


@kept
def read_spread(
    source: Source, group: Group, scope: Mapping[str, Any], outcome: str, low: float, high: float
) -> pd.DataFrame:
    """Count the outcomes of a setup in 40 bins, inside and outside a scope.

    Args:
        low: Lower end of the bins, R; what lies below is counted in bin 0.
        high: Upper end; what lies above is counted in bin 41.
    """
    e = pattern_trade_events.c
    inside = e.scope.contains(dict(scope)).label("is_inside")
    clipped = sa.func.least(sa.func.greatest(e[outcome], low), high)
    query = (
        sa.select(
            inside,
            sa.func.width_bucket(e[outcome], low, high, 40).label("bin"),
            sa.func.count().label("n"),
            sa.func.sum(clipped).label("total"),
        )
        .where(
            e.module == group.module,
            e.pattern_key == group.pattern_key,
            e.action_category == group.action_category,
            e.seq == 0,
            e[outcome].is_not(None),
        )
        .group_by(sa.text("1"), sa.text("2"))
    )
    return _read(source.engine, query)
