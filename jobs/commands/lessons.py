"""Commands on lessons: list, approve, reject, disable, renew."""

from __future__ import annotations

import json
import re
import sys
from typing import Annotated, Any
from uuid import uuid4

import typer
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError

from jobs.commands.console import console, print_table
from jobs.commands.session import actor, runner_for
from jobs.runner import Runner
from learning.domain.scope import scope_text
from learning.errors import DecisionRefused, LearningError
from learning.lessons.life_cycle import STATUSES, PersonDecision, levers_of_effect
from learning.settings import Settings
from learning.store import alert_rows, database, decision_rows, lesson_rows
from learning.store.alert_rows import Alert
from learning.store.job_rows import RunOutcome
from learning.store.lesson_rows import StoredLesson

Lesson = Annotated[
    str, typer.Argument(help="The lesson, as ./run lessons prints it: L-0042v1, or L-0042.")
]
Reason = Annotated[str, typer.Option(help="Why, in at least 10 characters; kept for good.")]
Version = Annotated[
    int | None, typer.Option(min=1, help="The version you looked at, where the name lacks it.")
]
Person = Annotated[str | None, typer.Option("--as", help="Who decides; by default your login.")]
_GO_AHEAD = ("approve", "renew")  # let a bot go on by what was looked at: never by what was not
_SPELLED = re.compile(r"(?:L-)?0*(\d{1,12})(?:\s*v(\d{1,9}))?", re.ASCII | re.IGNORECASE)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("lessons")(lessons)
    app.command("approve")(approve)
    app.command("reject")(reject)
    app.command("disable")(disable)
    app.command("renew")(renew)


def lessons(
    status: Annotated[
        list[str] | None, typer.Option(help=f"Only these: {', '.join(STATUSES)}.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, all numbers.")] = False,
) -> None:
    """List what was learned: edge with its interval, trades, and what it would change."""
    unknown = sorted(set(status or ()) - set(STATUSES))
    if unknown:
        raise typer.BadParameter(f"status must be one of {', '.join(STATUSES)}, got {unknown[0]}")
    runner = runner_for(Settings.from_env())
    with database.transaction(runner.engine, read_only=True) as connection:
        found = lesson_rows.read_lessons(connection, statuses=status or None)
        alerts = alert_rows.read_alerts(connection)
    if as_json:
        typer.echo(json.dumps([_as_json(one) for one in found], indent=2, default=str))
        return
    if not found:
        console.print("No lessons." if status is None else f"No lessons: {', '.join(status)}.")
        return
    print_lessons(found)
    print_alerts(alerts)


def print_alerts(alerts: list[Alert]) -> None:
    """Print what is proposed to be disabled: what does harm, or was not confirmed."""
    for alert in alerts:
        console.print(
            f"{alert.label} v{alert.lesson_version}, raised {alert.raised_at:%Y-%m-%d}: "
            f"{alert.message} ./run disable {alert.label} --reason …",
            style="bold",
            markup=False,
        )


def print_lessons(found: list[StoredLesson]) -> None:
    """Print lessons as a table."""
    print_table(
        ("lesson", "status", "setup", "context", "n", "edge R", "95 %", "q", "size"),
        [_row(one) for one in found],
        numbers=("n", "edge R", "95 %", "q", "size"),
    )
    kinds = sorted({one.outcome for one in found})
    console.print(
        f"Edges in R ({', '.join(kinds)}), shrunken, against the pattern's own mean; a level is "
        "the mean itself. Size is where the override is heading, by 0.02 a day; --json shows all."
    )


def _row(lesson: StoredLesson) -> tuple[object, ...]:
    stats = lesson.stats
    q_value = stats.get("q_value")
    size = levers_of_effect(lesson.effect).get("size_mult")
    context = scope_text(lesson.scope)
    return (
        _versioned(lesson),
        lesson.status,
        f"{lesson.key[0]} {lesson.key[1]}",
        f"level of {context}" if lesson.lesson_type == "level" else context,
        lesson.n,
        f"{stats['posterior_mean_rr']:+.2f}",
        f"{stats['ci_low_rr']:+.2f} to {stats['ci_high_rr']:+.2f}",
        "" if q_value is None else f"{q_value:.3f}",
        "" if size is None else f"x{size:.2f}",
    )


def _as_json(lesson: StoredLesson) -> dict[str, Any]:
    return {
        "lesson": lesson.label,
        "id": lesson.lesson_id,
        "version": lesson.version,
        "status": lesson.status,
        "status_reason": lesson.status_reason,
        "module": lesson.module,
        "pattern_key": lesson.key[0],
        "action_category": lesson.key[1],
        "scope": dict(lesson.scope),
        "lesson_type": lesson.lesson_type,
        "outcome": lesson.outcome,
        "n": lesson.n,
        "stats": dict(lesson.stats),
        "effect": dict(lesson.effect),
        "lesson_strength": lesson.strength,
        "decay_halflife_hours": lesson.decay_halflife_hours,
        "half_life_state": lesson.half_life_state,
        "half_life_reason": lesson.half_life_reason,
        "latent_factor_id": lesson.latent_factor_id,
        "confirmation": lesson.confirmation,
        "composition": dict(lesson.composition),
        "activated_at": lesson.activated_at,
        "expires_at": lesson.expires_at,
    }


