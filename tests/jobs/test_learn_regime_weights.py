"""Beside its weights the job keeps how they were, and counts the phases that were seen."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from jobs.ingest_strands import ingest_batch
from learning.evidence.aggregation import regime_weights_for
from learning.settings import Settings
from learning.store import phase_count_rows, regime_weight_rows, strand_rows
from learning.store.schema import (
    phase_state_bucket,
    regime_phase_counts,
    regime_weight_history,
)
from tests.strand_builders import action, close


def trades(connection: Connection, *scopes: dict[str, object]) -> None:
    """One trade a day from 1 January 2024, a Monday."""
    strands = []
    for i, scope in enumerate(scopes):
        at = datetime(2024, 1, 1 + i, 12, tzinfo=UTC).isoformat()
        strands.append(action(f"t{i}", hours=24 * i, scope=scope))
        strands.append(close(f"t{i}", r_multiple=1.0, opened_at=at, closed_at=at))
    strand_rows.append(connection, strands)
    ingest_batch(connection, strand_rows.read_pending(connection, 1000), Settings())


def counts(connection: Connection) -> list[tuple[object, ...]]:
    c = regime_phase_counts.c
    query = sa.select(c.source, c.observer, c.horizon, c.week, c.phase, c.n)
    return [tuple(row) for row in connection.execute(query.order_by(*query.selected_columns))]


def test_a_trade_counts_once_a_week_in_its_phase_and_not_where_it_knows_none(
    connection: Connection,
) -> None:
    good, dip = {"macro_phase": "Good"}, {"macro_phase": "Dip", "micro_phase": "Chop"}
    trades(connection, good, good, dip, {"bucket": "mid"}, good, good, good, good)
    for _ in range(2):
        phase_count_rows.recount_trades(connection, "pm", origins=Settings().origins)
    first, second = date(2024, 1, 1), date(2024, 1, 8)
    assert counts(connection) == [
        ("trades", "bot-a", "macro", first, "Dip", 1),
        ("trades", "bot-a", "macro", first, "Good", 5),
        ("trades", "bot-a", "macro", second, "Good", 1),
        ("trades", "bot-a", "micro", first, "Chop", 1),
    ]


def test_origins_that_are_no_evidence_are_not_counted(connection: Connection) -> None:
    trades(connection, {"macro_phase": "Good"})
    phase_count_rows.recount_trades(connection, "pm", origins=["simulated"])
    assert counts(connection) == []


def test_what_the_tracker_saw_is_counted_by_bucket(connection: Connection) -> None:
    seen = [("mid", 1, "Dip"), ("mid", 2, "Dip"), ("mid", 3, "Good"), ("market", 9, "Chop")]
    connection.execute(
        sa.insert(phase_state_bucket),
        [
            {"bucket": bucket, "horizon": "meso", "phase": phase,
             "observed_at": datetime(2024, 1, day, tzinfo=UTC)}
            for bucket, day, phase in seen
        ],
    )  # fmt: skip
    for _ in range(2):
        phase_count_rows.recount_tracked(connection)
    assert counts(connection) == [
        ("tracker", "market", "meso", date(2024, 1, 8), "Chop", 1),
        ("tracker", "mid", "meso", date(2024, 1, 1), "Dip", 2),
        ("tracker", "mid", "meso", date(2024, 1, 1), "Good", 1),
    ]


# ------------------------------------------------------------------ weights as they were
NEUTRAL = {"time_efficiency": 1.0, "field_coherence": 1.0, "recurrence": 1.0, "variance": 1.0}


def learned(connection: Connection, day: int, variance: float, **changes: Any) -> int:
    """What a run of that day finds for one regime; return how many rows were kept."""
    row = {
        "pattern_key": "", "action_category": "", "regime_signature": "macro=Dip",
        "weights": {**NEUTRAL, "variance": variance}, "intervals": {}, "n_samples": 40,
        "confidence": 0.5, "reason": "r", **changes,
    }  # fmt: skip
    regime_weight_rows.replace_all(connection, "pm", [row])
    return regime_weight_rows.note(connection, "pm", learned_on=date(2026, 3, day))


def history(connection: Connection) -> list[tuple[int, float]]:
    c = regime_weight_history.c
    query = sa.select(c.learned_on, c.weights).order_by(c.learned_on)
    return [(day.day, weights["variance"]) for day, weights in connection.execute(query)]


def test_weights_are_kept_for_each_day_on_which_they_moved(connection: Connection) -> None:
    assert [learned(connection, day, weight) for day, weight in
            ((1, 1.0), (2, 1.0), (3, 0.7), (4, 0.7))] == [1, 0, 1, 0]  # fmt: skip
    assert history(connection) == [(1, 1.0), (3, 0.7)]


def test_the_last_run_of_a_day_stands_for_it(connection: Connection) -> None:
    for weight in (1.0, 0.7, 0.8):
        learned(connection, 1, weight)
    assert history(connection) == [(1, 0.8)]


def test_an_interval_that_moves_is_kept_even_where_its_weight_stands(
    connection: Connection,
) -> None:
    for day, high in ((1, 0.9), (2, 0.8)):
        learned(connection, day, 0.7, intervals={"variance": [0.6, high]})
    assert history(connection) == [(1, 0.7), (2, 0.7)]


# ------------------------------------------------------------------ weights as lessons get them
def test_a_row_that_learned_nothing_does_not_hide_what_all_patterns_taught(
    connection: Connection,
) -> None:
    alike = {
        "regime_signature": "macro=Dip", "intervals": {}, "n_samples": 40, "confidence": 0.5,
        "reason": "r",
    }  # fmt: skip
    every = {"pattern_key": "", "action_category": "", **alike}
    own = {"pattern_key": "pm.a.b.c", "action_category": "entry", **alike}
    regime_weight_rows.replace_all(
        connection,
        "pm",
        [
            {**every, "weights": {**NEUTRAL, "recurrence": 1.5, "variance": 0.8}},
            {**own, "weights": {**NEUTRAL, "variance": 0.6}},
        ],
    )
    weights = regime_weight_rows.read_weights(connection, "pm")
    asked = {"macro_phase": "Dip"}
    taught = {"recurrence": 1.5, "variance": 0.6}
    assert regime_weights_for(weights, "pm.a.b.c", "entry", asked) == taught
    assert regime_weights_for(weights, "pm.a.b.c", "entry", {"macro_phase": "Good"}) == {}
