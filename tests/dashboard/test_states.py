"""What pages say when their numbers are old, and when a part of them fails."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from learning.store.schema import job_runs
from tests.dashboard.conftest import PAGES, words_of
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


# ------------------------------------------------------------------ every screen, failed
READS = {
    "see_overview.py": "mining_runs",
    "review_lessons.py": "lesson_deferrals",
    "explore_scopes.py": "scope_levels",
    "follow_decay.py": "learning_lessons",
    "compare_factors.py": "learning_latent_factors",
    "weigh_regimes.py": "learning_regime_weights",
    "read_lesson.py": "learning_lessons",
    "inspect_overrides.py": "pm_overrides",
    "judge_effects.py": "override_effects",
    "watch_jobs.py": "job_settings",
    "check_data.py": "event_day_counts",
    "trace_decisions.py": "override_history",
    "review_settings.py": "feature_flags",
}


_QUICK = ("see_overview.py", "review_lessons.py", "watch_jobs.py", "check_data.py")


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=() if one in _QUICK else pytest.mark.slow) for one in PAGES]
)
def test_a_screen_whose_reading_fails_ends_there_and_keeps_what_stands_above(
    open_page: Open, engine_of_page: Engine, name: str
) -> None:
    """One table that the screen reads is away; what the header reads is there, but for Jobs."""
    with engine_of_page.begin() as connection:
        store_lesson(connection, stats={**CLEAR, "posterior_mean_rr": 0.4})
        connection.execute(sa.text(f"ALTER TABLE {READS[name]} RENAME TO away"))
    page = open_page(name, id="1")
    said = words_of(page)
    if name == "watch_jobs.py":  # the header reads the same table
        assert "This part could not be shown: ProgrammingError, error id " in said
    else:
        assert len(page.exception) == 1
        assert len(page.title) == 1
    assert "UndefinedTable" not in said
    assert "SELECT" not in said
