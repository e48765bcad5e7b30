"""The job keeps factors, and how alike the lessons of each setup are."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from jobs.ingest_strands import ingest_batch
from jobs.runner import Runner
from jobs.timetable import JOBS
from learning.settings import Settings
from learning.store import lesson_rows, strand_rows
from learning.store.database import create_engine
from learning.store.schema import learning_lesson_maps
from tests.jobs.test_measure_effects import SETTINGS, store_trades
from tests.learning.store.stored_lessons import CLEAR, store_lesson
from tests.strand_builders import START, action, close


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


def store_crossed_trades(connection: Connection) -> None:
    """160 trades, every bucket with every timeframe."""
    strands = []
    for i in range(160):
        opened = START + timedelta(hours=12 * i)
        scope = {"bucket": ("micro", "mid")[i % 2], "timeframe": TIMEFRAMES[i // 2 % 4]}
        strands.append(action(f"t{i}", hours=12 * i, scope=scope))
        closed = (opened + timedelta(hours=6)).isoformat()
        strands.append(
            close(f"t{i}", r_multiple=0.1, opened_at=opened.isoformat(), closed_at=closed)
        )
    strand_rows.append(connection, strands)
    ingest_batch(connection, strand_rows.read_pending(connection, 1000), SETTINGS)


TIMEFRAMES = ("15m", "1h", "4h", "1d")


def test_lessons_of_many_looks_gather_round_those_of_the_last_one(fresh_database: str) -> None:
    """Four disjoint children of one parent: linkage takes the first two of them only."""
    engine = create_engine(fresh_database)
    found_last = {**CLEAR, "posterior_mean_rr": 0.4, "last_found_at_days": 40_000.0}
    with engine.begin() as connection:
        store_crossed_trades(connection)
        for bucket in ("micro", "mid"):
            store_lesson(
                connection, scope={"bucket": bucket}, outcome="r_multiple", stats=found_last
            )
            for timeframe in TIMEFRAMES:
                lesson(connection, {"bucket": bucket, "timeframe": timeframe})
    run(engine)
    with engine.connect() as connection:
        stored = lesson_rows.read_lessons(connection, "pm")
    engine.dispose()
    factors: dict[str | None, set[object]] = {}
    for one in stored:
        factors.setdefault(one.latent_factor_id, set()).add(one.scope["bucket"])
    assert len(stored) == 10
    assert sorted(map(sorted, factors.values())) == [["micro"], ["mid"]]
