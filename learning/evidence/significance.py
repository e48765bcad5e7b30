"""How surprising a scope's difference is: moderated variance, skewness, z.

The jackknife variance of one scope rests on few weeks. It is therefore moderated by what the
scope's levels, its mask and all other scopes say about it; the skewness of outcomes, which
gives a plain t a fat left tail, is removed; what is left is a z that means what it says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import optimize, special, stats

from learning.evidence.block_statistics import (
    MIN_POOLED_BLOCKS,
    BlockEvidence,
    Floats,
    Ints,
    ScopeSets,
)

LEVEL_PSEUDO_TRADES: Final = 50.0
MASK_PSEUDO_DOF: Final = 20.0
VARIANCE_FLOOR: Final = 0.1
CLUSTERING_SCALE: Final = 0.05
MAX_PRIOR_DOF: Final = 60.0  # what the variance of a level's few hundred skewed trades is worth
MIN_SPREAD_DOF: Final = 4.0  # below, the log of a variance is too wild to measure spread
SQUARED_MEDIAN_DEVIATION_TO_VARIANCE: Final = 2.198  # 1 / 0.6745^2: median to variance, normal


def level_variance_ratios(
    scope_codes: npt.NDArray[np.int16], n_levels: Sequence[int], outcome: Floats
) -> list[Floats]:
    """Return, per dimension and level, the level's variance over the group's, shrunk to 1.

    Fifty trades of the group's own variance are added to each level. A scope's own sample
    variance is not used: with a fat right tail it is smallest where no big win was drawn.

    Examples:
        Level 0 holds outcomes 0 and 2 (variance 1), the group's variance is 2.5.

        >>> import numpy as np
        >>> codes = np.array([[0], [0], [1], [1]], dtype=np.int16)
        >>> level_variance_ratios(codes, (2,), np.array([0.0, 2, 2, 4]))[0].round(4).tolist()
        [0.9808, 0.9808]
    """
    variance = outcome.var()
    ratios = []
    for i, levels in enumerate(n_levels):
        present = scope_codes[:, i] >= 0
        code, y = scope_codes[present, i], outcome[present]
        n = np.bincount(code, minlength=levels).astype(np.float64)
        mean = np.bincount(code, weights=y, minlength=levels) / np.maximum(n, 1)
        squares = np.bincount(code, weights=(y - mean[code]) ** 2, minlength=levels)
        prior = LEVEL_PSEUDO_TRADES * variance
        ratios.append((squares + prior) / ((n + LEVEL_PSEUDO_TRADES) * variance))
    return ratios


def iid_variance(sets: ScopeSets, ratios: Sequence[Floats], variance: float) -> Floats:
    """Return the variance of each scope's delta if its trades were independent, shape (s,).

    This is Var(mean of scope - mean of group) where trades of the scope have another variance
    than the group; the product of the ratios of its levels stands for that variance.

    Args:
        sets: The scopes.
        ratios: Per dimension and level, from :func:`level_variance_ratios`.
        variance: Population variance of the group's outcome.
    """
    own = np.full(len(sets.n), variance)
    for i, ratio in enumerate(ratios):
        code = sets.codes[:, i]
        used = code >= 0
        own[used] *= ratio[code[used]]
    n, share = sets.n, sets.n / sets.n_rows
    unequal = own * (1 - 2 * share) / n + variance / sets.n_rows
    return np.maximum(unequal, VARIANCE_FLOOR * variance * (1 - share) / n)


def level_trades(scope_codes: npt.NDArray[np.int16], n_levels: Sequence[int]) -> tuple[Floats, ...]:
    """Return, per dimension and level, the group's trades of that level."""
    return tuple(
        np.bincount(code[code >= 0], minlength=levels).astype(np.float64)
        for code, levels in zip(scope_codes.T, n_levels, strict=True)
    )


