"""The scope cube against databases and data frames, as ratios in one run: ``./run bench cube``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CARDS = (6, 6, 6, 6, 6, 3, 6, 4, 3, 3)
N_GROUPS = 120


def planted_events(n: int, *, seed: int = 1) -> dict[str, npt.NDArray]:
    """Trades of 120 groups of Zipf-like sizes in ten unbalanced, correlated dimensions.

    Regime dimensions are dwelling paths, as phases are; each other dimension is drawn from
    unequal shares, and the modes mostly follow the phases.
    """
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, N_GROUPS + 1)
    group = rng.choice(N_GROUPS, n, p=share / share.sum()).astype(np.int32)
    days = 540
    hour = np.sort(rng.integers(0, days * 24, n))
    codes = np.empty((n, len(CARDS)), np.int16)
    for dim, dwell in enumerate((20, 6, 1.5, 8)):
        jumps = np.cumsum(rng.random(days * 24) < 1 / (24 * dwell))
        weights = rng.dirichlet(np.full(CARDS[dim], 3.0))
        codes[:, dim] = rng.choice(CARDS[dim], jumps[-1] + 1, p=weights)[jumps][hour]
    for dim in range(4, 10):
        weights = rng.dirichlet(np.full(CARDS[dim], 2.0))
        codes[:, dim] = rng.choice(CARDS[dim], n, p=weights)
    follows = rng.random(n) < 0.8
    codes[:, 8] = np.where(follows, codes[:, 2] % 3, codes[:, 8])
    rr = np.where(rng.random(n) < 0.6, -rng.beta(4, 2, n), rng.lognormal(0.2, 0.8, n))
    return {
        "group": group,
        "scope_codes": codes,
        "rr": np.minimum(rr, 33.0),
        "closed_at": hour * 3600 + rng.integers(0, 3600, n),
        "baseline": rng.normal(0.1, 0.2, n),
        "time_rank": rng.random(n),
    }
