"""What today's evidence does to a lesson that is there already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from learning.lessons.evidence_record import EvidenceRecord
from learning.lessons.life_cycle import (
    EdgeSeen,
    JobDecision,
    Status,
    effect_change,
    may_be_proposed_again,
    refreshed,
)

WEAK_LOOKS_TO_RETIRE = 2


@dataclass(frozen=True, slots=True)
class Standing:
    """A lesson as it stands: status, what its version says, and its weak looks so far.

    Attributes:
        status: Its status.
        stats: Its stored statistics.
        approved_effect: The effect of its current version.
        weak_looks: Discovery looks in a row at which its interval contained 0.
    """

    status: Status
    stats: Mapping[str, Any]
    approved_effect: Mapping[str, Any]
    weak_looks: int


@dataclass(frozen=True, slots=True)
class LookVerdict:
    """What to do with a lesson.

    Attributes:
        writes_evidence: Whether today's numbers replace the stored ones.
        raises_version: Whether they are a new version.
        decision: A move to be written, None where the status stays.
        reason: Why, in words.
        weak_looks: The new count.
    """

    writes_evidence: bool
    raises_version: bool
    decision: JobDecision | None
    reason: str
    weak_looks: int


def look_verdict(
    standing: Standing, record: EvidenceRecord, *, is_look: bool, was_found: bool
) -> LookVerdict:
    """Judge a lesson that is there already by its evidence of today.

    A discovery look counts its weak intervals, brings watched, retired and rejected lessons
    back where it found them again, and retires what was weak twice in a row. Other runs only
    refresh numbers; a proposed lesson whose interval came to contain 0 is watched at any run.
    A person's rejection stands until the evidence is another finding.
    """
    if standing.status in ("rejected", "retired"):
        return _of_ended(standing, record, is_found=is_look and was_found)
    weak = standing.weak_looks
    if is_look:
        weak = 0 if record.excludes_zero else standing.weak_looks + 1
    if weak >= WEAK_LOOKS_TO_RETIRE:
        reason = f"its 95 % interval contained 0 at {weak} discovery looks in a row"
        return LookVerdict(True, False, "retire", reason, weak)
    if standing.status == "watch":
        return _of_watched(record, is_found=is_look and was_found, weak=weak)
    if standing.status == "proposed" and not record.excludes_zero:
        reason = "its 95 % interval came to contain 0: watched, not approvable"
        return LookVerdict(True, True, "watch", reason, weak)
    change = refreshed(standing.status, effect_change(standing.approved_effect, record.effect))
    return LookVerdict(True, change.raises_version, change.decision, change.reason, weak)


def unmeasured_verdict(standing: Standing, *, is_look: bool) -> LookVerdict:
    """Judge a lesson whose evidence today's trades do not allow to measure at all.

    A look without evidence is a weak one. A proposed lesson is watched at once: nobody shall
    approve numbers that cannot be made again.
    """
    weak = standing.weak_looks + is_look
    told = "its evidence can no longer be measured on the trades there are"
    if standing.status in ("rejected", "retired"):
        return LookVerdict(False, False, None, told, standing.weak_looks)
    if weak >= WEAK_LOOKS_TO_RETIRE:
        return LookVerdict(False, False, "retire", f"{told}, at {weak} looks in a row", weak)
    decision: JobDecision | None = "watch" if standing.status == "proposed" else None
    return LookVerdict(False, False, decision, told, weak)


def _of_ended(standing: Standing, record: EvidenceRecord, *, is_found: bool) -> LookVerdict:
    stays = LookVerdict(False, False, None, f"{standing.status}: it stays so", standing.weak_looks)
    if not is_found:
        return stays
    if standing.status == "retired":
        decision: JobDecision = "propose" if record.excludes_zero else "watch"
        return LookVerdict(True, True, decision, "a discovery look found it again", 0)
    is_other = may_be_proposed_again(_seen(standing.stats), _seen(record.stats))
    if not (is_other and record.excludes_zero):
        return stays
    reason = "its edge now lies outside the interval in which it was rejected"
    return LookVerdict(True, True, "propose", reason, 0)


def _of_watched(record: EvidenceRecord, *, is_found: bool, weak: int) -> LookVerdict:
    if is_found and record.excludes_zero:
        reason = "a discovery look found it again, with an interval clear of 0"
        return LookVerdict(True, True, "propose", reason, weak)
    return LookVerdict(True, False, None, "its evidence was refreshed", weak)


def _seen(stats: Mapping[str, Any]) -> EdgeSeen:
    return EdgeSeen(stats["posterior_mean_rr"], stats["ci_low_rr"], stats["ci_high_rr"])
