"""What a lesson claimed on the day it was found: only later trades may confirm it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from learning.lessons.confirmation import moments_passed
from learning.store.lesson_rows import StoredLesson

CLAIMED = ("claim_rr", "claimed_at_days", "claim_family")
_ENDED = ("retired", "rejected")
_DAY_SECONDS = 86400


def days_of(moment: datetime) -> float:
    """Return a moment in days since 1970."""
    return moment.timestamp() / _DAY_SECONDS


def new_claim(ci_low_rr: float, ci_high_rr: float, now: datetime) -> dict[str, Any]:
    """Return the least that a lesson claims; nothing where its interval contains 0."""
    if ci_low_rr <= 0 <= ci_high_rr:
        return {}
    return {
        "claim_rr": ci_low_rr if ci_low_rr > 0 else ci_high_rr,
        "claimed_at_days": days_of(now),
    }


def standing_claim(known: StoredLesson | None, claim: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first claim of a lesson that is found once more, else the new one.

    Were the day moved with every look, the trades since would never be enough to confirm it.
    A lesson that had ended, was only watched, or now claims the other sign begins anew.
    """
    if known is None or known.status in _ENDED or not claim:
        return dict(claim)
    first = {name: known.stats[name] for name in CLAIMED if name in known.stats}
    same = first.get("claim_family") == claim.get("claim_family")
    if not same or first.get("claim_rr", 0.0) * claim["claim_rr"] <= 0:
        return dict(claim)
    return first


def refreshed_claim(known: StoredLesson, claim: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claim of a lesson that is measured again: another one where its sign is another.

    Between discovery looks nothing is claimed but by a change of sign, which is proposed anew,
    and by a lesson that stands open without a claim: levels once had none.
    """
    if "claim_rr" not in known.stats and is_open(known):
        return dict(claim)
    first = {name: known.stats[name] for name in CLAIMED if name in known.stats}
    same = first.get("claim_family") == claim.get("claim_family")
    if claim and same and first.get("claim_rr", 0.0) * claim["claim_rr"] < 0:
        return dict(claim)
    return first


def claims_anew(known: StoredLesson, stats: Mapping[str, Any]) -> bool:
    """Say whether evidence claims something else than a stored lesson does."""
    return stats.get("claimed_at_days") not in (None, known.stats.get("claimed_at_days"))


def moments_behind(lesson: StoredLesson, now: datetime) -> int:
    """Return how many of the moments at which a lesson is asked have come since its claim."""
    claimed = lesson.stats.get("claimed_at_days")
    return 0 if claimed is None else moments_passed(days_of(now) - claimed)


def is_open(lesson: StoredLesson) -> bool:
    """Say whether later trades are still asked about a lesson."""
    is_standing = lesson.status in ("proposed", "active", "disabled")
    return is_standing and lesson.confirmation == "pending"
