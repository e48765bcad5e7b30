"""Small effects are approved without a person where a setting says so, and only then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from jobs import mine_lessons
from jobs.approve_small_effects import approve_small_effects
from jobs.runner import Runner
from learning.domain.levers import LEVERS
from learning.errors import DecisionRefused
from learning.lessons.life_cycle import levers_of_effect
from learning.settings import Settings
from learning.store import decision_rows, lesson_rows, people_rows, switch_rows
from learning.store.database import transaction
from learning.store.schema import edgekeeper_state, job_runs, learning_lessons
from tests.jobs.conftest import runner_on
from tests.learning.store.stored_lessons import NOT_CLEAR, decide, stands, store_lesson

SMALL: dict[str, Any] = {"capital_levers": {"size_mult": 1.05}, "execution_levers": {}}


@pytest.fixture(autouse=True)
def _outcome(connection: Connection) -> None:
    connection.execute(sa.update(edgekeeper_state).values(outcome="rr_path"))


def mined(connection: Connection, effect: dict[str, Any] | None = None, **changes: Any) -> int:
    """A lesson as mining proposes it, or watches it."""
    status = changes.pop("status", "proposed")
    lesson_id = store_lesson(connection, status, effect=effect or SMALL, **changes)
    lesson_rows.append_version(connection, lesson_id, reason="found")
    first = "watch" if status == "watch" else "propose"
    mine(connection, lesson_id, first)
    return lesson_id


def mine(connection: Connection, lesson_id: int, decision: Any) -> None:
    decision_rows.move(
        connection, lesson_id=lesson_id, decision=decision, reason="what the trades say",
        job="mine_lessons",
    )  # fmt: skip


def after_mining(connection: Connection, bound: float = 0.05, **settings: Any) -> dict[str, int]:
    changed = {"proposed": 0}
    read = Settings(auto_approve_max_effect=bound, **settings)
    approve_small_effects(connection, "pm", read, changed)
    return changed


def set_effect(connection: Connection, lesson_id: int, size: float) -> None:
    effect = {"capital_levers": {"size_mult": size}, "execution_levers": {}}
    connection.execute(
        sa.update(learning_lessons).where(learning_lessons.c.id == lesson_id).values(effect=effect)
    )


def status(connection: Connection, lesson_id: int) -> str:
    return stands(connection, lesson_id)[1]


def test_a_small_proposal_is_approved_and_the_audit_says_by_what(connection: Connection) -> None:
    lesson_id = mined(connection)
    assert after_mining(connection) == {"proposed": 0, "approved": 1}
    assert stands(connection, lesson_id) == (1, "active")
    made = decision_rows.read_decisions(connection, lesson_id=lesson_id)[0]
    assert (made.decision, made.decided_by, made.source) == ("approve", "auto", "job")
    assert "within 0.05 of neutral: approved by the setting, by no person" in made.reason
    assert made.evidence["people_needed"] == 1
    assert decision_rows.verify_chain(connection) is None
    queued = sa.select(job_runs.c.job, job_runs.c.requested_by)
    assert connection.execute(queued).all() == [("materialise_overrides", "auto")]
    assert after_mining(connection) == {"proposed": 0}


def test_nothing_is_approved_where_the_setting_is_off(connection: Connection) -> None:
    lesson_id = mined(connection)
    assert Settings().auto_approve_max_effect == 0
    assert after_mining(connection, 0.0) == {"proposed": 0}
    assert status(connection, lesson_id) == "proposed"


@pytest.mark.parametrize(
    "effect",
    [
        {"capital_levers": {"size_mult": 1.06}, "execution_levers": {}},
        {"capital_levers": {"size_mult": 0.94}, "execution_levers": {}},
        {"capital_levers": {"size_mult": 1.01, "entry_aggression_mult": 1.1}},
        {"capital_levers": {"size_mult": 1.01}, "execution_levers": {"entry_delay_bars": 1}},
        {"capital_levers": {}, "execution_levers": {"phase_scaling": {"S1": 1.2}}},
        {
            "capital_levers": {"size_mult": 1.01},
            "execution_levers": {"signal_thresholds": {"min_ts_for_add": 0.4}},
        },
        {"capital_levers": {}, "execution_levers": {}},
    ],
)
def test_one_lever_beyond_the_bound_or_none_at_all_waits_for_a_person(
    connection: Connection, effect: dict[str, Any]
) -> None:
    lesson_id = mined(connection, effect)
    assert after_mining(connection) == {"proposed": 0}
    assert status(connection, lesson_id) == "proposed"


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "watch"},
        {"stats": dict(NOT_CLEAR)},
        {"stats": {}},
        {"confirmation": "failed", "confirmation_reason": "60 trades since: -0.40 R"},
        {"outcome": "r_multiple"},
        {"module": "dm", "pattern_key": "dm.a.b.c"},
    ],
)
def test_what_may_not_be_approved_is_not(connection: Connection, changes: dict[str, Any]) -> None:
    lesson_id = mined(connection, **changes)
    before = status(connection, lesson_id)
    assert after_mining(connection) == {"proposed": 0}
    assert status(connection, lesson_id) == before


def test_where_two_people_are_needed_no_setting_is_one_of_them(connection: Connection) -> None:
    lesson_id = mined(connection)
    assert after_mining(connection, approvals_required=2) == {"proposed": 0}
    people_rows.set_approvals(connection, 2, actor="ann", reason="four eyes from now on")
    assert after_mining(connection) == {"proposed": 0}
    assert decide(connection, lesson_id, "approve", actor="ann").waits_for_another


@pytest.mark.parametrize("how", ["reject", "disable"])
def test_what_a_person_ever_stopped_waits_for_a_person(connection: Connection, how: str) -> None:
    lesson_id = mined(connection)
    if how == "reject":
        decide(connection, lesson_id, "reject")
    else:
        decide(connection, lesson_id, "approve")
        decide(connection, lesson_id, "disable")
        mine(connection, lesson_id, "retire")
    mine(connection, lesson_id, "propose")
    assert after_mining(connection) == {"proposed": 0}
    assert status(connection, lesson_id) == "proposed"


def test_what_was_sent_back_by_a_person_waits_for_a_person(connection: Connection) -> None:
    lesson_id = mined(connection)
    decide(connection, lesson_id, "approve")
    for outcome in ("r_multiple", "rr_path"):
        decision_rows.change_outcome(
            connection, outcome, actor="ann", reason="looked at the stops", source="cli"
        )
    assert status(connection, lesson_id) == "proposed"
    assert after_mining(connection) == {"proposed": 0}


def test_a_refreshed_version_is_approved_anew(connection: Connection) -> None:
    lesson_id = mined(connection)
    decide(connection, lesson_id, "approve")
    mine(connection, lesson_id, "refresh")
    set_effect(connection, lesson_id, 0.97)
    lesson_rows.raise_version(connection, lesson_id, reason="its effect changed sign")
    assert after_mining(connection) == {"proposed": 0, "approved": 1}
    assert stands(connection, lesson_id) == (2, "active")


@pytest.mark.parametrize("bound", [0.05, 0.0])
def test_what_grows_beyond_the_bound_goes_back_to_a_person(
    connection: Connection, bound: float
) -> None:
    """A lever of an active lesson may move on for weeks: never past what nobody looked at."""
    lesson_id = mined(connection)
    after_mining(connection)
    set_effect(connection, lesson_id, 1.04)
    assert after_mining(connection, bound) == {"proposed": 0}
    set_effect(connection, lesson_id, 1.08)
    assert after_mining(connection, bound) == {"proposed": 1}
    assert stands(connection, lesson_id) == (2, "proposed")
    decide(connection, lesson_id, "approve", actor="ann")
    set_effect(connection, lesson_id, 1.2)
    assert after_mining(connection, bound) == {"proposed": 0}
    assert status(connection, lesson_id) == "active"


def test_a_lower_bound_calls_nothing_back_that_did_not_grow(connection: Connection) -> None:
    lesson_id = mined(connection)
    after_mining(connection)
    assert after_mining(connection, 0.02) == {"proposed": 0}
    assert status(connection, lesson_id) == "active"


def test_nobody_decides_by_the_name_of_the_setting(connection: Connection) -> None:
    lesson_id = mined(connection)
    with pytest.raises(DecisionRefused, match="nobody decides by its name"):
        decide(connection, lesson_id, "approve", actor="auto")
    with pytest.raises(DecisionRefused, match="nobody decides by its name"):
        switch_rows.set_switch(connection, on=False, actor="auto", reason="")


@pytest.mark.parametrize("bound", [0.11, -0.01, float("nan"), float("inf")])
def test_the_database_keeps_the_bound_of_the_bound(connection: Connection, bound: float) -> None:
    lesson_id = mined(connection)
    with pytest.raises(DecisionRefused, match="auto_approve_max_effect must be 0 to"):
        decision_rows.auto_approve(connection, "pm", max_effect=bound, approvals_required=1)
    assert status(connection, lesson_id) == "proposed"


def test_the_database_measures_an_effect_as_the_lever_table_does(connection: Connection) -> None:
    rng = np.random.default_rng(5)
    names = [name for name in LEVERS if not name.startswith("phase_scaling")]
    for _ in range(200):
        chosen = rng.choice(names, size=int(rng.integers(1, 5)), replace=False)
        values = {
            str(name): round(float(rng.uniform(LEVERS[name].low, LEVERS[name].high)), 3)
            for name in chosen
        }
        capital = {n: v for n, v in values.items() if LEVERS[n].kind == "capital"}
        effect = {
            "capital_levers": capital,
            "execution_levers": {
                **{n: v for n, v in values.items() if n not in capital},
                "phase_scaling": {"S1": 1.01},
            },
        }
        expected = max(
            abs(value - LEVERS[name].neutral) for name, value in levers_of_effect(effect).items()
        )
        found = connection.scalar(
            sa.select(sa.func.effect_distance(sa.cast(effect, learning_lessons.c.effect.type)))
        )
        assert float(found) == pytest.approx(expected, abs=1e-9)


def test_a_mining_run_approves_as_the_worker_is_set(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing has changed that a lesson rests on: the setting may be new."""
    monkeypatch.setattr(mine_lessons, "_mine", lambda *_arguments: 0)
    runner: Runner = runner_on(fresh_database, auto_approve_max_effect=0.05)
    with transaction(runner.engine) as connection:
        connection.execute(sa.update(edgekeeper_state).values(outcome="rr_path"))
        small, large = mined(connection), mined(connection, {"capital_levers": {"size_mult": 1.2}})
    ended = runner.run_now("mine_pm_lessons", requested_by="test")
    assert ended is not None
    assert (ended.status, (ended.changed or {}).get("approved")) == ("ok", 1), ended.error
    with transaction(runner.engine, read_only=True) as connection:
        assert status(connection, small) == "active"
        assert status(connection, large) == "proposed"
    runner.engine.dispose()
