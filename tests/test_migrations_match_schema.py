"""The migrations make exactly the tables of the schema, and can be undone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from learning.store.database import create_engine, migrate, transaction, undo_migrations
from learning.store.schema import metadata

# What alembic does not compare: the text of every constraint, index, default and comment.
_DESCRIPTION = """
    SELECT 'constraint ' || conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = current_schema()::regnamespace AND conrelid <> 0
    UNION ALL
    SELECT 'index ' || indexrelid::regclass, replace(
        pg_get_indexdef(indexrelid), current_schema() || '.', ''
    )
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = current_schema()::regnamespace
    UNION ALL
    SELECT
        'column ' || attrelid::regclass || '.' || attname,
        concat_ws(
            ' ', format_type(atttypid, atttypmod), attnotnull, attidentity,
            pg_get_expr(adbin, adrelid), col_description(attrelid, attnum)
        )
    FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND attnum > 0
    UNION ALL
    SELECT 'table ' || oid::regclass, obj_description(oid, 'pg_class')
    FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
"""
_MADE = """
    SELECT 'function ' || oid::regprocedure FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT relkind::text || ' ' || relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'alembic_version%'
    UNION ALL
    SELECT 'trigger ' || tgrelid::regclass || ' ' || tgname || ' ' || tgenabled::text
    FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT 'rights ' || relname || ' ' || coalesce(relacl::text, '') FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relacl IS NOT NULL
        AND relname NOT LIKE 'alembic_version%'
"""


def described(connection: Connection) -> dict[str, str]:
    rows = connection.execute(sa.text(_DESCRIPTION))
    return {name: text for name, text in rows if "alembic_version" not in name}


def made(connection: Connection) -> set[str]:
    return set(connection.scalars(sa.text(_MADE)))


def test_alembic_finds_no_difference(connection: Connection) -> None:
    options = {"compare_server_default": True, "compare_type": True}
    context = MigrationContext.configure(connection, opts=options)
    assert compare_metadata(context, metadata) == []


def test_every_constraint_index_default_and_comment_is_the_schemas(connection: Connection) -> None:
    migrated = described(connection)
    connection.execute(sa.text("CREATE SCHEMA drawn"))
    connection.execute(sa.text("SET LOCAL search_path = drawn, public"))
    metadata.create_all(connection, checkfirst=False)
    drawn = described(connection)
    assert len(drawn) > 500
    assert migrated == drawn


def test_up_down_and_up_again_is_up(fresh_database: str) -> None:
    engine = create_engine(fresh_database)
    with transaction(engine) as connection:
        before = described(connection), made(connection)
    undo_migrations(engine, revision="base")
    with transaction(engine) as connection:
        assert made(connection) == set()
    migrate(engine)
    with transaction(engine) as connection:
        assert (described(connection), made(connection)) == before
    engine.dispose()


def test_the_first_rows_are_there(connection: Connection) -> None:
    for table in ("edgekeeper_state", "kill_switch", "decision_chain_head"):
        assert connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) == 1
    assert connection.scalar(sa.text("SELECT count(*) FROM feature_flags WHERE enabled")) == 4


def test_no_function_that_runs_with_the_owners_rights_is_everyones(connection: Connection) -> None:
    everyones = connection.scalars(
        sa.text(
            "SELECT oid::regprocedure::text FROM pg_proc"
            " WHERE pronamespace = 'public'::regnamespace AND prosecdef"
            " AND (has_function_privilege('public', oid, 'EXECUTE')"
            "      OR NOT 'search_path' = ANY (SELECT split_part(unnest(proconfig), '=', 1)))"
        )
    )
    assert list(everyones) == []
