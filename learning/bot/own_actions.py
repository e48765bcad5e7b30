"""The actions of trades that are still open, so that a close can say what it closes."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from learning.store.delivery_rows import Delivery

_OPEN_TRADES: Final = 20_000
_ACTIONS: Final = 1000  # of one trade
_FIELDS: Final = (
    "pattern_key", "action_category", "decision_type", "scope", "controls", "ts",
)  # fmt: skip
_Action = tuple[str | None, Mapping[str, Any]]  # the position it names, and what it says


class OwnActions:
    """Remembers the actions of the trades opened last; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._of_trade: OrderedDict[str, list[_Action]] = OrderedDict()
        self._lock = threading.Lock()  # held for microseconds, between threads of the bot only

    def add(self, action: Delivery) -> None:
        """Remember an action, as it was written down."""
        if action.trade_id is None or action.content is None:
            return
        content = json.loads(action.content)
        with self._lock:
            known = self._of_trade.setdefault(action.trade_id, [])
            if len(known) < _ACTIONS:
                known.append((action.position_id, content))
            if len(self._of_trade) > _OPEN_TRADES:
                self._of_trade.popitem(last=False)

    def of(self, trade_id: str, position_id: str | None) -> list[Mapping[str, Any]]:
        """Return the actions of a position; one that names none belongs to every position."""
        with self._lock:
            known = list(self._of_trade.get(trade_id, ()))
        return [said for named, said in known if _is_same(named, position_id)]

    def forget(self, trade_id: str, position_id: str | None) -> None:
        """Forget the actions of a position whose close is noted, with the last all of its trade."""
        with self._lock:
            known = self._of_trade.pop(trade_id, [])
            left = [action for action in known if action[0] != position_id]
            if position_id is not None and any(named is not None for named, _ in left):
                self._of_trade[trade_id] = left


def completed(
    given: Sequence[Mapping[str, Any]] | None, own: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the completed trades of a close: the bot's list, or else its own actions.

    Examples:
        >>> completed([{"decision_type": "trim", "price": 2.0}],
        ...           [{"pattern_key": "pm.a.b.c", "decision_type": "trim", "scope": {}}])
        [{'pattern_key': 'pm.a.b.c', 'decision_type': 'trim', 'scope': {}, 'price': 2.0}]
    """
    return missing_fields_filled([dict(entry) for entry in given or ()], own)


def _is_same(named: str | None, position_id: str | None) -> bool:
    return None in (named, position_id) or named == position_id


def missing_fields_filled(
    entries: Sequence[Mapping[str, Any]], own: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return completed trades, each with what its own action says and it does not.

    Entry and action belong together when they name the same decision, in order; an entry that
    names none is paired by its place. Without entries the actions are the list.
    """
    if not entries:
        return [_fields(action) for action in own]
    left = list(own)
    filled: list[dict[str, Any]] = []
    for i, entry in enumerate(entries):
        named = [action for action in left if _is_same_decision(entry, action)]
        if not named and not _decisions(entry) and len(own) == len(entries):
            named = [own[i]]
        if named and named[0] in left:
            left.remove(named[0])
        filled.append({**(_fields(named[0]) if named else {}), **_present(entry)})
    return filled


def _fields(action: Mapping[str, Any]) -> dict[str, Any]:
    return {name: action[name] for name in _FIELDS if action.get(name) is not None}


def _present(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if value is not None}


def _decisions(entry: Mapping[str, Any]) -> set[str]:
    named = (entry.get("action_category"), entry.get("decision_type"))
    return {name for name in named if isinstance(name, str)}


def _is_same_decision(entry: Mapping[str, Any], action: Mapping[str, Any]) -> bool:
    key = entry.get("pattern_key")
    if key is not None and key != action.get("pattern_key"):
        return False
    return bool(_decisions(entry) & _decisions(action))
