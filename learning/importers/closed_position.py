"""A closed position of any bot or broker, and the trade it becomes: its returns and its R.

R in this order, each under its own name and never one for the other:

- ``r_initial_stop``: return ÷ distance from the first entry to the initial stop; refused where
  the stop is absent, on the wrong side, or a catastrophe stop.
- ``r_fixed_risk``: where no stop counts, return ÷ the risk that the user says every trade has.
- ``rr_path``: return ÷ worst adverse excursion, where the source knows it; beside the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from learning.domain.pattern_key import key_part
from learning.domain.scope import ScopeValue, scope_value
from learning.events.outcomes import path_rr
from learning.importers.field_values import RowRejected
from learning.importers.import_answers import ImportAnswers
from learning.importers.imported_trade import ImportedTrade, TradeAction, check_closed
from learning.importers.tag_rules import TagReading, TagRules
from learning.importers.trade_outcomes import NoRisk, fixed_risk_pct, initial_risk_pct

LARGEST_RETURN: Final = 1e6  # percent; beyond it a price is mistyped
_UNTAGGED: Final = "untagged"


@dataclass(frozen=True, slots=True)
class ClosedPosition:
    """What a source tells of a closed position.

    Attributes:
        gross_pct: Price return before costs, percent of all entries.
        net_pct: After costs; None where they are not known.
        first_entry: Price of the first entry, from which R is measured.
        stop: Price of the initial stop; None or 0: none.
        stop_pct: Its distance in percent of the entry, where the source says that instead.
        drawdown_pct: Worst excursion below the average entry (above it for shorts), percent, ≥ 0.
        runup_pct: Best excursion, percent, ≥ 0.
        rr_path: R by its path, where the source's own definition differs from gross ÷ drawdown.
        entry_value: Money that all entries cost, in ``currency``.
        strategy: Family of the pattern; its motif is ``tag``.
        is_inverse: A contract settled in the coin that it is about: its R is that in coin.
    """

    trade_id: str
    side: str
    opened_at: datetime
    closed_at: datetime
    entry_price: float | None
    exit_price: float | None
    gross_pct: float
    actions: tuple[TradeAction, ...]
    net_pct: float | None = None
    first_entry: float | None = None
    stop: float | None = None
    stop_pct: float | None = None
    drawdown_pct: float | None = None
    runup_pct: float | None = None
    rr_path: float | None = None
    pnl_amount: float | None = None
    entry_value: float | None = None
    currency: str | None = None
    symbol: str | None = None
    exit_reason: str | None = None
    strategy: str | None = None
    tag: str | None = None
    scope: Mapping[str, object] = field(default_factory=dict)
    knobs: Mapping[str, float] = field(default_factory=dict)
    signals: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    is_inverse: bool = False


@dataclass(frozen=True, slots=True)
class ImportTerms:
    """What holds for every trade of a source.

    ``family`` names the pattern where a position names no strategy; ``closed_by`` is the latest
    moment a close may have; ``tags`` is how tags are read, None: the whole text is the motif.
    """

    origin: str
    family: str
    answers: ImportAnswers
    constants: Mapping[str, ScopeValue]
    max_stop_distance: float
    closed_by: datetime | None = None
    origin_is_assumed: bool = False
    tags: TagRules | None = None


def trade_of(position: ClosedPosition, terms: ImportTerms) -> ImportedTrade:
    """Return a closed position as a trade.

    Raises:
        RowRejected: Where a value breaks a rule.
    """
    _check(position, terms)
    tag = (terms.tags or TagRules()).read(position.tag)
    family = key_part(position.strategy or "", fallback=terms.family)
    risk = _risk(position, terms.max_stop_distance)
    measured = _measured(position, risk, terms.answers)
    return ImportedTrade(
        trade_id=position.trade_id,
        pattern_key=f"pm.{family}.{position.side}.{tag.motif}",
        origin=terms.origin,
        opened_at=position.opened_at,
        closed_at=position.closed_at,
        scope=_scope(position, terms, tag),
        signals={**tag.signals, **position.signals},
        applied_knobs=position.knobs,
        summary=_summary(position, measured),
        actions=position.actions,
        no_risk=risk.reason if isinstance(risk, NoRisk) and not _has_r(measured) else None,
        is_untagged=tag.motif == _UNTAGGED,
        origin_is_assumed=terms.origin_is_assumed,
        notes=position.notes,
    )


def _risk(position: ClosedPosition, max_distance: float) -> float | NoRisk:
    """The initial risk in percent of the first entry, from the stop's price or its distance."""
    entry, stop = position.first_entry or position.entry_price, position.stop
    if position.stop_pct is not None:
        sign = -1.0 if position.side == "long" else 1.0
        entry, stop = 100.0, 100.0 + sign * position.stop_pct
    return initial_risk_pct(
        side=position.side,
        entry=entry,
        stop=stop,
        max_distance=max_distance,
        inverse=position.is_inverse,
    )


