"""Checks of the whole system against its promises; each is one query and one sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.domain.levers import LEVERS
from learning.lessons.life_cycle import levers_of_effect
from learning.store import (
    alert_rows,
    decision_rows,
    inbox_count_rows,
    prescription_rows,
    strand_rows,
)
from learning.store.schema import learning_lessons, metadata

State = Literal["ok", "warning", "failed"]
QUARANTINE_WARNING = 0.02
QUARANTINE_FAILURE = 0.20
_FILLED_BY_A_FIRST_RUN = (
    "ad_strands", "strand_ledger", "trade_actions", "pattern_trade_events", "scope_groups",
    "scope_levels", "scope_stat_cells", "mining_runs",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found."""

    name: str
    state: State
    finding: str


def run_checks(connection: Connection) -> list[Check]:
    """Run every check."""
    return [check(connection) for check in CHECKS]


def _tables_exist(connection: Connection) -> Check:
    present = set(sa.inspect(connection).get_table_names())
    missing = sorted(set(metadata.tables) - present)
    finding = f"missing: {', '.join(missing)}" if missing else f"{len(metadata.tables)} tables"
    return Check("tables exist", "failed" if missing else "ok", finding)


def _tables_have_data(connection: Connection) -> Check:
    empty = [
        name
        for name in _FILLED_BY_A_FIRST_RUN
        if not _count(connection, f"SELECT count(*) FROM (SELECT FROM {name} LIMIT 1) one")  # noqa: S608
    ]
    finding = f"empty: {', '.join(empty)}" if empty else "every table of the loop is filled"
    return Check("tables have data", "warning" if empty else "ok", finding)


def _nothing_waits_long(connection: Connection) -> Check:
    n = _count(
        connection,
        "SELECT count(*) FROM ad_strands s WHERE s.created_at < now() - interval '5 hours' "
        "AND NOT EXISTS (SELECT FROM strand_ledger l WHERE l.strand_id = s.id)",
    )
    told = f"{n} strands wait for more than 5 h: is a worker running?"
    return Check("strands are ingested in time", "warning" if n else "ok", told if n else "all")


def _strands_accounted(connection: Connection) -> Check:
    accounts = strand_rows.accounts(connection)
    finding = (
        f"{accounts.strands} strands = {accounts.ingested} ingested + {accounts.quarantined} "
        f"quarantined + {accounts.ignored} ignored + {accounts.pending} pending"
    )
    return Check("every strand is accounted for", "ok" if accounts.balanced else "failed", finding)


def _inbox_counts(connection: Connection) -> Check:
    wrong = inbox_count_rows.count_departures(connection)
    return _none_of("counts of the inbox are what it holds", wrong, "blocks of ids that differ")


def _quarantine_share(connection: Connection) -> Check:
    accounts = strand_rows.accounts(connection)
    share = accounts.quarantined / accounts.strands if accounts.strands else 0.0
    state: State = "ok"
    if share > QUARANTINE_WARNING:
        state = "failed" if share > QUARANTINE_FAILURE else "warning"
    return Check("quarantine share", state, f"{share:.1%} of {accounts.strands} strands")


def _events_without_strand(connection: Connection) -> Check:
    n = _count(
        connection,
        "SELECT count(*) FROM pattern_trade_events e LEFT JOIN strand_ledger l "
        "ON l.strand_id = e.strand_id AND l.status = 'ingested' WHERE l.strand_id IS NULL",
    )
    return _none_of("events rest on ingested strands", n, "events whose strand was not ingested")


def _closes_without_events(connection: Connection) -> Check:
    n = _count(
        connection,
        "SELECT count(*) FROM strand_ledger l JOIN ad_strands s ON s.id = l.strand_id "
        "WHERE l.status = 'ingested' AND s.kind = 'position_closed' AND NOT EXISTS "
        "(SELECT FROM pattern_trade_events e WHERE e.strand_id = s.id)",
    )
    return _none_of("ingested closes have events", n, "ingested closes without an event")


