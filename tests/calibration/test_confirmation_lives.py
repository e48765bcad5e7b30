"""A lesson's life of two years: how often it is confirmed or failed, and how often wrongly."""

from __future__ import annotations

import numpy as np
import pytest

from learning.evidence.trade_events import TradeEvents
from learning.lessons.confirmation import MOMENTS, Candidate, confirmations, judged
from learning.lessons.mining import surviving_lessons
from learning.lessons.scope_edges import EvidenceReference
from learning.lessons.standing import StandingScope

CLAIM, FOUND, WEEKS = 0.1, 20020.0, 104
SCOPE = StandingScope(("p", "entry"), (("bucket", "b0"),))


def trades(rng: np.random.Generator, weeks: int, edge_rr: float) -> TradeEvents:
    """Twenty a week with a shock each week, skewed; a quarter in scope, so much above its group."""
    n = 20 * weeks
    closed = np.sort(rng.uniform(0, 7 * weeks, n))
    codes = np.column_stack([rng.integers(0, 4, n), rng.integers(0, 3, n)]).astype(np.int16)
    shock = rng.normal(0, 0.3, weeks)[(closed // 7).astype(int)]
    lift = np.where(codes[:, 0] == 0, edge_rr / 0.75, 0.0)
    return TradeEvents(
        group=np.zeros(n, np.int32),
        groups=(("p", "entry"),),
        dims=("bucket", "bucket_leader"),
        scope_codes=codes,
        levels=(("b0", "b1", "b2", "b3"), ("c0", "c1", "c2")),
        closed_at_days=FOUND + closed,
        rr=rng.standard_gamma(1.5, n) - 1.5 + shock + lift,
        trade=np.arange(n),
    )


def ended(later: TradeEvents, reference: EvidenceReference) -> str:
    """What a lesson has come to after two years of being asked at every moment."""
    candidate = Candidate(SCOPE, FOUND, CLAIM)
    for number, moment in enumerate(MOMENTS, 1):
        so_far = later.where(later.closed_at_days <= FOUND + 7 * moment.weeks)
        [found] = confirmations(so_far, [candidate], reference=reference)
        [status] = judged([found.p_confirm], [found.p_fail], [number])
        if status != "pending":
            return status
    return "pending"


@pytest.mark.parametrize(
    ("edge_rr", "wrong"), [(0.0, "confirmed"), (CLAIM, "failed"), (2 * CLAIM, "failed")]
)
def test_a_tenth_of_the_lives_at_most_ends_wrongly(edge_rr: float, wrong: str):
    """Within three standard errors of 120 lives; asked every two weeks it was 27 to 35 %."""
    rng, n = np.random.default_rng(11), 120
    reference = surviving_lessons(trades(rng, 60, 0.0), fdr_target=0.1, look=1, seed=1).reference
    assert reference is not None
    ends = [ended(trades(rng, WEEKS, edge_rr), reference) for _ in range(n)]
    assert ends.count(wrong) / n <= 0.10 + 3 * np.sqrt(0.09 / n)
    if edge_rr == 2 * CLAIM:
        assert ends.count("confirmed") / n > 0.9
