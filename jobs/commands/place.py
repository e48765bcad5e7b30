"""Commands on where the data is: url, migrate, stop."""

from __future__ import annotations

import typer

from jobs.commands.console import console
from jobs.commands.session import open_database
from learning.settings import Settings
from learning.store import database
from learning.store.embedded import stop_server


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("url")(url)
    app.command("migrate")(migrate)
    app.command("stop")(stop)


def url() -> None:
    """Print the database URL and nothing else; starts the embedded server where none is named."""
    settings = Settings.from_env()
    typer.echo(database.resolve_url(settings.database_url, settings.home))


def migrate() -> None:
    """Bring the tables up to date; any number of processes may do so at once."""
    open_database(Settings.from_env())
    console.print("The tables are up to date.")


def stop() -> None:
    """Stop the embedded database server; dashboard, worker and bots on it lose it."""
    settings = Settings.from_env()
    if settings.database_url is not None:
        console.print("DATABASE_URL names an external PostgreSQL: nothing of ours to stop.")
        return
    stopped = stop_server(settings.home)
    console.print("Stopped." if stopped else "It was not running.")
