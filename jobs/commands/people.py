"""Commands on people: who may look, decide or list people; how many activate a lesson."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.commands.console import console, print_table
from jobs.commands.lessons import Person
from jobs.commands.session import actor, open_database
from learning.settings import Settings
from learning.store import database, people_rows
from learning.store.people_rows import ROLES

Name = Annotated[str, typer.Argument(help="Login name, or the e-mail address of a login page.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("approvals")(approvals)
    people = typer.Typer(
        help="List people, add or remove one. Nobody listed: who reaches the database decides.",
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    people.callback(invoke_without_command=True)(listed)
    people.command("add")(add)
    people.command("remove")(remove)
    app.add_typer(people, name="people")


def listed(context: typer.Context) -> None:
    """List people, add or remove one. Nobody listed: who reaches the database decides."""
    if context.invoked_subcommand is not None:
        return
    with database.transaction(open_database(Settings.from_env()), read_only=True) as connection:
        found = people_rows.read_people(connection)
    if not found:
        console.print("Nobody is listed: who reaches the database decides.")
        return
    print_table(
        ("name", "role", "added"),
        [(one.name, one.role, f"{one.added_at:%Y-%m-%d %H:%M} UTC") for one in found],
    )


def add(
    name: Name,
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}.")],
    person: Person = None,
) -> None:
    """List a person, or change the role: an admin does; the first one listed is an admin."""
    if role not in ROLES:
        raise typer.BadParameter(f"role must be one of {', '.join(ROLES)}, got {role!r}")
    with database.transaction(open_database(Settings.from_env())) as connection:
        people_rows.set_person(connection, name, role, actor=actor(person))
    console.print(f"{name} is listed as {role}.", markup=False)


def remove(name: Name, person: Person = None) -> None:
    """Take a person off the list, as an admin; the last admin goes last."""
    with database.transaction(open_database(Settings.from_env())) as connection:
        people_rows.remove_person(connection, name, actor=actor(person))
    console.print(f"{name} is no longer listed.", markup=False)


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
