"""How effects came about: sums of size over time, comparisons of arms, and who met what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB, distinct_on

from dashboard.queries import Filters, Source, kept
from learning.overrides.effect_path import (
    Balance,
    EffectPath,
    balance,
    comparison_path,
    randomised,
    uplift_path,
)
from learning.overrides.effect_record import AppliedTrades, PatternTrades
from learning.overrides.effects import Effect, sample_ratio, size_uplift
from learning.overrides.holding import old_enough
from learning.store import database, effect_rows, job_rows
from learning.store.applied_size_rows import SizedTrade, read_sized_trades
from learning.store.closed_trade_rows import closed_trades, is_decided_on
from learning.store.decision_rows import approved_versions
from learning.store.schema import (
    learning_lessons,
    lesson_decisions,
    override_applications,
    pattern_trade_events,
)

MONEY_DAYS = 30
_TIMEOUT_MS = 20_000
_EPOCH_S = 86400.0


@dataclass(frozen=True, slots=True)
class Money:
    """What size earned in money over the last days of data.

    Attributes:
        amount: Sum over the measurable trades; None where none is.
        low: Lower end of the 95 % interval of such a sum, by weeks; None where there are too few.
        high: Upper end.
        currency: Of the measurable trades.
        n_measurable: Trades whose profit is told in that currency.
        n: Trades that overrides sized.
    """

    amount: float | None
    low: float | None
    high: float | None
    currency: str | None
    n_measurable: int
    n: int


@dataclass(frozen=True, slots=True)
class Uplift:
    """What size earned in all, by the trades of all overrides."""

    path: EffectPath
    money: Money


@kept
def read_uplift(source: Source, outcome: str, filters: Filters) -> Uplift | None:
    """Return what size earned over time and in money; None where no sized trade has closed."""
    with database.transaction(source.engine, read_only=True, statement_timeout_ms=_TIMEOUT_MS) as c:
        trades = read_sized_trades(
            c,
            outcome=outcome,
            origins=filters.origins,
            module=filters.module,
            pattern_key=filters.pattern_key,
        )
    if filters.bot is not None:
        trades = [one for one in trades if one.bot == filters.bot]
    trades = _since(trades, filters.days)
    if not trades:
        return None
    return Uplift(_path_of(trades), money_of(_since(trades, MONEY_DAYS)))


def _since(trades: list[SizedTrade], days: int | None) -> list[SizedTrade]:
    if days is None or not trades:
        return trades
    start = trades[-1].closed_at - timedelta(days=days)
    return [one for one in trades if one.closed_at > start]


def _path_of(trades: list[SizedTrade]) -> EffectPath:
    return uplift_path(
        np.array([one.multiplier for one in trades]),
        np.array([one.rr for one in trades]),
        np.array([_days(one.closed_at) for one in trades]),
    )


def _days(moment: datetime) -> float:
    return moment.timestamp() / _EPOCH_S


def money_of(trades: list[SizedTrade]) -> Money:
    """Add up what size earned in money; what has no currency, or another one, is only counted."""
    told = pd.Series([one.currency for one in trades if one.effect_amount is not None])
    if told.empty:
        return Money(None, None, None, None, 0, len(trades))
    currency = str(told.value_counts().index[0])
    known = [one for one in trades if one.effect_amount is not None and one.currency == currency]
    amounts = [one.effect_amount or 0.0 for one in known]
    low, high = _range_of_sum(known, amounts)
    return Money(sum(amounts), low, high, currency, len(known), len(trades))


def _range_of_sum(
    trades: list[SizedTrade], amounts: list[float]
) -> tuple[float | None, float | None]:
    found = size_uplift(
        np.full(len(amounts), 2.0),
        np.array(amounts),
        np.array([_days(one.closed_at) for one in trades]),
    ).uplift
    if not isinstance(found, Effect):
        return None, None
    return found.fixed_low_rr * found.n, found.fixed_high_rr * found.n


@kept
def read_turns(source: Source, lesson_id: int | None = None) -> list[tuple[datetime, str]]:
    """Return when lessons came into force and went out of it, with their names."""
    d = lesson_decisions.c
    query = (
        sa.select(d.decided_at, d.lesson_id, d.to_status)
        .where(
            sa.or_(
                sa.and_(d.to_status == "active", d.from_status != "active"),
                sa.and_(d.from_status == "active", d.to_status != "active"),
            )
        )
        .order_by(d.decided_at)
    )
    if lesson_id is not None:
        query = query.where(d.lesson_id == lesson_id)
    with database.transaction(source.engine, read_only=True) as connection:
        rows = connection.execute(query).all()
    words = {"active": "approved", "proposed": "sent back"}
    return [
        (row.decided_at, f"L-{row.lesson_id:04d} {words.get(row.to_status, row.to_status)}")
        for row in rows
    ]


# ------------------------------------------------------------------ one override
@dataclass(frozen=True)
class Arms:
    """The randomised trades of one override.

    Attributes:
        trades: rr, treated, p, scope, closed_at and decided_at, in the order they were decided in;
            those whose decision is too young for all like it to have closed are left out.
        path: Treated against held out over time; None with fewer than both arms need.
        balance: What each arm met.
        sample_ratio_p: Of a split this uneven; None without trades.
        expected_treated: Sum of the logged probabilities.
    """

    trades: pd.DataFrame
    path: EffectPath | None
    balance: list[Balance]
    sample_ratio_p: float | None
    expected_treated: float


@kept
def read_uplift_path(source: Source, lesson_id: int, outcome: str, origins: tuple[str, ...]
                     ) -> EffectPath | None:  # fmt: skip
    """Return what the size of one override earned, over time."""
    with database.transaction(source.engine, read_only=True, statement_timeout_ms=_TIMEOUT_MS) as c:
        found = effect_rows.read_applied(c, _module(c, lesson_id), outcome=outcome, origins=origins)
    applied = found.get(lesson_id)
    if applied is None:
        return None
    sized = applied.multiplier == applied.multiplier  # nan: it carries no size
    if not sized.any():
        return None
    return uplift_path(applied.multiplier[sized], applied.rr[sized], applied.closed_at_days[sized])


def _module(connection: Connection, lesson_id: int) -> Any:
    query = sa.select(learning_lessons.c.module).where(learning_lessons.c.id == lesson_id)
    return connection.execute(query).scalar_one()


@kept
def read_arms(source: Source, lesson_id: int, outcome: str, origins: tuple[str, ...]) -> Arms:
    """Return the randomised trades of an override with what compares their arms."""
    with database.transaction(source.engine, read_only=True, statement_timeout_ms=_TIMEOUT_MS) as c:
        module = _module(c, lesson_id)
        compared = _compared_trades(c, module, lesson_id, outcome, origins)
        trades = _randomised(c, lesson_id, outcome, origins)
        if compared is None or trades.empty:
            return Arms(trades[:0], None, [], None, 0.0)
        path = _comparison(c, compared, lesson_id, outcome)
    last = compared.decided_at_days.max()
    return _compared(trades[trades["decided_at"].map(_days) <= last], path)


def _compared(trades: pd.DataFrame, path: EffectPath | None) -> Arms:
    conditions = [[f"{name} {value}" for name, value in scope.items()] for scope in trades["scope"]]
    treated, chance = trades["treated"].to_numpy(bool), trades["p"].to_numpy(float)
    ratio = sample_ratio(treated, chance)
    found = balance(conditions, treated.tolist(), chance.tolist())
    return Arms(trades, path, found, ratio.p_value, ratio.expected_treated)


def _randomised(
    connection: Connection, lesson_id: int, outcome: str, origins: tuple[str, ...]
) -> pd.DataFrame:
    a, approved = override_applications.c, approved_versions()
    first = (
        sa.select(
            a.bot,
            a.trade_id,
            a.origin,
            a.arm,
            a.p,
            a.scope,
            a.decided_at,
            a.id,
            a.lesson_id,
            a.lesson_version,
        )
        .ext(distinct_on(a.bot, a.trade_id, a.origin))
        .where(a.lesson_id == lesson_id, a.trade_id.is_not(None), a.arm != "unassigned")
        .where(a.p > 0, a.p < 1)
        # size is never held out: it takes no part in a comparison
        .where(
            a.levers_would_be.op("-")("size_mult").op("-")("alloc_mult") != sa.literal({}, JSONB)
        )
        .order_by(a.bot, a.trade_id, a.origin, a.decided_at, a.id)
        .subquery("first")
    )
    closed = closed_trades(outcome, origins)
    on_trades = (
        sa.select(
            closed.c.rr, closed.c.closed_at, first.c.p, first.c.scope,
            (first.c.arm == "treated").label("treated"), first.c.decided_at, first.c.id,
        )
        .ext(distinct_on(closed.c.strand_id))
        .join_from(first, closed, is_decided_on(first, closed))
        .join(
            approved,
            (first.c.lesson_id == approved.c.lesson_id)
            & (first.c.lesson_version == approved.c.lesson_version),
        )
        .order_by(closed.c.strand_id, first.c.decided_at, first.c.id)
        .subquery("on_trades")
    )  # fmt: skip
    c = on_trades.c
    told = (c.rr, c.closed_at, c.p, c.scope, c.decided_at, c.treated)
    query = sa.select(*told).order_by(c.decided_at, c.id)
    result = connection.execute(query)
    return pd.DataFrame(result.mappings().all(), columns=list(result.keys()))


def _compared_trades(
    connection: Connection, module: Any, lesson_id: int, outcome: str, origins: tuple[str, ...]
) -> AppliedTrades | None:
    """The randomised trades that the measurement compares: old enough for all to have closed."""
    found = effect_rows.read_applied(connection, module, outcome=outcome, origins=origins)
    if lesson_id not in found:
        return None
    now_days = _days(job_rows.database_now(connection))
    compared = randomised(old_enough(found[lesson_id], now_days=now_days))
    return compared if compared.n else None


def _comparison(
    connection: Connection, compared: AppliedTrades, lesson_id: int, outcome: str
) -> EffectPath | None:
    path = comparison_path(compared, PatternTrades(*_pattern(connection, lesson_id, outcome)))
    return path if path.points else None


def _pattern(connection: Connection, lesson_id: int, outcome: str) -> tuple[Any, Any]:
    """Outcomes and days of all closed trades of a lesson's setup, in time order."""
    e, lesson = pattern_trade_events.c, learning_lessons.c
    query = (
        sa.select(e[outcome], e.closed_at)
        .join_from(
            pattern_trade_events,
            learning_lessons,
            (e.module == lesson.module)
            & (e.pattern_key == lesson.pattern_key)
            & (e.action_category == lesson.action_category),
        )
        .where(lesson.id == lesson_id, e.seq == 0, e[outcome].is_not(None))
        .order_by(e.closed_at)
    )
    rows = connection.execute(query).all()
    rr = np.array([row[0] for row in rows], dtype=np.float64)
    return rr, np.array([_days(row[1]) for row in rows])
