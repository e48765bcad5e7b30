"""The command that replays an override on past trades."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
import typer

from jobs.commands.console import console, print_table
from jobs.commands.lessons import Lesson, find_lesson
from jobs.commands.session import open_database
from learning.overrides.effects import Effect, NotMeasured
from learning.overrides.replay import IN_SAMPLE_NOTE, LessonReplay, MultiplierReplay, SampleReplay
from learning.settings import Settings
from learning.store import database, replay_rows
from learning.store.lesson_rows import StoredLesson


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(replay)


def replay(
    lesson: Lesson,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with the curves of all trades.")
    ] = False,
) -> None:
    """Show what a lesson's override would have done on the past trades in its scope."""
    settings = Settings.from_env()
    with database.transaction(open_database(settings), read_only=True) as connection:
        found = find_lesson(connection, lesson)
        replayed = replay_rows.read_lesson_replay(
            connection, found, dims=settings.dimensions(found.module), origins=settings.origins
        )
    if as_json:
        typer.echo(json.dumps(replay_as_json(found, replayed), indent=2))
    else:
        print_replay(found, replayed)


def print_replay(lesson: StoredLesson, replayed: LessonReplay) -> None:
    """Print a replay as a table, and what could not be replayed."""
    console.print(
        f"{lesson.label} v{lesson.version}, {len(replayed.trades.rr)} trades in scope, in R of "
        f"base risk ({replayed.outcome}); found {lesson.claimed_at:%Y-%m-%d}."
    )
    if replayed.lever is None:
        console.print("It changes no size: there is nothing to replay.")
    elif not len(replayed.trades.rr):
        console.print("No closed trade is in its scope.")
    else:
        headings = ("size", "sample", "n", "as traded R", "adjusted R", "difference R",
                    "drawdown R", "adjusted drawdown R")  # fmt: skip
        rows = [_row(one, part) for one in replayed.replays for part in one.samples]
        print_table(headings, rows, numbers=[name for name in headings if name != "sample"])
        _print_notes(replayed)
    _print_not_replayed(replayed.not_replayable)


def _print_not_replayed(reasons: Mapping[str, str]) -> None:
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        names.setdefault(reason, []).append(name)
    for reason, alike in names.items():
        if len(alike) == 1:
            console.print(f"{alike[0]} is not replayed: {reason}.")
        else:
            why = reason.replace("it changes", "they change", 1)
            console.print(f"{', '.join(sorted(alike))} are not replayed: {why}.")


def _row(one: MultiplierReplay, part: SampleReplay) -> tuple[object, ...]:
    return (
        f"{one.kind} x{one.multiplier:.3f}",
        part.sample,
        part.n,
        f"{part.traded_rr:+.2f}",
        f"{part.adjusted_rr:+.2f}",
        f"{part.adjusted_rr - part.traded_rr:+.2f}",
        f"{part.traded_drawdown_rr:.2f}",
        f"{part.adjusted_drawdown_rr:.2f}",
    )


def _print_notes(replayed: LessonReplay) -> None:
    kinds = [one.kind for one in replayed.replays]
    if "in force" in kinds:
        console.print("Target is where its size is heading by 0.02 a day, in force what it is now.")
    parts = {part.sample: part for part in replayed.replays[0].samples}
    if "in sample" in parts:
        console.print(IN_SAMPLE_NOTE)
    later = parts.get("out of sample")
    if later is None:
        console.print("No trade in its scope has closed since it was discovered.")
    else:
        console.print(f"Out of sample, at its {kinds[0]}: {_difference(later.difference)}.")


def _difference(found: Effect | NotMeasured) -> str:
    """What the size earned a trade, with its interval where there is an honest one."""
    if isinstance(found, NotMeasured):
        return found.reason
    if found.sequence_low_rr is None or found.sequence_high_rr is None:
        return found.sentence
    low, high = found.sequence_low_rr, found.sequence_high_rr
    return f"{found.estimate_rr:+.4f} R a trade ({low:+.4f} to {high:+.4f}), {found.sentence}"


def replay_as_json(lesson: StoredLesson, replayed: LessonReplay) -> dict[str, Any]:
    """Return a replay as plain values, with one point per trade."""
    trades = replayed.trades
    return {
        "lesson": lesson.label,
        "version": lesson.version,
        "outcome": replayed.outcome,
        "discovered_at": lesson.discovered_at.isoformat(),
        "claimed_at": lesson.claimed_at.isoformat(),
        "lever": replayed.lever,
        "not_replayable": dict(replayed.not_replayable),
        "n": len(trades.rr),
        "closed_at": [
            datetime.fromtimestamp(round(days * 86400, 3), UTC).isoformat()
            for days in trades.closed_at_days.tolist()
        ],
        "is_in_sample": trades.is_in_sample.tolist(),
        "traded_curve_rr": _rounded(replayed.traded_curve_rr),
        "replays": [
            {
                "kind": one.kind,
                "multiplier": one.multiplier,
                "samples": [asdict(part) for part in one.samples],
                "adjusted_curve_rr": _rounded(one.adjusted_curve_rr),
            }
            for one in replayed.replays
        ],
    }


def _rounded(curve: np.ndarray) -> list[float]:
    return [round(value, 6) for value in curve.tolist()]
