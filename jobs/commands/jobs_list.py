"""Commands on jobs: the timetable, one job now, pause and resume, every promise checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

import sqlalchemy as sa
import typer

from jobs.commands.console import console, print_table, progress_bar
from jobs.commands.session import actor, open_database, runner_for
from jobs.job import Job
from jobs.scheduler import back_off_end
from jobs.timetable import JOBS, next_slot, timetable
from jobs.validate_learning import count, run_all_checks
from learning.errors import LearningError
from learning.settings import Settings
from learning.store import database, job_rows
from learning.store.job_rows import Failures

Name = Annotated[str, typer.Argument(help="A job, as ./run jobs prints it.")]
Reason = Annotated[str, typer.Option(help="Why, in words.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("jobs")(jobs)
    app.command("job")(job)
    app.command("pause")(pause)
    app.command("resume")(resume)
    app.command("validate")(validate)


def jobs() -> None:
    """Show the timetable: what ran last, how old that is, and what comes next.

    An age beyond what it may be has an exclamation mark.
    """
    settings = Settings.from_env()
    engine = open_database(settings)
    table = timetable(settings.profile)
    with database.transaction(engine, read_only=True) as connection:
        last = {row["job"]: row for row in job_rows.last_runs(connection)}
        failures = job_rows.read_failures(connection, list(JOBS))
        paused = job_rows.read_pauses(connection)
        now = job_rows.database_now(connection)
    rows = []
    for one in table:
        row = last.get(one.name)
        rows.append(
            (
                one.name,
                one.purpose,
                one.every,
                _state(row),
                _age(row, one, now),
                one.max_age,
                "paused" if one.name in paused else _next(one, failures.get(one.name), now),
            )
        )
    print_table(("job", "what for", "every", "last", "well ago", "at most", "next"), rows)
    for one in table:
        row = last.get(one.name)
        if row is not None and row["status"] in ("failed", "lost"):
            console.print(f"{one.name}, run {row['id']}: {row['error']}", markup=False)


def _state(row: sa.RowMapping | None) -> str:
    if row is None:
        return "never"
    progress: Mapping[str, Any] = (row["changed"] or {}).get("progress") or {}
    if row["status"] != "running" or not progress:
        return str(row["status"])
    of = f" of {progress['total']}" if progress["total"] else ""
    return f"running: {progress['what']} {progress['done']}{of}"


def _age(row: sa.RowMapping | None, one: Job, now: datetime) -> str:
    ok_at = None if row is None else row["last_ok_at"]
    if ok_at is None:
        return "never !"
    age: timedelta = now - ok_at
    return str(age).split(".")[0] + (" !" if age > one.max_age else "")


def _next(one: Job, failures: Failures | None, now: datetime) -> str:
    slot, resumes_at = next_slot(one, now), back_off_end(one, failures)
    if resumes_at is not None and resumes_at > slot:
        return f"{resumes_at:%d %b %H:%M} UTC, failed {failures.in_a_row if failures else 0} times"
    return f"{slot:%d %b %H:%M} UTC"


def job(name: Name) -> None:
    """Run one job now, and say what it did."""
    _known(name)
    runner = runner_for(Settings.from_env())
    with progress_bar(name) as tell:
        ended = runner.run_now(name, requested_by=actor(None), progress=tell)
    if ended is None:
        raise LearningError(f"{name} is running elsewhere")
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


def pause(name: Name, reason: Reason = "paused by hand") -> None:
    """Pause a job: the timetable leaves it out until it is resumed."""
    _set_paused(name, True, reason)


def resume(name: Name, reason: Reason = "resumed by hand") -> None:
    """Resume a paused job."""
    _set_paused(name, False, reason)


def _set_paused(name: str, paused: bool, reason: str) -> None:
    _known(name)
    engine = open_database(Settings.from_env())
    change = job_rows.pause_job if paused else job_rows.resume_job
    with database.transaction(engine) as connection:
        change(connection, name, by=actor(None), reason=reason)
    console.print(f"{name} is {'paused' if paused else 'on the timetable'}.")


def _known(name: str) -> None:
    if name not in JOBS:
        raise typer.BadParameter(f"a job is one of {', '.join(JOBS)}, got {name!r}")
