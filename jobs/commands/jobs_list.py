"""Commands on jobs: the timetable, one job now, pause and resume, every promise checked."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated

import typer

from jobs.commands.console import console, print_table, progress_bar
from jobs.commands.session import actor, open_database, runner_for
from jobs.planned import PlannedRun, planned_runs
from jobs.timetable import JOBS
from jobs.validate_learning import count, run_all_checks
from learning.domain.durations import span
from learning.errors import LearningError
from learning.settings import Settings
from learning.store import database, job_rows

Name = Annotated[str, typer.Argument(help="A job, as ./run jobs prints it.")]
Reason = Annotated[str, typer.Option(help="Why, in words.")]
Person = Annotated[str | None, typer.Option("--as", help="Who asks; by default your login.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("jobs")(jobs)
    app.command("job")(job)
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("cancel")(cancel)
    app.command("validate")(validate)


def jobs() -> None:
    """Show the timetable: what ran last, how old that is, and what comes next.

    An age beyond what it may be has an exclamation mark.
    """
    settings = Settings.from_env()
    engine = open_database(settings)
    with database.transaction(engine, read_only=True) as connection:
        planned = planned_runs(connection, settings.profile)
        now = job_rows.database_now(connection)
    rows = [
        (
            one.job.name,
            one.job.purpose,
            span(one.job.every.total_seconds()),
            "never" if one.last is None else one.last["status"],
            _age(one, now),
            span(one.job.max_age.total_seconds()),
            one.said,
        )
        for one in planned
    ]
    print_table(("job", "what for", "every", "last", "last good", "at most", "next"), rows)
    for one in planned:
        if one.last is not None and one.last["status"] in ("failed", "lost"):
            told = f"{one.job.name}, run {one.last['id']}: {one.last['error']}"
            console.print(told, markup=False)


def _age(one: PlannedRun, now: datetime) -> str:
    if one.last_ok_at is None:
        return "never" if one.pause is not None else "never !"
    age = f"{span((now - one.last_ok_at).total_seconds())} ago"
    return age if one.late_since is None else f"{age} !"


def job(name: Name) -> None:
    """Run one job now, and say what it did."""
    _known(name)
    runner = runner_for(Settings.from_env())
    with progress_bar(name) as tell:
        ended = runner.run_now(name, requested_by=actor(None), progress=tell)
    if ended is None:
        raise LearningError(f"{name} is running elsewhere; yours waits for a worker to run it next")
    if ended.status != "ok":
        told = f" (error {ended.error_id}; its log is in the page of the run)"
        raise LearningError(f"{name} {ended.status}: {ended.error}{told if ended.error_id else ''}")
    console.print(f"{name}: {ended.rows_in} rows in, {ended.rows_out} out", markup=False)
    for what, value in (ended.changed or {}).items():
        if what != "checks" and value not in (0, [], {}):
            console.print(f"  {what}: {_short(value)}", markup=False)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 200 else text[:200] + " …"


def validate(
    every_group: Annotated[
        bool, typer.Option("--all", help="Compute every statistic again, not only some.")
    ] = False,
) -> None:
    """Check every promise now; exit code 1 where one is broken."""
    settings = Settings.from_env()
    engine = open_database(settings)
    with database.transaction(engine, read_only=True) as connection:
        now = job_rows.database_now(connection)
        checks = run_all_checks(connection, settings, now=now, every_group=every_group)
    print_table(("check", "state", "finding"), [(c.name, c.state, c.finding) for c in checks])
    failed = [check.name for check in checks if check.state == "failed"]
    if failed:
        raise LearningError(f"{len(failed)} broken: {', '.join(failed)}")
    console.print(f"{len(checks)} checks, {count(checks, 'warning')} warnings, none failed.")


def pause(name: Name, reason: Reason = "paused by hand", person: Person = None) -> None:
    """Pause a job: the timetable leaves it out until it is resumed."""
    _known(name)
    with database.transaction(open_database(Settings.from_env())) as connection:
        job_rows.pause_job(connection, name, by=actor(person), reason=reason)
    console.print(f"{name} is paused.")


def resume(name: Name, reason: Reason = "resumed by hand", person: Person = None) -> None:
    """Resume a paused job; what it missed is made up for once."""
    _known(name)
    with database.transaction(open_database(Settings.from_env())) as connection:
        job_rows.resume_job(connection, name, by=actor(person), reason=reason)
    console.print(f"{name} is on the timetable.")


def cancel(name: Name, reason: Reason = "cancelled by hand", person: Person = None) -> None:
    """Take what waits of a job out of the queue; a run under way goes on."""
    _known(name)
    cancelled = []
    with database.transaction(open_database(Settings.from_env())) as connection:
        for run in job_rows.read_queue(connection):
            if run.job == name and job_rows.cancel_queued_run(
                connection, run.run_id, by=actor(person), reason=reason
            ):
                cancelled.append(run.run_id)
    if not cancelled:
        raise LearningError(f"no run of {name} is queued")
    console.print(f"{name}: run {', '.join(map(str, cancelled))} will not run.")


def _known(name: str) -> None:
    if name not in JOBS:
        raise typer.BadParameter(f"a job is one of {', '.join(JOBS)}, got {name!r}")
