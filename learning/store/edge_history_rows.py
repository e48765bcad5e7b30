"""The windowed edges of patterns and lessons."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy import Connection

from learning.domain.pattern_key import Module
from learning.evidence.edge_history import WINDOW_DAYS, EdgeHistory
from learning.evidence.trade_events import GroupKey
from learning.meta.half_life import DecayCurve
from learning.store.schema import learning_edge_history

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

HistoryKey = tuple[GroupKey, str, int | None]
"""Group, scope signature (the canonical scope) and lesson; no lesson: the pattern as a whole."""


def replace_all(
    connection: Connection,
    module: Module,
    histories: Mapping[HistoryKey, EdgeHistory],
    fitted: Mapping[HistoryKey, DecayCurve],
) -> int:
    """Replace the histories of a module; return how many windows were written.

    Args:
        histories: By group, scope and lesson.
        fitted: The curves of those that were fitted, at the last windows of each.
    """
    connection.execute(
        sa.delete(learning_edge_history).where(learning_edge_history.c.module == module)
    )
    rows = [
        row
        for key, history in histories.items()
        for row in _rows(module, key, history, fitted.get(key))
    ]
    if rows:
        connection.execute(sa.insert(learning_edge_history), rows)
    return len(rows)


def _rows(
    module: Module, key: HistoryKey, history: EdgeHistory, fitted: DecayCurve | None
) -> list[dict[str, Any]]:
    group, signature, lesson_id = key
    curve = _curve_by_window(fitted, len(history))
    return [
        {
            "module": module,
            "pattern_key": group[0],
            "action_category": group[1],
            "scope_signature": signature,
            "lesson_id": lesson_id,
            "window_start": _EPOCH + timedelta(days=WINDOW_DAYS * int(history.window[i])),
            "window_days": float(WINDOW_DAYS),
            "n": int(history.n[i]),
            "edge_rr": float(history.edge_rr[i]),
            "se_rr": None if history.se_rr is None else float(history.se_rr[i]),
            "mean_closed_at": _EPOCH + timedelta(days=float(history.mean_closed_at_days[i])),
            "variance_within": (float(history.within_variance_rr[i]) if history.n[i] > 1 else None),
            "fitted_rr": curve[0][i],
            "fitted_low_rr": curve[1][i],
            "fitted_high_rr": curve[2][i],
        }
        for i in range(len(history))
    ]


def _curve_by_window(fitted: DecayCurve | None, windows: int) -> list[list[float | None]]:
    """Return edge, low and high for each window; absent before the break the fit begins after."""
    parts = [np.empty(0)] * 3 if fitted is None else [fitted.edge_rr, fitted.low_rr, fitted.high_rr]
    return [[*[None] * (windows - len(part)), *part.tolist()] for part in parts]
