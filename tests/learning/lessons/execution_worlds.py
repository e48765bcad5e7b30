"""Trades of a few groups with what their execution left, drawn from a seed."""

from __future__ import annotations

import numpy as np

from learning.domain.levers import ThresholdRange
from learning.evidence.block_statistics import ClipLimits, Floats
from learning.evidence.trade_events import TradeEvents
from learning.lessons.execution_evidence import ExecutionTrades
from learning.lessons.scope_edges import trades_by_group
from learning.simulation.planted_world import rr_noise

THRESHOLDS = {
    "min_ts_for_entry": ThresholdRange("TS", "min", low=0.0, high=1.0, step=0.1),
    "max_ox_for_entry": ThresholdRange("OX", "max", low=0.0, high=1.0, step=0.1),
    "min_dx_for_exit": ThresholdRange("DX", "min", low=0.0, high=1.0, step=0.1),
}
BUCKETS = ("micro", "mid", "big", "large")
HORIZON_DAYS = 420.0


def noise_world(
    seed: int,
    *,
    n_patterns: int = 4,
    n_trades: int = 400,
    median_rr: float = 0.5,
    shock: float = 0.3,
) -> list[ExecutionTrades]:
    """Patterns with entries and exits, in weeks that share shocks, with nothing to be found.

    The median of what entries missed by being early and exits by being late is exactly
    ``median_rr``; 0.5 is the largest at which nothing counts as missed. Signals have nothing to
    do with outcomes.
    """
    rng = np.random.default_rng(seed)
    return [
        group
        for pattern in range(n_patterns)
        for category in ("entry", "exit")
        for group in _groups(rng, f"pm.p{pattern}.S1.flag", category, n_trades, median_rr, shock)
    ]


def _groups(
    rng: np.random.Generator,
    pattern: str,
    category: str,
    n: int,
    median_rr: float,
    shock: float,
) -> list[ExecutionTrades]:
    days = np.sort(rng.uniform(0, HORIZON_DAYS, n))
    week = np.floor(days / 7).astype(int)
    shocks = rng.normal(0, shock, (2, week.max() + 1))[:, week]
    events = TradeEvents.from_columns(
        pattern_key=[pattern] * n,
        action_category=[category] * n,
        scope={
            "bucket": [BUCKETS[i] for i in rng.integers(0, 4, n)],
            "A_mode": [("patient", "normal", "aggressive")[i] for i in rng.integers(0, 3, n)],
        },
        closed_at_days=days,
        rr=rr_noise(rng, n) + shocks[0],
        trade=np.arange(n),
    )
    [trades] = trades_by_group(events.canonical(), ClipLimits(-2.0, 12.0))
    missed = median_rr * np.exp(rng.normal(0, 0.8, n) + shocks[1])
    return [
        ExecutionTrades(
            trades=trades,
            missed_entry_rr=missed,
            missed_exit_rr=-missed,
            signals={name: _drifting(rng, days) for name in ("TS", "OX", "DX")},
        )
    ]


def _drifting(rng: np.random.Generator, days: Floats) -> Floats:
    """A signal in 0 to 1 that follows the market slowly and its trade for the rest."""
    slow = np.sin(2 * np.pi * (days / 120 + rng.random()))
    return np.clip(0.5 + 0.15 * slow + rng.normal(0, 0.2, len(days)), 0, 1)
