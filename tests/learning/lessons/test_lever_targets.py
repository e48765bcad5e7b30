import math

import pytest

from learning.lessons.lever_targets import EdgePosterior, capital_targets, lesson_strength


def posterior(**changes: float) -> EdgePosterior:
    values = {
        "delta_q25_rr": 0.5, "own_mean_q25_rr": 0.2, "sd_rr": 2.0, "ci_low_rr": 0.2,
        "ci_high_rr": 0.9,
    }  # fmt: skip
    return EdgePosterior(**{**values, **changes})


def test_a_positive_edge_sizes_up_enters_bolder_and_exits_later() -> None:
    # d = 0.5 / 2 = 0.25, so every lever moves by tanh(0.25 / 0.5) = tanh(0.5) of its reach
    pull = math.tanh(0.5)
    levers = capital_targets(posterior(), module="pm", category="entry").levers
    assert levers == {
        "size_mult": pytest.approx(1 + 0.3 * pull, abs=1e-6),
        "entry_aggression_mult": pytest.approx(1 + 0.2 * pull, abs=1e-6),
        "exit_aggression_mult": pytest.approx(1 - 0.2 * pull, abs=1e-6),
    }


def test_a_negative_edge_cuts_and_needs_no_earning_scope() -> None:
    losing = posterior(delta_q25_rr=-0.5, own_mean_q25_rr=-0.7, ci_low_rr=-0.9, ci_high_rr=-0.2)
    targets = capital_targets(losing, module="pm", category="add")
    assert targets.withheld == {}
    assert targets.levers["size_mult"] < 1 < targets.levers["exit_aggression_mult"]


def test_better_than_its_pattern_but_losing_adds_no_risk() -> None:
    targets = capital_targets(posterior(own_mean_q25_rr=0.0), module="pm", category="entry")
    assert targets.levers == {}
    assert set(targets.withheld.values()) == {"better than its pattern, still losing"}


def test_an_interval_around_zero_moves_nothing() -> None:
    targets = capital_targets(posterior(ci_low_rr=-0.01), module="pm", category="entry")
    assert targets.levers == {}
    assert "size_mult" in targets.withheld


@pytest.mark.parametrize("category", ["trim", "exit"])
def test_the_size_of_an_exit_is_never_scaled(category: str) -> None:
    targets = capital_targets(posterior(), module="pm", category=category)  # type: ignore[arg-type]
    assert set(targets.levers) == {"exit_aggression_mult"}
    allocated = capital_targets(posterior(), module="dm", category=category)  # type: ignore[arg-type]
    assert (allocated.levers, allocated.withheld) == ({}, {})


def test_an_enormous_edge_stays_within_bounds() -> None:
    levers = capital_targets(posterior(delta_q25_rr=1e9), module="pm", category="entry").levers
    assert levers["size_mult"] == 1.3
    assert levers["exit_aggression_mult"] == 0.8


def test_strength_is_half_to_whole_of_the_sign_certainty() -> None:
    none = dict.fromkeys(("time_efficiency", "field_coherence", "recurrence"), 0.0)
    full = dict.fromkeys(("time_efficiency", "field_coherence", "recurrence"), 1.0)
    assert lesson_strength(0.1, none, {}) == pytest.approx(0.4)
    assert lesson_strength(0.1, full, {}) == pytest.approx(0.8)


def test_regime_weights_move_the_strength() -> None:
    scores = {"time_efficiency": 0.9, "field_coherence": 0.2, "recurrence": 0.5}
    neutral = lesson_strength(0.01, scores, {})
    assert lesson_strength(0.01, scores, {"time_efficiency": 1.5}) > neutral
    assert lesson_strength(0.01, scores, {"field_coherence": 1.5}) < neutral


def test_an_edge_that_is_probably_zero_has_no_strength() -> None:
    # the posterior has a point mass at 0, which counts against both signs
    assert lesson_strength(0.82, {"recurrence": 1.0}, {}) == 0.0


def test_an_lfsr_that_is_no_probability_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lfsr must be in \[0, 1\], got 1.6"):
        lesson_strength(1.6, {}, {})
