"""A command is one transaction: done once, or refused with the database's sentence."""

from __future__ import annotations

from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy import Engine

from dashboard import commands
from dashboard.commands import Done, Seen
from learning.overrides.guardrail import GuardrailAlert
from learning.store import alert_rows
from learning.store.schema import lesson_decisions
from tests.learning.store.stored_lessons import store_lesson


def approve(engine: Engine, seen: Seen, token: object, reason: str = "clear enough") -> Done:
    return commands.decide(
        engine, seen, "approve", actor="ann", reason=reason, token=token, approvals_required=1
    )  # fmt: skip


def stored(engine: Engine) -> Seen:
    with engine.begin() as connection:
        return Seen(store_lesson(connection), 1, "proposed")


def test_three_fast_clicks_make_one_decision(engine_of_page: Engine) -> None:
    seen, token = stored(engine_of_page), uuid4()
    done = [approve(engine_of_page, seen, token) for _ in range(3)]
    assert [one.is_done for one in done] == [True] * 3
    assert len({one.said for one in done}) == 1
    query = sa.select(sa.func.count()).where(lesson_decisions.c.decision == "approve")
    with engine_of_page.connect() as connection:
        assert connection.scalar(query) == 1


def test_a_version_nobody_saw_is_refused_in_words(engine_of_page: Engine) -> None:
    seen = stored(engine_of_page)
    done = approve(engine_of_page, Seen(seen.lesson_id, 2, "proposed"), uuid4())
    assert not done.is_done
    assert "changed meanwhile" in done.said


def test_a_reason_too_short_is_refused_by_the_database_too(engine_of_page: Engine) -> None:
    done = approve(engine_of_page, stored(engine_of_page), uuid4(), reason="  ok   ")
    assert done == Done(False, "a reason of at least 10 characters is needed")


def test_an_alert_is_seen_by_one_person_only(engine_of_page: Engine) -> None:
    lesson_id = stored(engine_of_page).lesson_id
    with engine_of_page.begin() as connection:
        alert_rows.raise_guardrail(
            connection, [GuardrailAlert(lesson_id, 1, "uplift", "it hurts", {})]
        )
        [alert] = alert_rows.read_alerts(connection)
    done = [commands.mark_seen(engine_of_page, alert.alert_id, actor=one) for one in ("ann", "bob")]
    assert [one.is_done for one in done] == [True, False]
    assert done[1].said == "Somebody has seen it already"
    with engine_of_page.begin() as connection:
        [seen] = alert_rows.read_alerts(connection)
    assert seen.seen_by == "ann"