def approve(lesson: Lesson, reason: Reason, version: Version = None, person: Person = None) -> None:
    """Approve one version of a lesson: its override is materialised at once, by a small step.

    Name the version you looked at: L-0042v1. In a terminal the command shows the newest one and
    asks, where none is named.
    """
    _decide("approve", lesson, reason, version, person)


def reject(lesson: Lesson, reason: Reason, version: Version = None, person: Person = None) -> None:
    """Reject a proposed lesson; it stays away unless its evidence changes materially."""
    _decide("reject", lesson, reason, version, person)


def disable(lesson: Lesson, reason: Reason, version: Version = None, person: Person = None) -> None:
    """Disable an active lesson; its override is gone from every bot's next read."""
    _decide("disable", lesson, reason, version, person)


def renew(lesson: Lesson, reason: Reason, version: Version = None, person: Person = None) -> None:
    """Renew one version of an active lesson: its override gets a new end date.

    Name the version you looked at, as for approve.
    """
    _decide("renew", lesson, reason, version, person)


def _decide(
    decision: PersonDecision, lesson: str, reason: str, version: int | None, person: str | None
) -> None:
    settings = Settings.from_env()
    runner = runner_for(settings)
    with database.transaction(runner.engine, read_only=True) as connection:
        seen = find_lesson(connection, lesson, version=version)
    if decision in _GO_AHEAD and _named(lesson, version)[1] is None:
        _confirm(decision, seen)
    with database.transaction(runner.engine) as connection:
        made = decision_rows.decide(
            connection,
            lesson_id=seen.lesson_id,
            version=seen.version,
            status=seen.status,  # type: ignore[arg-type]
            decision=decision,
            actor=actor(person),
            reason=reason,
            token=uuid4(),
            source="cli",
            approvals_required=settings.approvals_required,
        )
    console.print(f"{seen.label} v{made.lesson_version}: {made.from_status} → {made.to_status}.")
    if made.waits_for_another:
        console.print("A second person has to approve it.")
    if made.to_status == "active":
        _materialise(runner, seen.label)


def _confirm(decision: PersonDecision, seen: StoredLesson) -> None:
    """Show a version that nobody named, and ask; where nobody can answer, refuse.

    Raises:
        DecisionRefused: If the answer is no, or there is no terminal to ask in.
    """
    if not (sys.stdin.isatty() and console.is_terminal):
        raise DecisionRefused(
            f"say which version you looked at, as ./run lessons shows it: {_versioned(seen)} is "
            f"the newest, and {decision} is for exactly one"
        )
    print_lessons([seen])
    levers = levers_of_effect(seen.effect)
    listed = ", ".join(f"{name} {value:g}" for name, value in levers.items())
    console.print(f"Its override heads for: {listed or 'nothing'}.", markup=False)
    if not typer.confirm(f"{decision.capitalize()} {_versioned(seen)}, {seen.status}?"):
        raise DecisionRefused("nothing was decided")


def _versioned(lesson: StoredLesson) -> str:
    """Return the name that a decision takes: the lesson's with its version."""
    return f"{lesson.label}v{lesson.version}"


def _named(text: str, version: int | None = None) -> tuple[int, int | None]:
    """Return the lesson and the version that a person named.

    Examples:
        >>> _named("L-0042v3"), _named("l-0042 v3"), _named("42"), _named("42", 3)
        ((42, 3), (42, 3), (42, None), (42, 3))
    """
    spelled = _SPELLED.fullmatch(text.strip())
    if spelled is None:
        raise typer.BadParameter(f"a lesson is named like L-0042v1, L-0042 or 42, got {text!r}")
    named = version if spelled[2] is None else int(spelled[2])
    if version is not None and named != version:
        raise typer.BadParameter(f"{text} and --version {version} name different versions")
    return int(spelled[1]), named


def find_lesson(connection: Connection, asked: str, *, version: int | None = None) -> StoredLesson:
    """Return the lesson that a person named, in the version that was named.

    Raises:
        DecisionRefused: If there is none, or it is in another version now.
    """
    lesson_id, named = _named(asked, version)
    found = lesson_rows.read_lessons(connection, lesson_id=lesson_id)
    if not found:
        raise DecisionRefused(f"there is no lesson {asked}")
    if named is not None and named != found[0].version:
        raise DecisionRefused(
            f"{found[0].label} changed meanwhile: it is {found[0].status} in version "
            f"{found[0].version}, you named version {named}"
        )
    return found[0]


def _materialise(runner: Runner, label: str) -> None:
    """Run the queued materialising here, unless a worker was faster or alone has the right.

    Raises:
        LearningError: If the last run did not end well: bots do not read what was decided yet.
    """
    ended: RunOutcome | None = None
    try:
        while (again := runner.run_queued("materialise_overrides")) is not None:
            ended = again
    except ProgrammingError as error:
        if not isinstance(error.orig, InsufficientPrivilege):
            raise
        console.print("The worker materialises its override; this database login may not.")
        return
    if ended is None:
        console.print("A worker materialises its override: ./run jobs shows how that ends.")
    elif ended.status == "ok":
        console.print("Its override is materialised: bots read it within a second.")
    else:
        raise LearningError(
            f"{label} is active, but bots do not read that yet: materialise_overrides "
            f"{ended.status} ({ended.error}); ./run job materialise_overrides tries again"
        )
