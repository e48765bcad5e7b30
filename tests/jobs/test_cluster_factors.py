"""The job keeps factors, and how alike the lessons of each setup are."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from jobs.runner import Runner
from jobs.timetable import JOBS
from learning.settings import Settings
from learning.store.database import create_engine
from learning.store.schema import learning_lesson_maps
from tests.jobs.test_measure_effects import store_trades
from tests.learning.store.stored_lessons import CLEAR, store_lesson


def run(engine: Engine) -> None:
    finished = Runner(engine, Settings(), JOBS).run_now("cluster_factors", requested_by="test")
    assert finished is not None
    assert finished.status == "ok", finished.error


def lesson(connection: Connection, scope: dict[str, object], **changes: object) -> int:
    stats = {**CLEAR, "posterior_mean_rr": 0.4}
    return store_lesson(connection, scope=scope, outcome="r_multiple", stats=stats, **changes)  # type: ignore[arg-type]


def test_lessons_of_a_setup_are_mapped_and_its_levels_are_not(fresh_database: str) -> None:
    engine = create_engine(fresh_database)
    with engine.begin() as connection:
        store_trades(connection, [1.0, 0.0] * 20)  # micro and mid in turn
        micro = lesson(connection, {"bucket": "micro"})
        mid = lesson(connection, {"bucket": "mid"})
        lesson(connection, {"bucket": "micro"}, lesson_type="level")
    run(engine)
    run(engine)  # twice leaves what once leaves
    with engine.connect() as connection:
        row = connection.execute(sa.select(learning_lesson_maps)).one()
    engine.dispose()
    assert (row.module, row.outcome, row.n_lessons) == ("pm", "r_multiple", 2)
    assert row.lesson_ids == [micro, mid]
    assert row.similarity == [1.0, 0.0, 0.0, 1.0]
    assert row.shared_trades == [20, 0, 0, 20]
    assert sorted(row.x) == [-0.5, 0.5]
    assert row.kept_share == 1.0
