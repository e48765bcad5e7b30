"""Confirmation: does a lesson hold on trades that closed after it was found?

Whoever asks at every run, and keeps the first answer that is clear, is wrong far more often than
at the level of each test: asked every two weeks for two years at 0.10, a lesson without an edge
was confirmed first in 27 to 35 % of the runs. So a lesson is asked at four declared moments, with
levels that together come to 0.10; in between its numbers are shown and nothing is decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy import stats

from learning.evidence.block_statistics import ELIGIBLE_N, MIN_EFFECTIVE_BLOCKS
from learning.evidence.false_discovery import q_values
from learning.evidence.trade_events import TradeEvents
from learning.lessons.level_lessons import LevelMean, standing_levels
from learning.lessons.scope_edges import EvidenceReference, ScopeEdge
from learning.lessons.standing import StandingScope, Undetermined, standing_edges

CONFIRMATION_LEVEL: Final = 0.10

ConfirmationStatus = Literal["pending", "confirmed", "failed"]


@dataclass(frozen=True, slots=True)
class Moment:
    """When a lesson is asked, and at what level.

    Attributes:
        weeks: Since its claim.
        level: One-sided, of this test alone.
    """

    weeks: int
    level: float


# Exact for scores that gather evenly with the weeks: by each moment (weeks / 104)^1.5 of 0.10 is
# spent, found by integrating over the boundary (Kim & DeMets 1987, Biometrika 74(1), 149-154).
MOMENTS: Final = (Moment(13, 0.0044), Moment(26, 0.0096), Moment(52, 0.0279), Moment(104, 0.0836))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A lesson that waits for its confirmation.

    Attributes:
        standing: Its identity.
        found_at_days: When it was found, days since 1970; only later closes count.
        claim_rr: The end of its 95 % interval nearest to 0 when it was found, with the sign of
            the edge: the least that it claims.
    """

    standing: StandingScope
    found_at_days: float
    claim_rr: float

    def __post_init__(self) -> None:
        if self.claim_rr == 0:
            raise ValueError("claim_rr must not be 0: such a lesson is only watched")


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What the trades since a lesson was found say about it, whenever one looks.

    Attributes:
        prospective: The edge on later trades only, or why there is none yet.
        p_confirm: One-sided p-value that the edge has the lesson's sign; None without an edge.
        p_fail: One-sided p-value that the edge is below the lesson's claim.
    """

    prospective: ScopeEdge | LevelMean | Undetermined
    p_confirm: float | None = None
    p_fail: float | None = None


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a candidate's later trades say of it alone, before it is judged among the open ones.

    Attributes:
        p_confirm: One-sided p-value that the edge has the lesson's sign; None: not enough yet.
        p_fail: One-sided p-value of the claim itself.
        told: The same in words.
    """

    p_confirm: float | None
    p_fail: float | None
    told: str


def confirmations(
    events: TradeEvents,
    candidates: Sequence[Candidate],
    *,
    reference: EvidenceReference,
    eligible_n: Mapping[int, int] = ELIGIBLE_N,
) -> tuple[Confirmation, ...]:
    """Test each candidate on the trades that closed after it was found.

    One-sided block tests, once for the lesson's sign and once against its claim. A candidate
    waits until its later trades would be enough for a search: fewest trades of its size and
    eight effective blocks. What follows is decided by ``judged``, at few moments.

    Args:
        events: All trades; those before a candidate's date are left out.
        candidates: Lessons that compare a scope with its group.
        reference: From the discovery look.
        eligible_n: Fewest later trades by number of dimensions.

    Returns:
        One confirmation per candidate, in the order given.
    """
    later = [_prospective(events, one, reference, eligible_n) for one in candidates]
    edges = [edge if isinstance(edge, ScopeEdge) else None for edge in later]
    p_confirm = [_p_sign(edge, one) for edge, one in zip(edges, candidates, strict=True)]
    p_fail = [_p_below_claim(edge, one) for edge, one in zip(edges, candidates, strict=True)]
    return tuple(map(Confirmation, later, p_confirm, p_fail))


def level_confirmations(
    net_events: TradeEvents | None, candidates: Sequence[Candidate]
) -> tuple[Confirmation, ...]:
    """Test each level on the trades that closed after it was found: their mean after costs.

    The same block t as in the search, one-sided: against 0 in the claimed direction, and
    against the claim. A level waits until its later trades would be enough for a search.

    Args:
        net_events: Closed trades with outcomes after costs; None where none has one.
        candidates: The levels.
    """
    return tuple(_level_confirmation(net_events, one) for one in candidates)


def moments_passed(since_days: float) -> int:
    """Return how many of the moments lie behind a lesson that claimed so many days ago.

    Examples:
        >>> [moments_passed(7 * weeks) for weeks in (12.9, 13, 51, 300)]
        [0, 1, 2, 4]
    """
    return sum(since_days >= 7 * one.weeks for one in MOMENTS)


