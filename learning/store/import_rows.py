"""Which sources were imported, when, by whom, and with what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.store.schema import ad_strands, import_batches


@dataclass(frozen=True, slots=True)
class ImportBatch:
    """One import run; ``report`` holds its counts."""

    id: int
    source_name: str
    format: str
    first_trade: str
    file_name: str
    report: Mapping[str, Any]
    imported_by: str
    imported_at: datetime


_COLUMNS = (
    import_batches.c.id,
    import_batches.c.source_name,
    import_batches.c.format,
    import_batches.c.first_trade,
    import_batches.c.file_name,
    import_batches.c.report,
    import_batches.c.imported_by,
    import_batches.c.imported_at,
)


def read_all(connection: Connection) -> list[ImportBatch]:
    """Return every import run, the oldest first."""
    query = sa.select(*_COLUMNS).order_by(import_batches.c.id)
    return [ImportBatch(*row) for row in connection.execute(query)]


def read_related(
    connection: Connection, *, source_name: str, format: str, first_trade: str
) -> list[ImportBatch]:
    """Return the runs that an import may collide with, the oldest first.

    Those of the same name, those with the same first trade, and all backtests where it is one.
    """
    same_trades = (import_batches.c.format == format) & (
        (import_batches.c.first_trade == first_trade)
        | (sa.literal(format) == sa.literal("freqtrade_backtest"))
    )
    query = sa.select(*_COLUMNS).where((import_batches.c.source_name == source_name) | same_trades)
    return [ImportBatch(*row) for row in connection.execute(query.order_by(import_batches.c.id))]


def insert(
    connection: Connection,
    *,
    source_name: str,
    format: str,
    first_trade: str,
    file_name: str,
    report: Mapping[str, Any],
    imported_by: str,
) -> int:
    """Record an import run and return its id."""
    statement = (
        sa.insert(import_batches)
        .values(
            source_name=source_name,
            format=format,
            first_trade=first_trade,
            file_name=file_name,
            report=dict(report),
            imported_by=imported_by,
        )
        .returning(import_batches.c.id)
    )
    return int(connection.execute(statement).scalar_one())


def count_conflicts(connection: Connection, import_batch_id: int) -> int:
    """Count the strands of a run that were known with other content."""
    query = sa.select(sa.func.count()).where(
        ad_strands.c.import_batch_id == import_batch_id, ad_strands.c.conflicts_with.is_not(None)
    )
    return int(connection.execute(query).scalar_one())


def lock(connection: Connection) -> None:
    """Let one import write at a time, to the end of the transaction: each must see the others."""
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('edgekeeper_import'))"))
