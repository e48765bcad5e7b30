"""Candles of one market as arrays, and what is made of them: hours, days, unbroken stretches."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
LONGEST_GAP_MS: Final = 7 * DAY_MS  # beyond weekends and holidays the series is another one

Milliseconds = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Candles:
    """The bars of one market, in time.

    Attributes:
        symbol: As the source spells it.
        bar_ms: Length of a bar in milliseconds.
        start_ms: Shape (n,), open time of each bar, milliseconds since 1970 UTC, increasing.
        high: Shape (n,), quote currency; ``low`` and ``close`` likewise.
        quote_volume: Shape (n,), traded value in quote currency; NaN where not known.

    Raises:
        ValueError: If a shape or an order is wrong, or a price is not finite.
    """

    symbol: str
    bar_ms: int
    start_ms: Milliseconds
    high: Floats
    low: Floats
    close: Floats
    quote_volume: Floats

    def __post_init__(self) -> None:
        n = len(self.start_ms)
        if any(len(one) != n for one in (self.high, self.low, self.close, self.quote_volume)):
            raise ValueError(f"candles of {self.symbol} must have one value a bar, got {n} bars")
        if self.bar_ms <= 0:
            raise ValueError(f"bar_ms must be above 0, got {self.bar_ms}")
        if np.any(np.diff(self.start_ms) <= 0):
            raise ValueError(f"candles of {self.symbol} must increase in time")
        if not (np.all(np.isfinite(self.high)) and np.all(self.low <= self.high)):
            raise ValueError(f"candles of {self.symbol} must have finite low <= high")

    def until(self, moment_ms: int) -> Candles:
        """Return the bars that were complete at a moment: what was known then."""
        known = int(np.searchsorted(self.start_ms + self.bar_ms, moment_ms, side="right"))
        return Candles(
            self.symbol,
            self.bar_ms,
            self.start_ms[:known],
            self.high[:known],
            self.low[:known],
            self.close[:known],
            self.quote_volume[:known],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Closes:
    """The last price of each whole period.

    Attributes:
        known_ms: Shape (n,), when each was known: the end of its period, increasing.
        close: Shape (n,), quote currency.
    """

    known_ms: Milliseconds
    close: Floats


def closes_by(candles: Candles, period_ms: int) -> Closes:
    """Return the last close of each period that has a bar.

    Args:
        candles: Of bars no longer than the period.
        period_ms: Length of the period; periods begin at whole multiples of it.

    Raises:
        ValueError: If a bar is longer than the period.

    Examples:
        >>> bars = Candles("X", 30, np.array([0, 30, 60]), *(np.array([1.0, 2.0, 3.0]),) * 4)
        >>> closes_by(bars, 60).known_ms.tolist(), closes_by(bars, 60).close.tolist()
        ([60, 120], [2.0, 3.0])
    """
    if candles.bar_ms > period_ms:
        raise ValueError(f"bars of {candles.bar_ms} ms are longer than {period_ms} ms")
    period = candles.start_ms // period_ms
    is_last = np.append(np.diff(period) != 0, np.ones(min(len(period), 1), dtype=bool))
    return Closes((period[is_last] + 1) * period_ms, candles.close[is_last])


@dataclass(frozen=True, slots=True, eq=False)
class Days:
    """Each day of a market: shape (n,) each, days since 1970 UTC, increasing.

    ``quote_volume`` is the value traded on the day, NaN where not known.
    """

    day: Milliseconds
    close: Floats
    quote_volume: Floats


def days_of(candles: Candles) -> Days:
    """Return the close and the traded value of each day that has a bar."""
    day = candles.start_ms // DAY_MS
    starts = np.flatnonzero(np.append(True, np.diff(day) != 0)) if len(day) else np.array([], int)
    if not len(starts):
        return Days(day, candles.close, candles.quote_volume)
    ends = np.append(starts[1:], len(day)) - 1
    return Days(day[starts], candles.close[ends], np.add.reduceat(candles.quote_volume, starts))


def stretches(known_ms: Milliseconds) -> list[slice]:
    """Return the unbroken stretches of a series: it is cut where it pauses for over a week.

    Examples:
        >>> stretches(np.array([0, 1, 2]) * DAY_MS)
        [slice(0, 3, None)]
        >>> stretches(np.array([0, 8, 9]) * DAY_MS)
        [slice(0, 1, None), slice(1, 3, None)]
    """
    if not len(known_ms):
        return []
    cuts = np.flatnonzero(np.diff(known_ms) > LONGEST_GAP_MS) + 1
    edges = [0, *cuts.tolist(), len(known_ms)]
    return [slice(a, b) for a, b in pairwise(edges)]
