"""Which execution faults survive the search, and that noise does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from learning.lessons.execution_evidence import ExecutionTrades, MissedMedian, missed_median
from learning.lessons.execution_record import execution_targets
from learning.lessons.execution_search import (
    ExecutionFinding,
    ExecutionRun,
    execution_findings,
    standing_threshold,
    standing_timing,
)
from learning.lessons.standing import Undetermined
from tests.learning.lessons.execution_worlds import BUCKETS, THRESHOLDS, noise_world


def searched(groups: list[ExecutionTrades], **options: object) -> ExecutionRun:
    chosen = {"thresholds": THRESHOLDS, "fdr_target": 0.1, "look": 1, **options}
    return execution_findings(groups, **chosen)  # type: ignore[arg-type]


def in_bucket(group: ExecutionTrades, name: str) -> np.ndarray:
    trades = group.trades
    return trades.scope_codes[:, 0] == trades.levels[0].index(name)


def test_noise_yields_a_finding_in_at_most_a_tenth_of_the_worlds():
    """Twenty worlds at q = 0.10: more than five happen by chance in one case in ninety."""
    worlds = [noise_world(seed, n_patterns=2) for seed in range(9000, 9020)]
    assert sum(bool(searched(world).findings) for world in worlds) <= 5


def test_an_excess_of_half_an_r_is_taken_for_more_in_at_most_a_tenth_of_the_worlds():
    """The largest excess that is no fault, for every entry of one pattern of three."""
    found = 0
    for seed in range(9050, 9070):
        groups = noise_world(seed, n_patterns=3, median_rr=0.5)
        groups[0] = replace(groups[0], missed_entry_rr=groups[0].missed_entry_rr + 0.5)
        found += any(one.group == groups[0].trades.key for one in searched(groups).findings)
    assert found <= 5


def test_what_hindsight_shows_everywhere_is_no_fault_of_anyone():
    """Every path has a better price: a median of 1.2 R missed in every pattern is usual."""
    worlds = [noise_world(seed, n_patterns=3, median_rr=1.2) for seed in range(9090, 9100)]
    assert sum(bool(searched(world).findings) for world in worlds) <= 3


def test_one_pattern_alone_has_nothing_to_compare_its_hindsight_with():
    [entry, _exit] = noise_world(10, n_patterns=1, median_rr=3.0)
    run = searched([entry], thresholds={})
    assert run.findings == ()
    assert (run.n_candidates, run.n_tested) == (8, 7)  # the group itself is not


def test_exits_that_are_less_late_than_others_are_not_too_early():
    groups = noise_world(14, median_rr=1.5, n_trades=800)
    groups[1] = replace(groups[1], missed_exit_rr=groups[1].missed_exit_rr * 0.1)
    assert searched(groups, thresholds={}).findings == ()


@pytest.mark.slow
def test_in_many_worlds_of_noise_the_share_with_a_finding_is_at_most_the_target():
    """Two hundred worlds: three standard errors of 0.10 are 0.064."""
    worlds = [noise_world(seed) for seed in range(9100, 9300)]
    assert np.mean([bool(searched(world).findings) for world in worlds]) <= 0.10


def test_intervals_of_medians_hold_the_truth_in_weeks_that_share_shocks():
    """120 intervals at 95 %: three standard errors below are 0.89."""
    held = []
    for seed in range(9400, 9430):
        for group in noise_world(seed, n_patterns=4)[::2]:
            found = missed_median(group.missed_entry_rr, group.trades.closed_at_days)
            assert isinstance(found, MissedMedian)
            held.append(found.ci_low_rr <= 0.5 <= found.ci_high_rr)
    assert np.mean(held) >= 0.89


def test_outcomes_shuffled_over_their_trades_confirm_no_threshold():
    rng = np.random.default_rng(4)
    [group, *_] = noise_world(1, n_patterns=1, n_trades=900)
    better = group.signals["TS"] >= 0.6
    trades = replace(group.trades, outcome=group.trades.outcome + 1.5 * better)
    planted = replace(group, trades=trades)
    assert searched([planted]).findings
    found = 0
    for _ in range(30):
        shuffled = replace(trades, outcome=rng.permutation(trades.outcome))
        found += bool(searched([replace(group, trades=shuffled)]).findings)
    assert found <= 6


def test_entries_that_are_early_everywhere_give_one_finding_for_the_whole_group():
    groups = noise_world(7, median_rr=0.2)
    groups[0] = replace(groups[0], missed_entry_rr=groups[0].missed_entry_rr * 6)
    [found] = searched(groups).findings
    assert (found.group, found.scope) == (groups[0].trades.key, ())
    assert found.family == "entry_timing"
    assert found.estimate_rr == pytest.approx(1.2 - 0.2, abs=0.25)
    assert found.hindsight_rr == pytest.approx(0.2, abs=0.05)
    assert set(execution_targets([found]).levers) == {"entry_delay_bars", "phase1_frac_mult"}


def test_entries_that_are_early_in_one_bucket_are_found_there_and_nowhere_else():
    groups = noise_world(8, median_rr=0.2, n_trades=800)
    late = np.where(in_bucket(groups[0], "micro"), 8.0, 1.0)
    groups[0] = replace(groups[0], missed_entry_rr=groups[0].missed_entry_rr * late)
    [found] = searched(groups).findings
    assert found.scope == (("bucket", "micro"),)


def test_exits_too_early_and_too_late_are_told_apart():
    groups = noise_world(9, median_rr=0.2, n_trades=800)
    assert groups[1].trades.key[1] == "exit"
    side = np.where(in_bucket(groups[1], "micro"), 8.0, -8.0)
    groups[1] = replace(groups[1], missed_exit_rr=np.abs(groups[1].missed_exit_rr) * side)
    found = {one.scope: one for one in searched(groups).findings}
    assert found[()].estimate_rr < 0
    early = found[("bucket", "micro"),]
    assert early.estimate_rr > 0
    assert len(found) == 2
    assert execution_targets([early]).levers["trail_mult"] > 1
    assert execution_targets([found[()]]).levers["trail_mult"] < 1


def test_every_candidate_is_counted_whether_it_could_be_tested_or_not():
    """One group: itself, 4 buckets, 3 modes and 2 thresholds."""
    [entry, _exit] = noise_world(10, n_patterns=1)
    run = searched([entry])
    assert run.n_candidates == 10
    none_told = replace(entry, missed_entry_rr=np.full(entry.trades.n, np.nan))
    assert searched([none_told]).n_candidates == 2


def test_a_later_look_spends_less():
    run = searched(noise_world(10, n_patterns=1), look=3)
    assert run.level == pytest.approx(0.1 * 6 / np.pi**2 / 4)


def test_without_configured_thresholds_none_is_searched():
    [entry, _exit] = noise_world(10, n_patterns=1)
    assert searched([entry], thresholds={}).n_candidates == 8


def with_threshold(seed: int) -> ExecutionTrades:
    [group, *_] = noise_world(seed, n_patterns=1, n_trades=1500, median_rr=0.1)
    lift = np.where(group.signals["TS"] >= 0.6, 1.2, 0.0)
    return replace(group, trades=replace(group.trades, outcome=group.trades.outcome + lift))


def test_a_planted_threshold_becomes_a_finding_within_one_step():
    [found] = searched([with_threshold(11)]).findings
    assert found.family == "signal_thresholds.min_ts_for_entry"
    assert found.threshold is not None
    assert abs(found.threshold - 0.6) <= 0.1 + 1e-9
    assert execution_targets([found]).levers == {found.family: found.threshold}


def test_a_standing_finding_measured_again_on_the_same_trades_is_the_same():
    group, other = with_threshold(12), noise_world(15, median_rr=0.1)[2]
    early = replace(group, missed_entry_rr=group.missed_entry_rr * 12)
    found = {one.family: one for one in searched([early, other]).findings}
    hindsight = found["entry_timing"].hindsight_rr
    assert hindsight is not None
    timing = standing_timing(early, (), "entry_timing", hindsight_rr=hindsight, is_early=True)
    assert timing == replace(found["entry_timing"], p_value=None, q_value=None)
    before = found["signal_thresholds.min_ts_for_entry"]
    assert before.threshold is not None
    assert before.chosen_before_days is not None
    again = standing_threshold(
        early, "min_ts_for_entry", THRESHOLDS["min_ts_for_entry"],
        value=before.threshold, chosen_before_days=before.chosen_before_days,
    )  # fmt: skip
    assert again == replace(before, p_value=None, q_value=None)


def test_a_standing_scope_whose_value_is_gone_is_undetermined():
    [group, *_] = noise_world(13, n_patterns=1)
    assert BUCKETS[0] in group.trades.levels[0]
    again = standing_timing(
        group, (("bucket", "nano"),), "entry_timing", hindsight_rr=0.0, is_early=True
    )
    assert isinstance(again, Undetermined)


def finding(**changes: object) -> ExecutionFinding:
    base = ExecutionFinding(
        group=("pm.a.b.c", "entry"), scope=(), family="entry_timing", n=100,
        n_effective_blocks=20.0, estimate_rr=1.2, se_rr=0.1, ci_low_rr=1.0, ci_high_rr=1.4,
        cautious_rr=1.0, p_sign=1e-6, p_value=1e-5, q_value=1e-4, sd_rr=1.0,
        mean_closed_at_days=100.0, trades=(1, 2),
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def test_levers_follow_the_cautious_median_by_hand():
    """tanh(1) = 0.761594."""
    assert execution_targets([finding()]).levers == {
        "entry_delay_bars": pytest.approx(4 * 0.761594, abs=1e-5),
        "phase1_frac_mult": pytest.approx(1 - 0.3 * 0.761594, abs=1e-5),
    }
    late = finding(
        family="exit_timing", is_early=False, estimate_rr=-1.2, ci_low_rr=-1.4, ci_high_rr=-1.0,
        cautious_rr=-1.0,
    )  # fmt: skip
    assert execution_targets([late]).levers == {
        "trim_delay_mult": pytest.approx(1 - 0.5 * 0.761594, abs=1e-5),
        "trail_mult": pytest.approx(1 - 0.5 * 0.761594, abs=1e-5),
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"ci_low_rr": -0.1},
        {"cautious_rr": 0.49},
        {"family": "exit_timing", "is_early": False},  # it came to be too early
        {"family": "signal_thresholds.x", "threshold": 0.4, "estimate_rr": -0.4, "ci_low_rr": -1.0,
         "ci_high_rr": -0.1},
    ],
)  # fmt: skip
def test_what_is_not_clear_moves_no_lever_and_says_why(changes: dict[str, object]):
    targets = execution_targets([finding(**changes)])
    assert targets.levers == {}
    assert len(targets.withheld) == 1


def test_no_miss_however_large_leaves_the_bounds():
    huge = finding(cautious_rr=50.0, estimate_rr=60.0)
    exits = finding(
        family="exit_timing", is_early=False, cautious_rr=-50.0, estimate_rr=-60.0,
        ci_low_rr=-61.0, ci_high_rr=-50.0,
    )  # fmt: skip
    levers = {**execution_targets([huge]).levers, **execution_targets([exits]).levers}
    assert levers == {
        "entry_delay_bars": 4.0, "phase1_frac_mult": 0.7, "trim_delay_mult": 0.5, "trail_mult": 0.5,
    }  # fmt: skip
