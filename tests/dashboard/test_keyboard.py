"""The keys of the page Decisions, in a real browser: the next one, the one before, later."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from learning.store.database import create_engine
from tests.dashboard.browsing import CHROMIUM, WAIT_MS, chromium, served
from tests.learning.store.stored_lessons import CLEAR, store_lesson

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed on this machine"),
]


@pytest.fixture
def two_lessons(fresh_database: str) -> Iterator[Engine]:
    engine = create_engine(fresh_database, application_name="edgekeeper keyboard tests")
    with engine.begin() as connection:
        for stake in (0.4, 0.3):
            store_lesson(
                connection, stats={**CLEAR, "posterior_mean_rr": 0.4, "delta_q25_rr": stake}
            )
    yield engine
    engine.dispose()


def test_keys_walk_the_queue_and_put_a_lesson_off(fresh_database: str, two_lessons: Engine) -> None:
    with served(DATABASE_URL=fresh_database) as address, chromium() as browser:
        tab = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        tab.set_default_timeout(WAIT_MS)
        tab.goto(address + "decisions")

        def stands_at(name: str) -> None:
            tab.get_by_role("heading", name=name).wait_for()
            tab.get_by_role("button", name="Put off 7 d").wait_for()
            tab.get_by_test_id("stStatusWidget").wait_for(state="detached")
            tab.wait_for_timeout(1000)

        stands_at("L-0001 v1")
        tab.keyboard.press("j")
        stands_at("L-0002 v1")
        assert "lesson=2" in tab.url
        tab.keyboard.press("k")
        stands_at("L-0001 v1")
        tab.keyboard.press("d")
        stands_at("L-0002 v1")
        tab.reload()
        stands_at("L-0002 v1")
        tab.get_by_text("1 put off").wait_for()
