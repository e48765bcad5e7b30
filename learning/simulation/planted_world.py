"""Worlds whose truth is known: regimes, bursts, shared shocks, and edges planted in scopes.

Used by the demonstration and by the calibration tests: only where the truth is known can one
count how many lessons are false. Everything follows from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from learning.evidence.block_statistics import Floats, Ints
from learning.evidence.trade_events import GroupKey, TradeEvents

Bools = npt.NDArray[np.bool_]
Scope = tuple[tuple[int, int], ...]
"""Conditions (dimension number, value)."""
EffectKind = Literal["stationary", "decay", "regime", "proxy", "pair"]

DIMS: Final = (
    "macro_phase", "meso_phase", "micro_phase", "bucket_leader", "bucket_rank_position",
    "market_family", "bucket", "timeframe", "A_mode", "E_mode",
)  # fmt: skip
LEVELS: Final = (6, 6, 6, 6, 6, 3, 6, 4, 3, 3)
CATEGORIES: Final = ("entry", "add", "trim", "exit")
STEP_DAYS: Final = 0.25
HORIZON_DAYS: Final = 900.0
_KINDS: Final[tuple[EffectKind, ...]] = (
    *("stationary",) * 9, *("decay",) * 5, *("regime",) * 4, *("proxy",) * 3, *("pair",) * 3,
)  # fmt: skip
_MACRO, _MESO, _MICRO = 0, 1, 2


def rr_noise(rng: np.random.Generator, n: int) -> Floats:
    """Draw outcomes of mean 0: losses like stops, lognormal wins, now and then a runner.

    Standard deviation 1.8 R; the tail is so fat that the skewness of a sample, 4 to 13, depends
    on its largest runner.
    """
    return _raw_noise(rng, n) - _noise_mean()


def _raw_noise(rng: np.random.Generator, n: int) -> Floats:
    loss = -(0.2 + 0.9 * rng.beta(4, 2, n))
    win = 0.1 + rng.lognormal(0.2, 0.8, n)
    runner = rng.random(n) < 0.06
    win = np.where(runner, win * (1 + rng.pareto(2.6, n)), win)
    return np.where(rng.random(n) < 0.58, loss, win)


@cache
def _noise_mean() -> float:
    return float(_raw_noise(np.random.default_rng(12345), 4_000_000).mean())


def autoregression(rng: np.random.Generator, n: int, *, correlation: float, sd: float) -> Floats:
    """Draw a stationary first-order autoregression of n steps."""
    steps = rng.normal(0, sd * np.sqrt(1 - correlation**2), n)
    path = np.empty(n)
    path[0] = rng.normal(0, sd)
    for i in range(1, n):
        path[i] = correlation * path[i - 1] + steps[i]
    return path


@dataclass(frozen=True)
class PlantedEffect:
    """A true mean shift of one group's trades in a scope.

    Attributes:
        effect_id: Position among the effects of the world.
        kind: What makes it hard: nothing, decay, a regime, proxies, or an overlapping twin.
        group: Code of the group.
        scope: Conditions (dimension number, value).
        delta_rr: Shift in R, at day 0 where it decays.
        half_life_days: None where it does not decay.
        macro_phases: The only macro phases in which it is active; None: in all.
    """

    effect_id: int
    kind: EffectKind
    group: int
    scope: Scope
    delta_rr: float
    half_life_days: float | None = None
    macro_phases: tuple[int, ...] | None = None

    def share_active(self, trades: PlantedTrades) -> Floats:
        """Shape (n,): the share of the shift that each trade has, 0 outside the scope."""
        return self.share_at(trades.group, trades.levels, trades.closed_at_days)

    def share_at(self, group: Ints, levels: Ints, days: Floats) -> Floats:
        """Return the same from the columns of the trades."""
        active = (group == self.group) & matches(levels, self.scope)
        if self.macro_phases is not None:
            active &= np.isin(levels[:, _MACRO], self.macro_phases)
        share: Floats = active.astype(np.float64)
        if self.half_life_days is not None:
            share *= 0.5 ** (days / self.half_life_days)
        return share


@dataclass(frozen=True)
class PlantedTrades:
    """Closed trades of a planted world with their noise-free truth, shapes (n,) and (n, d)."""

    group: Ints
    levels: Ints
    closed_at_days: Floats
    rr: Floats
    true_shift_rr: Floats
    base_rr: Floats
    time_efficiency: Floats

    @property
    def n(self) -> int:
        """Number of trades."""
        return len(self.rr)


def matches(levels: Ints, scope: Scope) -> Bools:
    """Return which rows of levels satisfy every condition of a scope."""
    matched = np.ones(len(levels), dtype=np.bool_)
    for dim, value in scope:
        matched &= levels[:, dim] == value
    return matched


def jaccard(a: Bools, b: Bools) -> float:
    """Return the shared part of two sets of trades, 0 where both are empty."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 0.0


