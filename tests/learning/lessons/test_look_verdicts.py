from datetime import UTC, datetime
from typing import Any

import pytest

from learning.lessons.evidence_record import EvidenceRecord
from learning.lessons.look_verdicts import Standing, look_verdict, unmeasured_verdict

SIZE_UP = {"capital_levers": {"size_mult": 1.1}, "execution_levers": {}}
SIZE_DOWN = {"capital_levers": {"size_mult": 0.9}, "execution_levers": {}}


def record(low: float, high: float, effect: Any = SIZE_UP) -> EvidenceRecord:
    return EvidenceRecord(
        key=("pm.trend.S1.flag", "entry"),
        scope={"bucket": "micro"},
        lesson_type="pm_strength",
        n=100,
        stats={"posterior_mean_rr": (low + high) / 2, "ci_low_rr": low, "ci_high_rr": high},
        effect=effect,
        strength=0.5,
        mean_closed_at=datetime(2024, 1, 1, tzinfo=UTC),
        excludes_zero=not low <= 0 <= high,
        trades=(),
    )


def standing(status: Any, *, weak_looks: int = 0, low: float = 0.2, high: float = 0.6) -> Standing:
    stats = {"posterior_mean_rr": (low + high) / 2, "ci_low_rr": low, "ci_high_rr": high}
    return Standing(status, stats, SIZE_UP, weak_looks)


CLEAR, WEAK = record(0.2, 0.6), record(-0.1, 0.5)


def test_two_weak_looks_in_a_row_retire_a_lesson() -> None:
    first = look_verdict(standing("active"), WEAK, is_look=True, was_found=False)
    assert (first.decision, first.weak_looks) == (None, 1)
    second = look_verdict(standing("active", weak_looks=1), WEAK, is_look=True, was_found=False)
    assert second.decision == "retire"
    assert "2 discovery looks" in second.reason


def test_a_clear_look_between_starts_the_count_again() -> None:
    verdict = look_verdict(standing("active", weak_looks=1), CLEAR, is_look=True, was_found=True)
    assert (verdict.decision, verdict.weak_looks) == (None, 0)


def test_other_runs_spend_no_look() -> None:
    verdict = look_verdict(standing("active", weak_looks=1), WEAK, is_look=False, was_found=False)
    assert (verdict.decision, verdict.weak_looks) == (None, 1)


def test_an_active_lesson_whose_effect_changes_sign_goes_back_to_proposed() -> None:
    turned = record(-0.6, -0.2, SIZE_DOWN)
    verdict = look_verdict(standing("active"), turned, is_look=False, was_found=False)
    assert (verdict.decision, verdict.raises_version) == ("refresh", True)


def test_an_active_lesson_that_grew_keeps_its_version() -> None:
    grown = record(0.4, 0.9, {"capital_levers": {"size_mult": 1.2}, "execution_levers": {}})
    verdict = look_verdict(standing("active"), grown, is_look=False, was_found=False)
    assert (verdict.decision, verdict.raises_version, verdict.writes_evidence) == (
        None, False, True,
    )  # fmt: skip


def test_a_proposal_whose_interval_came_to_contain_zero_is_watched() -> None:
    verdict = look_verdict(standing("proposed"), WEAK, is_look=False, was_found=False)
    assert verdict.decision == "watch"


def test_a_watched_lesson_is_proposed_only_where_a_look_found_it_clear() -> None:
    at_look = look_verdict(standing("watch"), CLEAR, is_look=True, was_found=True)
    between = look_verdict(standing("watch"), CLEAR, is_look=False, was_found=False)
    not_found = look_verdict(standing("watch"), CLEAR, is_look=True, was_found=False)
    assert (at_look.decision, between.decision, not_found.decision) == ("propose", None, None)


def test_a_rejection_stands_until_the_evidence_is_another_finding() -> None:
    same = look_verdict(standing("rejected"), CLEAR, is_look=True, was_found=True)
    assert (same.decision, same.writes_evidence) == (None, False)
    other = look_verdict(standing("rejected"), record(0.7, 1.1), is_look=True, was_found=True)
    assert (other.decision, other.raises_version) == ("propose", True)
    between = look_verdict(standing("rejected"), record(0.7, 1.1), is_look=False, was_found=False)
    assert between.decision is None


@pytest.mark.parametrize(("found", "decision"), [(CLEAR, "propose"), (WEAK, "watch")])
def test_a_retired_lesson_comes_back_where_a_look_finds_it(
    found: EvidenceRecord, decision: str
) -> None:
    assert (
        look_verdict(standing("retired"), found, is_look=True, was_found=True).decision == decision
    )
    assert look_verdict(standing("retired"), found, is_look=False, was_found=False).decision is None


def test_what_a_person_disabled_is_refreshed_and_stays_disabled() -> None:
    verdict = look_verdict(standing("disabled"), CLEAR, is_look=True, was_found=True)
    assert (verdict.decision, verdict.writes_evidence) == (None, True)


def test_what_can_no_longer_be_measured_is_not_approvable_and_then_retired() -> None:
    first = unmeasured_verdict(standing("proposed"), is_look=False)
    assert (first.decision, first.weak_looks, first.writes_evidence) == ("watch", 0, False)
    active = unmeasured_verdict(standing("active"), is_look=True)
    assert (active.decision, active.weak_looks) == (None, 1)
    again = unmeasured_verdict(standing("active", weak_looks=1), is_look=True)
    assert again.decision == "retire"
    assert unmeasured_verdict(standing("rejected", weak_looks=1), is_look=True).decision is None
