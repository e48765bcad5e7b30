"""Regime weights leave 1 only where a regime is clearly different."""

from __future__ import annotations

import numpy as np
import pytest

from learning.meta.regime_weights import LessonSegments, RegimeWeights, regime_weights


def planted(
    seed: int,
    slopes: dict[str, float],
    *,
    per_block: int = 4,
    blocks: int = 25,
    noise: float = 0.3,
    shock: float = 0.1,
) -> LessonSegments:
    """Next edge = slope of the regime x recurrence score + a shock of the block + noise."""
    rng = np.random.default_rng(seed)
    signatures = [name for name in slopes for _ in range(per_block * blocks)]
    block = np.tile(np.repeat(np.arange(blocks), per_block), len(slopes))
    scores = rng.normal(size=(len(block), 4))
    slope = np.array([slopes[name] for name in signatures])
    edge = slope * scores[:, 2] + shock * rng.normal(size=blocks)[block]
    edge += noise * rng.normal(size=len(block))
    return LessonSegments(tuple(signatures), block, scores, edge, np.ones(len(block)))


def learned(segments: LessonSegments, seed: int = 0) -> dict[str, RegimeWeights]:
    return regime_weights(segments, rng=np.random.default_rng(seed))


def test_a_regime_with_a_steeper_slope_weighs_more_and_a_flatter_one_less():
    # mean slope 0.4: the true ratios are 0.5, 1 and 1.5
    weights = learned(planted(1, {"macro=Dip": 0.2, "macro=Good": 0.4, "macro=Chop": 0.6}))
    assert weights["macro=Dip"].recurrence_score.weight == pytest.approx(0.5, abs=0.15)
    assert weights["macro=Good"].recurrence_score.weight == pytest.approx(1.0, abs=0.15)
    assert weights["macro=Chop"].recurrence_score.weight == pytest.approx(1.5, abs=0.15)
    assert weights["macro=Dip"].recurrence_score.confidence > 0.5


def test_weights_stay_between_a_half_and_one_and_a_half():
    weights = learned(planted(2, {"macro=Dip": -0.5, "macro=Good": 1.5}))
    assert weights["macro=Dip"].recurrence_score.weight == 0.5
    assert weights["macro=Good"].recurrence_score.weight == 1.5


def test_a_score_that_says_nothing_keeps_weight_one_with_its_reason():
    weights = learned(planted(3, {"macro=Dip": 0.2, "macro=Good": 0.6}))
    field = weights["macro=Dip"].field_coherence
    assert field.weight == 1.0
    assert "does not go with the next edge" in field.reason


def test_fewer_than_thirty_lesson_segments_are_neutral():
    segments = planted(4, {"macro=Dip": 0.4}, per_block=1, blocks=29)
    result = learned(segments)["macro=Dip"]
    assert result.n_samples == 29
    assert result.recurrence_score.weight == 1.0
    assert result.recurrence_score.slope_rr is None
    assert result.recurrence_score.reason == "29 lesson-segments, 30 needed"


def test_four_blocks_are_too_few_for_an_error():
    result = learned(planted(5, {"macro=Dip": 0.4}, per_block=20, blocks=4))["macro=Dip"]
    assert result.recurrence_score.reason == "4 blocks of time, 5 needed"


def test_rows_count_for_their_shorter_signatures_too():
    result = learned(planted(6, {"macro=Dip|micro=Good": 0.4, "macro=Dip|micro=Chop": 0.4}))
    assert {name: each.n_samples for name, each in result.items()} == {
        "": 200,
        "macro=Dip": 200,
        "macro=Dip|micro=Chop": 100,
        "macro=Dip|micro=Good": 100,
    }
    assert result[""].recurrence_score.weight == 1.0


