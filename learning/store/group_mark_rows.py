"""Which trades stand behind each group, in a few bytes: what tells that a group has changed.

An event has an id of its own, and the transaction that wrote it last is kept with it by the
server. The set of both decides everything that a group's statistics rest on, whatever the order in
which transactions committed: no watermark that a late commit could slip under.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.domain.pattern_key import Module
from learning.evidence.trade_events import GroupKey
from learning.store.schema import OUTCOMES, pattern_trade_events, scope_group_changes


@dataclass(frozen=True, slots=True)
class GroupMark:
    """The trades of a group: how many, and a hash of which, as who wrote them."""

    n: int
    events_hash: int


def take_changed(connection: Connection, module: Module) -> frozenset[GroupKey]:
    """Return the groups whose events were written since the last call that was committed."""
    c = scope_group_changes.c
    taken = (
        sa.delete(scope_group_changes)
        .where(c.module == module)
        .returning(c.pattern_key, c.action_category)
    )
    return frozenset((pattern, category) for pattern, category in connection.execute(taken))


def read_marks(
    connection: Connection,
    module: Module,
    *,
    outcome: str,
    origins: Sequence[str],
    groups: Collection[GroupKey] | None = None,
) -> Mapping[GroupKey, GroupMark]:
    """Return the mark of every group that has a trade with the outcome.

    Args:
        groups: Only these; None: all.

    Raises:
        ValueError: If there is no such outcome.
    """
    if outcome not in OUTCOMES:
        raise ValueError(f"outcome must be one of {', '.join(OUTCOMES)}, got {outcome!r}")
    c = pattern_trade_events.c
    # the exclusive or of 64-bit hashes: two sets of as many events meet once in 2⁶⁴
    written_by: sa.ColumnElement[Any] = sa.literal_column("pattern_trade_events.xmin::text::bigint")
    events_hash = sa.func.bit_xor(sa.func.hashint8extended(c.id, written_by))
    query = (
        sa.select(c.pattern_key, c.action_category, sa.func.count(), events_hash)
        .where(c.module == module, c.seq == 0, c.origin.in_(list(origins)), c[outcome].is_not(None))
        .group_by(c.pattern_key, c.action_category)
    )
    if groups is not None:
        query = query.where(sa.tuple_(c.pattern_key, c.action_category).in_(sorted(groups)))
    return {
        (pattern_key, category): GroupMark(n, events_hash)
        for pattern_key, category, n, events_hash in connection.execute(query)
    }
