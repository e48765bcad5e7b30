"""What a closed position says itself: its summary, and the actions it lists.

Older bots list actions without pattern and category; those are reconstructed from
``action_context`` and marked so. An action of which neither is known cannot be credited with
anything and is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Literal

from learning.domain.pattern_key import (
    ActionCategory,
    Module,
    action_category,
    normalise_pattern_key,
)
from learning.domain.regime import RegimeContext, build_scope
from learning.domain.scope import ScopeValue, scope_value
from learning.errors import MalformedStrand
from learning.events.fields import (
    MAX_TEXT,
    broken,
    checked_text,
    controls_at,
    from_rule,
    instant_at,
    list_at,
    mapping_at,
    number_at,
    text_at,
)

Dimensions = Mapping[Module, tuple[str, ...]]
"""The configured scope dimensions of each module, in order."""

RR_LIMIT: Final = 1e6  # beyond this an outcome is an input error, not a trade
MAX_ACTIONS: Final = 1000  # of one trade
MAX_OTHERS: Final = 15  # dimensions of a scope that are not configured
SIDES: Final = ("long", "short")
_DIMENSION: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_OUTCOMES: Final = ("r_multiple", "r_multiple_net", "rr_path", "return_pct", "return_net_pct")


@dataclass(frozen=True, slots=True)
class TradeSummary:
    """How a trade went, as far as its source knows: times in UTC, ``_pct`` in percent,
    ``_r`` and ``_rr`` in R, prices in quote currency, amounts in ``currency``."""

    opened_at: datetime
    closed_at: datetime
    symbol: str | None = None
    side: str | None = None
    entry_price: float | None = None
    exit_price: float | None = None
    initial_stop: float | None = None
    return_pct: float | None = None
    return_net_pct: float | None = None
    max_drawdown_pct: float | None = None
    r_multiple: float | None = None
    r_multiple_net: float | None = None
    rr_path: float | None = None
    mfe_r: float | None = None
    mae_r: float | None = None
    payback_hours: float | None = None
    missed_entry_rr: float | None = None
    missed_exit_rr: float | None = None
    risk_amount: float | None = None
    pnl_amount: float | None = None
    currency: str | None = None
    exit_reason: str | None = None


@dataclass(frozen=True, slots=True)
class CompletedAction:
    """An action as its closed trade lists it."""

    pattern_key: str
    action_category: ActionCategory
    scope: Mapping[str, ScopeValue]
    controls: Mapping[str, Any]
    acted_at: datetime
    provenance: Literal["own_fields", "reconstructed"]


def read_summary(summary: Mapping[str, Any]) -> TradeSummary:
    """Read a trade summary; optional are all but the two times and one outcome.

    Raises:
        MalformedStrand: If a field breaks its rule.
    """
    where = "trade_summary."
    opened_at = instant_at(summary, "opened_at", where)
    closed_at = instant_at(summary, "closed_at", where)
    if opened_at is None or closed_at is None:
        missing = "opened_at" if opened_at is None else "closed_at"
        raise MalformedStrand(f"{where}{missing} must be set")
    if closed_at < opened_at:
        raise broken(f"{where}closed_at", f"at or after {opened_at}", str(closed_at))
    if all(summary.get(name) is None for name in _OUTCOMES):
        raise MalformedStrand(f"trade_summary must hold one of {', '.join(_OUTCOMES)}")
    side = summary.get("side")
    if side is not None and side not in SIDES:
        raise broken(f"{where}side", f"one of {', '.join(SIDES)}", side)
    return TradeSummary(
        opened_at=opened_at,
        closed_at=closed_at,
        symbol=text_at(summary, "symbol", where),
        side=side,
        currency=text_at(summary, "currency", where),
        missed_entry_rr=_missed(summary, "could_enter_better"),
        missed_exit_rr=_missed(summary, "could_exit_better"),
        exit_reason=_free_text(summary.get("exit_reason")),
        **_summary_numbers(summary, where),
    )


def _summary_numbers(summary: Mapping[str, Any], where: str) -> dict[str, float | None]:
    plain = ("return_pct", "return_net_pct", "mfe_r", "mae_r", "pnl_amount", "rr_path")
    numbers = {name: number_at(summary, name, where) for name in plain}
    for name in ("entry_price", "exit_price", "initial_stop", "max_drawdown_pct", "payback_hours",
                 "risk_amount"):  # fmt: skip
        numbers[name] = number_at(summary, name, where, low=0.0)
    for name in ("r_multiple", "r_multiple_net"):
        numbers[name] = number_at(summary, name, where, low=-RR_LIMIT, high=RR_LIMIT)
    return numbers


def _free_text(value: object) -> str | None:
    """What a source wrote in its own words: never a reason to refuse a trade."""
    return value[:MAX_TEXT] if isinstance(value, str) else None


def _missed(summary: Mapping[str, Any], name: str) -> float | None:
    found = mapping_at(summary, name, "trade_summary.")
    return number_at(found, "missed_rr", f"trade_summary.{name}.", low=-RR_LIMIT, high=RR_LIMIT)


def read_completed_trades(
    content: Mapping[str, Any],
    regime: Mapping[str, Any],
    summary: TradeSummary,
    *,
    dims: Dimensions,
) -> tuple[CompletedAction, ...]:
    """Read the actions a closed trade lists, in its order.

    What an entry does not say is completed from its ``action_context``, then from the trade's
    ``entry_context``; an entry that names pattern and category itself has ``own_fields``. A trade
    that lists nothing but names the pattern it was entered on has that one entry, reconstructed.

    Args:
        content: Of the strand ``position_closed``.
        regime: Its regime context: phases and the rank of the buckets.
        summary: Its times stand in for the times of actions without any.
        dims: Scope dimensions of each module.

    Raises:
        MalformedStrand: If a field breaks its rule.
    """
    entered = mapping_at(content, "entry_context")
    entries = list_at(content, "completed_trades")
    if len(entries) > MAX_ACTIONS:
        raise MalformedStrand(
            f"completed_trades must have at most {MAX_ACTIONS} entries, got {len(entries)}"
        )
    if not entries and entered.get("pattern_key") is not None:
        entries = [{"action_context": {"action_category": "entry"}}]
    found = []
    for i, entry in enumerate(entries):
        where = f"completed_trades[{i}]"
        if not isinstance(entry, dict):
            raise broken(where, "an object", entry)
        action = _completed_action(entry, entered, regime, summary, dims, where + ".")
        if action is not None:
            found.append(action)
    return tuple(found)


def _completed_action(
    entry: Mapping[str, Any],
    entered: Mapping[str, Any],
    regime: Mapping[str, Any],
    summary: TradeSummary,
    dims: Dimensions,
    where: str,
) -> CompletedAction | None:
    context = mapping_at(entry, "action_context", where)
    key = _first(entry, context, entered, name="pattern_key")
    named = next((source for source in (entry, context) if _names_category(source)), None)
    if key is None or named is None:
        return None
    own = entry.get("pattern_key") is not None and named is entry
    pattern_key = read_pattern_key(key, where + "pattern_key")
    category, _ = read_category(named, where)
    module: Module = "pm" if pattern_key.startswith("pm.") else "dm"
    acted_at = instant_at(entry, "ts", where) or instant_at(
        context, "ts", where + "action_context."
    )
    return CompletedAction(
        pattern_key=pattern_key,
        action_category=category,
        scope=_scope(entry, context, entered, regime, dims=dims[module], where=where),
        controls=controls_at(entry, where) or controls_at(context, where + "action_context."),
        acted_at=acted_at or (summary.closed_at if category == "exit" else summary.opened_at),
        provenance="own_fields" if own else "reconstructed",
    )


def _first(*sources: Mapping[str, Any], name: str) -> object:
    return next((source[name] for source in sources if source.get(name) is not None), None)


def _names_category(source: Mapping[str, Any]) -> bool:
    return any(source.get(name) is not None for name in ("action_category", "decision_type"))


def _scope(
    entry: Mapping[str, Any],
    context: Mapping[str, Any],
    entered: Mapping[str, Any],
    regime: Mapping[str, Any],
    *,
    dims: tuple[str, ...],
    where: str,
) -> dict[str, ScopeValue]:
    """The scope an action names, else the context's, the trade's entry, the regime."""
    if entry.get("scope") is not None:
        return scope_at(mapping_at(entry, "scope", where), dims, where + "scope")
    said = {
        **mapping_at(entered, "scope", "entry_context."),
        **{name: context[name] for name in dims if context.get(name) is not None},
        **mapping_at(context, "scope", where + "action_context."),
    }
    found = scope_at(said, dims, where + "scope")
    bucket = found.get("bucket")
    known = _regime_scope(regime, bucket if isinstance(bucket, str) else None)
    return scope_at({**known, **found}, dims, where + "scope")


def _regime_scope(regime: Mapping[str, Any], bucket: str | None) -> Mapping[str, ScopeValue]:
    rank = [
        checked_text(name, "regime_context.bucket_rank")
        for name in list_at(regime, "bucket_rank", "regime_context.")
    ]
    phases = {
        f"{horizon}_phase": text_at(regime, f"{horizon}_phase", "regime_context.")
        for horizon in ("macro", "meso", "micro")
    }
    context = RegimeContext(**phases, bucket_rank=rank)  # type: ignore[arg-type]
    return from_rule(  # type: ignore[no-any-return]
        "regime_context", lambda given: build_scope(given, bucket=bucket), context
    )


@lru_cache(maxsize=4096)
def _normalised(text: str) -> str:
    return normalise_pattern_key(text)


def read_pattern_key(value: object, where: str) -> str:
    """Return a pattern key in its one spelling.

    Raises:
        MalformedStrand: If it is none.
    """
    text = checked_text(value, where)
    return str(from_rule(where, _normalised, text))


def read_category(source: Mapping[str, Any], where: str) -> tuple[ActionCategory, str | None]:
    """Return the action category and the decision type that a source names; the former wins."""
    decision = text_at(source, "decision_type", where)
    said = text_at(source, "action_category", where) or decision
    if said is None:
        raise MalformedStrand(f"{where}action_category or decision_type must be set")
    return from_rule(where + "action_category", action_category, said), decision


@lru_cache(maxsize=4096)  # few texts, met again and again
def _scope_text(name: str, text: str) -> ScopeValue | None:
    return scope_value(name, text)


def scope_at(scope: Mapping[str, Any], dims: tuple[str, ...], where: str) -> dict[str, ScopeValue]:
    """Return the dimensions that a scope has: the configured ones in their order, then others.

    Others are kept as far as they are in order, so that a dimension that is configured later
    has its past.

    Raises:
        MalformedStrand: If the value of a configured dimension is neither text nor an integer.
    """
    found: dict[str, ScopeValue] = {}
    for name in dims:
        value = scope.get(name)
        if value is None:
            continue
        try:
            present = _present(name, value)
        except (ValueError, OverflowError):
            rule = "printable text of at most 64 characters or an integer below 2**53"
            raise broken(f"{where}.{name}", rule, value) from None
        if present is not None:
            found[name] = present
    return found if len(found) == len(scope) else {**found, **_others(scope, dims)}


def _others(scope: Mapping[str, Any], dims: tuple[str, ...]) -> dict[str, ScopeValue]:
    found: dict[str, ScopeValue] = {}
    for name, value in scope.items():
        if name in dims or not _DIMENSION.fullmatch(name) or len(found) == MAX_OTHERS:
            continue
        with suppress(ValueError, OverflowError):
            present = _present(name, value)
            if present is not None:
                found[name] = present
    return dict(sorted(found.items()))


def _present(name: str, value: object) -> ScopeValue | None:
    return _scope_text(name, value) if type(value) is str else scope_value(name, value)
