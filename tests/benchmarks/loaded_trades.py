"""Many ingested trades in a database within seconds, for benchmarks of what comes after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from jobs.aggregate_scopes import frozen_now
from learning.domain.scope import PM_DIMENSIONS
from learning.store import mining_run_rows, state_rows
from learning.store.copying import copy_into
from learning.store.database import transaction
from learning.store.schema import ORIGINS, ad_strands, pattern_trade_events
from tests.benchmarks.bench_cube import planted_events

START = datetime(2024, 1, 1, tzinfo=UTC)
OUTCOME = "r_multiple"
_COLUMNS = (
    "strand_id", "bot", "origin", "module", "trade_id", "pattern_key", "action_category", "seq",
    "scope", "controls", "provenance", "acted_at", "opened_at", "closed_at", "r_multiple",
    "time_efficiency",
)  # fmt: skip


def group_key(group: int) -> tuple[str, str]:
    """The key of a group of the benchmark: 60 patterns with two categories each."""
    return f"pm.bench.S1.p{group // 2:02d}", ("entry", "exit")[group % 2]


def load_trades(engine: Engine, n: int, *, seed: int = 1) -> None:
    """Store n trades with one event each in 120 groups of Zipf-like sizes, all ingested.

    What a discovery look would freeze is frozen, and the outcome is chosen.
    """
    drawn = planted_events(n, seed=seed)
    efficiency = np.random.default_rng(seed).random(n)
    with transaction(engine) as connection:
        ids = _strands(connection, n)
        rows = (_row(drawn, i, ids[i], float(efficiency[i])) for i in range(n))
        copy_into(connection, pattern_trade_events, _COLUMNS, rows)
        freeze_reference(connection)
        state_rows.choose_outcome(connection, OUTCOME, chosen_by="benchmark")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def _strands(connection: Connection, n: int) -> list[int]:
    """The ids of n closes that were ingested."""
    connection.execute(
        sa.text(
            "INSERT INTO ad_strands (strand_key, kind, module, bot, origin, trade_id, content) "
            "SELECT gen_random_uuid(), 'position_closed', 'pm', 'bench', 'live', 't' || i, "
            "'{}'::jsonb FROM generate_series(1, :n) AS i"
        ),
        {"n": n},
    )
    connection.execute(
        sa.text(
            "INSERT INTO strand_ledger (strand_id, status) SELECT id, 'ingested' FROM ad_strands"
        )
    )
    return list(connection.execute(sa.select(ad_strands.c.id).order_by(ad_strands.c.id)).scalars())


def _row(drawn: dict[str, Any], i: int, strand_id: int, efficiency: float) -> tuple[Any, ...]:
    pattern_key, category = group_key(int(drawn["group"][i]))
    closed_at = START + timedelta(seconds=int(drawn["closed_at"][i]))
    opened_at = closed_at - timedelta(hours=3)
    return (
        strand_id, "bench", "live", "pm", f"t{i + 1}", pattern_key, category, 0,
        json.dumps(scope_of(drawn["scope_codes"][i])), '{"signals": {"TS": 0.6}}', "own_fields",
        opened_at, opened_at, closed_at, float(drawn["rr"][i]), efficiency,
    )  # fmt: skip


def scope_of(codes: np.ndarray) -> dict[str, str]:
    """The scope that codes of the benchmark stand for."""
    return {name: f"v{code}" for name, code in zip(PM_DIMENSIONS, codes, strict=True)}


def freeze_reference(connection: Connection, *, is_look: bool = True) -> None:
    """Append a discovery look that freezes what all trades give; or a search that tested nothing.

    Both found nothing.
    """
    reference = frozen_now(connection, "pm", OUTCOME, PM_DIMENSIONS, ORIGINS)
    mining_run_rows.append(
        connection,
        {
            "module": "pm", "is_discovery": is_look, "look": 1, "outcome": OUTCOME,
            "fdr_level": 0.1, "seed": 1, "n_trades": 1, "n_without_outcome": 0,
            "clip_low_rr": reference.clip[0], "clip_high_rr": reference.clip[1],
            "counts": {}, "details": {"groups": []}, "baselines": reference.to_json(),
        },
    )  # fmt: skip


def touch_groups(engine: Engine, groups: list[tuple[str, str]]) -> None:
    """Derive one trade of each group anew, as a late strand makes the ingestion do."""
    with transaction(engine) as connection:
        for pattern_key, category in groups:
            connection.execute(
                sa.text(
                    "UPDATE pattern_trade_events SET r_multiple = r_multiple + 0.01 WHERE id = "
                    "(SELECT min(id) FROM pattern_trade_events "
                    "WHERE pattern_key = :p AND action_category = :c)"
                ),
                {"p": pattern_key, "c": category},
            )


def all_groups(n: int = 120) -> Iterator[tuple[str, str]]:
    """The groups, from the largest to the smallest."""
    return (group_key(group) for group in range(n))
