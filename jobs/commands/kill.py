"""The kill switch, with as little beside it as possible: it must work when all else fails.

No statistics, no charts, no migration: whatever is broken in them, and whatever version made the
tables, the switch can be turned.
"""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.commands.console import console
from jobs.commands.session import actor
from learning.settings import Settings
from learning.store import database, switch_rows


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("kill")(kill)


def kill(
    state: Annotated[str, typer.Argument(help="off: stop applying all overrides; on: again.")],
    reason: Annotated[str, typer.Option(help="Why; needed to switch on again.")] = "",
    confirm: Annotated[str, typer.Option(help="Type ENABLE to switch on again.")] = "",
) -> None:
    """Turn the kill switch: off stops all overrides at every bot's next read."""
    if state not in ("on", "off"):
        raise typer.BadParameter(f"the kill switch is on or off, got {state!r}")
    settings = Settings.from_env()
    engine = database.create_engine(database.resolve_url(settings.database_url, settings.home))
    with database.transaction(engine) as connection:
        switch = switch_rows.set_switch(
            connection, on=state == "on", actor=actor(None), reason=reason, confirmation=confirm
        )
    console.print(f"Overrides are {'ON' if switch.overrides_on else 'OFF'}.")
