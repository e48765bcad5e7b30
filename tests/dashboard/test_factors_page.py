"""Factors: forty lessons that are one lesson, and what is decided on them at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from dashboard.commands import Seen
from dashboard.factor_commands import disable_factor
from learning.meta.latent_factors import GroupLessons, latent_factors, lesson_map
from learning.store import factor_rows, lesson_rows
from learning.store.schema import job_runs, learning_lessons, lesson_decisions
from tests.dashboard.conftest import words_of
from tests.learning.store.stored_lessons import CLEAR, store_lesson

Open = Callable[..., AppTest]
NAME = "compare_factors.py"
KEY = ("pm.uptrend.S1.buy_flag", "entry")
EVIDENCE = {**CLEAR, "posterior_mean_rr": 0.42, "delta_group_rr": 0.5, "q_value": 0.012}
REASON = "the market behind it is gone"


def clustered(engine: Engine, *statuses: str) -> list[int]:
    """Lessons that match the same twenty trades, and a stranger as the last of them."""
    with engine.begin() as connection:
        ids = [
            store_lesson(connection, one, stats=dict(EVIDENCE), scope={"bucket": "mid", "no": i})  # type: ignore[arg-type]
            for i, one in enumerate(statuses)
        ]
        matched = np.array([np.arange(100) < 20 + (i % 2) for i in range(len(ids))])
        matched[-1] = np.arange(100) >= 60
        group = GroupLessons(KEY, tuple(ids), matched, np.ones(len(ids)))
        factors = latent_factors([group], previous={})
        factor_rows.replace_all(connection, "pm", factors, dict.fromkeys(ids, KEY[0]))
        factor_rows.replace_maps(connection, "pm", [("rr_path", lesson_map(group))])
        for one in factors:
            lesson_rows.set_factor(connection, one.lesson_ids, one.factor_id)
    return ids


def charts(page: AppTest) -> list[str]:
    return [one.proto.alt for one in page.get("plotly_chart")]


def statuses(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        query = sa.select(learning_lessons.c.status).order_by(learning_lessons.c.id)
        return list(connection.scalars(query))


def test_without_factors_the_page_says_what_makes_them(open_page: Open) -> None:
    page = open_page(NAME)
    assert "No factor yet" in words_of(page)
    assert not charts(page)


def test_many_lessons_that_are_one_are_counted_as_one(
    open_page: Open, engine_of_page: Engine
) -> None:
    clustered(engine_of_page, *["proposed"] * 6, "active")
    page = open_page(NAME)
    assert not page.exception
    shown = {one.label: (one.value, one.delta) for one in page.metric}
    assert shown["Lessons standing"] == ("7", "in 2 factors")
    assert shown["Really different"][0] == "2.0"
    assert shown["Largest factor"] == ("6 lessons", "amounts to 1.0")
    assert "The 6 lessons of lf_pm_uptrend_s1_buy_flag_entry_1 are 1.0" in words_of(page)
    assert [one for one in charts(page) if "Map of 7 lessons in 2 factors" in one]
    assert [one for one in charts(page) if "Similarity of 7 lessons" in one]
    assert [one for one in charts(page) if "bucket mid, stands in 6" in one]


def test_members_stand_beside_their_representative(open_page: Open, engine_of_page: Engine) -> None:
    clustered(engine_of_page, "proposed", "proposed", "proposed", "active")
    page = open_page(NAME)
    [members] = [one.value for one in page.dataframe if "similarity" in one.value]
    assert members["similarity"].iloc[0] == 1.0
    assert members["shared"].tolist() == [20, 20, 20]
    assert members["similarity"].min() < 1.0


def test_the_address_restores_the_factor(open_page: Open, engine_of_page: Engine) -> None:
    clustered(engine_of_page, "proposed", "proposed", "active")
    page = open_page(NAME, sel="lf_pm_uptrend_s1_buy_flag_entry_2", map="all setups")
    assert page.selectbox(key="sel").value == "lf_pm_uptrend_s1_buy_flag_entry_2"
    assert "Members of lf_pm_uptrend_s1_buy_flag_entry_2" in words_of(page).replace("\\", "")


def test_the_representative_is_approved_by_the_same_dialog_as_elsewhere(
    open_page: Open, engine_of_page: Engine
) -> None:
    ids = clustered(engine_of_page, "proposed", "proposed", "watch")
    page = open_page(NAME)
    next(one for one in page.button if one.label.startswith("Approve")).click().run()
    page.text_area[0].set_value("one of them is enough").run()
    next(one for one in page.button if one.label.startswith("Approve x")).click().run()
    assert not page.exception
    assert sorted(statuses(engine_of_page)[:2]) == ["active", "proposed"]
    assert len(ids) == 3


def test_disabling_a_factor_decides_on_each_active_member_with_one_reason(
    open_page: Open, engine_of_page: Engine
) -> None:
    clustered(engine_of_page, "active", "proposed", "active", "active")
    page = open_page(NAME)
    button = next(one for one in page.button if one.label == "Disable them now")
    button.click().run()
    assert "at least 10 characters" in words_of(page)
    reason = next(one for one in page.text_input if one.key.startswith("disable-lf"))
    reason.set_value(REASON).run()
    next(one for one in page.button if one.label == "Disable them now").click().run()
    assert not page.exception
    assert statuses(engine_of_page) == ["disabled", "proposed", "disabled", "active"]
    with engine_of_page.connect() as connection:
        query = sa.select(lesson_decisions).where(lesson_decisions.c.decision == "disable")
        rows = connection.execute(query).all()
    assert [row.reason for row in rows] == [REASON, REASON]
    assert len({row.decision_token for row in rows}) == 2


def test_a_factor_is_disabled_whole_or_not_at_all(engine_of_page: Engine) -> None:
    first, second, _ = clustered(engine_of_page, "active", "active", "watch")
    seen = [Seen(first, 1, "active"), Seen(second, 2, "active")]
    options = {"actor": "ann", "reason": REASON, "token": uuid4(), "approvals_required": 1}
    done = disable_factor(engine_of_page, seen, **options)  # type: ignore[arg-type]
    assert not done.is_done
    assert "Nothing was disabled" in done.said
    assert statuses(engine_of_page)[:2] == ["active", "active"]


def test_the_same_token_disables_a_factor_once(engine_of_page: Engine) -> None:
    first, second, _ = clustered(engine_of_page, "active", "active", "watch")
    seen = [Seen(first, 1, "active"), Seen(second, 1, "active")]
    options = {"actor": "ann", "reason": REASON, "token": uuid4(), "approvals_required": 1}
    for _ in range(2):
        assert disable_factor(engine_of_page, seen, **options).is_done  # type: ignore[arg-type]
    with engine_of_page.connect() as connection:
        query = sa.select(sa.func.count()).where(lesson_decisions.c.decision == "disable")
        assert connection.scalar(query) == 2


def test_a_viewer_sees_factors_and_decides_nothing(open_page: Open, engine_of_page: Engine) -> None:
    clustered(engine_of_page, "active", "active", "proposed")
    with engine_of_page.begin() as connection:
        connection.execute(sa.text("INSERT INTO people (name, role) VALUES ('ann', 'admin')"))
    page = open_page(NAME)
    starts = ("Approve", "Reject", "Disable", "Renew", "Cluster")
    assert not [one for one in page.button if one.label.startswith(starts)]
    assert charts(page)


def test_lessons_clustered_before_there_were_maps_say_when_they_come(
    open_page: Open, engine_of_page: Engine
) -> None:
    clustered(engine_of_page, "active", "proposed")
    with engine_of_page.begin() as connection:
        connection.execute(sa.text("DELETE FROM learning_lesson_maps"))
    page = open_page(NAME)
    assert not page.exception
    assert "Similarities appear with the next run of cluster_factors" in words_of(page)


@pytest.mark.parametrize("status", ["failed", "lost"])
def test_a_failed_clustering_makes_the_page_amber(
    open_page: Open, engine_of_page: Engine, status: str
) -> None:
    clustered(engine_of_page, "active", "proposed")
    with engine_of_page.begin() as connection:
        connection.execute(
            sa.insert(job_runs).values(
                job="cluster_factors", slot=datetime(2026, 1, 1, tzinfo=UTC),
                run_trigger="schedule", requested_by="timetable", status=status, error="boom",
            )
        )  # fmt: skip
    said = words_of(open_page(NAME)).replace("\\", "")
    assert f"Numbers from never: cluster_factors {status}" in said
