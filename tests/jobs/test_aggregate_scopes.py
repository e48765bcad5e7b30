"""Aggregation group by group equals a rebuild with the same frozen values, exactly."""

from __future__ import annotations

import random

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from jobs.aggregate_scopes import aggregate_module, frozen_now
from jobs.ingest_strands import ingest_batch
from learning.domain.pattern_key import MODULES
from learning.events.strands import Strand
from learning.settings import Settings
from learning.store import group_mark_rows, mining_run_rows, strand_rows
from tests.strand_builders import action, close

SETTINGS = Settings(n_min=(2, 3, 4, 5), outcome="r_multiple")
PATTERNS = ("pm.trend.S1.flag", "pm.trend.S2.dip", "pm.range.S1.edge", "dm.alloc.S1.call")
STATS = (
    "SELECT module, pattern_key, action_category, scope_values::text, n, stats::text "
    "FROM pattern_scope_stats ORDER BY 1, 2, 3, 4"
)
WEEK_SUMS = (
    "SELECT g.module, g.pattern_key, g.action_category, s.dimension, v.value::text, w.week, w.n, "
    "w.total, w.total_sq FROM scope_week_sums AS s JOIN scope_groups AS g ON g.id = s.group_id "
    "CROSS JOIN unnest(s.codes, s.weeks, s.n, s.total, s.total_sq) AS w (code, week, n, total, "
    "total_sq) LEFT JOIN scope_levels AS v ON v.module = g.module AND v.dimension = s.dimension "
    "AND v.code = w.code ORDER BY 1, 2, 3, 4, 5, 6"
)


def trade(rng: random.Random, name: str) -> list[Strand]:
    """A trade of some pattern and scope; now and then its close comes first, or an action late."""
    pattern = rng.choice(PATTERNS)
    scope = {
        "bucket": rng.choice(["micro", "mid", "big"]),
        "timeframe": rng.choice(["1h", "4h"]),
        "A_mode": rng.choice(["patient", "normal", None]),
        "macro_phase": rng.choice(["Dip", "Good", "Chop"]),
        "intent": rng.choice(["swing", "scalp"]),
    }
    names = ("bucket", "macro_phase", "intent" if pattern.startswith("dm") else "timeframe")
    own = {key: value for key, value in scope.items() if key in (*names, "A_mode")}
    if pattern.startswith("dm"):
        own.pop("A_mode")
    strands = [
        action(name, category, pattern=pattern, name=f"{name}/{category}", scope=own)
        for category in ("entry", *rng.sample(["add", "exit"], k=rng.randrange(3)))
    ]
    strands.append(close(name, r_multiple=rng.gauss(0.2, 1.5)))
    rng.shuffle(strands)
    return strands


def ingest(connection: Connection, strands: list[Strand]) -> None:
    strand_rows.append(connection, strands)
    while pending := strand_rows.read_pending(connection, 500):
        ingest_batch(connection, pending, SETTINGS)


def freeze(connection: Connection) -> None:
    for module in MODULES:
        dims = SETTINGS.dimensions(module)
        marks = group_mark_rows.read_marks(
            connection, module, outcome="r_multiple", origins=SETTINGS.origins
        )
        if not marks:
            continue
        reference = frozen_now(connection, module, "r_multiple", dims, SETTINGS.origins)
        mining_run_rows.append(
            connection,
            {
                "module": module, "is_discovery": True, "look": 1, "outcome": "r_multiple",
                "fdr_level": 0.1, "seed": 1, "n_trades": 1, "n_without_outcome": 0,
                "clip_low_rr": reference.clip[0], "clip_high_rr": reference.clip[1],
                "counts": {}, "details": {}, "baselines": reference.to_json(),
            },
        )  # fmt: skip


def aggregate(connection: Connection) -> int:
    return sum(len(aggregate_module(connection, one, SETTINGS).refreshed) for one in MODULES)


