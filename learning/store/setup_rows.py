"""Who traded what: the bots and the setups that closed trades know."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection

_SQL = Path(__file__).parent / "sql"


def list_bots(connection: Connection) -> list[str]:
    """Return the bots of all events, in order."""
    return list(connection.execute(_statement("list_bots")).scalars())


def list_setups(connection: Connection) -> list[tuple[str, str, str]]:
    """Return module, pattern_key and action_category of all events, in order."""
    return [tuple(row) for row in connection.execute(_statement("list_setups"))]


def _statement(name: str) -> sa.TextClause:
    return sa.text((_SQL / f"{name}.sql").read_text(encoding="utf-8"))
