"""Lessons that match the same trades are one factor, under one lasting name."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster import hierarchy
from scipy.spatial import distance
from sklearn.metrics import adjusted_rand_score

from learning.meta.latent_factors import (
    GroupLessons,
    Likeness,
    classical_places,
    distinct_leads,
    latent_factors,
    lattice_labels,
    lead_labels,
    lesson_map,
    linkage_labels,
)
from learning.simulation.planted_world import lesson_sets

GROUP = ("pm.uptrend.S1.buy_flag", "entry")


def matches(*spans: tuple[int, int], total: int = 100) -> np.ndarray:
    """One lesson per span of trades."""
    trades = np.arange(total)
    return np.array([(trades >= a) & (trades < b) for a, b in spans])


def all_pairs(matched: np.ndarray) -> np.ndarray:
    return Likeness.of(matched).among(np.arange(len(matched)))


def lessons(
    matched: np.ndarray,
    ids: tuple[int, ...] | None = None,
    *,
    strengths: np.ndarray | None = None,
    leads: tuple[int, ...] | None = None,
) -> GroupLessons:
    count = len(matched)
    return GroupLessons(
        group=GROUP,
        lesson_ids=ids or tuple(range(1, count + 1)),
        matched=matched,
        strengths=np.ones(count) if strengths is None else strengths,
        leads=leads,
    )


def test_similarity_of_a_parent_and_its_child_by_hand():
    # N 100, sizes 20 and 10, shared 10: phi = (1000-200)/sqrt(20*80*10*90) = 2/3, containment 1
    similarity = all_pairs(matches((0, 20), (0, 10)))
    assert similarity[0, 1] == pytest.approx(np.sqrt(2 / 3))


def test_similarity_equals_the_formula_applied_pair_by_pair():
    rng = np.random.default_rng(1)
    matched = rng.random((12, 333)) < rng.uniform(0.05, 0.6, (12, 1))  # 333: an odd last word
    similarity = all_pairs(matched)
    for a in range(12):
        for b in range(a):
            phi = max(np.corrcoef(matched[a], matched[b])[0, 1], 0)
            shared = (matched[a] & matched[b]).sum()
            contained = shared / min(matched[a].sum(), matched[b].sum())
            assert similarity[a, b] == pytest.approx(np.sqrt(phi * contained))


def by_matrix_product(matched: np.ndarray) -> np.ndarray:
    """The same similarity of all lessons at once, as the formula stands."""
    shared = matched.astype(float) @ matched.T
    n, total = matched.sum(axis=1), matched.shape[1]
    spread = np.sqrt(n * (total - n))
    phi = np.maximum(total * shared - np.outer(n, n), 0) / np.outer(spread, spread)
    return np.sqrt(phi * shared / np.minimum.outer(n, n))


@pytest.mark.parametrize("seed", range(3))
def test_a_pool_of_many_lessons_clusters_as_by_the_plain_formula_and_scipy(seed: int):
    """Eighty lessons, so that they fill several tiles and end in the middle of one."""
    matched, _ = lesson_sets(np.random.default_rng(seed), n_factors=12, n_single=20, hard=True)
    similarity = by_matrix_product(matched)
    assert len(matched) > 64
    assert all_pairs(matched) == pytest.approx(similarity)
    assert Likeness.of(matched).to([70, 3]) == pytest.approx(similarity[:, [70, 3]])
    apart = distance.squareform(np.round(1 - similarity, 12), checks=False)
    expected = hierarchy.fcluster(hierarchy.average(apart), 0.7, criterion="distance")
    assert adjusted_rand_score(expected, linkage_labels(Likeness.of(matched))) == 1.0


def test_strangers_and_opposites_have_no_similarity():
    similarity = all_pairs(matches((0, 20), (20, 40), (20, 100)))
    assert similarity[0].tolist() == [1.0, 0.0, 0.0]


def test_a_lesson_that_matches_every_trade_is_like_no_other():
    similarity = all_pairs(matches((0, 100), (0, 50)))
    assert similarity.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_copies_join_and_strangers_stay_apart():
    labels = linkage_labels(Likeness.of(matches((0, 20), (50, 70), (1, 21), (50, 68))))
    assert labels.tolist() == [0, 1, 0, 1]


def test_each_lesson_joins_the_lead_it_is_most_like_and_a_stranger_stays_alone():
    matched = matches((0, 30), (20, 50), (0, 24), (26, 50), (90, 99))
    assert lead_labels(Likeness.of(matched), [0, 1]).tolist() == [0, 1, 0, 1, 2]


def test_leads_are_never_merged():
    matched = matches((0, 30), (1, 31))
    assert lead_labels(Likeness.of(matched), [0, 1]).tolist() == [0, 1]


def test_a_lead_and_its_child_are_one_factor_and_leads_that_only_overlap_are_two():
    parent_child_overlap = matches((0, 30), (0, 24), (20, 50))
    assert distinct_leads(Likeness.of(parent_child_overlap), [1, 0, 2]) == (1, 2)
    factors = latent_factors([lessons(parent_child_overlap, leads=(1, 0, 2))], previous={})
    members = {tuple(sorted(one.lesson_ids)): one.representative_id for one in factors}
    assert members == {(1, 2): 2, (3,): 3}


def test_nested_leads_of_opposite_direction_stay_two():
    opposite = Likeness.of(matches((0, 30), (0, 24)), directions=np.array([1.0, -1.0]))
    assert distinct_leads(opposite, [0, 1]) == (0, 1)


def test_what_is_unlike_every_lead_clusters_by_linkage():
    matched = matches((0, 30), (2, 30), (60, 80), (61, 81), (28, 58))
    labels = lattice_labels(Likeness.of(matched), [0])
    assert labels.tolist() == [0, 0, 1, 1, 2]  # the last shares two trades with the lead


def test_factors_have_readable_names_and_a_representative_in_the_middle():
    factors = latent_factors([lessons(matches((0, 20), (2, 22), (4, 24), (60, 80)))], previous={})
    assert [factor.factor_id for factor in factors] == [
        "lf_pm_uptrend_s1_buy_flag_entry_1",
        "lf_pm_uptrend_s1_buy_flag_entry_2",
    ]
    assert sorted(factors[0].lesson_ids) == [1, 2, 3]
    assert factors[0].representative_id == 2
    assert factors[1].lesson_ids == (4,)


def test_the_representative_of_equals_is_the_stronger_one():
    group = lessons(matches((0, 20), (0, 20)), strengths=np.array([0.2, 0.9]))
    assert latent_factors([group], previous={})[0].representative_id == 2


def test_the_lead_represents_its_factor():
    group = lessons(matches((0, 20), (2, 22), (4, 24)), leads=(2,))
    assert latent_factors([group], previous={})[0].representative_id == 3


def test_names_survive_a_new_order_new_lessons_and_lost_lessons():
    first = latent_factors([lessons(matches((0, 20), (1, 21), (50, 70), (51, 71)))], previous={})
    before = {factor.factor_id: frozenset(factor.lesson_ids) for factor in first}
    later = lessons(matches((51, 71), (80, 95), (49, 69), (2, 22)), (4, 9, 10, 2))
    after = {f.factor_id: set(f.lesson_ids) for f in latent_factors([later], previous=before)}
    assert after == {
        "lf_pm_uptrend_s1_buy_flag_entry_1": {2},
        "lf_pm_uptrend_s1_buy_flag_entry_2": {4, 10},
        "lf_pm_uptrend_s1_buy_flag_entry_3": {9},
    }


def test_when_a_factor_splits_the_larger_part_keeps_the_name():
    previous = {"lf_pm_uptrend_s1_buy_flag_entry_7": frozenset({1, 2, 3})}
    group = lessons(matches((0, 20), (50, 70), (51, 71)))
    names = {f.lesson_ids: f.factor_id for f in latent_factors([group], previous=previous)}
    assert names[(1,)] == "lf_pm_uptrend_s1_buy_flag_entry_8"
    assert names[(2, 3)] == "lf_pm_uptrend_s1_buy_flag_entry_7"


def test_the_name_of_a_vanished_factor_is_not_given_again():
    previous = {"lf_pm_uptrend_s1_buy_flag_entry_3": frozenset[int]()}
    factors = latent_factors([lessons(matches((0, 20)))], previous=previous)
    assert factors[0].factor_id == "lf_pm_uptrend_s1_buy_flag_entry_4"


def test_lessons_of_different_groups_never_share_a_factor():
    same = matches((0, 20))
    other = GroupLessons(("pm.uptrend.S1.buy_flag", "exit"), (2,), same, np.ones(1))
    factors = latent_factors([lessons(same, (1,)), other], previous={})
    assert [factor.lesson_ids for factor in factors] == [(1,), (2,)]


def test_copies_amount_to_one_lesson_and_shared_trades_are_counted():
    factor = latent_factors([lessons(matches((0, 20), (0, 20)))], previous={})[0]
    assert factor.effective_lessons == pytest.approx(1.0)
    assert factor.shared_trade_share == 1.0


def test_the_screen_gets_like_beside_like():
    shown = lesson_map(lessons(matches((0, 20), (50, 70), (1, 21), (51, 71))))
    assert {frozenset(shown.lesson_ids[:2]), frozenset(shown.lesson_ids[2:])} == {
        frozenset({1, 3}),
        frozenset({2, 4}),
    }
    assert shown.similarity[0, 1] > 0.9
    assert shown.similarity[1, 2] == 0.0
    assert np.diag(shown.shared_trades).tolist() == [20] * 4
    assert shown.shared_trades[0, 1] == 19


def test_the_map_keeps_the_distances_of_three_lessons_exactly():
    """Three points always fit a plane: distances are the roots of one minus similarity."""
    similarity = np.array([[1.0, 0.75, 0.0], [0.75, 1.0, 0.19], [0.0, 0.19, 1.0]])
    places, kept = classical_places(similarity)
    assert kept == pytest.approx(1.0)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        apart = np.linalg.norm(places[a] - places[b])
        assert apart == pytest.approx(np.sqrt(1 - similarity[a, b]))


def test_copies_stand_in_one_place_and_a_single_lesson_in_the_middle():
    places, kept = classical_places(np.ones((3, 3)))
    assert places.tolist() == [[0.0, 0.0]] * 3
    assert kept is None
    assert classical_places(np.ones((1, 1)))[0].tolist() == [[0.0, 0.0]]


def test_a_crowd_is_shown_by_its_strongest():
    group = lessons(matches((0, 20), (50, 70), (1, 21)), strengths=np.array([0.1, 0.9, 0.5]))
    shown = lesson_map(group, most=2)
    assert shown.n_lessons == 3
    assert set(shown.lesson_ids) == {2, 3}


@pytest.mark.parametrize(("hard", "least"), [(False, 0.99), (True, 0.9)])
def test_planted_factors_are_found(hard: bool, least: float):
    scores = []
    for seed in range(6):
        matched, truth = lesson_sets(np.random.default_rng(seed), hard=hard)
        scores.append(adjusted_rand_score(truth, linkage_labels(Likeness.of(matched))))
    assert np.mean(scores) >= least


def test_a_winning_and_a_losing_lesson_never_share_a_factor():
    both = GroupLessons(
        GROUP, (1, 2), matches((0, 20), (0, 18)), np.ones(2), directions=np.array([1.0, -1.0])
    )
    assert len(latent_factors([both], previous={})) == 2


def test_no_lesson_no_factor():
    assert latent_factors([lessons(np.zeros((0, 10), dtype=bool), ())], previous={}) == []


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"matched must have shape \(2, N\), got \(1, 100\)"):
        lessons(matches((0, 20)), (1, 2), strengths=np.ones(2))
    with pytest.raises(ValueError, match=r"leads must lie in 0\.\.0, got 3"):
        lessons(matches((0, 20)), leads=(3,))
