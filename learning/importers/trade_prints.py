"""What two exports of one trade share: the symbol, the side, entry and exit to the second, prices.

Exports of one account may start at other trades, have other formats and other names; what happened
stays. A backtest happens on candles, where two strategies may well do the same: there its setup
must be the same too.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_ON_CANDLES: Final = ("backtest", "simulated")
_OUTCOMES: Final = (("entry_price", "exit_price"), ("return_pct",), ("r_multiple",))
_DIGITS: Final = 6  # to which averages of other tools agree


def trade_print(summary: Mapping[str, Any], *, origin: str, pattern_key: str) -> int | None:
    """Return a number that every export of a trade has; None where too little is known of it.

    Args:
        summary: The trade_summary of its close.
        origin: Of the trade: backtests and simulations are told apart by their setup too.
        pattern_key: Its setup.

    Examples:
        >>> told = {"symbol": "BTC/USDT:USDT", "side": "long", "entry_price": 100.0,
        ...         "exit_price": 101.5, "opened_at": "2024-03-01T12:00:00.250+00:00",
        ...         "closed_at": "2024-03-01T13:00:00+00:00"}
        >>> other = told | {"symbol": "btcusdt", "opened_at": "2024-03-01T13:00:00+01:00"}
        >>> names = {"origin": "live", "pattern_key": "pm.a.long.b"}
        >>> trade_print(told, **names) == trade_print(other, **names)
        True
        >>> trade_print(told | {"symbol": None}, **names) is None
        True
    """
    symbol = _symbol(summary.get("symbol"))
    outcome = _outcome(summary)
    try:
        moments = [_second(summary.get(name)) for name in ("opened_at", "closed_at")]
    except ValueError:
        return None
    if not symbol or outcome is None or None in moments:
        return None
    setup = pattern_key if origin in _ON_CANDLES else ""
    text = f"{symbol}|{summary.get('side')}|{moments}|{outcome}|{setup}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), signed=True)


def _symbol(value: object) -> str:
    """What was traded, however it is written: ``BTC/USDT:USDT`` is ``BTCUSDT``."""
    pair = str(value or "").upper().partition(":")[0]
    return "".join(sign for sign in pair if sign.isalnum())


def _second(value: object) -> int | None:
    if not isinstance(value, str):
        return None
    moment = datetime.fromisoformat(value)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() // 1)


def _outcome(summary: Mapping[str, Any]) -> str | None:
    """The prices; where a source has none, its return or its R."""
    for names in _OUTCOMES:
        values = [summary.get(name) for name in names]
        if all(isinstance(value, int | float) for value in values):
            return "/".join(f"{value:.{_DIGITS}g}" for value in values)
    return None


class TradePrints:
    """The prints of a source's trades, eight bytes each."""

    def __init__(self) -> None:
        self._prints = array("q")
        self._sorted: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._prints)

    def add(self, print_: int | None) -> None:
        """Keep a print; a trade without one is never known."""
        if print_ is not None:
            self._prints.append(print_)

    def among(self, others: Iterable[int]) -> frozenset[int]:
        """Return those of other prints that are among these.

        Examples:
            >>> prints = TradePrints()
            >>> for number in (3, 1, 2):
            ...     prints.add(number)
            >>> sorted(prints.among([2, 3, 4]))
            [2, 3]
        """
        known, asked = self._in_order(), np.unique(np.fromiter(others, dtype=np.int64))
        if not len(known):
            return frozenset()
        places = np.searchsorted(known, asked).clip(max=len(known) - 1)
        return frozenset(asked[known[places] == asked].tolist())

    def _in_order(self) -> npt.NDArray[np.int64]:
        if len(self._sorted) != len(self._prints):
            self._sorted = np.sort(np.asarray(self._prints))
        return self._sorted

    def count(self, others: frozenset[int]) -> int:
        """Return how many of these are among others; two trades may share a print."""
        return int(np.isin(np.asarray(self._prints), sorted(others)).sum())
