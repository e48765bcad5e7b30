"""Commands that learn: every job once, and the analysed outcome."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

import typer

from jobs.commands.console import console, print_table, progress_bar
from jobs.commands.lessons import Person, print_lessons
from jobs.commands.session import actor, open_database, runner_for
from jobs.runner import Runner
from jobs.timetable import LEARNING_ORDER
from learning.errors import ConfigError, LearningError
from learning.settings import Settings
from learning.store import (
    database,
    decision_rows,
    lesson_rows,
    mining_run_rows,
    outcome_rows,
    state_rows,
)
from learning.store.job_rows import RunOutcome
from learning.store.schema import OUTCOMES

_UNUSABLE = "ConfigError: "


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("learn")(learn)
    app.command("outcome")(outcome)


def learn() -> None:
    """Run every learning job once, in order, and say what was found."""
    runner = runner_for(Settings.from_env())
    failed = run_learning(runner, requested_by=actor(None), trigger="manual")
    print_findings(runner)
    if failed:
        raise LearningError(f"failed: {', '.join(failed)}")


def run_learning(
    runner: Runner, *, requested_by: str, trigger: str, quiet: bool = False
) -> list[str]:
    """Run the learning jobs with progress bars, print their table; return those that failed."""
    rows: list[tuple[object, ...]] = []
    failed = []
    ended: RunOutcome | None = None
    for name in LEARNING_ORDER:
        started = time.monotonic()
        with progress_bar(name) as tell:
            ended = runner.run_now(name, requested_by=requested_by, trigger=trigger, progress=tell)
        rows.append(_row(name, ended, time.monotonic() - started))
        if ended is None or ended.status != "ok":
            failed.append(name)
        if ended is not None and (ended.error or "").startswith(_UNUSABLE):
            # every job after it would say the same
            raise ConfigError((ended.error or "").removeprefix(_UNUSABLE))
    if not quiet:
        print_jobs(rows)
        _print_warnings(ended)
    return failed


def _print_warnings(validated: RunOutcome | None) -> None:
    """Say what the last job, the validation, found that is not well."""
    checks = (validated.changed or {}).get("checks", []) if validated is not None else []
    for check in checks:
        if check["state"] != "ok":
            console.print(f"{check['state']}: {check['name']}: {check['finding']}", markup=False)


def print_jobs(rows: Sequence[tuple[object, ...]]) -> None:
    """Print what each job did."""
    print_table(
        ("job", "status", "rows in", "rows out", "time s", "what changed"),
        rows,
        numbers=("rows in", "rows out", "time s"),
    )


def _row(name: str, ended: RunOutcome | None, seconds: float) -> tuple[object, ...]:
    if ended is None:
        return (name, "skipped", None, None, f"{seconds:.1f}", "it is running elsewhere")
    told = ended.error or ", ".join(
        f"{what} {count}"
        for what, count in (ended.changed or {}).items()
        if isinstance(count, int) and count
    )
    return (name, ended.status, ended.rows_in, ended.rows_out, f"{seconds:.1f}", told)


def print_findings(runner: Runner) -> None:
    """Print the evidence budget of the last runs and the lessons that stand."""
    with database.transaction(runner.engine, read_only=True) as connection:
        state = state_rows.read_state(connection)
        runs = [mining_run_rows.last_run(connection, module) for module in ("pm", "dm")]
        lessons = lesson_rows.read_lessons(connection, statuses=("watch", "proposed", "active"))
    if state.outcome is None:
        console.print("No closed trades yet: ./run import FILE brings some.")
        return
    for run in runs:
        if run is not None:
            counts = run.counts
            console.print(
                f"{run.module}, {run.outcome}, look {run.look}: "
                f"{counts['scopes_stored']} scopes stored, {counts['searched']} with enough "
                f"trades and at most four conditions, {counts['tested']} tested in "
                f"{counts['groups']} groups, {counts['groups_selected']} groups passed, "
                f"{counts['found']} scopes and {counts['levels_found']} levels found."
            )
            if left_out := run.details.get("without_timing_dimensions"):
                console.print(
                    f"Left out of {len(left_out)} groups of adds and trims: the dimensions that "
                    "say when to add or trim. Among trades that got that far they pick the outcome."
                )
    if lessons:
        print_lessons(lessons)
    else:
        console.print("No lesson survived the test: an honest answer, most markets give none.")


def outcome(
    name: Annotated[
        str | None, typer.Argument(help=f"One of {', '.join(OUTCOMES)}; none: show it.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, in at least 10 characters.")] = "",
    person: Person = None,
) -> None:
    """Show the analysed outcome, or change it: every active lesson then goes back to proposed."""
    settings = Settings.from_env()
    engine = open_database(settings)
    with database.transaction(engine) as connection:
        if name is None:
            _show_outcome(state_rows.read_state(connection))
            counts, total = outcome_rows.count_outcomes(connection, settings.origins)
            print_table(
                ("outcome", "trades", "of"),
                [(one, n, total) for one, n in counts.items()],
                numbers=("trades", "of"),
            )
            return
        if name not in OUTCOMES:
            raise typer.BadParameter(f"outcome must be one of {', '.join(OUTCOMES)}, got {name}")
        sent = decision_rows.change_outcome(
            connection, name, actor=actor(person), reason=reason, source="cli"
        )
    if sent is None:
        console.print(f"{name} is analysed already: nothing changed.")
    else:
        console.print(f"Analysed outcome: {name}; {sent} active lessons went back to proposed.")


def _show_outcome(state: state_rows.State) -> None:
    if state.outcome is None:
        console.print("No outcome chosen yet: the first learning run chooses one.")
    else:
        console.print(
            f"{state.outcome}, chosen {state.outcome_chosen_at:%Y-%m-%d %H:%M} UTC "
            f"by {state.outcome_chosen_by}."
        )
