"""Edges of the cells of a displayed table, shrunk toward their group.

For looking, never for deciding: a table of forty cells shows its largest by luck, so each is
pulled toward its group by as much as the table as a whole gives reason to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_STEPS = 100
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class CellEdges:
    """Measured edges of cells against their group.

    Attributes:
        n: Shape (c,), distinct trades.
        delta: Shape (c,), mean in the cell minus mean of the group.
        se: Shape (c,), its standard error; nan with fewer than two trades or blocks.
    """

    n: Floats
    delta: Floats
    se: Floats


@dataclass(frozen=True)
class ShrunkEdges:
    """Edges after shrinking, with their 95 % intervals.

    Attributes:
        mean: Shape (c,).
        low: Shape (c,).
        high: Shape (c,).
        prior_sd: How far true edges of this table lie apart, as far as it can tell; 0 where
            its spread is no more than chance makes, and then every edge is 0.
    """

    mean: Floats
    low: Floats
    high: Floats
    prior_sd: float


def cell_edges(
    n: Floats, total: Floats, total_sq: Floats, *, group_n: Floats, group_total: Floats
) -> CellEdges:
    """Measure cells against their group, with a standard error that minds shared weeks.

    The variance is the larger of the delete-a-block jackknife (trades of a week share shocks)
    and of the one for independent trades, so that few blocks never make a cell look sure.

    Args:
        n: Shape (c, b), distinct trades of cell c in time block b.
        total: Shape (c, b), sum of their outcomes.
        total_sq: Shape (c,), sum of their squared outcomes.
        group_n: Shape (b,), trades of the whole group.
        group_total: Shape (b,), sum of their outcomes.

    References:
        Cameron, Gelbach & Miller (2008), Review of Economics and Statistics 90(3), 414-427.

    Examples:
        Two cells of a group, four trades each in two weeks:

        >>> n = np.full((2, 2), 2.0)
        >>> edges = cell_edges(n, np.array([[2.0, 4.0], [0.0, 2.0]]), np.array([12.0, 4.0]),
        ...                    group_n=n.sum(axis=0), group_total=np.array([2.0, 6.0]))
        >>> edges.delta.tolist()
        [0.5, -0.5]
    """
    cell_n, cell_total = n.sum(axis=1), total.sum(axis=1)
    all_n, all_total = group_n.sum(), group_total.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = cell_total / cell_n
        delta = mean - all_total / all_n
        left_out = (cell_total[:, None] - total) / (cell_n[:, None] - n)
        shifts = delta[:, None] - (left_out - (all_total - group_total) / (all_n - group_n))
        blocks = (n > 0).sum(axis=1)
        jackknife = (blocks - 1) / blocks * (shifts**2).sum(axis=1)
        variance = (total_sq - cell_n * mean**2) / (cell_n - 1)
        independent = np.maximum(variance, 0.0) / cell_n
    variances = np.where(np.isfinite(jackknife), np.maximum(jackknife, independent), np.nan)
    usable = (cell_n >= 2) & (blocks >= 2) & (variances > 0)
    return CellEdges(cell_n, delta, np.where(usable, np.sqrt(variances), np.nan))


def shrunk_edges(delta: Floats, se: Floats) -> ShrunkEdges:
    """Shrink measured edges toward 0 by an empirical-Bayes normal prior of their own table.

    Holds where the true edges of the table are roughly normal around their group's mean. The
    prior variance A solves ``A = sum w (delta^2 - se^2) / sum w`` with ``w = 1 / (A + se^2)``,
    cut at 0. Edges without a standard error stay nan and teach nothing.

    References:
        Morris (1983), JASA 78(381), 47-55.

    Examples:
        Four edges of +-2 with standard error 1 have A = 3, so three quarters of each remain:

        >>> shrunk_edges(np.array([2.0, -2.0, 2.0, -2.0]), np.ones(4)).mean.round(6).tolist()
        [1.5, -1.5, 1.5, -1.5]
    """
    variance = se**2
    known = np.isfinite(delta) & np.isfinite(variance)
    prior = _prior_variance(delta[known], variance[known])
    kept = prior / (prior + variance)
    spread = _Z95 * np.sqrt(kept) * se
    mean = kept * delta
    return ShrunkEdges(mean, mean - spread, mean + spread, float(np.sqrt(prior)))


def _prior_variance(delta: Floats, variance: Floats) -> float:
    if len(delta) < 2:
        return 0.0
    prior = max(float(np.mean(delta**2 - variance)), 0.0)
    for _ in range(_STEPS):
        weights = 1 / (prior + variance)
        better = max(float((weights * (delta**2 - variance)).sum() / weights.sum()), 0.0)
        if abs(better - prior) < 1e-12:
            break
        prior = better
    return prior
