"""What the Data page reads of the input: what is missing, what candles filled, what has shifted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import sqlalchemy as sa

from dashboard.queries import Source, _read, kept
from learning.store.schema import pattern_trade_events

FIELDS = (
    "symbol", "side", "r_multiple_net", "r_multiple", "rr_path", "return_pct", "mfe_r", "mae_r",
    "missed_entry_rr", "missed_exit_rr", "pnl_amount",
)  # fmt: skip
RECENT_DAYS = 30
LONGEST_WEEKLY_DAYS = 550


def _entries(bot: str | None) -> list[sa.ColumnElement[bool]]:
    """One row a trade and setup: its first entry."""
    e = pattern_trade_events.c
    chosen = [e.seq == 0, e.action_category == "entry"]
    return chosen if bot is None else [*chosen, e.bot == bot]


@kept
def read_missing(source: Source, dims: Sequence[str], bot: str | None) -> pd.DataFrame:
    """Return per period and field how many entries there are and how many lack the field.

    Periods are weeks, or months where there are over a year and a half of them. ``filled`` counts
    the entries whose value came from candles.

    Args:
        source: Of the read.
        dims: Scope dimensions, beside the fields of every trade.
        bot: Only this one; None: all.
    """
    e = pattern_trade_events.c
    period = sa.func.date_trunc(_unit(source, bot), e.closed_at).label("period")
    counts: list[sa.ColumnElement[Any]] = [sa.func.count().label("n")]
    for i, name in enumerate((*FIELDS, *dims)):
        lacks = ~e.scope.has_key(name) if name in dims else e[name].is_(None)
        told = sa.literal(_filled_as(name)) == sa.any_(e.filled)
        counts.append(sa.func.count().filter(lacks).label(f"missing_{i}"))
        counts.append(sa.func.count().filter(told).label(f"filled_{i}"))
    query = sa.select(period, *counts).where(*_entries(bot)).group_by(sa.text("period"))
    wide = _read(source.engine, query.order_by(sa.text("period")), in_memory=True)
    parts = [
        pd.DataFrame(
            {
                "period": wide["period"],
                "field": name,
                "n": wide["n"],
                "missing": wide[f"missing_{i}"],
                "filled": wide[f"filled_{i}"],
            }
        )
        for i, name in enumerate((*FIELDS, *dims))
    ]
    return pd.concat(parts, ignore_index=True)


def _filled_as(name: str) -> str:
    return "max_drawdown_pct" if name == "rr_path" else name


def _unit(source: Source, bot: str | None) -> str:
    e = pattern_trade_events.c
    span = sa.func.extract("epoch", sa.func.max(e.closed_at) - sa.func.min(e.closed_at))
    found = _read(source.engine, sa.select((span / 86400.0).label("days")).where(*_entries(bot)))
    days = found["days"].fillna(0.0).astype(float).max()
    return "week" if days <= LONGEST_WEEKLY_DAYS else "month"


@kept
def read_levels(source: Source, dims: Sequence[str], bot: str | None) -> pd.DataFrame:
    """Return per dimension and value the entries of the last 30 days and those before them.

    The last 30 days are counted back from the last closed trade. A value that is absent has the
    level None.
    """
    e = pattern_trade_events.c
    chosen = _entries(bot)
    last = sa.select(sa.func.max(e.closed_at)).where(*chosen).scalar_subquery()
    is_recent = e.closed_at > last - sa.text(f"interval '{RECENT_DAYS} days'")
    levels = [e.scope.op("->>")(name).label(f"level_{i}") for i, name in enumerate(dims)]
    entries = sa.select(is_recent.label("is_recent"), *levels).where(*chosen).subquery()
    # each entry is read once, and counted into one set of groups for each dimension
    columns = [entries.c[one.name] for one in levels]
    counted = [(sa.func.grouping(one) == 0, one) for one in columns]
    query = sa.select(
        sa.case(
            *((own, sa.literal(name)) for (own, _), name in zip(counted, dims, strict=True))
        ).label("dimension"),
        sa.case(*counted).label("level"),
        sa.func.count().filter(entries.c.is_recent).label("recent"),
        sa.func.count().filter(~entries.c.is_recent).label("before"),
    ).group_by(sa.func.grouping_sets(*(sa.tuple_(one) for one in columns)))
    return _read(source.engine, query, in_memory=True)