def _check(position: ClosedPosition, terms: ImportTerms) -> None:
    if position.closed_at < position.opened_at:
        rule = "must not be before its entry"
        raise RowRejected("exit time", rule, position.closed_at.isoformat())
    check_closed("exit time", position.closed_at, terms.closed_by)
    if position.entry_price is not None and not position.entry_price > 0:
        raise RowRejected("entry price", "must be above 0", position.entry_price)
    if position.exit_price is not None and not position.exit_price >= 0:
        raise RowRejected("exit price", "must be at least 0", position.exit_price)
    for name, value in (("return", position.gross_pct), ("net return", position.net_pct)):
        if value is not None and not abs(value) <= LARGEST_RETURN:
            raise RowRejected(name, f"must be within ±{LARGEST_RETURN:.0f} %", value)


def _measured(
    position: ClosedPosition, risk: float | NoRisk, answers: ImportAnswers
) -> dict[str, Any]:
    """The R of the position under each measure that it has, and how they are called."""
    found: dict[str, Any] = {}
    kinds = []
    if not isinstance(risk, NoRisk):
        found |= _in_r(position, risk) | {"initial_stop": position.stop}
        kinds.append("r_initial_stop")
    elif answers.risk_pct is not None:
        by_user = fixed_risk_pct(position.side, answers.risk_pct, inverse=position.is_inverse)
        found |= _in_r(position, by_user)
        kinds.append("r_fixed_risk")
    elif answers.risk_amount is not None and (by_money := _by_money(position, answers.risk_amount)):
        found |= by_money
        kinds.append("r_fixed_risk")
    if position.rr_path is not None:
        found["rr_path"] = position.rr_path
    elif position.drawdown_pct is not None:
        found["rr_path"] = path_rr(position.gross_pct, position.drawdown_pct)
    if "rr_path" in found:
        kinds.append("rr_path")
    return found | ({"rr_kind": "+".join(kinds)} if kinds else {})


def _has_r(measured: Mapping[str, Any]) -> bool:
    return "r_multiple" in measured or "r_multiple_net" in measured


def _in_r(position: ClosedPosition, risk_pct: float) -> dict[str, float]:
    value, down = position.entry_value, position.drawdown_pct
    found = {
        "r_multiple": position.gross_pct / risk_pct,
        "r_multiple_net": None if position.net_pct is None else position.net_pct / risk_pct,
        "mfe_r": None if position.runup_pct is None else position.runup_pct / risk_pct,
        "mae_r": None if down is None else 0.0 - down / risk_pct,
        "risk_amount": None if value is None else abs(value) * risk_pct / 100.0,
    }
    return {name: number for name, number in found.items() if number is not None}


def _by_money(position: ClosedPosition, risk_amount: float) -> dict[str, float]:
    """R where the user says what one trade may lose; empty where the money is not known."""
    found = {}
    if position.entry_value is not None:
        gross = position.entry_value * position.gross_pct / 100.0
        found["r_multiple"] = gross / risk_amount
    if position.pnl_amount is not None:
        found["r_multiple_net"] = position.pnl_amount / risk_amount
    return found | ({"risk_amount": risk_amount} if found else {})


def _summary(position: ClosedPosition, measured: Mapping[str, Any]) -> dict[str, Any]:
    told = {
        "symbol": position.symbol,
        "side": position.side,
        "opened_at": position.opened_at.isoformat(),
        "closed_at": position.closed_at.isoformat(),
        "entry_price": position.entry_price,
        "exit_price": position.exit_price,
        "return_pct": position.gross_pct,
        "return_net_pct": position.net_pct,
        "max_drawdown_pct": position.drawdown_pct,
        "pnl_amount": position.pnl_amount,
        "currency": position.currency,
        "exit_reason": position.exit_reason,
    }
    return {name: value for name, value in told.items() if value is not None} | dict(measured)


def _scope(position: ClosedPosition, terms: ImportTerms, tag: TagReading) -> dict[str, ScopeValue]:
    given: dict[str, object] = {
        "timeframe": terms.answers.timeframe,
        "side": position.side,
        **{name: value for name, value in position.scope.items() if value is not None},
        **terms.constants,
        **tag.scope,
    }
    scope: dict[str, ScopeValue] = {}
    for name, value in given.items():
        try:
            present = scope_value(name, value)
        except ValueError as error:
            text = str(error).partition(", got ")[0]
            raise RowRejected(name, text[max(text.find("must "), 0) :], value) from None
        if present is not None:
            scope[name] = present
    return scope
