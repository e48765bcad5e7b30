"""Commands that keep and bring back the whole database: backup and restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.commands.console import console
from jobs.commands.session import actor, open_database
from learning.settings import Settings
from learning.store.backup import back_up
from learning.store.backup import restore as restore_backup

_CONFIRMATION = "RESTORE"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("backup")(backup)
    app.command("restore")(restore)


def backup(file: Annotated[Path, typer.Argument(help="Where to write it.")]) -> None:
    """Write the whole database to a file that only you may read."""
    engine = open_database(Settings.from_env())
    size = back_up(engine, file)
    console.print(f"{file}: {size / 1e6:.1f} MB.", markup=False)


def restore(
    file: Annotated[Path, typer.Argument(help="A file that ./run backup wrote.")],
    confirm: Annotated[
        str, typer.Option(help=f"Type {_CONFIRMATION}: all that the database holds is replaced.")
    ] = "",
) -> None:
    """Replace everything by a backup; overrides come up off, lessons wait for approval anew."""
    if confirm != _CONFIRMATION:
        raise typer.BadParameter(
            f"--confirm {_CONFIRMATION} is needed: all that the database holds is replaced"
        )
    engine = open_database(Settings.from_env())
    restored = restore_backup(engine, file, actor=actor(None))
    console.print(
        f"{restored.strands} strands are back, as generation {restored.generation}. Overrides are "
        f"off; {restored.lessons_to_approve} lessons wait for approval. ./run kill on brings "
        "overrides back when all is checked.",
        markup=False,
    )
