"""Discovery: which scopes of which patterns have an edge that survives an honest search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from learning.evidence.block_statistics import (
    ELIGIBLE_N,
    MIN_EFFECTIVE_BLOCKS,
    ClipLimits,
    Floats,
    linear_influence,
    multiplier_blocks,
    scope_sets,
)
from learning.evidence.false_discovery import (
    GroupSelection,
    NullMaxima,
    group_generator,
    largest_score_p_value,
    look_level,
    null_maxima,
    select_groups,
)
from learning.evidence.significance import (
    PooledScopes,
    fit_clustering,
    prior_dof,
)
from learning.evidence.trade_events import GroupKey, TradeEvents
from learning.lessons.posterior import EdgePrior, fit_edge_prior
from learning.lessons.scope_edges import (
    EvidenceReference,
    GroupTrades,
    MeasuredScopes,
    OutcomeScale,
    ScopeEdge,
    ScoredScopes,
    measured_scopes,
    outcome_scale,
    scope_edge,
    scored_scopes,
    trades_by_group,
)
from learning.lessons.stepwise import IncrementalEdge, incremental_edge, stepwise_scopes

MIN_GROUP_TRADES: Final = 30
TAIL_Z: Final = 3.09  # one in a thousand on each side

FoundStatus = Literal["proposed", "watch"]


@dataclass(frozen=True, kw_only=True)
class FoundLesson(ScopeEdge):
    """A scope that survived the search.

    Attributes:
        critical_z: Score that chance reaches in this group at the level of the run.
        q_value: False discovery rate at which this scope would just be emitted.
        increment: What it adds to its parent.
        status: ``proposed``; ``watch`` where its own interval contains 0.
    """

    critical_z: float
    q_value: float
    increment: IncrementalEdge
    status: FoundStatus


@dataclass(frozen=True)
class GroupScores:
    """Every eligible scope of a tested group with its score, shapes (s, d) and (s,).

    ``q_value`` is None where no group of the run passed.
    """

    key: GroupKey
    scope_codes: np.ndarray
    n: np.ndarray
    delta_group_rr: Floats
    se_rr: Floats
    z: Floats
    q_value: Floats | None


@dataclass(frozen=True)
class SearchCounts:
    """What a run looked at.

    Attributes:
        n_trades: Distinct trades.
        n_searched: Scopes with enough trades, at most four dimensions.
        n_distinct: Of these, scopes that match different sets of trades.
        n_eligible: Of these, scopes with at least eight effective blocks.
        n_tested: Of these, scopes in tested groups.
        n_groups: Groups tested: the number that the level is divided by.
        n_upper_tail: Eligible scopes with z above 3.09; about one in a thousand by chance.
        n_lower_tail: Eligible scopes with z below -3.09.
    """

    n_trades: int
    n_searched: int
    n_distinct: int
    n_eligible: int
    n_tested: int
    n_groups: int
    n_upper_tail: int
    n_lower_tail: int


@dataclass(frozen=True)
class MiningRun:
    """Everything a discovery look found, and on what terms.

    Attributes:
        lessons: The lessons, by group, then in the order found.
        counts: What was looked at.
        selection: p- and q-value per group, the groups selected and the level inside them.
        critical_z: Critical score per selected group.
        scored: Every eligible scope of the tested groups.
        levels: Values behind ``scope_codes``, per dimension.
        reference: What later refreshes are measured against; None with ``reason``.
        reason: Why nothing could be measured; None where something was.
        fdr_target: Target of the first look.
        level: Error level spent by this look.
        look: 1 for the first discovery look.
        seed: Seed of the multipliers.
    """

    lessons: tuple[FoundLesson, ...]
    counts: SearchCounts
    selection: GroupSelection | None
    critical_z: Mapping[GroupKey, float]
    scored: tuple[GroupScores, ...]
    levels: tuple[tuple[str | int, ...], ...]
    reference: EvidenceReference | None
    reason: str | None
    fdr_target: float
    level: float
    look: int
    seed: int


def surviving_lessons(
    events: TradeEvents,
    *,
    fdr_target: float,
    look: int,
    seed: int,
    eligible_n: Mapping[int, int] = ELIGIBLE_N,
    clip: ClipLimits | None = None,
) -> MiningRun:
    """Search every scope of up to four dimensions and keep what chance does not explain.

    The expected share of false lessons among those emitted is at most the level of the look,
    with trades of one week allowed any dependence. The result does not depend on row order.

    Args:
        events: Closed trades; one outcome kind only.
        fdr_target: Accepted share of false lessons, in (0, 1).
        look: Number of the discovery look, from 1; each look spends error.
        seed: With look and group, decides the multipliers.
        eligible_n: Fewest trades by number of dimensions.
        clip: Limits of the outcome; by default its 0.1 % and 99 % quantiles.

    Raises:
        ValueError: If an argument breaks its rule.
    """
    level = look_level(fdr_target, look)
    canonical = events.canonical()
    search = _search(canonical, eligible_n, clip) if events.n else None
    fitted = None if search is None else _fit(search)
    tested = _Tested()
    if search is not None and fitted is not None:
        tested = _test(search, fitted, level=level, look=look, seed=seed)
    return MiningRun(
        lessons=tested.lessons,
        counts=_counts(canonical, search, fitted),
        selection=tested.selection,
        critical_z=tested.critical_z,
        scored=tested.scored,
        levels=canonical.levels,
        reference=None if fitted is None else fitted.reference,
        reason=None if fitted is not None else _why_nothing(search),
        fdr_target=fdr_target,
        level=level,
        look=look,
        seed=seed,
    )


@dataclass(frozen=True)
class _SearchedGroup:
    trades: GroupTrades
    n_searched: int
    measured: MeasuredScopes | None  # None where the outcome does not vary

    @property
    def is_tested(self) -> bool:
        return self.trades.n >= MIN_GROUP_TRADES and self.n_searched > 0


@dataclass(frozen=True)
class _Search:
    dims: tuple[str, ...]
    scale: OutcomeScale
    groups: tuple[_SearchedGroup, ...]


@dataclass(frozen=True)
class _Fitted:
    reference: EvidenceReference
    eligible: Mapping[GroupKey, ScoredScopes]


@dataclass(frozen=True)
class _Tested:
    lessons: tuple[FoundLesson, ...] = ()
    selection: GroupSelection | None = None
    critical_z: Mapping[GroupKey, float] = field(default_factory=dict)
    scored: tuple[GroupScores, ...] = ()


def _search(events: TradeEvents, eligible_n: Mapping[int, int], clip: ClipLimits | None) -> _Search:
    scale = outcome_scale(events, clip=clip)
    groups = [_searched_group(t, eligible_n) for t in trades_by_group(events, scale.clip)]
    return _Search(dims=events.dims, scale=scale, groups=tuple(groups))


def _searched_group(trades: GroupTrades, eligible_n: Mapping[int, int]) -> _SearchedGroup:
    sets = scope_sets(trades.scope_codes, trades.n_levels, eligible_n=eligible_n)
    varies = np.ptp(trades.outcome) > 0
    return _SearchedGroup(
        trades=trades,
        n_searched=sets.n_searched,
        measured=measured_scopes(trades, sets) if varies else None,
    )


def _fit(search: _Search) -> _Fitted | None:
    """Pool all groups: clustering per mask, worth of the prior variance, prior of the edges."""
    measured = [group.measured for group in search.groups if group.measured is not None]
    pooled = PooledScopes.of_groups([(m.sets, m.evidence, m.v_iid) for m in measured])
    clustering = fit_clustering(pooled)
    d0 = prior_dof(pooled, clustering)
    if d0 is None:
        return None
    eligible = {
        m.trades.key: scored_scopes(
            m.take(_eligible(m)),
            clustering=clustering,
            prior_dof=d0,
            outcome_skewness=search.scale.skewness,
        )
        for m in measured
    }
    prior = _edge_prior(eligible, search.scale)
    reference = EvidenceReference(search.dims, search.scale, clustering, d0, prior)
    return _Fitted(reference=reference, eligible=eligible)


def _eligible(measured: MeasuredScopes) -> npt.NDArray[np.intp]:
    return np.flatnonzero(measured.evidence.n_effective_blocks >= MIN_EFFECTIVE_BLOCKS)


def _edge_prior(eligible: Mapping[GroupKey, ScoredScopes], scale: OutcomeScale) -> EdgePrior:
    scores = [scored.scores for scored in eligible.values()]
    return fit_edge_prior(
        np.concatenate([s.delta for s in scores]),
        np.concatenate([s.variance for s in scores]),
        outcome_sd=scale.sd_rr,
    )


def _test(search: _Search, fitted: _Fitted, *, level: float, look: int, seed: int) -> _Tested:
    maxima = {
        group.trades.key: _null_maxima(fitted.eligible.get(group.trades.key), look, seed)
        for group in search.groups
        if group.is_tested
    }
    p_group = {
        key: 1.0 if null is None else largest_score_p_value(null, fitted.eligible[key].scores.z)
        for key, null in maxima.items()
    }
    selection = select_groups(p_group, level=level)
    critical = _critical_scores(selection, maxima)
    scored = {
        key: _group_scores(fitted.eligible[key], null, selection)
        for key, null in maxima.items()
        if null is not None
    }
    lessons = [
        lesson
        for key, limit in critical.items()
        for lesson in _lessons(fitted, scored[key], critical_z=limit)
    ]
    return _Tested(tuple(lessons), selection, critical, tuple(scored.values()))


def _null_maxima(scored: ScoredScopes | None, look: int, seed: int) -> NullMaxima | None:
    """Draw the maxima of a group; None where it has no eligible scope."""
    if scored is None or len(scored.scores.z) == 0:
        return None
    measured = scored.measured
    trades, influence = measured.trades, measured.evidence.influence
    parts = multiplier_blocks(trades.closed_at_days, trades.weeks)
    if parts is not None:
        influence = linear_influence(measured.sets, trades.outcome, parts)
    return NullMaxima(null_maxima(influence, group_generator(trades.key, look=look, seed=seed)))


def _critical_scores(
    selection: GroupSelection, maxima: Mapping[GroupKey, NullMaxima | None]
) -> dict[GroupKey, float]:
    critical = {}
    for key in selection.selected:
        null = maxima[key]
        if null is not None and selection.level is not None:
            critical[key] = null.critical(selection.level)
    return critical


def _group_scores(scored: ScoredScopes, null: NullMaxima, selection: GroupSelection) -> GroupScores:
    sets, scores = scored.measured.sets, scored.scores
    key = scored.measured.trades.key
    return GroupScores(
        key=key,
        scope_codes=sets.codes,
        n=sets.n,
        delta_group_rr=scores.delta,
        se_rr=scores.se_effective,
        z=scores.z,
        q_value=selection.q_of_scopes(key, null.tail(np.abs(scores.z))),
    )


def _lessons(fitted: _Fitted, group_scores: GroupScores, *, critical_z: float) -> list[FoundLesson]:
    scored = fitted.eligible[group_scores.key]
    taken = stepwise_scopes(scored, critical_z=critical_z)
    lessons = []
    for j in taken:
        edge = scope_edge(scored, j, fitted.reference.prior)
        assert group_scores.q_value is not None  # the group was selected
        lessons.append(
            FoundLesson(
                **{part.name: getattr(edge, part.name) for part in fields(edge)},
                critical_z=critical_z,
                q_value=float(group_scores.q_value[j]),
                increment=incremental_edge(scored, j, taken),
                status="proposed" if edge.interval_excludes_zero else "watch",
            )
        )
    return lessons


def _counts(events: TradeEvents, search: _Search | None, fitted: _Fitted | None) -> SearchCounts:
    groups = () if search is None else search.groups
    eligible = {} if fitted is None else fitted.eligible
    tested = {group.trades.key for group in groups if group.is_tested}
    z = np.concatenate([np.empty(0), *(scored.scores.z for scored in eligible.values())])
    return SearchCounts(
        n_trades=len(np.unique(events.trade)),
        n_searched=sum(group.n_searched for group in groups),
        n_distinct=sum(len(g.measured.sets.n) for g in groups if g.measured is not None),
        n_eligible=len(z),
        n_tested=sum(len(s.scores.z) for key, s in eligible.items() if key in tested),
        n_groups=len(tested),
        n_upper_tail=int((z > TAIL_Z).sum()),
        n_lower_tail=int((z < -TAIL_Z).sum()),
    )


def _why_nothing(search: _Search | None) -> str:
    if search is None:
        return "no trades"
    return "no scope has more than 4 degrees of freedom: trades from at least six weeks are needed"
