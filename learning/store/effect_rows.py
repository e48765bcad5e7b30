"""Effects of overrides: applications joined with their outcomes, and what they came to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import distinct_on, insert

from learning.domain.pattern_key import Module
from learning.overrides.effect_record import (
    SIZE_LEVERS,
    AppliedTrades,
    EffectRecord,
    HorizonJudgement,
    Shrunk,
)
from learning.overrides.effects import IntArray, NotMeasured
from learning.store.closed_trade_rows import closed_trades, is_decided_on
from learning.store.decision_rows import approved_versions
from learning.store.schema import override_applications, override_effects

_DAY_S = 86400.0


def read_applied(
    connection: Connection, module: Module, *, outcome: str, origins: Sequence[str]
) -> dict[int, AppliedTrades]:
    """Return by lesson id the closed trades that its override, as last approved, took part in.

    A trade counts once per lesson, by its first application: what was decided first was decided
    without any knowledge of how it goes. It counts for the version it was decided by, and only
    the version that was last approved is judged: an earlier one may have claimed the opposite.
    Applications without a trade id, and trades that are open, have other origins or lack the
    outcome, are left out.

    Raises:
        ValueError: If the outcome is not one.
    """
    first, closed = _first_applications(module), closed_trades(outcome, origins)
    approved = approved_versions()
    query = (
        sa.select(first, closed.c.rr, closed.c.closed_at)
        .ext(distinct_on(first.c.lesson_id, closed.c.strand_id))
        .join_from(first, closed, is_decided_on(first, closed))
        .join(
            approved,
            sa.and_(
                first.c.lesson_id == approved.c.lesson_id,
                first.c.lesson_version == approved.c.lesson_version,
            ),
        )
        .order_by(first.c.lesson_id, closed.c.strand_id, first.c.decided_at, first.c.id)
    )
    rows: defaultdict[int, list[sa.Row]] = defaultdict(list)
    for row in sorted(connection.execute(query), key=lambda one: (one.decided_at, one.id)):
        rows[row.lesson_id].append(row)
    return {lesson_id: _applied(of_lesson) for lesson_id, of_lesson in rows.items()}


def _first_applications(module: Module) -> sa.Subquery:
    c = override_applications.c
    return (
        sa.select(
            c.id, c.lesson_id, c.lesson_version, c.latent_factor_id, c.bot, c.trade_id, c.origin,
            c.arm, c.p, c.levers_after, c.levers_would_be, c.decided_at,
        )
        .ext(distinct_on(c.lesson_id, c.bot, c.trade_id, c.origin))
        .where(c.module == module, c.trade_id.is_not(None), c.arm != "unassigned")
        .order_by(c.lesson_id, c.bot, c.trade_id, c.origin, c.decided_at, c.id)
        .subquery("first")
    )  # fmt: skip


def _applied(rows: Sequence[sa.Row]) -> AppliedTrades:
    return AppliedTrades(
        rr=np.array([row.rr for row in rows], dtype=np.float64),
        closed_at_days=np.array([_days(row.closed_at) for row in rows]),
        decided_at_days=np.array([_days(row.decided_at) for row in rows]),
        multiplier=np.array([_multiplier(row) for row in rows], dtype=np.float64),
        is_randomised=np.array(
            [bool(set(row.levers_would_be) - set(SIZE_LEVERS)) for row in rows], dtype=np.bool_
        ),
        treated=np.array([row.arm == "treated" for row in rows], dtype=np.bool_),
        p_treated=np.array([row.p for row in rows], dtype=np.float64),
        unit=_units(rows),
    )


def _units(rows: Sequence[sa.Row]) -> IntArray:
    """Number what drew its arm together: bots that take the same trade give it the same id."""
    codes: dict[tuple[str, str | None], int] = {}
    drawn = [(row.trade_id, row.latent_factor_id) for row in rows]
    return np.array([codes.setdefault(one, len(codes)) for one in drawn], dtype=np.int64)


def _days(moment: datetime) -> float:
    return moment.timestamp() / _DAY_S


def _multiplier(row: sa.Row) -> float | None:
    """The size that was in force; 1 where the override's own was set aside, None without one."""
    for lever in SIZE_LEVERS:
        if lever in row.levers_would_be:
            return float(row.levers_after.get(lever, 1.0))
    return None


NOTHING_APPLIED = _applied([])


def write(connection: Connection, effects: Mapping[int, Sequence[EffectRecord]]) -> int:
    """Insert or replace the effects of lessons, by lesson and measure; return how many."""
    rows = [
        {"lesson_id": lesson_id, **_row(record)}
        for lesson_id, records in effects.items()
        for record in records
    ]
    if rows:
        statement = insert(override_effects)
        replaced = {name: statement.excluded[name] for name in rows[0] if name != "lesson_id"}
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["lesson_id", "measure"],
                set_={**replaced, "computed_at": sa.func.now()},
            ),
            rows,
        )
    return len(rows)


def _row(record: EffectRecord) -> dict[str, Any]:
    """The columns of an effect."""
    names = (
        "measure", "n_treated", "n_held_out", "effect_rr", "ci_low_rr", "ci_high_rr",
        "absent_reason", "verdict", "is_guardrail_crossed", "sentence", "n_missing", "details",
    )  # fmt: skip
    return {
        **{name: getattr(record, name) for name in names},
        **_shrunk(record.shrunk),
        **_judged(record.horizon),
    }


def _shrunk(found: Shrunk | NotMeasured) -> dict[str, Any]:
    known = found if isinstance(found, Shrunk) else None
    return {
        "shrunk_rr": known and known.rr,
        "shrunk_low_rr": known and known.low_rr,
        "shrunk_high_rr": known and known.high_rr,
        "n_shrunk_together": known and known.n_together,
        "shrunk_absent_reason": found.reason if isinstance(found, NotMeasured) else None,
    }


def _judged(found: HorizonJudgement | NotMeasured) -> dict[str, Any]:
    known = found if isinstance(found, HorizonJudgement) else None
    return {
        "horizon_days": known and known.days,
        "horizon_rr": known and known.effect_rr,
        "horizon_low_rr": known and known.ci_low_rr,
        "horizon_high_rr": known and known.ci_high_rr,
        "horizon_q_value": known and known.q_value,
        "n_judged_together": known and known.n_judged,
        "horizon_verdict": known and known.verdict,
        "horizon_absent_reason": found.reason if isinstance(found, NotMeasured) else None,
    }