def judged(
    p_confirm: Sequence[float | None], p_fail: Sequence[float | None], moments: Sequence[int]
) -> list[ConfirmationStatus]:
    """Judge the candidates that are asked at one run, all of them together.

    Benjamini-Hochberg with the levels of their moments as weights, once for the sign and once
    against the claim: with one candidate each test is at its moment's level. One that passes
    both, far from 0 yet smaller than claimed, is confirmed.

    Holds for a lesson asked at every moment until the first that tells: in about 10 % of the
    lives of two years at most an edge of 0 is confirmed, or one equal to the claim failed.
    Measured on 1000 lives each with weekly shocks and skewed outcomes, five trades a week in
    scope, a claim of 0.1 R: wrongly confirmed 10.8 %, wrongly failed 10.9 %; an edge of twice
    the claim was confirmed in 99.7 %, after 46 weeks on average, and failed in 0.2 %. Of levels,
    twenty trades a week and a claim of -0.1 R: 10.2 %, 9.3 % and 100 %. One that skips moments,
    for want of a run or of trades, is wrong less often.

    Args:
        p_confirm: One-sided p-values of the sign; None: not enough later trades, which passes
            the moment and counts in the price.
        p_fail: One-sided p-values of the claim.
        moments: At which moment each is asked, from 1.

    References:
        Genovese, Roeder & Wasserman (2006), Biometrika 93(3), 509-524 (weights of mean at
        most 1).

    Examples:
        >>> judged([0.01, None, 0.5], [0.9, None, 0.02], [4, 4, 4])
        ['confirmed', 'pending', 'failed']
        >>> judged([0.01, None, 0.5], [0.9, None, 0.02], [1, 1, 1])
        ['pending', 'pending', 'pending']
    """
    levels = [MOMENTS[moment - 1].level for moment in moments]
    confirmed, failed = _rejections(p_confirm, levels), _rejections(p_fail, levels)
    return [
        "confirmed" if well else "failed" if badly else "pending"
        for well, badly in zip(confirmed, failed, strict=True)
    ]


def _prospective(
    events: TradeEvents,
    candidate: Candidate,
    reference: EvidenceReference,
    eligible_n: Mapping[int, int],
) -> ScopeEdge | Undetermined:
    of_group = events.group == events.group_code(candidate.standing.group)
    after = events.where(of_group & (events.closed_at_days > candidate.found_at_days))
    edge = standing_edges(after, [candidate.standing], reference=reference)[0]
    if isinstance(edge, Undetermined):
        return edge
    needed = eligible_n[len(edge.scope)]
    if edge.n < needed:
        return Undetermined(f"{edge.n} trades since it was found, {needed} needed")
    if edge.n_effective_blocks < MIN_EFFECTIVE_BLOCKS:
        return Undetermined(
            f"{edge.n_effective_blocks:.1f} effective blocks since it was found, "
            f"{MIN_EFFECTIVE_BLOCKS:g} needed"
        )
    return edge


def _p_sign(edge: ScopeEdge | None, candidate: Candidate) -> float | None:
    return None if edge is None else float(stats.norm.sf(np.sign(candidate.claim_rr) * edge.z))


def _p_below_claim(edge: ScopeEdge | None, candidate: Candidate) -> float | None:
    """P-value of the claim itself: the edge would be at least as far from 0 as claimed."""
    if edge is None:
        return None
    short = np.sign(candidate.claim_rr) * (edge.delta_group_rr - candidate.claim_rr)
    return float(stats.norm.cdf(short / max(edge.se_rr, edge.se_block_rr)))


def _level_confirmation(net_events: TradeEvents | None, candidate: Candidate) -> Confirmation:
    code = None if net_events is None else net_events.group_code(candidate.standing.group)
    if net_events is None or code is None:
        return Confirmation(Undetermined("no outcome after costs is known of its trades"))
    is_later = net_events.closed_at_days > candidate.found_at_days
    later = net_events.where((net_events.group == code) & is_later)
    [mean] = standing_levels(later, (candidate.standing,))
    if isinstance(mean, Undetermined):
        return Confirmation(Undetermined(f"since it was found: {mean.reason}"))
    sign, dof = np.sign(candidate.claim_rr), mean.n_effective_blocks - 1
    short = sign * (mean.mean_rr - candidate.claim_rr) / mean.se_rr
    return Confirmation(mean, float(stats.t.sf(sign * mean.t, dof)), float(stats.t.cdf(short, dof)))


def _rejections(p_values: Sequence[float | None], levels: Sequence[float]) -> list[bool]:
    """Say which pass weighted Benjamini-Hochberg; one without a p-value counts as 1."""
    if not p_values:
        return []
    weights = np.array(levels) / CONFIRMATION_LEVEL
    filled = np.array([1.0 if p is None else p for p in p_values])
    return [bool(q <= CONFIRMATION_LEVEL) for q in q_values(np.minimum(filled / weights, 1.0))]
