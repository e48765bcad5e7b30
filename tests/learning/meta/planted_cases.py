"""Weekly edges with a known half-life."""

from __future__ import annotations

import numpy as np

from learning.evidence.edge_history import EdgeHistory, edge_history
from learning.simulation.planted_world import decaying_stream


def fading_edge(
    rng: np.random.Generator,
    *,
    halflife_days: float,
    start_edge_rr: float = 1.0,
    trades_per_week: float = 15.0,
    weeks: int = 40,
) -> EdgeHistory:
    """Bursty trades whose expected outcome halves every ``halflife_days`` (may be infinite)."""
    days, _, excess = decaying_stream(
        rng,
        half_life_days=halflife_days,
        initial_edge_rr=start_edge_rr,
        trades_per_week=trades_per_week,
        n_weeks=weeks,
    )
    return edge_history(excess, days, np.ones(len(days), dtype=bool), against_group=False)


def fading_edges(
    rng: np.random.Generator, count: int, *, trades_per_week: float = 15.0
) -> tuple[list[EdgeHistory], np.ndarray]:
    """Histories and true half-lives: a quarter constant, the others lognormal around 75 days."""
    constant = rng.random(count) < 0.25
    halflives = np.where(constant, np.inf, np.exp(rng.normal(np.log(75.0), 0.5, count)))
    histories = [
        fading_edge(
            rng,
            halflife_days=float(halflife),
            start_edge_rr=float(rng.uniform(0.7, 1.6)),
            trades_per_week=trades_per_week,
        )
        for halflife in halflives
    ]
    return histories, halflives