@dataclass(frozen=True)
class PlantedWorld:
    """A market, its patterns and its planted effects; :func:`planted_world` makes one."""

    seed: int
    n_patterns: int
    days: float
    n_trades: int
    shock: float
    group_share: Floats
    base_rr: Floats
    timeframe_share: Floats
    bucket_share: Floats
    meso_taste: Floats
    regime: Ints
    episode: Ints
    arrival_rate: Floats
    effects: tuple[PlantedEffect, ...] = ()

    @property
    def groups(self) -> tuple[GroupKey, ...]:
        """The (pattern_key, action_category) of each group code."""
        return tuple(
            (f"pm.planted.S{i}.setup{i:02d}", category)
            for i in range(self.n_patterns)
            for category in CATEGORIES
        )

    def sample(
        self,
        n: int | None = None,
        *,
        from_day: float = 0.0,
        to_day: float | None = None,
        sample_seed: int = 0,
    ) -> PlantedTrades:
        """Draw closed trades; another sample seed is another draw of the same world."""
        rng = np.random.default_rng([self.seed, 11, sample_seed])
        count = self.n_trades if n is None else n
        step, days = self._arrivals(rng, count, from_day, self.days if to_day is None else to_day)
        group = self._groups_of(rng, self.regime[step])
        levels = self._levels_of(rng, self.regime[step], group)
        shocks = self._shocks(rng, days, levels, group, step)
        share = [e.delta_rr * e.share_at(group, levels, days) for e in self.effects]
        shift = np.sum(share, axis=0) if share else np.zeros(count)
        rr = self.base_rr[group] + shift + shocks + rr_noise(rng, count)
        return PlantedTrades(
            group=group,
            levels=levels,
            closed_at_days=days,
            rr=rr,
            true_shift_rr=shift,
            base_rr=self.base_rr[group],
            time_efficiency=1 / (1 + np.exp(-(0.5 * rr + rng.normal(0, 1, count)))),
        )

    def _arrivals(
        self, rng: np.random.Generator, n: int, from_day: float, to_day: float
    ) -> tuple[Ints, Floats]:
        first, end = int(from_day / STEP_DAYS), int(to_day / STEP_DAYS)
        rate = self.arrival_rate[first:end]
        step = np.sort(rng.choice(np.arange(first, end), n, p=rate / rate.sum()))
        return step, (step + rng.random(n)) * STEP_DAYS

    def _groups_of(self, rng: np.random.Generator, regime: Ints) -> Ints:
        """Patterns prefer some meso phases."""
        group = np.empty(len(regime), dtype=np.int64)
        for meso in range(6):
            rows = np.where(regime[:, _MESO] == meso)[0]
            weight = self.group_share * self.meso_taste[meso]
            group[rows] = rng.choice(len(weight), len(rows), p=weight / weight.sum())
        return group

    def _levels_of(self, rng: np.random.Generator, regime: Ints, group: Ints) -> Ints:
        n = len(group)
        family = rng.choice(3, n, p=[0.6, 0.3, 0.1])
        bucket = _drawn(rng, self.bucket_share[family])
        leader = regime[:, 3]
        rank = np.where(
            bucket == leader,
            np.where(rng.random(n) < 0.8, 0, 1),
            1 + (np.abs(bucket - leader) - 1 + (rng.random(n) < 0.3)) % 5,
        )
        timeframe = _drawn(rng, self.timeframe_share[group // 4])
        a_mode = np.where(rng.random(n) < 0.85, regime[:, _MICRO] % 3, rng.integers(0, 3, n))
        e_mode = np.where(rng.random(n) < 0.75, a_mode, rng.integers(0, 3, n))
        return np.column_stack(
            [regime[:, :3], leader, rank, family, bucket, timeframe, a_mode, e_mode]
        ).astype(np.int64)

    def _shocks(
        self, rng: np.random.Generator, days: Floats, levels: Ints, group: Ints, step: Ints
    ) -> Floats:
        """Shocks that trades share: of the day, of the day and bucket, of pattern and episode."""
        n_days = int(len(self.regime) * STEP_DAYS) + 1
        day = days.astype(np.int64)
        common = autoregression(rng, n_days, correlation=0.6, sd=0.35)
        of_bucket = np.stack(
            [autoregression(rng, n_days, correlation=0.6, sd=0.35) for _ in range(6)]
        )
        of_episode = rng.normal(0, 0.45, (self.n_patterns, int(self.episode.max()) + 1))
        total = (
            common[day] + of_bucket[levels[:, 6], day] + of_episode[group // 4, self.episode[step]]
        )
        return self.shock * total


def _drawn(rng: np.random.Generator, shares: Floats) -> Ints:
    """Draw one category per row of shares."""
    passed = shares.cumsum(axis=1) < rng.random((len(shares), 1))
    drawn: Ints = passed.sum(axis=1).clip(0, shares.shape[1] - 1).astype(np.int64)
    return drawn


def planted_world(
    seed: int,
    *,
    null: bool = False,
    n_patterns: int = 30,
    days: float = 540,
    horizon_days: float = HORIZON_DAYS,
    n_trades: int = 40_000,
    shock: float = 1.0,
    effect_scale: float = 1.0,
) -> PlantedWorld:
    """Make a world of 30 patterns in 4 categories with about 26 planted effects.

    Args:
        seed: Everything follows from it.
        null: Plant nothing: every lesson is false.
        n_patterns: Number of patterns.
        days: Length of the history that :meth:`PlantedWorld.sample` draws from.
        horizon_days: Length of the regime path.
        n_trades: Trades of a sample.
        shock: Scale of the shocks that trades share.
        effect_scale: Scale of the planted effects.

    Examples:
        >>> world = planted_world(1, n_patterns=2, n_trades=50, null=True)
        >>> world.sample().n, len(world.effects)
        (50, 0)
    """
    rng = np.random.default_rng([seed, 7])
    world = _unplanted(
        rng, seed, n_patterns=n_patterns, days=days, horizon_days=horizon_days,
        n_trades=n_trades, shock=shock,
    )  # fmt: skip
    return world if null else replace(world, effects=_planted(rng, world, effect_scale))


def _unplanted(
    rng: np.random.Generator,
    seed: int,
    *,
    n_patterns: int,
    days: float,
    horizon_days: float,
    n_trades: int,
    shock: float,
) -> PlantedWorld:
    n_groups = n_patterns * len(CATEGORIES)
    weight = rng.lognormal(0, 1.0, n_groups)
    base = rng.normal(0.15, 0.15, n_groups)
    timeframe_share = rng.dirichlet(np.full(4, 1.2), n_patterns)
    bucket_share = rng.dirichlet(np.full(6, 1.0), 3)
    meso_taste = np.exp(rng.normal(0, 0.4, (6, n_groups)))
    regime, episode = _regime_path(rng, int(horizon_days / STEP_DAYS))
    return PlantedWorld(
        seed=seed,
        n_patterns=n_patterns,
        days=days,
        n_trades=n_trades,
        shock=shock,
        group_share=weight / weight.sum(),
        base_rr=base,
        timeframe_share=timeframe_share,
        bucket_share=bucket_share,
        meso_taste=meso_taste,
        regime=regime,
        episode=episode,
        arrival_rate=rng.gamma(0.7, 1, len(regime)),  # bursty: trades come in clusters
    )


def _regime_path(rng: np.random.Generator, n_steps: int) -> tuple[Ints, Ints]:
    """Phases that dwell about 20, 6 and 1.5 days and follow one another, and a leader (8)."""
    meso_given = rng.dirichlet(np.full(6, 0.8), 6)
    micro_given = rng.dirichlet(np.full(6, 0.8), 6)
    macro_share = rng.dirichlet(np.full(6, 3.0))
    leader_share = rng.dirichlet(np.full(6, 2.0))
    path = np.empty((n_steps, 4), dtype=np.int64)
    episode = np.empty(n_steps, dtype=np.int64)
    macro = rng.choice(6, p=macro_share)
    meso = rng.choice(6, p=meso_given[macro])
    micro = rng.choice(6, p=micro_given[meso])
    leader = rng.choice(6, p=leader_share)
    current = 0
    for t in range(n_steps):
        if rng.random() < STEP_DAYS / 20:
            macro = rng.choice(6, p=macro_share)
        if rng.random() < STEP_DAYS / 6:
            meso = rng.choice(6, p=meso_given[macro])
            current += 1
        if rng.random() < STEP_DAYS / 1.5:
            micro = rng.choice(6, p=micro_given[meso])
        if rng.random() < STEP_DAYS / 8:
            leader = rng.choice(6, p=leader_share)
        path[t] = macro, meso, micro, leader
        episode[t] = current
    return path, episode


def _planted(
    rng: np.random.Generator, world: PlantedWorld, scale: float
) -> tuple[PlantedEffect, ...]:
    """Plant effects in the 40 largest groups of a probing sample."""
    probe = world.sample(sample_seed=999)
    sizes = np.bincount(probe.group, minlength=len(world.groups))
    pool = list(np.argsort(-sizes)[:40])
    rng.shuffle(pool)
    effects: list[PlantedEffect] = []
    for kind in _KINDS:
        group = int(pool.pop())
        levels = probe.levels[probe.group == group]
        found = _planted_effect(rng, kind, group, levels, len(effects), scale)
        if found is None:
            continue
        effects.append(found)
        if kind == "pair":
            twin = _overlapping_twin(rng, found, levels, scale)
            effects.extend([] if twin is None else [twin])
    return tuple(effects)


def _planted_effect(
    rng: np.random.Generator,
    kind: EffectKind,
    group: int,
    levels: Ints,
    effect_id: int,
    scale: float,
) -> PlantedEffect | None:
    scope = _planted_scope(rng, kind, levels)
    if scope is None:
        return None
    size = float(rng.uniform(0.8, 1.8)) * scale
    sign = 1 if rng.random() < 0.65 else -1
    effect = PlantedEffect(effect_id, kind, group, scope, sign * size)
    if kind == "decay":
        half_life = float(rng.choice([60, 120, 200]))
        return replace(effect, half_life_days=half_life, delta_rr=sign * size * 1.6)
    if kind == "regime":
        return replace(effect, macro_phases=_commonest_macro_phases(levels, scope))
    return effect


def _planted_scope(rng: np.random.Generator, kind: EffectKind, levels: Ints) -> Scope | None:
    size = int(rng.choice([1, 2, 3], p=[0.3, 0.4, 0.3]))
    if kind == "proxy":  # A_mode and E_mode follow micro_phase and pass for it
        return ((_MICRO, int(levels[rng.integers(len(levels)), _MICRO])),)
    if kind == "regime":
        size = int(rng.choice([1, 2]))
        return _scope_of_share(rng, levels, size, low=0.2, high=0.5, without=(_MACRO,))
    return _scope_of_share(rng, levels, size, low=0.06, high=0.35)


def _scope_of_share(
    rng: np.random.Generator,
    levels: Ints,
    size: int,
    *,
    low: float,
    high: float,
    without: tuple[int, ...] = (),
) -> Scope | None:
    """Draw a scope that holds a share of the group's trades, at least 80 of them."""
    allowed = [dim for dim in range(len(DIMS)) if dim not in without]
    for _ in range(4000):
        dims = sorted(rng.choice(allowed, size, replace=False).tolist())
        row = levels[rng.integers(len(levels))]
        scope = tuple((dim, int(row[dim])) for dim in dims)
        share = matches(levels, scope).mean()
        if low <= share <= high and share * len(levels) >= 80:
            return scope
    return None


def _commonest_macro_phases(levels: Ints, scope: Scope) -> tuple[int, ...]:
    matched = matches(levels, scope)
    shares = [(phase, (matched & (levels[:, _MACRO] == phase)).mean()) for phase in range(6)]
    shares.sort(key=lambda pair: -pair[1])
    return shares[0][0], shares[1][0]


def _overlapping_twin(
    rng: np.random.Generator, first: PlantedEffect, levels: Ints, scale: float
) -> PlantedEffect | None:
    """Draw a second effect of the same group that shares a condition with the first."""
    shared = first.scope[0]
    used = [dim for dim, _ in first.scope]
    for _ in range(500):
        dim = int(rng.integers(len(DIMS)))
        if dim in used:
            continue
        value = int(levels[rng.integers(len(levels)), dim])
        scope = tuple(sorted([shared, (dim, value)]))
        matched = matches(levels, scope)
        share = matched.mean()
        overlap = jaccard(matched, matches(levels, first.scope))
        if 0.06 <= share <= 0.35 and share * len(levels) >= 80 and overlap < 0.5:
            size = float(rng.uniform(0.8, 1.8)) * scale
            delta = size * (1 if rng.random() < 0.65 else -1)
            return replace(first, effect_id=first.effect_id + 1, scope=scope, delta_rr=delta)
    return None


def trade_events(world: PlantedWorld, trades: PlantedTrades) -> TradeEvents:
    """Return planted trades as the arrays that evidence reads."""
    return TradeEvents(
        group=trades.group.astype(np.int32),
        groups=world.groups,
        dims=DIMS,
        scope_codes=trades.levels.astype(np.int16),
        levels=tuple(tuple(range(n)) for n in LEVELS),
        closed_at_days=trades.closed_at_days,
        rr=trades.rr,
        trade=np.arange(trades.n, dtype=np.int64),
        time_efficiency=trades.time_efficiency,
    )


def decaying_stream(
    rng: np.random.Generator,
    *,
    half_life_days: float,
    initial_edge_rr: float,
    trades_per_week: float,
    n_weeks: int,
    offset_rr: float = 0.0,
) -> tuple[Floats, Ints, Floats]:
    """Draw the trades of one scope with a known half-life (infinite: constant edge).

    Returns:
        Closing times in days, weeks, and outcomes in excess of the group.
    """
    n = rng.poisson(trades_per_week * rng.gamma(4, 0.25, n_weeks))
    week = np.repeat(np.arange(n_weeks), n)
    days = (week + rng.random(len(week))) * 7.0
    left = np.ones(len(days)) if np.isinf(half_life_days) else 0.5 ** (days / half_life_days)
    shocks = rng.normal(0, 0.35, n_weeks)[week]
    excess = offset_rr + initial_edge_rr * left + shocks + rr_noise(rng, len(days))
    return days, week, excess


def lesson_sets(
    rng: np.random.Generator,
    *,
    n_trades: int = 3000,
    n_factors: int = 8,
    n_single: int = 12,
    nested: bool = True,
    hard: bool = False,
) -> tuple[Bools, Ints]:
    """Draw lessons as sets of matched trades, several of them for each hidden factor.

    Args:
        rng: Source of randomness.
        n_trades: Trades in the pool.
        n_factors: Hidden sets of trades; lessons are noisy copies and children of them.
        n_single: Lessons that belong to no factor.
        nested: Make some lessons children of their factor.
        hard: Noisier copies, and every second factor shares a third of its trades with the
            one before.

    Returns:
        Matched trades, shape (lessons, n_trades), and the factor of each lesson.
    """
    rows: list[Bools] = []
    label: list[int] = []
    before: Bools | None = None
    for factor in range(n_factors):
        hidden = rng.random(n_trades) < rng.uniform(0.03, 0.15)
        if hard and factor % 2 and before is not None:
            taken = before & (rng.random(n_trades) < 0.35)
            hidden = taken | (hidden & ~before & (rng.random(n_trades) < 0.8))
        before = hidden
        for copy in range(rng.integers(2, 8)):
            rows.append(_noisy_copy(rng, hidden, may_be_child=nested and copy > 0, hard=hard))
            label.append(factor)
    for single in range(n_single):
        rows.append(rng.random(n_trades) < rng.uniform(0.03, 0.3))
        label.append(n_factors + single)
    return np.array(rows), np.array(label)


def _noisy_copy(
    rng: np.random.Generator, hidden: Bools, *, may_be_child: bool, hard: bool
) -> Bools:
    sensitivity = rng.uniform(0.55 if hard else 0.75, 0.98)
    false_share = hidden.mean() * rng.uniform(0, 0.5 if hard else 0.3)
    n = len(hidden)
    kept = hidden & (rng.random(n) < sensitivity)
    row: Bools = kept | (~hidden & (rng.random(n) < false_share))
    if may_be_child and rng.random() < 0.35:
        row &= rng.random(n) < rng.uniform(0.4, 0.8)
    return row


@dataclass(frozen=True)
class OverrideCase:
    """Decisions under one override, with both potential outcomes' truth, shapes (n,).

    Attributes:
        week: Week of each decision.
        covariate: Known before the decision.
        untreated_rr: Outcome without the override.
        rr: Outcome as it was.
        treated: Whether the override was applied.
        propensity: Logged probability of treatment.
        before_rr: Mean of the scope before, selected for being high.
        effect_rr: True effect.
    """

    week: Ints
    covariate: Floats
    untreated_rr: Floats
    rr: Floats
    treated: Bools
    propensity: Floats
    before_rr: float
    effect_rr: float


def override_case(
    rng: np.random.Generator,
    *,
    n: int = 2000,
    effect_rr: float = 0.25,
    holdout: float = 0.2,
    n_weeks: int = 30,
    confounding: float = 0.0,
    selection_rr: float = 0.6,
    bursts: bool = True,
) -> OverrideCase:
    """Draw decisions under an override in weeks with shared shocks.

    Args:
        rng: Source of randomness.
        n: Decisions.
        effect_rr: True effect of the override.
        holdout: Share of decisions that are held out at random.
        n_weeks: Weeks.
        confounding: Probability that an operator skips the override, unlogged, when a visible
            covariate looks bad.
        selection_rr: How much too high the scope's mean looked before (winner's curse).
        bursts: Unequal numbers of decisions per week.
    """
    if bursts:
        share = rng.dirichlet(np.full(n_weeks, 1.5))
        week = np.sort(rng.choice(n_weeks, n, p=share))
    else:
        week = np.sort(rng.integers(0, n_weeks, n))
    covariate = rng.normal(0, 1, n)
    shocks = rng.normal(0, 0.4, n_weeks)[week]
    untreated = 0.2 + 0.35 * covariate + shocks + rr_noise(rng, n)
    propensity = np.full(n, 1 - holdout)
    treated = rng.random(n) < propensity
    if confounding:
        treated &= ~((covariate < -0.5) & (rng.random(n) < confounding))
    return OverrideCase(
        week=week,
        covariate=covariate,
        untreated_rr=untreated,
        rr=untreated + effect_rr * treated,
        treated=treated,
        propensity=propensity,
        before_rr=float(0.2 + selection_rr + rng.normal(0, 0.1)),
        effect_rr=effect_rr,
    )
