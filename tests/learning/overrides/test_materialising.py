from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from learning.domain.levers import LEVERS, ThresholdRange, with_thresholds
from learning.overrides.materialising import (
    ActiveLesson,
    Materialised,
    Override,
    config_data,
    flat_levers,
    lever_targets_now,
    materialised_overrides,
)

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)


def lesson(lesson_id: int = 1, **changes: object) -> ActiveLesson:
    base = ActiveLesson(
        lesson_id=lesson_id, version=1, module="pm", pattern_key="pm.trend.S1.flag",
        action_category="entry", scope={"A_mode": "patient"}, lesson_type="pm_strength",
        levers={"size_mult": 1.2}, strength=1.0, decay_halflife_hours=None,
        latent_factor_id=None, mean_closed_at=NOW, activated_at=NOW,
        expires_at=NOW + timedelta(days=30),
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def as_last(override: Override) -> Materialised:
    return Materialised(override.levers, override.epoch, override.epoch_start)


def test_one_half_life_and_half_strength_leave_a_quarter() -> None:
    aged = lesson(strength=0.5, decay_halflife_hours=48.0, mean_closed_at=NOW - timedelta(hours=48))
    # 1 + 0.2 · 2^-1 · 0.5
    assert lever_targets_now([aged], now=NOW) == {1: {"size_mult": pytest.approx(1.05)}}


def test_halving_a_half_life_weakens_its_override() -> None:
    long = lesson(decay_halflife_hours=96.0, mean_closed_at=NOW - timedelta(hours=96))
    short = replace(long, decay_halflife_hours=48.0)
    strong = lever_targets_now([long], now=NOW)[1]["size_mult"]
    weak = lever_targets_now([short], now=NOW)[1]["size_mult"]
    assert strong == pytest.approx(1.1)
    assert weak == pytest.approx(1.05)


def test_lessons_of_one_factor_share_one_strength_weighted_adjustment() -> None:
    first = lesson(1, latent_factor_id="lf_a", levers={"size_mult": 1.2}, strength=0.9)
    second = lesson(2, latent_factor_id="lf_a", levers={"size_mult": 1.1}, strength=0.3)
    apart = replace(second, latent_factor_id=None)
    # decayed values 1.18 and 1.03, weights 0.9 and 0.3: 1.1425
    merged = lever_targets_now([first, second], now=NOW)
    assert merged[1] == merged[2] == {"size_mult": pytest.approx(1.1425)}
    assert lever_targets_now([first, apart], now=NOW)[2] == {"size_mult": pytest.approx(1.03)}


def test_a_level_lesson_is_not_merged_with_scope_lessons_of_its_factor() -> None:
    scope = lesson(1, latent_factor_id="lf_a")
    level = lesson(2, latent_factor_id="lf_a", lesson_type="level", levers={"size_mult": 0.8})
    targets = lever_targets_now([scope, level], now=NOW)
    assert targets == {1: {"size_mult": 1.2}, 2: {"size_mult": pytest.approx(0.8)}}


def test_a_lever_moves_one_step_a_day_however_often_the_job_runs() -> None:
    previous: dict[int, Materialised] = {}
    seen = []
    for hours in (0, 2, 4, 12, 14, 36):
        [override] = materialised_overrides([lesson()], previous, now=NOW + timedelta(hours=hours))
        previous = {1: as_last(override)}
        seen.append(override.levers["size_mult"])
    assert seen == [1.02, 1.02, 1.02, 1.04, 1.04, 1.06]


def test_a_delay_moves_one_bar_a_day_toward_its_target() -> None:
    slow = lesson(levers={"entry_delay_bars": 3.0}, lesson_type="pm_tuning")
    [first] = materialised_overrides([slow], {}, now=NOW)
    [second] = materialised_overrides([slow], {1: as_last(first)}, now=NOW + timedelta(days=1))
    assert (first.levers, second.levers) == ({"entry_delay_bars": 1.0}, {"entry_delay_bars": 2.0})


def test_a_lever_no_longer_asked_for_walks_back_and_then_goes() -> None:
    last = Materialised({"size_mult": 1.03}, NOW.date() - timedelta(days=1), {})
    bare = lesson(levers={})
    [first] = materialised_overrides([bare], {1: last}, now=NOW)
    assert first.levers == {"size_mult": 1.01}
    second = materialised_overrides([bare], {1: as_last(first)}, now=NOW + timedelta(days=1))
    assert second == []


def test_a_lesson_past_its_end_has_no_override() -> None:
    assert materialised_overrides([lesson(expires_at=NOW)], {}, now=NOW) == []


def test_steps_and_bounds_hold_from_any_start() -> None:
    for start in (0.7, 0.9, 1.0, 1.1, 1.3):
        for target in (0.7, 1.0, 1.3):
            last = Materialised({"size_mult": start}, NOW.date() - timedelta(days=3), {})
            wanted = lesson(levers={"size_mult": target})
            [override] = materialised_overrides([wanted], {1: last}, now=NOW)
            value = override.levers["size_mult"]
            assert LEVERS["size_mult"].low <= value <= LEVERS["size_mult"].high
            assert abs(value - start) <= 0.02 + 1e-9


def test_the_snapshot_separates_capital_from_execution_levers() -> None:
    both = lesson(levers={"size_mult": 1.1, "trail_mult": 1.2, "phase_scaling.S1": 0.9})
    [override] = materialised_overrides([both], {}, now=NOW)
    snapshot = config_data(
        [(7, override)], module="pm", feature_flags={}, holdout_share=0.2, generation=1, revision=3
    )
    [capital] = snapshot["pattern_strength_overrides"]
    [timing] = snapshot["pattern_overrides"]
    assert capital["levers"] == {"size_mult": 1.02}
    assert timing["levers"] == {"trail_mult": 1.02, "phase_scaling": {"S1": 0.98}}
    assert (capital["override_id"], capital["lesson"]["id"], snapshot["revision"]) == (7, 1, 3)
    assert snapshot["alloc_overrides"] == []


def test_flat_levers_undo_the_nesting() -> None:
    effect = {
        "capital_levers": {"size_mult": 1.1},
        "execution_levers": {"phase_scaling": {"S2": 1.2}},
    }
    assert flat_levers(effect) == {"size_mult": 1.1, "phase_scaling.S2": 1.2}


THRESHOLD = "signal_thresholds.min_ts_for_add"
RANGE = ThresholdRange("TS", "min", low=0.3, high=0.8, step=0.05)
TUNED = lesson(lesson_type="pm_tuning", action_category="add", levers={THRESHOLD: 0.45})


def test_a_threshold_tightens_by_one_step_a_day_and_stands_on_its_grid() -> None:
    last: dict[int, Materialised] = {}
    stood = []
    for day in range(5):
        now = NOW + timedelta(days=day)
        [override] = materialised_overrides(
            [replace(TUNED, strength=0.9)], last, now=now,
            levers=with_thresholds({"min_ts_for_add": RANGE}),
        )  # fmt: skip
        last = {1: as_last(override)}
        stood.append(override.levers[THRESHOLD])
    # target 0.3 + 0.15 · 0.9 = 0.435, which stands on 0.40
    assert stood == [0.35, 0.4, 0.4, 0.4, 0.4]


def test_a_maximum_tightens_downward() -> None:
    name = "signal_thresholds.max_edx_for_add"
    high = ThresholdRange("EDX", "max", low=0.0, high=1.0, step=0.25)
    [override] = materialised_overrides(
        [replace(TUNED, levers={name: 0.5})], {}, now=NOW,
        levers=with_thresholds({"max_edx_for_add": high}),
    )  # fmt: skip
    assert override.levers == {name: 0.75}


def test_a_threshold_without_settings_is_no_lever() -> None:
    assert materialised_overrides([TUNED], {}, now=NOW) == []


def test_a_threshold_too_weak_for_one_step_leaves_the_bots_own_value() -> None:
    weak = replace(TUNED, strength=0.3, levers={THRESHOLD: 0.45, "trail_mult": 1.2})
    [override] = materialised_overrides(
        [weak], {}, now=NOW, levers=with_thresholds({"min_ts_for_add": RANGE})
    )
    assert override.levers == {"trail_mult": 1.02}  # 0.3 + 0.15 · 0.3 lies within the first step


def test_thresholds_are_nested_where_a_bot_reads_them() -> None:
    override = Override(TUNED, {THRESHOLD: 0.35, "trail_mult": 1.02}, {}, NOW.date())
    snapshot = config_data(
        [(7, override)], module="pm", feature_flags={}, holdout_share=0.2, generation=1, revision=1
    )
    [entry] = snapshot["pattern_overrides"]
    assert entry["levers"] == {"trail_mult": 1.02, "signal_thresholds": {"min_ts_for_add": 0.35}}
    assert snapshot["pattern_strength_overrides"] == []


@pytest.mark.parametrize(
    "broken",
    [
        {"low": 0.8, "high": 0.3},
        {"step": 0.0},
        {"step": 0.6},
        {"step": 0.001},
        {"high": float("nan")},
        {"low": float("-inf")},
    ],
)
def test_a_threshold_range_that_holds_no_step_is_refused(broken: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="threshold"):
        ThresholdRange(**{"signal": "TS", "kind": "min", "low": 0.3, "high": 0.8, "step": 0.05,
                          **broken})  # fmt: skip
