"""A database as after a busy year, for benchmarks of the pages.

100 k trades with a million scope statistics, beside them 2 k lessons in every status, overrides,
what bots reported, and what the jobs make of all that.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from jobs.runner import Runner
from jobs.timetable import JOBS
from learning.domain.scope import PM_DIMENSIONS
from learning.lessons.life_cycle import Status
from learning.settings import Settings
from learning.store.copying import copy_into
from learning.store.database import transaction
from learning.store.schema import learning_lessons, override_applications, scope_stat_cells
from tests.benchmarks.loaded_trades import START, group_key, load_trades, scope_of
from tests.learning.store.stored_lessons import store_lesson, store_run

N_LESSONS = 2_000
_SHARE_OF_STATUS: dict[Status, float] = {
    "proposed": 0.02, "active": 0.04, "disabled": 0.04, "watch": 0.2, "rejected": 0.2,
    "retired": 0.5,
}  # fmt: skip
_AFTERWARDS = (
    "ingest_strands", "aggregate_scopes", "estimate_half_lives", "cluster_factors",
    "learn_regime_weights", "materialise_overrides", "measure_effects",
)  # fmt: skip
_APPLICATION_COLUMNS = (
    "application_key", "bot", "origin", "module", "trade_id", "pattern_key", "action_category",
    "override_id", "lesson_id", "lesson_version", "generation", "revision", "scope",
    "levers_before", "levers_after", "levers_would_be", "arm", "u", "p", "reason", "decided_at",
)  # fmt: skip
_N_MIN = (5, 10, 15, 20)  # so 100 k trades make a million scopes
_REPORTED = 200  # decisions of each active lesson


def fill(engine: Engine, *, n_trades: int = 100_000, n_lessons: int = N_LESSONS) -> int:
    """Fill an empty database; return how many scopes are stored."""
    load_trades(engine, n_trades)
    rng = np.random.default_rng(7)
    with transaction(engine) as connection:
        run = store_run(connection)
        for i in range(n_lessons):
            store_lesson(connection, _status(i / n_lessons), **_lesson(rng, i, run))
    runner = Runner(engine, Settings(n_min=_N_MIN), JOBS)
    for job in _AFTERWARDS[:-1]:
        runner.run_now(job, requested_by="benchmark")
    with transaction(engine) as connection:
        reported = list(_reported(connection))
        copy_into(connection, override_applications, _APPLICATION_COLUMNS, reported)
    runner.run_now(_AFTERWARDS[-1], requested_by="benchmark")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
        return connection.scalar(sa.select(sa.func.count()).select_from(scope_stat_cells)) or 0


def _status(share: float) -> Status:
    for status, part in _SHARE_OF_STATUS.items():
        share -= part
        if share < 0:
            return status
    return "retired"


def _lesson(rng: np.random.Generator, i: int, run: int) -> dict[str, Any]:
    pattern_key, category = group_key(i % 120)
    codes = scope_of(rng.integers(0, 3, len(PM_DIMENSIONS)))
    dims = rng.choice(PM_DIMENSIONS, rng.integers(1, 4), replace=False)
    edge, error = float(rng.normal(0.3, 0.2)), float(rng.uniform(0.05, 0.12))
    return {
        "pattern_key": pattern_key,
        "action_category": category,
        # a number as one more condition keeps the scopes of lessons apart
        "scope": {str(name): codes[str(name)] for name in sorted(dims)} | _apart(i),
        "outcome": "r_multiple",
        "n": int(rng.integers(60, 900)),
        "mining_run_id": run,
        "mean_closed_at": START + timedelta(days=400),
        "stats": {
            "posterior_mean_rr": edge, "delta_group_rr": edge * 1.2, "se_rr": error,
            "ci_low_rr": max(edge - 2 * error, 0.01), "ci_high_rr": edge + 2 * error,
            "q_value": float(rng.uniform(0, 0.1)), "z": edge / error, "lfsr": 0.01,
            "delta_q25_rr": max(edge - error, 0.01),
        },
    }  # fmt: skip


def _apart(i: int) -> dict[str, Any]:
    return {} if i < 120 else {"number": i}


def _reported(connection: Connection) -> Iterator[tuple[Any, ...]]:
    """What bots reported of each active lesson: a fifth of the decisions held out."""
    c = learning_lessons.c
    lessons = connection.execute(sa.select(c.id, c.version, c.pattern_key, c.action_category)
                                 .where(c.status == "active")).all()  # fmt: skip
    for one in lessons:
        for i in range(_REPORTED):
            u = i / _REPORTED
            arm = "held_out" if u < 0.2 else "treated"
            levers = '{"size_mult": 1.02}'
            yield (
                uuid.uuid4(), "bench", "live", "pm", f"t{one.id * 37 + i}", one.pattern_key,
                one.action_category, one.id, one.id, one.version, 1, 1, "{}", "{}",
                levers if arm == "treated" else "{}", levers, arm, u, 0.8, "applied",
                START + timedelta(days=500, hours=i),
            )  # fmt: skip
