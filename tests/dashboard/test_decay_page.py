"""Half-lives and the Lesson page say what fades, why nothing is known, and when it ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from learning.store import lesson_rows
from learning.store.schema import job_runs, learning_edge_history
from tests.dashboard.conftest import words_of
from tests.learning.store.stored_lessons import CLEAR, store_lesson

Open = Callable[..., AppTest]
EVIDENCE = {**CLEAR, "posterior_mean_rr": 0.42, "delta_group_rr": 0.5, "q_value": 0.012}
FIT = {"n": 300, "windows": 20, "ci_low_days": 18.0, "ci_high_days": 61.0, "p_decaying": 0.97,
       "p_constant": 0.02, "p_improving": 0.01, "segments": []}  # fmt: skip
PAGES = ("follow_decay.py", "read_lesson.py")


def stored(engine: Engine, status: str = "active", **changes: Any) -> int:
    with engine.begin() as connection:
        return store_lesson(connection, status, stats=dict(EVIDENCE), **changes)  # type: ignore[arg-type]


def fitted(engine: Engine, lesson_id: int, *, days: float | None = 30.0, **details: Any) -> None:
    reason = None if days is not None else "not identified: 4 windows with trades, 8 needed"
    with engine.begin() as connection:
        lesson_rows.set_half_life(
            connection, lesson_id, hours=None if days is None else days * 24,
            state="undetermined" if days is None else "decaying", reason=reason,
            details={**FIT, **details},
        )  # fmt: skip
        connection.execute(
            sa.insert(learning_edge_history),
            [window(lesson_id, week, fitted=days is not None) for week in range(12)],
        )


def window(lesson_id: int, week: int, *, fitted: bool) -> dict[str, Any]:
    edge = 1.0 * 0.8**week
    return {
        "module": "pm", "pattern_key": "pm.uptrend.S1.buy_flag", "action_category": "entry",
        "scope_signature": "{}", "lesson_id": lesson_id, "window_days": 7.0, "n": 25,
        "window_start": datetime(2024, 1, 1, tzinfo=UTC) + timedelta(weeks=week),
        "mean_closed_at": datetime(2024, 1, 4, tzinfo=UTC) + timedelta(weeks=week),
        "edge_rr": edge, "se_rr": 0.2,
        **({"fitted_rr": edge, "fitted_low_rr": edge - 0.1, "fitted_high_rr": edge + 0.1}
           if fitted else {}),
    }  # fmt: skip


def charts(page: AppTest) -> list[str]:
    return [one.proto.alt for one in page.get("plotly_chart")]


def test_without_lessons_the_page_says_what_comes_first(open_page: Open) -> None:
    page = open_page("follow_decay.py")
    assert "No lesson stands here yet" in words_of(page)
    assert not charts(page)


def test_the_counts_say_what_is_identified(open_page: Open, engine_of_page: Engine) -> None:
    fitted(engine_of_page, stored(engine_of_page))
    fitted(engine_of_page, stored(engine_of_page, "proposed"), days=None)
    page = open_page("follow_decay.py")
    shown = {one.label: one.value for one in page.metric}
    assert shown == {"Halves": "1", "Grows": "0", "Turned round": "0", "Not identified": "1",
                     "Past half": "1"}  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_a_decaying_lesson_says_when_it_halves_and_what_its_override_does(
    open_page: Open, engine_of_page: Engine, name: str
) -> None:
    fitted(engine_of_page, stored(engine_of_page))
    page = open_page(name, id="1")
    assert not page.exception
    said = words_of(page)
    assert "It halves every 30 d (95 %: 18 d to 61 d), from 300 trades in 20 windows." in said
    assert "So its half-life leaves 0 % of its override today, 0 % at its end" in said
    assert "unless somebody renews it" in said
    assert [one for one in charts(page) if "halving every 30 days" in one]
    assert [one for one in charts(page) if "decaying 97 %" in one]


@pytest.mark.parametrize("name", PAGES)
def test_a_fit_that_is_not_identified_says_why_and_names_no_half_life(
    open_page: Open, engine_of_page: Engine, name: str
) -> None:
    fitted(engine_of_page, stored(engine_of_page), days=None)
    said = words_of(open_page(name, id="1"))
    assert "Not identified: 4 windows with trades, 8 needed." in said
    assert "So its override does not fade; it ends" in said
    assert "It halves" not in said


def test_a_break_shows_both_parts(open_page: Open, engine_of_page: Engine) -> None:
    parts = [
        {"from_days": 19700.0, "to_days": 19800.0, "windows": 9, "n": 90, "edge_rr": 0.8,
         "se_rr": 0.1},
        {"from_days": 20000.0, "to_days": 20100.0, "windows": 9, "n": 80, "edge_rr": 0.2,
         "se_rr": 0.1},
    ]  # fmt: skip
    fitted(engine_of_page, stored(engine_of_page), segments=parts)
    page = open_page("read_lesson.py", id="1")
    assert "splits its history: +0.80 R (n 90), then +0.20 R (n 80)" in words_of(page)
    assert [one for one in charts(page) if "a break of over 180 days" in one]


def test_a_lesson_about_execution_claims_no_edge_that_fades(
    open_page: Open, engine_of_page: Engine
) -> None:
    stored(engine_of_page, lesson_type="pm_tuning")
    said = words_of(open_page("read_lesson.py", id="1"))
    assert "claims no edge that could fade" in said


def test_a_candidate_says_what_approving_it_now_would_start(
    open_page: Open, engine_of_page: Engine
) -> None:
    closed = datetime.now(UTC) - timedelta(days=30)
    fitted(engine_of_page, stored(engine_of_page, "proposed", mean_closed_at=closed))
    page = open_page("follow_decay.py")
    assert "its half-life would leave 50 % of its override to begin with" in words_of(page)
    [table] = [one.value for one in page.dataframe if "edge_now" in one.value]
    assert table["edge"].tolist() == [0.42]
    assert table["edge_now"].tolist() == [pytest.approx(0.21)]


def test_the_address_restores_the_lesson_the_sort_and_the_choice(
    open_page: Open, engine_of_page: Engine
) -> None:
    for status in ("active", "proposed", "active"):
        fitted(engine_of_page, stored(engine_of_page, status))
    page = open_page("follow_decay.py", fit="L-0003", of="active", sort_decay="end")
    assert page.selectbox(key="fit").value == "L-0003"
    assert page.selectbox(key="fit").options == ["L-0001", "L-0003"]
    assert page.selectbox(key="sort_decay").value == "end"


def test_refitting_now_queues_one_run(open_page: Open, engine_of_page: Engine) -> None:
    fitted(engine_of_page, stored(engine_of_page))
    page = open_page("follow_decay.py")
    page.button(key="run-estimate_half_lives").click().run()
    page.run()
    assert not page.exception
    assert page.button(key="run-estimate_half_lives").disabled
    with engine_of_page.connect() as connection:
        jobs = connection.scalars(sa.select(job_runs.c.job)).all()
    assert jobs.count("estimate_half_lives") == 1


def test_a_failed_fit_makes_both_pages_amber(open_page: Open, engine_of_page: Engine) -> None:
    stored(engine_of_page)
    with engine_of_page.begin() as connection:
        connection.execute(
            sa.insert(job_runs).values(
                job="estimate_half_lives", slot=datetime(2026, 1, 1, tzinfo=UTC),
                run_trigger="schedule", requested_by="timetable", status="failed", error="boom",
            )
        )  # fmt: skip
    for name in PAGES:
        said = words_of(open_page(name, id="1")).replace("\\", "")
        assert "Numbers from never: estimate_half_lives failed" in said


def test_a_viewer_cannot_refit(open_page: Open, engine_of_page: Engine) -> None:
    stored(engine_of_page)
    with engine_of_page.begin() as connection:
        connection.execute(sa.text("INSERT INTO people (name, role) VALUES ('ann', 'admin')"))
    page = open_page("follow_decay.py")
    assert not [one for one in page.button if one.label == "Refit now"]
