"""What a bot would apply to one decision now: the bot's own code on the snapshot it reads."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dashboard.queries import Snapshot
from learning.runtime.explaining import ExplainedOverride, explain
from learning.runtime.in_force import InForce
from learning.runtime.override_entry import KINDS
from learning.runtime.override_table import ConfigUnreadable, clean_scope, read_table


@dataclass(frozen=True, slots=True)
class Resolved:
    """The levers a decision gets, whose word each override had, and whether any is obeyed.

    Attributes:
        levers: By name; what is not in it stays the caller's own.
        thresholds: By signal threshold.
        overrides: Every override of the setup with its verdict.
        state: ``in force``, or why not.
        is_neutral: Whether the kill switch keeps every lever neutral.
    """

    levers: Mapping[str, float]
    thresholds: Mapping[str, float]
    overrides: tuple[ExplainedOverride, ...]
    state: str
    is_neutral: bool


def resolve(
    snapshot: Snapshot,
    pattern_key: str,
    category: str,
    scope: Mapping[str, Any],
    *,
    trade_id: str | None,
    combine: Literal["most_specific", "per_factor"],
) -> Resolved:
    """Resolve one decision.

    Args:
        snapshot: What bots read, of one moment.
        pattern_key: The setup.
        category: What is decided.
        scope: The market context.
        trade_id: Decides the holdout, where given.
        combine: Whether one override applies, or one per factor.
    """
    try:
        table = read_table(
            snapshot.configs,
            generation=snapshot.generation,
            revision=snapshot.revision,
            flags=snapshot.flags,
            combine=combine,
        )
    except ConfigUnreadable as error:
        return Resolved({}, {}, (), f"the snapshot cannot be read: {error}", True)
    now = snapshot.read_at.timestamp()
    state = InForce(table, time.monotonic(), now, overrides_on=snapshot.overrides_on)
    told = explain(pattern_key, category, scope, trade_id=trade_id, state=state)
    levers: dict[str, float] = {}
    thresholds: dict[str, float] = {}
    for kind in KINDS:
        match = table.find(kind, pattern_key, category, clean_scope(scope), now)
        levers.update(match.levers)
        thresholds.update(match.thresholds)
    return Resolved(levers, thresholds, told.overrides, told.state, not snapshot.overrides_on)
