"""Decisions on the command line: for the version that was looked at, and true in what they say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa
import typer
from sqlalchemy import Engine

from jobs import materialise_overrides
from jobs.commands import lessons
from jobs.commands.app import main
from jobs.runner import Runner
from learning.store import lesson_rows
from learning.store.database import create_engine, transaction
from learning.store.schema import learning_lessons
from tests.learning.store.stored_lessons import stands, store_lesson

CLEAR: Mapping[str, Any] = {"ci_low_rr": 0.1, "ci_high_rr": 0.9, "posterior_mean_rr": 0.4}
WHY = ("--reason", "looked at the evidence")


@pytest.fixture
def engine(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("EDGEKEEPER_DATABASE_URL", fresh_database)
    made = create_engine(fresh_database)
    yield made
    made.dispose()


def run(*arguments: str) -> int:
    """Run a command; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def stored(engine: Engine, *, status: Any = "proposed") -> int:
    with transaction(engine) as connection:
        lesson_id = store_lesson(connection, status, stats=dict(CLEAR))
        lesson_rows.append_version(connection, lesson_id, reason="found")
    return lesson_id


def raise_version(engine: Engine, lesson_id: int, size: float) -> None:
    """What the miner does to a proposed lesson whose effect went to the other side."""
    effect = {"capital_levers": {"size_mult": size}, "execution_levers": {}}
    with transaction(engine) as connection:
        connection.execute(
            sa.update(learning_lessons)
            .where(learning_lessons.c.id == lesson_id)
            .values(effect=effect)
        )
        lesson_rows.raise_version(connection, lesson_id, reason="its effect changed sign")


def standing(engine: Engine, lesson_id: int) -> tuple[int, str]:
    with transaction(engine, read_only=True) as connection:
        return stands(connection, lesson_id)


def answer(monkeypatch: pytest.MonkeyPatch, *, yes: bool) -> list[str]:
    """Sit at a terminal and give this answer to whatever is asked; return what was."""
    asked: list[str] = []

    def confirm(question: str) -> bool:
        asked.append(question)
        return yes

    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda _self: True})())
    monkeypatch.setattr(lessons.console, "_force_terminal", True)
    monkeypatch.setattr(typer, "confirm", confirm)
    return asked


@pytest.mark.parametrize("decision", ["approve", "renew"])
def test_a_script_cannot_let_a_bot_go_on_by_a_version_it_does_not_name(
    engine: Engine, decision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lesson_id = stored(engine, status="proposed" if decision == "approve" else "active")
    before = standing(engine, lesson_id)
    assert run(decision, f"L-{lesson_id:04d}", *WHY) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "say which version you looked at" in told
    assert f"L-{lesson_id:04d}v1 is the newest" in told
    assert standing(engine, lesson_id) == before


def test_what_is_listed_is_the_name_that_an_approval_takes(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    lesson_id = stored(engine)
    assert run("lessons") == 0
    name = next(
        word for word in capsys.readouterr().out.split() if word.startswith(f"L-{lesson_id:04d}")
    )
    assert run("approve", name, *WHY) == 0
    assert standing(engine, lesson_id) == (1, "active")


@pytest.mark.parametrize("named", ["L-{:04d}v1", "l-{} v1", "{}"])
def test_a_version_that_a_refresh_replaced_is_not_approved(
    engine: Engine, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lesson_id = stored(engine)
    raise_version(engine, lesson_id, 0.75)
    extra = ("--version", "1") if named == "{}" else ()
    assert run("approve", named.format(lesson_id), *extra, *WHY) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "changed meanwhile: it is proposed in version 2, you named version 1" in told
    assert standing(engine, lesson_id) == (2, "proposed")
    assert run("approve", f"L-{lesson_id}v2", *WHY) == 0
    assert standing(engine, lesson_id) == (2, "active")


def test_two_different_versions_of_one_lesson_are_wrong_usage(engine: Engine) -> None:
    lesson_id = stored(engine)
    assert run("approve", f"L-{lesson_id}v1", "--version", "2", *WHY) == 2
    assert standing(engine, lesson_id) == (1, "proposed")


@pytest.mark.parametrize(("yes", "status"), [(True, "active"), (False, "proposed")])
def test_at_a_terminal_the_effect_is_shown_and_asked_about(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    yes: bool,
    status: str,
) -> None:
    lesson_id = stored(engine)
    raise_version(engine, lesson_id, 0.75)
    asked = answer(monkeypatch, yes=yes)
    assert run("approve", f"L-{lesson_id}", *WHY) == (0 if yes else 1)
    assert asked == [f"Approve L-{lesson_id:04d}v2, proposed?"]
    assert "size_mult 0.75" in capsys.readouterr().out
    assert standing(engine, lesson_id) == (2, status)


def test_what_changes_while_the_question_stands_is_not_approved(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lesson_id = stored(engine)
    answer(monkeypatch, yes=True)

    def confirm(_question: str) -> bool:
        raise_version(engine, lesson_id, 0.75)
        return True

    monkeypatch.setattr(typer, "confirm", confirm)
    assert run("approve", f"L-{lesson_id}", *WHY) == 1
    assert "changed meanwhile" in capsys.readouterr().err
    assert standing(engine, lesson_id) == (2, "proposed")


@pytest.mark.parametrize(
    ("decision", "before", "after"),
    [("reject", "proposed", "rejected"), ("disable", "active", "disabled")],
)
def test_what_stops_a_bot_needs_no_version(
    engine: Engine, decision: str, before: str, after: str
) -> None:
    lesson_id = stored(engine, status=before)
    assert run(decision, f"L-{lesson_id}", *WHY) == 0
    assert standing(engine, lesson_id) == (1, after)


@pytest.mark.parametrize("decision", ["approve", "renew"])
def test_a_decision_that_bots_do_not_read_yet_is_no_success(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    decision: str,
) -> None:
    lesson_id = stored(engine, status="proposed" if decision == "approve" else "active")
    monkeypatch.setattr(materialise_overrides, "materialise_module", fail)
    assert run(decision, f"L-{lesson_id}v1", *WHY) == 1
    told = capsys.readouterr()
    assert f"L-{lesson_id:04d} is active, but bots do not read that yet" in told.err
    assert "the disk is full" in told.err
    assert "is materialised" not in told.out
    monkeypatch.undo()


def fail(*_args: object, **_options: object) -> None:
    raise RuntimeError("the disk is full")


def test_a_decision_that_a_worker_carries_out_says_so(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lesson_id = stored(engine)
    monkeypatch.setattr(Runner, "run_queued", lambda _self, _name: None)
    assert run("approve", f"L-{lesson_id}v1", *WHY) == 0
    told = capsys.readouterr().out
    assert "A worker materialises its override" in told
    assert "is materialised" not in told
