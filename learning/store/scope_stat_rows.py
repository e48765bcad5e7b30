"""The stored scope statistics: groups, levels and cells.

Cells lie in packs: up to 48 cells of one group and mask in a row of ``scope_stat_packs``, one
array per statistic. The views ``scope_stat_cells`` and ``pattern_scope_stats`` show them a row a
cell; mean, difference to the baseline, scope values, their hash and the ``stats`` object are
made as they are read. A pack fits into a page, has one entry in the one index and is found by
group and mask, which is how screens ask.

Measured at 5.2 million scopes of a million trades: 86 bytes a scope with the index, where a row a
scope with its key takes 226. From trades to stored scopes takes 25 s of CPU, of which the server's
part is 8 s; a plain COPY of the finished rows takes 28 s (``./run bench cube``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from learning.store.schema import scope_groups, scope_levels, scope_stat_packs

#: Cells of a pack: with those of the fullest scopes it stays below half a page.
PACK_CELLS = 48


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A group as stored: its id, its trades and the hash of what its cells rest on."""

    group_id: int
    n: int
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group to store."""

    key: GroupKey
    n: int
    avg_rr: float
    variance: float
    fingerprint: bytes
    outcome: str | None = None
    origins: tuple[str, ...] = ()


def read_groups(connection: Connection, module: Module) -> dict[GroupKey, StoredGroup]:
    """Return the stored groups of a module."""
    c = scope_groups.c
    rows = connection.execute(
        sa.select(c.pattern_key, c.action_category, c.id, c.n, c.fingerprint).where(
            c.module == module
        )
    )
    return {
        (pattern, category): StoredGroup(group_id, n, bytes(fingerprint))
        for pattern, category, group_id, n, fingerprint in rows
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
) -> list[int]:
    """Replace groups with all their cells; return the ids of the groups.

    Args:
        groups: Row *i* belongs to group code *i* of the cube.
    """
    ids = [_put_group(connection, module, group) for group in groups]
    connection.execute(sa.delete(scope_stat_packs).where(scope_stat_packs.c.group_id.in_(ids)))
    packs = _packs(cube)
    columns = _cell_columns(statistics)
    group_id = np.array(ids, dtype=np.int32)
    parts = (_pack_columns(packs, alike, cube, columns, group_id) for alike in _alike(packs))
    copy_columns(connection, scope_stat_packs.name, parts)
    return ids


def _put_group(connection: Connection, module: Module, group: GroupRow) -> int:
    values = {
        "n": group.n,
        "avg_rr": group.avg_rr,
        "variance": group.variance,
        "fingerprint": group.fingerprint,
        "updated_at": sa.func.now(),
        "outcome": group.outcome,
        "origins": list(group.origins),
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
    return group_id


@dataclass(frozen=True, slots=True, eq=False)
class _Packs:
    """Which cells lie together.

    Attributes:
        cells: Shape (m,), rows of the cube, sorted by group and mask.
        first: Shape (p,), where in ``cells`` each pack begins.
        length: Shape (p,), cells of each pack.
        group: Shape (p,), code of the group of each pack.
        mask: Shape (p,), likewise.
        part: Shape (p,), number of each pack within its group and mask.
    """

    cells: npt.NDArray[np.intp]
    first: npt.NDArray[np.intp]
    length: npt.NDArray[np.intp]
    group: npt.NDArray[np.int32]
    mask: npt.NDArray[np.int16]
    part: npt.NDArray[np.int32]


def _packs(cube: ScopeCube) -> _Packs:
    """Cut the cells of each group and mask into packs, in the order in which the cube has them."""
    cells = _by_mask(cube)
    group, mask = cube.group[cells], cube.mask[cells]
    begins = np.ones(len(cells), dtype=np.bool_)
    begins[1:] = (group[1:] != group[:-1]) | (mask[1:] != mask[:-1])
    run_first = np.flatnonzero(begins)
    run_length = np.diff(np.append(run_first, len(cells)))
    n_parts = -(-run_length // PACK_CELLS)
    run = np.repeat(np.arange(len(run_first)), n_parts)
    part = np.arange(len(run)) - np.repeat(np.cumsum(n_parts) - n_parts, n_parts)
    first = run_first[run] + part * PACK_CELLS
    length = np.minimum(PACK_CELLS, run_length[run] - part * PACK_CELLS)
    return _Packs(cells, first, length, group[first], mask[first], part.astype(np.int32))


def _by_mask(cube: ScopeCube) -> npt.NDArray[np.intp]:
    """Rows of the cube by group, then by mask; sorting 16 bits takes no comparisons."""
    cells = np.empty(len(cube), dtype=np.intp)
    for low, high in zip(cube.group_start[:-1], cube.group_start[1:], strict=True):
        cells[low:high] = low + np.argsort(cube.mask[low:high], kind="stable")
    return cells


def _alike(packs: _Packs) -> Iterator[npt.NDArray[np.intp]]:
    """Packs of as many cells with as many dimensions: their rows are laid out alike."""
    shape = np.bitwise_count(packs.mask) * np.int64(PACK_CELLS + 1) + packs.length
    order = np.argsort(shape, kind="stable")
    if not len(order):
        return  # no scope has enough trades
    yield from np.split(order, np.flatnonzero(np.diff(shape[order])) + 1)


def _cell_columns(statistics: ScopeStatistics) -> dict[str, npt.NDArray]:
    """The columns of the cells as they are stored."""
    real = ("time_efficiency", "field_coherence", "recurrence_score")
    small = ("segments_tested", "segments_positive")
    double = ("sum_rr", "sum_rr_sq", "variance", "rr_baseline", "edge_raw")
    return {
        "n": statistics.n,
        **{name: getattr(statistics, name) for name in double},
        **{name: getattr(statistics, name).astype(np.float32) for name in real},
        **{name: getattr(statistics, name).astype(np.int16) for name in small},
    }


def _pack_columns(
    packs: _Packs,
    alike: npt.NDArray[np.intp],
    cube: ScopeCube,
    columns: Mapping[str, npt.NDArray],
    group_id: npt.NDArray[np.int32],
) -> dict[str, npt.NDArray]:
    """Rows of packs that are laid out alike."""
    place = packs.first[alike][:, None] + np.arange(packs.length[alike[0]])
    cells = packs.cells[place]
    codes = cube.layout.unpack(cube.key[cells.ravel()])
    return {
        "group_id": group_id[packs.group[alike]],
        "scope_mask": packs.mask[alike],
        "part": packs.part[alike],
        "scope_codes": codes[codes >= 0].reshape(len(alike), -1),  # in dimension order
        **{name: column[cells] for name, column in columns.items()},
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
        sa.select(sa.func.coalesce(sa.func.sum(sa.func.cardinality(scope_stat_packs.c.n)), 0))
        .select_from(scope_stat_packs.join(scope_groups))
        .where(scope_groups.c.module == module)
    )
    return int(connection.execute(counted).scalar_one())
