"""Latent factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.domain.pattern_key import Module
from learning.meta.latent_factors import LatentFactor, LessonMap
from learning.store.schema import learning_latent_factors, learning_lesson_maps


def read_members(connection: Connection, module: Module) -> dict[str, frozenset[int]]:
    """Return the members of each factor of the last run."""
    c = learning_latent_factors.c
    rows = connection.execute(sa.select(c.factor_id, c.lesson_ids).where(c.module == module))
    return {factor_id: frozenset(lesson_ids) for factor_id, lesson_ids in rows}


def replace_all(
    connection: Connection,
    module: Module,
    factors: Sequence[LatentFactor],
    pattern_of_lesson: Mapping[int, str],
) -> None:
    """Replace the factors of a module; an id that lost its members is kept, empty.

    So that an id never comes back with another meaning.
    """
    c = learning_latent_factors.c
    kept = [factor.factor_id for factor in factors]
    connection.execute(
        sa.update(learning_latent_factors)
        .where(c.module == module, c.factor_id.not_in(kept))
        .values(lesson_ids=[], updated_at=sa.func.now())
    )
    connection.execute(sa.delete(learning_latent_factors).where(c.factor_id.in_(kept)))
    if factors:
        connection.execute(
            sa.insert(learning_latent_factors),
            [_row(module, factor, pattern_of_lesson) for factor in factors],
        )


def _row(
    module: Module, factor: LatentFactor, pattern_of_lesson: Mapping[int, str]
) -> dict[str, object]:
    return {
        "factor_id": factor.factor_id,
        "module": module,
        "pattern_keys": sorted({pattern_of_lesson[one] for one in factor.lesson_ids}),
        "lesson_ids": list(factor.lesson_ids),
        "representative_pattern": pattern_of_lesson[factor.representative_id],
        "representative_lesson_id": factor.representative_id,
        "correlation_matrix": {
            "lesson_ids": list(factor.lesson_ids),
            "similarity": factor.similarity.round(6).tolist(),
            "shared_trade_share": factor.shared_trade_share,
            "effective_lessons": factor.effective_lessons,
        },
    }


def replace_maps(
    connection: Connection, module: Module, maps: Sequence[tuple[str, LessonMap]]
) -> None:
    """Replace the maps of a module, each given with the outcome that its lessons rest on."""
    c = learning_lesson_maps.c
    connection.execute(sa.delete(learning_lesson_maps).where(c.module == module))
    if maps:
        connection.execute(
            sa.insert(learning_lesson_maps),
            [_map_row(module, outcome, one) for outcome, one in maps],
        )


def _map_row(module: Module, outcome: str, shown: LessonMap) -> dict[str, object]:
    return {
        "module": module,
        "pattern_key": shown.group[0],
        "action_category": shown.group[1],
        "outcome": outcome,
        "n_lessons": shown.n_lessons,
        "lesson_ids": list(shown.lesson_ids),
        "similarity": shown.similarity.ravel().round(4).tolist(),
        "shared_trades": shown.shared_trades.ravel().tolist(),
        "x": shown.places[:, 0].round(4).tolist(),
        "y": shown.places[:, 1].round(4).tolist(),
        "kept_share": shown.kept_share,
    }
