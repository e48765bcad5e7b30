"""A freqtrade position as the bot knows it, in the words of a closed trade.

The same meaning as an import of freqtrade's database has: returns are price returns relative to
everything that was put in, the net one being freqtrade's profit ratio divided by the leverage.
``entry_price`` is the price of the *first* entry, from which the initial stop is measured: adds
move the average price but not the risk that was taken at entry.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

from learning.domain.pattern_key import ActionCategory

Side = Literal["long", "short"]
_FORCED: Final = frozenset({"force_exit", "emergency_exit", "liquidation"})
_SAME_AMOUNT: Final = 1e-6  # share by which entered and exited amounts may differ


def side_of(trade: Any) -> Side:
    """Return the side of a trade."""
    return "short" if trade.is_short else "long"


def is_entry(trade: Any, order: Any) -> bool:
    """Whether an order opens; a stop on the exchange has a side of its own and closes."""
    return bool(order.ft_order_side == trade.entry_side)


def filled_amount(order: Any) -> float:
    """Return what an order filled, in base currency; a cancelled one may have filled nothing."""
    return float(order.safe_filled or 0.0)


def category_of(trade: Any, order: Any, *, closes: bool) -> ActionCategory:
    """Say what a filled order was: the first on the entry side is the entry, later ones adds."""
    if not is_entry(trade, order):
        return "exit" if closes else "trim"
    entries = (o for o in trade.orders if is_entry(trade, o) and filled_amount(o) > 0)
    first = next(entries, order)
    return "entry" if first.order_id == order.order_id else "add"


def decision_of(trade: Any, category: ActionCategory) -> str | None:
    """Name the decision where it was not the strategy's own; None where it was."""
    return "emergency_exit" if category == "exit" and trade.exit_reason in _FORCED else None


def as_closed(trade: Any, order: Any, at: datetime, *, is_simulated: bool) -> Any | None:
    """Return the trade as it stands after its last exit; None while it is open.

    A live bot closes a trade before it reports the fill. A backtest does so afterwards: there the
    trade is closed on a copy, by freqtrade's own arithmetic.
    """
    if not trade.is_open:
        return trade
    if not is_simulated or is_entry(trade, order):
        return None
    if order.safe_amount_after_fee != trade.amount:
        return None
    closed = copy.deepcopy(trade)
    closed.close_date = at
    closed.close(order.ft_price, show_msg=False)
    return closed


def summary_of(trade: Any) -> dict[str, Any]:
    """Return the summary of a closed trade; what freqtrade does not know is left out."""
    entries = _fills(trade, opening=True)
    found = {
        "symbol": trade.pair,
        "side": side_of(trade),
        "opened_at": _utc(trade.open_date),
        "closed_at": _utc(trade.close_date),
        "entry_price": entries[0][0] if entries else trade.open_rate,
        "exit_price": trade.close_rate,
        "initial_stop": trade.initial_stop_loss or None,  # 0 is freqtrade's "none"
        "return_pct": _gross_return_pct(trade),
        "return_net_pct": _net_return_pct(trade),
        "max_drawdown_pct": _drawdown_pct(trade),
        "pnl_amount": trade.close_profit_abs,
        "currency": trade.pair.partition("/")[2].partition(":")[0] or None,
        "exit_reason": trade.exit_reason,
    }
    return {name: value for name, value in found.items() if value is not None}


def _utc(moment: datetime) -> datetime:
    """Freqtrade keeps naive times, which are UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _fills(trade: Any, *, opening: bool) -> Sequence[tuple[float, float]]:
    """Price and amount of the filled orders of one side, in order."""
    return [
        (float(order.safe_price), filled_amount(order))
        for order in trade.orders
        if is_entry(trade, order) is opening and filled_amount(order) > 0
    ]


def _gross_return_pct(trade: Any) -> float | None:
    """Price return before costs, from the fills where entries and exits match."""
    entries, exits = _fills(trade, opening=True), _fills(trade, opening=False)
    entered, exited = (sum(amount for _, amount in side) for side in (entries, exits))
    sign = -1.0 if trade.is_short else 1.0
    if entered > 0 and abs(entered - exited) <= _SAME_AMOUNT * entered:
        paid, got = (sum(price * amount for price, amount in side) for side in (entries, exits))
        return sign * (got - paid) / paid * 100.0
    if trade.close_rate is None or len(exits) > 1:
        return None
    return sign * float(trade.close_rate - trade.open_rate) / float(trade.open_rate) * 100.0


def _net_return_pct(trade: Any) -> float | None:
    if trade.close_profit is None:
        return None
    return float(trade.close_profit) / float(trade.leverage or 1.0) * 100.0


def _drawdown_pct(trade: Any) -> float | None:
    """Worst excursion against the average entry, in percent, at least 0; a lower bound, since
    freqtrade samples it."""
    seen = trade.max_rate if trade.is_short else trade.min_rate
    if not seen:
        return None
    rates = [float(rate) for rate in (seen, trade.close_rate) if rate]
    worst = max(rates) if trade.is_short else min(rates)
    sign = -1.0 if trade.is_short else 1.0
    entry = float(trade.open_rate)
    return max(sign * (entry - worst) / entry * 100.0, 0.0)
