"""Saved mappings: how the columns of a kind of file are called here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from learning.store.schema import import_mappings


@dataclass(frozen=True, slots=True)
class SavedMapping:
    """A mapping file as it was saved, for a kind of file and the bot it was saved for."""

    kind: str
    source_name: str
    content: Mapping[str, Any]
    saved_by: str
    saved_at: datetime


_COLUMNS = tuple(import_mappings.c[name] for name in SavedMapping.__slots__)


def save(
    connection: Connection,
    *,
    kind: str,
    source_name: str,
    content: Mapping[str, Any],
    saved_by: str,
) -> None:
    """Keep a mapping for a kind of file and a bot, in place of the one before."""
    row = {
        "kind": kind, "source_name": source_name, "content": dict(content), "saved_by": saved_by,
    }  # fmt: skip
    changed = {"content": row["content"], "saved_by": saved_by, "saved_at": sa.func.now()}
    statement = insert(import_mappings).values(row)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["kind", "source_name"], set_=changed)
    )


def read_of_kind(connection: Connection, kind: str) -> list[SavedMapping]:
    """Return the mappings of a kind of file, the newest first."""
    query = sa.select(*_COLUMNS).where(import_mappings.c.kind == kind)
    rows = connection.execute(query.order_by(import_mappings.c.saved_at.desc()))
    return [SavedMapping(*row) for row in rows]
