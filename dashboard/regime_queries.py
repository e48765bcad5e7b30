"""Regimes as the screens read them: phases seen, weights learned, and what came after a claim."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import pandas as pd
import sqlalchemy as sa

from dashboard import formats
from dashboard.queries import Filters, Group, Source, kept
from dashboard.slim_lessons import MOST_LESSONS, named, numbers_of, read_frame, slim_columns
from learning.domain.regime import RegimeContext
from learning.store import database, job_rows
from learning.store.regime_rows import MARKET, regime_context
from learning.store.schema import (
    learning_edge_history,
    learning_lessons,
    learning_regime_weights,
    lesson_versions,
    regime_phase_counts,
    regime_weight_history,
)

Horizon = Literal["macro", "meso", "micro"]
HORIZONS: tuple[Horizon, ...] = ("macro", "meso", "micro")
WEIGHTS = ("time_efficiency", "field_coherence", "recurrence", "variance")


@kept
def read_phases(source: Source, module: str, filters: Filters) -> pd.DataFrame:
    """Return by horizon, week and phase how often it was seen, and by whom.

    What the tracker observed of the whole market counts where there is any (of the single buckets
    where it never looks at the whole), else the trades of the module. Bot and period narrow the
    trades; a period counts back from the last week.
    """
    c = regime_phase_counts.c
    tracked = sa.select(sa.literal(True)).where(c.source == "tracker", c.observer == MARKET)
    tracked_parts = sa.select(sa.literal(True)).where(c.source == "tracker")
    use = sa.case(
        (sa.exists(tracked), sa.and_(c.source == "tracker", c.observer == MARKET)),
        (sa.exists(tracked_parts), c.source == "tracker"),
        else_=sa.and_(c.source == "trades", c.module == module, _of_bot(filters)),
    )
    query = (
        sa.select(c.horizon, c.week, c.phase, c.source, sa.func.sum(c.n).label("n"))
        .where(use)
        .group_by(c.horizon, c.week, c.phase, c.source)
        .order_by(c.week, c.phase)
    )
    found = read_frame(source, query).astype({"n": "int64"})
    if filters.days is None or found.empty:
        return found
    is_late = found["week"] > found["week"].max() - timedelta(days=filters.days)
    narrowed: pd.DataFrame = found[is_late]
    return narrowed


def _of_bot(filters: Filters) -> sa.ColumnElement[bool]:
    return sa.true() if filters.bot is None else regime_phase_counts.c.observer == filters.bot


@kept
def read_regime(source: Source) -> tuple[RegimeContext, bool]:
    """Return the regime that the tracker sees now, and whether it has seen one at all."""
    with database.transaction(source.engine, read_only=True) as connection:
        found = regime_context(connection, job_rows.database_now(connection))
    return found, found != RegimeContext()


@kept
def read_weights(source: Source, filters: Filters) -> pd.DataFrame:
    """Return the learned weights, one row per setup and regime, those of all setups first."""
    c = learning_regime_weights.c
    query = (
        sa.select(
            c.module, c.pattern_key, c.action_category, c.regime_signature,
            *numbers_of(c.weights, WEIGHTS),
            c.intervals, c.n_samples, c.confidence, c.reason, c.updated_at,
        )
        .order_by(c.module.desc(), c.pattern_key, c.action_category, c.n_samples.desc(),
                  c.regime_signature)
        .limit(MOST_LESSONS)
    )  # fmt: skip
    if filters.module is not None:
        query = query.where(c.module == filters.module)
    if filters.pattern_key is not None:
        query = query.where(c.pattern_key.in_(["", filters.pattern_key]))
    found = read_frame(source, query)
    found["setup"] = [
        formats.setup(row["pattern_key"], row["action_category"])
        if row["pattern_key"]
        else f"all setups of {row['module']}"
        for row in found.to_dict("records")
    ]
    return found


@kept
def read_weight_history(source: Source, group: Group, regime_signature: str) -> pd.DataFrame:
    """Return the weights of one regime of a setup as they were, in order of time.

    Args:
        source: Of the read.
        group: The setup; of all setups together its pattern and action are ''.
        regime_signature: The regime; '' is all regimes together.
    """
    c = regime_weight_history.c
    query = (
        sa.select(c.learned_on, c.weights, c.intervals, c.n_samples)
        .where(
            c.module == group.module,
            c.pattern_key == group.pattern_key,
            c.action_category == group.action_category,
            c.regime_signature == regime_signature,
        )
        .order_by(c.learned_on)
    )
    return read_frame(source, query)


@kept
def read_realised(source: Source, filters: Filters) -> pd.DataFrame:
    """Return lessons with what they claimed when found, and their edge in the weeks since.

    The claim is the shrunk edge of the first version; the weeks are those that began after the
    discovery, weighted by their trades.
    """
    x, h, v = learning_lessons.c, learning_edge_history.c, lesson_versions.c
    n = sa.func.sum(h.n)
    since = (
        sa.select(
            h.lesson_id,
            n.label("n_since"),
            sa.func.count().label("windows_since"),
            (sa.func.sum(h.n * h.edge_rr) / n).label("realised_rr"),
            (sa.func.sqrt(sa.func.sum(h.n * h.n * h.se_rr * h.se_rr)) / n).label("realised_se_rr"),
        )
        .join(learning_lessons, x.id == h.lesson_id)
        .where(h.window_start >= x.discovered_at)
        .group_by(h.lesson_id)
        .subquery()
    )
    claimed = sa.cast(v.snapshot["stats"]["posterior_mean_rr"].as_string(), sa.Double)
    query = (
        sa.select(*slim_columns(), *since.c, claimed.label("claimed_rr"))
        .join(since, since.c.lesson_id == x.id)
        .join(lesson_versions, sa.and_(v.lesson_id == x.id, v.version == 1))
        .order_by(x.id)
        .limit(MOST_LESSONS)
    )
    if filters.module is not None:
        query = query.where(x.module == filters.module)
    if filters.pattern_key is not None:
        query = query.where(x.pattern_key == filters.pattern_key)
    found = named(read_frame(source, query))
    numbers = ["claimed_rr", "realised_rr", "realised_se_rr"]
    return found.assign(**{name: found[name].astype("float64") for name in numbers})
