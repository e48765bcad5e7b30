"""Confirmation of execution lessons: does the fault still show on trades after it was found?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from learning.domain.levers import ThresholdRange
from learning.evidence.trade_events import GroupKey
from learning.lessons.execution_evidence import ExecutionTrades
from learning.lessons.execution_search import (
    ExecutionFinding,
    standing_threshold,
    standing_timing,
)
from learning.lessons.scope_edges import ScopePairs
from learning.lessons.standing import Undetermined


@dataclass(frozen=True, kw_only=True)
class TimingClaim:
    """What a timing lesson claimed when it was found.

    Attributes:
        group: The (pattern_key, action_category).
        scope: Its conditions.
        family: ``entry_timing`` or ``exit_timing``.
        found_at_days: When it was found, days since 1970; only later closes count.
        claim_rr: The end of its 95 % interval nearest to 0 then: the least that it claims.
        hindsight_rr: What is usual elsewhere, frozen with the look.
        is_early: Whether the fault is to be too early.
    """

    group: GroupKey
    scope: ScopePairs
    family: str
    found_at_days: float
    claim_rr: float
    hindsight_rr: float
    is_early: bool


@dataclass(frozen=True, kw_only=True)
class ThresholdClaim:
    """What a signal threshold claimed when it was found.

    Attributes:
        group: The (pattern_key, action_category).
        name: Of the threshold, in the settings.
        given: Its setting.
        value: Where it stands.
        found_at_days: When it was found; trades count from ten days later.
        claim_rr: The least that it claims.
    """

    group: GroupKey
    name: str
    given: ThresholdRange
    value: float
    found_at_days: float
    claim_rr: float


ExecutionClaim = TimingClaim | ThresholdClaim


@dataclass(frozen=True, slots=True)
class ExecutionConfirmation:
    """What the trades since an execution lesson was found say about it.

    Attributes:
        prospective: The finding on later trades only, or why there is none yet.
        p_confirm: One-sided p-value that the fault has the claimed direction.
        p_fail: One-sided p-value that it is smaller than claimed.
    """

    prospective: ExecutionFinding | Undetermined
    p_confirm: float | None = None
    p_fail: float | None = None


def execution_confirmations(
    groups: Mapping[GroupKey, ExecutionTrades], claims: Sequence[ExecutionClaim]
) -> tuple[ExecutionConfirmation, ...]:
    """Test each claim on the trades that closed after it was made.

    One-sided block tests, once for the direction and once against the claim itself. A claim
    waits until its later trades would be enough for a search. What follows is decided by
    ``judged``, at few moments.

    Args:
        groups: All trades with what their execution left; those before a claim are left out.
        claims: What lessons said when they were found.

    Returns:
        One confirmation per claim, in the order given.
    """
    later = [_prospective(groups.get(one.group), one) for one in claims]
    found = [one if isinstance(one, ExecutionFinding) else None for one in later]
    p_confirm = [_p_direction(one, claim) for one, claim in zip(found, claims, strict=True)]
    p_fail = [_p_below_claim(one, claim) for one, claim in zip(found, claims, strict=True)]
    return tuple(map(ExecutionConfirmation, later, p_confirm, p_fail))


def _prospective(
    group: ExecutionTrades | None, claim: ExecutionClaim
) -> ExecutionFinding | Undetermined:
    if group is None:
        return Undetermined("no trades of this pattern and category")
    if isinstance(claim, ThresholdClaim):
        return standing_threshold(
            group,
            claim.name,
            claim.given,
            value=claim.value,
            chosen_before_days=claim.found_at_days,
        )
    return standing_timing(
        _closed_after(group, claim.found_at_days),
        claim.scope,
        claim.family,
        hindsight_rr=claim.hindsight_rr,
        is_early=claim.is_early,
    )


def _closed_after(group: ExecutionTrades, days: float) -> ExecutionTrades:
    """Return the group with earlier trades telling nothing of what they missed."""
    later = group.trades.closed_at_days > days
    return replace(
        group,
        missed_entry_rr=np.where(later, group.missed_entry_rr, np.nan),
        missed_exit_rr=np.where(later, group.missed_exit_rr, np.nan),
    )


def _p_direction(found: ExecutionFinding | None, claim: ExecutionClaim) -> float | None:
    if found is None:
        return None
    if isinstance(claim, ThresholdClaim):
        return found.p_sign  # already that the right side is better, whatever was seen
    return found.p_sign if found.estimate_rr * _sign(claim) > 0 else 1 - found.p_sign


def _p_below_claim(found: ExecutionFinding | None, claim: ExecutionClaim) -> float | None:
    """P-value of the claim itself: the fault would be at least as large as claimed."""
    if found is None:
        return None
    short = _sign(claim) * (found.estimate_rr - claim.claim_rr)
    if found.se_rr == 0:
        return 0.0 if short < 0 else 1.0
    return float(stats.norm.cdf(short / found.se_rr))


def _sign(claim: ExecutionClaim) -> float:
    return -1.0 if isinstance(claim, TimingClaim) and not claim.is_early else 1.0
