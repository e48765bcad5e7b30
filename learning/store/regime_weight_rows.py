"""Learned regime weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.domain.pattern_key import Module
from learning.store.schema import learning_regime_weights


def read_weights(
    connection: Connection, module: Module
) -> dict[tuple[str, str, str], dict[str, float]]:
    """Return the weights by pattern_key, action_category and signature; '' stands for all.

    Empty where every weight is 1: nothing was learned that could move a number.
    """
    c = learning_regime_weights.c
    rows = connection.execute(
        sa.select(c.pattern_key, c.action_category, c.regime_signature, c.weights).where(
            c.module == module
        )
    )
    learned = {
        (pattern, category, signature): dict(weights)
        for pattern, category, signature, weights in rows
    }
    is_neutral = all(weight == 1.0 for weights in learned.values() for weight in weights.values())
    return {} if is_neutral else learned


def replace_all(connection: Connection, module: Module, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace the weights of a module."""
    connection.execute(
        sa.delete(learning_regime_weights).where(learning_regime_weights.c.module == module)
    )
    if rows:
        connection.execute(
            sa.insert(learning_regime_weights), [{"module": module, **row} for row in rows]
        )
