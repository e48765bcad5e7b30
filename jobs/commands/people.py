"""Commands on people: how many activate a lesson."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.commands.console import console
from jobs.commands.lessons import Person
from jobs.commands.session import actor, open_database
from learning.settings import Settings
from learning.store import database, people_rows


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("approvals")(approvals)


def approvals(
    number: Annotated[
        int | None, typer.Argument(min=1, max=2, help="1 or 2 people; none: show it.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, in at least 10 characters.")] = "",
    person: Person = None,
) -> None:
    """Show how many people activate a lesson, or keep another number in the database.

    Where a process's EDGEKEEPER_APPROVALS_REQUIRED is higher, that one holds there.
    """
    settings = Settings.from_env()
    with database.transaction(open_database(settings)) as connection:
        if number is not None:
            people_rows.set_approvals(connection, number, actor=actor(person), reason=reason)
        kept = people_rows.read_approvals(connection)
    by = "" if kept.set_by is None else f", set {kept.set_at:%Y-%m-%d} by {kept.set_by}"
    console.print(f"People needed to activate a lesson: {kept.required}{by}.", markup=False)
    if kept.reason is not None:
        console.print(f"Why: {kept.reason}", markup=False)
    if settings.approvals_required > kept.required:
        console.print(
            f"EDGEKEEPER_APPROVALS_REQUIRED asks for {settings.approvals_required} here, which "
            "holds: the higher does."
        )
