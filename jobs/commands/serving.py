"""Commands that serve: up, web, worker. They start before the statistics are loaded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import typer

from jobs.commands.console import console
from jobs.commands.session import open_database, runner_for
from learning.errors import LearningError
from learning.settings import Settings

_PAGE = Path(__file__).parents[2] / "dashboard" / "asgi.py"
_GRACE_S = 10


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("up")(up)
    app.command("web")(web)
    app.command("worker")(worker)


def up() -> None:
    """Start dashboard and worker on the same database; Ctrl-C stops both."""
    serve_both(Settings.from_env())


def serve_both(settings: Settings) -> None:
    """Run dashboard and worker until one ends or somebody asks to end."""
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
    from jobs.scheduler import run_worker

    run_worker(runner_for(Settings.from_env()))
