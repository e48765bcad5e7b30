"""The budgets of the pages, each beside a bare Streamlit page: ``./run bench dashboard``.

In one run: the server of the pages on a database of a busy year (100 k trades, about 1 M scopes,
2 k lessons), and plain ``streamlit run`` on a page of the same content without anything of ours.
Printed are target and limit of each budget, what was measured, and the ratio to the bare page where
it has the same thing. Medians of five; of three for a cold page and for each other page. Times in
seconds. Pages are opened in a Chromium that nobody debugs, presses are made in one that is driven.

    python -m tests.benchmarks.bench_dashboard --trades 100000 --sessions 20
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from learning.store.database import create_engine, migrate
from learning.store.embedded import start_server, stop_server
from tests.benchmarks import busy_database
from tests.benchmarks.browser_clock import Visible, visitor
from tests.benchmarks.open_sessions import Crowd, first_pages
from tests.benchmarks.page_presses import new_tab, open_page, seconds_until
from tests.dashboard.browsing import chromium, served, served_by

BARE = Path(__file__).with_name("bare_page.py")
PLAIN = ("--server.headless", "true", "--server.address", "127.0.0.1",
         "--browser.gatherUsageStats", "false")  # fmt: skip
PARTS = ["opening", "pages", "actions", "sessions"]
REPEATS = 5
PAGE_REPEATS = 3
COLD_REPEATS = 3  # each with a browser and a server of its own
PAGES = {
    "Overview": "",
    "Decisions": "decisions",
    "Lesson": "lesson?id=L-0001",
    "Edge map": "edge",
    "Half-lives": "decay",
    "Factors": "factors",
    "Regimes": "regimes",
    "Overrides": "overrides",
    "Effects": "effects",
    "Jobs": "jobs",
    "Data": "data",
    "Audit": "audit",
    "Settings": "settings",
}
_SLOW_STATEMENTS = "ALTER DATABASE {name} SET {setting} = {value}"


# ------------------------------------------------------------------ opening a page
@dataclass(frozen=True, slots=True)
class Opened:
    """The first page, opened cold (fresh server, empty cache) three times, and warm five times.

    Warm is the tab of somebody who comes back: it has shown the page, its scripts are compiled.
    """

    cold: list[Visible]
    warm: list[Visible]
    socket_mb: float

    @property
    def wire_mb(self) -> float:
        """Megabytes of a cold visit, what is fetched and what comes by the socket."""
        return statistics.median(one.fetched_mb for one in self.cold) + self.socket_mb


def opened(*script: Any, **environment: str) -> Opened:
    """Open the first page that a script serves (ours where none is named), again and again."""
    cold, warm, socket_mb = [], [], 0.0
    for repeat in range(COLD_REPEATS):
        with visitor() as tab, served_by(*script, **environment) as (address, server):
            cold.append(tab.visit(address))
            if repeat == 0:
                tab.visit(address)
                warm = [tab.visit(address) for _ in range(REPEATS)]
                socket_mb = first_pages(address, server.pid, 1).received_mb
    return Opened(cold, warm, socket_mb)


def median(values: list[Visible], name: str) -> float | None:
    known = [getattr(one, name) for one in values if getattr(one, name) is not None]
    return statistics.median(known) if known else None


# ------------------------------------------------------------------ doing something on a page
def median_of(action: Callable[[], float]) -> float:
    return statistics.median(action() for _ in range(REPEATS))


def filter_change(tab: Any, first: str, second: str, shows: str) -> float:
    """Seconds from choosing another period until ``shows`` has other words."""
    period(tab, first).click()
    tab.wait_for_timeout(1_500)
    return seconds_until(tab, period(tab, second).click, "other", shows)


def period(tab: Any, value: str) -> Any:
    return tab.get_by_test_id("stSidebar").get_by_text(value, exact=True).first


def dialog(tab: Any, button: Any) -> float:
    """Seconds from the click until the dialog is there; it is closed again."""
    took = seconds_until(tab, button.click, "shown", "[role=dialog]")
    tab.wait_for_timeout(300)
    tab.keyboard.press("Escape")
    tab.get_by_role("dialog").wait_for(state="hidden")
    tab.wait_for_timeout(500)
    return took


def approval(tab: Any) -> float:
    """Seconds from the last click of an approval until the toast that says it is committed."""
    tab.get_by_role("button", name="Approve L-").first.click()
    return confirmed(tab, tab.get_by_role("dialog").get_by_role("button", name="Approve x"))


def confirmation(tab: Any) -> float:
    """The same on the bare page."""
    tab.get_by_role("button", name="Ask").click()
    return confirmed(tab, tab.get_by_role("dialog").get_by_role("button", name="Confirm now"))


def confirmed(tab: Any, button: Any) -> float:
    """Give a reason, press the last button of a dialog, and wait until its toast has gone."""
    reason = tab.get_by_role("dialog").get_by_role("textbox").first
    reason.fill("looked at it for the benchmark")
    reason.press("Tab")
    tab.wait_for_timeout(800)
    took = seconds_until(tab, button.click, "shown", "[data-testid=stToast]")
    tab.get_by_test_id("stToast").first.wait_for(state="hidden")
    tab.wait_for_timeout(500)
    return took


# ------------------------------------------------------------------ time within the database
class StatementLog:
    """Seconds that statements of the pages took, from the log of the database's server."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        with engine.connect() as connection:
            folder = connection.scalar(sa.text("SHOW data_directory"))
            self._name = connection.scalar(sa.text("SELECT quote_ident(current_database())"))
        self._path = Path(str(folder)) / "server.log"
        self._at = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        self._set("log_min_duration_statement", "0")
        try:
            yield
        finally:
            self._set("log_min_duration_statement", "-1")

    def _set(self, setting: str, value: str) -> None:
        statement = _SLOW_STATEMENTS.format(name=self._name, setting=setting, value=value)
        with self._engine.begin() as connection:
            connection.exec_driver_sql(statement)

    def mark(self) -> None:
        self._at = self._path.stat().st_size

    def seconds(self) -> tuple[float, int]:
        """Seconds and number of statements since the mark."""
        with self._path.open(errors="replace") as log:
            log.seek(self._at)
            found = [line.split("duration: ")[1] for line in log if "duration: " in line]
        return sum(float(one.split(" ms")[0]) for one in found) / 1e3, sum(
            "parse " not in one and "bind " not in one for one in found
        )


