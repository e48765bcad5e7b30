"""Overview says what size earned, in R and in money, and which steps are left at the start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
import streamlit as st
from sqlalchemy import Connection, Engine
from streamlit.delta_generator import DeltaGenerator
from streamlit.testing.v1 import AppTest

from dashboard import controls, first_answers
from jobs.ingest_strands import ingest_batch
from learning.lessons.life_cycle import Status
from learning.settings import Settings
from learning.store import application_rows, strand_rows
from tests.dashboard.browsing import ROOT
from tests.jobs.test_measure_effects import LESSON, application
from tests.learning.store.stored_lessons import store_lesson
from tests.strand_builders import START, action, close

Open = Callable[..., AppTest]
PAGE = "see_overview.py"


def sized_trades(connection: Connection, weeks: int, *, money: bool = True) -> None:
    """One trade a week at 1.1 times its size: +2 R and -1 R in turn, +22 and -11 in money."""
    lesson_id = store_lesson(connection, "active", **LESSON)
    for i in range(weeks):
        opened, rr = START + timedelta(weeks=i), (2.0, -1.0)[i % 2]
        told = {"pnl_amount": 11 * rr, "currency": "USDT"} if money else {}
        times = {"opened_at": opened.isoformat(),
                 "closed_at": (opened + timedelta(hours=6)).isoformat()}  # fmt: skip
        strand_rows.append(
            connection,
            [action(f"t{i}", hours=i * 168), close(f"t{i}", r_multiple=rr, **times, **told)],
        )
    ingest_batch(connection, strand_rows.read_pending(connection, 1000), Settings())
    application_rows.append(
        connection,
        [
            application(lesson_id, f"t{i}", hours=i * 168, levers={"size_mult": 1.1})
            for i in range(weeks)
        ],
    )
    connection.execute(sa.text("UPDATE edgekeeper_state SET outcome = 'r_multiple'"))


def metrics(page: AppTest) -> dict[str, tuple[str, str]]:
    return {one.label: (one.value, one.delta) for one in page.metric}


def test_five_indicators_tell_effect_interval_and_money(
    open_page: Open, engine_of_page: Engine
) -> None:
    """By hand: the mean of 0.2 and -0.1 is 0.05 R; the last five earned 11 at 1.1 times: 1 more."""
    with engine_of_page.begin() as connection:
        sized_trades(connection, 30)
    page = open_page(PAGE)
    assert not page.exception
    shown = metrics(page)
    assert len(shown) == 5
    assert shown["Effect of size"][0] == "+0.050 R per trade"
    assert shown["Effect of size"][1].startswith("95 % -0.")
    assert shown["Effect of size"][1].endswith(", n 30")
    amount, told = shown["Effect in money, 30 d"]
    assert (amount, told) == ("+1.00 USDT", "5 of 5 trades measurable")


def fading(connection: Connection, days: float, status: Status = "active", **more: Any) -> int:
    return store_lesson(
        connection, status, scope={"number": days}, half_life_state="decaying",
        decay_halflife_hours=24 * days, half_life_reason=None, **more,
    )  # fmt: skip


def test_what_waits_and_what_goes_bad_is_counted_of_the_chosen_module(
    open_page: Open, engine_of_page: Engine
) -> None:
    with engine_of_page.begin() as connection:
        fading(connection, 20.0)
        fading(connection, 10.0)
        fading(connection, 2.0, "disabled")  # acts no more
        fading(connection, 5.0, module="dm", pattern_key="dm.trend.S1.ema_cross")
        store_lesson(connection, "active", scope={"number": 1.0})
        for number in (3.0, 4.0):
            store_lesson(connection, scope={"number": number})
    shown = metrics(open_page(PAGE, module="pm"))
    assert shown["Going bad"] == ("2 of 3 overrides", "shortest half-life 10 d")
    assert shown["Waiting for you"][0] == "2 lessons"
    assert metrics(open_page(PAGE))["Going bad"] == ("3 of 4 overrides", "shortest half-life 5 d")
    with engine_of_page.begin() as connection:
        store_lesson(connection, "active", scope={"number": 6.0}, confirmation="failed")
        connection.execute(sa.text("UPDATE edgekeeper_state SET data_version = data_version + 1"))
    going_bad = metrics(open_page(PAGE, module="pm"))["Going bad"]
    assert going_bad == ("3 of 4 overrides", "1 failed on later trades")


def test_a_mean_of_fewer_than_thirty_trades_is_not_printed(
    open_page: Open, engine_of_page: Engine
) -> None:
    with engine_of_page.begin() as connection:
        sized_trades(connection, 29)
    assert metrics(open_page(PAGE))["Effect of size"] == ("n<30", "29 sized trades")


def test_before_twenty_weeks_no_number_is_told(open_page: Open, engine_of_page: Engine) -> None:
    with engine_of_page.begin() as connection:
        sized_trades(connection, 3)
    shown = metrics(open_page(PAGE))
    assert shown["Effect of size"] == ("not clear yet", "3 of 20 weeks with trades")


def test_money_is_not_offered_where_no_trade_names_its_currency(
    open_page: Open, engine_of_page: Engine
) -> None:
    with engine_of_page.begin() as connection:
        sized_trades(connection, 3, money=False)
    shown = metrics(open_page(PAGE))
    assert shown["Effect in money, 30 d"] == ("not offered", "0 of 3 trades measurable")


def ticked(page: AppTest) -> list[bool]:
    boxes = [one.value for one in page.markdown if one.value.startswith(":material/check_box")]
    return [box.startswith(":material/check_box:") for box in boxes]


def test_the_steps_to_a_first_override_are_ticked_as_they_are_done(
    open_page: Open, engine_of_page: Engine
) -> None:
    assert ticked(open_page(PAGE)) == [False] * 3
    with engine_of_page.begin() as connection:
        sized_trades(connection, 2)
        connection.execute(sa.text("UPDATE edgekeeper_state SET data_version = 9"))
    assert ticked(open_page(PAGE)) == [True, False, True]


def test_who_comes_first_finds_lessons_effect_and_map_read(
    open_page: Open, engine_of_page: Engine
) -> None:
    with engine_of_page.begin() as connection:
        sized_trades(connection, 30)
    _, engine = controls.connected()
    asked: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *call: asked.append(str(call[2])))
    first_answers.read_first_answers()
    of_lessons = ("FROM learning_lessons", "FROM override_applications", "FROM lesson_decisions")
    assert all(any(table in one for one in asked) for table in of_lessons)
    asked.clear()
    page = open_page(PAGE)
    assert not page.exception
    assert metrics(page)["Effect of size"][0] == "+0.050 R per trade"
    assert not [one for one in asked for table in of_lessons if table in one]


def test_what_is_read_for_the_first_visitor_loads_no_slow_library(engine_of_page: Engine) -> None:
    """In a process of its own: what the first page reads of sized trades, not only imports."""
    with engine_of_page.begin() as connection:
        sized_trades(connection, 30)
    code = (
        "import sys\n"
        "from dashboard.first_answers import read_first_answers\n"
        "read_first_answers()\n"
        "slow = {'scipy.stats', 'scipy.optimize', 'scipy.sparse', 'sklearn', 'numba'}\n"
        "print(sorted(slow & set(sys.modules)), 'learning.overrides.effect_path' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[] True"


def test_before_an_outcome_is_chosen_nothing_is_read_for_the_first(engine_of_page: Engine) -> None:
    _, engine = controls.connected()
    asked: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *call: asked.append(str(call[2])))
    first_answers.read_first_answers()
    assert asked
    assert not [one for one in asked if "FROM learning_lessons" in one]


def test_a_first_visit_has_its_words_before_its_charts_and_a_change_waits_for_nothing(
    open_page: Open, engine_of_page: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine_of_page.begin() as connection:
        sized_trades(connection, 30)
    sent: list[object] = []

    def note(owner: object, kind: str) -> None:
        real = getattr(owner, kind)

        def send(*args: Any, **kwargs: Any) -> object:
            sent.append(kind)
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, kind, send)

    note(st, "metric")
    note(DeltaGenerator, "plotly_chart")
    monkeypatch.setattr(controls, "_WORDS_FIRST_S", 0.4)
    monkeypatch.setattr(controls, "time", SimpleNamespace(sleep=sent.append))
    page = open_page(PAGE)
    assert not page.exception
    words, charts = sent[: sent.index(0.4)], sent[sent.index(0.4) + 1 :]
    assert set(words) == {"metric"}
    assert charts[0] == "plotly_chart"
    assert 0.4 not in charts
    sent.clear()
    page.run()
    assert "plotly_chart" in sent
    assert 0.4 not in sent


def test_a_first_page_that_fails_says_so_at_once(
    open_page: Open, engine_of_page: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine_of_page.begin() as connection:
        sized_trades(connection, 30)

    def fails(*_: object) -> None:
        raise RuntimeError("the last part")

    pauses: list[float] = []
    monkeypatch.setattr(controls, "_WORDS_FIRST_S", 0.4)
    monkeypatch.setattr(controls, "time", SimpleNamespace(sleep=pauses.append))
    monkeypatch.setattr("dashboard.lesson_summary.waiting_lessons", fails)
    assert open_page(PAGE).exception
    assert not pauses
