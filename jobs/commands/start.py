"""The demo."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs import demo as demo_steps
from jobs.commands.console import console, print_table, progress_bar
from jobs.commands.learning import run_learning
from jobs.commands.serving import serve_both
from jobs.commands.session import open_database
from jobs.runner import Runner
from jobs.timetable import JOBS
from learning.errors import LearningError
from learning.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("demo")(demo)


def demo(
    serve: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Serve the dashboard at the end.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Same seed, same numbers.")] = demo_steps.DEMO_SEED,
) -> None:
    """Learn from demo trades whose truth is known, and show the dashboard.

    The demo has a folder and a database of its own beside the real one, and begins afresh.
    """
    settings = demo_steps.demo_settings(Settings.from_env())
    demo_steps.start_over(settings.home)
    runner = Runner(open_database(settings), settings, JOBS)
    demo_steps.mark(settings.home)
    with progress_bar("loading") as tell:
        loaded = demo_steps.load(runner.engine, seed=seed, tell=tell)
    console.print(f"{loaded.trades} demo trades, {loaded.strands} strands, seed {seed}.")
    failed = run_learning(runner, requested_by=demo_steps.ACTOR, trigger="demo")
    _compare(runner, seed=seed)
    approved = demo_steps.approve_lessons(runner)
    with progress_bar("replaying") as tell:
        applied = demo_steps.replay_bot(settings, runner.engine, seed=seed, tell=tell)
    console.print(
        f"Approved as {demo_steps.ACTOR}: {', '.join(one.label for one in approved)}. "
        f"A small bot traded on; overrides took part in {applied} of its trades."
    )
    failed += run_learning(runner, requested_by=demo_steps.ACTOR, trigger="demo", quiet=True)
    if failed:
        raise LearningError(f"failed: {', '.join(failed)}")
    console.print(
        f"Data: {settings.home}; EDGEKEEPER_HOME={settings.home} ./run up comes back to it, ./run "
        "demo begins afresh, real imports never meet it."
    )
    runner.engine.dispose()
    if serve:
        serve_both(settings)


def _compare(runner: Runner, *, seed: int) -> None:
    findings, false = demo_steps.compare(runner.engine)
    print_table(
        (
            "setup",
            "planted in",
            "planted R",
            "against its setup",
            "found",
            "edge R (95 %)",
            "n",
            "half-life",
        ),
        [demo_steps.finding_row(finding, seed=seed) for finding in findings],
        numbers=("against its setup", "n"),
    )
    found = sum(finding.found is not None for finding in findings)
    told = "false lesson" if len(false) == 1 else "false lessons"
    console.print(f"{found} of {len(findings)} planted edges found, {len(false)} {told}.")
    levels, wrong = demo_steps.compare_levels(runner.engine, seed=seed)
    console.print(
        f"{levels} level lessons (a setup that truly earns or loses after costs), {wrong} of them "
        "with no such truth behind it."
    )
