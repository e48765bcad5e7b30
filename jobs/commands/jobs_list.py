"""Commands on jobs: the timetable, one job now, pause and resume."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.commands.console import console, print_table, progress_bar
from jobs.commands.session import actor, open_database, runner_for
from jobs.timetable import JOBS, TIMETABLE, next_slot
from learning.errors import LearningError
from learning.settings import Settings
from learning.store import database, job_rows

Name = Annotated[str, typer.Argument(help="A job, as ./run jobs prints it.")]
Reason = Annotated[str, typer.Option(help="Why, in words.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("jobs")(jobs)
    app.command("job")(job)
    app.command("pause")(pause)
    app.command("resume")(resume)


def jobs() -> None:
    """Show the timetable: what ran last, how old that is, and what comes next."""
    engine = open_database(Settings.from_env())
    with database.transaction(engine, read_only=True) as connection:
        last = {row["job"]: row for row in job_rows.last_runs(connection)}
        paused = job_rows.paused_jobs(connection)
        now = job_rows.database_now(connection)
    rows = []
    for one in TIMETABLE:
        row = last.get(one.name)
        ok_at = None if row is None else row["last_ok_at"]
        rows.append(
            (
                one.name,
                one.purpose,
                one.every,
                "never" if row is None else row["status"],
                "never" if ok_at is None else str(now - ok_at).split(".")[0],
                one.max_age,
                "paused" if one.name in paused else f"{next_slot(one, now):%d %b %H:%M} UTC",
            )
        )
    print_table(("job", "what for", "every", "last", "well ago", "stale after", "next"), rows)


def job(name: Name) -> None:
    """Run one job now."""
    _known(name)
    runner = runner_for(Settings.from_env())
    with progress_bar(name) as tell:
        ended = runner.run_now(name, requested_by=actor(None), progress=tell)
    if ended is None:
        raise LearningError(f"{name} is running elsewhere")
    if ended.status != "ok":
        raise LearningError(f"{name} {ended.status}: {ended.error}")
    console.print(f"{name}: {ended.rows_in} rows in, {ended.rows_out} out", markup=False)


def pause(name: Name, reason: Reason = "paused by hand") -> None:
    """Pause a job: the timetable leaves it out until it is resumed."""
    _set_paused(name, True, reason)


def resume(name: Name, reason: Reason = "resumed by hand") -> None:
    """Resume a paused job."""
    _set_paused(name, False, reason)


def _set_paused(name: str, paused: bool, reason: str) -> None:
    _known(name)
    engine = open_database(Settings.from_env())
    with database.transaction(engine) as connection:
        job_rows.set_paused(connection, name, paused=paused, changed_by=actor(None), reason=reason)
    console.print(f"{name} is {'paused' if paused else 'on the timetable'}.")


def _known(name: str) -> None:
    if name not in JOBS:
        raise typer.BadParameter(f"a job is one of {', '.join(JOBS)}, got {name!r}")
