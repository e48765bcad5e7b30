"""What the Data page reads of the input: what is missing, what candles filled, what has shifted.

All of it from counts by day, which are those of the events at every moment
(``learning.store.day_count_rows``). ``counted`` is always the dimensions of the settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import DATE

from dashboard.queries import _TIMEOUT_MS, Source, _frame, kept, sum_in_memory
from learning.store import database, day_count_rows
from learning.store.schema import (
    PROVENANCES,
    event_day_counts,
    event_day_gaps,
    event_day_levels,
)

FIELDS = (
    "symbol", "side", "r_multiple_net", "r_multiple", "rr_path", "return_pct", "mfe_r", "mae_r",
    "missed_entry_rr", "missed_exit_rr", "pnl_amount",
)  # fmt: skip
RECENT_DAYS = 30
LONGEST_WEEKLY_DAYS = 550


@dataclass(frozen=True)
class _Counts:
    """The counts by day as they are now, within one transaction."""

    connection: Connection
    counted: Sequence[str]
    changed: Sequence[date]

    def of(self, table: sa.Table, bot: str | None) -> sa.CTE:
        """Return the current rows of a table, of one bot or of all."""
        now = day_count_rows.current(table, self.changed, self.counted)
        chosen = sa.select(now)
        return (chosen if bot is None else chosen.where(now.c.bot == bot)).cte(table.name + "_now")


@contextmanager
def _counts(source: Source, counted: Sequence[str]) -> Iterator[_Counts]:
    with database.transaction(source.engine, read_only=True, statement_timeout_ms=_TIMEOUT_MS) as c:
        sum_in_memory(c)
        yield _Counts(c, counted, day_count_rows.changed_days(c, counted))


# ------------------------------------------------------------------ trades
@kept
def read_days(source: Source, counted: Sequence[str]) -> pd.DataFrame:
    """Return per day, bot and origin how many trades closed, and what they are counted by."""
    with _counts(source, counted) as counts:
        now = counts.of(event_day_counts, None)
        found = _frame(counts.connection, sa.select(now).order_by(now.c.day, now.c.bot))
    return found.drop(columns="dimensions")


def trade_counts(days: pd.DataFrame, outcome: str | None) -> pd.DataFrame:
    """Return per day, bot and origin the distinct trades, and how many lack the outcome."""
    lacks = days["n_trades"] if outcome is None else days[f"n_without_{outcome}"]
    return days[["day", "bot", "origin"]].assign(n=days["n_trades"], n_without=lacks)


def provenance_counts(days: pd.DataFrame) -> pd.DataFrame:
    """Return how many events came by each provenance that occurs."""
    total = [int(days[f"n_{name}"].sum()) for name in PROVENANCES]
    told = pd.DataFrame({"provenance": PROVENANCES, "n": total})
    return told[told["n"] > 0].reset_index(drop=True)


# ------------------------------------------------------------------ what entries lack
@kept
def read_missing(
    source: Source, dims: Sequence[str], bot: str | None, counted: Sequence[str]
) -> pd.DataFrame:
    """Return per period and field how many entries there are and how many lack the field.

    Periods are weeks, or months where there are over a year and a half of them. ``filled`` counts
    the entries whose value came from candles.

    Args:
        source: Of the read.
        dims: Scope dimensions, beside the fields of every trade.
        bot: Only this one; None: all.
        counted: Every dimension of the settings.
    """
    with _counts(source, counted) as counts:
        entries = _entries(counts, bot)
        unit = _unit(entries["day"])
        gaps = _by_period(counts, unit, event_day_gaps, bot, "field", "n_missing", "n_filled")
        known = _by_period(counts, unit, event_day_levels, bot, "dimension", "n")
    n = entries.groupby(_periods(entries["day"], unit))["n"].sum()
    told = _spread(known, "dimension", "n", n.index)
    lacks = _spread(gaps, "field", "n_missing", n.index)
    filled = _spread(gaps, "field", "n_filled", n.index)
    none = pd.Series(0, index=n.index)
    parts = [
        pd.DataFrame(
            {
                "period": n.index,
                "field": name,
                "n": n.to_numpy(),
                "missing": (n - told.get(name, none) if name in dims else lacks.get(name, none)),
                "filled": filled.get(_filled_as(name), none),
            }
        )
        for name in (*FIELDS, *dims)
    ]
    return pd.concat(parts, ignore_index=True)


def _entries(counts: _Counts, bot: str | None) -> pd.DataFrame:
    """The days with entries, and how many."""
    c = counts.of(event_day_counts, bot).c
    n = sa.func.sum(c.n_entries)
    query = sa.select(c.day, n.label("n")).group_by(c.day).having(n > 0).order_by(c.day)
    return _frame(counts.connection, query)


def _unit(days: pd.Series) -> str:
    long = len(days) > 0 and (days.iloc[-1] - days.iloc[0]).days > LONGEST_WEEKLY_DAYS
    return "month" if long else "week"


def _by_period(
    counts: _Counts, unit: str, table: sa.Table, bot: str | None, name: str, *summed: str
) -> pd.DataFrame:
    """Sums of a table of counts by period and one of its names."""
    now = counts.of(table, bot)
    period = sa.func.date_trunc(unit, sa.cast(now.c.day, sa.DateTime)).label("period")
    sums = [sa.cast(sa.func.sum(now.c[one]), sa.BigInteger).label(one) for one in summed]
    query = sa.select(period, now.c[name], *sums).group_by(period, now.c[name])
    return _frame(counts.connection, query)


def _periods(days: pd.Series, unit: str) -> pd.Series:
    """The start of the week or month that each day lies in, as the database tells it."""
    moments = pd.to_datetime(days)
    if unit == "week":
        return moments - pd.to_timedelta(moments.dt.day_of_week, unit="D")
    return moments - pd.to_timedelta(moments.dt.day - 1, unit="D")


def _spread(sums: pd.DataFrame, name: str, value: str, periods: pd.Index) -> pd.DataFrame:
    """A column for each name, a row for each period; 0 where nothing was counted."""
    wide = sums.pivot(index="period", columns=name, values=value)
    wide.index = pd.to_datetime(wide.index)
    return wide.reindex(periods).fillna(0).astype(int)


def _filled_as(name: str) -> str:
    return "max_drawdown_pct" if name == "rr_path" else name


# ------------------------------------------------------------------ what has shifted
@kept
def read_levels(
    source: Source, dims: Sequence[str], bot: str | None, counted: Sequence[str]
) -> pd.DataFrame:
    """Return per dimension and value the entries of the last 30 days and those before them.

    The last 30 days end with the day of the last closed entry. A value that is absent has the
    level None.

    Args:
        source: Of the read.
        dims: Scope dimensions.
        bot: Only this one; None: all.
        counted: Every dimension of the settings.
    """
    with _counts(source, counted) as counts:
        entries = _entries(counts, bot)
        if entries.empty:
            return pd.DataFrame(columns=["dimension", "level", "recent", "before"])
        since = entries["day"].iloc[-1] - timedelta(days=RECENT_DAYS)
        found = _frame(counts.connection, _levels(counts, dims, bot, since))
    is_recent = entries["day"] > since
    n = {"recent": entries.loc[is_recent, "n"].sum(), "before": entries.loc[~is_recent, "n"].sum()}
    return pd.concat([found, _absent(found, dims, n)], ignore_index=True)


def _levels(counts: _Counts, dims: Sequence[str], bot: str | None, since: date) -> sa.Select:
    c = counts.of(event_day_levels, bot).c
    is_recent = c.day > sa.literal(since, DATE)
    n = [
        sa.cast(sa.func.coalesce(sa.func.sum(c.n).filter(part), 0), sa.BigInteger).label(name)
        for name, part in (("recent", is_recent), ("before", ~is_recent))
    ]
    chosen = sa.select(c.dimension, c.level, *n).where(c.dimension.in_(list(dims)))
    return chosen.group_by(c.dimension, c.level)


def _absent(found: pd.DataFrame, dims: Sequence[str], n: dict[str, int]) -> pd.DataFrame:
    """What no level of a dimension accounts for, where there is any."""
    told = found.groupby("dimension")[["recent", "before"]].sum()
    left = {
        name: {side: int(n[side]) - int(told[side].get(name, 0)) for side in n} for name in dims
    }
    rows = [{"dimension": d, "level": None, **sides} for d, sides in left.items()
            if any(sides.values())]  # fmt: skip
    return pd.DataFrame(rows, columns=found.columns)
