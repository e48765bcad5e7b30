"""From execution findings to levers, and to the record of a lesson of type ``pm_tuning``.

No evidence, no lever. What trades missed says when to enter, trim and exit, and outcomes on both
sides of a signal say where its threshold belongs; that moves ``entry_delay_bars``,
``phase1_frac_mult``, ``trim_delay_mult``, ``trail_mult`` and ``signal_thresholds``. Three levers
of the table are never asked for, since nothing recorded is evidence for them:

- ``panic_trigger_mult``: a panic exit has no price path without the panic beside it, and of the
  trades that did not panic nobody knows what a nearer trigger would have done;
- ``wait_n_bars_after_trim``: a better exit after a trim is evidence for a later trim, which
  ``trim_delay_mult`` takes up; for a wait after it the path between two trims would be needed;
- ``phase_scaling``: a pattern names one state, so that no trade of it tells another state apart,
  and a state that does better than its group is an edge, taken up by the capital levers.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from learning.domain.levers import LEVERS, THRESHOLD_PREFIX, clamp
from learning.domain.scope import ScopeValue
from learning.events.counterfactuals import missed_class
from learning.evidence.aggregation import ScopeScores
from learning.evidence.trade_events import GroupKey
from learning.lessons.evidence_record import EvidenceRecord, strength_scores
from learning.lessons.execution_search import ENTRY_TIMING, ExecutionFinding
from learning.lessons.lever_targets import lesson_strength
from learning.lessons.scope_edges import ScopePairs

DELAY_REACH_BARS: Final = 4.0  # that a small miss survives strength and rounding down as one bar
FIRST_PHASE_REACH: Final = 0.3
EXIT_REACH: Final = 0.5
MISS_SCALE_RR: Final = 1.0  # tanh is three quarters where an R was missed
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KEPT: Final = (
    "family", "n", "n_effective_blocks", "estimate_rr", "se_rr", "ci_low_rr", "ci_high_rr",
    "cautious_rr", "p_sign", "p_value", "q_value", "hindsight_rr", "is_early",
    "threshold", "chosen_before_days",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ExecutionTargets:
    """The levers that findings ask for, by flat name, and what was withheld, with its reason."""

    levers: Mapping[str, float]
    withheld: Mapping[str, str]


def execution_targets(findings: Sequence[ExecutionFinding]) -> ExecutionTargets:
    """Map findings of one scope to execution levers, within the lever table.

    With ``m`` the cautious median missed beyond what is usual, in R: an entry too early asks for
    ``4 tanh(m)`` bars of delay and a first phase of ``1 - 0.3 tanh(m)``; an exit for trim delay
    and trail of ``1 + 0.5 tanh(m)``, up where it was too early, down where too late. A threshold
    asks for its value. A finding whose interval contains 0 asks for nothing.
    """
    levers: dict[str, float] = {}
    withheld: dict[str, str] = {}
    for one in findings:
        reason = _why_not(one)
        if reason is not None:
            withheld[one.family] = reason
        elif one.threshold is not None:
            levers[one.family] = one.threshold
        else:
            levers.update(_timing_levers(one))
    return ExecutionTargets(levers, withheld)


def _why_not(one: ExecutionFinding) -> str | None:
    if not one.excludes_zero:
        return "the 95 % interval contains 0, or the fault is gone"
    if one.threshold is not None:
        return None
    if missed_class(abs(one.cautious_rr)) == "none":
        return "beyond what is usual, cautiously less than 0.5 R was missed"
    return None


def _timing_levers(one: ExecutionFinding) -> dict[str, float]:
    pull = math.tanh(one.cautious_rr / MISS_SCALE_RR)
    if one.family == ENTRY_TIMING:
        wanted = {
            "entry_delay_bars": DELAY_REACH_BARS * pull,
            "phase1_frac_mult": 1 - FIRST_PHASE_REACH * pull,
        }
    else:
        wanted = dict.fromkeys(("trim_delay_mult", "trail_mult"), 1 + EXIT_REACH * pull)
    return {name: round(clamp(LEVERS[name], value), 6) for name, value in wanted.items()}


def tuning_record(
    findings: Sequence[ExecutionFinding],
    scores: ScopeScores,
    *,
    outcome: str,
    weights: Mapping[str, float],
    search: Mapping[str, Any],
) -> EvidenceRecord:
    """Record what execution could do better in one scope: one lesson, all its findings.

    The numbers that a lesson shows are those of its clearest finding; all stand under
    ``execution``.

    Args:
        findings: At least one, of one group and scope.
        scores: Displayed scores of the scope.
        outcome: The analysed outcome; what was missed is in R of the initial risk.
        weights: Regime weights of the scope; they move the strength only.
        search: What the search counted.
    """
    clearest = clearest_finding(findings)
    targets = execution_targets(findings)
    shown = asdict(scores)
    shown["recurrence_score"] = shown.pop("recurrence")
    stats = {
        **shown,
        **_shown(clearest),
        "own_mean_rr": scores.avg_rr,
        "rr_kind": outcome,
        "execution": {one.family: _kept(one) for one in findings},
        "withheld_levers": dict(targets.withheld),
        **search,
    }
    return EvidenceRecord(
        key=clearest.group,
        scope=dict(clearest.scope),
        lesson_type="pm_tuning",
        n=clearest.n,
        stats=stats,
        effect={"capital_levers": {}, "execution_levers": _nested(targets.levers)},
        strength=lesson_strength(stats["lfsr"], strength_scores(stats), weights),
        mean_closed_at=_EPOCH + timedelta(days=clearest.mean_closed_at_days),
        excludes_zero=clearest.excludes_zero,
        trades=clearest.trades,
    )


def clearest_finding(findings: Sequence[ExecutionFinding]) -> ExecutionFinding:
    """Return the finding that a lesson is shown, claimed and confirmed by."""
    return min(findings, key=lambda one: (not one.excludes_zero, one.p_sign))


def _shown(one: ExecutionFinding) -> dict[str, Any]:
    return {
        "n": one.n,
        "n_effective_blocks": one.n_effective_blocks,
        "delta_group_rr": one.estimate_rr,
        "se_rr": one.se_rr,
        "z": one.estimate_rr / one.se_rr if one.se_rr > 0 else None,
        "posterior_mean_rr": one.estimate_rr,  # not shrunk: one test among few, cautious levers
        "ci_low_rr": one.ci_low_rr,
        "ci_high_rr": one.ci_high_rr,
        "lfsr": min(one.p_sign, 0.5),
        "delta_q25_rr": one.cautious_rr,
        "sd_rr": one.sd_rr,
        "measures": one.family,
        **({} if one.q_value is None else {"q_value": one.q_value}),
    }


def _kept(one: ExecutionFinding) -> dict[str, Any]:
    kept = {name: getattr(one, name) for name in _KEPT}
    if one.hindsight_rr is not None:
        kept["median_missed_rr"] = one.estimate_rr + one.hindsight_rr
        kept["missed_class"] = missed_class(abs(kept["median_missed_rr"]))
    return kept


def _nested(levers: Mapping[str, float]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in levers.items():
        if name.startswith(THRESHOLD_PREFIX):
            parent = nested.setdefault("signal_thresholds", {})
            parent[name.removeprefix(THRESHOLD_PREFIX)] = value
        else:
            nested[name] = value
    return nested


def by_scope(
    findings: Sequence[ExecutionFinding],
) -> Mapping[tuple[GroupKey, ScopePairs], list[ExecutionFinding]]:
    """Group findings by the lesson they belong to."""
    lessons: dict[tuple[GroupKey, tuple[tuple[str, ScopeValue], ...]], list[ExecutionFinding]]
    lessons = defaultdict(list)
    for one in findings:
        lessons[one.group, one.scope].append(one)
    return lessons
