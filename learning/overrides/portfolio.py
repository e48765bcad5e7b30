"""Many overrides are many tests: their effects shrunk together, and judged together.

The effect that looks largest is too large, and of a hundred useless overrides five have a p-value
below 0.05. So each estimate is also shown shrunk toward what overrides in general achieve, and the
yes or no of an override is taken at horizons declared beforehand, corrected for how many overrides
were judged at the same horizon.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from learning.overrides.effect_record import EffectRecord, HorizonJudgement, Shrunk
from learning.overrides.effects import (
    WEEK_SEQUENCE,
    Effect,
    NotMeasured,
    judge_at_horizon,
    shrunken_effects,
)

HORIZON_DAYS: Final = (91, 182, 364)
"""Days after activation at which an override is judged, declared before any was activated."""

Judgements = Mapping[int, HorizonJudgement | NotMeasured]


def reached_horizons(age_days: float) -> tuple[int, ...]:
    """Return the declared horizons that an override of an age has passed.

    Examples:
        >>> reached_horizons(90.9), reached_horizons(200)
        ((), (91, 182))
    """
    return tuple(days for days in HORIZON_DAYS if days <= age_days)


def shrunk_together(records: Mapping[int, EffectRecord]) -> dict[int, Shrunk | NotMeasured]:
    """Shrink the effects of all overrides of one measure by the prior fitted to them.

    Args:
        records: By lesson id, all of one measure.

    Returns:
        By lesson id the posterior mean and 95 % interval, or why there is none.
    """
    known = {str(lesson_id): one for lesson_id, one in records.items() if one.measured is not None}
    effects = {name: one.measured for name, one in known.items() if one.measured is not None}
    posteriors = shrunken_effects(effects, outcome_sd=_pooled_sd(known)) if effects else {}
    shrunk: dict[int, Shrunk | NotMeasured] = {}
    for lesson_id, record in records.items():
        posterior = posteriors.get(str(lesson_id))
        if posterior is None:
            shrunk[lesson_id] = NotMeasured(str(record.absent_reason))
        else:
            low, high = posterior.interval()
            shrunk[lesson_id] = Shrunk(posterior.mean_rr, low, high, n_together=len(effects))
    return shrunk


def _pooled_sd(records: Mapping[str, EffectRecord]) -> float:
    weighed = [(one.measured.n, one.outcome_sd) for one in records.values() if one.measured]
    total = sum(n for n, _ in weighed)
    return math.sqrt(sum(n * (sd or 0.0) ** 2 for n, sd in weighed) / total)


def judged_together(
    records: Mapping[int, EffectRecord], *, horizon_days: int, fdr_target: float
) -> dict[int, HorizonJudgement | NotMeasured]:
    """Judge all overrides that passed one horizon, by Benjamini-Hochberg over them.

    The records rest on what was decided before the horizon only, as it stood when hardly any of it
    was open, so that a judgement does not change with when one looks; the fixed interval is valid
    there.

    Args:
        records: By lesson id, all of one measure, as of the horizon.
        horizon_days: The horizon.
        fdr_target: Accepted share of mistakes among what is called helping or hurting.

    Returns:
        By lesson id the judgement, or why there is none.
    """
    usable = {lesson_id: _usable(record) for lesson_id, record in records.items()}
    effects = {str(i): found for i, found in usable.items() if isinstance(found, Effect)}
    verdicts = judge_at_horizon(effects, fdr_target=fdr_target) if effects else {}
    judged: dict[int, HorizonJudgement | NotMeasured] = {}
    for lesson_id, found in usable.items():
        if isinstance(found, NotMeasured):
            judged[lesson_id] = found
            continue
        verdict = verdicts[str(lesson_id)]
        judged[lesson_id] = HorizonJudgement(
            days=horizon_days,
            n=found.n,
            effect_rr=found.estimate_rr,
            ci_low_rr=found.fixed_low_rr,
            ci_high_rr=found.fixed_high_rr,
            q_value=verdict.q_value,
            n_judged=len(effects),
            verdict=verdict.verdict.value,
        )
    return judged


def _usable(record: EffectRecord) -> Effect | NotMeasured:
    """The effect, where its units are enough for a verdict: few weeks give no honest error."""
    found = record.measured
    if found is None:
        return NotMeasured(str(record.absent_reason))
    if record.measure != "delta_rr" and found.n_units < WEEK_SEQUENCE.start:
        return NotMeasured(f"{found.n_units} weeks with trades, {WEEK_SEQUENCE.start} needed")
    return found


def newest_judgement(
    judged: Mapping[int, HorizonJudgement | NotMeasured],
) -> HorizonJudgement | NotMeasured:
    """Return the judgement at the longest horizon that was passed.

    Args:
        judged: By horizon in days, of one override.
    """
    if not judged:
        first = HORIZON_DAYS[0]
        return NotMeasured(f"judged when what was decided in its first {first} days has closed")
    return judged[max(judged)]
