"""Execution lessons are confirmed by trades that closed after they were found, or fail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from learning.lessons.confirmation import judged
from learning.lessons.execution_confirmation import (
    ExecutionConfirmation,
    ThresholdClaim,
    TimingClaim,
    execution_confirmations,
)
from learning.lessons.execution_evidence import ExecutionTrades
from learning.lessons.standing import Undetermined
from tests.learning.lessons.execution_worlds import THRESHOLDS, noise_world

FOUND = 200.0  # days; the worlds last 420


def entries(seed: int = 1, **changes: Any) -> ExecutionTrades:
    return replace(noise_world(seed)[0], **changes)


def timing(group: ExecutionTrades, **changes: Any) -> TimingClaim:
    claim = TimingClaim(
        group=group.trades.key,
        scope=(),
        family="entry_timing",
        found_at_days=FOUND,
        claim_rr=0.8,
        hindsight_rr=0.5,
        is_early=True,
    )
    return replace(claim, **changes)


def verdict_of(group: ExecutionTrades, claim: TimingClaim | ThresholdClaim) -> Any:
    [verdict] = execution_confirmations({group.trades.key: group}, [claim])
    return verdict


def status(found: ExecutionConfirmation) -> str:
    """What follows for a claim that is asked alone, at its last moment."""
    return judged([found.p_confirm], [found.p_fail], [4])[0]


def missed(group: ExecutionTrades, later: float) -> ExecutionTrades:
    """Early trades missed 3 R in the middle, later ones ``later``."""
    noise = np.exp(np.random.default_rng(9).normal(0, 0.5, group.trades.n))
    size = np.where(group.trades.closed_at_days > FOUND, later, 3.0)
    return replace(group, missed_entry_rr=size * noise)


def test_a_fault_that_goes_on_is_confirmed_on_later_trades_only():
    group = missed(entries(), later=1.6)
    verdict = verdict_of(group, timing(group))
    after = int((group.trades.closed_at_days > FOUND).sum())
    assert status(verdict) == "confirmed"
    assert verdict.prospective.n == after
    assert 0.8 < verdict.prospective.estimate_rr < 1.4  # 1.6 beyond the usual 0.5, not 3


def test_a_fault_that_is_no_more_than_usual_fails_its_claim():
    group = missed(entries(), later=0.5)
    verdict = verdict_of(group, timing(group))
    assert status(verdict) == "failed"
    assert verdict.p_confirm > 0.05


def test_exits_too_late_are_judged_in_their_own_direction():
    group = entries()
    late = -np.exp(np.random.default_rng(3).normal(0, 0.5, group.trades.n))
    group = replace(group, missed_exit_rr=2.0 * late)
    claim = timing(group, family="exit_timing", is_early=False, claim_rr=-0.8, hindsight_rr=-0.3)
    assert status(verdict_of(group, claim)) == "confirmed"
    mirrored = replace(group, missed_exit_rr=-group.missed_exit_rr)
    assert status(verdict_of(mirrored, claim)) == "failed"


def test_too_few_later_trades_leave_it_pending_with_a_reason():
    group = missed(entries(), later=1.6)
    verdict = verdict_of(group, timing(group, found_at_days=415.0))
    assert status(verdict) == "pending"
    assert isinstance(verdict.prospective, Undetermined)
    assert "needed" in verdict.prospective.reason


def threshold(group: ExecutionTrades) -> ThresholdClaim:
    return ThresholdClaim(
        group=group.trades.key,
        name="min_ts_for_entry",
        given=THRESHOLDS["min_ts_for_entry"],
        value=0.6,
        found_at_days=FOUND,
        claim_rr=0.7,
    )


def with_lift(group: ExecutionTrades, lift: float) -> ExecutionTrades:
    """Trades past the embargo do better by ``lift`` where the signal passes, earlier ones by 9."""
    later = group.trades.closed_at_days > FOUND + 10
    passes = group.signals["TS"] >= 0.6
    calm = np.random.default_rng(4).normal(0, 1, group.trades.n)
    outcome = calm + passes * np.where(later, lift, 9.0)
    return replace(group, trades=replace(group.trades, outcome=outcome))


def test_a_threshold_that_still_separates_is_confirmed_and_one_that_does_not_fails():
    group = with_lift(entries(), 1.5)
    verdict = verdict_of(group, threshold(group))
    assert status(verdict) == "confirmed"
    assert verdict.prospective.estimate_rr < 2.5
    group = with_lift(entries(), -0.5)
    assert status(verdict_of(group, threshold(group))) == "failed"


def test_without_claims_or_trades_there_is_nothing_to_say():
    group = entries()
    assert execution_confirmations({}, []) == ()
    [verdict] = execution_confirmations({}, [timing(group)])
    assert status(verdict) == "pending"
