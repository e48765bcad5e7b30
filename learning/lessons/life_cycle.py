"""The life of a lesson: which status may follow which, who may move it, what makes a new version.

The database holds the same table in ``decide_lesson`` and ``move_lesson``, and a test compares
the two; this is the one that screens and jobs ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from learning.domain.levers import LEVERS, THRESHOLD_PREFIX

Status = Literal["watch", "proposed", "active", "disabled", "retired", "rejected"]
PersonDecision = Literal["approve", "reject", "disable", "renew"]
JobDecision = Literal["propose", "watch", "retire", "refresh"]
Decision = PersonDecision | JobDecision
Change = Literal["same", "moved", "redirected"]

STATUSES: Final[tuple[Status, ...]] = get_args(Status)
PERSON_DECISIONS: Final[tuple[PersonDecision, ...]] = get_args(PersonDecision)
JOB_DECISIONS: Final[tuple[JobDecision, ...]] = get_args(JobDecision)

_NEXT: Final[Mapping[tuple[Decision, Status], Status]] = {
    ("approve", "proposed"): "active",
    ("approve", "disabled"): "active",
    ("reject", "proposed"): "rejected",
    ("disable", "active"): "disabled",
    ("renew", "active"): "active",
    ("propose", "watch"): "proposed",
    ("propose", "retired"): "proposed",
    ("propose", "rejected"): "proposed",  # only where may_be_proposed_again says so
    ("watch", "proposed"): "watch",
    ("watch", "retired"): "watch",
    ("retire", "watch"): "retired",
    ("retire", "proposed"): "retired",
    ("retire", "active"): "retired",
    ("retire", "disabled"): "retired",
    ("refresh", "proposed"): "proposed",
    ("refresh", "active"): "proposed",
}


def next_status(decision: Decision, status: Status) -> Status | None:
    """Return the status that a decision leads to; None where it is not possible.

    A new lesson is stored as watch or proposed, and that is its first decision. Of two approvals
    needed the first leaves the status as it is.

    Examples:
        >>> next_status("approve", "proposed"), next_status("approve", "watch")
        ('active', None)
        >>> next_status("propose", "disabled") is None  # what a person disabled stays disabled
        True
    """
    return _NEXT.get((decision, status))


def possible_decisions(status: Status) -> tuple[PersonDecision, ...]:
    """Return what a person may decide on a lesson of this status.

    Examples:
        >>> possible_decisions("active")
        ('disable', 'renew')
        >>> possible_decisions("watch")
        ()
    """
    return tuple(one for one in PERSON_DECISIONS if next_status(one, status) is not None)


def approvable(stats: Mapping[str, Any]) -> bool:
    """Say whether a lesson's own 95 % interval is clear of 0.

    Examples:
        >>> approvable({"ci_low_rr": 0.1, "ci_high_rr": 0.6})
        True
        >>> approvable({"ci_low_rr": -0.1, "ci_high_rr": 0.6}), approvable({})
        (False, False)
    """
    low, high = stats.get("ci_low_rr"), stats.get("ci_high_rr")
    if low is None or high is None:
        return False
    return bool(low > 0 or high < 0)


def levers_of_effect(effect: Mapping[str, Any]) -> dict[str, float]:
    """Return every lever of an effect payload under its flat name, thresholds included.

    Examples:
        >>> levers_of_effect({"capital_levers": {"size_mult": 1.1},
        ...                   "execution_levers": {"signal_thresholds": {"min_ts_for_add": 0.4}}})
        {'size_mult': 1.1, 'signal_thresholds.min_ts_for_add': 0.4}
    """
    flat: dict[str, float] = {}
    for part in ("capital_levers", "execution_levers"):
        for name, value in effect.get(part, {}).items():
            if isinstance(value, Mapping):
                flat.update({f"{name}.{child}": number for child, number in value.items()})
            else:
                flat[name] = value
    return flat


def effect_change(approved: Mapping[str, Any], found: Mapping[str, Any]) -> Change:
    """Compare an effect with the one of the current version.

    ``redirected``: a lever went to the other side of neutral, or there is one that nobody has
    seen. ``moved``: a lever went, or moved by more than one step. Else ``same``. Compare with the
    snapshot of the version, not with the last refresh, so that many small moves add up.

    Examples:
        >>> effect_change({"capital_levers": {"size_mult": 1.10}},
        ...               {"capital_levers": {"size_mult": 1.11}})
        'same'
        >>> effect_change({"capital_levers": {"size_mult": 1.10}},
        ...               {"capital_levers": {"size_mult": 1.20}})
        'moved'
        >>> effect_change({"capital_levers": {"size_mult": 1.10}},
        ...               {"capital_levers": {"size_mult": 0.95}})
        'redirected'
    """
    before, after = levers_of_effect(approved), levers_of_effect(found)
    if any(_is_redirected(name, before.get(name), value) for name, value in after.items()):
        return "redirected"
    if before.keys() != after.keys():
        return "moved"
    return "moved" if any(_is_moved(name, before[name], after[name]) for name in after) else "same"


def _is_redirected(name: str, before: float | None, after: float) -> bool:
    if name.startswith(THRESHOLD_PREFIX):
        return before is None
    side = after - LEVERS[name].neutral
    known = 0.0 if before is None else before - LEVERS[name].neutral
    return side != 0 and side * known <= 0


def _is_moved(name: str, before: float, after: float) -> bool:
    # a threshold has its step in the settings: any move of it is one
    step = 0.0 if name.startswith(THRESHOLD_PREFIX) else LEVERS[name].step
    return abs(after - before) > step + 1e-9


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh of the evidence does to a lesson."""

    raises_version: bool
    decision: JobDecision | None  # to be written, by decision_rows.move, before the new effect
    reason: str


