from __future__ import annotations

from typing import Any

import pytest

from learning.lessons.life_cycle import (
    JOB_DECISIONS,
    STATUSES,
    EdgeSeen,
    Status,
    effect_change,
    may_be_proposed_again,
    next_status,
    possible_decisions,
    refreshed,
)


def effect(**levers: Any) -> dict[str, Any]:
    capital = {name: value for name, value in levers.items() if name.endswith("aggression_mult")}
    execution = {name: value for name, value in levers.items() if name not in capital}
    return {"capital_levers": capital, "execution_levers": execution}


@pytest.mark.parametrize("status", STATUSES)
def test_no_job_activates_or_rejects(status: Status) -> None:
    reached = {next_status(decision, status) for decision in JOB_DECISIONS}
    assert not reached & {"active", "rejected"}


def test_what_a_person_disabled_a_job_can_only_retire() -> None:
    reached = {decision: next_status(decision, "disabled") for decision in JOB_DECISIONS}
    assert {decision: to for decision, to in reached.items() if to} == {"retire": "retired"}


def test_a_person_decides_only_on_what_waits_or_runs() -> None:
    assert {status: possible_decisions(status) for status in STATUSES} == {
        "watch": (),
        "proposed": ("approve", "reject"),
        "active": ("disable", "renew"),
        "disabled": ("approve",),
        "retired": (),
        "rejected": (),
    }


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (effect(trail_mult=1.10), effect(trail_mult=1.12), "same"),  # one step
        (effect(trail_mult=1.10), effect(trail_mult=1.13), "moved"),
        (effect(trail_mult=1.10), effect(trail_mult=1.0), "moved"),
        (effect(trail_mult=1.10), effect(), "moved"),
        (effect(trail_mult=1.01), effect(trail_mult=0.99), "redirected"),
        (effect(), effect(trail_mult=1.01), "redirected"),
        (effect(), effect(trail_mult=1.0), "moved"),  # named, and doing nothing
        (effect(entry_delay_bars=1), effect(entry_delay_bars=2), "same"),
        (effect(entry_delay_bars=1), effect(entry_delay_bars=3), "moved"),
        (effect(exit_aggression_mult=0.9), effect(exit_aggression_mult=1.1), "redirected"),
        (effect(phase_scaling={"S1": 0.9}), effect(phase_scaling={"S1": 0.9}), "same"),
        (effect(phase_scaling={"S1": 0.9}), effect(phase_scaling={"S2": 0.9}), "redirected"),
        (effect(signal_thresholds={"t": 0.4}), effect(signal_thresholds={"t": 0.4}), "same"),
        (effect(signal_thresholds={"t": 0.4}), effect(signal_thresholds={"t": 0.5}), "moved"),
        (effect(), effect(signal_thresholds={"t": 0.4}), "redirected"),
    ],
)
def test_how_far_an_effect_has_changed(
    before: dict[str, Any], after: dict[str, Any], expected: str
) -> None:
    assert effect_change(before, after) == expected


def test_an_active_lesson_that_turns_round_goes_back_to_be_proposed() -> None:
    found = refreshed("active", "redirected")
    assert (found.raises_version, found.decision) == (True, "refresh")
    assert next_status("refresh", "active") == "proposed"


def test_an_active_lesson_keeps_its_approval_while_its_levers_keep_their_sides() -> None:
    assert not refreshed("active", "moved").raises_version


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "active"])
@pytest.mark.parametrize("change", ["moved", "redirected"])
def test_what_is_not_active_is_a_new_version_with_every_change(status: Any, change: Any) -> None:
    found = refreshed(status, change)
    assert (found.raises_version, found.decision) == (True, None)


@pytest.mark.parametrize("edge_rr", [0.19, 0.61, -0.4])
def test_a_rejected_lesson_returns_when_its_edge_leaves_its_old_interval(edge_rr: float) -> None:
    rejected = EdgeSeen(0.4, 0.2, 0.6)
    assert may_be_proposed_again(rejected, EdgeSeen(edge_rr, edge_rr - 0.1, edge_rr + 0.1))


def test_a_rejected_lesson_does_not_return_for_more_of_the_same() -> None:
    assert not may_be_proposed_again(EdgeSeen(0.4, 0.2, 0.6), EdgeSeen(0.45, 0.4, 0.5))
