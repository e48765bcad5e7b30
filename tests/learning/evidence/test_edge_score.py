"""The displayed scores, by hand and against a restatement trade by trade."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from learning.evidence.baselines import group_ranks
from learning.evidence.edge_score import (
    EdgeWeights,
    edge_raw,
    field_coherence,
    recurrence_score,
    scope_statistics,
    time_efficiency_score,
)
from learning.evidence.moments import moments_of
from learning.evidence.scope_cube import scope_cube

SCORES = {"time_efficiency": [0.6], "field_coherence": [0.3], "recurrence": [0.9]}


def test_edge_raw_is_the_formula_by_hand():
    found = edge_raw([0.5], [1.0], [99], **SCORES)
    assert found == pytest.approx([0.5 / 2 * np.log(100) * (0.5 + 0.5 * 1.8 / 3) / 2])


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (EdgeWeights(time_efficiency=1.5), (0.5 + 0.5 * 2.1 / 3) / 2),
        (EdgeWeights(field_coherence=0.5), (0.5 + 0.5 * 1.65 / 3) / 2),
        (EdgeWeights(recurrence=0.5), (0.5 + 0.5 * 1.35 / 3) / 2),
        (EdgeWeights(variance=1.5), 0.8 / 2.5),
    ],
)
def test_each_regime_weight_moves_the_edge(weights: EdgeWeights, expected: float):
    found = edge_raw([2.0], [1.0], [np.e - 1], **SCORES, weights=weights)
    assert found == pytest.approx([expected])


def test_few_trades_leave_time_efficiency_near_one_half():
    assert time_efficiency_score([1.0, 1.0], [5, 180]) == pytest.approx([0.6, 0.95])


def test_recurrence_is_one_half_at_eight_effective_blocks():
    assert recurrence_score([8.0, 0.0]).tolist() == [0.5, 0.0]


def test_negative_blocks_are_refused():
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        recurrence_score([-1.0])


def test_a_segment_is_judged_by_the_others_only():
    # Five segments lose a little, the last wins more than all of them lose: the total is
    # positive and agrees with one segment; each left-out sum disagrees with its segment.
    segment = np.repeat(np.arange(6), 4)
    rr = np.where(segment == 5, 9.0, -0.1)
    cell, group = moments_of(rr, segment=segment), moments_of(np.zeros(24), segment=segment)
    coherence = field_coherence(cell, group)
    assert coherence.segments_tested.tolist() == [6]
    assert coherence.segments_positive.tolist() == [0]
    assert coherence.score.tolist() == [0.0]


def test_two_trades_in_a_segment_are_not_tested():
    segment = [0, 0, 1, 1, 1]
    cell, group = moments_of(np.ones(5), segment=segment), moments_of(np.zeros(5), segment=segment)
    coherence = field_coherence(cell, group)
    assert coherence.segments_tested.tolist() == [1]
    assert coherence.segments_positive.tolist() == [1]
    assert coherence.score == pytest.approx([1 / 3])


def test_a_cell_that_is_its_whole_group_agrees_with_nothing():
    rr = np.random.default_rng(1).normal(size=60)
    whole = moments_of(rr, segment=np.repeat(np.arange(6), 10))
    assert field_coherence(whole, whole).segments_positive.tolist() == [0]


def test_no_effect_scores_one_half_agreement_on_average():
    # Leave-one-out: P(agree) = 1/2 for independent symmetric segments; 3 standard errors.
    rng = np.random.default_rng(5)
    segment = np.repeat(np.arange(6), 8)
    group = moments_of(np.zeros(48), segment=segment)
    agreeing = [
        field_coherence(moments_of(rng.normal(size=48), segment=segment), group).segments_positive
        for _ in range(400)
    ]
    shares = np.array(agreeing) / 6
    assert abs(shares.mean() - 0.5) < 3 * shares.std() / np.sqrt(400)


def made(n: int, seed: int, cards: tuple[int, ...] = (3, 3, 3, 3)) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, n)
    return {
        "group": group,
        "scope_codes": np.column_stack([rng.integers(-1, card, n) for card in cards]),
        "rr": rng.normal(0.2, 1.5, n),
        "closed_at": np.sort(rng.choice(5 * n, n, replace=False)),
        "baseline": rng.normal(0.1, 0.1, n),
        "time_rank": group_ranks(group, rng.random(n)),
    }


def by_trade(trades: dict[str, Any], group: int, codes: np.ndarray, block_length: int) -> dict:
    """One cell's statistics from its trades, one by one."""
    in_group = trades["group"] == group
    asked = codes >= 0
    hits = in_group & (trades["scope_codes"][:, asked] == codes[asked]).all(axis=1)
    rr, n = trades["rr"][hits], int(hits.sum())
    rank_in_time = np.full(len(hits), -1)
    rank_in_time[in_group] = np.arange(in_group.sum())  # closed_at ascends
    segment = 6 * rank_in_time // in_group.sum()
    pulls, tested = [], []
    for s in range(6):
        own, all_ = trades["rr"][hits & (segment == s)], trades["rr"][in_group & (segment == s)]
        pulls.append(len(own) * (own.mean() - all_.mean()) if len(own) else 0.0)
        tested.append(len(own) >= 3)
    agree = [t and p * (sum(pulls) - p) > 0 for p, t in zip(pulls, tested, strict=True)]
    weeks = np.bincount(trades["closed_at"][hits] // block_length).astype(float)
    u = weeks * (1 + 0.1 * (weeks - 1))
    te = 0.5 + (trades["time_rank"][hits].mean() - 0.5) * n / (n + 20)
    fc = max(0.0, 2 * (sum(agree) + 1) / (sum(tested) + 2) - 1)
    g = u.sum() ** 2 / (u**2).sum()
    delta, var = rr.mean() - trades["baseline"][hits].mean(), rr.var()
    return {
        "n": n,
        "avg_rr": rr.mean(),
        "variance": var,
        "sum_rr": rr.sum(),
        "sum_rr_sq": (rr**2).sum(),
        "rr_baseline": trades["baseline"][hits].mean(),
        "delta_rr": delta,
        "time_efficiency": te,
        "field_coherence": fc,
        "recurrence_score": g / (g + 8),
        "segments_tested": sum(tested),
        "segments_positive": sum(agree),
        "edge_raw": delta
        / (1 + var)
        * np.log(1 + n)
        * (0.5 + 0.5 * (te + fc + g / (g + 8)) / 3)
        / (1 + var),
    }


@pytest.mark.parametrize(("seed", "cards"), [(1, (3, 3, 3, 3)), (2, (5, 7, 9, 4))])
def test_every_statistic_of_every_cell_equals_that_of_its_trades(seed: int, cards: tuple):
    trades = made(260, seed, cards)
    cube = scope_cube(**trades, n_min=[5], block_length=60)
    columns = scope_statistics(cube)
    assert len(cube) > 100
    for row, (group, codes) in enumerate(zip(cube.group, cube.scope_codes, strict=True)):
        for name, expected in by_trade(trades, group, codes, 60).items():
            found = getattr(columns, name)[row]
            assert found == pytest.approx(expected, abs=3e-5, rel=1e-6), name


@pytest.mark.parametrize("lacking", ["baseline", "time_rank", "block_length"])
def test_a_cube_without_a_column_has_no_statistics(lacking: str):
    call = {**made(60, 1), "block_length": 60, "n_min": [5]}
    del call[lacking]
    with pytest.raises(ValueError, match=f"a cube built with {lacking}"):
        scope_statistics(scope_cube(**call))
