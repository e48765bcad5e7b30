"""What later trades say of open lessons: told at every run, judged at few declared moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.lesson_claims import is_open, moments_behind
from jobs.mining_inputs import Inputs
from learning.lessons.confirmation import (
    MOMENTS,
    Candidate,
    Confirmation,
    Prospect,
    confirmations,
    judged,
    level_confirmations,
)
from learning.lessons.level_lessons import LevelMean
from learning.lessons.scope_edges import EvidenceReference, ScopeEdge
from learning.lessons.standing import StandingScope
from learning.store.lesson_rows import StoredLesson


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a run writes of an open lesson.

    Attributes:
        state: ``pending``, ``confirmed`` or ``failed``.
        reason: Its later trades in numbers, and when it was asked.
        moments_asked: The moment at which it was asked last; 0: at none so far.
    """

    state: str
    reason: str
    moments_asked: int


def has_edge(lesson: StoredLesson) -> bool:
    """Whether a lesson compares its scope with its group."""
    return lesson.lesson_type not in ("level", "pm_tuning")


def standing_scope(lesson: StoredLesson) -> StandingScope:
    """Return what a lesson is about."""
    return StandingScope(lesson.key, tuple(lesson.scope.items()))


def scope_prospects(inputs: Inputs, reference: EvidenceReference | None) -> dict[int, Prospect]:
    """Return for each stale open lesson about an outcome what the trades since its claim say."""
    open_ = [
        one
        for one in inputs.lessons
        if one.lesson_id in inputs.stale.ids and is_open(one) and "claim_rr" in one.stats
    ]
    levels = [one for one in open_ if one.lesson_type == "level"]
    told = _told(levels, level_confirmations(inputs.net_events, _candidates(levels)))
    if reference is not None:
        edges = [one for one in open_ if has_edge(one) and one.outcome == inputs.outcome]
        later = confirmations(inputs.events, _candidates(edges), reference=reference)
        told |= _told(edges, later)
    return told


def _candidates(lessons: Sequence[StoredLesson]) -> list[Candidate]:
    return [
        Candidate(standing_scope(one), one.stats["claimed_at_days"], one.stats["claim_rr"])
        for one in lessons
    ]


def _told(lessons: Sequence[StoredLesson], later: Sequence[Confirmation]) -> dict[int, Prospect]:
    return {
        one.lesson_id: Prospect(found.p_confirm, found.p_fail, _in_words(found))
        for one, found in zip(lessons, later, strict=True)
    }


def _in_words(later: Confirmation) -> str:
    found = later.prospective
    if isinstance(found, ScopeEdge):
        return (
            f"{found.n} trades since it was found: {found.delta_group_rr:+.2f} R "
            f"against its pattern, z {found.z:+.1f}"
        )
    if isinstance(found, LevelMean):
        return (
            f"{found.n} trades since it was found: {found.mean_rr:+.2f} R after costs, "
            f"t {found.t:+.1f}"
        )
    return found.reason


def judgements(inputs: Inputs, fresh: Mapping[int, Prospect]) -> dict[int, Judgement]:
    """Return what is to be written of open lessons.

    Those whose next moment has come are judged together, lessons about execution apart from the
    others: their number is the price. All others that were measured stay as they are, with their
    numbers. Whether a lesson was measured at this run decides nothing.
    """
    known = {**inputs.stale.prospects, **fresh}
    open_ = [one for one in inputs.lessons if one.lesson_id in known]
    told = {
        one.lesson_id: _judgement("pending", known[one.lesson_id], one.moments_asked)
        for one in open_
        if one.lesson_id in fresh
    }
    for is_tuning in (False, True):
        asked = [
            (one.lesson_id, moment)
            for one in open_
            if (one.lesson_type == "pm_tuning") is is_tuning
            and (moment := moments_behind(one, inputs.now)) > one.moments_asked
        ]
        told |= _asked(asked, known)
    return told


def _asked(asked: Sequence[tuple[int, int]], known: Mapping[int, Prospect]) -> dict[int, Judgement]:
    states = judged(
        [known[lesson_id].p_confirm for lesson_id, _ in asked],
        [known[lesson_id].p_fail for lesson_id, _ in asked],
        [moment for _, moment in asked],
    )
    return {
        lesson_id: _judgement(state, known[lesson_id], moment)
        for (lesson_id, moment), state in zip(asked, states, strict=True)
    }


def _judgement(state: str, prospect: Prospect, asked: int) -> Judgement:
    return Judgement(state, f"{prospect.told}; {_when(state, asked)}", asked)


def _when(state: str, asked: int) -> str:
    """Say when a lesson was asked, and when it is asked next.

    Examples:
        >>> _when("pending", 0), _when("pending", 1)
        ('asked first after 13 weeks', 'asked after 13 weeks, next after 26')
        >>> _when("confirmed", 2), _when("pending", 4)
        ('asked after 26 weeks', 'asked after 104 weeks, for the last time')
    """
    if asked == 0:
        return f"asked first after {MOMENTS[0].weeks} weeks"
    last = f"asked after {MOMENTS[asked - 1].weeks} weeks"
    if state != "pending":
        return last
    is_over = asked == len(MOMENTS)
    return f"{last}, {'for the last time' if is_over else f'next after {MOMENTS[asked].weeks}'}"
