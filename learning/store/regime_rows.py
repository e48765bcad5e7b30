"""The regime of a moment, from what the bot's tracker observed up to then."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import distinct_on, insert

from learning.domain.regime import RegimeContext
from learning.store.schema import phase_state_bucket, token_cap_bucket

MARKET = "market"
OBSERVATIONS: Final = {
    "phase_observed": phase_state_bucket,
    "token_bucket_observed": token_cap_bucket,
}
"""What a tracker observes, by the kind under which it is delivered, with its table."""
_RANKING_HORIZON = "meso"


def regime_context(connection: Connection, at: datetime) -> RegimeContext:
    """Return phases, rank and population of the cap buckets, as observed at or before a moment.

    The phases of the whole market are those of the bucket ``market``. Each other bucket's phase
    and its place in ``bucket_rank`` are those of the meso horizon: the highest score leads, and a
    bucket without a score is not ranked. ``bucket_population`` counts the tokens by their last
    known bucket.

    Args:
        at: The moment, with its time zone. Nothing observed later is used.

    Raises:
        ValueError: If the moment has no time zone.
    """
    _require_zone(at)
    phases: dict[str, str] = {}
    of_bucket: dict[str, str] = {}
    scores: dict[str, float] = {}
    for row in connection.execute(_last_phases(at)):
        if row.bucket == MARKET:
            phases[row.horizon] = row.phase
        elif row.horizon == _RANKING_HORIZON:
            of_bucket[row.bucket] = row.phase
            if row.score is not None:
                scores[row.bucket] = row.score
    return RegimeContext(
        macro_phase=phases.get("macro"),
        meso_phase=phases.get("meso"),
        micro_phase=phases.get("micro"),
        bucket_phases=of_bucket,
        bucket_rank=tuple(sorted(scores, key=lambda bucket: (-scores[bucket], bucket))),
        bucket_population=_population(connection, at),
    )


def insert_observations(connection: Connection, observed: Sequence[tuple[str, str]]) -> None:
    """Insert what a tracker observed; what was observed of the same at the same moment stays.

    Args:
        observed: Kind and content, JSON text of the columns; other kinds are passed over.
    """
    for kind, table in OBSERVATIONS.items():
        rows = [json.loads(content) for found, content in observed if found == kind]
        if rows:
            connection.execute(insert(table).on_conflict_do_nothing(), rows)


def bucket_of_token(connection: Connection, symbol: str, at: datetime) -> str | None:
    """Return the cap bucket of a token as last observed at or before a moment.

    Raises:
        ValueError: If the moment has no time zone.
    """
    _require_zone(at)
    c = token_cap_bucket.c
    return connection.scalar(
        sa.select(c.bucket)
        .where(c.symbol == symbol, c.observed_at <= at)
        .order_by(c.observed_at.desc())
        .limit(1)
    )


def _last_phases(at: datetime) -> sa.Select[tuple[str, str, str, float]]:
    c = phase_state_bucket.c
    return (
        sa.select(c.bucket, c.horizon, c.phase, c.score)
        .ext(distinct_on(c.bucket, c.horizon))
        .where(c.observed_at <= at)
        .order_by(c.bucket, c.horizon, c.observed_at.desc())
    )


def _population(connection: Connection, at: datetime) -> dict[str, int]:
    c = token_cap_bucket.c
    last = (
        sa.select(c.symbol, c.bucket)
        .ext(distinct_on(c.symbol))
        .where(c.observed_at <= at)
        .order_by(c.symbol, c.observed_at.desc())
        .subquery()
    )
    counted = sa.select(last.c.bucket, sa.func.count().label("n")).group_by(last.c.bucket)
    return {row.bucket: row.n for row in connection.execute(counted)}


def _require_zone(at: datetime) -> None:
    if at.tzinfo is None:
        raise ValueError(f"the moment of a regime must say its time zone, got {at!r}")
