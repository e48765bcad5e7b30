"""Small series of candles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learning.context.candles import HOUR_MS, Candles

START_MS = 19_800 * 24 * HOUR_MS  # 2024-03-18, midnight UTC


def candles(
    close: Sequence[float],
    *,
    symbol: str = "BTC/USDT",
    bar_ms: int = HOUR_MS,
    start_ms: int = START_MS,
    spread: float = 0.0,
    volume: float = 1.0,
) -> Candles:
    """Bars with the given closes, one after another; high and low a spread away."""
    prices = np.asarray(close, dtype=np.float64)
    return Candles(
        symbol=symbol,
        bar_ms=bar_ms,
        start_ms=start_ms + bar_ms * np.arange(len(prices)),
        high=prices + spread,
        low=prices - spread,
        close=prices,
        quote_volume=volume * prices,
    )


def walk(n: int, *, seed: int, scale: float = 0.01) -> np.ndarray:
    """A random walk of prices."""
    steps = np.random.default_rng(seed).normal(0.0, scale, n)
    return 100.0 * np.exp(np.cumsum(steps))
