"""The list of decisions: what it holds, what hides, how one moves, and what is done to many."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from dashboard import commands
from dashboard.commands import Seen
from dashboard.waiting_list import Asked, meets_active, narrowed, with_states
from learning.store import alert_rows, lesson_rows, people_rows
from learning.store.schema import learning_lessons, lesson_decisions, lesson_deferrals
from tests.dashboard.conftest import words_of
from tests.learning.store.stored_lessons import CLEAR, stands, store_lesson

Open = Callable[..., AppTest]
PAGE = "review_lessons.py"
EVIDENCE = {**CLEAR, "posterior_mean_rr": 0.42, "delta_group_rr": 0.5, "q_value": 0.012}
NOW = datetime(2026, 1, 10, tzinfo=UTC)


def lesson(lesson_id: int, status: str = "proposed", **changes: object) -> dict[str, object]:
    return {
        "id": lesson_id, "status": status, "n": 40, "q_value": 0.02, "value_rr": float(lesson_id),
        "latent_factor_id": None, "expires_at": None, "module": "pm", "pattern_key": "pm.a.b.c",
        "action_category": "entry", "lesson_type": "pm_strength", "scope": {}, **changes,
    }  # fmt: skip


def stored(engine: Engine, count: int, **changes: object) -> list[int]:
    """Lessons whose stakes fall, so that they stand in the order they are returned in."""
    with engine.begin() as connection:
        return [
            store_lesson(connection, stats={**EVIDENCE, "delta_q25_rr": 0.5 - i / 100}, **changes)
            for i in range(count)
        ]


def button(page: AppTest, start: str) -> object:
    return next(one for one in page.button if one.label.startswith(start))


def shown(page: AppTest) -> str:
    return next(one.value for one in page.subheader if one.value.startswith("L-"))


def test_an_active_lesson_whose_override_ended_is_expired_and_one_put_off_is_apart() -> None:
    lessons = pd.DataFrame(
        [
            lesson(1, "active", expires_at=NOW - timedelta(seconds=1)),
            lesson(2, "active", expires_at=NOW + timedelta(seconds=1)),
            lesson(3),
            lesson(4),
        ]
    )
    found = with_states(lessons, now=NOW, put_off={4: NOW + timedelta(days=1)})
    assert found["state"].tolist() == ["expired", "active", "proposed", "put off"]


def test_a_list_is_narrowed_by_trades_q_and_factor_and_sorted() -> None:
    lessons = pd.DataFrame(
        [
            lesson(1, n=9),
            lesson(2, q_value=None),
            lesson(3, latent_factor_id="lf_1"),
            lesson(4),
        ]
    ).assign(meets_active=[False, False, False, True])
    assert narrowed(lessons, Asked())["id"].tolist() == [4, 3, 2, 1]
    assert narrowed(lessons, Asked(min_n=10))["id"].tolist() == [4, 3, 2]
    assert narrowed(lessons, Asked(max_q=0.05))["id"].tolist() == [4, 3, 1]
    assert narrowed(lessons, Asked(factor="lf_1"))["id"].tolist() == [3]
    assert narrowed(lessons, Asked(only_apart=True))["id"].tolist() == [3, 2, 1]
    assert narrowed(lessons, Asked(sort="trades"))["id"].tolist()[-1] == 1


def test_a_lesson_meets_an_override_of_its_setup_where_both_contexts_can_hold() -> None:
    lessons = pd.DataFrame(
        [
            lesson(1, "active", scope={"bucket": "mid"}, latent_factor_id="lf_1"),
            lesson(2, scope={"phase": "Dip"}),
            lesson(3, scope={"bucket": "big"}),
            lesson(4, scope={"bucket": "big"}, latent_factor_id="lf_1"),
            lesson(5, scope={"bucket": "mid"}, action_category="exit"),
            lesson(6, lesson_type="level"),
        ]
    )
    assert meets_active(lessons).tolist() == [False, True, False, True, False, False]


def test_putting_off_hides_a_lesson_from_its_reader_until_shown_again(
    open_page: Open, engine_of_page: Engine
) -> None:
    first, second = stored(engine_of_page, 2)
    page = open_page(PAGE)
    assert shown(page) == f"L-{first:04d} v1"
    button(page, "Put off 7 d").click().run()
    assert not page.exception
    assert shown(page) == f"L-{second:04d} v1"
    again = open_page(PAGE, status="put off")
    assert shown(again) == f"L-{first:04d} v1"
    assert "You put it off until" in words_of(again)
    button(again, "Show it again now").click().run()
    with engine_of_page.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(lesson_deferrals)) == 0


def test_next_and_previous_walk_the_list_and_the_address_follows(
    open_page: Open, engine_of_page: Engine
) -> None:
    ids = stored(engine_of_page, 3)
    page = open_page(PAGE)
    button(page, "Next").click().run()
    assert shown(page) == f"L-{ids[1]:04d} v1"
    assert page.query_params["lesson"] == str(ids[1])
    button(page, "Next").click().run()
    button(page, "Next").click().run()
    assert shown(page) == f"L-{ids[2]:04d} v1"
    button(page, "Previous").click().run()
    assert shown(page) == f"L-{ids[1]:04d} v1"
    linked = open_page(PAGE, lesson=str(ids[2]))
    assert shown(linked) == f"L-{ids[2]:04d} v1"


def test_only_rejecting_is_done_to_several_at_once(open_page: Open, engine_of_page: Engine) -> None:
    stored(engine_of_page, 3)
    page = open_page(PAGE)
    page.toggle(key="several").set_value(True).run()
    assert not page.exception
    labels = [one.label for one in page.button]
    assert "Reject 0 lessons" in labels
    assert not [one for one in labels if one.startswith("Approve") and "lessons" in one]


def test_several_are_rejected_once_and_one_that_changed_is_left(engine_of_page: Engine) -> None:
    ids = stored(engine_of_page, 3)
    seen = [Seen(one, 1, "proposed") for one in ids[:2]] + [Seen(ids[2], 7, "proposed")]
    token = uuid4()
    done = [
        commands.reject_all(
            engine_of_page, seen, actor="ann", reason="the tag was wrong here", token=token
        )
        for _ in range(2)
    ]
    assert done[0].said.startswith("2 of 3 lessons rejected; L-0003 v7: ")
    assert done[1].said.startswith("2 of 3")
    query = sa.select(sa.func.count()).where(lesson_decisions.c.decision == "reject")
    with engine_of_page.connect() as connection:
        assert connection.scalar(query) == 2
        rows = connection.execute(sa.select(learning_lessons.c.status).order_by("id"))
        assert list(rows.scalars()) == ["rejected", "rejected", "proposed"]


def test_a_dialog_says_how_many_people_the_database_asks_for(
    open_page: Open, engine_of_page: Engine
) -> None:
    stored(engine_of_page, 1)
    with engine_of_page.begin() as connection:
        people_rows.set_approvals(connection, 2, actor="ann", reason="four eyes from now on")
    page = open_page(PAGE)
    button(page, "Approve").click().run()
    assert "Takes 2 people." in words_of(page)


@pytest.mark.parametrize(("min_n", "said"), [("30", "L-"), ("41", "passes these filters")])
def test_a_filter_in_the_address_is_obeyed(
    open_page: Open, engine_of_page: Engine, min_n: str, said: str
) -> None:
    stored(engine_of_page, 1)
    assert said in words_of(open_page(PAGE, min_n=min_n))


def test_a_lesson_that_later_trades_did_not_confirm_is_disabled_where_decisions_wait(
    open_page: Open, engine_of_page: Engine
) -> None:
    with engine_of_page.begin() as connection:
        lesson_id = store_lesson(connection, "active", stats=dict(EVIDENCE))
        lesson_rows.set_confirmation(
            connection,
            lesson_id,
            state="failed",
            reason="60 trades since: -0.40 R, z -3.1",
            moments_asked=1,
        )
        alert_rows.settle_confirmations(connection, "pm")
    page = open_page(PAGE, status="active")  # the list beside it offers to disable it, too
    assert not page.exception
    assert "later trades do not confirm it (60 trades since: -0.40 R, z -3.1)" in words_of(page)
    key = f"disable-alert-1-{lesson_id}-1"
    page.text_input(key=f"{key}-reason").set_value("it failed later").run()
    page.button(key=key).click().run()
    assert not page.exception
    with engine_of_page.begin() as connection:
        assert stands(connection, lesson_id) == (1, "disabled")
    assert "later trades do not confirm it" not in words_of(open_page(PAGE))
