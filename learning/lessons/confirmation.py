"""Confirmation: does a lesson hold on trades that closed after it was found?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy import stats

from learning.evidence.block_statistics import ELIGIBLE_N, MIN_EFFECTIVE_BLOCKS
from learning.evidence.false_discovery import q_values
from learning.evidence.trade_events import TradeEvents
from learning.lessons.scope_edges import EvidenceReference, ScopeEdge
from learning.lessons.standing import StandingScope, Undetermined, standing_edges

CONFIRMATION_LEVEL: Final = 0.10

ConfirmationStatus = Literal["pending", "confirmed", "failed"]


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
    """What the trades since a lesson was found say about it.

    Attributes:
        status: ``confirmed``, ``failed``, or ``pending`` where neither can be told yet.
        prospective: The edge on later trades only, or why there is none yet.
        p_confirm: One-sided p-value that the edge has the lesson's sign; None without an edge.
        p_fail: One-sided p-value that the edge is below the lesson's claim.
    """

    status: ConfirmationStatus
    prospective: ScopeEdge | Undetermined
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
    level: float = CONFIRMATION_LEVEL,
    eligible_n: Mapping[int, int] = ELIGIBLE_N,
) -> tuple[Confirmation, ...]:
    """Test every open candidate on the trades that closed after it was found.

    One-sided block tests with Benjamini-Hochberg over the open candidates, once for the
    lesson's sign and once against its claim. A candidate waits until its later trades would be
    enough for a search: fewest trades of its size and eight effective blocks. A lesson that
    passes both, far from 0 yet smaller than claimed, is confirmed.

    Args:
        events: All trades; those before a candidate's date are left out.
        candidates: The open candidates, all of them: their number is the price.
        reference: From the discovery look.
        level: Accepted share of wrong confirmations.
        eligible_n: Fewest later trades by number of dimensions.

    Returns:
        One confirmation per candidate, in the order given.
    """
    later = [_prospective(events, one, reference, eligible_n) for one in candidates]
    edges = [edge if isinstance(edge, ScopeEdge) else None for edge in later]
    p_confirm = [_p_sign(edge, one) for edge, one in zip(edges, candidates, strict=True)]
    p_fail = [_p_below_claim(edge, one) for edge, one in zip(edges, candidates, strict=True)]
    statuses = judged(p_confirm, p_fail, level=level)
    return tuple(map(Confirmation, statuses, later, p_confirm, p_fail))


def judged(
    p_confirm: Sequence[float | None],
    p_fail: Sequence[float | None],
    *,
    level: float = CONFIRMATION_LEVEL,
) -> list[ConfirmationStatus]:
    """Judge the open candidates by their p-values, all of them together.

    Examples:
        >>> judged([0.01, None, 0.5], [0.9, None, 0.02])
        ['confirmed', 'pending', 'failed']
    """
    confirmed, failed = rejections(p_confirm, level), rejections(p_fail, level)
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


def rejections(p_values: Sequence[float | None], level: float) -> list[bool]:
    """Say which pass Benjamini-Hochberg at a level; one without a p-value counts as 1.

    Examples:
        >>> rejections([0.01, None, 0.5], 0.1)
        [True, False, False]
    """
    if not p_values:
        return []
    filled = np.array([1.0 if p is None else p for p in p_values])
    return [bool(q <= level) for q in q_values(filled)]
