"""Trades that overlap in time are one position: who entered it, who added, who left last."""

from __future__ import annotations

from array import array
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_OPEN: Final = 2**62  # later than any close


class Overlaps:
    """The spans of trades, 26 bytes each, and what each one's entry and exit were.

    ``settle`` once every span is added; of a trade that was never added nothing is known, and it
    counts as one that stood alone.

    Examples:
        >>> day = datetime(2024, 1, 1, tzinfo=UTC)
        >>> spans = Overlaps()
        >>> spans.add("1", day, day + timedelta(hours=3), 100.0)
        >>> spans.add("2", day + timedelta(hours=1), day + timedelta(hours=2), 101.0)
        >>> spans.settle()
        >>> spans.place_of("1"), spans.place_of("2")  # (added, trimmed)
        ((False, False), (True, True))
    """

    def __init__(self) -> None:
        self._numbers = array("q")  # hashes of the trade numbers
        self._opened = array("q")
        self._closed = array("q")
        self._prices = array("d")
        self._added: frozenset[int] = frozenset()
        self._trimmed: frozenset[int] = frozenset()
        self.is_settled = False

    def add(self, number: str, opened: datetime, closed: datetime | None, price: float) -> None:
        """Keep one trade; without ``closed`` it is still open."""
        self._numbers.append(hash(number))
        self._opened.append((opened - _EPOCH) // _MICROSECOND)
        self._closed.append(_OPEN if closed is None else (closed - _EPOCH) // _MICROSECOND)
        self._prices.append(price)

    def settle(self) -> None:
        """Decide what each entry and exit was."""
        self.is_settled = True
        if not self._numbers:
            return
        numbers, opened, closed, prices = (
            np.asarray(column)
            for column in (self._numbers, self._opened, self._closed, self._prices)
        )
        order = np.lexsort((closed, opened))
        numbers, opened, closed, prices = (c[order] for c in (numbers, opened, closed, prices))
        latest = np.maximum.accumulate(closed)
        starts = np.concatenate(([True], opened[1:] >= latest[:-1]))
        first = np.maximum.accumulate(np.where(starts, np.arange(len(starts)), 0))
        # parts of one entry, sold in several orders, share its moment and its price
        same_entry = (opened == opened[first]) & (prices == prices[first])
        last = np.maximum.reduceat(closed, np.flatnonzero(starts))[np.cumsum(starts) - 1]
        self._added = frozenset(numbers[~starts & ~same_entry].tolist())
        self._trimmed = frozenset(numbers[closed < last].tolist())
        self._drop_spans()

    def take(self, settled: Overlaps) -> None:
        """Take over what another one settled."""
        self._added, self._trimmed = settled._added, settled._trimmed
        self.is_settled = True

    def place_of(self, number: str) -> tuple[bool, bool]:
        """Say whether a trade was added to another, and closed before another."""
        return hash(number) in self._added, hash(number) in self._trimmed

    def _drop_spans(self) -> None:
        self._numbers, self._opened, self._closed = array("q"), array("q"), array("q")
        self._prices = array("d")
