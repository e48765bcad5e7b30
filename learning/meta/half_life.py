"""How fast an edge fades: an exponential decay fitted to weekly edges, with honest doubt.

Model: ``edge(t) = e0 exp(-rate t)`` without an offset (an offset is not identifiable at
realistic sizes), weekly noise variance ``sigma^2 / n + tau^2``, a prior over the rates learned
from all lessons at once. A half-life is named only where two independent ways of looking
agree that the edge decays; everything else is absent, with its reason in words.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from learning.evidence.edge_history import (
    BREAK_DAYS,
    WINDOW_DAYS,
    EdgeHistory,
    SegmentEdge,
    pooled_within_variance,
    segment_edge,
    segments,
)

FloatArray = npt.NDArray[np.float64]

MIN_WINDOWS = 8
MIN_TRADES = 60
MIN_LESSONS_FOR_PRIOR = 10
START_EDGE_SD_RR = 1.5
"""Prior standard deviation of the edge at t = 0, R."""
IMPROVING_PRIOR = 0.05
FLIP_Z = 2.0
_VARIANCE_FLOOR = 1e-6
"""R squared: outcomes within a thousandth of R count as equal, so that weights stay finite."""

RATES_PER_DAY: FloatArray = math.log(2) * np.concatenate(
    [
        -1 / np.geomspace(30.0, 3000.0, 25),  # doubling in 30 ... 3000 days
        [0.0],
        1 / np.geomspace(3000.0, 5.0, 90),  # halving in 3000 ... 5 days
    ]
)
"""Shape (116,), rising: improving, constant, ever faster decay."""


class DecayState(enum.StrEnum):
    """What can be said about an edge over time."""

    DECAYING = "decaying"
    IMPROVING = "improving"
    SIGN_FLIP = "sign_flip"
    UNDETERMINED = "undetermined"


def decay_rate_weights(*, median_days: float, log_sd: float, p_constant: float) -> FloatArray:
    """Spread belief over the grid of rates: a constant edge, improving ones, decaying ones.

    Args:
        median_days: Median half-life of a decaying edge, days.
        log_sd: Standard deviation of the log half-life.
        p_constant: Share of edges that do not change; 5 % are taken to improve.

    Returns:
        Probability of each of ``RATES_PER_DAY``, shape (116,), summing to 1.

    Examples:
        >>> weights = decay_rate_weights(median_days=90.0, log_sd=1.0, p_constant=0.25)
        >>> float(weights[RATES_PER_DAY == 0][0]), round(float(weights.sum()), 12)
        (0.25, 1.0)
    """
    decaying, growing = RATES_PER_DAY > 0, RATES_PER_DAY < 0
    log_halflife = np.log(math.log(2) / RATES_PER_DAY[decaying])
    bell = np.exp(-0.5 * ((log_halflife - math.log(median_days)) / log_sd) ** 2)
    weights = np.where(RATES_PER_DAY == 0, p_constant, 0.0)
    weights[decaying] = bell / bell.sum() * (1 - p_constant - IMPROVING_PRIOR)
    weights[growing] = IMPROVING_PRIOR / growing.sum()
    return weights


@dataclass(frozen=True, slots=True, eq=False)
class DecayPrior:
    """Belief about decay rates before a lesson's own history is read.

    Attributes:
        median_days: Median half-life of a decaying edge under the likeliest choice, days.
        log_sd: Standard deviation of the log half-life under that choice.
        p_constant: Share of edges that do not change under that choice.
        n_lessons: Lessons it was learned from; 0 for the default.
        weights: Shape (116,), probability of each of ``RATES_PER_DAY``.
    """

    median_days: float
    log_sd: float
    p_constant: float
    n_lessons: int
    weights: FloatArray = field(repr=False)


DEFAULT_PRIOR = DecayPrior(
    median_days=90.0,
    log_sd=1.0,
    p_constant=0.25,
    n_lessons=0,
    weights=decay_rate_weights(median_days=90.0, log_sd=1.0, p_constant=0.25),
)
"""Used when fewer than 10 lessons can be fitted."""

_CHOICES: tuple[tuple[float, float, float], ...] = tuple(
    product((30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 270.0), (0.4, 0.7, 1.0), (0.05, 0.2, 0.4, 0.6))
)
"""Median half-life in days, log standard deviation, share of constant edges."""

_CURVE_MOMENTS = 30
_BROAD_LOG_SD = 1.0
_BROAD_SHARE = 0.15
"""Share of the learned prior that keeps its full width: a too narrow choice costs coverage."""


@dataclass(frozen=True, slots=True, eq=False)
class DecayPosterior:
    """Belief about decay rate and starting edge after reading the history.

    Attributes:
        weights: Shape (116,), probability of each of ``RATES_PER_DAY``.
        start_mean_rr: Shape (116,), expected edge at t = 0 given the rate, R.
        start_variance_rr: Shape (116,), its variance, R squared.
        origin_days: Where t = 0 lies, days since 1970-01-01 UTC.
        end_days: Last trade of the history.
        p_decaying: Probability that the edge decays.
        p_constant: Probability that it stays.
        p_improving: Probability that it grows.
        median_days: Posterior median half-life; infinite when decay is less likely than not.
        ci_low_days: Lower end of the 95 % interval of the half-life; may be infinite.
        ci_high_days: Upper end; may be infinite.
    """

    weights: FloatArray = field(repr=False)
    start_mean_rr: FloatArray = field(repr=False)
    start_variance_rr: FloatArray = field(repr=False)
    origin_days: float
    end_days: float
    p_decaying: float
    p_constant: float
    p_improving: float
    median_days: float
    ci_low_days: float
    ci_high_days: float

    @property
    def p_constant_or_improving(self) -> float:
        """Probability that no half-life exists."""
        return self.p_constant + self.p_improving


@dataclass(frozen=True, slots=True, eq=False)
class ProfileInterval:
    """95 % interval of the half-life from the profile likelihood, free of any prior.

    Attributes:
        low_days: Shortest half-life that the history allows; infinite if none is needed.
        high_days: Longest; infinite when a constant or improving edge is allowed too.
        excludes_constant: Whether every rate at or below 0 is ruled out.
        excludes_decay: Whether every rate at or above 0 is ruled out.
    """

    low_days: float
    high_days: float
    excludes_constant: bool
    excludes_decay: bool


@dataclass(frozen=True, slots=True, eq=False)
class HalfLife:
    """What a history says about the decay of its edge.

    Attributes:
        state: One of the four states.
        reason: The state in words.
        n: Trades in the segment that was fitted.
        windows: Windows in the segment that was fitted.
        decay_halflife_hours: Posterior median; absent unless the state is ``decaying``.
        posterior: The fit; absent when there was too little to fit.
        profile: The cross-check; absent with the fit.
        segment_edges: Mean edges between breaks, in order of time; the last was fitted.
    """

    state: DecayState
    reason: str
    n: int
    windows: int
    decay_halflife_hours: float | None
    posterior: DecayPosterior | None
    profile: ProfileInterval | None
    segment_edges: tuple[SegmentEdge, ...]


@dataclass(frozen=True, slots=True, eq=False)
class HalfLives:
    """The fits of many lessons and the prior they share.

    Attributes:
        fits: One per history, in the order given.
        prior: Learned from the histories, or the default when fewer than 10 could be fitted.
    """

    fits: tuple[HalfLife, ...]
    prior: DecayPrior


@dataclass(frozen=True, slots=True, eq=False)
class DecayCurve:
    """The fitted edge over time with a pointwise 95 % band.

    Attributes:
        at_days: Shape (T,), days since 1970-01-01 UTC.
        edge_rr: Shape (T,), posterior mean, R.
        low_rr: Shape (T,), 2.5 % quantile.
        high_rr: Shape (T,), 97.5 % quantile.
    """

    at_days: FloatArray
    edge_rr: FloatArray
    low_rr: FloatArray
    high_rr: FloatArray


def fit_half_lives(histories: Sequence[EdgeHistory]) -> HalfLives:
    """Fit every lesson's half-life under one prior learned from all of them.

    The prior averages 84 shapes (median half-life 30-270 days, three widths, share of constant
    edges 0.05-0.6), each weighted by its marginal likelihood summed over the lessons
    (empirical Bayes). Fit lessons only: without an edge a marginal likelihood prefers fast
    decay, because a curve that fades predicts the coming zero well.

    Args:
        histories: One per lesson.

    Returns:
        Fits in the same order, and the prior.
    """
    read = [_Reading.of(history) for history in histories]
    prior = _learned_prior(
        [each.likelihood.log_marginal for each in read if each.likelihood is not None]
    )
    return HalfLives(tuple(each.under(prior) for each in read), prior)


def fit_half_life(history: EdgeHistory, *, prior: DecayPrior | None = None) -> HalfLife:
    """Fit the decay of one edge and say in words what is known.

    After a break of more than 180 days only the part since the break is fitted; the mean
    edges of all parts are reported side by side.

    Args:
        history: Weekly edges of a lesson.
        prior: Belief about rates; the default one when absent.

    Returns:
        State, reason and, only where the edge decays, a half-life. ``decaying`` needs both a
        posterior and a profile-likelihood interval above zero.
    """
    return _Reading.of(history).under(prior or DEFAULT_PRIOR)


def decay_curve(posterior: DecayPosterior, at_days: FloatArray) -> DecayCurve:
    """Draw the fitted edge with its band.

    Args:
        posterior: A fit.
        at_days: Shape (T,), moments, days since 1970-01-01 UTC.

    Returns:
        Posterior mean and pointwise 95 % band over all rates, not only the likeliest.
    """
    decay = np.exp(-np.outer(at_days - posterior.origin_days, RATES_PER_DAY))
    mean = decay * posterior.start_mean_rr
    sd = decay * np.sqrt(posterior.start_variance_rr)
    return DecayCurve(
        at_days=at_days,
        edge_rr=mean @ posterior.weights,
        low_rr=_mixture_quantile(mean, sd, posterior.weights, 0.025),
        high_rr=_mixture_quantile(mean, sd, posterior.weights, 0.975),
    )


def fitted_edges(fit: HalfLife, history: EdgeHistory) -> DecayCurve | None:
    """Draw a fit at the windows that it was fitted to.

    Args:
        fit: Of this history.
        history: Weekly edges of the lesson.

    Returns:
        The curve at ``history.mean_closed_at_days[-fit.windows:]``, the windows since the last
        long break; absent where nothing was fitted. With more than 30 windows the curve is
        computed at 30 moments and drawn straight between them.
    """
    if fit.posterior is None:
        return None
    at_days = history.mean_closed_at_days[-fit.windows :]
    if len(at_days) <= _CURVE_MOMENTS:
        return decay_curve(fit.posterior, at_days)
    curve = decay_curve(fit.posterior, np.linspace(at_days[0], at_days[-1], _CURVE_MOMENTS))
    parts = (
        np.interp(at_days, curve.at_days, part)
        for part in (curve.edge_rr, curve.low_rr, curve.high_rr)
    )
    return DecayCurve(at_days, *parts)


def sign_flip_reason(history: EdgeHistory, *, sign: int | None = None) -> str | None:
    """Say why the edge has turned round, if it has.

    The last third of the windows must stand against the earlier edge with |z| above 2. To decide
    about retiring a lesson pass only windows after its discovery (``EdgeHistory.since``) and
    the sign it was found with: earlier windows flatter it.

    Args:
        history: At least 8 windows and 60 trades, else nothing is said.
        sign: +1 or -1, the sign of the lesson; absent takes that of the first two thirds.

    Returns:
        The reason in words, or nothing.
    """
    if _too_little(history) is not None:
        return None
    tail = math.ceil(len(history) / 3)
    weight = 1 / _window_variances(history)
    late, late_se = _weighted_mean(history.edge_rr[-tail:], weight[-tail:])
    early, _ = _weighted_mean(history.edge_rr[:-tail], weight[:-tail])
    before = math.copysign(1.0, early) if sign is None else float(sign)
    z = late / late_se
    if before * z > -FLIP_Z:
        return None
    return (
        f"the last {tail} of {len(history)} windows show {late:+.2f} R (z = {z:+.1f}) "
        f"against {'a positive' if before > 0 else 'a negative'} edge before"
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Likelihood:
    """Gaussian likelihood of a history on the grid of rates, starting edge integrated out."""

    log_marginal: FloatArray  # (116,), up to a constant
    start_mean_rr: FloatArray  # (116,)
    start_variance_rr: FloatArray  # (116,)
    weighted_rss: FloatArray  # (116,), smallest over the starting edge
    windows: int

    @classmethod
    def of(cls, history: EdgeHistory) -> _Likelihood:
        decay = history.mean_decay(RATES_PER_DAY, origin_days=_origin_days(history))
        weight = 1 / _window_variances(history)
        squares = (decay**2) @ weight
        cross = decay @ (weight * history.edge_rr)
        precision = squares + 1 / START_EDGE_SD_RR**2
        return cls(
            log_marginal=cross**2 / (2 * precision) - np.log(precision) / 2,
            start_mean_rr=cross / precision,
            start_variance_rr=1 / precision,
            weighted_rss=weight @ history.edge_rr**2 - cross**2 / squares,
            windows=len(history),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """A history cut at its breaks, its last part read as far as no prior is needed."""

    current: EdgeHistory
    segment_edges: tuple[SegmentEdge, ...]
    likelihood: _Likelihood | None
    lack: str

    @classmethod
    def of(cls, history: EdgeHistory) -> _Reading:
        parts = segments(history)
        current = parts[-1] if parts else history
        lack = _too_little(current)
        likelihood = _Likelihood.of(current) if lack is None else None
        since = f" since the break of over {BREAK_DAYS:.0f} days" if len(parts) > 1 else ""
        return cls(current, tuple(map(segment_edge, parts)), likelihood, f"{lack}{since}")

    def under(self, prior: DecayPrior) -> HalfLife:
        if self.likelihood is None:
            return self._without_fit()
        posterior = _posterior(self.likelihood, prior, self.current)
        profile = _profile_interval(self.likelihood)
        state, reason = _state(self.current, posterior, profile)
        decaying = state is DecayState.DECAYING
        return HalfLife(
            state=state,
            reason=reason,
            n=self.current.n_trades,
            windows=len(self.current),
            decay_halflife_hours=posterior.median_days * 24 if decaying else None,
            posterior=posterior,
            profile=profile,
            segment_edges=self.segment_edges,
        )

    def _without_fit(self) -> HalfLife:
        return HalfLife(
            state=DecayState.UNDETERMINED,
            reason=self.lack,
            n=self.current.n_trades,
            windows=len(self.current),
            decay_halflife_hours=None,
            posterior=None,
            profile=None,
            segment_edges=self.segment_edges,
        )


def _origin_days(history: EdgeHistory) -> float:
    return float(history.window[0] * WINDOW_DAYS)


def _window_variances(history: EdgeHistory) -> FloatArray:
    """Noise variance per window: sampling inside it plus what a whole week shares."""
    pooled = pooled_within_variance(history)
    if pooled is None:  # one trade a week: inside and between cannot be told apart
        _, rss, _ = _line_fit(history, np.ones(len(history)))
        return np.full(len(history), max(rss / (len(history) - 2), _VARIANCE_FLOOR))
    sampling = max(pooled, _VARIANCE_FLOOR) / history.n
    return sampling + _between_variance(history, 1 / sampling)


def _between_variance(history: EdgeHistory, weight: FloatArray) -> float:
    """Method of moments around a weighted straight line (DerSimonian & Laird 1986)."""
    _, rss, trace = _line_fit(history, weight)
    return max(0.0, (rss - (len(history) - 2)) / trace)


def _line_fit(history: EdgeHistory, weight: FloatArray) -> tuple[FloatArray, float, float]:
    """Weighted straight line: coefficients, weighted RSS, and E[RSS] per unit of tau^2."""
    time = history.mean_closed_at_days - history.mean_closed_at_days.mean()
    design = np.column_stack([np.ones(len(time)), time])
    gram = design.T @ (weight[:, None] * design)
    coefficients = np.linalg.solve(gram, design.T @ (weight * history.edge_rr))
    residual = history.edge_rr - design @ coefficients
    leverage = np.einsum("wi,ij,wj->w", design, np.linalg.inv(gram), design) * weight
    return coefficients, float(weight @ residual**2), float(weight @ (1 - leverage))


def _learned_prior(log_marginals: Sequence[FloatArray]) -> DecayPrior:
    """Average the possible priors by how well each explains all lessons together."""
    if len(log_marginals) < MIN_LESSONS_FOR_PRIOR:
        return DEFAULT_PRIOR
    rows = np.stack(log_marginals)  # (lessons, 116)
    choices = np.stack([_choice_weights(*choice) for choice in _CHOICES])  # (84, 116)
    peak = rows.max(axis=1, keepdims=True)
    evidence = np.log(np.exp(rows - peak) @ choices.T).sum(axis=0)
    belief = np.exp(evidence - evidence.max())
    median_days, log_sd, p_constant = _CHOICES[int(np.argmax(evidence))]
    return DecayPrior(median_days, log_sd, p_constant, len(rows), belief @ choices / belief.sum())


def _choice_weights(median_days: float, log_sd: float, p_constant: float) -> FloatArray:
    narrow = decay_rate_weights(median_days=median_days, log_sd=log_sd, p_constant=p_constant)
    broad = decay_rate_weights(median_days=median_days, log_sd=_BROAD_LOG_SD, p_constant=p_constant)
    return (1 - _BROAD_SHARE) * narrow + _BROAD_SHARE * broad


def _posterior(likelihood: _Likelihood, prior: DecayPrior, history: EdgeHistory) -> DecayPosterior:
    mass = prior.weights * np.exp(likelihood.log_marginal - likelihood.log_marginal.max())
    weights = mass / mass.sum()
    fast, median, slow = (_rate_quantile(weights, q) for q in (0.975, 0.5, 0.025))
    return DecayPosterior(
        weights=weights,
        start_mean_rr=likelihood.start_mean_rr,
        start_variance_rr=likelihood.start_variance_rr,
        origin_days=_origin_days(history),
        end_days=float(history.mean_closed_at_days[-1]),
        p_decaying=float(weights[RATES_PER_DAY > 0].sum()),
        p_constant=float(weights[RATES_PER_DAY == 0].sum()),
        p_improving=float(weights[RATES_PER_DAY < 0].sum()),
        median_days=_halflife_days(median),
        ci_low_days=_halflife_days(fast),
        ci_high_days=_halflife_days(slow),
    )


def _rate_quantile(weights: FloatArray, level: float) -> float:
    position = int(np.searchsorted(np.cumsum(weights), level))
    return float(RATES_PER_DAY[min(position, len(RATES_PER_DAY) - 1)])


def _halflife_days(rate: float) -> float:
    return math.log(2) / rate if rate > 0 else math.inf


def _profile_interval(likelihood: _Likelihood) -> ProfileInterval:
    freedom = likelihood.windows - 2
    smallest = float(likelihood.weighted_rss.min())
    limit = stats.f.isf(0.05, 1, freedom) * max(1.0, smallest / freedom)
    allowed = RATES_PER_DAY[likelihood.weighted_rss - smallest <= limit]
    return ProfileInterval(
        low_days=_halflife_days(float(allowed.max())),
        high_days=_halflife_days(float(allowed.min())),
        excludes_constant=bool(allowed.min() > 0),
        excludes_decay=bool(allowed.max() < 0),
    )


def _state(
    history: EdgeHistory, posterior: DecayPosterior, profile: ProfileInterval
) -> tuple[DecayState, str]:
    """The strongest statement that the data support, in words."""
    flip = sign_flip_reason(history)
    if flip is not None:
        return DecayState.SIGN_FLIP, flip
    if posterior.ci_high_days < math.inf and profile.excludes_constant:
        return DecayState.DECAYING, (
            f"halves every {posterior.median_days:.0f} days "
            f"(95 % interval {posterior.ci_low_days:.0f} to {posterior.ci_high_days:.0f})"
        )
    if _rate_quantile(posterior.weights, 0.975) < 0:
        return DecayState.IMPROVING, (
            f"grows with probability {posterior.p_improving:.2f}: there is no half-life"
        )
    return DecayState.UNDETERMINED, _why_undetermined(posterior)


def _why_undetermined(posterior: DecayPosterior) -> str:
    if posterior.ci_high_days < math.inf:
        return "not identified: without a prior the windows also allow a constant edge"
    return (
        "not identified: the 95 % interval includes a constant edge "
        f"(probability of decay {posterior.p_decaying:.2f})"
    )


def _too_little(history: EdgeHistory) -> str | None:
    if len(history) < MIN_WINDOWS:
        return f"not identified: {len(history)} windows with trades, {MIN_WINDOWS} needed"
    if history.n_trades < MIN_TRADES:
        return f"not identified: {history.n_trades} trades, {MIN_TRADES} needed"
    return None


def _weighted_mean(values: FloatArray, weight: FloatArray) -> tuple[float, float]:
    total = float(weight.sum())
    return float(weight @ values) / total, 1 / math.sqrt(total)


def _mixture_quantile(
    mean: FloatArray, sd: FloatArray, weights: FloatArray, level: float
) -> FloatArray:
    """Quantile of a normal mixture per row, by bisection; all arguments share the last axis."""
    low = (mean - 9 * sd).min(axis=1)
    high = (mean + 9 * sd).max(axis=1)
    for _ in range(60):
        middle = (low + high) / 2
        below = special.ndtr((middle[:, None] - mean) / sd) @ weights < level
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    middle_of: FloatArray = (low + high) / 2
    return middle_of
