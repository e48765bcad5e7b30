"""All commands under one name, with errors in one sentence."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence

import typer

from jobs.commands.console import errors
from learning.errors import ConfigError, DatabaseUnavailable, LearningError

EXIT_FAILED, EXIT_USAGE, EXIT_ENVIRONMENT = 1, 2, 3
# by subject; each module registers its commands on the app it is given
_SUBJECTS = (
    "start",
    "serving",
    "trades",
    "context",
    "learning",
    "lessons",
    "dimensions",
    "people",
    "replay",
    "jobs_list",
    "backup",
    "system",
    "kill",
    "place",
)
# what needs no statistics, or not those of the demo, starts without loading them
_LIGHT = {
    "up": "serving", "web": "serving", "url": "place", "migrate": "place", "stop": "place",
    "kill": "kill", "import": "trades", "context": "context", "learn": "learning",
}  # fmt: skip


def make_app(command: str | None = None) -> typer.Typer:
    """Return the application with every command, or with the few beside a light one."""
    app = typer.Typer(
        name="run",
        help="Edgekeeper: which setups of a trading bot really have an edge, in which market "
        "context, for how long; and a safe way to act on it.",
        epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 database or settings "
        "not usable. --debug anywhere shows the traceback of an error.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    light = _LIGHT.get(command or "")
    for subject in _SUBJECTS if light is None else (light,):
        importlib.import_module(f"jobs.commands.{subject}").register(app)
    if light is not None:
        app.callback()(_named)  # a command that is the only one would lose its name
    return app


def _named() -> None:
    """Do nothing before a command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; an error is one sentence and an exit code."""
    # schedule and every log speak UTC because the process does
    os.environ["TZ"] = "UTC"
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    asked = [one for one in given if one != "--debug"]
    _set_up_log(with_tracebacks=debug or asked[:1] == ["worker"])
    try:
        make_app(next(iter(asked), None))(args=asked, prog_name="./run")
    except LearningError as error:
        if debug:
            raise
        errors.print(str(error), style="bold", markup=False, highlight=False, soft_wrap=True)
        unusable = isinstance(error, ConfigError | DatabaseUnavailable)
        raise SystemExit(EXIT_ENVIRONMENT if unusable else EXIT_FAILED) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        if debug:
            raise
        errors.print(
            f"Unexpected {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            " (run again with --debug for the traceback)",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        raise SystemExit(EXIT_FAILED) from None


class _OneLine(logging.Formatter):
    """A log line without its traceback, for people."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(logging.makeLogRecord({**vars(record), "exc_info": None}))


def _set_up_log(*, with_tracebacks: bool) -> None:
    line = "%(asctime)s level=%(levelname)s logger=%(name)s %(message)s"
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(line) if with_tracebacks else _OneLine(line))
    level = os.environ.get("EDGEKEEPER_LOG_LEVEL", "warning").upper()
    logging.basicConfig(level=level, handlers=[handler])
