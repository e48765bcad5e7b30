"""What each bot process last read and obeys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from learning.store.schema import bot_heartbeats


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One bot process: the revision it obeys, and the kill switch as it last obeyed it."""

    bot: str
    process_id: str
    generation: int
    revision: int
    switch_revision: int
    overrides_on: bool
    telemetry_dropped: int = 0


def beat(connection: Connection, heartbeat: Heartbeat) -> None:
    """Say that a bot process has just read what it obeys, by the database's clock."""
    values = {**asdict(heartbeat), "last_read_at": sa.func.clock_timestamp()}
    connection.execute(
        insert(bot_heartbeats)
        .values(values)
        .on_conflict_do_update(index_elements=["bot", "process_id"], set_=values)
    )


def read_all(connection: Connection) -> Mapping[tuple[str, str], tuple[Heartbeat, datetime]]:
    """Return the last heartbeat of every bot process, with its moment."""
    c = bot_heartbeats.c
    query = sa.select(
        c.bot, c.process_id, c.generation, c.revision, c.switch_revision, c.overrides_on,
        c.telemetry_dropped, c.last_read_at,
    )  # fmt: skip
    return {
        (row.bot, row.process_id): (Heartbeat(*row[:-1]), row.last_read_at)
        for row in connection.execute(query)
    }
