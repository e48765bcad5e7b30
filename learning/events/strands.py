"""What arrived: strands as writers make them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Strand:
    """One message to the inbox ``ad_strands``.

    The writer makes ``strand_key``, so that a retry is the same strand. ``kind`` is
    ``pm_action``, ``dm_action`` or ``position_closed``; ``bot`` the account or instance;
    ``origin`` one of live, dry_run, backtest, simulated. ``content`` holds JSON values only.
    """

    strand_key: UUID
    kind: str
    module: str
    bot: str
    origin: str
    content: Mapping[str, Any]
    position_id: str | None = None
    trade_id: str | None = None
    regime_context: Mapping[str, Any] | None = None
