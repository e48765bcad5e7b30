"""A closed trade as every importer makes it, and the strands that it becomes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from learning.domain.scope import ScopeValue
from learning.events.completed_trades import MAX_ACTIONS, RR_LIMIT
from learning.events.strands import Strand
from learning.importers.field_values import RowRejected
from learning.importers.trade_prints import trade_print

_IMPORTS: Final = UUID("5d1f2c2e-5f0c-5a0e-9c3b-6a8f4f0f7a11")  # the namespace of imported strands

MAX_NAME_LENGTH: Final = 64
MAX_ID_LENGTH: Final = 130  # "<name>:<id>" is indexed, and read as a text of at most 200


@dataclass(frozen=True, slots=True)
class TradeAction:
    """One action of a trade, in the order of time."""

    category: str
    acted_at: datetime
    decision_type: str | None = None


@dataclass(frozen=True, slots=True)
class ImportedTrade:
    """A closed trade: identity, context, outcome and actions.

    ``summary`` is the trade_summary of its close; ``no_risk`` says why it has no R multiple.
    ``origin_is_assumed`` where neither the source nor a person named the origin; ``notes`` are
    reasons for what is absent, counted in the report.

    Raises:
        RowRejected: If its id is too long, its actions are too many, or a number is out of range.
    """

    trade_id: str
    pattern_key: str
    origin: str
    opened_at: datetime
    closed_at: datetime
    scope: Mapping[str, ScopeValue]
    signals: Mapping[str, float]
    applied_knobs: Mapping[str, float]
    summary: Mapping[str, Any]
    actions: tuple[TradeAction, ...]
    no_risk: str | None = None
    is_untagged: bool = False
    origin_is_assumed: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.trade_id) > MAX_ID_LENGTH:
            rule = f"must have at most {MAX_ID_LENGTH} characters"
            raise RowRejected("trade_id", rule, self.trade_id)
        if len(self.actions) > MAX_ACTIONS:
            rule = f"must have at most {MAX_ACTIONS} actions"
            raise RowRejected("trade", rule, len(self.actions))
        _check_numbers(self.summary)

    @property
    def its_print(self) -> int | None:
        """What another export of the trade has too; None where too little is known of it."""
        return trade_print(self.summary, origin=self.origin, pattern_key=self.pattern_key)

    @property
    def rr_kinds(self) -> tuple[str, ...]:
        """Which kinds of outcome the trade has; never one under the name of the other."""
        by_risk = "r_multiple" in self.summary or "r_multiple_net" in self.summary
        fixed = "r_fixed_risk" in str(self.summary.get("rr_kind", ""))
        kinds = (
            ("r_fixed_risk" if fixed else "r_initial_stop") if by_risk else None,
            "rr_path" if "rr_path" in self.summary else None,
        )
        return tuple(kind for kind in kinds if kind)


def check_closed(column: str, closed_at: datetime, closed_by: datetime | None) -> None:
    """Refuse a close that has not happened yet, such as one with a mistyped year.

    Raises:
        RowRejected: If it is later than ``closed_by``; None is no limit.
    """
    if closed_by is not None and closed_at > closed_by:
        raise RowRejected(column, "must not be in the future", closed_at.isoformat())


def _check_numbers(summary: Mapping[str, Any]) -> None:
    """Prices of 1e300 make numbers that are none; such a row is an input error, not a trade."""
    for name, value in summary.items():
        number = value.get("missed_rr") if isinstance(value, dict) else value
        if isinstance(number, float) and not math.isfinite(number):
            raise RowRejected(name, "must be a finite number", number)
        in_r = isinstance(value, dict) or name in ("r_multiple", "r_multiple_net")
        if in_r and number is not None and abs(number) > RR_LIMIT:
            raise RowRejected(name, f"must be within ±{RR_LIMIT:.0f} R", number)


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """What makes an imported strand the same strand when it is read again.

    Never a hash of the file: a live database grows. ``first_trade`` is empty for backtests,
    whose trades are identified by strategy, pair and open time.
    """

    format: str
    name: str
    first_trade: str

    def namespace(self) -> UUID:
        """Return the namespace of this source's strand keys."""
        return uuid5(_IMPORTS, f"{self.format}\n{self.name}\n{self.first_trade}")


def strands_of(trade: ImportedTrade, *, bot: str, namespace: UUID) -> Iterator[Strand]:
    """Yield the strands of a trade: one per action in time order, then its close.

    The actions that the close lists name pattern, category and time; their scope is that of its
    ``entry_context``, said once, and their controls stand in the action strands.
    """
    module = trade.pattern_key.partition(".")[0]
    trade_id = f"{bot}:{trade.trade_id}"
    controls = {"signals": trade.signals, "applied_knobs": trade.applied_knobs}
    completed = [_listed(trade.pattern_key, action) for action in trade.actions]
    for seq, entry in enumerate(completed):
        yield Strand(
            strand_key=uuid5(namespace, f"{module}_action\n{trade.trade_id}\n{seq}"),
            kind=f"{module}_action",
            module=module,
            bot=bot,
            origin=trade.origin,
            content={**entry, "scope": trade.scope, "controls": controls},
            trade_id=trade_id,
        )
    context = {"pattern_key": trade.pattern_key, "scope": trade.scope, "controls": controls}
    yield Strand(
        strand_key=uuid5(namespace, f"position_closed\n{trade.trade_id}\n0"),
        kind="position_closed",
        module=module,
        bot=bot,
        origin=trade.origin,
        content={
            "trade_id": trade_id,
            "entry_context": context,
            "trade_summary": trade.summary,
            "completed_trades": completed,
        },
        trade_id=trade_id,
    )


def _listed(pattern_key: str, action: TradeAction) -> dict[str, str]:
    entry = {
        "pattern_key": pattern_key,
        "action_category": action.category,
        "ts": action.acted_at.isoformat(),
    }
    if action.decision_type is not None:
        entry["decision_type"] = action.decision_type
    return entry