def _trades_counted_once(connection: Connection) -> Check:
    n = _count(
        connection,
        "SELECT count(*) FROM (SELECT FROM pattern_trade_events "
        "GROUP BY bot, origin, trade_id, position_id HAVING count(DISTINCT strand_id) > 1) twice",
    )
    return _none_of("every trade is closed once", n, "trades with events of two closes")


def _provenance(connection: Connection) -> Check:
    rows = connection.execute(
        sa.text("SELECT provenance, count(*) FROM pattern_trade_events GROUP BY 1 ORDER BY 1")
    )
    shares: dict[str, int] = dict(rows.all())
    total = sum(shares.values())
    if not total:
        return Check("actions carry their fields", "warning", "no events yet")
    guessed = shares.get("reconstructed", 0) / total
    told = ", ".join(f"{name} {n / total:.1%}" for name, n in shares.items())
    return Check("actions carry their fields", "warning" if guessed > 0.05 else "ok", told)


def _stats_exist(connection: Connection) -> Check:
    rows = connection.execute(
        sa.text(
            "SELECT bit_count(scope_mask::int::bit(16)) AS k, count(*) FROM scope_stat_cells "
            "GROUP BY 1 ORDER BY 1"
        )
    )
    by_size: dict[int, int] = dict(rows.all())
    told = ", ".join(f"{k}: {n}" for k, n in by_size.items()) or "none"
    missing = [k for k in (1, 2, 3, 4) if k not in by_size]
    return Check("scope statistics by dimensions", "warning" if missing else "ok", told)


def _levers_within_bounds(connection: Connection) -> Check:
    c = learning_lessons.c
    rows = connection.execute(sa.select(c.id, c.effect)).all()
    wrong = [
        f"L-{lesson_id:04d} {name}"
        for lesson_id, effect in rows
        for name, value in levers_of_effect(effect).items()
        if name in LEVERS and not LEVERS[name].low <= value <= LEVERS[name].high
    ]
    state: State = "failed" if wrong else "ok"
    return Check("lever targets are within bounds", state, ", ".join(wrong[:5]) or "all")


def _lessons_have_payloads(connection: Connection) -> Check:
    c = learning_lessons.c
    rows = connection.execute(
        sa.select(c.id, c.effect).where(c.status.in_(("proposed", "active"))).order_by(c.id)
    ).all()
    without = [f"L-{lesson_id:04d}" for lesson_id, effect in rows if not levers_of_effect(effect)]
    told = f"{len(without)} of {len(rows)} lessons ask for nothing"
    named = f": {', '.join(without[:5])}" if without else ""
    return Check("lessons have payloads", "warning" if without else "ok", told + named)


def _overrides_of_active_lessons(connection: Connection) -> Check:
    n = _count(
        connection,
        "SELECT count(*) FROM pm_overrides o JOIN learning_lessons l ON l.id = o.lesson_id "
        "WHERE l.status <> 'active' OR l.version <> o.lesson_version",
    )
    return _none_of(
        "overrides belong to active lessons", n, "overrides whose lesson is not active as approved"
    )


def _expired_overrides(connection: Connection) -> Check:
    n = _count(connection, "SELECT count(*) FROM pm_overrides WHERE expires_at <= now()")
    return Check(
        "no override is past its end",
        "warning" if n else "ok",
        f"{n} past their end: bots ignore them; the next materialising removes them",
    )


def _expired_but_enabled(connection: Connection) -> Check:
    n = _count(
        connection,
        """
        SELECT count(*) FROM learning_configs c, jsonb_array_elements(
            (c.config_data -> 'pattern_strength_overrides')
            || (c.config_data -> 'pattern_overrides') || (c.config_data -> 'alloc_overrides')
        ) AS e
        JOIN learning_lessons l ON l.id = (e #>> '{lesson,id}')::bigint
        WHERE (e #>> '{lesson,enabled}')::boolean
            AND (e ->> 'expires_at')::timestamptz > now()
            AND (l.status <> 'active' OR l.expires_at <= now())
        """,
    )
    return _none_of(
        "nothing expired or disabled is enabled", n, "overrides that bots read beyond their lesson"
    )


