"""How many trades have which outcome."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import distinct_on

from learning.store.schema import OUTCOMES, pattern_trade_events


def count_outcomes(connection: Connection, origins: Sequence[str]) -> tuple[dict[str, int], int]:
    """Return the trades that have each outcome, and all closed trades of the origins."""
    c = pattern_trade_events.c
    trades = (
        sa.select(*(c[name] for name in OUTCOMES))
        .ext(distinct_on(c.strand_id))
        .where(c.origin.in_(origins))
        .order_by(c.strand_id)
        .subquery()
    )
    counted = connection.execute(
        sa.select(sa.func.count(), *(sa.func.count(trades.c[name]) for name in OUTCOMES))
    ).one()
    total, *with_outcome = counted
    return dict(zip(OUTCOMES, with_outcome, strict=True)), int(total)
