"""Lessons by what a list or a chart needs of them, without the evidence that one page reads."""

from __future__ import annotations

from typing import Any

import pandas as pd
import sqlalchemy as sa

from dashboard import formats
from dashboard.queries import Source
from learning.store import database
from learning.store.schema import learning_lessons

STANDING = ("watch", "proposed", "active", "disabled")
MOST_LESSONS = 5_000
_TIMEOUT_MS = 20_000
_STATS = ("posterior_mean_rr", "ci_low_rr", "ci_high_rr")


def read_frame(source: Source, query: sa.Select[Any]) -> pd.DataFrame:
    """Return the rows of a query, read in a transaction of their own."""
    with database.transaction(source.engine, read_only=True, statement_timeout_ms=_TIMEOUT_MS) as c:
        result = c.execute(query)
        return pd.DataFrame(result.mappings().all(), columns=list(result.keys()))


def slim_columns() -> list[sa.ColumnElement[Any]]:
    """Return the columns of identity, state and edge."""
    c = learning_lessons.c
    return [
        c.id, c.version, c.module, c.pattern_key, c.action_category, c.scope_dims, c.scope_values,
        c.lesson_type, c.outcome, c.n, c.status, c.latent_factor_id, c.mean_closed_at,
        c.discovered_at, c.activated_at, c.expires_at,
        *numbers_of(c.stats, _STATS),
    ]  # fmt: skip


def numbers_of(
    column: sa.ColumnElement[Any], names: tuple[str, ...]
) -> list[sa.ColumnElement[Any]]:
    """Return numbers out of a JSON column, under their names."""
    return [sa.cast(column[name].as_string(), sa.Double).label(name) for name in names]


def named(found: pd.DataFrame) -> pd.DataFrame:
    """Return slim lessons with their label, setup and context."""
    scopes = [
        {name: values[name] for name in dims if name in values}
        for dims, values in zip(found["scope_dims"], found["scope_values"], strict=True)
    ]
    return found.assign(
        **{name: found[name].astype("float64") for name in _STATS},
        label=[f"L-{lesson_id:04d}" for lesson_id in found["id"]],
        setup=[
            formats.setup(key, category)
            for key, category in zip(found["pattern_key"], found["action_category"], strict=True)
        ],
        scope=pd.Series(scopes, index=found.index, dtype=object),
        context=[formats.scope(values) for values in scopes],
    )