def prior_tie(sets: ScopeSets, trades_of_level: Sequence[Floats]) -> Floats:
    """Return how far the prior variance of each scope moves with its mean, shape (s,).

    Of skewed outcomes, mean and variance go together: without a big win both are small. The
    mean of n trades has, with the sample variance of a level that holds them, n / n_level of
    the covariance that it has with the variance of its own trades; the fifty trades that the
    level is shrunk by leave n / (n_level + 50) of it. What scope and level share with the group
    cancels, and as the ratios of the levels multiply, their logs add up. 0 is a variance that
    is known, 1 one that the scope's own trades gave.

    Args:
        sets: The scopes.
        trades_of_level: Per dimension and level, from :func:`level_trades`.

    Examples:
        25 trades in two levels of 50, of a group of 100: twice 25 / 100 * (50 / 75).

        >>> import numpy as np
        >>> from learning.evidence.block_statistics import scope_sets
        >>> codes = np.array([[i % 2, i % 4 // 2] for i in range(100)], dtype=np.int16)
        >>> sets = scope_sets(codes, (2, 2)).take(np.array([4]))
        >>> prior_tie(sets, level_trades(codes, (2, 2))).round(4).tolist()
        [0.3333]
    """
    tie = np.zeros(len(sets.n))
    for i, held in enumerate(trades_of_level):
        code = sets.codes[:, i]
        used = code >= 0
        n, n_level = sets.n[used], held[code[used]]
        beyond_group = (1 - n_level / sets.n_rows) / (1 - n / sets.n_rows)
        tie[used] += n / (n_level + LEVEL_PSEUDO_TRADES) * beyond_group
    return np.minimum(tie, 1.0)


@dataclass(frozen=True)
class Clustering:
    """How much the variance of a mask's scopes grows with the trades they have per block.

    Attributes:
        by_mask: Correlation of trades in one block, per mask of dimensions.
        by_size: The same per number of dimensions, for masks that were not seen.
    """

    by_mask: Mapping[int, float]
    by_size: Mapping[int, float]

    def of(self, mask: Ints, n_dims: Ints) -> Floats:
        """Return the correlation that belongs to each scope, 0 where nothing is known."""
        pairs = zip(mask.tolist(), n_dims.tolist(), strict=True)
        return np.array([self.by_mask.get(m, self.by_size.get(k, 0.0)) for m, k in pairs])


@dataclass(frozen=True)
class PooledScopes:
    """The columns of all groups' scopes that pooling reads, each of shape (s,)."""

    mask: Ints
    n_dims: Ints
    v_jack: Floats
    v_iid: Floats
    dof: Floats
    trades_per_block: Floats

    @classmethod
    def of_groups(cls, groups: Sequence[tuple[ScopeSets, BlockEvidence, Floats]]) -> PooledScopes:
        """Join the scopes of all groups that have at least four effective blocks."""
        kept = [evidence.n_effective_blocks >= MIN_POOLED_BLOCKS for _, evidence, _ in groups]

        def joined(columns: list[npt.NDArray]) -> npt.NDArray:
            parts = [column[keep] for column, keep in zip(columns, kept, strict=True)]
            return np.concatenate(parts) if parts else np.empty(0)

        return cls(
            mask=joined([sets.mask for sets, _, _ in groups]).astype(np.int64),
            n_dims=joined([sets.n_dims for sets, _, _ in groups]).astype(np.int64),
            v_jack=joined([evidence.v_jack for _, evidence, _ in groups]),
            v_iid=joined([v_iid for _, _, v_iid in groups]),
            dof=joined([evidence.dof for _, evidence, _ in groups]),
            trades_per_block=joined([evidence.trades_per_block for _, evidence, _ in groups]),
        )


