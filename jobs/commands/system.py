"""Commands on the system itself: doctor, kill switch, flags, settings, bench."""

from __future__ import annotations

import runpy
import shutil
import socket
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Connection, Engine

from jobs.commands.console import console, print_table
from jobs.commands.lessons import Person
from jobs.commands.session import actor, open_database
from jobs.planned import PlannedRun, planned_runs, utc
from jobs.validate_learning import run_all_checks
from learning.errors import LearningError
from learning.settings import Settings, documented
from learning.store import database, job_rows, state_rows
from learning.store.embedded import server_status
from learning.store.state_rows import FEATURE_FLAGS
from learning.store.validation_rows import Check, State

_BENCHMARKS = Path(__file__).parents[2] / "tests" / "benchmarks"
_MAX_SKEW = timedelta(seconds=5)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("doctor")(doctor)
    app.command("flag")(flag)
    app.command("settings")(settings_list)
    app.command("bench", context_settings={"ignore_unknown_options": True})(bench)


def settings_list() -> None:
    """List every setting with its meaning and default."""
    print_table(("environment variable", "meaning"), documented().items())


def flag(
    name: Annotated[
        str | None, typer.Argument(help=f"One of {', '.join(FEATURE_FLAGS)}; none: show all.")
    ] = None,
    state: Annotated[str, typer.Argument(help="on or off.")] = "",
    reason: Annotated[
        str, typer.Option(help="Why; at least 10 characters are needed to turn it on.")
    ] = "",
    person: Person = None,
) -> None:
    """Show the feature flags, or turn one: bots obey it at their next read."""
    engine = open_database(Settings.from_env())
    if name is not None:
        if name not in FEATURE_FLAGS or state not in ("on", "off"):
            raise typer.BadParameter(f"name one of {', '.join(FEATURE_FLAGS)}, and on or off")
        with database.transaction(engine) as connection:
            state_rows.set_flag(connection, name, state == "on", actor=actor(person), reason=reason)
    with database.transaction(engine, read_only=True) as connection:
        flags = state_rows.read_flags(connection)
    print_table(("flag", "state"), [(one, "on" if on else "off") for one, on in flags.items()])


def doctor() -> None:
    """Check this machine, the database and every promise; exit code 1 where something failed."""
    settings = Settings.from_env()
    checks = [_python(), _server(settings)]
    engine = open_database(settings)
    with database.transaction(engine) as connection:
        checks += [_migrations(connection), _clock(connection), *_jobs(connection, settings)]
    checks += [_port(settings), _browser(), *_promises(engine, settings)]
    print_table(("check", "state", "finding"), [(c.name, c.state, c.finding) for c in checks])
    failed = [check.name for check in checks if check.state == "failed"]
    if failed:
        raise LearningError(f"{len(failed)} failed: {', '.join(failed)}")


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("Python", "ok" if sys.version_info >= (3, 11) else "failed", version)


def _server(settings: Settings) -> Check:
    if settings.database_url is not None:
        return Check("database server", "ok", database.masked(settings.database_url))
    status = server_status(settings.home)
    return Check("database server", "ok", f"embedded, {status.state}, {status.data_dir}")


def _migrations(connection: Connection) -> Check:
    present = database.schema_revision(connection)
    newest = database.newest_revision()
    return Check("migrations", "ok" if present == newest else "failed", f"{present} of {newest}")


def _clock(connection: Connection) -> Check:
    skew = job_rows.clock_skew(connection)
    state: State = "warning" if abs(skew) > _MAX_SKEW else "ok"
    return Check("clock", state, f"{skew.total_seconds():+.1f} s against the database")


def _jobs(connection: Connection, settings: Settings) -> list[Check]:
    return [_job(one) for one in planned_runs(connection, settings.profile)]


def _job(one: PlannedRun) -> Check:
    """How a job stands: since when it is late, or by whom it is paused."""
    name = f"job {one.job.name}"
    if one.pause is not None:
        return Check(name, "warning", one.said)
    if one.last is None:
        return Check(name, "warning", "never ran")
    told = f"last {one.last['status']}"
    told += "" if one.last_ok_at is None else f", well {utc(one.last_ok_at)}"
    told += "" if one.late_since is None else f", late since {utc(one.late_since)}"
    if one.last["status"] in ("failed", "lost"):
        return Check(name, "failed", told)
    is_late = one.last_ok_at is None or one.late_since is not None
    return Check(name, "warning" if is_late else "ok", told)


def _port(settings: Settings) -> Check:
    with socket.socket() as probe:
        taken = probe.connect_ex((settings.host, settings.port)) == 0
    told = "answers: a dashboard or something else" if taken else "free"
    return Check("dashboard port", "ok", f"{settings.host}:{settings.port} {told}")


def _browser() -> Check:
    found = shutil.which("chromium")
    return Check("Chromium, for browser tests only", "ok", found or "not found: they are skipped")


def _promises(engine: Engine, settings: Settings) -> list[Check]:
    with database.transaction(engine, read_only=True) as connection:
        now = job_rows.database_now(connection)
        return run_all_checks(connection, settings, now=now)


def bench(
    name: Annotated[str | None, typer.Argument(help="Which; none: list them.")] = None,
    arguments: Annotated[list[str] | None, typer.Argument(help="Passed on.")] = None,
) -> None:
    """Run a benchmark of the repository: ratios against named peers, in one run."""
    known = sorted(path.stem.removeprefix("bench_") for path in _BENCHMARKS.glob("bench_*.py"))
    if name is None:
        console.print("\n".join(known))
        return
    if name not in known:
        raise typer.BadParameter(f"a benchmark is one of {', '.join(known)}, got {name!r}")
    sys.argv = [f"bench_{name}", *(arguments or [])]
    runpy.run_module(f"tests.benchmarks.bench_{name}", run_name="__main__")
