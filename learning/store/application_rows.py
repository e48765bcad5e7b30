"""Telemetry: which override was applied to which decision, written before its outcome is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from learning.store.schema import override_applications


def append(connection: Connection, applications: Sequence[Mapping[str, Any]]) -> None:
    """Append applications; one whose ``application_key`` is known already is skipped.

    Args:
        applications: Column name to value, all rows with the same columns.
    """
    if applications:
        statement = insert(override_applications).on_conflict_do_nothing(
            index_elements=["application_key"]
        )
        connection.execute(statement, [dict(row) for row in applications])
