"""A lesson claims once, on the day it is found; looks that find it again do not move the day."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.lesson_claims import claims_anew, new_claim, refreshed_claim, standing_claim

FIRST = {"claim_rr": 0.2, "claimed_at_days": 100.0}
AGAIN = {"claim_rr": 0.3, "claimed_at_days": 128.0}


def stored(status: str = "active", confirmation: str = "pending", **stats: Any) -> Any:
    return SimpleNamespace(status=status, confirmation=confirmation, stats=stats)


def test_the_claim_is_the_end_of_the_interval_nearest_to_nothing():
    now = datetime(1970, 1, 3, tzinfo=UTC)
    assert new_claim(0.1, 0.5, now) == {"claim_rr": 0.1, "claimed_at_days": 2.0}
    assert new_claim(-0.5, -0.1, now)["claim_rr"] == -0.1
    assert new_claim(-0.1, 0.5, now) == {}


def test_a_lesson_found_again_keeps_the_day_of_its_first_claim():
    assert standing_claim(stored(**FIRST), AGAIN) == FIRST


@pytest.mark.parametrize(
    "known",
    [None, stored("retired", **FIRST), stored("rejected", **FIRST), stored("watch")],
)
def test_a_lesson_that_is_new_or_had_ended_or_was_only_watched_claims_anew(known: Any):
    assert standing_claim(known, AGAIN) == AGAIN


def test_another_sign_or_another_fault_is_another_claim():
    losing = {**AGAIN, "claim_rr": -0.3}
    assert standing_claim(stored(**FIRST), losing) == losing
    exits = {**AGAIN, "claim_family": "exit_timing"}
    assert standing_claim(stored(**FIRST, claim_family="entry_timing"), exits) == exits
    assert standing_claim(stored(**FIRST), {}) == {}


def test_between_looks_only_a_change_of_sign_is_another_claim():
    known, losing = stored(**FIRST), {**AGAIN, "claim_rr": -0.3}
    assert refreshed_claim(known, AGAIN) == FIRST
    assert refreshed_claim(known, {}) == FIRST
    assert refreshed_claim(known, losing) == losing
    assert refreshed_claim(stored(confirmation="failed"), losing) == {}


def test_a_lesson_that_stands_open_without_a_claim_makes_one():
    assert refreshed_claim(stored(), AGAIN) == AGAIN


def test_another_claim_is_one_of_another_day():
    assert claims_anew(stored(**FIRST), AGAIN)
    assert claims_anew(stored(), AGAIN)
    assert not claims_anew(stored(**FIRST), FIRST)
    assert not claims_anew(stored(**FIRST), {})
