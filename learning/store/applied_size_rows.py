"""What size did to whole trades, all overrides on a trade taken together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import distinct_on

from learning.domain.levers import LEVERS, clamp
from learning.store.schema import OUTCOMES, override_applications, pattern_trade_events

_SIZES = ("size_mult", "alloc_mult")


@dataclass(frozen=True, slots=True)
class SizedTrade:
    """A closed trade whose size overrides changed.

    Attributes:
        module: The module that decided.
        multiplier: Product over the overrides that applied, within the lever's bounds.
        rr: Outcome at base risk, R.
        pnl_amount: What it really earned, money; None where not told.
        currency: Of that money.
    """

    module: str
    bot: str
    trade_id: str
    closed_at: datetime
    multiplier: float
    rr: float
    pnl_amount: float | None
    currency: str | None

    @property
    def effect_amount(self) -> float | None:
        """Money that size added: earned at the multiplied size, less what base size had earned."""
        if self.pnl_amount is None or self.currency is None:
            return None
        return self.pnl_amount * (1 - 1 / self.multiplier)


def read_sized_trades(
    connection: Connection,
    *,
    outcome: str,
    origins: Sequence[str],
    module: str | None = None,
    pattern_key: str | None = None,
) -> list[SizedTrade]:
    """Return the closed trades that overrides sized, in the order they closed in.

    A trade counts once: of each lesson its first application, then the product over lessons.
    Only what sized the entry counts: an add is a part of the position that is not told here, so
    what its multiplier did to the whole trade cannot be.

    Raises:
        ValueError: If the outcome is not one.
    """
    if outcome not in OUTCOMES:
        raise ValueError(f"outcome must be one of {', '.join(OUTCOMES)}, got {outcome!r}")
    sized = _sized_trades(module, pattern_key)
    closed = _closed(outcome, origins, of=sized)
    query = (
        sa.select(sized, closed.c.closed_at, closed.c.rr, closed.c.pnl_amount, closed.c.currency)
        .join_from(sized, closed, sa.true())
        .order_by(closed.c.closed_at, sized.c.bot, sized.c.trade_id)
    )
    return [_sized(row) for row in connection.execute(query)]


def _sized_trades(module: str | None, pattern_key: str | None) -> sa.CTE:
    """Trades with the sizes that were applied to them, one of each lesson."""
    first = _first(module, pattern_key)
    key = (first.c.module, first.c.bot, first.c.origin, first.c.trade_id)
    sizes = sa.func.array_agg(first.c.size).label("sizes")
    return sa.select(*key, sizes).group_by(*key).cte("sized")


def _first(module: str | None, pattern_key: str | None) -> sa.Subquery:
    c = override_applications.c
    query = (
        sa.select(
            c.module, c.bot, c.trade_id, c.origin, _applied_size().label("size")
        )
        .ext(distinct_on(c.lesson_id, c.bot, c.trade_id, c.origin))
        .where(
            c.trade_id.is_not(None),
            c.arm != "unassigned",
            c.action_category == "entry",
            sa.or_(*(c.levers_would_be.has_key(name) for name in _SIZES)),
        )
        .order_by(c.lesson_id, c.bot, c.trade_id, c.origin, c.decided_at, c.id)
    )  # fmt: skip
    if module is not None:
        query = query.where(c.module == module)
    if pattern_key is not None:
        query = query.where(c.pattern_key == pattern_key)
    return query.subquery("first")


def _applied_size() -> sa.ColumnElement[float]:
    c = override_applications.c
    size, alloc = (sa.cast(c.levers_after[name].as_string(), sa.Double) for name in _SIZES)
    return sa.func.coalesce(sa.case((c.module == "dm", alloc), else_=size), 1.0)


def _closed(outcome: str, origins: Sequence[str], *, of: sa.CTE) -> sa.FromClause:
    """The outcome of a trade, which all its events share: one of them is looked up.

    Of several positions the first that closed tells, as in ``closed_trades``.
    """
    c = pattern_trade_events.c
    return (
        sa.select(c[outcome].label("rr"), c.closed_at, c.pnl_amount, c.currency)
        .where(
            c.bot == of.c.bot,
            c.trade_id == of.c.trade_id,
            sa.or_(of.c.origin.is_(None), of.c.origin == c.origin),
            c.origin.in_(list(origins)),
            c[outcome].is_not(None),
        )
        .order_by(c.closed_at, c.strand_id)
        .limit(1)
        .lateral("closed")
    )


def _sized(row: sa.Row[Any]) -> SizedTrade:
    product = clamp(LEVERS[_SIZES[row.module == "dm"]], math.prod(row.sizes))
    return SizedTrade(
        row.module, row.bot, row.trade_id, row.closed_at, product, float(row.rr), row.pnl_amount,
        row.currency,
    )  # fmt: skip
