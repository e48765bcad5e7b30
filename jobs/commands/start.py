"""Commands that start something: demo, up, web, worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from jobs import demo as demo_steps
from jobs.commands.console import console, print_table, progress_bar
from jobs.commands.learning import run_learning
from jobs.commands.session import open_database, runner_for
from jobs.runner import Runner
from jobs.scheduler import run_worker
from jobs.timetable import JOBS
from learning.errors import LearningError
from learning.settings import Settings

_PAGE = Path(__file__).parents[2] / "dashboard" / "asgi.py"
_GRACE_S = 10


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("demo")(demo)
    app.command("up")(up)
    app.command("web")(web)
    app.command("worker")(worker)


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
    console.print(f"Data: {settings.home}; ./run demo begins afresh, real imports never meet it.")
    runner.engine.dispose()
    if serve:
        _serve(settings)


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


def up() -> None:
    """Start dashboard and worker on the same database; Ctrl-C stops both."""
    _serve(Settings.from_env())


def _serve(settings: Settings) -> None:
    open_database(settings).dispose()
    environment = {**os.environ, "EDGEKEEPER_HOME": str(settings.home.absolute())}
    if settings.database_url is None:
        environment.pop("DATABASE_URL", None)
        environment.pop("EDGEKEEPER_DATABASE_URL", None)
    parts = {
        name: subprocess.Popen([sys.executable, "-m", "jobs", name], env=environment)  # noqa: S603
        for name in ("web", "worker")
    }
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, _ask_to_end)
    console.print(
        f"Dashboard: http://{settings.host}:{settings.port}  (Ctrl-C stops everything; data kept "
        f"in {settings.home})"
    )
    ended = _wait(parts)
    if ended is not None:
        raise LearningError(f"{ended} ended by itself; everything was stopped")


class _Ended(Exception):
    """Somebody asked to end."""


def _ask_to_end(_number: int, _frame: FrameType | None) -> None:
    raise _Ended


def _wait(parts: dict[str, subprocess.Popen[bytes]]) -> str | None:
    """Wait until one part ends, then end the others; return its name, None where asked to."""
    try:
        while True:
            for name, process in parts.items():
                if process.poll() is not None:
                    return name
            time.sleep(0.2)
    except _Ended:
        return None
    finally:
        _end(parts)


def _end(parts: dict[str, subprocess.Popen[bytes]]) -> None:
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, signal.SIG_IGN)
    for process in parts.values():
        process.terminate()
    deadline = time.monotonic() + _GRACE_S
    for process in parts.values():
        try:
            process.wait(timeout=max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()


def web() -> None:
    """Start the dashboard alone."""
    settings = Settings.from_env()
    open_database(settings).dispose()
    command = [
        sys.executable, "-m", "streamlit", "run", str(_PAGE),
        "--server.address", settings.host, "--server.port", str(settings.port),
    ]  # fmt: skip
    root = str(_PAGE.parents[1])
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH")) if part)
    os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": path})  # noqa: S606


def worker() -> None:
    """Start the worker alone: it runs what the timetable says, and what is asked for."""
    run_worker(runner_for(Settings.from_env()))
