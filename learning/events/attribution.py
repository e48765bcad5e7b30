"""Which action earned which outcome, and by which provenance.

The strands of the actions know best; what only the closed trade lists comes second; what was
reconstructed from its context comes last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from learning.domain.pattern_key import ActionCategory
from learning.domain.scope import ScopeValue
from learning.events.completed_trades import CompletedAction
from learning.events.filled_context import FilledContext, filled_scope, filled_summary
from learning.events.outcomes import Outcome, outcome_of
from learning.events.strands import ActionStrand, ClosedTrade

Provenance = Literal["action_strand", "own_fields", "reconstructed"]


@dataclass(frozen=True, slots=True)
class CreditedAction:
    """One action of a closed trade.

    ``seq`` counts 0, 1, … in time within the trade's (pattern_key, action_category); the action
    with seq 0 is the one that counts the trade. ``action_strand_id`` is None where the action
    is known from the close only. ``filled`` names what its source lacked and candles told.
    """

    action_strand_id: int | None
    pattern_key: str
    action_category: ActionCategory
    seq: int
    scope: Mapping[str, ScopeValue]
    controls: Mapping[str, Any]
    acted_at: datetime
    provenance: Provenance
    filled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CreditedTrade:
    """A closed trade, its one outcome, and the actions that share it."""

    trade: ClosedTrade
    outcome: Outcome
    actions: tuple[CreditedAction, ...]


def credit(
    trade: ClosedTrade,
    strands: Iterable[ActionStrand],
    *,
    max_stop_distance: float,
    context: FilledContext | None = None,
) -> CreditedTrade:
    """Credit a trade's outcome to its actions.

    Args:
        trade: The closed trade.
        strands: Action strands of the same bot, origin and trade_id, in any order; those of
            another position are left out where both name one. One that names none belongs to
            every position of its trade.
        max_stop_distance: As for ``outcome_of``.
        context: What candles tell of it; fills what the trade and its actions lack.
    """
    actions = credited_actions(trade, strands)
    if context is not None:
        summary, names = filled_summary(trade.summary, context)
        trade = replace(trade, summary=summary)
        actions = [_filled(action, context, names) for action in actions]
    return CreditedTrade(
        trade=trade,
        outcome=outcome_of(trade.summary, max_stop_distance=max_stop_distance),
        actions=tuple(actions),
    )


def _filled(
    action: CreditedAction, context: FilledContext, names: tuple[str, ...]
) -> CreditedAction:
    scope, dims = filled_scope(action.scope, context)
    return replace(action, scope=scope, filled=names + dims)


def credited_actions(trade: ClosedTrade, strands: Iterable[ActionStrand]) -> list[CreditedAction]:
    """Return the actions of a trade, each once, in time.

    An action that the close lists and a strand reports is one action: the strand's. They are
    paired by pattern and category, one to one; a reconstructed pattern is a guess, so that a
    reconstructed action is also paired with a strand of its category alone.
    """
    linked = sorted(
        (strand for strand in strands if _is_linked(trade, strand)),
        key=lambda strand: (strand.acted_at, strand.strand_key.bytes),
    )
    rest = unreported(trade.actions, linked)
    found: list[tuple[tuple[datetime, int], CreditedAction]] = [
        ((strand.acted_at, i), _from_strand(strand)) for i, strand in enumerate(linked)
    ]
    found += [
        ((action.acted_at, len(linked) + i), _from_close(action)) for i, action in enumerate(rest)
    ]
    found.sort(key=lambda item: item[0])
    return _numbered(action for _, action in found)


def unreported(
    listed: Sequence[CompletedAction], linked: Sequence[ActionStrand]
) -> list[CompletedAction]:
    """Return the actions a close lists that no linked strand reports."""
    if not linked:
        return list(listed)
    left = [(strand.pattern_key, strand.action_category) for strand in linked]
    unpaired = []
    for action in listed:
        if (action.pattern_key, action.action_category) in left:
            left.remove((action.pattern_key, action.action_category))
        else:
            unpaired.append(action)
    categories = [category for _, category in left]
    rest = []
    for action in unpaired:
        if action.provenance == "reconstructed" and action.action_category in categories:
            categories.remove(action.action_category)
        else:
            rest.append(action)
    return rest


def _is_linked(trade: ClosedTrade, strand: ActionStrand) -> bool:
    of_strand = strand.bot, strand.origin, strand.trade_id
    if of_strand != (trade.bot, trade.origin, trade.trade_id):
        return False
    return None in (strand.position_id, trade.position_id) or (
        strand.position_id == trade.position_id
    )


def _from_strand(strand: ActionStrand) -> CreditedAction:
    return CreditedAction(
        action_strand_id=strand.strand_id,
        pattern_key=strand.pattern_key,
        action_category=strand.action_category,
        seq=0,
        scope=strand.scope,
        controls=strand.controls,
        acted_at=strand.acted_at,
        provenance="action_strand",
    )


def _from_close(action: CompletedAction) -> CreditedAction:
    return CreditedAction(
        action_strand_id=None,
        pattern_key=action.pattern_key,
        action_category=action.action_category,
        seq=0,
        scope=action.scope,
        controls=action.controls,
        acted_at=action.acted_at,
        provenance=action.provenance,
    )


def _numbered(actions: Iterable[CreditedAction]) -> list[CreditedAction]:
    counted: defaultdict[tuple[str, str], int] = defaultdict(int)
    numbered = []
    for action in actions:
        key = (action.pattern_key, action.action_category)
        seq = counted[key]
        counted[key] += 1
        numbered.append(action if seq == 0 else replace(action, seq=seq))
    return numbered
