"""The guardrail: what an override is accused of once its whole interval lies below zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from learning.overrides.effect_record import EffectRecord

_MEASURED: Final = {
    "uplift": "sizing by it changed a trade by",
    "delta_rr": "treated against held-out trades it changed a trade by",
    "edge_since_activation": "since it was activated, the edge in the direction approved is",
}


@dataclass(frozen=True, slots=True)
class GuardrailAlert:
    """A proposal to disable, for a person to decide on; nothing is disabled by itself.

    Attributes:
        lesson_id: The lesson.
        lesson_version: The version that is active.
        measure: Which of its effects lies below zero.
        message: What was found and what is proposed, in one sentence.
        evidence: The effect as it stood.
    """

    lesson_id: int
    lesson_version: int
    measure: str
    message: str
    evidence: Mapping[str, Any]


def guardrail_alerts(
    lesson_id: int, lesson_version: int, records: Sequence[EffectRecord]
) -> list[GuardrailAlert]:
    """Return an alert for each effect of an active lesson whose whole interval is below zero.

    The interval is the confidence sequence, valid however often it is looked at: a lesson that
    does no harm is accused by one measure in at most 5 % of its lifetimes.
    """
    return [
        GuardrailAlert(
            lesson_id=lesson_id,
            lesson_version=lesson_version,
            measure=record.measure,
            message=_message(record),
            evidence={
                "effect_rr": record.effect_rr,
                "ci_low_rr": record.ci_low_rr,
                "ci_high_rr": record.ci_high_rr,
                "n_treated": record.n_treated,
                "n_held_out": record.n_held_out,
            },
        )
        for record in records
        if record.is_guardrail_crossed
    ]


def why_withdrawn(record: EffectRecord | None) -> str:
    """Say why an alert no longer holds, from the newest measurement of its effect."""
    if record is None:
        return "the effect is no longer measured"
    if record.ci_low_rr is None or record.ci_high_rr is None:
        return f"the effect can no longer be told: {record.absent_reason or 'no interval'}"
    return (
        "its interval no longer lies below zero as a whole: "
        f"{record.ci_low_rr:+.3f} to {record.ci_high_rr:+.3f} R"
    )


def _message(record: EffectRecord) -> str:
    n = f"{record.n_treated} trades"
    if record.n_held_out:
        n = f"{record.n_treated} treated and {record.n_held_out} held-out trades"
    return (
        f"{_MEASURED[record.measure]} {record.effect_rr:+.3f} R "
        f"({record.ci_low_rr:+.3f} to {record.ci_high_rr:+.3f}, {n}): disable it?"
    )
