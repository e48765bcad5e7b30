"""Twelve dimensions, two of them a user's own: from a file to the bot and the pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import sqlalchemy as sa
import streamlit as st
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from jobs.commands.app import make_app
from jobs.runner import Runner
from jobs.timetable import LEARNING_ORDER
from learning import apply_pattern_strength_overrides, load_overrides
from learning.domain.scope import PM_DIMENSIONS, scope_text
from learning.runtime.in_force import uninstall
from learning.store import database, decision_rows, lesson_rows
from learning.store.lesson_rows import StoredLesson
from tests.jobs.conftest import runner_on

DIMS = (*PM_DIMENSIONS, "news_state", "adx_zone")
EDGE = {"news_state": "quiet"}
PATTERN = "pm.mine.long.dip"
MAPPING = """\
columns: {tag: Setup}
pattern: "pm.mine.{side}.{tag}"
dimensions:
  news_state: News
  adx_zone: {column: signal_adx, bins: [20, 30], labels: [weak, some, strong]}
tags: {split: " ", motif: rest, signals: {rsi: "rsi_([0-9]+)"}}
"""
APP = Path(__file__).parents[2] / "dashboard" / "app.py"


def write_trades(path: Path, n: int = 900) -> Path:
    """Trades every seven hours; those in quiet news earn 1.2 R more, the rest is noise."""
    rng = np.random.default_rng(11)
    header = "trade_id,entry_time,exit_time,symbol,side,r_multiple_net,bucket,timeframe,A_mode,"
    lines = [header + "News,signal_adx,Setup"]
    opened = np.datetime64("2024-01-01T00:00") + 7 * 60 * np.arange(n).astype("timedelta64[m]")
    for i in range(n):
        news = ("quiet", "loud", "none")[rng.integers(3)]
        rr = rng.normal(0.0, 1.2) + 1.2 * (news == "quiet")
        cells = (
            i, opened[i], opened[i] + np.timedelta64(5, "h"), "BTC/USDT", "long", f"{rr:.4f}",
            ("mid", "big", "xl")[rng.integers(3)], ("1h", "4h")[rng.integers(2)],
            ("patient", "normal")[rng.integers(2)], news, f"{rng.uniform(10, 40):.2f}",
            f"dip rsi_{rng.integers(20, 60)}",
        )  # fmt: skip
        lines.append(",".join(map(str, cells)))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def taught(
    fresh_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Runner]:
    """A database that learned under twelve dimensions from an imported file."""
    monkeypatch.setenv("DATABASE_URL", fresh_database)
    monkeypatch.setenv("EDGEKEEPER_PM_DIMENSIONS", ",".join(DIMS))
    (tmp_path / "m.yaml").write_text(MAPPING)
    file = write_trades(tmp_path / "mine.csv")
    said = ["import", str(file), "--mapping", str(tmp_path / "m.yaml")]
    ended = CliRunner().invoke(make_app("import"), said)
    assert ended.exit_code == 0, ended.output
    runner = runner_on(fresh_database)
    for name in LEARNING_ORDER:
        done = runner.run_now(name, requested_by="test")
        assert done is not None
        assert done.status == "ok", (name, done.error)
    yield runner
    uninstall()
    runner.engine.dispose()


def own_lesson(runner: Runner) -> StoredLesson:
    with database.transaction(runner.engine, read_only=True) as connection:
        found = lesson_rows.read_lessons(connection, "pm")
    return next(one for one in found if one.scope == EDGE and one.lesson_type == "pm_strength")


def approve(runner: Runner, lesson: StoredLesson) -> None:
    with database.transaction(runner.engine) as connection:
        decision_rows.decide(
            connection,
            lesson_id=lesson.lesson_id,
            version=lesson.version,
            status="proposed",
            decision="approve",
            actor="ann",
            reason="quiet news is when this works",
            token=uuid4(),
            source="cli",
            approvals_required=1,
        )
    assert runner.run_queued("materialise_overrides") is not None


def masks_with(runner: Runner, dimension: str) -> int:
    """Stored scopes that have a condition on a dimension."""
    bit = 1 << DIMS.index(dimension)
    query = "SELECT count(*) FROM pattern_scope_stats WHERE scope_mask & :bit > 0"
    with runner.engine.connect() as connection:
        return connection.scalar(sa.text(query), {"bit": bit}) or 0


def page(name: str, **query: str) -> AppTest:
    st.cache_data.clear()
    st.cache_resource.clear()
    opened = AppTest.from_file(str(APP), default_timeout=90)
    for key, value in query.items():
        opened.query_params[key] = value
    opened.run()
    opened.switch_page(f"screens/{name}")
    return opened.run()


def test_own_dimensions_reach_cube_lesson_bot_and_pages(taught: Runner) -> None:
    assert masks_with(taught, "news_state") > 10
    assert masks_with(taught, "adx_zone") > 10
    lesson = own_lesson(taught)
    assert lesson.key == (PATTERN, "entry")
    approve(taught, lesson)

    load_overrides(taught.engine.url.render_as_string(hide_password=False))
    quiet = {"news_state": "quiet", "adx_zone": "weak", "bucket": "mid", "timeframe": "1h"}
    given = apply_pattern_strength_overrides(PATTERN, "entry", quiet, {"position_size_frac": 0.1})
    assert given["position_size_frac"] > 0.1
    loud = {**quiet, "news_state": "loud"}
    other = apply_pattern_strength_overrides(PATTERN, "entry", loud, {"position_size_frac": 0.1})
    assert other["position_size_frac"] <= 0.1

    shown = page("read_lesson.py", id=f"L-{lesson.lesson_id:04d}")
    assert not shown.exception
    words = " ".join(str(one.value) for one in [*shown.markdown, *shown.text, *shown.subheader])
    assert "news" in words
    assert scope_text(EDGE) == "news_state = quiet"
    edges = page("explore_scopes.py")
    assert not edges.exception
    offered = {option for box in edges.selectbox for option in box.options}
    assert {"news_state", "adx_zone"} <= offered
    assert not page("check_data.py").exception
