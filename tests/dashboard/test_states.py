"""What pages say when their numbers are old, and when a part of them fails."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from learning.store.schema import job_runs
from tests.dashboard.conftest import words_of
from tests.learning.store.stored_lessons import CLEAR, store_lesson

Open = Callable[..., AppTest]


@pytest.mark.parametrize(
    ("name", "job"),
    [
        ("review_lessons.py", "mine_dm_lessons"),
        ("explore_scopes.py", "aggregate_scopes"),
        ("inspect_overrides.py", "materialise_overrides"),
        ("judge_effects.py", "measure_effects"),
    ],
)
def test_a_page_whose_job_failed_says_how_old_its_numbers_are(
    open_page: Open, engine_of_page: Engine, name: str, job: str
) -> None:
    row = {
        "job": job, "slot": datetime(2026, 1, 1, tzinfo=UTC), "run_trigger": "schedule",
        "requested_by": "timetable", "status": "failed", "error": "boom",
    }  # fmt: skip
    with engine_of_page.begin() as connection:
        store_lesson(connection, stats={**CLEAR, "posterior_mean_rr": 0.4})
        connection.execute(sa.insert(job_runs).values(row))
    said = words_of(open_page(name)).replace("\\", "")
    assert f"Numbers from never: {job} failed" in said


def _fails() -> None:
    from dashboard import controls

    controls.show_failure(ValueError("a canary of a password"))


def test_a_failure_is_told_by_its_id_and_not_by_its_text() -> None:
    page = AppTest.from_function(_fails).run(timeout=30)
    assert not page.exception
    said = words_of(page)
    assert "ValueError, error id " in said
    assert "canary" not in said
    assert [one.label for one in page.button] == ["Try again"]
