"""From an effect below zero to a person: raised once, seen, withdrawn with a reason, kept."""

from __future__ import annotations

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from jobs.commands.app import main
from jobs.measure_effects import measure_module, tell_people
from learning.store import alert_rows, application_rows, job_rows, validation_rows
from learning.store.database import create_engine, transaction
from tests.jobs.test_measure_effects import (
    LESSON,
    SETTINGS,
    application,
    randomised,
    store_trades,
)
from tests.learning.store.stored_lessons import decide, refused, store_lesson


def told(connection: Connection) -> int:
    effects, _ = measure_module(connection, "pm", SETTINGS, job_rows.database_now(connection))
    return tell_people(connection, "pm", effects)


def test_harm_is_told_once_however_often_it_is_measured(connection: Connection) -> None:
    lesson_id = randomised(connection, effect_rr=-1.0, seed=8)
    assert [told(connection), told(connection)] == [1, 0]
    [alert] = alert_rows.read_alerts(connection)
    assert (alert.lesson_id, alert.lesson_version, alert.measure) == (lesson_id, 1, "delta_rr")
    assert "disable it?" in alert.message
    assert alert.evidence["ci_high_rr"] < 0
    assert alert.evidence["n_treated"] + alert.evidence["n_held_out"] == 600


@pytest.mark.parametrize("effect_rr", [0.0, 0.9])
def test_no_harm_proposes_nothing(connection: Connection, effect_rr: float) -> None:
    randomised(connection, effect_rr=effect_rr, seed=4)
    assert told(connection) == 0
    assert alert_rows.read_alerts(connection, only_open=False) == []


def test_disabling_closes_the_alert_and_keeps_it(connection: Connection) -> None:
    lesson_id = randomised(connection, effect_rr=-1.0, seed=8)
    told(connection)
    decide(connection, lesson_id, "disable")
    assert told(connection) == 0
    assert alert_rows.read_alerts(connection) == []
    [kept] = alert_rows.read_alerts(connection, only_open=False)
    assert kept.closed_reason == "the lesson is disabled"


def test_an_alert_is_withdrawn_when_the_interval_rises(connection: Connection) -> None:
    """Sizing down by 0.7 while everything wins costs 0.3 a trade; then everything loses as much."""
    lesson_id = store_lesson(connection, "active", **LESSON)
    rng = np.random.default_rng(2)
    rr = np.concatenate([rng.normal(1, 0.3, 400), rng.normal(-1, 0.3, 400)])
    store_trades(connection, rr.tolist())
    size = {"levers": {"size_mult": 0.7}, "p": 1.0}
    rows = [application(lesson_id, f"t{i}", hours=i, **size) for i in range(800)]
    application_rows.append(connection, rows[:400])
    assert told(connection) == 1
    application_rows.append(connection, rows[400:])
    assert told(connection) == 0
    [closed] = alert_rows.read_alerts(connection, only_open=False)
    assert "no longer lies below zero" in str(closed.closed_reason)


def test_the_first_who_saw_it_is_noted(connection: Connection) -> None:
    randomised(connection, effect_rr=-1.0, seed=8)
    told(connection)
    [alert] = alert_rows.read_alerts(connection)
    assert alert_rows.mark_seen(connection, alert.alert_id, actor="ann")
    assert not alert_rows.mark_seen(connection, alert.alert_id, actor="bob")
    [seen] = alert_rows.read_alerts(connection)
    assert seen.seen_by == "ann"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alerts SET message = 'all is well'",
        "UPDATE alerts SET seen_at = now(), seen_by = 'another'",
        "UPDATE alerts SET raised_at = now() - interval '1 day'",
        "DELETE FROM alerts",
        "TRUNCATE alerts",
    ],
)
def test_what_was_raised_cannot_be_rewritten(connection: Connection, change: str) -> None:
    randomised(connection, effect_rr=-1.0, seed=8, n=300)
    told(connection)
    [alert] = alert_rows.read_alerts(connection)
    alert_rows.mark_seen(connection, alert.alert_id, actor="ann")
    with refused(connection, "EK001"):
        connection.execute(sa.text(change))


def test_the_doctor_warns_of_harm(connection: Connection) -> None:
    def finding() -> tuple[str, str]:
        [check] = [
            one
            for one in validation_rows.run_checks(connection)
            if one.name == "no override does harm"
        ]
        return check.state, check.finding

    assert finding() == ("ok", "none known")
    lesson_id = randomised(connection, effect_rr=-1.0, seed=8, n=300)
    told(connection)
    state, said = finding()
    assert state == "warning"
    assert f"L-{lesson_id:04d} (delta_rr)" in said


def test_the_list_of_lessons_says_which_to_disable(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEKEEPER_DATABASE_URL", fresh_database)
    with transaction(create_engine(fresh_database)) as connection:
        lesson_id = randomised(connection, effect_rr=-1.0, seed=8, n=300)
        told(connection)
    with pytest.raises(SystemExit) as ended:
        main(["lessons"])
    assert not ended.value.code
    assert f"./run disable L-{lesson_id:04d} --reason" in capsys.readouterr().out
