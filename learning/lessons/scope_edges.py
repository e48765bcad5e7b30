"""The edge of a scope against its group: evidence, score, posterior, in one value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from learning.domain.scope import ScopeValue
from learning.evidence.block_statistics import (
    BlockEvidence,
    Blocks,
    ClipLimits,
    Floats,
    ScopeSets,
    block_evidence,
    block_mean_variance,
    clip_limits,
    distinct_trades,
    time_blocks,
)
from learning.evidence.significance import (
    Clustering,
    ModeratedVariance,
    ZScores,
    delta_skewness,
    iid_variance,
    level_trades,
    level_variance_ratios,
    prior_tie,
    prior_variance,
    z_scores,
)
from learning.evidence.trade_events import GroupKey, TradeEvents
from learning.lessons.posterior import EdgePosterior, EdgePrior, edge_posterior

ScopePairs = tuple[tuple[str, ScopeValue], ...]
"""The conditions of a scope, in dimension order; empty: the whole group."""

TOWARD_ZERO_SHARE = 0.25


@dataclass(frozen=True)
class OutcomeScale:
    """What a run takes from the outcomes of all its trades, and freezes.

    Attributes:
        clip: Limits that outcomes are clipped to.
        sd_rr: Standard deviation of the clipped outcome over distinct trades.
        skewness: Its population skewness.
    """

    clip: ClipLimits
    sd_rr: float
    skewness: float


def outcome_scale(events: TradeEvents, *, clip: ClipLimits | None = None) -> OutcomeScale:
    """Measure the clipped outcome over the distinct trades.

    Raises:
        ValueError: If there are no trades.
    """
    limits = clip or clip_limits(events)
    y = distinct_trades(events, limits.clip(events.rr))
    sd = float(y.std())
    return OutcomeScale(clip=limits, sd_rr=sd, skewness=float(stats.skew(y)) if sd > 0 else 0.0)


@dataclass(frozen=True)
class EvidenceReference:
    """What a discovery look learned from all scopes at once, frozen until the next look.

    Standing lessons are refreshed against it, so that their numbers move with their own
    trades only.
    """

    dims: tuple[str, ...]
    scale: OutcomeScale
    clustering: Clustering
    prior_dof: float
    prior: EdgePrior

    def to_json(self) -> dict[str, Any]:
        """Return plain values from which :meth:`from_json` makes an equal reference."""
        return {
            "dims": list(self.dims),
            "clip_low_rr": self.scale.clip.low_rr,
            "clip_high_rr": self.scale.clip.high_rr,
            "outcome_sd_rr": self.scale.sd_rr,
            "outcome_skewness": self.scale.skewness,
            "clustering_by_mask": [list(pair) for pair in self.clustering.by_mask.items()],
            "clustering_by_size": [list(pair) for pair in self.clustering.by_size.items()],
            "prior_dof": self.prior_dof,
            "prior_scales_rr": list(self.prior.scales_rr),
            "prior_weights": list(self.prior.weights),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> EvidenceReference:
        """Read what :meth:`to_json` wrote."""
        return cls(
            dims=tuple(stored["dims"]),
            scale=OutcomeScale(
                clip=ClipLimits(stored["clip_low_rr"], stored["clip_high_rr"]),
                sd_rr=stored["outcome_sd_rr"],
                skewness=stored["outcome_skewness"],
            ),
            clustering=Clustering(
                by_mask={int(mask): rho for mask, rho in stored["clustering_by_mask"]},
                by_size={int(size): rho for size, rho in stored["clustering_by_size"]},
            ),
            prior_dof=stored["prior_dof"],
            prior=EdgePrior(tuple(stored["prior_scales_rr"]), tuple(stored["prior_weights"])),
        )


@dataclass(frozen=True)
class GroupTrades:
    """The trades of one (pattern_key, action_category), in time order."""

    key: GroupKey
    dims: tuple[str, ...]
    levels: tuple[tuple[ScopeValue, ...], ...]
    scope_codes: npt.NDArray[np.int16]
    closed_at_days: Floats
    outcome: Floats
    trade: npt.NDArray[np.int64]
    weeks: Blocks

    @property
    def n(self) -> int:
        """Number of trades."""
        return len(self.outcome)

    @property
    def n_levels(self) -> tuple[int, ...]:
        """Number of levels per dimension."""
        return tuple(len(values) for values in self.levels)

    def scope_pairs(self, codes: npt.NDArray[np.int16]) -> ScopePairs:
        """Return the conditions that a row of level codes stands for."""
        return tuple(
            (name, values[code])
            for name, values, code in zip(self.dims, self.levels, codes.tolist(), strict=True)
            if code >= 0
        )


def trades_by_group(events: TradeEvents, clip: ClipLimits) -> Iterator[GroupTrades]:
    """Yield the groups that have trades, of events in canonical order."""
    starts = np.searchsorted(events.group, np.arange(len(events.groups) + 1))
    for code, key in enumerate(events.groups):
        rows = slice(int(starts[code]), int(starts[code + 1]))
        if rows.stop > rows.start:
            yield GroupTrades(
                key=key,
                dims=events.dims,
                levels=events.levels,
                scope_codes=events.scope_codes[rows],
                closed_at_days=events.closed_at_days[rows],
                outcome=clip.clip(events.rr[rows]),
                trade=events.trade[rows],
                weeks=time_blocks(events.closed_at_days[rows]),
            )


@dataclass(frozen=True)
class MeasuredScopes:
    """Scopes of a group with what their blocks say."""

    trades: GroupTrades
    sets: ScopeSets
    evidence: BlockEvidence
    v_iid: Floats
    prior_tie: Floats

    def take(self, chosen: npt.NDArray[np.intp]) -> MeasuredScopes:
        """Return the chosen scopes."""
        evidence = self.evidence
        return MeasuredScopes(
            trades=self.trades,
            sets=self.sets.take(chosen),
            evidence=BlockEvidence(
                delta=evidence.delta[chosen],
                influence=evidence.influence[chosen],
                v_jack=evidence.v_jack[chosen],
                n_effective_blocks=evidence.n_effective_blocks[chosen],
                design_effect=evidence.design_effect[chosen],
                trades_per_block=evidence.trades_per_block[chosen],
            ),
            v_iid=self.v_iid[chosen],
            prior_tie=self.prior_tie[chosen],
        )


def measured_scopes(trades: GroupTrades, sets: ScopeSets) -> MeasuredScopes:
    """Measure scopes of a group whose outcome varies."""
    ratios = level_variance_ratios(trades.scope_codes, trades.n_levels, trades.outcome)
    return MeasuredScopes(
        trades=trades,
        sets=sets,
        evidence=block_evidence(sets, trades.outcome, trades.weeks),
        v_iid=iid_variance(sets, ratios, float(trades.outcome.var())),
        prior_tie=prior_tie(sets, level_trades(trades.scope_codes, trades.n_levels)),
    )


@dataclass(frozen=True)
class ScoredScopes:
    """Measured scopes with their moderated variances and standard normal scores."""

    measured: MeasuredScopes
    moderation: ModeratedVariance
    skewness: Floats
    scores: ZScores

    def rescored(self, evidence: BlockEvidence) -> ZScores:
        """Score a residual outcome; prior, skewness and degrees of freedom stay."""
        return z_scores(evidence.delta, evidence.v_jack, self.moderation, self.skewness)


def scored_scopes(
    measured: MeasuredScopes,
    *,
    clustering: Clustering,
    prior_dof: float,
    outcome_skewness: float,
) -> ScoredScopes:
    """Score scopes whose trades lie in at least two blocks."""
    sets, evidence = measured.sets, measured.evidence
    moderation = ModeratedVariance(
        v_prior=prior_variance(sets, evidence, measured.v_iid, clustering),
        prior_dof=prior_dof,
        dof=evidence.dof,
        prior_tie=measured.prior_tie,
    )
    skewness = delta_skewness(sets, evidence, outcome_skewness)
    scores = z_scores(evidence.delta, evidence.v_jack, moderation, skewness)
    return ScoredScopes(measured, moderation, skewness, scores)


@dataclass(frozen=True, kw_only=True)
class ScopeEdge:
    """How much better or worse the trades of a scope did than their group.

    Attributes:
        group: The (pattern_key, action_category).
        scope: The conditions, in dimension order.
        n: Trades in scope.
        n_effective_blocks: Independent episodes among them.
        delta_group_rr: Mean of the scope minus mean of the group, clipped outcome.
        se_rr: Standard error that delta and z imply.
        se_block_rr: Moderated block standard error.
        z: Standard normal score.
        posterior_mean_rr: Shrunken edge.
        ci_low_rr: Lower end of the 95 % posterior interval.
        ci_high_rr: Upper end.
        lfsr: Probability that the sign is wrong.
        delta_q25_rr: 25 % posterior quantile toward zero, cut at 0.
        own_mean_rr: Group mean plus shrunken edge.
        own_mean_q25_rr: Lower 25 % quantile of the scope's own mean.
        sd_rr: Standard deviation of the clipped outcome in the group.
        mean_closed_at_days: Mean closing time of the trades in scope, days since 1970.
        trades: Ids of the trades in scope, in time order.
    """

    group: GroupKey
    scope: ScopePairs
    n: int
    n_effective_blocks: float
    delta_group_rr: float
    se_rr: float
    se_block_rr: float
    z: float
    posterior_mean_rr: float
    ci_low_rr: float
    ci_high_rr: float
    lfsr: float
    delta_q25_rr: float
    own_mean_rr: float
    own_mean_q25_rr: float
    sd_rr: float
    mean_closed_at_days: float
    trades: tuple[int, ...]

    @property
    def interval_excludes_zero(self) -> bool:
        """Whether the edge passes its own interval; without it, it may not size anything."""
        return self.ci_low_rr > 0 or self.ci_high_rr < 0


def scope_edge(scored: ScoredScopes, j: int, prior: EdgePrior) -> ScopeEdge:
    """Return the edge of scope *j*.

    Mean, sign and quantiles use the moderated standard error; the interval uses the larger of
    it and the one that z implies. The scope's own mean takes the errors of group mean and edge
    as independent.
    """
    measured, scores = scored.measured, scored.scores
    trades, rows = measured.trades, measured.sets.rows_of(j)
    delta, se = float(scores.delta[j]), float(np.sqrt(scores.variance[j]))
    se_effective = float(scores.se_effective[j])
    posterior = edge_posterior(prior, delta, se)
    low, high = edge_posterior(prior, delta, max(se, se_effective)).interval()
    return ScopeEdge(
        group=trades.key,
        scope=trades.scope_pairs(measured.sets.codes[j]),
        n=len(rows),
        n_effective_blocks=float(measured.evidence.n_effective_blocks[j]),
        delta_group_rr=delta,
        se_rr=se_effective,
        se_block_rr=se,
        z=float(scores.z[j]),
        posterior_mean_rr=posterior.mean_rr,
        ci_low_rr=low,
        ci_high_rr=high,
        lfsr=posterior.lfsr,
        delta_q25_rr=posterior.toward_zero(TOWARD_ZERO_SHARE, sign=delta),
        **_own_mean(trades, posterior),
        sd_rr=float(trades.outcome.std()),
        mean_closed_at_days=float(trades.closed_at_days[rows].mean()),
        trades=tuple(trades.trade[rows].tolist()),
    )


def _own_mean(trades: GroupTrades, posterior: EdgePosterior) -> dict[str, float]:
    own = posterior.plus(
        float(trades.outcome.mean()), block_mean_variance(trades.outcome, trades.weeks) or 0.0
    )
    return {
        "own_mean_rr": own.mean_rr,
        "own_mean_q25_rr": own.quantile(TOWARD_ZERO_SHARE),
    }