def fit_clustering(scopes: PooledScopes) -> Clustering:
    """Estimate, per mask over all groups, the correlation of trades within a block.

    A weighted least squares slope of (v_jack / v_iid - 1) on the trades per block beyond one,
    with weight falling where a block holds many trades, and each mask shrunk to the masks of
    its size by twenty degrees of freedom. Never negative.

    Examples:
        Five scopes of one mask whose variance is 1 + 0.2 (trades per block - 1) times v_iid:

        >>> import numpy as np
        >>> seen = np.array([1.5, 2, 3, 4, 6])
        >>> fit_clustering(PooledScopes(
        ...     mask=np.full(5, 3), n_dims=np.full(5, 2), v_jack=1 + 0.2 * (seen - 1),
        ...     v_iid=np.ones(5), dof=np.full(5, 9.0), trades_per_block=seen,
        ... )).by_mask[3].__round__(6)
        0.2
    """
    extra = scopes.trades_per_block - 1
    weight = scopes.dof / (1 + CLUSTERING_SCALE * extra) ** 2
    top = weight * (scopes.v_jack / scopes.v_iid - 1) * extra
    bottom = weight * extra**2
    by_size: dict[int, float] = {}
    by_mask: dict[int, float] = {}
    for k in np.unique(scopes.n_dims).tolist():
        of_size = scopes.n_dims == k
        dof = scopes.dof[of_size].sum()
        prior_top = MASK_PSEUDO_DOF * top[of_size].sum() / dof
        prior_bottom = MASK_PSEUDO_DOF * bottom[of_size].sum() / dof
        by_size[k] = _slope(prior_top, prior_bottom)
        for mask in np.unique(scopes.mask[of_size]).tolist():
            chosen = scopes.mask == mask
            by_mask[mask] = _slope(
                top[chosen].sum() + prior_top, bottom[chosen].sum() + prior_bottom
            )
    return Clustering(by_mask=by_mask, by_size=by_size)


def _slope(top: float, bottom: float) -> float:
    return max(0.0, float(top / bottom)) if bottom > 0 else 0.0


def prior_dof(scopes: PooledScopes, clustering: Clustering) -> float | None:
    """Return how many degrees of freedom the prior variance is worth, None if none can say.

    The more the log variance ratios spread beyond what their own degrees of freedom explain,
    the less the prior is worth. The median of squared deviations keeps single scopes from
    deciding; the value is capped at 60.

    References:
        Smyth (2004), Stat. Appl. Genet. Mol. Biol. 3(1), article 3, section 6.2.
    """
    usable = (scopes.dof > MIN_SPREAD_DOF) & (scopes.v_jack > 0)
    if not usable.any():
        return None
    half = scopes.dof[usable] / 2
    rho = clustering.of(scopes.mask[usable], scopes.n_dims[usable])
    expected = scopes.v_iid[usable] * (1 + rho * (scopes.trades_per_block[usable] - 1))
    spread = np.log(scopes.v_jack[usable] / expected) - special.digamma(half) + np.log(half)
    deviation = np.median((spread - np.median(spread)) ** 2)
    excess = SQUARED_MEDIAN_DEVIATION_TO_VARIANCE * deviation - special.polygamma(1, half).mean()
    return dof_of_excess(float(excess))


def dof_of_excess(excess: float) -> float:
    """Invert trigamma(d0 / 2) = excess for d0, capped at 60.

    Examples:
        >>> round(dof_of_excess(0.2), 3), dof_of_excess(-1.0)
        (10.967, 60.0)
    """
    if excess <= special.polygamma(1, MAX_PRIOR_DOF / 2):
        return MAX_PRIOR_DOF
    low = 1e-9
    if excess >= special.polygamma(1, low):
        return 2 * low
    return 2 * float(
        optimize.brentq(lambda half: special.polygamma(1, half) - excess, low, MAX_PRIOR_DOF / 2)
    )


