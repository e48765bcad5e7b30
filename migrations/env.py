"""Runs the migrations: for ``learning.store.database.migrate`` and for the ``alembic`` command."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from learning.settings import Settings
from learning.store.database import create_engine, lock_schema, resolve_url, transaction
from learning.store.schema import metadata


def run_on(connection: Connection) -> None:
    """Run what was asked for; the caller's transaction covers all of it."""
    context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


def run_from_the_command_line() -> None:
    """Find the database as the product does, and take the same lock as it."""
    settings = Settings.from_env()
    engine = create_engine(
        resolve_url(settings.database_url, settings.home), application_name="alembic"
    )
    with transaction(engine) as connection:
        lock_schema(connection)
        run_on(connection)


def print_sql() -> None:
    """Print the statements instead of running them (``alembic upgrade head --sql``)."""
    context.configure(dialect_name="postgresql", target_metadata=metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run_on(given)
elif context.is_offline_mode():
    print_sql()
else:
    run_from_the_command_line()
