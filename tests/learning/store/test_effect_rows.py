"""What is stored of effects survives a change of their table."""

from __future__ import annotations

import numpy as np
import sqlalchemy as sa

from learning.overrides.effect_record import AppliedTrades, PatternTrades, uplift_record
from learning.store import effect_rows
from learning.store.database import create_engine, migrate, transaction, undo_migrations
from learning.store.schema import override_effects
from tests.learning.store.stored_lessons import CLEAR, store_lesson


def test_an_effect_from_before_they_were_judged_together_stays_and_says_so(
    fresh_database: str,
) -> None:
    engine = create_engine(fresh_database)
    rr, days = np.array([1.0, -1.0, 2.0]), np.array([0.0, 7.0, 14.0])
    one = np.ones(3)
    trades = AppliedTrades(rr, days, days, 1.2 * one, one < 0, one > 0, one, np.arange(3))
    record = uplift_record(trades, PatternTrades(rr, days))
    with transaction(engine) as connection:
        lesson_id = store_lesson(connection, "active", stats=CLEAR)
        effect_rows.write(connection, {lesson_id: [record]})
    undo_migrations(engine, revision="0002")
    migrate(engine)
    with transaction(engine) as connection:
        row = connection.execute(sa.select(override_effects)).mappings().one()
    engine.dispose()
    assert (row["effect_rr"], row["n_treated"]) == (record.effect_rr, 3)
    assert row["sentence"] == record.sentence
    for reason in (row["shrunk_absent_reason"], row["horizon_absent_reason"]):
        assert reason.startswith("measured before effects were judged together")
