"""Past trades at another size; numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.domain.levers import CAPITAL_LEVERS, EXECUTION_LEVERS
from learning.overrides.effects import Effect, NotMeasured
from learning.overrides.replay import (
    ReplayTrades,
    lesson_replay,
    max_drawdown,
    replayed,
)

outcomes = st.lists(st.floats(-20, 20), min_size=1, max_size=30)


def trades(rr: list[float], n_in_sample: int = 0) -> ReplayTrades:
    n = len(rr)
    return ReplayTrades(np.array(rr), np.arange(n, dtype=float), np.arange(n) < n_in_sample)


def test_each_sample_starts_from_zero():
    """In sample 2 - 3 + 1: falls 3 below its peak. Out of sample -1 - 1 + 4: falls 2 below 0."""
    found = replayed(trades([2, -3, 1, -1, -1, 4], 3), 1.2, kind="target")
    before, after = found.samples
    assert (before.sample, before.n, before.traded_rr) == ("in sample", 3, 0)
    assert (before.traded_drawdown_rr, before.adjusted_drawdown_rr) == (3, pytest.approx(3.6))
    assert (after.sample, after.n, after.traded_rr) == ("out of sample", 3, 2)
    assert after.adjusted_rr == pytest.approx(2.4)
    assert (after.traded_drawdown_rr, after.adjusted_drawdown_rr) == (2, pytest.approx(2.4))
    assert found.adjusted_curve_rr == pytest.approx([2.4, -1.2, 0, -1.2, -2.4, 2.4])


def test_a_sample_without_trades_is_left_out():
    found = replayed(trades([1.0, 2.0], 2), 0.9, kind="target")
    assert [part.sample for part in found.samples] == ["in sample"]


def test_only_later_trades_get_an_interval():
    rng = np.random.default_rng(3)
    rr = rng.normal(1, 0.5, 600).tolist()
    before, after = replayed(trades(rr, 300), 1.1, kind="target").samples
    assert isinstance(before.difference, NotMeasured)
    assert isinstance(after.difference, Effect)
    assert after.difference.estimate_rr == pytest.approx(0.1 * np.mean(rr[300:]))


def test_the_target_is_clamped_and_the_first_step_is_one_step():
    found = lesson_replay(trades([1.0]), {"size_mult": 1.9}, outcome="rr_path", strength=0.9)
    assert [(one.kind, one.multiplier) for one in found.replays] == [
        ("target", 1.3),
        ("first step", 1.02),
    ]


def test_a_weak_lesson_never_takes_the_whole_step():
    found = lesson_replay(trades([1.0]), {"size_mult": 0.95}, outcome="rr_path", strength=0.1)
    assert found.replays[1].multiplier == pytest.approx(0.995)


def test_what_is_in_force_is_replayed_as_it_is():
    found = lesson_replay(
        trades([1.0]), {"alloc_mult": 0.7}, outcome="rr_path", strength=0.9,
        in_force={"alloc_mult": 0.94},
    )  # fmt: skip
    assert found.lever == "alloc_mult"
    assert [(one.kind, one.multiplier) for one in found.replays][1] == ("in force", 0.94)


def test_every_lever_is_replayed_or_says_why_not():
    levers = dict.fromkeys((*CAPITAL_LEVERS, *EXECUTION_LEVERS), 1.0)
    levers["signal_thresholds.min_ts_for_add"] = 0.4
    found = lesson_replay(trades([1.0]), levers, outcome="rr_path", strength=0.5)
    assert set(levers) - set(found.not_replayable) == {"size_mult", "alloc_mult"}
    assert "not known" in found.not_replayable["entry_aggression_mult"]
    assert "not in the record" in found.not_replayable["trail_mult"]


def test_an_override_without_size_replays_nothing():
    found = lesson_replay(trades([1.0]), {"trail_mult": 1.1}, outcome="rr_path", strength=0.5)
    assert (found.lever, found.replays) == (None, ())


def test_trades_out_of_order_are_refused():
    with pytest.raises(ValueError, match="must not fall"):
        ReplayTrades(np.zeros(2), np.array([2.0, 1.0]), np.zeros(2, dtype=bool))


@given(outcomes)
def test_a_drawdown_is_the_worst_of_all_pairs(rr: list[float]):
    """Against the definition: the largest curve[i] - curve[j] with i before j."""
    curve = [0.0]
    for value in rr:
        curve.append(curve[-1] + value)
    worst = max((a - b for i, a in enumerate(curve) for b in curve[i + 1 :]), default=0.0)
    assert max_drawdown(np.array(rr)) == pytest.approx(max(worst, 0.0), abs=1e-9)


@given(outcomes, st.floats(0.7, 1.3))
def test_everything_scales_with_the_size(rr: list[float], multiplier: float):
    [part] = replayed(trades(rr), multiplier, kind="target").samples
    assert part.adjusted_rr == pytest.approx(multiplier * part.traded_rr, abs=1e-9)
    assert part.adjusted_drawdown_rr == pytest.approx(
        multiplier * part.traded_drawdown_rr, abs=1e-9
    )