def stored(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    """Every scope and every sum of a week, with values instead of the codes that a rebuild deals
    anew."""
    asked = {"scopes": STATS, "sums by week": WEEK_SUMS}
    return {
        name: [tuple(row) for row in connection.execute(sa.text(query))]
        for name, query in asked.items()
    }


def rebuilt(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    connection.execute(sa.text("DELETE FROM scope_groups"))
    connection.execute(sa.text("DELETE FROM scope_levels"))
    aggregate(connection)
    return stored(connection)


def check_history(connection: Connection, seed: int) -> None:
    """Grow a history in steps of a few strands, with closes before actions; then rebuild it."""
    rng = random.Random(seed)
    strands = [one for i in range(60) for one in trade(rng, f"{seed}-{i}")]
    ingest(connection, strands[:120])
    freeze(connection)
    aggregate(connection)
    late = strands[120:]
    while late:
        n = rng.randint(1, 25)
        ingest(connection, late[:n])
        aggregate(connection)
        late = late[n:]
    incremental = stored(connection)
    assert all(len(rows) > 50 for rows in incremental.values())
    assert rebuilt(connection) == incremental


@pytest.mark.parametrize("seed", range(4))
def test_steps_equal_a_rebuild_exactly(connection: Connection, seed: int) -> None:
    check_history(connection, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4, 54))
def test_fifty_random_histories_in_steps_equal_their_rebuild_exactly(
    connection: Connection, seed: int
) -> None:
    check_history(connection, seed)


def test_a_late_action_refreshes_the_groups_of_its_trade_and_no_other(
    connection: Connection,
) -> None:
    rng = random.Random(7)
    ingest(connection, [one for i in range(40) for one in trade(rng, f"t{i}")])
    ingest(connection, [action("x", pattern=PATTERNS[0], name="x1"), close("x")])
    freeze(connection)
    aggregate(connection)
    ingest(connection, [action("x", "trim", pattern=PATTERNS[0], name="x2", hours=2)])
    again = [aggregate_module(connection, one, SETTINGS).refreshed for one in ("pm", "dm")]
    # all events of the trade are derived anew: that of its entry, and the new one of its trim
    assert again == [((PATTERNS[0], "entry"), (PATTERNS[0], "trim")), ()]


def test_a_group_without_trades_is_removed(connection: Connection) -> None:
    rng = random.Random(8)
    ingest(connection, [one for i in range(40) for one in trade(rng, f"t{i}")])
    freeze(connection)
    aggregate(connection)
    connection.execute(
        sa.text("DELETE FROM pattern_trade_events WHERE pattern_key = :p"), {"p": PATTERNS[0]}
    )
    removed = aggregate_module(connection, "pm", SETTINGS).removed
    assert {pattern for pattern, _ in removed} == {PATTERNS[0]}
    kept = connection.execute(sa.text("SELECT DISTINCT pattern_key FROM pattern_scope_stats"))
    assert PATTERNS[0] not in set(kept.scalars())


def test_a_row_changed_by_hand_is_noticed(fresh_database: str) -> None:
    """Control of the exactness tests: what no id tells, the writing transaction does."""
    from learning.store.database import create_engine, transaction

    engine = create_engine(fresh_database)
    rng = random.Random(9)
    with transaction(engine) as first:
        ingest(first, [one for i in range(40) for one in trade(rng, f"t{i}")])
        freeze(first)
        aggregate(first)
    with transaction(engine) as second:
        assert aggregate(second) == 0
        second.execute(
            sa.text(
                "UPDATE pattern_trade_events SET r_multiple = 9 WHERE id = "
                "(SELECT min(id) FROM pattern_trade_events)"
            )
        )
        assert aggregate(second) == 1
        incremental = stored(second)
        assert rebuilt(second) == incremental
    engine.dispose()


def test_a_group_without_any_scope_of_enough_trades_is_stored_without_cells(
    connection: Connection,
) -> None:
    name = "alone"
    ingest(connection, [action(name, scope={"bucket": "micro"}), close(name, r_multiple=1.0)])
    done = aggregate_module(connection, "pm", SETTINGS)
    assert (done.n_events, done.n_cells, len(done.refreshed)) == (1, 0, 1)
    assert aggregate_module(connection, "pm", SETTINGS).refreshed == ()


def prepared(connection: Connection, seed: int) -> None:
    rng = random.Random(seed)
    ingest(connection, [one for i in range(40) for one in trade(rng, f"t{i}")])
    freeze(connection)
    aggregate(connection)


def test_only_groups_whose_events_were_written_are_looked_at(connection: Connection) -> None:
    prepared(connection, 10)
    ingest(connection, [action("x", pattern=PATTERNS[0], name="x1"), close("x")])
    told = group_mark_rows.take_changed(connection, "pm")
    assert told == {(PATTERNS[0], "entry")}
    assert group_mark_rows.take_changed(connection, "pm") == frozenset()


def test_a_sweep_finds_what_nobody_told(connection: Connection) -> None:
    prepared(connection, 11)
    largest = "SELECT id FROM scope_groups WHERE module = 'pm' ORDER BY n DESC LIMIT 1"
    connection.execute(sa.text(f"UPDATE scope_groups SET fingerprint = '' WHERE id = ({largest})"))
    assert aggregate_module(connection, "pm", SETTINGS).refreshed == ()
    assert len(aggregate_module(connection, "pm", SETTINGS, is_sweep=True).refreshed) == 1


def test_another_measure_refreshes_groups_that_nobody_wrote_to(connection: Connection) -> None:
    prepared(connection, 12)
    pm_groups = sa.text("SELECT count(*) FROM scope_groups WHERE module = 'pm'")
    n_groups = connection.execute(pm_groups).scalar_one()
    other = Settings(n_min=(3, 3, 4, 5), outcome="r_multiple")
    assert len(aggregate_module(connection, "pm", other).refreshed) == n_groups > 3
