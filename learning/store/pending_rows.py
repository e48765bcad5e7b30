"""Whether anything waits in the inbox: asked every second, so it reads few rows."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.events.strands import CLOSE_KIND
from learning.store.schema import ad_strands, strand_ledger


def has_pending_close(connection: Connection, low_water: int) -> bool:
    """Say whether a close with an id above ``low_water`` is not decided yet."""
    decided = sa.exists().where(
        strand_ledger.c.strand_id == ad_strands.c.id, strand_ledger.c.strand_id > low_water
    )
    waiting = sa.exists().where(
        ad_strands.c.id > low_water, ad_strands.c.kind == CLOSE_KIND, ~decided
    )
    return bool(connection.scalar(sa.select(waiting)))
