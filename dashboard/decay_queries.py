"""Half-lives as the screens read them: one slim row per lesson, and the whole fit of one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from dashboard.queries import Filters, Source, kept
from dashboard.slim_lessons import (
    MOST_LESSONS,
    STANDING,
    named,
    numbers_of,
    read_frame,
    slim_columns,
)
from learning.overrides.materialising import share_left
from learning.store import database
from learning.store.schema import learning_lessons

_FIT = ("ci_low_days", "ci_high_days", "p_decaying", "windows")


@kept
def read_half_lives(source: Source, filters: Filters) -> pd.DataFrame:
    """Return the standing lessons with what is known of their half-lives, the newest last.

    At most 5 000, without the lessons' evidence: only module and setup narrow them. Lessons about
    execution claim no edge that could fade.
    """
    c = learning_lessons.c
    query = (
        sa.select(
            *slim_columns(),
            c.half_life_state,
            c.half_life_reason,
            c.decay_halflife_hours,
            *numbers_of(c.half_life, _FIT),
        )
        .where(c.status.in_(STANDING), c.lesson_type != "pm_tuning")
        .order_by(c.id)
        .limit(MOST_LESSONS)
    )
    if filters.module is not None:
        query = query.where(c.module == filters.module)
    if filters.pattern_key is not None:
        query = query.where(c.pattern_key == filters.pattern_key)
    found = named(read_frame(source, query))
    numbers = [*_FIT, "decay_halflife_hours"]
    found[numbers] = found[numbers].astype("float64")
    return found.assign(half_life_days=found["decay_halflife_hours"] / 24)


@kept
def read_fit(source: Source, lesson_id: int) -> Mapping[str, Any]:
    """Return what the job keeps of a lesson's fit: weights, interval, parts between breaks."""
    c = learning_lessons.c
    with database.transaction(source.engine, read_only=True) as connection:
        found = connection.scalar(sa.select(c.half_life).where(c.id == lesson_id))
    return found or {}


@kept
def read_standing(source: Source, filters: Filters, now: datetime) -> pd.DataFrame:
    """Return the lessons with half-lives, and what a moment makes of them.

    Adds ``share_left`` (of the edge, by its half-life since the mean close of its evidence),
    ``edge_now_rr``, and ``age_days`` since approval of what is active.
    """
    lessons = read_half_lives(source, filters)
    ages = (now - pd.to_datetime(lessons["mean_closed_at"], utc=True)).dt.total_seconds() / 3600
    shares = [
        share_left(age, None if pd.isna(hours) else hours)
        for age, hours in zip(ages, lessons["decay_halflife_hours"], strict=True)
    ]
    since = now - pd.to_datetime(lessons["activated_at"], utc=True)
    active = lessons["status"] == "active"
    share = pd.Series(shares, index=lessons.index, dtype="float64")
    return lessons.assign(
        share_left=share,
        edge_now_rr=lessons["posterior_mean_rr"] * share,
        age_days=(since.dt.total_seconds() / 86400).where(active),
    )
