"""Strands as a bot delivers them, with no more rights than a bot has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Delivery:
    """A strand ready for the inbox: ``content`` is JSON text, or None where ``raw`` is kept."""

    strand_key: UUID
    kind: str
    module: str
    bot: str
    origin: str
    position_id: str | None
    trade_id: str | None
    content: str | None
    regime_context: str | None
    raw: bytes | None


_INSERT = sa.text(
    "INSERT INTO ad_strands (strand_key, kind, module, bot, origin, position_id, trade_id, "
    "content, regime_context, raw) VALUES (:strand_key, :kind, :module, :bot, :origin, "
    ":position_id, :trade_id, CAST(:content AS jsonb), CAST(:regime_context AS jsonb), :raw)"
)
_ACTIONS = sa.text(
    "SELECT content FROM actions_of_trade(:bot, :trade_id) WHERE origin = :origin AND (position_id "
    "IS NULL OR CAST(:position_id AS text) IS NULL OR position_id = :position_id)"
)


def deliver(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    """Insert strands into the inbox; one that was delivered before is skipped there."""
    if deliveries:
        connection.execute(
            _INSERT,
            [
                {name: getattr(delivery, name) for name in Delivery.__slots__}
                for delivery in deliveries
            ],
        )


def actions_of_trade(connection: Connection, close: Delivery) -> list[Mapping[str, Any]]:
    """Return the contents of the action strands of what a close closes, in order of arrival."""
    found = connection.execute(
        _ACTIONS,
        {name: getattr(close, name) for name in ("bot", "origin", "trade_id", "position_id")},
    )
    return [content for content in found.scalars() if isinstance(content, dict)]
