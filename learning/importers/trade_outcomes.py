"""What follows from the prices of a closed trade: its initial risk and its return.

The reasons carry no values: an import counts trades by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LEAST_RISK: Final = 1e-6  # of the entry price; nearer, R has no meaning

LEAST_PRICE: Final = 1e-15  # below it products of prices vanish
LEAST_PROFIT: Final = 1.0  # in money; below it, rounded to cents, it says too little about costs


@dataclass(frozen=True, slots=True)
class NoRisk:
    """A trade whose initial risk is not known, and why."""

    reason: str


def initial_risk_pct(
    *,
    side: str | None,
    entry: float | None,
    stop: float | None,
    max_distance: float,
    inverse: bool = False,
) -> float | NoRisk:
    """Return the distance from entry to initial stop, in percent of the entry price.

    A stop further than ``max_distance`` (a fraction) is a catastrophe stop: it was never meant
    to be hit, so it is not the risk of the trade. Of an ``inverse`` contract, settled in the coin
    that it is about, the risk is that in coin (see ``price_return_pct``).

    Examples:
        >>> initial_risk_pct(side="long", entry=100.0, stop=95.0, max_distance=0.12)
        5.0
        >>> initial_risk_pct(side="short", entry=100.0, stop=95.0, max_distance=0.12)
        NoRisk(reason='the stop is on the wrong side of the entry')
    """
    if stop is None or stop <= 0:
        return NoRisk("no initial stop")
    if entry is None or entry <= 0:
        return NoRisk("no entry price")
    if side is None:
        return NoRisk("no side")
    distance = (entry - stop) / (stop if inverse else entry) * (1 if side == "long" else -1)
    if distance < LEAST_RISK:
        where = "at the entry" if distance > -LEAST_RISK else "on the wrong side of the entry"
        return NoRisk(f"the stop is {where}")
    if distance > max_distance * (1 + 1e-9):  # 0.12 itself still counts, rounded prices or not
        return NoRisk(f"the stop is further than {max_distance:.0%} from the entry")
    return distance * 100.0


def net_of_costs_pct(gross_pct: float, *, profit: float, costs: float) -> float | None:
    """Return the return after costs, where the profit before them says what a percent is worth.

    None where the profit is too small, rounded to cents, or of another sign than the return.

    Examples:
        >>> net_of_costs_pct(2.0, profit=200.0, costs=50.0)
        1.5
        >>> net_of_costs_pct(2.0, profit=0.1, costs=5.0) is None
        True
    """
    if costs == 0:
        return gross_pct
    if abs(profit) < LEAST_PROFIT or gross_pct * profit <= 0:
        return None
    return gross_pct * (profit - costs) / profit


def price_return_pct(side: str, entry: float, exit_price: float, *, inverse: bool = False) -> float:
    """Return the return of a price move in percent, without costs and leverage.

    An ``inverse`` contract is settled in the coin that it is about: N contracts of one dollar earn
    N x (1/entry - 1/exit) coins, and N/entry coins is what they were worth.

    Examples:
        >>> price_return_pct("short", 100.0, 90.0)
        10.0
        >>> price_return_pct("long", 100.0, 125.0, inverse=True)
        20.0
    """
    basis = exit_price if inverse else entry
    return (exit_price - entry) / basis * 100.0 * (1 if side == "long" else -1)


def fixed_risk_pct(side: str, risk_pct: float, *, inverse: bool = False) -> float:
    """Return the risk of a stop ``risk_pct`` percent of the entry price away; in coin if inverse.

    Examples:
        >>> fixed_risk_pct("long", 5.0), fixed_risk_pct("long", 20.0, inverse=True)
        (5.0, 25.0)
    """
    if not inverse:
        return risk_pct
    stop = 100.0 - risk_pct if side == "long" else 100.0 + risk_pct
    return abs(price_return_pct(side, 100.0, stop, inverse=True))
