"""Outcomes of a group by level and week, an array a column: read whole, a row a dimension."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy import Connection

from learning.evidence.week_sums import WeekSums
from learning.store.binary_copy import copy_columns
from learning.store.schema import scope_groups, scope_levels, scope_week_sums


@dataclass(frozen=True, slots=True)
class StoredSums:
    """One group by one dimension: what ``WeekSums`` holds, a list for each of its arrays."""

    pattern_key: str
    action_category: str
    codes: list[int]
    weeks: list[int]
    n: list[int]
    total: list[float]
    total_sq: list[float]


def replace(connection: Connection, group_ids: Sequence[int], sums: Iterable[WeekSums]) -> None:
    """Replace the sums of groups.

    Args:
        connection: In a transaction.
        group_ids: Id of each group code of the sums.
        sums: Of these groups.
    """
    c = scope_week_sums.c
    connection.execute(sa.delete(scope_week_sums).where(c.group_id.in_(group_ids)))
    copy_columns(connection, scope_week_sums.name, _rows(group_ids, sums))


def _rows(
    group_ids: Sequence[int], sums: Iterable[WeekSums]
) -> Iterator[Mapping[str, npt.NDArray]]:
    for one in sums:
        yield {
            "group_id": np.array([group_ids[one.group]], dtype=np.int32),
            "dimension": np.array([one.dimension], dtype=np.int16),
            "codes": one.code[None, :],
            "weeks": one.week[None, :],
            "n": one.n[None, :],
            "total": one.total[None, :],
            "total_sq": one.total_sq[None, :],
        }


def read_sums(
    connection: Connection,
    module: str,
    dimension: str,
    *,
    outcome: str,
    origins: Sequence[str],
) -> list[StoredSums]:
    """Return the sums of every group by one dimension, in order of the groups.

    Returns:
        Empty where some group is measured on another outcome or other origins: then nothing here
        can be used.
    """
    g, s, v = scope_groups.c, scope_week_sums.c, scope_levels.c
    number = (
        sa.select(v.dimension).where(v.module == module, v.name == dimension).limit(1)
    ).scalar_subquery()
    others = sa.exists().where(
        g.module == module,
        sa.or_(
            g.outcome.is_distinct_from(outcome),
            sa.not_(g.origins.contains(list(origins))),
            sa.not_(g.origins.contained_by(list(origins))),
        ),
    )
    query = (
        sa.select(g.pattern_key, g.action_category, s.codes, s.weeks, s.n, s.total, s.total_sq)
        .join_from(scope_groups, scope_week_sums, s.group_id == g.id)
        .where(g.module == module, s.dimension == number, ~others.correlate(None))
        .order_by(g.pattern_key, g.action_category)
    )
    return [StoredSums(*row) for row in connection.execute(query)]
