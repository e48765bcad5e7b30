"""One lesson per effect: the simplest scope that says it, more specific ones only if they add.

One true effect lifts hundreds of overlapping scopes over the critical value. The largest is
taken, or its simplest ancestor from which it does not significantly differ; its effect is
removed by regression; the search goes on in what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from learning.evidence.block_statistics import BlockEvidence, Floats, ScopeSets, block_evidence
from learning.lessons.scope_edges import ScopePairs, ScoredScopes

MAX_LESSONS_PER_GROUP: Final = 8
INCREMENT_CONFIDENCE: Final = 0.95


def stepwise_scopes(scored: ScoredScopes, *, critical_z: float) -> list[int]:
    """Return the scopes that become lessons, in the order found."""
    measured = scored.measured
    residual, taken = measured.trades.outcome, list[int]()
    while len(taken) < MAX_LESSONS_PER_GROUP:
        evidence = block_evidence(measured.sets, residual, measured.trades.weeks)
        size = np.abs(scored.rescored(evidence).z)
        candidate = size >= critical_z
        candidate[taken] = False
        if not candidate.any():
            break
        lead = int(np.argmax(np.where(candidate, size, -1.0)))
        taken.append(simplest_sufficient(measured.sets, evidence, lead, candidate, size))
        residual = residual_outcome(measured.trades.outcome, measured.sets, taken)
    return taken


def simplest_sufficient(
    sets: ScopeSets,
    evidence: BlockEvidence,
    lead: int,
    candidate: npt.NDArray[np.bool_],
    size: Floats,
) -> int:
    """Return the first ancestor that the lead adds nothing significant to, else the lead.

    Args:
        sets: The scopes of a group.
        evidence: Their evidence in the present residual.
        lead: The candidate with the largest score.
        candidate: Shape (s,), scopes over the critical value and not yet taken.
        size: Shape (s,), absolute scores; among ancestors of one size the larger goes first.
    """
    sign = np.sign(evidence.delta[lead])
    ancestors = sets.ancestors(lead)
    ancestors = ancestors[candidate[ancestors] & (np.sign(evidence.delta[ancestors]) == sign)]
    critical = stats.t.ppf(INCREMENT_CONFIDENCE, evidence.dof[lead])
    for parent in ancestors[np.lexsort((-size[ancestors], sets.n_dims[ancestors]))].tolist():
        edge, se = _increment(evidence, lead, parent)
        if sign * edge < critical * se:
            return int(parent)
    return lead


def _increment(evidence: BlockEvidence, child: int, parent: int | None) -> tuple[float, float]:
    """Return the edge of a child beyond its parent (None: the group) and its standard error."""
    delta, influence = evidence.delta[child], evidence.influence[child]
    if parent is not None:
        delta, influence = delta - evidence.delta[parent], influence - evidence.influence[parent]
    return float(delta), float(np.sqrt((influence**2).sum()))


def residual_outcome(outcome: Floats, sets: ScopeSets, taken: Sequence[int]) -> Floats:
    """Remove the joint least squares effect of the taken scopes, keeping the mean.

    Examples:
        >>> from learning.evidence.block_statistics import scope_sets
        >>> codes = np.array([[0], [0], [1], [1]], dtype=np.int16)
        >>> sets = scope_sets(codes, (2,), eligible_n={1: 2})
        >>> residual_outcome(np.array([1.0, 3, 6, 8]), sets, [0]).round(6).tolist()
        [3.5, 5.5, 3.5, 5.5]
    """
    members = np.column_stack([sets.indicator(j) for j in taken])
    centred = members - members.mean(axis=0)
    beta, *_ = np.linalg.lstsq(centred, outcome - outcome.mean(), rcond=None)
    residual: Floats = outcome - centred @ beta
    return residual


@dataclass(frozen=True)
class IncrementalEdge:
    """What a scope adds to its parent.

    Attributes:
        parent_scope: Conditions of the parent; empty where it is the whole group.
        edge_rr: Delta of the scope minus delta of the parent.
        se_rr: Block standard error of the difference.
        ci_low_rr: Lower end of its 95 % interval.
        ci_high_rr: Upper end.
    """

    parent_scope: ScopePairs
    edge_rr: float
    se_rr: float
    ci_low_rr: float
    ci_high_rr: float


def incremental_edge(scored: ScoredScopes, j: int, taken: Sequence[int]) -> IncrementalEdge:
    """Compare a lesson with its parent, on the original outcome.

    The parent is the most specific ancestor that is a lesson itself; else the eligible scope
    with one dimension fewer and the largest score; else the whole group.
    """
    measured = scored.measured
    parent = _parent(scored, j, taken)
    edge, se = _increment(measured.evidence, j, parent)
    reach = float(stats.t.ppf(0.975, measured.evidence.dof[j])) * se
    codes = None if parent is None else measured.sets.codes[parent]
    return IncrementalEdge(
        parent_scope=() if codes is None else measured.trades.scope_pairs(codes),
        edge_rr=edge,
        se_rr=se,
        ci_low_rr=edge - reach,
        ci_high_rr=edge + reach,
    )


def _parent(scored: ScoredScopes, j: int, taken: Sequence[int]) -> int | None:
    sets, size = scored.measured.sets, np.abs(scored.scores.z)
    ancestors = sets.ancestors(j)
    lessons = ancestors[np.isin(ancestors, taken)]
    if len(lessons):
        return int(lessons[np.lexsort((-size[lessons], -sets.n_dims[lessons]))[0]])
    close = ancestors[sets.n_dims[ancestors] == sets.n_dims[j] - 1]
    return int(close[np.argmax(size[close])]) if len(close) else None
