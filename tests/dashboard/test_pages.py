"""Pages say what holds: empty, filled, stale, without a database, and to a viewer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from learning.overrides.guardrail import GuardrailAlert
from learning.store import alert_rows
from learning.store.schema import job_runs, learning_lessons, lesson_decisions
from tests.dashboard.conftest import PAGES, words_of
from tests.jobs.test_measure_effects import store_trades
from tests.learning.store.stored_lessons import CLEAR, NOT_CLEAR, store_lesson
from tests.strand_builders import START

Open = Callable[..., AppTest]
ROOT = Path(__file__).parents[2]
EVIDENCE = {**CLEAR, "posterior_mean_rr": 0.42, "delta_group_rr": 0.5, "q_value": 0.012}


def filled(engine: Engine, status: str = "proposed", **changes: object) -> int:
    with engine.begin() as connection:
        return store_lesson(connection, status, stats=dict(EVIDENCE), **changes)


def button(page: AppTest, start: str) -> object:
    return next(one for one in page.button if one.label.startswith(start))


@pytest.mark.parametrize("name", PAGES)
def test_every_page_stands_on_an_empty_database(open_page: Open, name: str) -> None:
    page = open_page(name)
    assert not page.exception
    assert len(words_of(page)) > 20


@pytest.mark.parametrize("name", PAGES)
def test_every_page_stands_on_lessons_of_all_statuses(
    open_page: Open, engine_of_page: Engine, name: str
) -> None:
    for status in ("watch", "proposed", "active", "disabled", "rejected", "retired"):
        filled(engine_of_page, status)
    assert not open_page(name).exception


@pytest.mark.parametrize("name", PAGES)
def test_every_page_says_so_when_the_database_is_away(
    name: str, monkeypatch: pytest.MonkeyPatch, open_page: Open
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:canary@127.0.0.1:1/none")
    page = open_page(name)
    assert not page.exception
    assert "database cannot be reached" in words_of(page)
    assert "canary" not in words_of(page)


def test_overview_of_an_empty_database_says_what_to_do_first(open_page: Open) -> None:
    page = open_page("see_overview.py")
    assert "_blank: Import closed trades" in words_of(page)


def test_decisions_shows_edge_interval_and_trades(open_page: Open, engine_of_page: Engine) -> None:
    filled(engine_of_page)
    page = open_page("review_lessons.py")
    shown = {one.label: (one.value, one.delta) for one in page.metric}
    assert shown["Edge, shrunk"] == ("+0.42 R", "95 % [+0.10, +0.90]")
    assert shown["Trades"][0] == "40"
    assert shown["q, whole search"][0] == "0.012"


def test_approving_needs_a_reason_of_ten_characters(
    open_page: Open, engine_of_page: Engine
) -> None:
    lesson_id = filled(engine_of_page)
    page = open_page("review_lessons.py")
    button(page, "Approve").click().run()
    button(page, "Approve x1.10 on").click().run()
    assert "at least 10 characters" in words_of(page)
    assert status_of(engine_of_page, lesson_id) == "proposed"


def test_approving_names_lesson_and_version_and_makes_one_decision(
    open_page: Open, engine_of_page: Engine
) -> None:
    lesson_id = filled(engine_of_page)
    page = open_page("review_lessons.py")
    button(page, "Approve").click().run()
    confirm = button(page, "Approve x1.10 on")
    assert confirm.label == f"Approve x1.10 on L-{lesson_id:04d} v1"
    page.text_area[0].set_value("the edge is clear enough").run()
    button(page, "Approve x1.10 on").click().run()
    assert not page.exception
    assert status_of(engine_of_page, lesson_id) == "active"
    assert approvals(engine_of_page) == 1


def test_a_lesson_that_changed_meanwhile_is_not_approved(
    open_page: Open, engine_of_page: Engine
) -> None:
    lesson_id = filled(engine_of_page)
    page = open_page("review_lessons.py")
    button(page, "Approve").click().run()
    with engine_of_page.begin() as connection:
        connection.execute(
            sa.update(learning_lessons).values(version=learning_lessons.c.version + 1)
        )
    page.text_area[0].set_value("the edge is clear enough").run()
    button(page, "Approve x1.10 on").click().run()
    assert "changed meanwhile" in words_of(page).replace("\\", "")
    assert status_of(engine_of_page, lesson_id) == "proposed"


def test_a_lesson_inserted_above_does_not_move_the_selection(
    open_page: Open, engine_of_page: Engine
) -> None:
    first = filled(engine_of_page)
    page = open_page("review_lessons.py")
    assert button(page, "Approve").label == f"Approve L-{first:04d} v1"
    stronger = {**EVIDENCE, "posterior_mean_rr": 2.0, "delta_q25_rr": 1.9}
    with engine_of_page.begin() as connection:
        store_lesson(connection, "proposed", stats=stronger)
        connection.execute(sa.text("UPDATE edgekeeper_state SET data_version = data_version + 1"))
    page.run()
    assert button(page, "Approve").label == f"Approve L-{first:04d} v1"
    assert "data moved on" in words_of(page)


def test_a_lesson_whose_interval_contains_zero_has_no_approve_button(
    open_page: Open, engine_of_page: Engine
) -> None:
    with engine_of_page.begin() as connection:
        store_lesson(connection, stats={**EVIDENCE, **NOT_CLEAR})
    page = open_page("review_lessons.py")
    assert not [one for one in page.button if one.label.startswith("Approve")]
    assert "contains 0" in words_of(page)


def test_a_viewer_sees_no_action_and_why(open_page: Open, engine_of_page: Engine) -> None:
    filled(engine_of_page)
    with engine_of_page.begin() as connection:
        connection.execute(sa.text("INSERT INTO people (name, role) VALUES ('ann', 'approver')"))
    page = open_page("review_lessons.py")
    starts = ("Approve", "Reject", "Disable", "Renew", "Kill", "Switch on")
    assert not [one for one in page.button if one.label.startswith(starts)]
    assert "Read\\-only" in words_of(page)


def test_a_page_on_a_public_address_without_login_is_read_only(
    open_page: Open, engine_of_page: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(engine_of_page)
    monkeypatch.setattr("streamlit.get_option", lambda name: "0.0.0.0")
    page = open_page("review_lessons.py")
    assert not [one for one in page.button if one.label.startswith(("Approve", "Kill"))]
    assert "no login is set up" in words_of(page)


def test_a_failed_job_makes_the_pages_it_feeds_amber(
    open_page: Open, engine_of_page: Engine
) -> None:
    filled(engine_of_page)
    with engine_of_page.begin() as connection:
        connection.execute(
            sa.insert(job_runs).values(
                job="mine_pm_lessons",
                slot=datetime(2026, 1, 1, tzinfo=UTC),
                run_trigger="schedule",
                requested_by="timetable",
                status="failed",
                error=f"boom {uuid4()}",
            )
        )
    said = words_of(open_page("see_overview.py")).replace("\\", "")
    assert "Numbers from never: mine_pm_lessons failed" in said


def test_a_broken_promise_is_told_on_every_page(open_page: Open, engine_of_page: Engine) -> None:
    def validated(state: str) -> None:
        check = {"name": "decisions are unbroken", "state": state, "finding": "decision 7 changed"}
        with engine_of_page.begin() as connection:
            connection.execute(
                sa.insert(job_runs).values(
                    job="validate_learning",
                    slot=sa.func.clock_timestamp(),
                    run_trigger="schedule",
                    requested_by="timetable",
                    status="ok",
                    changed={"failed": 1, "warnings": 0, "checks": [check]},
                )
            )

    validated("failed")
    assert "1 promise is broken" in words_of(open_page("see_overview.py"))
    validated("ok")
    assert "broken" not in words_of(open_page("see_overview.py"))


def test_the_kill_switch_stops_overrides_in_one_click_and_comes_back_with_the_word(
    open_page: Open, engine_of_page: Engine
) -> None:
    page = open_page("see_overview.py")
    button(page, "Kill switch").click().run()
    button(page, "Stop applying").click().run()
    assert switch_is_on(engine_of_page) is False
    button(page, "Switch on").click().run()
    button(page, "Apply overrides again").click().run()
    assert switch_is_on(engine_of_page) is False
    page.text_input(key="on-typed").set_value("ENABLE")
    page.text_area(key="on-reason").set_value("the outage is over")
    button(page, "Apply overrides again").click().run()
    assert switch_is_on(engine_of_page) is True


def replayed_lesson(engine: Engine, **effect: object) -> int:
    """A lesson on every second trade, discovered when two of its four had closed."""
    with engine.begin() as connection:
        store_trades(connection, [2.0, 9.0, -3.0, 9.0, 1.0, 9.0, -1.0, 9.0])
        return store_lesson(
            connection, stats=dict(EVIDENCE), scope={"bucket": "micro"}, outcome="r_multiple",
            discovered_at=START + timedelta(days=1.9), effect=effect,
        )  # fmt: skip


def test_a_lesson_shows_its_replay_with_the_samples_apart(
    open_page: Open, engine_of_page: Engine
) -> None:
    """By hand: up 2, down 3 in sample; up 1, down 1 out of sample; the target is 1.1."""
    levers = {"capital_levers": {"size_mult": 1.1}, "execution_levers": {"trail_mult": 1.2}}
    lesson_id = replayed_lesson(engine_of_page, **levers)
    page = open_page("read_lesson.py", id=str(lesson_id))
    assert not page.exception
    [table] = [one.value for one in page.dataframe if "adjusted_drawdown" in one.value]
    target = table[table["size"] == "target ×1.100"]
    assert target["sample"].tolist() == ["in sample", "out of sample"]
    assert target["n"].tolist() == [2, 2]
    assert target["traded"].tolist() == pytest.approx([-1.0, 0.0])
    assert target["adjusted"].tolist() == pytest.approx([-1.1, 0.0])
    assert target["adjusted_drawdown"].tolist() == pytest.approx([3.3, 1.1])
    assert "proves nothing" in words_of(page)
    assert "trail is not replayed: it changes when and at what price" in words_of(page)


def test_a_lesson_without_a_size_says_why_nothing_is_replayed(
    open_page: Open, engine_of_page: Engine
) -> None:
    levers = {"capital_levers": {}, "execution_levers": {"trail_mult": 1.2}}
    lesson_id = replayed_lesson(engine_of_page, **levers)
    page = open_page("read_lesson.py", id=str(lesson_id))
    assert not page.exception
    assert not [one for one in page.dataframe if "adjusted_drawdown" in one.value]
    assert "there is nothing to replay" in words_of(page)
    assert "trail is not replayed" in words_of(page)


def test_a_lesson_without_trades_says_that_there_are_none(
    open_page: Open, engine_of_page: Engine
) -> None:
    page = open_page("read_lesson.py", id=str(filled(engine_of_page)))
    assert "No closed trade is in its scope" in words_of(page)


def alerted(engine: Engine, message: str = "treated it lost: disable it?") -> int:
    lesson_id = filled(engine, "active")
    with engine.begin() as connection:
        alert_rows.raise_guardrail(
            connection, [GuardrailAlert(lesson_id, 1, "delta_rr", message, {"effect_rr": -0.4})]
        )
    return lesson_id


ALERTED = ("see_overview.py", "inspect_overrides.py", "judge_effects.py")


@pytest.mark.parametrize("name", ALERTED)
def test_an_open_alert_is_told_until_its_cause_is_gone(
    open_page: Open, engine_of_page: Engine, name: str
) -> None:
    alerted(engine_of_page)
    assert "v1: treated it lost: disable it?" in words_of(open_page(name))
    with engine_of_page.begin() as connection:
        [alert] = alert_rows.read_alerts(connection)
        alert_rows.close_alert(connection, alert.alert_id, reason="the lesson is disabled")
    assert "disable it?" not in words_of(open_page(name))


def test_overview_counts_open_alerts_among_what_goes_bad(
    open_page: Open, engine_of_page: Engine
) -> None:
    alerted(engine_of_page)
    alerted(engine_of_page)
    [metric] = [one for one in open_page("see_overview.py").metric if one.label == "Going bad"]
    assert metric.delta == "2 open alerts"


def test_an_alert_marked_as_seen_stays_with_the_name_of_who_saw_it(
    open_page: Open, engine_of_page: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    alerted(engine_of_page)
    page = open_page("judge_effects.py")
    button(page, "Seen").click().run()
    assert not page.exception
    with engine_of_page.begin() as connection:
        [alert] = alert_rows.read_alerts(connection)
    assert alert.seen_by == "ann"
    assert "seen by ann" in words_of(page)
    assert not [one for one in page.button if one.label == "Seen"]


def test_a_viewer_sees_an_alert_without_a_button(open_page: Open, engine_of_page: Engine) -> None:
    alerted(engine_of_page)
    with engine_of_page.begin() as connection:
        connection.execute(sa.text("INSERT INTO people (name, role) VALUES ('ann', 'approver')"))
    page = open_page("judge_effects.py")
    assert "disable it?" in words_of(page)
    assert not [one for one in page.button if one.label == "Seen"]


@pytest.mark.parametrize("name", ALERTED)
def test_markup_in_an_alert_is_shown_never_read(
    open_page: Open, engine_of_page: Engine, name: str
) -> None:
    alerted(engine_of_page, " ".join(HOSTILE))
    page = open_page(name)
    assert not page.exception
    assert [one for one in page.text if HOSTILE[1] in one.value]
    read = [*page.markdown, *page.caption, *page.subheader, *page.title, *page.button]
    assert not [text for text in HOSTILE for one in read if text in words(one)]


def test_no_page_waits_for_statistics_that_it_does_not_show() -> None:
    """What the server has loaded once every screen is imported, in a process of its own."""
    names = [f"dashboard.screens.{name.removesuffix('.py')}" for name in PAGES]
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "slow = {'scipy.stats', 'scipy.optimize', 'scipy.sparse', 'sklearn', 'numba'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"


HOSTILE = (
    "<script>alert(1)</script>",
    "[pay](javascript:alert(1))",
    "![](http://evil.example/x.png)",
    ":red[lie] $x^2$ :smile:",
    '=HYPERLINK("http://evil.example")',
)


@pytest.mark.parametrize("name", PAGES)
def test_text_of_others_is_shown_never_read(
    open_page: Open, engine_of_page: Engine, name: str
) -> None:
    scope = {f"dimension_{i}": text for i, text in enumerate(HOSTILE)}
    filled(engine_of_page, scope=scope, status_reason=HOSTILE[0])
    beat = (
        "INSERT INTO bot_heartbeats (bot, process_id, last_read_at, generation, revision, "
        "switch_revision, overrides_on) VALUES (:text, :text, now(), 1, 1, 0, true)"
    )
    with engine_of_page.begin() as connection:
        for text in HOSTILE:
            connection.execute(sa.text(beat), {"text": text})
    page = open_page(name, id="1")
    assert not page.exception
    read = [*page.markdown, *page.caption, *page.subheader, *page.title, *page.button]
    assert not [text for text in HOSTILE for one in read if text in words(one)]
    assert not [one for one in page.markdown if one.proto.allow_html]
    cells = [str(v) for table in page.dataframe for v in table.value.to_numpy().ravel()]
    assert not [cell for cell in cells if cell.startswith(("=", "@"))]


def words(element: object) -> str:
    return str(getattr(element, "label", None) or getattr(element, "value", ""))


def status_of(engine: Engine, lesson_id: int) -> str:
    with engine.connect() as connection:
        return connection.execute(
            sa.select(learning_lessons.c.status).where(learning_lessons.c.id == lesson_id)
        ).scalar_one()


def approvals(engine: Engine) -> int:
    query = sa.select(sa.func.count()).where(lesson_decisions.c.decision == "approve")
    with engine.connect() as connection:
        return connection.execute(query).scalar_one()


def switch_is_on(engine: Engine) -> bool:
    with engine.connect() as connection:
        return connection.execute(sa.text("SELECT overrides_on FROM kill_switch")).scalar_one()
