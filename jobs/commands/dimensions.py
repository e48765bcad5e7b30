"""The command that changes a module's list of scope dimensions: a person's decision."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy import Connection

from jobs.commands.console import console
from jobs.commands.session import actor, open_database
from jobs.dimension_list import DIMENSIONS, dimensions_in_force
from learning.domain.pattern_key import MODULES, Module
from learning.settings import Settings
from learning.store import (
    database,
    decision_rows,
    lesson_rows,
    mining_run_rows,
    scope_stat_rows,
    state_rows,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dimensions")(dimensions)


def dimensions(
    module: Annotated[str, typer.Argument(help="pm or dm.")],
    reason: Annotated[
        str, typer.Option(help="Why, in at least 10 characters; none: show the list in force.")
    ] = "",
) -> None:
    """Show the scope dimensions in force, or change them to those of the settings.

    A change deletes the module's statistics, which the next aggregation builds again, sends its
    active lessons back to proposed, and makes its next mining run a discovery look.
    """
    if module not in MODULES:
        raise typer.BadParameter(f"module must be one of {', '.join(MODULES)}, got {module}")
    settings = Settings.from_env()
    asked = settings.dimensions(module)
    with database.transaction(open_database(settings)) as connection:
        in_force = dimensions_in_force(connection, module)
        if in_force is None or in_force == asked or not reason:
            _show(module, in_force, asked)
            return
        if len(reason.strip()) < 10:
            raise typer.BadParameter("--reason of at least 10 characters is needed")
        sent = change_dimensions(connection, module, asked, actor=actor(None), reason=reason)
    console.print(
        f"Dimensions of {module}: {', '.join(asked)}; {sent} active lessons went back to "
        "proposed. ./run learn builds the statistics again and looks for lessons under this list."
    )


def _show(module: Module, in_force: tuple[str, ...] | None, asked: tuple[str, ...]) -> None:
    if in_force is None:
        console.print(f"{module} has learned nothing yet: it begins with {', '.join(asked)}.")
        return
    console.print(f"Dimensions of {module}: {', '.join(in_force)}.")
    if in_force != asked:
        console.print(f"The settings ask for {', '.join(asked)}: --reason … changes to them.")


def change_dimensions(
    connection: Connection, module: Module, dims: tuple[str, ...], *, actor: str, reason: str
) -> int:
    """Change a module's list; return how many active lessons went back to proposed."""
    decision_rows.lock(connection)
    scope_stat_rows.clear(connection, module)
    _append_change(connection, module, dims, actor=actor, reason=reason)
    active = lesson_rows.read_lessons(connection, module, statuses=("active",))
    for lesson in active:
        decision_rows.move(
            connection,
            lesson_id=lesson.lesson_id,
            decision="refresh",
            reason=f"the dimensions of {module} became {','.join(dims)}: {reason}",
            job=actor,
        )
    state_rows.touch(connection)
    return len(active)


def _append_change(
    connection: Connection, module: Module, dims: tuple[str, ...], *, actor: str, reason: str
) -> None:
    """Append the change to the runs, as one that found nothing: from here on the list holds."""
    last = mining_run_rows.last_run(connection, module)
    if last is None:
        return
    row = {
        "module": module,
        "is_discovery": False,
        "look": last.look,
        "outcome": last.outcome,
        "fdr_level": 0.0,
        "seed": 0,
        "n_trades": last.n_trades,
        "n_without_outcome": 0,
        "clip_low_rr": last.clip_low_rr,
        "clip_high_rr": last.clip_high_rr,
        "counts": dict(last.counts),
        "details": {DIMENSIONS: list(dims), "changed_by": actor, "reason": reason},
        "baselines": {},
    }
    mining_run_rows.append(connection, row)
