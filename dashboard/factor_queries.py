"""Latent factors as the screens read them: the factors, their members, and the maps of lessons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import sqlalchemy as sa

from dashboard import formats
from dashboard.queries import Filters, Group, Source, kept
from dashboard.slim_lessons import (
    MOST_LESSONS,
    STANDING,
    named,
    numbers_of,
    read_frame,
    slim_columns,
)
from learning.store import database
from learning.store.schema import (
    learning_latent_factors,
    learning_lesson_maps,
    learning_lessons,
)


@dataclass(frozen=True)
class SetupMap:
    """How alike the lessons of one setup are.

    Attributes:
        group: The setup.
        outcome: What its lessons rest on.
        n_lessons: All of them; the map has the strongest.
        lesson_ids: Those shown, in dendrogram order.
        similarity: Shape (L, L).
        shared_trades: Shape (L, L); the diagonal is each lesson's own trades.
        kept_share: Share of all spread that the two axes of its map keep, if there is any.
    """

    group: Group
    outcome: str
    n_lessons: int
    lesson_ids: tuple[int, ...]
    similarity: npt.NDArray[np.float64]
    shared_trades: npt.NDArray[np.int64]
    kept_share: float | None


@kept
def read_factors(source: Source, filters: Filters) -> pd.DataFrame:
    """Return the factors that have members, the largest first, each with its representative."""
    f, rep, member = learning_latent_factors.c, learning_lessons.alias("rep"), learning_lessons.c
    active = (
        sa.select(member.latent_factor_id, sa.func.count().label("n_active"))
        .where(member.status == "active")
        .group_by(member.latent_factor_id)
        .subquery()
    )
    size = sa.func.cardinality(f.lesson_ids)
    query = (
        sa.select(
            f.factor_id, f.module, rep.c.pattern_key, rep.c.action_category, rep.c.outcome,
            size.label("n_lessons"), f.representative_lesson_id, f.updated_at,
            rep.c.version, rep.c.status, rep.c.scope_dims, rep.c.scope_values, rep.c.n,
            *numbers_of(rep.c.stats, ("posterior_mean_rr", "ci_low_rr", "ci_high_rr")),
            *numbers_of(f.correlation_matrix, ("shared_trade_share", "effective_lessons")),
            sa.func.coalesce(active.c.n_active, 0).label("n_active"),
        )
        .join(rep, rep.c.id == f.representative_lesson_id)
        .outerjoin(active, active.c.latent_factor_id == f.factor_id)
        .where(size > 0)
        .order_by(size.desc(), f.factor_id)
        .limit(MOST_LESSONS)
    )  # fmt: skip
    if filters.module is not None:
        query = query.where(f.module == filters.module)
    if filters.pattern_key is not None:
        query = query.where(rep.c.pattern_key == filters.pattern_key)
    found = read_frame(source, query)
    found = named(found.assign(id=found["representative_lesson_id"]))
    return found.rename(columns={"label": "representative"})


@kept
def read_clustered(source: Source, filters: Filters) -> pd.DataFrame:
    """Return the standing lessons that belong to a factor, the oldest first."""
    c = learning_lessons.c
    query = (
        sa.select(*slim_columns())
        .where(c.status.in_(STANDING), c.latent_factor_id.is_not(None))
        .order_by(c.id)
        .limit(MOST_LESSONS)
    )
    if filters.module is not None:
        query = query.where(c.module == filters.module)
    if filters.pattern_key is not None:
        query = query.where(c.pattern_key == filters.pattern_key)
    return named(read_frame(source, query))


@kept
def read_places(source: Source, filters: Filters) -> pd.DataFrame:
    """Return where each lesson stands on the map of its setup: id, setup, x, y."""
    c = learning_lesson_maps.c
    query = sa.select(c.module, c.pattern_key, c.action_category, c.lesson_ids, c.x, c.y)
    query = query.order_by(c.module, c.pattern_key, c.action_category)
    if filters.module is not None:
        query = query.where(c.module == filters.module)
    if filters.pattern_key is not None:
        query = query.where(c.pattern_key == filters.pattern_key)
    found = read_frame(source, query)
    found["setup"] = [
        formats.setup(key, category)
        for key, category in zip(found["pattern_key"], found["action_category"], strict=True)
    ]
    places = found[["setup", "lesson_ids", "x", "y"]].explode(["lesson_ids", "x", "y"])
    return places.rename(columns={"lesson_ids": "id"}).dropna().reset_index(drop=True)


@kept
def read_setup_map(source: Source, group: Group, outcome: str) -> SetupMap | None:
    """Return how alike the lessons of a setup are; None until factors were clustered."""
    c = learning_lesson_maps.c
    query = sa.select(learning_lesson_maps).where(
        c.module == group.module,
        c.pattern_key == group.pattern_key,
        c.action_category == group.action_category,
        c.outcome == outcome,
    )
    with database.transaction(source.engine, read_only=True) as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    count = len(row.lesson_ids)
    return SetupMap(
        group=group,
        outcome=outcome,
        n_lessons=row.n_lessons,
        lesson_ids=tuple(row.lesson_ids),
        similarity=np.array(row.similarity, dtype=np.float64).reshape(count, count),
        shared_trades=np.array(row.shared_trades, dtype=np.int64).reshape(count, count),
        kept_share=row.kept_share,
    )


@kept
def read_similarity(source: Source, factor_id: str) -> Mapping[str, Sequence[Any]]:
    """Return the members of a factor in dendrogram order, and their similarity row by row."""
    c = learning_latent_factors.c
    query = sa.select(c.correlation_matrix).where(c.factor_id == factor_id)
    with database.transaction(source.engine, read_only=True) as connection:
        return connection.scalar(query) or {"lesson_ids": [], "similarity": []}
