"""Why a scope gets what it gets: every override of its pattern, with its verdict."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from learning.domain.pattern_key import action_category, normalise_pattern_key
from learning.domain.scope import ScopeValue, scope_text
from learning.runtime.holdout import holdout_number
from learning.runtime.in_force import InForce, in_force
from learning.runtime.override_entry import KINDS, NEVER_HELD_OUT, Override, OverrideKind
from learning.runtime.override_index import Match
from learning.runtime.override_table import OverrideTable, Refusal, clean_scope, holds_in

Verdict = Literal["wins", "held out", "beaten", "no match", "expired", "disabled by flag"]


@dataclass(frozen=True, slots=True)
class ExplainedOverride:
    """One override and what became of it; ``reason`` is a sentence for people."""

    kind: OverrideKind
    override_id: int
    lesson_id: int
    scope: Mapping[str, ScopeValue]
    levers: Mapping[str, float]
    thresholds: Mapping[str, float]
    verdict: Verdict
    reason: str
    clamped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that has a say in one scope.

    ``state`` tells whether the table as a whole is obeyed; ``refusals`` are the entries of the
    whole config that were not usable, for any pattern.
    """

    state: str
    overrides: tuple[ExplainedOverride, ...]
    refusals: tuple[Refusal, ...]


def explain(
    pattern_key: str,
    category: str,
    scope: Mapping[str, Any],
    *,
    trade_id: str | None = None,
    state: InForce | None = None,
) -> Explanation:
    """Say which overrides match a scope, which one wins, and why the others do not.

    It scans: for people and tests, not for the order path.

    Args:
        pattern_key: The setup, in either spelling.
        category: An action category or a decision type of one.
        scope: The market context.
        trade_id: Where given, hold-out is decided for that trade.
        state: What to explain; by default what this process obeys.

    Raises:
        ValueError: If the pattern key or the category is none.

    Examples:
        >>> explain("pm.uptrend.S1.buy_flag", "entry", {"bucket": "micro"}, state=InForce()).state
        'no override table was installed: every lever is neutral'
    """
    state = state or in_force()
    key, known = normalise_pattern_key(pattern_key), action_category(category)
    if state.table is None:
        return Explanation(_state_text(state), (), ())
    now = state.now(time.monotonic())
    clean = clean_scope(scope)
    rows: list[ExplainedOverride] = []
    for kind in KINDS:
        match = state.table.find(kind, key, known, clean, now)
        for override in state.table.asked_of(kind, key, known):
            verdict, reason = _verdict(state.table, override, clean, match, now, trade_id)
            rows.append(_explained(override, verdict, reason))
    return Explanation(_state_text(state), tuple(rows), state.table.refusals)


def _state_text(state: InForce) -> str:
    if state.table is None:
        return "no override table was installed: every lever is neutral"
    if not state.overrides_on:
        return "the kill switch is off: every lever is neutral"
    doubt = state.why_doubtful(time.monotonic())
    if doubt is not None:
        return f"{doubt}: every lever is at its safe value, which adds no risk"
    return "in force"


def _verdict(
    table: OverrideTable,
    override: Override,
    scope: Mapping[str, Any],
    match: Match,
    now: float,
    trade_id: str | None,
) -> tuple[Verdict, str]:
    flag = table.switched_off_by(override)
    if not holds_in(override, scope):
        return "no match", f"asks for {scope_text(override.scope)}"
    if flag is not None:
        return "disabled by flag", f"{flag} is off"
    if override.expires_at <= now:
        return "expired", f"expired {(now - override.expires_at) / 3600:.1f} hours ago"
    if override not in match.chosen:
        return "beaten", f"{_names(match)} fixes more dimensions or has the stronger lesson"
    if trade_id is not None and not NEVER_HELD_OUT.issuperset(override.levers):
        u = holdout_number(trade_id, override.factor, override.holdout_salt)
        if u < override.holdout_share:
            return "held out", f"u = {u:.3f} lies below the share {override.holdout_share:g}"
    beside = " beside the scope override" if override.is_level and len(match.chosen) > 1 else ""
    return "wins", f"applies{beside}"


def _names(match: Match) -> str:
    return "override " + ", ".join(str(override.override_id) for override in match.chosen)


def _explained(override: Override, verdict: Verdict, reason: str) -> ExplainedOverride:
    clamped = f"; clamped to its bounds: {', '.join(override.clamped)}" if override.clamped else ""
    return ExplainedOverride(
        kind=override.kind,
        override_id=override.override_id,
        lesson_id=override.lesson.lesson_id,
        scope=override.scope,
        levers=override.levers,
        thresholds=override.thresholds,
        verdict=verdict,
        reason=reason + clamped,
        clamped=override.clamped,
    )
