"""Discovery of execution lessons: which timing and which signal thresholds survive the search.

Searched are, per (pattern_key, action_category): the whole group and every scope of one
condition for the timing, the whole group for each configured threshold. Finer scopes would
offer nested copies of the same fault; scopes that the search for edges selected would be chosen
by the very outcomes that move what was missed.

Every path has a better price in hindsight: also trades entered at random miss most of an R in
the median, since whatever is stopped has gone against its entry first. A timing is therefore a
fault only as far as it misses more than the same decisions do elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy import stats

from learning.domain.levers import THRESHOLD_PREFIX, ThresholdRange, threshold_category
from learning.evidence.block_statistics import Floats
from learning.evidence.false_discovery import look_level, q_values
from learning.evidence.trade_events import GroupKey
from learning.lessons.execution_evidence import (
    MIN_MISSED_TRADES,
    Bools,
    ChosenThreshold,
    ExecutionTrades,
    MissedMedian,
    SplitContrast,
    chosen_threshold,
    later_contrast,
    missed_median,
)
from learning.lessons.scope_edges import ScopePairs
from learning.lessons.standing import Undetermined

ENTRY_TIMING: Final = "entry_timing"
EXIT_TIMING: Final = "exit_timing"
INCREMENT_LEVEL: Final = 0.05
TIMING_OF: Final[Mapping[str, str]] = {
    "entry": ENTRY_TIMING, "trim": EXIT_TIMING, "exit": EXIT_TIMING,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ExecutionFinding:
    """One thing that execution could do better in a scope.

    Attributes:
        group: The (pattern_key, action_category).
        scope: At most one condition.
        family: ``entry_timing``, ``exit_timing`` or a threshold's flat name.
        n: Trades in evidence.
        n_effective_blocks: Independent weeks among them.
        estimate_rr: Median R missed beyond ``hindsight_rr``, above 0 too early, below 0 too
            late; for a threshold how much better the trades it lets through did, on trades
            later than its choice.
        se_rr: Standard error that the interval implies.
        ci_low_rr: Lower end of the 95 % interval.
        ci_high_rr: Upper end.
        cautious_rr: 25 % quantile toward zero, cut at 0.
        p_sign: One-sided p-value of the sign.
        p_value: What the search tested; None where it was measured again.
        q_value: After correction for the whole search; None where it was measured again.
        sd_rr: Standard deviation of what was measured.
        mean_closed_at_days: Mean closing time of the trades in evidence.
        trades: Their ids, in time order.
        hindsight_rr: Median that the same decisions miss elsewhere, in the direction of the
            finding; None for a threshold.
        is_early: Whether the fault is to be too early; True for a threshold.
        threshold: The value chosen, None for a timing.
        chosen_before_days: End of the trades that chose it.
    """

    group: GroupKey
    scope: ScopePairs
    family: str
    n: int
    n_effective_blocks: float
    estimate_rr: float
    se_rr: float
    ci_low_rr: float
    ci_high_rr: float
    cautious_rr: float
    p_sign: float
    p_value: float | None
    q_value: float | None
    sd_rr: float
    mean_closed_at_days: float
    trades: tuple[int, ...]
    hindsight_rr: float | None = None
    is_early: bool = True
    threshold: float | None = None
    chosen_before_days: float | None = None

    @property
    def excludes_zero(self) -> bool:
        """Whether its 95 % interval lies on the side of the fault; else it moves no lever.

        What came to miss less than is usual elsewhere is no fault any more.
        """
        return self.ci_low_rr > 0 if self.is_early else self.ci_high_rr < 0

    @property
    def status(self) -> Literal["proposed", "watch"]:
        """What becomes of it when found."""
        return "proposed" if self.excludes_zero else "watch"


@dataclass(frozen=True, slots=True)
class ExecutionRun:
    """What a look found about execution.

    Attributes:
        findings: By group, then simplest first.
        n_candidates: Scopes and thresholds looked at: the price of the search.
        n_tested: Of these, those that had enough trades to be tested.
        n_passed: Of these, those that passed, before nested copies were dropped.
        level: Error level of the look.
    """

    findings: tuple[ExecutionFinding, ...]
    n_candidates: int
    n_tested: int
    n_passed: int
    level: float


@dataclass(frozen=True, eq=False)
class _Candidate:
    group: ExecutionTrades
    scope: ScopePairs
    family: str
    rows: Bools
    p_value: float | None  # None: not enough trades to test
    measured: MissedMedian | ChosenThreshold | None
    hindsight_rr: float = 0.0


def execution_findings(
    groups: Sequence[ExecutionTrades],
    *,
    thresholds: Mapping[str, ThresholdRange],
    fdr_target: float,
    look: int,
) -> ExecutionRun:
    """Search the execution of all groups, with one error control over everything.

    The level of the look is shared out between entry timing, exit timing and thresholds, as far
    as there are any: hundreds of nested scopes that share one fault would otherwise loosen the
    test of a threshold. Benjamini-Hochberg within each, over all its candidates, those without
    enough trades counted at p = 1. Of nested findings the simplest stays: a scope is kept
    beside its group, or beside a scope found before it, only where its other trades alone show
    the same.

    Args:
        groups: Trades of each group with what their execution left.
        thresholds: The signal thresholds that may be learned, by name.
        fdr_target: Accepted share of false lessons at the first look, in (0, 1).
        look: Number of the discovery look, from 1.

    Raises:
        ValueError: If ``fdr_target`` or ``look`` breaks its rule.
    """
    level = look_level(fdr_target, look)
    pools = _pools(groups)
    candidates = [one for group in groups for one in _candidates(group, thresholds, pools)]
    passed = _passed(candidates, level)
    return ExecutionRun(
        findings=tuple(_finding(one, q) for one, q in _simplest(passed)),
        n_candidates=len(candidates),
        n_tested=sum(one.p_value is not None for one in candidates),
        n_passed=len(passed),
        level=level,
    )


def _passed(candidates: Sequence[_Candidate], level: float) -> list[tuple[_Candidate, float]]:
    """The candidates that pass, with q-values that compare with the level of the look."""
    families: dict[str, list[_Candidate]] = defaultdict(list)
    for one in candidates:
        families[one.family.partition(".")[0]].append(one)
    passed = []
    for family in families.values():
        p_values = [1.0 if one.p_value is None else one.p_value for one in family]
        adjusted = np.minimum(q_values(np.array(p_values)) * len(families), 1.0)
        passed += [(one, q) for one, q in zip(family, adjusted.tolist(), strict=True) if q <= level]
    return passed


@dataclass(frozen=True, eq=False)
class _Pool:
    """What all trades of a category missed, and where those of each group stand among them."""

    missed_rr: Floats
    starts: Mapping[GroupKey, int]

    def median_elsewhere(self, key: GroupKey, rows: Bools) -> float | None:
        """The median over all other trades that tell; None where there are too few."""
        others = np.isfinite(self.missed_rr)
        start = self.starts[key]
        others[start : start + len(rows)] &= ~rows
        if others.sum() < MIN_MISSED_TRADES:
            return None
        return float(np.median(self.missed_rr[others]))


def _pools(groups: Sequence[ExecutionTrades]) -> dict[str, _Pool]:
    pools = {}
    for category, family in TIMING_OF.items():
        own = [group for group in groups if group.trades.key[1] == category]
        parts = [_missed(group, family) for group in own]
        ends = np.cumsum([len(part) for part in parts]).tolist()
        starts = dict(zip((group.trades.key for group in own), [0, *ends], strict=False))
        pools[category] = _Pool(np.concatenate([np.empty(0), *parts]), starts)
    return pools


def _candidates(
    group: ExecutionTrades,
    thresholds: Mapping[str, ThresholdRange],
    pools: Mapping[str, _Pool],
) -> Iterator[_Candidate]:
    key = group.trades.key
    category = key[1]
    if category in TIMING_OF:
        for scope, rows in _scopes(group, TIMING_OF[category]):
            elsewhere = pools[category].median_elsewhere(key, rows)
            yield _timing_candidate(group, scope, rows, TIMING_OF[category], elsewhere)
    for name, given in sorted(thresholds.items()):
        if threshold_category(name) == category and given.signal in group.signals:
            yield _threshold_candidate(group, name, given)


def _scopes(group: ExecutionTrades, family: str) -> Iterator[tuple[ScopePairs, Bools]]:
    """The whole group and its scopes of one condition, where enough trades tell."""
    told, trades = np.isfinite(_missed(group, family)), group.trades
    if told.sum() < MIN_MISSED_TRADES:
        return
    yield (), told
    for i, (name, levels) in enumerate(zip(trades.dims, trades.levels, strict=True)):
        for code, value in enumerate(levels):
            rows = told & (trades.scope_codes[:, i] == code)
            if MIN_MISSED_TRADES <= rows.sum() < told.sum():
                yield ((name, value),), rows


def _missed(group: ExecutionTrades, family: str) -> Floats:
    return group.missed_entry_rr if family == ENTRY_TIMING else group.missed_exit_rr


def _timing_candidate(
    group: ExecutionTrades,
    scope: ScopePairs,
    rows: Bools,
    family: str,
    elsewhere_rr: float | None,
) -> _Candidate:
    if elsewhere_rr is None:
        return _Candidate(group, scope, family, rows, None, None)
    missed = _missed(group, family)[rows]
    is_early = family == ENTRY_TIMING or (
        len(missed) > 0 and float(np.median(missed)) > elsewhere_rr
    )
    # what is usual excuses as much in its own direction, and nothing in the other
    hindsight = max(elsewhere_rr, 0.0) if is_early else min(elsewhere_rr, 0.0)
    found = missed_median(missed - hindsight, group.trades.closed_at_days[rows])
    if isinstance(found, Undetermined):
        return _Candidate(group, scope, family, rows, None, None)
    p_value = found.p_above if is_early else found.p_below
    if family == EXIT_TIMING:  # too early and too late are two ways to be wrong
        p_value = min(1.0, 2 * p_value)
    return _Candidate(group, scope, family, rows, p_value, found, hindsight)


def _threshold_candidate(group: ExecutionTrades, name: str, given: ThresholdRange) -> _Candidate:
    trades, signal = group.trades, group.signals[given.signal]
    family = THRESHOLD_PREFIX + name
    rows = np.isfinite(signal)
    chosen = chosen_threshold(signal, trades.outcome, trades.closed_at_days, given)
    if isinstance(chosen, Undetermined) or isinstance(chosen.confirmation, Undetermined):
        return _Candidate(group, (), family, rows, None, None)
    return _Candidate(group, (), family, rows, chosen.confirmation.p_value, chosen)


def _simplest(passed: Sequence[tuple[_Candidate, float]]) -> list[tuple[_Candidate, float]]:
    """Drop the nested copies: the group first, then the scopes, the clearest first."""
    families: dict[tuple[GroupKey, str], list[tuple[_Candidate, float]]] = defaultdict(list)
    for one, q in passed:
        families[one.group.trades.key, one.family].append((one, q))
    kept = []
    for family in families.values():
        taken: list[_Candidate] = []
        for one, q in sorted(family, key=lambda pair: (len(pair[0].scope), pair[0].p_value)):
            if not taken or _adds(one, taken):
                taken.append(one)
                kept.append((one, q))
    return kept


def _adds(one: _Candidate, taken: Sequence[_Candidate]) -> bool:
    same = [other for other in taken if _direction(other) == _direction(one)]
    rows = one.rows.copy()
    for other in same:
        rows &= ~other.rows
    if not same:
        return True
    rest = _timing_candidate(one.group, one.scope, rows, one.family, one.hindsight_rr)
    return (
        rest.p_value is not None
        and rest.p_value <= INCREMENT_LEVEL
        and _direction(rest) == _direction(one)
    )


def _direction(one: _Candidate) -> int:
    median = one.measured.median_rr if isinstance(one.measured, MissedMedian) else 1.0
    return 1 if median > 0 else -1


def _finding(one: _Candidate, q_value: float) -> ExecutionFinding:
    if isinstance(one.measured, MissedMedian):
        return _timing_finding(
            one.group, one.scope, one.family, one.rows, one.measured,
            hindsight_rr=one.hindsight_rr, is_early=_direction(one) > 0, p_value=one.p_value,
            q_value=q_value,
        )  # fmt: skip
    assert isinstance(one.measured, ChosenThreshold)
    assert isinstance(one.measured.confirmation, SplitContrast)
    return _threshold_finding(
        one.group, one.family, one.measured, one.measured.confirmation, q_value
    )


def _timing_finding(
    group: ExecutionTrades,
    scope: ScopePairs,
    family: str,
    rows: Bools,
    found: MissedMedian,
    *,
    hindsight_rr: float,
    is_early: bool,
    p_value: float | None = None,
    q_value: float | None = None,
) -> ExecutionFinding:
    trades = group.trades
    return ExecutionFinding(
        group=trades.key,
        scope=scope,
        family=family,
        n=found.n,
        n_effective_blocks=found.n_effective_blocks,
        estimate_rr=found.median_rr,
        se_rr=(found.ci_high_rr - found.ci_low_rr) / (2 * stats.norm.isf(0.025)),
        ci_low_rr=found.ci_low_rr,
        ci_high_rr=found.ci_high_rr,
        cautious_rr=found.cautious_rr,
        p_sign=found.p_sign,
        p_value=p_value,
        q_value=q_value,
        sd_rr=float(_missed(group, family)[rows].std()),
        mean_closed_at_days=float(trades.closed_at_days[rows].mean()),
        trades=tuple(trades.trade[rows].tolist()),
        hindsight_rr=hindsight_rr,
        is_early=is_early,
    )


def _threshold_finding(
    group: ExecutionTrades,
    family: str,
    chosen: ChosenThreshold,
    tested: SplitContrast,
    q_value: float | None = None,
) -> ExecutionFinding:
    trades = group.trades
    rows = trades.closed_at_days > chosen.chosen_before_days
    return ExecutionFinding(
        group=trades.key,
        scope=(),
        family=family,
        n=tested.n,
        n_effective_blocks=tested.n_effective_blocks,
        estimate_rr=tested.contrast_rr,
        se_rr=tested.se_rr,
        ci_low_rr=tested.ci_low_rr,
        ci_high_rr=tested.ci_high_rr,
        cautious_rr=tested.cautious_rr,
        p_sign=tested.p_value,
        p_value=None if q_value is None else tested.p_value,
        q_value=q_value,
        sd_rr=float(trades.outcome[rows].std()),
        mean_closed_at_days=float(trades.closed_at_days[rows].mean()),
        trades=tuple(trades.trade[rows].tolist()),
        threshold=chosen.value,
        chosen_before_days=chosen.chosen_before_days,
    )


def standing_timing(
    group: ExecutionTrades, scope: ScopePairs, family: str, *, hindsight_rr: float, is_early: bool
) -> ExecutionFinding | Undetermined:
    """Measure the timing of a standing lesson again, without a new error level.

    What hindsight excuses is frozen with the look that found it, so that nothing but the
    lesson's own trades moves its numbers.
    """
    rows = np.isfinite(_missed(group, family)) & _in_scope(group, scope)
    missed = _missed(group, family)[rows] - hindsight_rr
    found = missed_median(missed, group.trades.closed_at_days[rows])
    if isinstance(found, Undetermined):
        return found
    return _timing_finding(
        group, scope, family, rows, found, hindsight_rr=hindsight_rr, is_early=is_early
    )


def _in_scope(group: ExecutionTrades, scope: ScopePairs) -> Bools:
    trades = group.trades
    rows = np.ones(trades.n, dtype=np.bool_)
    for name, value in scope:
        i = trades.dims.index(name)
        code = trades.levels[i].index(value) if value in trades.levels[i] else -2
        rows &= trades.scope_codes[:, i] == code
    return rows


def standing_threshold(
    group: ExecutionTrades,
    name: str,
    given: ThresholdRange,
    *,
    value: float,
    chosen_before_days: float,
) -> ExecutionFinding | Undetermined:
    """Measure a standing threshold again, on all trades since those that chose it."""
    if given.signal not in group.signals:
        return Undetermined(f"no trade tells the signal {given.signal}")
    trades = group.trades
    tested = later_contrast(
        group.signals[given.signal],
        trades.outcome,
        trades.closed_at_days,
        value=value,
        kind=given.kind,
        chosen_before_days=chosen_before_days,
    )
    if isinstance(tested, Undetermined):
        return tested
    chosen = ChosenThreshold(value, chosen_before_days, tested)
    return _threshold_finding(group, THRESHOLD_PREFIX + name, chosen, tested)
