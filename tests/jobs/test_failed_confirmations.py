"""A lesson in force that later trades do not confirm is proposed to be disabled, once."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection

from jobs import mine_lessons
from jobs.commands.app import main
from jobs.measure_effects import tell_people
from jobs.notices import worth_telling
from jobs.runner import Runner
from learning.store import alert_rows, lesson_rows, validation_rows
from learning.store.database import transaction
from tests.jobs.conftest import runner_on
from tests.learning.store.stored_lessons import CLEAR, decide, store_lesson

REASON = "60 trades since it was found: -0.40 R against its pattern, z -3.1"
STATS = {**CLEAR, "posterior_mean_rr": 0.4}


def failed(connection: Connection, status: Any = "active") -> int:
    lesson_id = store_lesson(connection, status, stats=STATS)
    lesson_rows.set_confirmation(
        connection, lesson_id, state="failed", reason=REASON, moments_asked=1
    )
    return lesson_id


def open_alerts(connection: Connection) -> list[alert_rows.Alert]:
    return alert_rows.read_alerts(connection, kind=alert_rows.CONFIRMATION)


def settle(connection: Connection) -> int:
    return alert_rows.settle_confirmations(connection, "pm")


def test_a_failed_lesson_in_force_is_told_once_with_what_the_trades_said(
    connection: Connection,
) -> None:
    lesson_id = failed(connection)
    assert [settle(connection), settle(connection)] == [1, 0]
    [alert] = open_alerts(connection)
    assert (alert.lesson_id, alert.lesson_version, alert.measure) == (lesson_id, 1, "later_trades")
    assert alert.message == f"later trades do not confirm it ({REASON}): disable it?"
    assert alert.evidence["stats"] == STATS
    [check] = [
        one for one in validation_rows.run_checks(connection) if one.name == "no override does harm"
    ]
    assert (check.state, alert.label in check.finding) == ("warning", True)


@pytest.mark.parametrize("status", ["watch", "proposed", "disabled", "rejected", "retired"])
def test_a_failed_lesson_that_moves_nothing_asks_for_nothing(
    connection: Connection, status: str
) -> None:
    failed(connection, status)
    assert settle(connection) == 0


@pytest.mark.parametrize("state", ["pending", "confirmed"])
def test_a_lesson_that_did_not_fail_asks_for_nothing(connection: Connection, state: str) -> None:
    lesson_id = store_lesson(connection, "active")
    lesson_rows.set_confirmation(connection, lesson_id, state=state, reason=REASON, moments_asked=1)
    assert settle(connection) == 0


def test_of_another_module_nothing_is_told(connection: Connection) -> None:
    failed(connection)
    assert alert_rows.settle_confirmations(connection, "dm") == 0
    settle(connection)
    assert alert_rows.settle_confirmations(connection, "dm") == 0
    assert len(open_alerts(connection)) == 1


def test_disabling_it_closes_the_alert_and_approving_it_again_tells_it_again(
    connection: Connection,
) -> None:
    lesson_id = failed(connection)
    settle(connection)
    decide(connection, lesson_id, "disable")
    assert (settle(connection), open_alerts(connection)) == (0, [])
    [closed] = alert_rows.read_alerts(connection, only_open=False)
    assert closed.closed_reason == "the lesson is disabled"
    decide(connection, lesson_id, "approve")
    assert settle(connection) == 1


def test_a_lesson_that_claims_anew_is_accused_no_longer(connection: Connection) -> None:
    lesson_id = failed(connection)
    settle(connection)
    lesson_rows.set_confirmation(
        connection, lesson_id, state="pending", reason=REASON, moments_asked=1
    )
    assert (settle(connection), open_alerts(connection)) == (0, [])
    [closed] = alert_rows.read_alerts(connection, only_open=False)
    assert closed.closed_reason == "it claims anew: its confirmation is open again"


def test_measuring_effects_leaves_it_open(connection: Connection) -> None:
    failed(connection)
    settle(connection)
    assert tell_people(connection, "pm", {}) == 0
    assert len(open_alerts(connection)) == 1


def test_a_mining_run_tells_it_by_notice_and_on_the_command_line(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether or not anything changed that a lesson rests on."""
    monkeypatch.setattr(mine_lessons, "_mine", lambda *_arguments: 0)
    as_worker = f"{fresh_database}&options=-c%20role%3Dedgekeeper_worker"
    owner, runner = runner_on(fresh_database), runner_on(as_worker)
    with transaction(owner.engine) as connection:
        lesson_id = failed(connection)
    assert mined(runner) == ["A lesson in force failed on the trades since it was found. See "
                             "Decisions: disable it?"]  # fmt: skip
    assert mined(runner) == []
    monkeypatch.setenv("EDGEKEEPER_DATABASE_URL", fresh_database)
    with pytest.raises(SystemExit):
        main(["lessons"])
    told = " ".join(capsys.readouterr().out.split())
    assert f"{REASON}): disable it? ./run disable L-{lesson_id:04d} --reason" in told
    for one in (owner, runner):
        one.engine.dispose()


def mined(runner: Runner) -> list[str]:
    ended = runner.run_now("mine_pm_lessons", requested_by="test")
    assert ended is not None
    assert ended.status == "ok", ended.error
    return [sentence for _subject, sentence in worth_telling("mine_pm_lessons", ended, 0)]
