"""What a trade left: better prices that its path offered while it was open.

The unit is the trade's own initial risk, so that ``missed_rr`` compares with its R multiple.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Side = Literal["long", "short"]
MissedClass = Literal["none", "small", "medium", "large"]

_LIMITS: Final[tuple[tuple[float, MissedClass], ...]] = (
    (0.5, "none"),
    (1.0, "small"),
    (2.0, "medium"),
)


@dataclass(frozen=True, slots=True, eq=False)
class PricePath:
    """The bars while a trade was open, in time.

    Attributes:
        at_hours: Shape (n,), start of each bar, hours since 1970-01-01 UTC, increasing.
        high: Shape (n,), highest price of each bar, in quote currency.
        low: Shape (n,), lowest price of each bar.

    Raises:
        ValueError: If a shape or an order is wrong, or a price is not finite.
    """

    at_hours: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.at_hours)
        if n == 0 or self.high.shape != (n,) or self.low.shape != (n,):
            raise ValueError(
                f"a price path needs at least one bar and one high and low for each, got {n} "
                f"bars, highs {self.high.shape}, lows {self.low.shape}"
            )
        if np.any(np.diff(self.at_hours) <= 0):
            raise ValueError("at_hours of a price path must increase")
        if not np.all(np.isfinite(self.high)) or not np.all(self.low <= self.high):
            raise ValueError("each bar of a price path must have finite low <= high")


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """The better price: where it was, how many bars after the trade's first, what it missed (R)."""

    best_price: float
    at_hours: float
    bars_after: int
    missed_rr: float


def missed_class(missed_rr: float) -> MissedClass:
    """Return the class of a missed outcome: none < 0.5 ≤ small < 1 ≤ medium < 2 ≤ large (R).

    Raises:
        ValueError: If it is not a number.

    Examples:
        >>> missed_class(0.49), missed_class(0.5), missed_class(1.0), missed_class(2.0)
        ('none', 'small', 'medium', 'large')
    """
    if missed_rr != missed_rr:
        raise ValueError(f"missed_rr must be a number, got {missed_rr}")
    return next((name for limit, name in _LIMITS if missed_rr < limit), "large")


def better_entry(
    path: PricePath, *, side: Side, entry_price: float, risk_per_unit: float
) -> Counterfactual:
    """Return the best entry the path offered: the lowest price for a long, the highest for a short.

    Args:
        path: Bars while the trade was open.
        side: Of the trade.
        entry_price: In quote currency.
        risk_per_unit: Distance of the initial stop from the entry, in quote currency; above 0.

    Returns:
        The first bar with the best price; ``missed_rr`` is at least 0.

    Examples:
        >>> path = PricePath(np.arange(3.0), np.array([11., 12, 16]), np.array([9., 8, 11]))
        >>> better_entry(path, side="long", entry_price=10.0, risk_per_unit=2.0)
        Counterfactual(best_price=8.0, at_hours=1.0, bars_after=1, missed_rr=1.0)
    """
    return _best(path, low=side == "long", price=entry_price, risk_per_unit=risk_per_unit)


def better_exit(
    path: PricePath, *, side: Side, exit_price: float, risk_per_unit: float
) -> Counterfactual:
    """Return the best exit the path offered: the highest price for a long, the lowest for a short.

    Arguments and result as for ``better_entry``.

    Examples:
        >>> path = PricePath(np.arange(3.0), np.array([11., 12, 16]), np.array([9., 8, 11]))
        >>> better_exit(path, side="long", exit_price=13.0, risk_per_unit=2.0).missed_rr
        1.5
    """
    return _best(path, low=side == "short", price=exit_price, risk_per_unit=risk_per_unit)


def _best(path: PricePath, *, low: bool, price: float, risk_per_unit: float) -> Counterfactual:
    if not risk_per_unit > 0 or not np.isfinite(risk_per_unit):
        raise ValueError(f"risk_per_unit must be above 0, got {risk_per_unit}")
    bar = int(np.argmin(path.low) if low else np.argmax(path.high))
    best = float(path.low[bar] if low else path.high[bar])
    gained = price - best if low else best - price
    return Counterfactual(
        best_price=best,
        at_hours=float(path.at_hours[bar]),
        bars_after=bar,
        missed_rr=max(gained / risk_per_unit, 0.0),
    )