def bump(engine: Engine) -> None:
    """Let every kept answer be out of date, as a run of a job does."""
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE edgekeeper_state SET data_version = data_version + 1")


# ------------------------------------------------------------------ the report
def tell(name: str, found: float | None, target: float, limit: float, bare: float | None) -> None:
    if found is None:
        print(f"{name:<38} | absent", flush=True)
        return
    verdict = "ok" if found <= target else "within limit" if found <= limit else "OVER"
    ratio = "" if not bare else f"{bare:8.2f} | {found / bare:5.2f}x"
    print(
        f"{name:<38} | {target:6.2f} | {limit:6.2f} | {found:8.2f} | {verdict:<12} | {ratio}",
        flush=True,
    )


def report_opening(url: str) -> None:
    ours, bare = opened(DATABASE_URL=url), opened(BARE, *PLAIN)
    for what, target, limit in [("title", 1.5, 2.5), ("table", 3, 5), ("charts", 5, 7)]:
        found = median(ours.cold, what)
        tell(f"Overview cold: {what}", found, target, limit, median(bare.cold, what))
    tell("Overview cold: MB over the wire", ours.wire_mb, 3, 4, bare.wire_mb)
    for what, target, limit in [("text", 0.8, 1.2), ("charts", 1.8, 2.5)]:
        found = median(ours.warm, what)
        tell(f"Overview warm: {what}", found, target, limit, median(bare.warm, what))


