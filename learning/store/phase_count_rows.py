"""How often each phase was seen, week by week: by the tracker, and by the trades themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.domain.pattern_key import Module
from learning.store.schema import phase_state_bucket, regime_phase_counts

_OF_TRADES = Path(__file__).parent / "sql" / "count_phases.sql"


def recount_trades(connection: Connection, module: Module, *, origins: Sequence[str]) -> None:
    """Count the trades of a module anew by week, bot and phase."""
    c = regime_phase_counts.c
    connection.execute(
        sa.delete(regime_phase_counts).where(c.source == "trades", c.module == module)
    )
    connection.execute(
        sa.text(_OF_TRADES.read_text(encoding="utf-8")),
        {"module": module, "origins": list(origins)},
    )


def recount_tracked(connection: Connection) -> None:
    """Count what the tracker observed anew by week, bucket and phase."""
    connection.execute(
        sa.delete(regime_phase_counts).where(regime_phase_counts.c.source == "tracker")
    )
    t = phase_state_bucket.c
    week = sa.cast(sa.func.date_trunc("week", t.observed_at, "UTC"), sa.Date)
    counts = sa.select(
        sa.literal("tracker"), sa.literal(""), t.bucket, t.horizon, week, t.phase, sa.func.count()
    ).group_by(t.bucket, t.horizon, week, t.phase)
    names = ["source", "module", "observer", "horizon", "week", "phase", "n"]
    connection.execute(sa.insert(regime_phase_counts).from_select(names, counts))
