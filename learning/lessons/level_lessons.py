"""Level lessons: a pattern, or a pattern on one timeframe, that loses or earns by itself.

Scopes are compared with their pattern, and after costs the pattern itself may lose. The mean
net outcome is tested against 0 for the few cells where costs decide, nothing finer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy import stats

from learning.evidence.block_statistics import (
    MIN_EFFECTIVE_BLOCKS,
    block_mean_variance,
    effective_blocks,
    time_blocks,
)
from learning.evidence.false_discovery import look_level, q_values
from learning.evidence.trade_events import GroupKey, TradeEvents
from learning.lessons.scope_edges import TOWARD_ZERO_SHARE, ScopePairs
from learning.lessons.standing import StandingScope, Undetermined

MIN_LEVEL_TRADES: Final = 100
TIMEFRAME: Final = "timeframe"


@dataclass(frozen=True, slots=True)
class LevelMean:
    """The mean net outcome of a cell against 0.

    Attributes:
        group: The (pattern_key, action_category).
        scope: Empty, or the timeframe.
        n: Trades.
        n_effective_blocks: Independent weeks among them.
        mean_rr: Mean net outcome, not clipped: clipping wins would invent a loss.
        se_rr: Block jackknife standard error.
        t: mean_rr / se_rr, with ``n_effective_blocks - 1`` degrees of freedom.
        p_value: Two-sided.
        ci_low_rr: Lower end of the 95 % interval.
        ci_high_rr: Upper end.
        mean_q25_rr: 25 % quantile toward zero, cut at 0.
        sd_rr: Standard deviation of the outcome in the cell.
        mean_closed_at_days: Mean closing time, days since 1970.
        trades: Ids of the trades, in time order.
    """

    group: GroupKey
    scope: ScopePairs
    n: int
    n_effective_blocks: float
    mean_rr: float
    se_rr: float
    t: float
    p_value: float
    ci_low_rr: float
    ci_high_rr: float
    mean_q25_rr: float
    sd_rr: float
    mean_closed_at_days: float
    trades: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LevelLesson:
    """A cell whose mean survived the search; ``watch`` where its interval contains 0."""

    level: LevelMean
    q_value: float
    status: Literal["proposed", "watch"]


@dataclass(frozen=True, slots=True)
class LevelRun:
    """The level lessons of a look, and the number of cells they were found among."""

    lessons: tuple[LevelLesson, ...]
    n_tested: int
    level: float


def level_lessons(
    net_events: TradeEvents,
    *,
    fdr_target: float,
    look: int,
    categories: tuple[str, ...] = ("entry",),
) -> LevelRun:
    """Test the mean of the net outcome of patterns and pattern-timeframe cells against 0.

    Args:
        net_events: Closed trades with outcomes after costs.
        fdr_target: Accepted share of false lessons at the first look, in (0, 1).
        look: Number of the discovery look, from 1.
        categories: Action categories to test; every trade has an entry, so one is enough.

    Raises:
        ValueError: If ``fdr_target`` or ``look`` breaks its rule.

    References:
        MacKinnon, Nielsen & Webb (2023), J. Econometrics 232(2), 272-299.
    """
    level = look_level(fdr_target, look)
    events = net_events.canonical()
    tested = [
        found
        for cell in _cells(events, categories)
        if isinstance(found := _level_mean(events, cell), LevelMean)
    ]
    adjusted = q_values(np.array([found.p_value for found in tested]))
    lessons = [
        LevelLesson(found, float(q), "proposed" if _excludes_zero(found) else "watch")
        for found, q in zip(tested, adjusted, strict=True)
        if q <= level
    ]
    return LevelRun(lessons=tuple(lessons), n_tested=len(tested), level=level)


def standing_levels(
    net_events: TradeEvents, standing: tuple[StandingScope, ...]
) -> tuple[LevelMean | Undetermined, ...]:
    """Measure given cells again on today's trades, without a new error level."""
    events = net_events.canonical()
    return tuple(_level_mean(events, cell) for cell in standing)


def _cells(events: TradeEvents, categories: tuple[str, ...]) -> Iterator[StandingScope]:
    timeframes = events.levels[events.dims.index(TIMEFRAME)] if TIMEFRAME in events.dims else ()
    for key in events.groups:
        if key[1] in categories:
            yield StandingScope(key, ())
            of_group = events.group == events.group_code(key)
            for value in timeframes:
                scope = ((TIMEFRAME, value),)
                if not events.scope_matches(dict(scope))[of_group].all():  # else the same trades
                    yield StandingScope(key, scope)


def _level_mean(events: TradeEvents, cell: StandingScope) -> LevelMean | Undetermined:
    code = events.group_code(cell.group)
    chosen = events.scope_matches(dict(cell.scope)) & (events.group == code)
    n = int(chosen.sum())
    if code is None or n < MIN_LEVEL_TRADES:
        return Undetermined(f"{n} trades, {MIN_LEVEL_TRADES} needed")
    rr, closed = events.rr[chosen], events.closed_at_days[chosen]
    blocks = time_blocks(closed)
    effective = effective_blocks(blocks)
    if effective < MIN_EFFECTIVE_BLOCKS:
        return Undetermined(f"{effective:.1f} effective blocks, {MIN_EFFECTIVE_BLOCKS:g} needed")
    se = float(np.sqrt(block_mean_variance(rr, blocks) or 0.0))
    if se == 0:
        return Undetermined("every week has the same mean")
    mean, dof = float(rr.mean()), effective - 1
    reach = float(stats.t.ppf(0.975, dof)) * se
    near = float(stats.t.ppf(1 - TOWARD_ZERO_SHARE, dof)) * se
    return LevelMean(
        group=cell.group,
        scope=cell.scope,
        n=n,
        n_effective_blocks=effective,
        mean_rr=mean,
        se_rr=se,
        t=mean / se,
        p_value=float(2 * stats.t.sf(abs(mean) / se, dof)),
        ci_low_rr=float(mean - reach),
        ci_high_rr=float(mean + reach),
        mean_q25_rr=float(np.sign(mean) * max(0.0, abs(mean) - near)),
        sd_rr=float(rr.std()),
        mean_closed_at_days=float(closed.mean()),
        trades=tuple(events.trade[chosen].tolist()),
    )


def _excludes_zero(found: LevelMean) -> bool:
    return found.ci_low_rr > 0 or found.ci_high_rr < 0
