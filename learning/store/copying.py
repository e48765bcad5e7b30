"""COPY: the quickest way into PostgreSQL, for whole batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Table
from sqlalchemy.exc import DataError, IntegrityError

REFUSED = (
    DataError, IntegrityError, psycopg.DataError, psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,
)  # fmt: skip
"""What the database raises on a row that breaks a rule, here and by SQLAlchemy."""


def copy_into(
    connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> int:
    """Copy rows into a table within the connection's transaction; return how many were stored.

    A row that a BEFORE INSERT trigger skips is not counted. JSON is given as text.
    """
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with _driver(connection).cursor() as cursor:
        with cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
        return int(cursor.rowcount)


def _driver(connection: Connection) -> Any:
    """The driver's connection, in a transaction that SQLAlchemy knows of and will commit."""
    if not connection.in_transaction():
        connection.begin()
    return connection.connection.driver_connection
