"""The stored cells of one group, as plain values to compare."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.domain.pattern_key import Module
from learning.evidence.trade_events import GroupKey
from learning.store.schema import scope_groups, scope_stat_cells

CellKey = tuple[int, tuple[int, ...]]
VALUES = (
    "n", "sum_rr", "sum_rr_sq", "variance", "rr_baseline", "edge_raw", "time_efficiency",
    "field_coherence", "recurrence_score", "segments_tested", "segments_positive",
)  # fmt: skip


def read_cells(
    connection: Connection, module: Module, key: GroupKey
) -> Mapping[CellKey, tuple[float | None, ...]]:
    """Return the values of each cell of a group, in the order of ``VALUES``, by mask and codes."""
    c, g = scope_stat_cells.c, scope_groups.c
    rows = connection.execute(
        sa.select(c.scope_mask, c.scope_codes, *(c[name] for name in VALUES))
        .select_from(scope_stat_cells.join(scope_groups, g.id == c.group_id))
        .where(g.module == module, g.pattern_key == key[0], g.action_category == key[1])
    )
    return {(row[0], tuple(row[1])): tuple(row[2:]) for row in rows}
