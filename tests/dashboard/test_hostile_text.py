"""Words of other people on every page and in every export: shown, never executed."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from jobs.runner import Runner
from jobs.timetable import JOBS
from learning.settings import Settings
from learning.store import strand_rows
from learning.store.database import create_engine
from learning.store.schema import job_runs
from learning.store.strand_rows import Verdict
from tests.dashboard.browsing import CHROMIUM, WAIT_MS, chromium, served
from tests.dashboard.hostile_text import HOST, MARK, N, payloads, poison
from tests.dashboard.test_pages import EVIDENCE
from tests.learning.store.stored_lessons import store_lesson, store_override
from tests.strand_builders import START, action, close

ROWS = 100  # of each kind
PATHS = (
    "", "decisions", "decisions?status=active", "decisions?status=rejected", "lesson?id=L-0001",
    "edge", "decay", "factors", "regimes", "overrides", "effects", "jobs", "data", "audit",
    "settings",
)  # fmt: skip
FORMULA = re.compile(r"^\s*[=+\-@＝＋－＠]")
NUMBER = re.compile(r"^[+-]?[\d.,]+(e[+-]?\d+)?%?$", re.IGNORECASE)
INJECTED = (
    f"img[src*='{HOST}'], a[href*='{HOST}'], iframe:not([title]), a[href^='javascript'], "
    "a[href^='data:'], [onerror], [onload], [onfocus], [ontoggle], object, form[action]"
)

LEARNING = (
    "ingest_strands", "aggregate_scopes", "estimate_half_lives", "cluster_factors",
    "learn_regime_weights",
)  # fmt: skip
STATEMENTS = (
    "INSERT INTO bot_heartbeats (bot, process_id, last_read_at, generation, revision, "
    "switch_revision, overrides_on) SELECT 'bot ' || i, 'process ' || i, now(), 1, 1, 0, true "
    "FROM generate_series(1, :n) AS i",
    "INSERT INTO import_batches (source_name, format, first_trade, file_name, report, imported_by)"
    " SELECT 'source ' || i, 'table', 'trade ' || i, 'file ' || i, "
    "jsonb_build_object('rejected', 1, 'said', 'row ' || i), 'person ' || i "
    "FROM generate_series(1, :n) AS i",
    "INSERT INTO alerts (kind, lesson_id, lesson_version, measure, message, evidence) "
    "SELECT 'guardrail', id, version, 'uplift', 'message ' || id, '{}' FROM learning_lessons "
    "WHERE status = 'active' LIMIT :n",
    "INSERT INTO override_effects (lesson_id, measure, n_treated, n_held_out, absent_reason, "
    "verdict, is_guardrail_crossed, details, sentence, shrunk_absent_reason, "
    "horizon_absent_reason) SELECT id, 'uplift', 3, 0, 'absent ' || id, 'not clear yet', false, "
    "'{}', 'sentence ' || id, 'shrunk ' || id, 'horizon ' || id FROM learning_lessons "
    "WHERE status = 'active' LIMIT :n",
    "INSERT INTO phase_state_bucket (bucket, horizon, observed_at, phase) SELECT 'bucket ' || "
    "i % 5, 'macro', now() - i * interval '1 day', 'phase ' || i % 7 "
    "FROM generate_series(1, :n) AS i",
    "INSERT INTO token_cap_bucket (symbol, observed_at, bucket) SELECT 'symbol ' || i, now(), "
    "'bucket ' || i FROM generate_series(1, :n) AS i",
    "INSERT INTO import_mappings (kind, source_name, content, saved_by) SELECT 'kind ' || i, "
    "'source ' || i, '{}', 'person ' || i FROM generate_series(1, :n) AS i",
    "UPDATE kill_switch SET reason = 'a reason'",
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed on this machine"),
]


@pytest.fixture
def database(fresh_database: str) -> Iterator[Engine]:
    engine = create_engine(fresh_database, application_name="edgekeeper browser tests")
    with engine.begin() as connection:
        fill(connection)
    runner = Runner(engine, Settings(), JOBS)
    for job in LEARNING:
        runner.run_now(job, requested_by="test")
    yield engine
    engine.dispose()


def fill(connection: Connection) -> None:
    """A hundred rows of what people, files and bots name."""
    strand_rows.append(connection, [action(f"T-{i}") for i in range(ROWS)])
    _quarantine(connection)
    _trade(connection)
    for i in range(ROWS):
        status = ("proposed", "active", "rejected", "watch")[i % 4]
        scope = {"bucket": f"b{i}", "A_mode": f"m{i}"}
        lesson = store_lesson(connection, status, stats={**EVIDENCE, "lfsr": 0.01}, scope=scope)
        if status == "active":
            store_override(connection, lesson, size_mult=1.02)
    _fail_jobs(connection)
    for statement in STATEMENTS:
        connection.execute(sa.text(statement), {"n": ROWS})


def _trade(connection: Connection) -> None:
    """Closed trades of a hundred symbols in a few contexts, enough of each to be stored."""
    strands = []
    for i in range(3 * ROWS):
        scope = {"bucket": f"b{i % 4}", "macro_phase": f"p{i % 3}", "timeframe": f"t{i % 2}"}
        opened = START + timedelta(hours=7 * i)
        strands.append(action(f"t{i}", hours=7 * i, scope=scope, bot=f"bot {i % ROWS}"))
        strands.append(
            close(
                f"t{i}", bot=f"bot {i % ROWS}", symbol=f"symbol {i % ROWS}",
                r_multiple=(-1.0, 0.5, 2.0)[i % 3], opened_at=opened.isoformat(),
                closed_at=(opened + timedelta(hours=6)).isoformat(),
            )
        )  # fmt: skip
    strand_rows.append(connection, strands)


def _quarantine(connection: Connection) -> None:
    pending = strand_rows.read_pending(connection, ROWS)
    strand_rows.settle(
        connection, [Verdict(one.id, "quarantined", f"reason {one.id}") for one in pending]
    )


def _fail_jobs(connection: Connection) -> None:
    now = datetime.now(UTC)
    for i in range(ROWS):
        at = now - timedelta(minutes=5 * i)
        connection.execute(
            sa.insert(job_runs).values(
                job="mine_pm_lessons", slot=at, run_trigger="manual", requested_by=f"person {i}",
                status="failed", queued_at=at, started_at=at, finished_at=at,
                error=f"error {i}", error_id=uuid4().hex[:8], log_tail=f"log {i}\nmore {i}",
            )
        )  # fmt: skip


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("round", range(N // ROWS))
def test_no_text_of_others_is_executed_fetched_or_exported_as_a_formula(
    database: Engine, fresh_database: str, tmp_path: Path, round: int
) -> None:
    with database.begin() as connection:
        assert poison(connection, round=round) > 40
    cells: list[str] = []
    with served(DATABASE_URL=fresh_database) as address, chromium() as browser:
        hosts: set[str] = set()
        for path in PATHS:
            cells += look_at(browser, address, path, hosts, tmp_path)
    assert hosts == {address.split("/")[2]}
    unsafe = [cell for cell in cells if FORMULA.match(cell) and not NUMBER.match(cell.strip())]
    assert not unsafe, unsafe[:5]
    told = " ".join(cells)
    assert sum(text.split("/*")[0][:12] in told for text in payloads()) > 50, "exports hold them"


def look_at(browser: Any, address: str, path: str, hosts: set[str], folder: Path) -> list[str]:
    """Open a page, check that nothing of it ran, and return the cells of its CSV files."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    tab = context.new_page()
    tab.set_default_timeout(WAIT_MS)
    tab.add_init_script("delete window.showSaveFilePicker")  # a file, not a dialog of the system
    asked: list[str] = []
    tab.on("dialog", lambda box: (asked.append(box.message), box.dismiss()))
    context.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    tab.goto(address + path)
    tab.get_by_role("heading", level=1).wait_for()
    tab.wait_for_function("!document.querySelector('[data-test-script-state=running]')")
    tab.wait_for_timeout(1_000)
    assert not asked, (path, asked)
    assert tab.evaluate(f"window.{MARK}") is None, path
    found = tab.eval_on_selector_all(INJECTED, "all => all.map(e => e.outerHTML.slice(0, 200))")
    assert not found, (path, found[:3])
    assert not tab.get_by_text("This part could not be shown").count(), path
    cells = [cell for file in downloads(tab, folder) for cell in cells_of(file)]
    context.close()
    return cells


def downloads(tab: Any, folder: Path) -> Iterator[Path]:
    """Press every CSV button: ours below tables, and those that a table shows when pointed at."""
    for button in tab.get_by_role("button", name=re.compile("CSV")).all():
        with tab.expect_download() as begun:
            button.dispatch_event("click")
        file = folder / f"{uuid4().hex}.csv"
        begun.value.save_as(file)
        yield file


def cells_of(file: Path) -> Iterator[str]:
    with file.open(newline="", encoding="utf-8") as text:
        for row in csv.reader(text):
            yield from row
