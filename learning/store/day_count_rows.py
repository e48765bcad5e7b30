"""Closed trades counted by day: stored where nothing was written since, else from the events.

A day is never added to, it is counted anew: so the numbers cannot drift. The transaction that
writes events notes their days (by a trigger); a reader counts those days from the events and takes
the others as stored, so it sees what the events say at every moment. The sweep of the inbox
stores what was noted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import ARRAY, DATE

from learning.store.schema import (
    event_day_changes,
    event_day_counts,
    event_day_gaps,
    event_day_levels,
    pattern_trade_events,
)

TABLES = (event_day_counts, event_day_levels, event_day_gaps)
_SQL = Path(__file__).parent / "sql"
_STATEMENTS = {
    event_day_counts: "count_event_days",
    event_day_levels: "count_event_day_levels",
    event_day_gaps: "count_event_day_gaps",
}
_ALONE = sa.text("SELECT pg_advisory_xact_lock(hashtext('edgekeeper_event_days'))")


def store_changed(connection: Connection, dims: Sequence[str]) -> int:
    """Count the days anew whose events were written since they were counted; return how many.

    Args:
        connection: In a transaction that reads what others commit meanwhile: what is written
            after the days were taken is noted again.
        dims: Scope dimensions whose levels are counted; days counted by others are done again.
    """
    connection.execute(_ALONE)
    taken = connection.scalars(sa.delete(event_day_changes).returning(event_day_changes.c.day))
    days = sorted({*taken, *connection.scalars(_of_other_dimensions(dims))})
    if days:
        for table in TABLES:
            connection.execute(sa.delete(table).where(table.c.day == sa.any_(_days(days))))
            found = counted(table, days, dims)
            connection.execute(sa.insert(table).from_select(list(table.c.keys()), found))
    return len(days)


def changed_days(connection: Connection, dims: Sequence[str]) -> list[date]:
    """Return the days whose stored counts are not those of the events and dimensions."""
    noted = sa.select(event_day_changes.c.day)
    return sorted(connection.scalars(noted.union(_of_other_dimensions(dims))))


def current(table: sa.Table, changed: Sequence[date], dims: Sequence[str]) -> sa.Subquery:
    """Return a query of what the events say now, with the columns of a table of counts.

    Args:
        table: One of ``TABLES``.
        changed: As ``changed_days`` told in the same transaction.
        dims: As they were told to it.
    """
    if not changed:
        return sa.select(table).subquery("counts")
    kept = sa.select(table).where(table.c.day != sa.all_(_days(changed)))
    return kept.union_all(counted(table, changed, dims)).subquery("counts")


def counted(table: sa.Table, days: Sequence[date], dims: Sequence[str]) -> sa.Select:
    """Return the query that counts some days from the events, with the columns of a table."""
    statement = _statement(_STATEMENTS[table])
    given: list[sa.BindParameter[Any]] = [sa.bindparam("days", list(days), ARRAY(DATE))]
    if ":dims" in statement:
        given.append(sa.bindparam("dims", sorted(dims), ARRAY(sa.Text)))
    columns = (sa.column(one.name, one.type) for one in table.c)
    return sa.select(sa.text(statement).bindparams(*given).columns(*columns).subquery("fresh"))


def count_departures(
    connection: Connection, table: sa.Table, days: Sequence[date], dims: Sequence[str]
) -> int:
    """Count the stored rows of some days that the events do not give, and those missing."""
    fresh = counted(table, days, dims)
    stored = sa.select(table).where(table.c.day == sa.any_(_days(days)))
    columns = [one.name for one in table.c]
    there, here = fresh.subquery("there"), stored.subquery("here")
    wrong = sa.union_all(
        sa.except_(sa.select(*(there.c[n] for n in columns)), stored),
        sa.except_(sa.select(*(here.c[n] for n in columns)), fresh),
    ).subquery("wrong")
    return connection.scalar(sa.select(sa.func.count()).select_from(wrong)) or 0


def days_of_events(connection: Connection) -> tuple[date, date] | None:
    """Return the first and the last day that a trade closed on; None without trades."""
    closed = pattern_trade_events.c.closed_at
    first, last = (
        connection.scalar(sa.select(sa.cast(sa.func.timezone("UTC", end(closed)), DATE)))
        for end in (sa.func.min, sa.func.max)
    )
    return None if first is None or last is None else (first, last)


def _of_other_dimensions(dims: Sequence[str]) -> sa.Select:
    c = event_day_counts.c
    return sa.select(c.day).where(c.dimensions != sa.literal(sorted(dims), ARRAY(sa.Text)))


def _days(days: Sequence[date]) -> sa.BindParameter:
    return sa.literal(list(days), ARRAY(DATE))


@cache
def _statement(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text()
