"""Which of the overlapping scopes become lessons, on groups small enough to see."""

from __future__ import annotations

import numpy as np
import pytest

from learning.evidence.block_statistics import (
    BlockEvidence,
    block_evidence,
    scope_sets,
    time_blocks,
)
from learning.evidence.significance import Clustering
from learning.lessons.scope_edges import (
    GroupTrades,
    ScoredScopes,
    measured_scopes,
    scored_scopes,
)
from learning.lessons.stepwise import (
    incremental_edge,
    residual_outcome,
    simplest_sufficient,
    stepwise_scopes,
)


def scored_group(seed: int, edge: object, n_levels: int = 2) -> ScoredScopes:
    """Three dimensions of a few levels, 900 trades over 50 weeks, and a given edge."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, n_levels, (900, 3)).astype(np.int16)
    days = np.sort(rng.uniform(0, 350, 900))
    trades = GroupTrades(
        key=("pm.a", "entry"),
        dims=("x", "y", "z"),
        levels=(tuple(range(n_levels)),) * 3,
        scope_codes=codes,
        closed_at_days=days,
        outcome=rng.normal(0, 1, 900) + edge(codes),  # type: ignore[operator]
        trade=np.arange(900),
        weeks=time_blocks(days),
    )
    measured = measured_scopes(trades, scope_sets(codes, (n_levels,) * 3))
    return scored_scopes(
        measured, clustering=Clustering({}, {}), prior_dof=30.0, outcome_skewness=0.0
    )


def scopes_of(scored: ScoredScopes, taken: list[int]) -> list[dict[str, object]]:
    sets, trades = scored.measured.sets, scored.measured.trades
    return [dict(trades.scope_pairs(sets.codes[j])) for j in taken]


def test_an_effect_of_one_dimension_is_one_lesson_of_one_dimension():
    scored = scored_group(1, lambda codes: 1.0 * (codes[:, 0] == 1))
    taken = stepwise_scopes(scored, critical_z=3.5)
    assert len(taken) == 1  # the mirror image x = 0 went with it
    assert list(scopes_of(scored, taken)[0]) == ["x"]


def test_an_effect_inside_another_becomes_a_lesson_of_its_own():
    def edge(codes: np.ndarray) -> np.ndarray:
        inside = (codes[:, 0] == 1) & (codes[:, 1] == 1)
        return 1.0 * (codes[:, 0] == 1) + 1.5 * inside

    scored = scored_group(2, edge)
    found = scopes_of(scored, stepwise_scopes(scored, critical_z=3.5))
    assert {"x": 1, "y": 1} in found


def test_no_scope_over_the_critical_score_is_no_lesson():
    scored = scored_group(3, lambda codes: 0.0 * codes[:, 0])
    assert stepwise_scopes(scored, critical_z=4.0) == []


def test_no_more_than_eight_lessons_are_taken_however_low_the_bar():
    scored = scored_group(4, lambda codes: 0.0 * codes[:, 0], n_levels=3)
    taken = stepwise_scopes(scored, critical_z=1e-9)
    assert len(taken) == len(set(taken)) == 8


def test_the_residual_is_what_least_squares_leaves_with_the_mean_kept():
    scored = scored_group(5, lambda codes: 2.0 * codes[:, 2])
    sets, y = scored.measured.sets, scored.measured.trades.outcome
    design = np.column_stack([np.ones(900), sets.indicator(0), sets.indicator(7)])
    fitted = design @ np.linalg.pinv(design) @ y
    residual = residual_outcome(y, sets, [0, 7])
    assert residual == pytest.approx(y - fitted + y.mean())
    left = block_evidence(sets, residual, scored.measured.trades.weeks).delta[[0, 7]]
    assert left == pytest.approx([0, 0], abs=1e-12)


def family(influence: list[list[float]], delta: list[float]) -> tuple[BlockEvidence, object]:
    """Scopes x=0, y=0 and (x=0, y=0) with made-up evidence."""
    codes = np.array([[0, 0]] * 3 + [[0, 1]] * 2 + [[1, 0]] * 2 + [[1, 1]] * 2, dtype=np.int16)
    sets = scope_sets(codes, (2, 2), eligible_n={1: 3, 2: 3})
    keep = [
        int(np.flatnonzero((sets.codes == wanted).all(axis=1))[0])
        for wanted in ([0, -1], [-1, 0], [0, 0])
    ]
    three = np.full(3, 21.0)
    evidence = BlockEvidence(
        delta=np.array(delta), influence=np.array(influence), v_jack=np.ones(3),
        n_effective_blocks=three, design_effect=np.ones(3), trades_per_block=np.ones(3),
    )  # fmt: skip
    return evidence, sets.take(np.array(keep))


def test_a_child_gives_way_to_the_parent_it_adds_nothing_to():
    # increments 0.3 +- 0.2 = 1.5 se over x, below t(0.95, 20) = 1.725
    evidence, sets = family([[0.2, 0], [0, 0], [0, 0.0]], [0.7, 0.1, 1.0])
    chosen = simplest_sufficient(sets, evidence, 2, np.array([1, 0, 1], bool), np.full(3, 5.0))
    assert chosen == 0


def test_a_child_that_adds_significantly_to_every_parent_stays():
    evidence, sets = family([[0.1, 0], [0.1, 0], [0, 0.0]], [0.7, 0.7, 1.0])
    assert simplest_sufficient(sets, evidence, 2, np.ones(3, bool), np.full(3, 5.0)) == 2


def test_parents_of_the_other_sign_or_below_the_bar_do_not_stand_in():
    evidence, sets = family([[9.0, 0], [9.0, 0], [0, 0.0]], [-0.7, 0.7, 1.0])
    candidate = np.array([True, False, True])
    assert simplest_sufficient(sets, evidence, 2, candidate, np.full(3, 5.0)) == 2


def test_of_two_parents_the_larger_score_is_asked_first():
    evidence, sets = family([[9.0, 0], [9.0, 0], [0, 0.0]], [0.7, 0.7, 1.0])
    size = np.array([4.0, 4.5, 6.0])
    assert simplest_sufficient(sets, evidence, 2, np.ones(3, bool), size) == 1


def test_losing_scopes_are_compared_in_their_own_direction():
    evidence, sets = family([[0.1, 0], [0.1, 0], [0, 0.0]], [-0.7, -0.7, -1.0])
    assert simplest_sufficient(sets, evidence, 2, np.ones(3, bool), np.full(3, 5.0)) == 2


def test_a_lesson_of_one_dimension_adds_its_whole_edge_to_its_group():
    scored = scored_group(6, lambda codes: 1.0 * (codes[:, 0] == 1))
    j = int(np.flatnonzero(scored.measured.sets.n_dims == 1)[0])
    increment = incremental_edge(scored, j, [j])
    assert increment.parent_scope == ()
    assert increment.edge_rr == pytest.approx(scored.scores.delta[j])
    influence = scored.measured.evidence.influence[j]
    assert increment.se_rr == pytest.approx(np.sqrt((influence**2).sum()))


def test_the_parent_of_a_lesson_is_a_lesson_if_there_is_one():
    scored = scored_group(7, lambda codes: 1.0 * (codes[:, 0] == 1))
    sets = scored.measured.sets
    child = int(np.flatnonzero((sets.codes == [1, 1, 1]).all(axis=1))[0])
    lesson = int(np.flatnonzero((sets.codes == [-1, -1, 1]).all(axis=1))[0])
    assert incremental_edge(scored, child, [lesson, child]).parent_scope == (("z", 1),)
    assert len(incremental_edge(scored, child, [child]).parent_scope) == 2
