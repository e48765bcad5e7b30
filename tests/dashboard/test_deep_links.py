"""Every page opened by its own address in a real browser: nothing missing, nothing refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from dashboard.page_list import PAGES, PATHS
from learning.store.database import create_engine
from tests.benchmarks import busy_database
from tests.dashboard.browsing import CHROMIUM, WAIT_MS, chromium, served
from tests.dashboard.conftest import REAL_SET

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed on this machine"),
]
TITLES = {page.path: page.title for pages in PAGES.values() for page in pages}
# no effect has an interval yet, and of the real set no lesson was approved
WITHOUT_CHARTS = {
    "busy": {"effects", "audit", "settings"},
    "crypto": {"effects", "audit", "settings", "overrides"},
}
# where a page keeps more than its place in its address
LINKS = {
    "": "?period=90+d&unit=%25",
    "decisions": "decisions?sort=trades&lesson=3",
    "edge": "edge?x=timeframe",
    "lesson": "lesson?id=L-0001",
    "jobs": "jobs?job=aggregate_scopes",
    "audit": "audit?people=true",
}
AGO = re.compile(r"[\d.]+ \w+ ago")
# a chart is blank where it has no size, or nothing with a size is drawn in its plot
BLANK = """
(() => {
  const sized = e => {
    const box = e.getBoundingClientRect();
    return box.width > 20 && box.height > 20;
  };
  const reaches = e => {  // a level line has a width alone
    const box = e.getBoundingClientRect();
    return box.width > 1 || box.height > 1;
  };
  const drawn = chart => [...chart.querySelectorAll(
    '.plot *, .heatmaplayer *, .barlayer *, .scatterlayer *, .gl-canvas')].some(reaches);
  return [...document.querySelectorAll('[data-testid=stPlotlyChart]')]
    .filter(chart => !sized(chart) || !drawn(chart))
    .map(chart => chart.getAttribute('aria-label') || chart.innerText);
})()
"""
DONE = """
!document.querySelector('[data-test-script-state=running], [data-testid=stSkeleton]') &&
document.querySelectorAll('[data-testid=stPlotlyChart] .main-svg').length >=
document.querySelectorAll('[data-testid=stPlotlyChart]').length
"""


@pytest.fixture(params=["busy", REAL_SET])
def pages(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """What the pages show, and their address."""
    if request.param == "crypto":
        url = request.getfixturevalue("crypto")
    else:  # lessons in every status, overrides, factors and effects
        url = request.getfixturevalue("fresh_database")
        engine = create_engine(url, application_name="edgekeeper deep links")
        busy_database.fill(engine, n_trades=3_000, n_lessons=60)
        engine.dispose()
    with served(DATABASE_URL=url) as address:
        yield request.param, address


@dataclass
class Heard:
    """What went wrong in a tab, and whom it asked."""

    wrong: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def listen(self, tab: Any) -> None:
        tab.on("console", self._said)
        tab.on("pageerror", lambda error: self.wrong.append(f"thrown: {error}"))
        tab.on("requestfailed", lambda asked: self.wrong.append(f"failed: {asked.url}"))
        tab.on("response", self._answered)
        tab.on("request", lambda asked: self.hosts.add(asked.url.split("/")[2]))

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.wrong.append(f"console: {message.text} {message.location}")

    def _answered(self, response: Any) -> None:
        if response.status >= 400:
            self.wrong.append(f"{response.status}: {response.url}")


def visited(context: Any, address: str, path: str, *, twice: bool) -> tuple[Heard, list[str], int]:
    """Open a page by its address, and load it anew.

    Returns:
        What was heard, the blank charts, and how many charts there are.
    """
    tab, heard = context.new_page(), Heard()
    heard.listen(tab)
    tab.set_default_timeout(WAIT_MS)
    tab.goto(address + LINKS.get(path, path))
    shown = _shown(tab, path)
    at = tab.url
    blank = tab.evaluate(BLANK)
    charts = tab.locator("[data-testid=stPlotlyChart]").count()
    if twice:
        tab.reload()
        again = _shown(tab, path)
        if (tab.url, again) != (at, shown):
            differ = [one for one in zip(shown, again, strict=False) if one[0] != one[1]]
            heard.wrong.append(f"loaded anew it differs: {at} {tab.url} {differ}")
    if tab.get_by_text("could not be shown").count():
        heard.wrong.append("a part of the page could not be shown")
    tab.close()
    return heard, blank, charts


def _shown(tab: Any, path: str) -> list[str]:
    """The words of a page once it is complete, without those that tell the time."""
    tab.get_by_role("heading", level=1, name=TITLES[path], exact=True).wait_for()
    tab.wait_for_timeout(800)
    tab.wait_for_function(DONE)
    tab.wait_for_timeout(500)
    words = tab.get_by_test_id("stMain").inner_text()
    return AGO.sub("some time ago", words).splitlines()


@pytest.mark.parametrize("mode", ["dark", pytest.param("light", marks=pytest.mark.slow)])
def test_every_page_opens_by_its_address_without_an_error_a_stranger_or_a_blank_chart(
    pages: tuple[str, str], mode: str
) -> None:
    pytest.importorskip("playwright")
    name, address = pages
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=mode)
        for path in PATHS:
            heard, blank, charts = visited(
                context, address, path, twice=path in ("", "edge") or mode == "light"
            )
            assert (path, heard.wrong) == (path, [])
            assert heard.hosts == {address.split("/")[2]}
            assert (path, blank) == (path, [])
            assert (charts > 0) == (path not in WITHOUT_CHARTS[name]), path
            assert charts <= 6, path
