"""Whatever changed in what a bot would be told is told, though no lever moved."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from jobs.materialise_overrides import materialise_module
from learning.settings import Settings
from learning.store import job_rows, lesson_rows, override_rows, state_rows
from learning.store.schema import pm_overrides
from tests.learning.store.stored_lessons import store_lesson

SETTINGS = Settings.from_env()
# far enough from neutral that a little more or less evidence still asks for one whole step
SIZE = {"capital_levers": {"size_mult": 1.3}, "execution_levers": {}}


def factor(connection: Connection, lesson_id: int) -> None:
    lesson_rows.set_factor(connection, [lesson_id], "lf_0001")


def half_life(connection: Connection, lesson_id: int) -> None:
    lesson_rows.set_half_life(
        connection, lesson_id, hours=1e6, state="decaying", reason=None, details={}
    )


def strength(connection: Connection, lesson_id: int) -> None:
    lesson_rows.set_strength(connection, lesson_id, 0.6)


def materialise(connection: Connection, settings: Settings, now: datetime) -> int:
    """Materialise; return the revision there is then."""
    materialise_module(connection, "pm", settings=settings, now=now)
    return state_rows.read_state(connection).revision


@pytest.fixture
def at(connection: Connection) -> datetime:
    return job_rows.database_now(connection)


@pytest.mark.parametrize(
    ("change", "column", "value"),
    [
        (factor, "latent_factor_id", "lf_0001"),
        (half_life, "decay_halflife_hours", 1e6),
        (strength, "lesson_strength", 0.6),
    ],
)
def test_what_moves_no_lever_reaches_bots_and_rows_all_the_same(
    connection: Connection,
    at: datetime,
    change: Callable[[Connection, int], None],
    column: str,
    value: object,
) -> None:
    lesson_id = store_lesson(
        connection, "active", effect=SIZE, mean_closed_at=at - timedelta(hours=1)
    )
    before = materialise(connection, SETTINGS, at)
    change(connection, lesson_id)
    assert materialise(connection, SETTINGS, at) == before + 1
    assert connection.scalar(sa.select(pm_overrides.c[column])) == value
    assert materialise(connection, SETTINGS, at) == before + 1


def test_a_confirmed_lesson_holds_half_as_many_decisions_out(
    connection: Connection, at: datetime
) -> None:
    lesson_id = store_lesson(connection, "active", effect=SIZE)
    before = materialise(connection, SETTINGS, at)
    lesson_rows.set_confirmation(
        connection, lesson_id, state="confirmed", reason="40 later trades", moments_asked=1
    )
    assert materialise(connection, SETTINGS, at) == before + 1
    snapshot = override_rows.read_config(connection, "pm")
    assert snapshot is not None
    [entry] = snapshot["pattern_strength_overrides"]
    assert entry["holdout"]["share"] == 0.1  # of 0.2, and with the same salt: the arms are nested
    assert entry["holdout"]["salt"] == f"L-{lesson_id}-v1"
    assert connection.scalar(sa.select(pm_overrides.c.holdout_share)) == 0.1


def test_another_holdout_share_reaches_bots_and_rows_at_the_next_run(
    connection: Connection, at: datetime
) -> None:
    store_lesson(connection, "active", effect=SIZE)
    before = materialise(connection, SETTINGS, at)
    assert materialise(connection, Settings.from_env(holdout_share=0.1), at) == before + 1
    snapshot = override_rows.read_config(connection, "pm")
    assert snapshot is not None
    [entry] = snapshot["pattern_strength_overrides"]
    assert entry["holdout"]["share"] == 0.1
    assert connection.scalar(sa.select(pm_overrides.c.holdout_share)) == 0.1


def test_a_run_with_nothing_to_say_spends_no_revision(connection: Connection, at: datetime) -> None:
    store_lesson(connection, "active", effect=SIZE)
    before = materialise(connection, SETTINGS, at)
    assert materialise(connection, SETTINGS, at) == before
