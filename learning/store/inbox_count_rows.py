"""The inbox counted by blocks of ids: stored where nothing was written since, else counted.

As with the days of ``day_count_rows``, a block is counted anew, never added to, and a reader sees
what the inbox holds at every moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import ARRAY

from learning.store.schema import inbox_block_changes, inbox_block_counts

_ALONE = sa.text("SELECT pg_advisory_xact_lock(hashtext('edgekeeper_inbox_blocks'))")


@dataclass(frozen=True, slots=True)
class Accounts:
    """How many strands there are and what became of them."""

    strands: int
    ingested: int
    quarantined: int
    ignored: int
    pending: int

    @property
    def balanced(self) -> bool:
        """Whether every strand is accounted for, once."""
        return self.strands == self.ingested + self.quarantined + self.ignored + self.pending


def store_changed(connection: Connection) -> int:
    """Count the blocks anew that were written to since they were counted; return how many.

    Args:
        connection: In a transaction that reads what others commit meanwhile: what is written
            after the blocks were taken is noted again.
    """
    connection.execute(_ALONE)
    noted = sa.delete(inbox_block_changes).returning(inbox_block_changes.c.block)
    blocks = sorted(set(connection.scalars(noted)))
    if blocks:
        c = inbox_block_counts.c
        connection.execute(sa.delete(inbox_block_counts).where(c.block == sa.any_(_ids(blocks))))
        anew = sa.insert(inbox_block_counts).from_select(list(c.keys()), _counted(blocks))
        connection.execute(anew)
    return len(blocks)


def accounts_now(connection: Connection) -> Accounts:
    """Return the accounts of the inbox, by the counts of its blocks."""
    now = _current(changed_blocks(connection))
    names = ("strands", "ingested", "quarantined", "ignored")
    sums = (sa.func.coalesce(sa.func.sum(now.c[name]), 0).label(name) for name in names)
    n = {name: int(n) for name, n in connection.execute(sa.select(*sums)).mappings().one().items()}
    pending = n["strands"] - n["ingested"] - n["quarantined"] - n["ignored"]
    return Accounts(**n, pending=pending)


def changed_blocks(connection: Connection) -> list[int]:
    """Return the blocks whose stored counts may not be what the inbox holds."""
    return sorted(connection.scalars(sa.select(inbox_block_changes.c.block).distinct()))


def count_departures(connection: Connection) -> int:
    """Count the stored blocks that the inbox does not give."""
    waiting = changed_blocks(connection)
    stored = sa.select(inbox_block_counts)
    if waiting:
        stored = stored.where(inbox_block_counts.c.block != sa.all_(_ids(waiting)))
    rows = {tuple(row) for row in connection.execute(stored)}
    found = {tuple(row) for row in connection.execute(_counted([row[0] for row in rows]))}
    return len({row[0] for row in rows ^ found})


def _current(changed: Sequence[int]) -> sa.Subquery:
    stored = sa.select(inbox_block_counts)
    if not changed:
        return stored.subquery("blocks")
    kept = stored.where(inbox_block_counts.c.block != sa.all_(_ids(changed)))
    return kept.union_all(_counted(changed)).subquery("blocks")


def _counted(blocks: Sequence[int]) -> sa.Select:
    given = sa.bindparam("blocks", list(blocks), ARRAY(sa.BigInteger))
    columns = (sa.column(one.name, one.type) for one in inbox_block_counts.c)
    return sa.select(sa.text(_statement()).bindparams(given).columns(*columns).subquery("fresh"))


def _ids(blocks: Sequence[int]) -> sa.BindParameter[Sequence[int]]:
    return sa.literal(list(blocks), ARRAY(sa.BigInteger))


@cache
def _statement() -> str:
    return (Path(__file__).parent / "sql" / "count_inbox_blocks.sql").read_text()
