"""Walking an index finds what reading every row finds."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from jobs.ingest_strands import ingest_batch
from learning.settings import Settings
from learning.store import setup_rows, strand_rows
from learning.store.schema import pattern_trade_events
from tests.strand_builders import START, action, close


def store(connection: Connection, n: int) -> None:
    """Trades of three bots in four patterns."""
    strands = []
    for i in range(n):
        at = (START + timedelta(days=i)).isoformat()
        pattern = ("pm.b.S1.x", "pm.a.S1.x", "pm.b.S1.z", "pm.c.S2.y")[i % 4]
        bot = f"bot-{'cab'[i % 3]}"
        strands.append(action(f"t{i}", hours=24 * i, pattern=pattern, bot=bot))
        strands.append(close(f"t{i}", r_multiple=1.0, opened_at=at, closed_at=at, bot=bot))
    strand_rows.append(connection, strands)
    ingest_batch(connection, strand_rows.read_pending(connection, 1000), Settings())


def test_bots_and_setups_are_those_of_a_full_scan(connection: Connection) -> None:
    store(connection, 24)
    e = pattern_trade_events.c
    every = sa.select(e.module, e.pattern_key, e.action_category).distinct()
    found = setup_rows.list_setups(connection)
    assert len(found) == len(set(found)) == 4
    assert set(found) == {tuple(row) for row in connection.execute(every)}
    assert setup_rows.list_bots(connection) == ["bot-a", "bot-b", "bot-c"]


def test_without_events_there_are_none(connection: Connection) -> None:
    assert setup_rows.list_setups(connection) == []
    assert setup_rows.list_bots(connection) == []