@dataclass(frozen=True)
class ModeratedVariance:
    """Variance of each scope's delta, between the prior's and the jackknife's.

    Attributes:
        v_prior: Shape (s,), what levels and mask let expect.
        prior_dof: Degrees of freedom that the prior is worth.
        dof: Shape (s,), degrees of freedom of the jackknife.
        prior_tie: Shape (s,), how far ``v_prior`` moves with delta: 0 known, 1 studentised.
    """

    v_prior: Floats
    prior_dof: float
    dof: Floats
    prior_tie: Floats

    @property
    def total_dof(self) -> Floats:
        """Shape (s,), degrees of freedom of the moderated variance."""
        return self.prior_dof + self.dof

    @property
    def jackknife_share(self) -> Floats:
        """Shape (s,), weight of the jackknife variance."""
        return self.dof / self.total_dof

    @property
    def studentised_share(self) -> Floats:
        """Shape (s,), how far the moderated variance moves with delta, 1 for the jackknife's."""
        return self.jackknife_share + (1 - self.jackknife_share) * self.prior_tie

    def moderate(self, v_jack: Floats) -> Floats:
        """Return the weighted mean of prior and jackknife variance, shape (s,)."""
        return (self.prior_dof * self.v_prior + self.dof * v_jack) / self.total_dof


def prior_variance(
    sets: ScopeSets, evidence: BlockEvidence, v_iid: Floats, clustering: Clustering
) -> Floats:
    """Return the variance to expect of each scope's delta before its own weeks are looked at."""
    rho = clustering.of(sets.mask, sets.n_dims)
    return v_iid * (1 + rho * (evidence.trades_per_block - 1))


def delta_skewness(sets: ScopeSets, evidence: BlockEvidence, outcome_skewness: float) -> Floats:
    """Return the skewness of each scope's delta, shape (s,).

    Args:
        sets: The scopes.
        evidence: Their block evidence, for the design effect.
        outcome_skewness: Population skewness of the clipped outcome over all trades of the run.
    """
    share = sets.n / sets.n_rows
    return outcome_skewness * (1 - share) / (np.sqrt(sets.n) * evidence.design_effect**1.5)


@dataclass(frozen=True)
class ZScores:
    """Standard normal scores with the standard errors that belong to them, shape (s,) each."""

    z: Floats
    variance: Floats
    delta: Floats

    @property
    def se_effective(self) -> Floats:
        """The standard error that delta and z imply: |delta| / |z|."""
        with np.errstate(divide="ignore", invalid="ignore"):
            implied = np.abs(self.delta) / np.abs(self.z)
        return np.where(np.isfinite(implied) & (implied > 0), implied, np.sqrt(self.variance))


def z_scores(
    delta: Floats, v_jack: Floats, moderation: ModeratedVariance, skewness: Floats
) -> ZScores:
    """Turn differences into standard normal scores, corrected for skewness.

    Args:
        delta: Shape (s,).
        v_jack: Shape (s,), jackknife variances.
        moderation: The prior they are moderated by.
        skewness: Shape (s,), of delta.

    References:
        Hall (1992), J. R. Stat. Soc. B 54(1), 221-228: the monotone cubic; its studentised
        term is weighted by how far the variance moves with delta.
    """
    variance = moderation.moderate(v_jack)
    t = hall_transform(delta / np.sqrt(variance), skewness, moderation.studentised_share)
    p_one_tail = stats.t.sf(np.abs(t), moderation.total_dof)
    z = np.sign(t) * stats.norm.isf(np.maximum(p_one_tail, np.finfo(np.float64).tiny))
    return ZScores(z=z, variance=variance, delta=delta)


def hall_transform(t: Floats, skewness: Floats, studentised_share: Floats) -> Floats:
    """Remove the skewness of t by a monotone cubic.

    With a known variance (share 0) the skewness enters as it is, fully studentised (share 1)
    as minus twice itself.

    Examples:
        h = 1 for share 0: 2 - 0.3 * 4/6 + 0.09 * 8/108 + 0.3/6

        >>> import numpy as np
        >>> hall_transform(np.array([2.0]), np.array([0.3]), np.array([0.0])).round(6).tolist()
        [1.856667]
    """
    h = (1 - 3 * studentised_share) * skewness
    return t - h * t**2 / 6 + h**2 * t**3 / 108 + skewness / 6