def _active_lessons_are_materialised(connection: Connection) -> Check:
    n = _count(
        connection,
        "SELECT count(*) FROM learning_lessons l WHERE l.status = 'active' "
        "AND l.expires_at > now() AND l.activated_at < now() - interval '5 hours' "
        "AND NOT EXISTS (SELECT FROM pm_overrides o WHERE o.lesson_id = l.id)",
    )
    told = f"{n} active lessons without an override"
    return Check("active lessons are materialised", "warning" if n else "ok", told)


def _overrides_fresh(connection: Connection) -> Check:
    n = _count(
        connection,
        "SELECT count(*) FROM pm_overrides WHERE materialised_at < now() - interval '26 hours' "
        "AND epoch < (now() AT TIME ZONE 'UTC')::date - 1",
    )
    return Check("overrides are fresh", "warning" if n else "ok", f"{n} not stepped for a day")


def _snapshot_matches_overrides(connection: Connection) -> Check:
    n = _count(
        connection,
        """
        SELECT count(*) FROM (
            SELECT o.lesson_id FROM pm_overrides o WHERE NOT EXISTS (
                SELECT FROM learning_configs c,
                    jsonb_array_elements(
                        (c.config_data -> 'pattern_strength_overrides')
                        || (c.config_data -> 'pattern_overrides')
                        || (c.config_data -> 'alloc_overrides')
                    ) AS e
                WHERE c.module = o.module AND (e #>> '{lesson,id}')::bigint = o.lesson_id
            )
        ) AS missing
        """,
    )
    return _none_of("bots read what was materialised", n, "overrides missing in the snapshot")


def _guardrails(connection: Connection) -> Check:
    found = alert_rows.read_alerts(connection)
    told = ", ".join(f"{one.label} ({one.measure})" for one in found[:5])
    return Check(
        "no override does harm",
        "warning" if found else "ok",
        f"proposed to be disabled: {told}; ./run lessons says why" if found else "none known",
    )


def _applications_as_prescribed(connection: Connection) -> Check:
    wrong = prescription_rows.count_departures(connection)
    return _none_of("levers are those of their revision", wrong, "applications that say otherwise")


def _decision_chain(connection: Connection) -> Check:
    broken = decision_rows.verify_chain(connection)
    if broken is None:
        return Check("decisions are unbroken", "ok", "the chain holds")
    return Check("decisions are unbroken", "failed", f"decision {broken} was changed or removed")


def _meta_tables(connection: Connection) -> Check:
    names = ("learning_edge_history", "learning_latent_factors", "learning_regime_weights")
    lessons = _count(connection, "SELECT count(*) FROM learning_lessons")
    empty = [
        name
        for name in names
        if lessons and not _count(connection, f"SELECT count(*) FROM {name}")  # noqa: S608
    ]
    finding = f"empty: {', '.join(empty)}" if empty else "filled, or no lesson yet"
    return Check("meta tables fill", "warning" if empty else "ok", finding)


def _count(connection: Connection, query: str) -> int:
    return int(connection.execute(sa.text(query)).scalar_one())


def _none_of(name: str, n: int, what: str) -> Check:
    return Check(name, "failed" if n else "ok", f"{n} {what}")


CHECKS: Sequence[Callable[[Connection], Check]] = (
    _tables_exist,
    _tables_have_data,
    _strands_accounted,
    _inbox_counts,
    _nothing_waits_long,
    _quarantine_share,
    _events_without_strand,
    _closes_without_events,
    _trades_counted_once,
    _provenance,
    _stats_exist,
    _lessons_have_payloads,
    _levers_within_bounds,
    _overrides_of_active_lessons,
    _expired_overrides,
    _expired_but_enabled,
    _active_lessons_are_materialised,
    _overrides_fresh,
    _snapshot_matches_overrides,
    _applications_as_prescribed,
    _guardrails,
    _decision_chain,
    _meta_tables,
)
