"""What an edge is worth after the winner's curse: a mixture prior and its posterior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import scipy  # loads a part of itself when it is used first: pages need no search for roots

if TYPE_CHECKING:  # nor the compiler that stands behind these
    from learning.evidence.block_statistics import Floats

PRIOR_SCALES: Final = (0.0, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8)  # in sd of the clipped outcome
NULL_PSEUDO_COUNTS: Final = 10.0
_EM_STEPS: Final = 200


@dataclass(frozen=True, slots=True)
class EdgePrior:
    """Edges of all scopes of a run: a mixture of normals around 0, one a point at 0.

    Attributes:
        scales_rr: Standard deviation of each component, R; the first is 0.
        weights: Share of each component; they sum to 1.
    """

    scales_rr: tuple[float, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.scales_rr) != len(self.weights):
            raise ValueError(
                f"a prior has one weight per scale, got {len(self.scales_rr)} scales and "
                f"{len(self.weights)} weights"
            )
        if abs(sum(self.weights) - 1) > 1e-6 or min(self.weights) < 0:
            raise ValueError(f"prior weights must sum to 1, got {self.weights}")


def fit_edge_prior(
    delta: Floats,
    variance: Floats,
    *,
    outcome_sd: float,
    pseudo_counts: Sequence[float] = (NULL_PSEUDO_COUNTS, *[0.0] * (len(PRIOR_SCALES) - 1)),
) -> EdgePrior:
    """Fit the mixture to all eligible scopes of a run by expectation maximisation.

    Ten pseudo-counts on the point at 0 keep the prior honest where few scopes speak.

    Args:
        delta: Shape (s,), differences of the scopes, R.
        variance: Shape (s,), their moderated variances.
        outcome_sd: Standard deviation of the clipped outcome over all trades of the run.
        pseudo_counts: One for each scale: what is believed before any measurement.

    References:
        Stephens (2017), Biostatistics 18(2), 275-294.

    Examples:
        >>> import numpy as np
        >>> prior = fit_edge_prior(np.zeros(50), np.full(50, 0.01), outcome_sd=2.0)
        >>> prior.weights[0] > 0.9, prior.scales_rr
        (True, (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6))
    """
    scales = outcome_sd * np.array(PRIOR_SCALES)
    log_likelihood = _log_marginals(delta, variance, scales)
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    pseudo = np.array(pseudo_counts)
    weights = np.full(len(scales), 1 / len(scales))
    for _ in range(_EM_STEPS):
        mixed = likelihood @ weights
        counts = weights * (likelihood / mixed[:, None]).sum(axis=0) + pseudo
        weights = counts / counts.sum()
    return EdgePrior(scales_rr=tuple(scales.tolist()), weights=tuple(weights.tolist()))


def _log_marginals(delta: Floats, variance: Floats, scales: Floats) -> Floats:
    """Log density of delta under each component, shape (s, components), up to a constant."""
    total = variance[:, None] + scales[None, :] ** 2
    return -0.5 * (np.log(total) + delta[:, None] ** 2 / total)


@dataclass(frozen=True)
class EdgePosterior:
    """What a run believes of one edge: a mixture of normals, one component a point at 0.

    Attributes:
        weights: Shape (m,), posterior share of each component.
        means_rr: Shape (m,).
        sds_rr: Shape (m,), 0 for the point.
    """

    weights: Floats
    means_rr: Floats
    sds_rr: Floats

    @property
    def mean_rr(self) -> float:
        """Posterior mean, R."""
        return float(self.weights @ self.means_rr)

    @property
    def lfsr(self) -> float:
        """Local false sign rate: the smaller of P(edge <= 0) and P(edge >= 0)."""
        mirrored = EdgePosterior(self.weights, -self.means_rr, self.sds_rr)
        return min(self.cdf(0.0), mirrored.cdf(0.0))

    def cdf(self, edge_rr: float) -> float:
        """Return P(edge <= edge_rr)."""
        point = self.sds_rr == 0
        spread = np.where(point, 1.0, self.sds_rr)
        smooth = scipy.special.ndtr((edge_rr - self.means_rr) / spread)
        step = (edge_rr >= self.means_rr).astype(np.float64)
        return float(self.weights @ np.where(point, step, smooth))

    def quantile(self, share: float) -> float:
        """Return the smallest edge whose cdf reaches the share, R."""
        low = float((self.means_rr - 10 * self.sds_rr).min()) - 1e-9
        high = float((self.means_rr + 10 * self.sds_rr).max()) + 1e-9
        for at in self.means_rr[self.sds_rr == 0].tolist():  # a jump: the answer may be the point
            if self.cdf(np.nextafter(at, -np.inf)) < share <= self.cdf(at):
                return float(at)
        root = scipy.optimize.brentq(lambda edge: self.cdf(edge) - share, low, high, xtol=1e-12)
        return float(root)

    def interval(self, share: float = 0.95) -> tuple[float, float]:
        """Return the equal-tailed interval, R."""
        return self.quantile((1 - share) / 2), self.quantile((1 + share) / 2)

    def toward_zero(self, share: float, *, sign: float) -> float:
        """Return the quantile on the side of 0, cut at 0.

        Args:
            share: For a positive edge this quantile, for a negative one ``1 - share``.
            sign: Direction of the edge, positive or negative.
        """
        if sign >= 0:
            return max(0.0, self.quantile(share))
        return min(0.0, self.quantile(1 - share))

    def plus(self, mean_rr: float, variance: float) -> EdgePosterior:
        """Return the posterior of the edge plus an independent normal quantity."""
        return EdgePosterior(
            weights=self.weights,
            means_rr=self.means_rr + mean_rr,
            sds_rr=np.sqrt(self.sds_rr**2 + variance),
        )


def edge_posterior(prior: EdgePrior, delta_rr: float, se_rr: float) -> EdgePosterior:
    """Return the posterior of one edge that was measured as delta with a standard error.

    Raises:
        ValueError: If the standard error is not positive.

    Examples:
        A normal prior of sd 1 and a measurement 1 +- 1 meet half way:

        >>> posterior = edge_posterior(EdgePrior((0.0, 1.0), (0.0, 1.0)), 1.0, 1.0)
        >>> round(posterior.mean_rr, 6), round(posterior.quantile(0.5), 6)
        (0.5, 0.5)
    """
    if not se_rr > 0:
        raise ValueError(f"se_rr must be above 0, got {se_rr}")
    scales, weights = np.array(prior.scales_rr), np.array(prior.weights)
    log_marginal = _log_marginals(np.array([delta_rr]), np.array([se_rr**2]), scales)[0]
    log_marginal[weights == 0] = -np.inf
    raw = weights * np.exp(log_marginal - log_marginal.max())
    kept = scales**2 / (scales**2 + se_rr**2)
    return EdgePosterior(
        weights=raw / raw.sum(),
        means_rr=kept * delta_rr,
        sds_rr=np.sqrt(kept) * se_rr,
    )
