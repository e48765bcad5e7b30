"""Learned regime weights, and how they were before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.domain.pattern_key import Module
from learning.store.schema import learning_regime_weights

_UNLEARNED = 1.0
_NOTE = Path(__file__).parent / "sql" / "note_regime_weights.sql"


def read_weights(
    connection: Connection, module: Module
) -> dict[tuple[str, str, str], dict[str, float]]:
    """Return the weights that were learned, by pattern_key, action_category and signature.

    '' stands for all patterns. A weight of exactly 1 says that nothing was learned there: it is
    left out, so that what was learned of more lessons applies.
    """
    c = learning_regime_weights.c
    rows = connection.execute(
        sa.select(c.pattern_key, c.action_category, c.regime_signature, c.weights).where(
            c.module == module
        )
    )
    learned = {
        (pattern, category, signature): {k: v for k, v in weights.items() if v != _UNLEARNED}
        for pattern, category, signature, weights in rows
    }
    return {key: weights for key, weights in learned.items() if weights}


def replace_all(connection: Connection, module: Module, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace the weights of a module."""
    connection.execute(
        sa.delete(learning_regime_weights).where(learning_regime_weights.c.module == module)
    )
    if rows:
        connection.execute(
            sa.insert(learning_regime_weights), [{"module": module, **row} for row in rows]
        )


def note(connection: Connection, module: Module, *, learned_on: date) -> int:
    """Keep the weights of a module that moved since they were kept last; return how many."""
    noted = connection.execute(
        sa.text(_NOTE.read_text(encoding="utf-8")), {"module": module, "learned_on": learned_on}
    )
    return noted.rowcount
