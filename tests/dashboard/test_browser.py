"""The pages in a real browser: fast clicks, rows that move, links, other hosts, blank charts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from jobs.runner import Runner
from jobs.timetable import JOBS
from learning.settings import Settings
from learning.store import lesson_rows
from learning.store.database import create_engine
from learning.store.lesson_rows import StoredLesson
from learning.store.schema import (
    bot_heartbeats,
    kill_switch,
    learning_lessons,
    lesson_decisions,
)
from tests.dashboard.browsing import CHROMIUM, ROOT, WAIT_MS, chromium, served
from tests.dashboard.conftest import REAL_SET
from tests.learning.store.stored_lessons import CLEAR, store_lesson

PATHS = (
    "",
    "decisions",
    "edge",
    "lesson?id=L-0001",
    "decay",
    "factors",
    "regimes",
    "overrides",
    "effects",
    "jobs",
    "data",
    "audit",
    "settings",
)
EVIDENCE = {**CLEAR, "posterior_mean_rr": 0.42, "delta_group_rr": 0.5, "q_value": 0.012,
            "delta_q25_rr": 0.3}  # fmt: skip

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed on this machine"),
]


@pytest.fixture(params=["one lesson", REAL_SET])
def url(request: pytest.FixtureRequest) -> str:
    """URL of a database with at least one lesson that waits for a decision."""
    real: str
    if request.param == "crypto":
        real = request.getfixturevalue("crypto")
        return real
    own: str = request.getfixturevalue("fresh_database")
    engine = create_engine(own)
    with engine.begin() as connection:
        store_lesson(connection, stats=dict(EVIDENCE))
    engine.dispose()
    return own


@pytest.fixture
def database(url: str) -> Iterator[Engine]:
    engine = create_engine(url, application_name="edgekeeper browser tests")
    yield engine
    engine.dispose()


@pytest.fixture
def address(url: str) -> Iterator[str]:
    with served(DATABASE_URL=url) as at:
        yield at


@pytest.fixture
def browser() -> Iterator[Any]:
    pytest.importorskip("playwright")
    with chromium() as launched:
        yield launched


def open_tab(browser: Any, url: str, **look: Any) -> Any:
    tab = browser.new_context(viewport={"width": 1440, "height": 900}, **look).new_page()
    tab.set_default_timeout(WAIT_MS)
    tab.goto(url)
    tab.get_by_test_id("stAppViewContainer").wait_for()
    return tab


def count_approvals(engine: Engine) -> int:
    query = sa.select(sa.func.count()).where(lesson_decisions.c.decision == "approve")
    with engine.connect() as connection:
        return connection.scalar(query) or 0


def open_approval(tab: Any) -> tuple[str, Any]:
    """Open the approval of the lesson that is looked at; return its name and the last button."""
    opener = tab.get_by_role("button", name=re.compile(r"^Approve L-\d+ v\d+"))
    name = re.search(r"L-\d+ v\d+", opener.inner_text())
    assert name is not None
    opener.click()
    dialog = tab.get_by_role("dialog")
    dialog.get_by_role("textbox").fill("the edge is clear enough")
    return name[0], dialog.get_by_role("button", name=re.compile(f"^Approve .* on {name[0]}"))


def test_three_fast_clicks_on_approve_leave_one_row_in_the_audit(
    browser: Any, address: str, database: Engine
) -> None:
    tab = open_tab(browser, address + "decisions")
    name, confirm = open_approval(tab)
    confirm.dblclick(force=True)
    with suppress(Exception):
        confirm.click(force=True, timeout=500)
    tab.get_by_text(f"{name} approved").wait_for()
    assert count_approvals(database) == 1


BOT = """
import json, sys
from learning import apply_pattern_strength_overrides, load_overrides
load_overrides(sys.argv[1])
levers = apply_pattern_strength_overrides(
    sys.argv[2], "entry", json.loads(sys.argv[3]), {"position_size_frac": 0.1}, trade_id="p1"
)
print(json.dumps([levers["position_size_frac"], levers.outcome.reason]))
"""


def asked_by_a_bot(url: str, lesson: StoredLesson) -> list[object]:
    """What a bot in a process of its own is told for a trade in the lesson's scope."""
    told = subprocess.run(
        [sys.executable, "-c", BOT, url, lesson.key[0], json.dumps(dict(lesson.scope))],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return list(json.loads(told.stdout))


def first_step(lesson: StoredLesson) -> float:
    """What the first day's step makes of a size of 0.1: the way to the target, 2 % at most."""
    target = lesson.effect["capital_levers"]["size_mult"]
    return 0.1 * min(max(target, 0.98), 1.02)


def test_what_is_approved_on_the_screen_moves_a_bots_levers_until_it_is_disabled_there(
    browser: Any, address: str, database: Engine, url: str
) -> None:
    worker = Runner(database, Settings(), JOBS)
    tab = open_tab(browser, address + "decisions")
    name, confirm = open_approval(tab)
    label = name.split()[0]
    with database.connect() as connection:
        lessons = lesson_rows.read_lessons(connection)
    [lesson] = [one for one in lessons if f"L-{one.lesson_id:04d}" == label]
    assert asked_by_a_bot(url, lesson) == [0.1, "no override"]

    confirm.click()
    tab.get_by_text(f"{name} approved").wait_for()
    assert worker.run_queued("materialise_overrides") is not None
    assert asked_by_a_bot(url, lesson) == [pytest.approx(first_step(lesson)), "applied"]

    tab.goto(address + "decisions?status=active")
    tab.get_by_role("button", name=f"Disable {label}").click()
    why = tab.get_by_role("textbox", name="Reason (10 characters or more)")
    why.fill("it was only a try of it")
    why.press("Enter")
    tab.get_by_role("button", name="Disable now").click()
    tab.get_by_text(f"{name} disabled").wait_for()
    assert asked_by_a_bot(url, lesson) == [0.1, "no override"]  # no job ran in between


@pytest.mark.slow
def test_a_lesson_inserted_above_leaves_the_named_lesson_selected(
    browser: Any, address: str, database: Engine
) -> None:
    with database.begin() as connection:
        store_lesson(connection, stats={**EVIDENCE, "delta_q25_rr": 0.2})
    tab = open_tab(browser, address + "decisions")
    opener = tab.get_by_role("button", name=re.compile(r"^Approve L-\d+ v\d+"))
    before = opener.inner_text()
    with database.begin() as connection:  # of more value than all others: it is listed first
        store_lesson(connection, stats={**EVIDENCE, "delta_q25_rr": 0.9}, n=10**6)
        connection.execute(sa.text("UPDATE edgekeeper_state SET data_version = data_version + 1"))
    name, confirm = open_approval(tab)
    assert name in before
    confirm.click()
    tab.get_by_text(f"{name} approved").wait_for()
    with database.connect() as connection:
        active = connection.execute(
            sa.select(learning_lessons.c.id).where(learning_lessons.c.status == "active")
        )
        assert [f"L-{one:04d}" for one in active.scalars()] == [name.split()[0]]


@pytest.fixture
def bot(url: str) -> Iterator[subprocess.Popen[str]]:
    """A bot that asks all the time, and prints what it is told where that changes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.kill_switch_bot", url],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process
    process.kill()
    process.wait(30)


@pytest.mark.slow
def test_the_kill_switch_goes_off_on_the_screen_and_the_bots_acknowledgement_shows_there(
    browser: Any, address: str, database: Engine, bot: subprocess.Popen[str]
) -> None:
    tab = open_tab(browser, address + "overrides")
    cells = tab.get_by_test_id("stDataFrame").locator("td")
    cells.filter(has_text="measured").first.wait_for(state="attached")
    tab.get_by_role("button", name="Kill switch").click()
    tab.get_by_role("button", name="Stop applying all overrides").click()
    tab.get_by_text("Overrides OFF").first.wait_for()
    cells.filter(has_text=re.compile("^OFF$")).first.wait_for(state="attached")
    cells.filter(has_text="acknowledged").first.wait_for(state="attached")
    with database.connect() as connection:
        c = bot_heartbeats.c
        told = connection.execute(sa.select(bot_heartbeats).where(c.bot == "measured")).one()
        turned = connection.scalar(sa.select(kill_switch.c.switch_revision))
    assert (told.overrides_on, told.switch_revision) == (False, turned)


@pytest.mark.slow
def test_the_kill_switch_is_two_clicks_from_any_page(
    browser: Any, address: str, database: Engine
) -> None:
    tab = open_tab(browser, address + "edge")
    tab.get_by_role("button", name="Kill switch").click()
    tab.get_by_role("button", name="Stop applying all overrides").click()
    tab.get_by_text("Overrides OFF").first.wait_for()
    with database.connect() as connection:
        assert connection.scalar(sa.select(kill_switch.c.overrides_on)) is False


@pytest.mark.slow
def test_links_restore_what_was_chosen(browser: Any, address: str, database: Engine) -> None:
    with database.begin() as connection:
        rejected = store_lesson(connection, "rejected", stats=dict(EVIDENCE))
    tab = open_tab(browser, address + "decisions?status=rejected&module=pm")
    tab.get_by_role("heading", name=f"L-{rejected:04d} v1").wait_for()
    assert "status=rejected" in tab.url
    assert "module=pm" in tab.url


@pytest.mark.slow
def test_filters_stay_when_the_page_changes(browser: Any, address: str) -> None:
    tab = open_tab(browser, address + "?module=pm&period=30+d")
    tab.get_by_role("heading", level=1, name="Overview").wait_for()
    tab.get_by_role("link", name="Edge map").click()
    tab.get_by_role("heading", level=1, name="Edge map").wait_for()
    tab.wait_for_url("**/edge?*period=30+d*")
    assert "module=pm" in tab.url


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["dark", "light"])
def test_no_page_asks_another_host_or_throws(browser: Any, address: str, mode: str) -> None:
    hosts: set[str] = set()
    thrown: list[str] = []
    for path in PATHS:
        context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=mode)
        tab = context.new_page()
        tab.set_default_timeout(WAIT_MS)
        tab.on("request", lambda request: hosts.add(request.url.split("/")[2]))
        tab.on("pageerror", lambda error: thrown.append(str(error)))
        tab.goto(address + path)
        tab.get_by_role("heading", level=1).wait_for()
        tab.wait_for_timeout(700)
        wide = tab.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{path or 'overview'} is {wide} px wide on a phone"
        context.close()
    assert hosts == {address.split("/")[2]}
    assert thrown == []