def report_pages(url: str, engine: Engine) -> None:
    log = StatementLog(engine)
    with log.listening(), visitor() as tab, served(DATABASE_URL=url) as address:
        tab.visit(address)
        for name, path in PAGES.items():
            outdated, in_database = [], []
            for _ in range(PAGE_REPEATS):
                bump(engine)
                time.sleep(0.5)
                log.mark()
                outdated.append(tab.visit(address + path))
                in_database.append(log.seconds())
            warm = [tab.visit(address + path) for _ in range(PAGE_REPEATS)]
            tell(f"{name}: all visible, warm", median(warm, "all"), 2, 3, None)
            tell(f"{name}: all visible, answers out of date", median(outdated, "all"), 2, 3, None)
            database_s, n = sorted(in_database)[PAGE_REPEATS // 2]
            tell(f"{name}: in the database ({n} statements)", database_s, 0.08, 0.2, None)
            tell(f"{name}: charts", warm[0].n_charts, 4, 6, None)
            tell(f"{name}: WebGL charts", warm[0].n_webgl, 1, 2, None)


def report_actions(browser: Any, url: str) -> None:
    metrics = "[data-testid=stMetricValue], [data-testid=stMetricLabel], "
    metrics += "[data-testid=stCaptionContainer]"
    with served(BARE, *PLAIN) as address:
        tab = new_tab(browser)
        open_page(tab, address)
        bare_filter = median_of(lambda: filter_change(tab, "all", "30 d", metrics))
        bare_dialog = median_of(lambda: dialog(tab, tab.get_by_role("button", name="Ask")))
        bare_toast = median_of(lambda: confirmation(tab))
    with served(DATABASE_URL=url) as address:
        tab = new_tab(browser)
        open_page(tab, address + "edge")
        found = median_of(lambda: filter_change(tab, "all", "30 d", metrics))
        tell("filter change until numbers change", found, 0.25, 0.6, bare_filter)
        open_page(tab, address + "decisions")
        approve = tab.get_by_role("button", name="Approve L-").first
        tell("dialog opens", median_of(lambda: dialog(tab, approve)), 0.3, 0.5, bare_dialog)
        tell("approve click until toast", median_of(lambda: approval(tab)), 0.4, 0.8, bare_toast)


def report_sessions(url: str, n: int) -> None:
    """Print what the server itself takes where ``n`` visitors come at once, without browsers.

    Its pause between words and charts is in the time.
    """
    bare = crowd(n, BARE, *PLAIN)
    found = crowd(n, DATABASE_URL=url)
    tell(f"{n} sessions at once: server, p95", found.p95, 3, 3, bare.p95)
    tell("one of them: CPU of the server", found.cpu_s, 3 / n, 3 / n, bare.cpu_s)


def crowd(n: int, *script: Any, **environment: str) -> Crowd:
    with served_by(*script, **environment) as (address, server):
        first_pages(address, server.pid, 1)
        return first_pages(address, server.pid, n)


@contextmanager
def busy_server(n_trades: int, n_lessons: int) -> Iterator[tuple[str, Engine]]:
    home = Path(tempfile.mkdtemp(prefix="edgekeeper-bench-"))
    home.chmod(0o711)
    try:
        url = start_server(home)
        migrate(url)
        engine = create_engine(url, application_name="benchmark")
        began = time.monotonic()
        n_scopes = busy_database.fill(engine, n_trades=n_trades, n_lessons=n_lessons)
        print(
            f"{n_trades:,} trades, {n_scopes:,} scopes, {n_lessons:,} lessons; "
            f"filled in {time.monotonic() - began:.0f} s",
            flush=True,
        )
        yield url, engine
        engine.dispose()
    finally:
        stop_server(home)
        shutil.rmtree(home)


def main() -> None:
    parser = argparse.ArgumentParser(description="Budgets of the pages against a bare page.")
    parser.add_argument("--trades", type=int, default=100_000)
    parser.add_argument("--lessons", type=int, default=busy_database.N_LESSONS)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--parts", nargs="+", default=PARTS)
    given = parser.parse_args()
    with busy_server(given.trades, given.lessons) as (url, engine):
        print(f"{'':<38} | target |  limit | measured | {'':<12} | bare page, ratio")
        if "opening" in given.parts:
            report_opening(url)
        if "pages" in given.parts:
            report_pages(url, engine)
        if "actions" in given.parts:
            with chromium() as browser:
                report_actions(browser, url)
        if "sessions" in given.parts:  # the browser's event loop has ended by now
            report_sessions(url, given.sessions)


if __name__ == "__main__":
    main()