def test_equal_regimes_are_rarely_told_apart():
    """At 5 % per regime, 60 of them leave 1 about 3 times; 10 is above four standard errors."""
    away = 0
    for seed in range(20):
        equal = planted(seed, {f"macro={i}": 0.3 for i in range(3)}, shock=0.2)
        result = learned(equal, seed)
        away += sum(result[f"macro={i}"].recurrence_score.weight != 1.0 for i in range(3))
    assert away < 10


def test_a_losing_lesson_counts_in_its_own_direction():
    """Turning a winning lesson into a losing one must not change what the scores say."""
    winning = planted(7, {"macro=Dip": 0.2, "macro=Good": 0.6})
    scores = winning.scores.copy()
    scores[:, 0] = 1 - scores[:, 0]
    losing = LessonSegments(
        winning.signatures, winning.block, scores, -winning.next_delta_rr, -winning.direction
    )
    assert learned(losing)["macro=Dip"].recurrence_score.slope_rr == pytest.approx(
        learned(winning)["macro=Dip"].recurrence_score.slope_rr
    )


def test_the_slope_equals_ridge_regression_by_hand():
    segments = planted(8, {"": 0.4})
    x = (segments.scores - segments.scores.mean(0)) / segments.scores.std(0)
    y = segments.next_delta_rr - segments.next_delta_rr.mean()
    # augmented rows turn ridge into least squares
    rows = np.vstack([x, np.sqrt(0.05 * len(x)) * np.eye(4)])
    want = np.linalg.lstsq(rows, np.concatenate([y, np.zeros(4)]), rcond=None)[0]
    assert learned(segments)[""].recurrence_score.slope_rr == pytest.approx(want[2])
    assert learned(segments)[""].variance.slope_rr == pytest.approx(want[3])


def test_the_bootstrap_error_sees_that_rows_of_a_block_move_together():
    rng = np.random.default_rng(9)
    block = np.repeat(np.arange(25), 8)
    scores = np.repeat(rng.normal(size=(25, 4)), 8, axis=0)  # the same within a block
    edge = np.repeat(rng.normal(size=25), 8)
    together = LessonSegments(("",) * 200, block, scores, edge, np.ones(200))
    single = LessonSegments(("",) * 200, np.arange(200), scores, edge, np.ones(200))
    clustered, iid = (learned(each)[""].variance.slope_se_rr for each in (together, single))
    assert clustered is not None
    assert iid is not None
    assert clustered / iid == pytest.approx(np.sqrt(8), rel=0.35)


def test_the_same_seed_gives_the_same_weights():
    segments = planted(10, {"macro=Dip": 0.2, "macro=Good": 0.6})
    assert learned(segments, 3) == learned(segments, 3)


def test_no_rows_no_weights_and_bad_rows_are_named():
    empty = LessonSegments((), np.zeros(0, int), np.zeros((0, 4)), np.zeros(0), np.zeros(0))
    assert learned(empty) == {}
    with pytest.raises(ValueError, match="direction must be"):
        LessonSegments(("",), np.zeros(1, int), np.zeros((1, 4)), np.zeros(1), np.zeros(1))
    with pytest.raises(ValueError, match="next_delta_rr must be finite"):
        LessonSegments(("",), np.zeros(1, int), np.zeros((1, 4)), np.array([np.nan]), np.ones(1))


def test_an_interval_belongs_to_learned_weights_and_holds_the_true_ratio_where_not_capped():
    """True ratios 0.75, 1 and 1.25, and pooled slopes that are known well."""
    slopes = {"macro=Dip": 0.3, "macro=Good": 0.4, "macro=Chop": 0.5}
    weights = learned(planted(8, slopes, per_block=40, blocks=40))
    for name, ratio in (("macro=Dip", 0.75), ("macro=Chop", 1.25)):
        low, high = weights[name].recurrence_score.interval
        assert low < weights[name].recurrence_score.weight < high
        assert low < ratio < high
        assert high - low < 0.25
    assert weights["macro=Dip"].field_coherence.interval is None
    assert weights[""].recurrence_score.interval is None
