"""Many overrides together: judged at a declared horizon, and shrunk toward one another."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from learning.overrides.effect_record import EffectRecord, HorizonJudgement, Measure, Shrunk
from learning.overrides.effects import Effect, NotMeasured, Verdict
from learning.overrides.portfolio import (
    judged_together,
    newest_judgement,
    shrunk_together,
)


def record(
    estimate: float, se: float = 0.1, *, measure: Measure = "delta_rr", n_units: int = 400
) -> EffectRecord:
    found = Effect(
        estimate_rr=estimate,
        se_rr=se,
        n=400,
        n_units=n_units,
        fixed_low_rr=estimate - 1.96 * se,
        fixed_high_rr=estimate + 1.96 * se,
        sequence_low_rr=None,
        sequence_high_rr=None,
        p_value=2 * float(stats.norm.sf(abs(estimate) / se)),
        verdict=Verdict.NOT_CLEAR,
        n_missing=None,
        sentence="not clear yet",
    )
    return EffectRecord(
        measure=measure,
        n_treated=300,
        n_held_out=100,
        effect_rr=estimate,
        ci_low_rr=None,
        ci_high_rr=None,
        absent_reason=None,
        verdict="not clear yet",
        is_guardrail_crossed=False,
        sentence="not clear yet",
        measured=found,
        outcome_sd=2.0,
    )


def with_p(p_value: float, *, sign: int = 1) -> EffectRecord:
    return record(sign * 0.1 * float(stats.norm.isf(p_value / 2)))


ABSENT = EffectRecord(
    measure="delta_rr",
    n_treated=0,
    n_held_out=0,
    effect_rr=None,
    ci_low_rr=None,
    ci_high_rr=None,
    absent_reason="3 held-out decisions, 10 needed",
    verdict="not clear yet",
    is_guardrail_crossed=False,
    sentence="not clear yet (3 held-out decisions, 10 needed)",
)


def test_overrides_of_one_horizon_are_corrected_by_hand():
    """Four p-values of 0.01, 0.04, 0.03 and 0.5: 4 * 0.01, then 4 * 0.04 / 3 twice, then 0.5."""
    records = {1: with_p(0.01), 2: with_p(0.04), 3: with_p(0.03, sign=-1), 4: with_p(0.5)}
    judged = judged_together({**records, 5: ABSENT}, horizon_days=91, fdr_target=0.1)
    known = {i: one for i, one in judged.items() if isinstance(one, HorizonJudgement)}
    assert [known[i].q_value for i in range(1, 5)] == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert [known[i].verdict for i in range(1, 5)] == ["helps", "helps", "hurts", "not clear yet"]
    assert {one.n_judged for one in known.values()} == {4}
    assert judged[5] == NotMeasured("3 held-out decisions, 10 needed")


def test_useless_overrides_are_rarely_told_apart_however_many_there_are():
    """40 useless overrides a run: a run with any verdict is a mistake, promised in 10 % of them.

    500 runs, three standard errors 0.04; each override by its own p-value is mistaken in nearly
    every run.
    """
    rng = np.random.default_rng(3)
    mistaken = alone = 0
    for _ in range(500):
        records = {i: record(0.1 * float(z)) for i, z in enumerate(rng.normal(size=40))}
        judged = judged_together(records, horizon_days=182, fdr_target=0.1).values()
        mistaken += any(getattr(one, "verdict", "") != "not clear yet" for one in judged)
        alone += any(one.measured.p_value < 0.05 for one in records.values() if one.measured)
    assert mistaken / 500 <= 0.1 + 3 * (0.1 * 0.9 / 500) ** 0.5
    assert alone / 500 > 0.8


def test_few_weeks_are_no_ground_for_a_judgement_of_size():
    judged = judged_together(
        {1: record(0.5, measure="uplift", n_units=13)}, horizon_days=91, fdr_target=0.1
    )
    assert judged[1] == NotMeasured("13 weeks with trades, 20 needed")


def test_the_longest_horizon_passed_is_told_and_before_the_first_none():
    assert newest_judgement({}) == NotMeasured(
        "judged when what was decided in its first 91 days has closed"
    )
    first, second = NotMeasured("too few"), NotMeasured("still too few")
    assert newest_judgement({182: second, 91: first}) is second


@pytest.mark.parametrize("n_overrides", [1, 5, 20, 60])
def test_shrunk_intervals_hold_the_truth_however_few_or_many_overrides_there_are(n_overrides):
    """True effects of sd 0.2 R, each measured with an error as large; 400 in all: three standard
    errors of a coverage of 0.95 are 0.033."""
    rng = np.random.default_rng(5)
    covered = []
    for _ in range(400 // n_overrides):
        truth = rng.normal(0, 0.2, n_overrides)
        shrunk = shrunk_together(measurements(rng, truth))
        for true_rr, one in zip(truth, shrunk.values(), strict=True):
            assert isinstance(one, Shrunk)
            assert one.n_together == n_overrides
            covered.append(one.low_rr <= true_rr <= one.high_rr)
    assert np.mean(covered) >= 0.917


def test_the_largest_of_many_effects_is_shrunk():
    """Of 60 measured with an error as large as they vary, the largest is too large by 0.33 R:
    2.3 standard deviations of the sum, half of which are error."""
    rng = np.random.default_rng(6)
    raw, shrunk = [], []
    for _ in range(40):
        truth = rng.normal(0, 0.2, 60)
        records = measurements(rng, truth)
        best = max(records, key=lambda i: records[i].effect_rr or 0.0)
        raw.append((records[best].effect_rr or 0.0) - truth[best])
        found = shrunk_together(records)[best]
        assert isinstance(found, Shrunk)
        shrunk.append(found.rr - truth[best])
    assert np.mean(raw) == pytest.approx(2.3 * 0.2 / 2**0.5, abs=0.08)
    assert np.mean(shrunk) < np.mean(raw) / 2


def measurements(rng: np.random.Generator, truth: np.ndarray) -> dict[int, EffectRecord]:
    return {i: record(float(t + rng.normal(0, 0.2)), 0.2) for i, t in enumerate(truth)}


def test_what_is_not_measured_is_not_shrunk_and_says_why():
    shrunk = shrunk_together({1: ABSENT, 2: record(0.2)})
    assert shrunk[1] == NotMeasured("3 held-out decisions, 10 needed")
    assert isinstance(shrunk[2], Shrunk)
    assert shrunk_together({1: ABSENT}) == {1: shrunk[1]}
