"""False discovery rates between groups, maxima within a group."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from learning.evidence.false_discovery import (
    NullMaxima,
    group_generator,
    largest_score_p_value,
    look_level,
    null_maxima,
    q_values,
    select_groups,
)

# Benjamini & Hochberg (1995), section 4: thrombolysis in acute myocardial infarction.
NEUHAUS_1992 = np.array([
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240,
    0.4262, 0.5719, 0.6528, 0.7590, 1.0000,
])  # fmt: skip


def test_benjamini_hochberg_1995_example_rejects_four():
    assert (q_values(NEUHAUS_1992) <= 0.05).sum() == 4


def test_q_values_agree_with_scipy_in_any_order():
    p = np.random.default_rng(1).uniform(size=200) ** 2
    assert q_values(p) == pytest.approx(stats.false_discovery_control(p))
    assert q_values(p[::-1]) == pytest.approx(q_values(p)[::-1])


def test_a_p_value_that_is_none_is_named():
    with pytest.raises(ValueError, match=r"p_values\[1\] must be in \[0, 1\], got nan"):
        q_values(np.array([0.1, np.nan]))


def test_all_later_looks_together_spend_no_more_than_the_first():
    later = sum(look_level(0.1, look) for look in range(2, 20_000))
    assert look_level(0.1, 1) == 0.1
    assert later == pytest.approx(0.1, rel=1e-3)
    assert later < 0.1


@pytest.mark.parametrize(("target", "look"), [(5.0, 1), (0.0, 1), (0.1, 0)])
def test_a_level_outside_its_range_is_refused(target: float, look: int):
    with pytest.raises(ValueError, match="must be"):
        look_level(target, look)


def test_multipliers_depend_on_group_look_and_seed_alone():
    def first(key: tuple[str, str], look: int, seed: int) -> float:
        return float(group_generator(key, look=look, seed=seed).random())

    draws = {
        first(("a", "entry"), 1, 0), first(("a", "exit"), 1, 0), first(("b", "entry"), 1, 0),
        first(("a", "entry"), 2, 0), first(("a", "entry"), 1, 1),
    }  # fmt: skip
    assert len(draws) == 5
    assert first(("a", "entry"), 1, 0) == first(("a", "entry"), 1, 0)


def test_the_maximum_of_one_scope_is_a_half_normal():
    influence = np.random.default_rng(2).normal(size=(1, 100))
    maxima = null_maxima(influence, np.random.default_rng(3))
    assert stats.kstest(maxima, stats.halfnorm.cdf).pvalue > 0.001


def test_copies_of_a_scope_cost_nothing_and_independent_scopes_do():
    influence = np.random.default_rng(4).normal(size=(1, 100))
    alone = null_maxima(influence, np.random.default_rng(5))
    copied = null_maxima(np.repeat(influence, 3000, axis=0), np.random.default_rng(5))
    assert copied == pytest.approx(alone, abs=1e-5)  # single precision
    blocks = np.kron(np.eye(20), np.ones((1, 5)))  # twenty scopes in blocks of their own
    largest = null_maxima(blocks, np.random.default_rng(6))
    expected = stats.norm.isf((1 - 0.5 ** (1 / 20)) / 2)  # median of the largest of 20
    assert np.median(largest) == pytest.approx(expected, abs=0.03)


def test_a_scope_without_influence_never_has_the_largest_score():
    influence = np.vstack([np.zeros(50), np.ones(50)])
    maxima = null_maxima(influence, np.random.default_rng(7))
    assert np.isfinite(maxima).all()


def made_maxima() -> NullMaxima:
    """4000 draws, 1 + exponential of mean 1/2 at their exact quantiles, from large to small."""
    shares = (np.arange(4000) + 0.5) / 4000
    return NullMaxima(1 - np.log(shares) / 2)


def test_the_tail_is_counted_while_twenty_draws_exceed():
    maxima = made_maxima()
    score = float(maxima.descending[99]) - 1e-9  # one hundred draws reach it
    assert maxima.tail(np.array([score]))[0] == 101 / 4001


def test_beyond_the_draws_the_tail_is_extrapolated():
    maxima = made_maxima()
    score = float(maxima.descending[0]) + 1.0
    start = np.quantile(maxima.descending, 0.9)
    beyond = maxima.descending[maxima.descending > start]
    expected = 0.1 * np.exp(-(score - start) / (beyond - start).mean())
    assert maxima.tail(np.array([score]))[0] == pytest.approx(expected)
    assert expected == pytest.approx(np.exp(-2 * (score - 1)), rel=0.1)  # the exact tail


def test_with_few_exceedances_the_smaller_of_count_and_extrapolation_holds():
    maxima = made_maxima()
    score = float(maxima.descending[9]) - 1e-9
    start = np.quantile(maxima.descending, 0.9)
    scale = (maxima.descending[maxima.descending > start] - start).mean()
    extrapolated = 0.1 * np.exp(-(score - start) / scale)
    assert maxima.tail(np.array([score]))[0] == min(11 / 4001, extrapolated)


@pytest.mark.parametrize("level", [0.2, 0.1, 0.03, 0.0061, 0.004, 0.001, 0.0004, 1e-5])
def test_the_critical_score_is_the_smallest_whose_tail_is_within_the_level(level: float):
    rng = np.random.default_rng(8)
    maxima = NullMaxima(-np.sort(-(2 + rng.gamma(3, 0.3, 4000))))
    critical = maxima.critical(level)
    assert maxima.tail(np.array([critical]))[0] <= level * (1 + 1e-9)
    assert maxima.tail(np.array([critical - 1e-6]))[0] > level


def test_the_p_value_of_a_group_is_that_of_its_largest_score_on_either_side():
    maxima = made_maxima()
    low = largest_score_p_value(maxima, np.array([0.3, -2.5, 1.0]))
    assert low == maxima.tail(np.array([2.5]))[0]


def test_selected_groups_share_the_level():
    p = {("a", "entry"): 0.001, ("b", "entry"): 0.02, ("c", "entry"): 0.3, ("d", "entry"): 1.0}
    selection = select_groups(p, level=0.1)
    assert selection.selected == (("a", "entry"), ("b", "entry"))
    assert selection.level == pytest.approx(0.1 * 2 / 4)
    q = selection.q_of_scopes(("b", "entry"), np.array([0.02, 0.4, 0.001]))
    assert q == pytest.approx([0.04, 0.8, 0.04])  # tail * 4 / 2, at least the group's own


def test_where_no_group_passes_no_scope_has_a_q_value():
    selection = select_groups({("a", "entry"): 0.5}, level=0.1)
    assert selection.level is None
    assert selection.q_of_scopes(("a", "entry"), np.array([0.5])) is None


def test_no_group_at_all_selects_nothing():
    assert select_groups({}, level=0.1).selected == ()
