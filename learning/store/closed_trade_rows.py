"""Closed trades as the decisions on them are joined with: by bot, origin and trade_id."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from learning.store.schema import OUTCOMES, pattern_trade_events


def closed_trades(outcome: str, origins: Sequence[str]) -> sa.Subquery:
    """Return one row per closed trade that has the outcome: ``rr``, ``closed_at``, ``strand_id``.

    The actions of a trade share its outcome. A decision names the trade, not a position of it:
    where a trade has several, the one that closed first tells.

    Args:
        outcome: ``r_multiple_net``, ``r_multiple`` or ``rr_path``.
        origins: Which origins count as evidence.

    Raises:
        ValueError: If the outcome is not one.
    """
    if outcome not in OUTCOMES:
        raise ValueError(f"outcome must be one of {', '.join(OUTCOMES)}, got {outcome!r}")
    c = pattern_trade_events.c
    key = (c.bot, c.trade_id, c.origin)
    return (
        sa.select(*key, c.strand_id, c.closed_at, c[outcome].label("rr"))
        .ext(distinct_on(*key))
        .where(c.origin.in_(list(origins)), c[outcome].is_not(None))
        .order_by(*key, c.closed_at, c.strand_id)
        .subquery("closed")
    )


def is_decided_on(decided: sa.FromClause, closed: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition that a decision is on a closed trade.

    Telemetry that does not say its origin is taken to be of the trade that has its id.
    """
    return sa.and_(
        decided.c.bot == closed.c.bot,
        decided.c.trade_id == closed.c.trade_id,
        sa.or_(decided.c.origin.is_(None), decided.c.origin == closed.c.origin),
    )
