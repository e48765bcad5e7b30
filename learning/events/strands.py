"""What arrived: strands as writers make them, typed, or malformed with a reason.

Reading decides by the strand alone, never by what arrived before it, so that the order of
arrival cannot change the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from learning.domain.pattern_key import MODULES, ActionCategory, Module
from learning.domain.scope import ScopeValue
from learning.errors import MalformedStrand
from learning.events.completed_trades import (
    CompletedAction,
    Dimensions,
    TradeSummary,
    read_category,
    read_completed_trades,
    read_pattern_key,
    read_summary,
    scope_at,
)
from learning.events.fields import (
    broken,
    checked_text,
    controls_at,
    instant_at,
    json_object,
    mapping_at,
    shown,
    text_at,
)

ORIGINS: Final = ("live", "dry_run", "backtest", "simulated")
ACTION_KINDS: Final[Mapping[str, Module]] = {"pm_action": "pm", "dm_action": "dm"}
CLOSE_KIND: Final = "position_closed"
BACKTEST_RUN: Final = "backtest run "
"""How the position begins of what a run of a backtest recorded: each run is one of its own."""


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


@dataclass(frozen=True, slots=True)
class StoredStrand:
    """A row of ``ad_strands``, its JSON still as text: decoding may fail, one strand at a time.

    ``conflicts_with`` names the strand that was delivered before under this strand's own key
    with other content. ``content`` is None where what was sent is no JSON at all.
    """

    id: int
    strand_key: UUID
    kind: str
    module: str
    bot: str
    origin: str
    position_id: str | None
    trade_id: str | None
    content: str | None
    regime_context: str | None = None
    conflicts_with: UUID | None = None


@dataclass(frozen=True, slots=True)
class ActionStrand:
    """An action of a bot, checked; ``scope`` holds the dimensions that are present."""

    strand_id: int
    strand_key: UUID
    bot: str
    origin: str
    module: Module
    trade_id: str
    position_id: str | None
    pattern_key: str
    action_category: ActionCategory
    decision_type: str | None
    scope: Mapping[str, ScopeValue]
    controls: Mapping[str, Any]
    acted_at: datetime


@dataclass(frozen=True, slots=True)
class ClosedTrade:
    """A closed position, checked: its outcome, and what it says itself of its actions."""

    strand_id: int
    strand_key: UUID
    bot: str
    origin: str
    trade_id: str
    position_id: str | None
    summary: TradeSummary
    actions: tuple[CompletedAction, ...]


@dataclass(frozen=True, slots=True)
class Ignored:
    """A strand that is not for the learning system."""

    reason: str


def is_run(origin: str, position_id: str | None) -> bool:
    """Say whether a position names the run of a backtest that recorded it.

    Examples:
        >>> is_run("backtest", "backtest run 7"), is_run("live", "backtest run 7")
        (True, False)
        >>> is_run("backtest", "P-1"), is_run("backtest", None)
        (False, False)
    """
    return origin == "backtest" and position_id is not None and position_id.startswith(BACKTEST_RUN)


def parse_strand(
    stored: StoredStrand, *, dims: Dimensions, closed_by: datetime | None = None
) -> ActionStrand | ClosedTrade | Ignored:
    """Turn a stored strand into what it means.

    Args:
        stored: As read from the inbox; its content may be anything.
        dims: Scope dimensions of each module; those must be in order, others may be.
        closed_by: Closes later than this are malformed: they have not happened. None: any may be.

    Raises:
        MalformedStrand: If it breaks a rule; the message names the field, the rule, the value.
            No other exception, whatever the content.
    """
    if stored.kind not in ACTION_KINDS and stored.kind != CLOSE_KIND:
        return Ignored(f"kind {shown(stored.kind)} is none of the learning system's")
    if stored.conflicts_with is not None:
        raise MalformedStrand(
            f"strand_key {stored.conflicts_with} was delivered before with other content"
        )
    if stored.content is None:
        raise MalformedStrand("content must be JSON")
    _check_header(stored)
    content = json_object(stored.content, where="content")
    trade_id = _trade_id(stored, content)
    if stored.kind == CLOSE_KIND:
        closed = _closed_trade(stored, trade_id, content, dims)
        _check_closed(closed.summary, closed_by)
        return closed
    return _action(stored, trade_id, content, dims)


def _check_closed(summary: TradeSummary, closed_by: datetime | None) -> None:
    if closed_by is not None and summary.closed_at > closed_by:
        raise broken("trade_summary.closed_at", "no time in the future", str(summary.closed_at))


def _check_header(stored: StoredStrand) -> None:
    checked_text(stored.bot, "bot")
    if stored.origin not in ORIGINS:
        raise broken("origin", f"one of {', '.join(ORIGINS)}", stored.origin)
    if stored.module not in MODULES:
        raise broken("module", f"one of {', '.join(MODULES)}", stored.module)
    expected = ACTION_KINDS.get(stored.kind, stored.module)
    if stored.module != expected:
        raise broken(f"module of a {stored.kind}", repr(expected), stored.module)
    if stored.position_id is not None:
        checked_text(stored.position_id, "position_id")


def _trade_id(stored: StoredStrand, content: Mapping[str, Any]) -> str:
    if stored.trade_id is None:
        raise MalformedStrand(f"trade_id of a {stored.kind} must be set")
    said = text_at(content, "trade_id")
    if said is not None and said != stored.trade_id:
        raise broken("trade_id in the content", f"the strand's, {shown(stored.trade_id)}", said)
    return checked_text(stored.trade_id, "trade_id")


def _action(
    stored: StoredStrand, trade_id: str, content: Mapping[str, Any], dims: Dimensions
) -> ActionStrand:
    pattern_key = read_pattern_key(content.get("pattern_key"), "pattern_key")
    module = ACTION_KINDS[stored.kind]
    if not pattern_key.startswith(module + "."):
        raise broken(f"pattern_key of a {stored.kind}", f"one of {module}", pattern_key)
    acted_at = instant_at(content, "ts")
    if acted_at is None:
        raise MalformedStrand("ts must be set")
    category, decision = read_category(content, "")
    return ActionStrand(
        strand_id=stored.id,
        strand_key=stored.strand_key,
        bot=stored.bot,
        origin=stored.origin,
        module=module,
        trade_id=trade_id,
        position_id=stored.position_id,
        pattern_key=pattern_key,
        action_category=category,
        decision_type=decision,
        scope=scope_at(mapping_at(content, "scope"), dims[module], "scope"),
        controls=controls_at(content),
        acted_at=acted_at,
    )


def _closed_trade(
    stored: StoredStrand, trade_id: str, content: Mapping[str, Any], dims: Dimensions
) -> ClosedTrade:
    summary = read_summary(mapping_at(content, "trade_summary"))
    regime: Mapping[str, Any] = {}
    if stored.regime_context not in (None, "null"):
        regime = json_object(str(stored.regime_context), where="regime_context")
    return ClosedTrade(
        strand_id=stored.id,
        strand_key=stored.strand_key,
        bot=stored.bot,
        origin=stored.origin,
        trade_id=trade_id,
        position_id=stored.position_id,
        summary=summary,
        actions=read_completed_trades(content, regime, summary, dims=dims),
    )
