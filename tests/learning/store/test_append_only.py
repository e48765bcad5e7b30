from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from learning.store.schema import APPEND_ONLY, metadata
from tests.learning.store.stored_lessons import refused

GUARDED = ("ad_strands", *APPEND_ONLY)


def changes_of(table: str) -> list[str]:
    column = next(c.name for c in metadata.tables[table].columns if c.identity is None)
    return [
        f"UPDATE {table} SET {column} = {column}",
        f"UPDATE {table} SET {column} = {column} WHERE false",
        f"DELETE FROM {table}",
        f"TRUNCATE {table} CASCADE",
        f"MERGE INTO {table} USING (SELECT 1) AS s ON true WHEN MATCHED THEN DELETE",
    ]


@pytest.mark.parametrize("table", GUARDED)
@pytest.mark.parametrize("mode", ["origin", "replica"])
def test_what_was_appended_stays_even_for_the_owner(
    connection: Connection, table: str, mode: str
) -> None:
    connection.execute(sa.text(f"SET LOCAL session_replication_role = {mode}"))
    for change in changes_of(table):
        with refused(connection, "EK001"):
            connection.execute(sa.text(change))


def test_an_upsert_changes_nothing_either(connection: Connection) -> None:
    with refused(connection, "EK001"):
        connection.execute(
            sa.text(
                "INSERT INTO kill_switch_history"
                " (overrides_on, reason, changed_by, switch_revision)"
                " VALUES (true, 'r', 'ann', 1)"
                " ON CONFLICT (switch_revision) DO UPDATE SET reason = 'another'"
            )
        )


def test_exactly_the_tables_of_the_list_are_guarded(connection: Connection) -> None:
    found = connection.scalars(
        sa.text("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'append_only'")
    )
    assert sorted(found) == sorted(GUARDED)
