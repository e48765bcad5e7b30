"""The stored scope statistics: groups, levels and cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from learning.domain.pattern_key import Module
from learning.domain.scope import ScopeValue
from learning.evidence.edge_score import ScopeStatistics
from learning.evidence.scope_cube import ScopeCube
from learning.evidence.trade_events import GroupKey
from learning.store.binary_copy import copy_columns
from learning.store.schema import scope_groups, scope_levels, scope_stat_cells


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A group as stored: its id and the hash of what its cells rest on."""

    group_id: int
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group to store."""

    key: GroupKey
    n: int
    avg_rr: float
    variance: float
    fingerprint: bytes


def read_groups(connection: Connection, module: Module) -> dict[GroupKey, StoredGroup]:
    """Return the stored groups of a module."""
    c = scope_groups.c
    rows = connection.execute(
        sa.select(c.pattern_key, c.action_category, c.id, c.fingerprint).where(c.module == module)
    )
    return {
        (pattern, category): StoredGroup(group_id, bytes(fingerprint))
        for pattern, category, group_id, fingerprint in rows
    }


def dimensions_changed(connection: Connection, module: Module, dims: Sequence[str]) -> bool:
    """Say whether the stored masks stand for another list of dimensions."""
    c = scope_levels.c
    stored = connection.execute(sa.select(c.dimension, c.name).where(c.module == module).distinct())
    return any(number >= len(dims) or dims[number] != name for number, name in stored)


def clear(connection: Connection, module: Module) -> None:
    """Delete every statistic of a module: they are rebuilt from events."""
    connection.execute(sa.delete(scope_groups).where(scope_groups.c.module == module))
    connection.execute(sa.delete(scope_levels).where(scope_levels.c.module == module))


def stored_levels(
    connection: Connection,
    module: Module,
    dims: Sequence[str],
    levels: Sequence[Sequence[ScopeValue]],
) -> tuple[tuple[ScopeValue, ...], ...]:
    """Return the values by stored code; values not seen before get the next codes.

    A code once given stands for its value for good, so that cells stay readable.
    """
    c = scope_levels.c
    known: list[list[ScopeValue]] = [[] for _ in dims]
    rows = connection.execute(
        sa.select(c.dimension, c.value).where(c.module == module).order_by(c.dimension, c.code)
    )
    for dimension, value in rows:
        known[dimension].append(value)
    fresh: list[dict[str, Any]] = []
    for number, values in enumerate(levels):
        for value in values:
            if value not in known[number]:
                fresh.append(
                    {
                        "module": module,
                        "dimension": number,
                        "code": len(known[number]),
                        "name": dims[number],
                        "value": value,
                    }
                )
                known[number].append(value)
    if fresh:
        connection.execute(sa.insert(scope_levels), fresh)
    return tuple(tuple(values) for values in known)


def replace_groups(
    connection: Connection,
    module: Module,
    groups: Sequence[GroupRow],
    cube: ScopeCube,
    statistics: ScopeStatistics,
) -> int:
    """Replace groups with all their cells; return how many cells are stored.

    Args:
        groups: Row *i* belongs to group code *i* of the cube.
    """
    ids = [_replace_group(connection, module, group) for group in groups]
    group_id = np.array(ids, dtype=np.int32)[cube.group]
    parts = [_cells(group_id, cube, statistics, rows) for rows in _by_size(cube)]
    return copy_columns(connection, scope_stat_cells.name, parts)


def _replace_group(connection: Connection, module: Module, group: GroupRow) -> int:
    values = {
        "n": group.n,
        "avg_rr": group.avg_rr,
        "variance": group.variance,
        "fingerprint": group.fingerprint,
        "updated_at": sa.func.now(),
    }
    pattern_key, action_category = group.key
    group_id: int = connection.execute(
        insert(scope_groups)
        .values(module=module, pattern_key=pattern_key, action_category=action_category, **values)
        .on_conflict_do_update(
            index_elements=["module", "pattern_key", "action_category"], set_=values
        )
        .returning(scope_groups.c.id)
    ).scalar_one()
    connection.execute(sa.delete(scope_stat_cells).where(scope_stat_cells.c.group_id == group_id))
    return group_id


def _by_size(cube: ScopeCube) -> list[npt.NDArray[np.intp]]:
    size = cube.size()
    return [np.flatnonzero(size == k) for k in np.unique(size)]


def _cells(
    group_id: npt.NDArray[np.int32],
    cube: ScopeCube,
    statistics: ScopeStatistics,
    rows: npt.NDArray[np.intp],
) -> dict[str, npt.NDArray]:
    codes = cube.scope_codes[rows]
    k = int(cube.size()[rows[0]])
    fixed = codes[codes >= 0].reshape(len(rows), k)  # row by row, so in dimension order
    return {
        "group_id": group_id[rows],
        "scope_mask": cube.mask[rows],
        "scope_codes": fixed.astype(np.int16),
        "n": statistics.n[rows],
        "sum_rr": statistics.sum_rr[rows],
        "sum_rr_sq": statistics.sum_rr_sq[rows],
        "variance": statistics.variance[rows],
        "rr_baseline": statistics.rr_baseline[rows],
        "edge_raw": statistics.edge_raw[rows],
        "time_efficiency": statistics.time_efficiency[rows].astype(np.float32),
        "field_coherence": statistics.field_coherence[rows].astype(np.float32),
        "recurrence_score": statistics.recurrence_score[rows].astype(np.float32),
        "segments_tested": statistics.segments_tested[rows].astype(np.int16),
        "segments_positive": statistics.segments_positive[rows].astype(np.int16),
    }


def remove_groups(connection: Connection, module: Module, keys: Sequence[GroupKey]) -> None:
    """Delete groups that no trade belongs to any more, with their cells."""
    c = scope_groups.c
    for pattern_key, action_category in keys:
        connection.execute(
            sa.delete(scope_groups).where(
                c.module == module,
                c.pattern_key == pattern_key,
                c.action_category == action_category,
            )
        )


def count_cells(connection: Connection, module: Module) -> int:
    """Return how many scopes of a module are stored."""
    counted = (
        sa.select(sa.func.count())
        .select_from(scope_stat_cells.join(scope_groups))
        .where(scope_groups.c.module == module)
    )
    return int(connection.execute(counted).scalar_one())
