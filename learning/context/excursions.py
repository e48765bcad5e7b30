"""What the price did while a trade was open: excursions, payback, better prices.

In R of the trade's own initial risk, from its entry. Within the bar of an exit by stop, nothing
after the stop belongs to the trade: that bar counts with the exit price alone. Any other exit
leaves the moment within its bar unknown, and the bar counts whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from learning.context.candles import HOUR_MS, LONGEST_GAP_MS, Candles
from learning.events.counterfactuals import (
    Counterfactual,
    PricePath,
    Side,
    better_entry,
    better_exit,
)

_OVERHANG: Final = 0.1  # how much longer than the trade its bars may be, as a share of its time
_NOT_STOPS: Final = ("time", "no_stop", "nostop")
_ROUNDING: Final = 1e-12


@dataclass(frozen=True, slots=True)
class NoPath:
    """A trade whose path is not known, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Excursions:
    """What a path offered.

    Attributes:
        max_drawdown_pct: Worst excursion below the entry (above it for a short), % of it, ≥ 0.
        mfe_r: Best excursion in R, ≥ 0; with those below absent where the risk is not known.
        mae_r: Worst excursion in R, ≤ 0.
        payback_hours: From the entry to the bar that first touched +1 R; None: never.
    """

    max_drawdown_pct: float
    mfe_r: float | None = None
    mae_r: float | None = None
    payback_hours: float | None = None
    could_enter_better: Counterfactual | None = None
    could_exit_better: Counterfactual | None = None


def is_stop(exit_reason: str | None) -> bool:
    """Say whether an exit reason names a stop that was hit.

    Examples:
        >>> [is_stop(one) for one in ("trailing_stop_loss", "liquidation", "[sl]", "time_stop")]
        [True, True, True, False]
        >>> is_stop("roi"), is_stop(None)
        (False, False)
    """
    said = (exit_reason or "").strip().lower()
    if any(word in said for word in _NOT_STOPS):
        return False
    return "stop" in said or said in ("liquidation", "sl", "[sl]", "s/l")


def path_of(
    candles: Candles,
    opened_ms: int,
    closed_ms: int,
    *,
    exit_price: float | None,
    is_stopped: bool,
) -> PricePath | NoPath:
    """Return the bars while a trade was open: from the one it was opened in to the one it left.

    Absent where bars are missing at either end or for over a week between, or where they cover
    so much more than the trade that their extremes would not be its own.

    Args:
        candles: Of its market.
        opened_ms: When it was opened, milliseconds since 1970 UTC.
        closed_ms: When it was closed.
        exit_price: Of its last part.
        is_stopped: Whether a stop closed it.
    """
    first = int(np.searchsorted(candles.start_ms, opened_ms, side="right")) - 1
    end = max(int(np.searchsorted(candles.start_ms, closed_ms, side="left")), first + 1)
    reason = _uncovered(candles, opened_ms, closed_ms, first, end)
    if reason is not None:
        return NoPath(reason)
    high, low = candles.high[first:end], candles.low[first:end]
    at_hours = candles.start_ms[first:end] / HOUR_MS
    if is_stopped and exit_price is not None:
        high, low = np.append(high[:-1], exit_price), np.append(low[:-1], exit_price)
    return PricePath(at_hours, high, low)


def _uncovered(
    candles: Candles, opened_ms: int, closed_ms: int, first: int, end: int
) -> str | None:
    """Why the bars from first to end are not the trade's path; None where they are."""
    if first < 0 or opened_ms >= int(candles.start_ms[first]) + candles.bar_ms:
        return "no candle holds its entry"
    if not _reaches(candles, closed_ms, end):
        return "no candle holds its exit"
    if np.any(np.diff(candles.start_ms[first:end]) > LONGEST_GAP_MS):
        return "its candles pause for over a week"
    held_ms = closed_ms - opened_ms
    beyond_ms = max(int(candles.start_ms[end - 1]) + candles.bar_ms - closed_ms, 0)
    beyond_ms += opened_ms - int(candles.start_ms[first])
    if beyond_ms > _OVERHANG * held_ms:
        return "its candles are too coarse for the time it was held"
    return None


def _reaches(candles: Candles, closed_ms: int, end: int) -> bool:
    """Whether the bars before ``end`` hold the exit, or it is the open of the bar after them."""
    if int(candles.start_ms[end - 1]) + candles.bar_ms >= closed_ms:
        return True
    return end < len(candles.start_ms) and int(candles.start_ms[end]) == closed_ms


def excursions(
    path: PricePath,
    *,
    side: Side,
    opened_ms: int,
    entry_price: float,
    exit_price: float | None,
    risk_per_unit: float | None,
) -> Excursions:
    """Return what a path offered a trade.

    Args:
        path: From ``path_of``.
        side: Of the trade.
        opened_ms: When it was opened.
        entry_price: In quote currency.
        exit_price: Of its last part; None: could_exit_better is absent.
        risk_per_unit: Distance of the initial stop, quote currency; None: all in R is absent.

    Examples:
        >>> path = PricePath(np.arange(3.0), np.array([101.0, 104, 103]), np.array([98.0, 100, 99]))
        >>> found = excursions(path, side="long", opened_ms=0, entry_price=100.0,
        ...                    exit_price=103.0, risk_per_unit=2.0)
        >>> found.mfe_r, found.mae_r, found.max_drawdown_pct, found.payback_hours
        (2.0, -1.0, 2.0, 1.0)
    """
    best, worst = float(path.high.max()), float(path.low.min())
    gain, loss = best - entry_price, worst - entry_price
    if side == "short":
        gain, loss = -loss, -gain
    loss = min(loss, 0.0)
    drawdown = 0.0 - 100.0 * loss / entry_price
    if risk_per_unit is None:
        return Excursions(drawdown)
    missed = {"side": side, "risk_per_unit": risk_per_unit}
    return Excursions(
        max_drawdown_pct=drawdown,
        mfe_r=max(gain, 0.0) / risk_per_unit,
        mae_r=loss / risk_per_unit,
        payback_hours=_payback(path, side, opened_ms, entry_price, risk_per_unit),
        could_enter_better=better_entry(path, entry_price=entry_price, **missed),  # type: ignore[arg-type]
        could_exit_better=None
        if exit_price is None
        else better_exit(path, exit_price=exit_price, **missed),  # type: ignore[arg-type]
    )


def _payback(
    path: PricePath, side: Side, opened_ms: int, entry_price: float, risk_per_unit: float
) -> float | None:
    """Hours from the entry to the start of the first bar that touched +1 R; 0 within its own."""
    slack = _ROUNDING * entry_price
    if side == "long":
        touched = np.flatnonzero(path.high >= entry_price + risk_per_unit - slack)
    else:
        touched = np.flatnonzero(path.low <= entry_price - risk_per_unit + slack)
    if not len(touched):
        return None
    return max(float(path.at_hours[touched[0]]) - opened_ms / HOUR_MS, 0.0)
