"""Seeded inputs with a known truth: fading edges, overlapping lessons."""

from __future__ import annotations

import numpy as np

from learning.evidence.edge_history import EdgeHistory, edge_history

_NOISE_MEAN = 0.2634  # replaced below by the mean over a large seeded draw


def skewed_noise(rng: np.random.Generator, n: int) -> np.ndarray:
    """Stop-like losses, lognormal wins, Pareto runners; about mean 0, sd 1.8, skew 13."""
    loss = -(0.2 + 0.9 * rng.beta(4, 2, n))
    win = 0.1 + rng.lognormal(0.2, 0.8, n)
    runner = rng.random(n) < 0.06
    win = np.where(runner, win * (1 + rng.pareto(2.6, n)), win)
    return np.where(rng.random(n) < 0.58, loss, win) - _NOISE_MEAN


_NOISE_MEAN = 0.0
_NOISE_MEAN = float(skewed_noise(np.random.default_rng(12345), 1_000_000).mean())


def fading_edge(
    rng: np.random.Generator,
    *,
    halflife_days: float,
    start_edge_rr: float = 1.0,
    trades_per_week: float = 15.0,
    weeks: int = 40,
) -> EdgeHistory:
    """Bursty trades whose expected outcome halves every ``halflife_days`` (may be infinite)."""
    per_week = rng.poisson(trades_per_week * rng.gamma(4, 0.25, weeks))
    week = np.repeat(np.arange(weeks), per_week)
    days = (week + rng.random(len(week))) * 7.0
    edge = start_edge_rr * 0.5 ** (days / halflife_days)
    outcome = edge + rng.normal(0, 0.35, weeks)[week] + skewed_noise(rng, len(week))
    return edge_history(outcome, days, np.ones(len(days), dtype=bool), against_group=False)


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


def overlapping_lessons(
    rng: np.random.Generator,
    *,
    n_trades: int = 3000,
    n_factors: int = 8,
    n_single: int = 12,
    hard: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Matched trades of lessons, and the hidden trade set each is a noisy copy or child of.

    ``hard``: noisier copies, and every second factor shares a third of its trades with the
    one before.
    """
    rows: list[np.ndarray] = []
    labels: list[int] = []
    previous = np.zeros(n_trades, dtype=bool)
    for factor in range(n_factors):
        hidden = rng.random(n_trades) < rng.uniform(0.03, 0.15)
        if hard and factor % 2:
            kept = hidden & ~previous & (rng.random(n_trades) < 0.8)
            hidden = (previous & (rng.random(n_trades) < 0.35)) | kept
        previous = hidden
        for copy in range(rng.integers(2, 8)):
            rows.append(_noisy_copy(rng, hidden, child=bool(copy), hard=hard))
            labels.append(factor)
    for single in range(n_single):
        rows.append(rng.random(n_trades) < rng.uniform(0.03, 0.3))
        labels.append(n_factors + single)
    return np.array(rows), np.array(labels)


def _noisy_copy(
    rng: np.random.Generator, hidden: np.ndarray, *, child: bool, hard: bool
) -> np.ndarray:
    sensitivity = rng.uniform(0.55 if hard else 0.75, 0.98)
    stray = hidden.mean() * rng.uniform(0, 0.5 if hard else 0.3)
    row = (hidden & (rng.random(len(hidden)) < sensitivity)) | (
        ~hidden & (rng.random(len(hidden)) < stray)
    )
    if child and rng.random() < 0.35:
        row &= rng.random(len(hidden)) < rng.uniform(0.4, 0.8)
    return row
