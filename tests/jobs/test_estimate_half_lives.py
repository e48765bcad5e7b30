"""The job keeps, beside each window, the curve that it fitted, and each part between breaks."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from jobs.estimate_half_lives import refitted, write_refit
from learning.settings import Settings
from learning.store.schema import learning_edge_history, learning_lessons
from tests.jobs.test_measure_effects import SETTINGS, store_trades
from tests.learning.store.stored_lessons import CLEAR, decide, store_lesson
from tests.strand_builders import START

H = learning_edge_history.c


def fading(weeks: int) -> list[float]:
    """Seven trades a week in scope, whose outcome halves in 40 days, and seven out of it."""
    age_days = np.arange(weeks * 14) / 2
    inside = 2.0 * 0.5 ** (age_days / 40) + np.tile([0.3, -0.3, -0.3, 0.3], len(age_days) // 4)
    return [float(inside[i]) if i % 2 == 0 else 0.0 for i in range(len(age_days))]


def steady(weeks: int, edge_rr: float) -> list[float]:
    """Seven trades a week in scope, and seven out of it that come to nothing."""
    inside = edge_rr + np.tile([0.3, -0.3, -0.3, 0.3], weeks * 7 // 2)
    return [float(inside[i]) if i % 2 == 0 else 0.0 for i in range(weeks * 14)]


def refit(connection: Connection, settings: Settings = SETTINGS) -> None:
    """What the job does of a module, in the transaction of a test."""
    write_refit(connection, "pm", refitted(connection, "pm", settings))


def test_a_lesson_that_was_decided_on_meanwhile_keeps_the_decision(connection: Connection) -> None:
    """The trades are read before the lock is taken: what a person did in between stands."""
    store_trades(connection, [*fading(10), *(-value for value in fading(14))])
    lesson_id = store_lesson(
        connection, scope={"bucket": "micro"}, outcome="r_multiple",
        stats={**CLEAR, "posterior_mean_rr": 0.4}, discovered_at=START + timedelta(days=70),
    )  # fmt: skip
    found = refitted(connection, "pm", Settings())
    with connection.begin_nested() as before:
        write_refit(connection, "pm", found)
        assert status(connection, lesson_id) == "retired"  # its edge turned round
        before.rollback()
    decide(connection, lesson_id, "reject")
    write_refit(connection, "pm", found)
    assert status(connection, lesson_id) == "rejected"


@pytest.mark.parametrize(("claimed_week", "expected"), [(None, "retired"), (66, "proposed")])
def test_a_lesson_found_again_is_not_retired_for_how_it_failed_before(
    connection: Connection, claimed_week: int | None, expected: str
) -> None:
    """Good for fifty weeks, bad for sixteen, found again, good for four weeks more."""
    store_trades(connection, [*steady(50, 0.8), *steady(16, -0.9), *steady(4, 0.8)])
    claim: dict[str, float] = {}
    if claimed_week is not None:
        found = START + timedelta(weeks=claimed_week)
        claim = {"claim_rr": 0.2, "claimed_at_days": found.timestamp() / 86400}
    lesson_id = store_lesson(
        connection, scope={"bucket": "micro"}, outcome="r_multiple",
        stats={**CLEAR, "posterior_mean_rr": 0.4, **claim},
        discovered_at=START + timedelta(weeks=10),
    )  # fmt: skip
    refit(connection, Settings())
    assert status(connection, lesson_id) == expected


def status(connection: Connection, lesson_id: int) -> str:
    query = sa.select(learning_lessons.c.status).where(learning_lessons.c.id == lesson_id)
    return str(connection.scalar(query))


def test_a_fit_is_kept_beside_its_windows(connection: Connection) -> None:
    store_trades(connection, fading(24))
    lesson_id = store_lesson(
        connection, scope={"bucket": "micro"}, outcome="r_multiple",
        stats={**CLEAR, "posterior_mean_rr": 0.4}, discovered_at=START + timedelta(days=300),
    )  # fmt: skip
    refit(connection)
    lesson = connection.execute(
        sa.select(learning_lessons).where(learning_lessons.c.id == lesson_id)
    ).one()
    assert lesson.half_life_state == "decaying"
    [segment] = lesson.half_life["segments"]
    assert segment["n"] == lesson.half_life["n"]
    windows = connection.execute(
        sa.select(learning_edge_history).where(H.lesson_id == lesson_id).order_by(H.window_start)
    ).all()
    assert len(windows) == lesson.half_life["windows"]
    assert all(one.fitted_low_rr < one.fitted_rr < one.fitted_high_rr for one in windows)
    # against the mean of its setup: half of what the scope earns
    assert windows[0].fitted_rr == pytest.approx(windows[0].edge_rr, abs=0.15)
    assert windows[-1].fitted_rr < windows[0].fitted_rr / 4


def test_windows_of_a_pattern_have_no_curve(connection: Connection) -> None:
    store_trades(connection, fading(10))
    refit(connection)
    fitted = connection.scalars(sa.select(H.fitted_rr).where(H.scope_signature == "{}")).all()
    assert fitted
    assert set(fitted) == {None}


def test_a_level_of_the_same_scope_has_windows_of_its_own(connection: Connection) -> None:
    """Against its setup the scope earns half of what it earns against nothing."""
    store_trades(connection, fading(10))
    known = {
        "scope": {"bucket": "micro"}, "outcome": "r_multiple",
        "stats": {**CLEAR, "posterior_mean_rr": 0.4},
    }  # fmt: skip
    edge_id = store_lesson(connection, **known)
    level_id = store_lesson(connection, lesson_type="level", **known)
    refit(connection)
    edges, levels = (
        connection.scalars(
            sa.select(H.edge_rr).where(H.lesson_id == one).order_by(H.window_start)
        ).all()
        for one in (edge_id, level_id)
    )
    assert edges == pytest.approx([one / 2 for one in levels], abs=0.15)
