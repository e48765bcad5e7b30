"""Feature flags: turned by who may, where bots read them, whatever the jobs do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from jobs import materialise_overrides
from jobs.commands.app import main
from jobs.runner import Runner
from learning.settings import Settings
from learning.store import job_rows, override_rows, people_rows, state_rows
from learning.store.database import create_engine, transaction
from tests.jobs.test_shared_materialising import wait_until_blocked
from tests.learning.store.stored_lessons import store_lesson

FLAG = "learning_overrides_enabled"


@pytest.fixture
def engine(
    runner: Runner, fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    """A database whose snapshots are written, with an override; no job runs any more."""
    with transaction(runner.engine) as connection:
        store_lesson(connection, "active")
    ended = runner.run_now("materialise_overrides", requested_by="test")
    assert ended is not None
    assert ended.status == "ok"
    monkeypatch.setenv("EDGEKEEPER_DATABASE_URL", fresh_database)
    monkeypatch.setattr(materialise_overrides, "materialise_module", fail)
    yield runner.engine
    monkeypatch.undo()


def fail(*_args: object, **_options: object) -> None:
    raise RuntimeError("the disk is full")


def run(*arguments: str) -> int:
    """Run a command; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def snapshots(engine: Engine) -> list[dict[str, Any]]:
    with transaction(engine, read_only=True) as connection:
        read = [override_rows.read_config(connection, module) for module in ("pm", "dm")]
    return [dict(one) for one in read if one is not None]


def test_a_flag_is_turned_where_bots_read_it_by_no_job(engine: Engine) -> None:
    before = snapshots(engine)
    assert run("flag", FLAG, "off") == 0
    after = snapshots(engine)
    assert len(after) == 2
    for was, now in zip(before, after, strict=True):
        assert was["feature_flags"] == {**now["feature_flags"], FLAG: True}
        assert now["feature_flags"][FLAG] is False
        assert now["revision"] > max(one["revision"] for one in before)
        changed = {"feature_flags", "revision"}
        assert {k: v for k, v in was.items() if k not in changed} == {
            k: v for k, v in now.items() if k not in changed
        }
    assert run("flag", FLAG, "on", "--reason", "looked at the effects") == 0
    assert all(one["feature_flags"][FLAG] is True for one in snapshots(engine))


def test_a_flag_turned_to_what_it_is_changes_nothing(engine: Engine) -> None:
    before = snapshots(engine)
    assert run("flag", FLAG, "on", "--reason", "looked at the effects") == 0
    assert snapshots(engine) == before
    with transaction(engine, read_only=True) as connection:
        assert state_rows.read_rule_changes(connection) == []


def test_a_flag_goes_on_with_a_reason_and_off_without(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("flag", FLAG, "off", "--as", "ann") == 0
    assert run("flag", FLAG, "on", "--as", "ann", "--reason", "why not") == 1
    assert "at least 10 characters" in capsys.readouterr().err
    assert all(one["feature_flags"][FLAG] is False for one in snapshots(engine))
    assert run("flag", FLAG, "on", "--as", "bob", "--reason", "looked at the effects") == 0
    with transaction(engine, read_only=True) as connection:
        told = [
            (one.rule, one.value_before, one.value_after, one.changed_by)
            for one in state_rows.read_rule_changes(connection)
        ]
    assert told == [(FLAG, "off", "on", "bob"), (FLAG, "on", "off", "ann")]


@pytest.mark.parametrize("actor", ["vic", "mallory"])
def test_who_may_not_decide_turns_no_flag(
    engine: Engine, actor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with transaction(engine) as connection:
        people_rows.set_person(connection, "root", "admin", actor="root")
        people_rows.set_person(connection, "vic", "viewer", actor="root")
    before = snapshots(engine)
    assert run("flag", FLAG, "off", "--as", actor) == 1
    assert f"'{actor}' may not decide" in " ".join(capsys.readouterr().err.split())
    assert snapshots(engine) == before
    assert run("flag", FLAG, "off", "--as", "root") == 0


def test_a_flag_turned_while_overrides_are_materialised_is_not_turned_back(
    runner: Runner, fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read before it was turned must not be written after it."""
    other = create_engine(fresh_database)
    read_config = override_rows.read_config

    def turn() -> None:
        with transaction(other) as connection:
            state_rows.set_flag(connection, FLAG, False, actor="ann")

    turning = threading.Thread(target=turn)

    def read_and_be_met(connection: Connection, module: Any) -> Any:
        turning.start()
        wait_until_blocked(other, or_ended=turning)
        return read_config(connection, module)

    monkeypatch.setattr(override_rows, "read_config", read_and_be_met)
    with transaction(runner.engine) as connection:
        materialise_overrides.materialise_module(
            connection, "pm", settings=Settings(), now=job_rows.database_now(connection)
        )
    turning.join()
    monkeypatch.undo()
    assert [one["feature_flags"][FLAG] for one in snapshots(runner.engine)] == [False]
    other.dispose()
