"""Worker, dashboard and bot as processes with logins of their own: each does its part, no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
import streamlit as st
from sqlalchemy import Engine
from sqlalchemy.exc import ProgrammingError
from streamlit.testing.v1 import AppTest

from dashboard import commands
from dashboard.commands import Seen
from jobs.timetable import JOBS
from learning import apply_pattern_strength_overrides, start_config_feed, start_recorder
from learning.store.database import create_engine, transaction
from tests.dashboard.conftest import APP, words_of
from tests.learning.store.stored_lessons import CLEAR, stands, store_lesson
from tests.role_logins import logins

ROOT = Path(__file__).parents[2]
PATTERN, SCOPE = "pm.trend.S1.flag", {"bucket": "micro"}
OWN = {"position_size_frac": 0.1}
NOW = datetime.now(UTC)


@pytest.fixture
def urls(fresh_database: str) -> Iterator[Mapping[str, str]]:
    with logins(fresh_database) as made:
        yield made


@pytest.fixture
def owner(fresh_database: str) -> Iterator[Engine]:
    engine = create_engine(fresh_database)
    yield engine
    engine.dispose()


@pytest.fixture
def worker(urls: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs", "worker"],
        cwd=ROOT, env={**os.environ, "DATABASE_URL": urls["worker"]},
    )  # fmt: skip
    yield process
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0


def until(condition: Callable[[], bool], *, within_s: float = 120) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.1)


def ask(engine: Engine, query: str) -> list[Any]:
    with transaction(engine, read_only=True) as connection:
        return list(connection.execute(sa.text(query)).scalars())


def record(url: str, home: Path) -> None:
    """Trades of a bot, by what it has in its hands."""
    recorder = start_recorder(url, bot="bot-1", origin="live", home=home)
    for i in range(12):
        recorder.record_action(
            trade_id=f"t{i}", pattern_key=PATTERN, action_category="entry", scope=SCOPE,
            applied_knobs=OWN,
        )  # fmt: skip
        opened, closed = NOW - timedelta(days=i, hours=5), NOW - timedelta(days=i, hours=1)
        recorder.record_position_closed(
            trade_id=f"t{i}",
            trade_summary={"opened_at": opened, "closed_at": closed, "r_multiple": 0.5},
        )
    recorder.stop()


@pytest.mark.slow
def test_a_trade_goes_round_the_whole_loop_through_four_logins(
    urls: Mapping[str, str], owner: Engine, worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    record(urls["bot"], tmp_path)
    until(lambda: ask(owner, "SELECT max(n) FROM pattern_scope_stats") == [12])
    well = "SELECT DISTINCT job FROM job_runs WHERE status = 'ok'"
    until(lambda: set(ask(owner, well)) == set(JOBS))
    assert ask(owner, "SELECT error FROM job_runs WHERE status IN ('failed', 'lost')") == []

    with transaction(owner) as connection:
        lesson_id = store_lesson(
            connection, pattern_key=PATTERN, scope=SCOPE, outcome="r_multiple",
            mean_closed_at=NOW, stats={**CLEAR, "posterior_mean_rr": 0.4},
        )  # fmt: skip
        version, status = stands(connection, lesson_id)
    feed = start_config_feed(urls["bot"], bot="bot-1", origin="live")
    approver = create_engine(urls["approver"])
    asking = {"actor": "ann", "reason": "looked at the evidence", "approvals_required": 1}
    try:
        assert size() == 0.1
        seen = Seen(lesson_id, version, status)
        done = commands.decide(approver, seen, "approve", token=uuid4(), **asking)
        assert done.is_done, done.said
        until(lambda: size() == pytest.approx(0.102))  # the worker carried it out
        active = Seen(lesson_id, version, "active")
        done = commands.decide(approver, active, "disable", token=uuid4(), **asking)
        assert done.is_done, done.said
        until(lambda: size() == 0.1)
    finally:
        feed.stop()
        approver.dispose()
    applied = "SELECT count(*) FROM override_applications WHERE lesson_id IS NOT NULL"
    assert ask(owner, applied) != [0]  # delivered by the bot's login too


def size() -> float:
    levers = apply_pattern_strength_overrides(PATTERN, "entry", SCOPE, OWN, trade_id=str(uuid4()))
    return float(levers["position_size_frac"])


def test_a_login_that_only_shows_opens_every_page_and_changes_nothing(
    urls: Mapping[str, str], owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction(owner) as connection:
        lesson_id = store_lesson(connection, stats={**CLEAR, "posterior_mean_rr": 0.4})
    monkeypatch.setenv("DATABASE_URL", urls["dashboard"])
    st.cache_data.clear()
    st.cache_resource.clear()
    page = AppTest.from_file(str(APP), default_timeout=60).run()
    for screen in sorted(path.name for path in (APP.parent / "screens").glob("[a-z]*.py")):
        page.switch_page(f"screens/{screen}").run()
        assert not page.exception, screen
        assert "cannot connect" not in words_of(page)
    shown = create_engine(urls["dashboard"])
    reason = {"actor": "ann", "reason": "looked at the evidence"}
    seen = Seen(lesson_id, 1, "proposed")
    done = [
        commands.decide(shown, seen, "approve", token=uuid4(), approvals_required=1, **reason),
        commands.turn_switch(shown, on=False, **reason),
        commands.queue_run(shown, "measure_effects", actor="ann"),
        commands.pause(shown, "measure_effects", **reason),
    ]
    shown.dispose()
    assert [one.is_done for one in done] == [False] * 4
    assert all("this database login may not decide" in one.said for one in done)
    assert ask(owner, "SELECT status FROM learning_lessons") == ["proposed"]
    assert ask(owner, "SELECT count(*) FROM job_runs") == [0]


@pytest.mark.parametrize(
    ("role", "query"),
    [
        ("bot", "SELECT content FROM ad_strands"),
        ("bot", "SELECT * FROM learning_lessons"),
        ("worker", "UPDATE learning_lessons SET status = 'active'"),
        ("approver", "UPDATE pm_overrides SET size_mult = 1.3"),
        ("approver", "DELETE FROM lesson_decisions"),
        ("dashboard", "DELETE FROM job_runs"),
    ],
)
def test_no_login_goes_round_its_functions(urls: Mapping[str, str], role: str, query: str) -> None:
    engine = create_engine(urls[role])
    with pytest.raises(ProgrammingError, match="permission denied"), engine.begin() as connection:
        connection.execute(sa.text(query))
    engine.dispose()