def refreshed(status: Status, change: Change) -> Refreshed:
    """Say what a refreshed effect does to a lesson.

    An approval is for one version. An active lesson keeps its version while its levers keep
    their sides: its evidence is refreshed, and the bot follows by one step a day. Where a lever
    changes sides, or is new, the lesson goes back to proposed as a new version. A lesson that is
    not active gets a new version with every change, so that nobody approves what they did not
    see.

    Examples:
        >>> refreshed("active", "moved").raises_version
        False
        >>> refreshed("active", "redirected").decision
        'refresh'
        >>> refreshed("proposed", "moved")
        Refreshed(raises_version=True, decision=None, reason='its levers moved by more than a step')
    """
    if change == "same" or (status == "active" and change == "moved"):
        return Refreshed(False, None, "its evidence was refreshed")
    if change == "moved":
        return Refreshed(True, None, "its levers moved by more than a step")
    reason = "its effect changed sign, or has a lever it did not have"
    return Refreshed(True, "refresh" if status == "active" else None, reason)


@dataclass(frozen=True, slots=True)
class EdgeSeen:
    """The edge of a lesson as it stood when a person rejected it, or as it stands now (in R)."""

    edge_rr: float
    ci_low_rr: float
    ci_high_rr: float


def may_be_proposed_again(rejected: EdgeSeen, now: EdgeSeen) -> bool:
    """Say whether a rejected lesson's evidence has changed materially.

    It has where the estimate now lies outside the 95 % interval in which it was rejected: then
    it is another finding than the one that was judged.

    Examples:
        >>> seen = EdgeSeen(0.4, 0.2, 0.6)
        >>> may_be_proposed_again(seen, EdgeSeen(0.5, 0.35, 0.65))
        False
        >>> may_be_proposed_again(seen, EdgeSeen(0.7, 0.5, 0.9))
        True
    """
    return not rejected.ci_low_rr <= now.edge_rr <= rejected.ci_high_rr


def claimed_at(stats: Mapping[str, Any], discovered_at: datetime) -> datetime:
    """Return the day of a lesson's standing claim; without one, of its discovery.

    One that was retired and is found again claims anew: what closed up to then found it.

    Examples:
        >>> claimed_at({"claimed_at_days": 20000.5}, datetime(2024, 3, 2, tzinfo=UTC))
        datetime.datetime(2024, 10, 4, 12, 0, tzinfo=datetime.timezone.utc)
    """
    days = stats.get("claimed_at_days")
    return discovered_at if days is None else datetime.fromtimestamp(days * 86400, UTC)
