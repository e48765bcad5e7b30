"""Each meta job's result moves what a bot applies; one that did not would be decoration."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from jobs.learn_regime_weights import refresh_strengths
from jobs.materialise_overrides import materialise_module
from learning.evidence.aggregation import regime_weights_for
from learning.overrides.materialising import lever_targets_now
from learning.settings import Settings
from learning.store import job_rows, lesson_rows, override_rows, regime_weight_rows
from tests.learning.store.stored_lessons import store_lesson

SETTINGS = Settings()


@pytest.fixture
def at(connection: Connection) -> Iterator[datetime]:
    return job_rows.database_now(connection)


def target_of(connection: Connection, lesson_id: int, now: datetime) -> float:
    """Where the override's size is heading."""
    lessons = override_rows.read_active_lessons(connection, "pm")
    return lever_targets_now(lessons, now=now)[lesson_id]["size_mult"]


def test_changing_a_half_life_changes_the_override(connection: Connection, at: datetime) -> None:
    lesson_id = store_lesson(connection, "active", mean_closed_at=at - timedelta(hours=100))
    lesson_rows.set_half_life(
        connection, lesson_id, hours=200.0, state="decaying", reason=None, details={}
    )
    slow = target_of(connection, lesson_id, at)
    lesson_rows.set_half_life(
        connection, lesson_id, hours=50.0, state="decaying", reason=None, details={}
    )
    fast = target_of(connection, lesson_id, at)
    assert abs(fast - 1) < abs(slow - 1)


def test_changing_a_factor_changes_the_override(connection: Connection, at: datetime) -> None:
    strong = store_lesson(connection, "active", effect=effect(1.2))
    weak = store_lesson(connection, "active", effect=effect(1.05))
    apart = target_of(connection, strong, at)
    lesson_rows.set_factor(connection, [strong, weak], "lf_0001")
    together = target_of(connection, strong, at)
    assert together < apart
    assert together == target_of(connection, weak, at)


def test_changing_regime_weights_changes_the_override(connection: Connection, at: datetime) -> None:
    scores = {"time_efficiency": 0.9, "field_coherence": 0.1, "recurrence_score": 0.5, "lfsr": 0.01}
    lesson_id = store_lesson(
        connection, "active", stats={"ci_low_rr": 0.1, "ci_high_rr": 0.9, **scores}
    )
    refresh_strengths(connection, "pm")
    before = target_of(connection, lesson_id, at)
    weights = {"time_efficiency": 0.5, "field_coherence": 1.5, "recurrence": 1.0, "variance": 1.0}
    regime_weight_rows.replace_all(
        connection,
        "pm",
        [
            {
                "pattern_key": "", "action_category": "", "regime_signature": "",
                "weights": weights, "n_samples": 40, "confidence": 0.5,
            }
        ],
    )  # fmt: skip
    assert refresh_strengths(connection, "pm") == 1
    assert target_of(connection, lesson_id, at) < before
    [lesson] = lesson_rows.read_lessons(connection, lesson_id=lesson_id)
    stored = regime_weight_rows.read_weights(connection, "pm")
    assert regime_weights_for(stored, *lesson.key, lesson.scope) == weights


def effect(size: float) -> dict[str, dict[str, float]]:
    return {"capital_levers": {"size_mult": size}, "execution_levers": {}}


def test_a_materialised_override_is_what_the_targets_say(
    connection: Connection, at: datetime
) -> None:
    lesson_id = store_lesson(connection, "active", effect=effect(1.01))
    materialise_module(connection, "pm", settings=SETTINGS, now=at)
    [stored] = override_rows.read_materialised(connection, "pm").values()
    assert stored.levers["size_mult"] == pytest.approx(target_of(connection, lesson_id, at))
    assert connection.execute(sa.text("SELECT count(*) FROM override_history")).scalar_one() == 1
