"""Regimes: what was seen, what scores weigh in it, and whether claims came true."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from learning.store import phase_count_rows, regime_weight_rows
from learning.store.schema import (
    job_runs,
    learning_edge_history,
    lesson_versions,
    phase_state_bucket,
    regime_phase_counts,
    regime_weight_history,
)
from tests.dashboard.conftest import words_of
from tests.learning.store.stored_lessons import CLEAR, store_lesson

Open = Callable[..., AppTest]
NAME = "weigh_regimes.py"
NEUTRAL = {"time_efficiency": 1.0, "field_coherence": 1.0, "recurrence": 1.0, "variance": 1.0}


def charts(page: AppTest) -> list[str]:
    return [one.proto.alt for one in page.get("plotly_chart")]


def metrics(page: AppTest) -> dict[str, tuple[str, str]]:
    return {one.label: (one.value, one.delta) for one in page.metric}


def seen(engine: Engine, *rows: tuple[str, date, str, int], bot: str = "bot-a") -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.insert(regime_phase_counts),
            [
                {"source": "trades", "module": "pm", "observer": bot, "horizon": horizon,
                 "week": week, "phase": phase, "n": n}
                for horizon, week, phase, n in rows
            ],
        )  # fmt: skip


def weighed(engine: Engine, *rows: dict[str, Any]) -> None:
    known = {"pattern_key": "", "action_category": "", "regime_signature": "", "n_samples": 40,
             "weights": NEUTRAL, "intervals": {}, "confidence": 0.5,
             "reason": "variance: learned"}  # fmt: skip
    with engine.begin() as connection:
        regime_weight_rows.replace_all(connection, "pm", [{**known, **row} for row in rows])


OLD, NEW = date(2026, 1, 5), date(2026, 3, 2)


def test_without_phases_and_weights_the_page_says_what_brings_them(open_page: Open) -> None:
    page = open_page(NAME)
    assert "No phase was seen and no weight learned yet" in words_of(page)
    assert not charts(page)


def test_the_last_week_of_trades_is_told_where_no_tracker_reports(
    open_page: Open, engine_of_page: Engine
) -> None:
    seen(engine_of_page, ("macro", OLD, "Good", 9), ("macro", NEW, "Dip", 30),
         ("macro", NEW, "Good", 10))  # fmt: skip
    page = open_page(NAME)
    assert not page.exception
    assert metrics(page)["Last, macro"] == ("Dip", "75 % of 40 trades")
    assert metrics(page)["Last, micro"] == ("—", "no trade knows it")
    assert [one for one in charts(page) if "2 weeks; last week Dip 75 %, Good 25 %" in one]
    assert "no tracker reports phases" in words_of(page)


def test_what_the_tracker_observes_of_the_market_goes_before_trades(
    open_page: Open, engine_of_page: Engine
) -> None:
    seen(engine_of_page, ("macro", NEW, "Good", 30))
    rows = [
        ("market", "macro", "Dip", None),
        ("mid", "meso", "Chop", 2.0),
        ("xl", "meso", "Dip", 3.0),
    ]
    with engine_of_page.begin() as connection:
        connection.execute(
            sa.insert(phase_state_bucket),
            [
                {"bucket": bucket, "horizon": horizon, "phase": phase, "score": score,
                 "observed_at": datetime(2026, 3, 3, tzinfo=UTC)}
                for bucket, horizon, phase, score in rows
            ],
        )  # fmt: skip
        phase_count_rows.recount_tracked(connection)
    page = open_page(NAME)
    assert metrics(page)["Now, macro"] == ("Dip", "as the tracker sees it")
    assert [one for one in charts(page) if "by observations, 1 week; last week Dip 100 %" in one]
    assert "Buckets, the leader first: xl, mid." in words_of(page)


def test_bot_and_period_narrow_the_trades(open_page: Open, engine_of_page: Engine) -> None:
    seen(engine_of_page, ("macro", OLD, "Good", 9), ("macro", NEW, "Dip", 30))
    seen(engine_of_page, ("macro", NEW, "Chop", 10), bot="bot-b")
    page = open_page(NAME, period="30 d")
    assert [one for one in charts(page) if "1 week; last week Dip 75 %, Chop 25 %" in one]


def test_the_address_restores_horizon_and_setup(open_page: Open, engine_of_page: Engine) -> None:
    seen(engine_of_page, ("macro", NEW, "Dip", 30), ("micro", NEW, "Euphoria", 4))
    key = {"pattern_key": "pm.uptrend.S1.buy_flag", "action_category": "entry"}
    weighed(engine_of_page, {}, {**key, "weights": {**NEUTRAL, "variance": 0.7}})
    setup = "uptrend.S1.buy_flag · entry"
    page = open_page(NAME, horizon="micro", weights=setup)
    assert page.selectbox(key="weights").value == setup
    assert [one for one in charts(page) if "last week Euphoria 100 %" in one]
    assert [one for one in charts(page) if "1 of 4 differ from 1" in one]


def test_weights_that_differ_from_one_are_counted(open_page: Open, engine_of_page: Engine) -> None:
    weighed(engine_of_page, {}, {"regime_signature": "macro=Dip",
                                 "weights": {**NEUTRAL, "recurrence": 1.4}})  # fmt: skip
    page = open_page(NAME)
    assert metrics(page)["Weights learned"] == ("1", "of 8")
    [table] = [one.value for one in page.dataframe if "confidence" in one.value]
    assert table["recurrence"].tolist() == [1.0, 1.4]
    assert "Weights are kept from the next run" in words_of(page)


def kept_on(engine: Engine, *rows: tuple[date, float, list[float] | None]) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.insert(regime_weight_history),
            [
                {"module": "pm", "pattern_key": "", "action_category": "",
                 "regime_signature": "macro=Dip", "learned_on": day, "n_samples": 40,
                 "weights": {**NEUTRAL, "variance": weight},
                 "intervals": {} if interval is None else {"variance": interval}}
                for day, weight, interval in rows
            ],
        )  # fmt: skip


def test_the_weights_of_a_regime_are_drawn_over_time(
    open_page: Open, engine_of_page: Engine
) -> None:
    learned = {"regime_signature": "macro=Dip", "weights": {**NEUTRAL, "variance": 0.7},
               "intervals": {"variance": [0.6, 0.85]}}  # fmt: skip
    weighed(engine_of_page, {}, learned)
    kept_on(engine_of_page, (OLD, 1.0, None), (NEW, 0.7, [0.6, 0.85]))
    page = open_page(NAME)
    assert page.selectbox(key="regime").value == "macro=Dip"
    [shown] = [one for one in charts(page) if one.startswith("Weights of one regime")]
    assert "05 Jan 2026" in shown
    assert "variance now ×0.70 (0.60 to 0.85)" in shown
    assert "3 more were 1 all the time" in words_of(page)
    [table] = [one.value for one in page.dataframe if "intervals" in one.value]
    assert table["intervals"].tolist() == ["—", "variance [0.60, 0.85]"]
    other = open_page(NAME, regime="all regimes")
    assert not [one for one in charts(other) if one.startswith("Weights of one regime")]


def test_weights_that_never_left_one_draw_no_line(open_page: Open, engine_of_page: Engine) -> None:
    weighed(engine_of_page, {"regime_signature": "macro=Dip"})
    kept_on(engine_of_page, (OLD, 1.0, None))
    assert "has been 1 since 5 Jan 2026" in words_of(open_page(NAME))


def test_claims_of_new_lessons_cannot_be_checked_yet(
    open_page: Open, engine_of_page: Engine
) -> None:
    weighed(engine_of_page, {})
    assert "nothing can be held against what they claimed" in words_of(open_page(NAME))


def test_a_claim_is_held_against_the_weeks_since(open_page: Open, engine_of_page: Engine) -> None:
    """By hand: 10 trades at +0.1 and 30 at +0.5 make 16 / 40 = +0.4."""
    weighed(engine_of_page, {})
    found = datetime(2026, 1, 1, tzinfo=UTC)
    with engine_of_page.begin() as connection:
        lesson_id = store_lesson(
            connection, stats={**CLEAR, "posterior_mean_rr": 0.9}, discovered_at=found
        )
        connection.execute(
            sa.insert(lesson_versions).values(
                lesson_id=lesson_id, version=1, reason="found",
                snapshot={"stats": {"posterior_mean_rr": 0.6}},
            )
        )  # fmt: skip
        weeks = ((-1, 50, 2.0), (1, 10, 0.1), (2, 30, 0.5))
        connection.execute(
            sa.insert(learning_edge_history),
            [
                {"module": "pm", "pattern_key": "pm.a.b.c", "action_category": "entry",
                 "scope_signature": "{}", "lesson_id": lesson_id, "window_days": 7.0,
                 "window_start": found + timedelta(weeks=week), "n": n, "edge_rr": edge,
                 "se_rr": 0.1, "mean_closed_at": found + timedelta(weeks=week, days=3)}
                for week, n, edge in weeks
            ],
        )  # fmt: skip
    page = open_page(NAME)
    [claim] = [one for one in page.get("plotly_chart") if "Claimed against" in one.proto.alt]
    assert claim.proto.alt == "Claimed against realised edge of 1 lesson: 1 kept their sign."
    assert "claimed +0.60 R, since +0.40 R" in claim.proto.spec


def test_a_failed_job_makes_the_page_amber(open_page: Open, engine_of_page: Engine) -> None:
    with engine_of_page.begin() as connection:
        connection.execute(
            sa.insert(job_runs).values(
                job="learn_regime_weights", slot=datetime(2026, 1, 1, tzinfo=UTC),
                run_trigger="schedule", requested_by="timetable", status="failed", error="boom",
            )
        )  # fmt: skip
    said = words_of(open_page(NAME)).replace("\\", "")
    assert "Numbers from never: learn_regime_weights failed" in said
