"""Mining runs: what each counted, tested and selected, and what it froze."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.domain.pattern_key import Module
from learning.store.schema import mining_runs


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A mining run as stored."""

    run_id: int
    module: Module
    is_discovery: bool
    look: int
    outcome: str
    n_trades: int
    clip_low_rr: float
    clip_high_rr: float
    counts: Mapping[str, Any]
    details: Mapping[str, Any]
    baselines: Mapping[str, Any]
    created_at: datetime


_COLUMNS = (
    mining_runs.c.id,
    mining_runs.c.module,
    mining_runs.c.is_discovery,
    mining_runs.c.look,
    mining_runs.c.outcome,
    mining_runs.c.n_trades,
    mining_runs.c.clip_low_rr,
    mining_runs.c.clip_high_rr,
    mining_runs.c.counts,
    mining_runs.c.details,
    mining_runs.c.baselines,
    mining_runs.c.created_at,
)
_NAMES = {"id": "run_id"}

#: Whether a run searched: discovery looks, and what had too little to test anything.
SEARCHED = sa.or_(mining_runs.c.is_discovery, mining_runs.c.details.has_key("groups"))
#: The newest discovery look first; before the first one, the newest search.
NEWEST_LOOK_FIRST = (mining_runs.c.is_discovery.desc(), mining_runs.c.id.desc())


def append(connection: Connection, run: Mapping[str, Any]) -> int:
    """Append a run; return its id."""
    run_id: int = connection.execute(
        sa.insert(mining_runs).values(dict(run)).returning(mining_runs.c.id)
    ).scalar_one()
    return run_id


def last_discovery(connection: Connection, module: Module, outcome: str) -> StoredRun | None:
    """Return the newest discovery look of a module on an outcome, None before the first."""
    return _newest(connection, module, mining_runs.c.is_discovery, mining_runs.c.outcome == outcome)


def last_run(connection: Connection, module: Module) -> StoredRun | None:
    """Return the newest run of a module, None before the first."""
    return _newest(connection, module)


def _newest(
    connection: Connection, module: Module, *conditions: sa.ColumnElement[bool]
) -> StoredRun | None:
    row = connection.execute(
        sa.select(*_COLUMNS)
        .where(mining_runs.c.module == module, *conditions)
        .order_by(mining_runs.c.id.desc())
        .limit(1)
    ).mappings()
    found = row.one_or_none()
    return None if found is None else StoredRun(**{_NAMES.get(k, k): v for k, v in found.items()})
