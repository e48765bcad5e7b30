"""Scopes of a group of trades, and what their weekly blocks say about their mean outcome.

Trades of one regime share shocks, so the independent unit is the week, not the trade: a
scope's difference to its group gets its standard error from leaving out one week at a time.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from learning.evidence.compiled import compiled
from learning.evidence.trade_events import TradeEvents

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.signedinteger]
Keys = npt.NDArray[np.uint64]

BLOCK_DAYS: Final = 7.0
CLIP_SHARES: Final = (0.001, 0.99)
MAX_SCOPE_DIMS: Final = 4
ELIGIBLE_N: Final[Mapping[int, int]] = MappingProxyType({1: 10, 2: 20, 3: 30, 4: 50})
MIN_EFFECTIVE_BLOCKS: Final = 8.0  # a scope that may become a lesson
MIN_POOLED_BLOCKS: Final = 4.0  # a scope whose variance takes part in pooling
WITHIN_BLOCK_CORRELATION: Final = 0.1
MIN_MULTIPLIERS: Final = 100


@dataclass(frozen=True, slots=True)
class ClipLimits:
    """Bounds that outcomes are clipped to, in R; frozen with the run that chose them."""

    low_rr: float
    high_rr: float

    def __post_init__(self) -> None:
        if not self.low_rr <= self.high_rr:
            raise ValueError(f"clip limits must be in order, got {self.low_rr}, {self.high_rr}")

    def clip(self, rr: Floats) -> Floats:
        """Return the outcomes within the limits."""
        return np.clip(rr, self.low_rr, self.high_rr)


def clip_limits(events: TradeEvents) -> ClipLimits:
    """Choose the limits: 0.1 % and 99 % quantiles of rr over the distinct trades.

    Raises:
        ValueError: If there are no trades.

    Examples:
        >>> import numpy as np
        >>> events = TradeEvents.from_columns(
        ...     pattern_key=["p"] * 101, action_category=["entry"] * 101,
        ...     scope={"d": [1] * 101}, closed_at_days=range(101), rr=range(101),
        ...     trade=range(101))
        >>> clip_limits(events)
        ClipLimits(low_rr=0.1, high_rr=99.0)
    """
    if events.n == 0:
        raise ValueError("clip limits need at least one trade, got none")
    low, high = np.quantile(distinct_trades(events, events.rr), CLIP_SHARES)
    return ClipLimits(low_rr=float(low), high_rr=float(high))


def distinct_trades(events: TradeEvents, outcome: Floats) -> Floats:
    """Return one outcome per trade, whatever number of groups it appears in."""
    _, first = np.unique(events.trade, return_index=True)
    return outcome[first]


@dataclass(frozen=True)
class ScopeSets:
    """Scopes of one group that match different sets of trades, simplest first.

    Attributes:
        codes: Shape (s, d), int16: level code per dimension of the scope, -1 = not used.
        n_dims: Shape (s,), number of dimensions used.
        mask: Shape (s,), bit *i* stands for dimension *i*.
        indptr: Shape (s + 1,): the trades of scope *j* are ``rows[indptr[j]:indptr[j + 1]]``.
        rows: Positions within the group's trades.
        n_rows: Trades in the group.
        n_searched: Scopes with enough trades, before scopes with the same trades collapsed.
    """

    codes: npt.NDArray[np.int16]
    n_dims: Ints
    mask: Ints
    indptr: Ints
    rows: npt.NDArray[np.int32]
    n_rows: int
    n_searched: int

    @cached_property
    def n(self) -> Ints:
        """Shape (s,), trades per scope."""
        return np.diff(self.indptr)

    def rows_of(self, j: int) -> npt.NDArray[np.int32]:
        """Return the positions of the trades of scope *j*."""
        return self.rows[self.indptr[j] : self.indptr[j + 1]]

    def indicator(self, j: int) -> Floats:
        """Shape (n_rows,), 1 for the trades of scope *j*, else 0."""
        member = np.zeros(self.n_rows)
        member[self.rows_of(j)] = 1.0
        return member

    def take(self, chosen: npt.NDArray[np.intp]) -> ScopeSets:
        """Return the chosen scopes, in the order given."""
        counts = self.n[chosen]
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = [self.rows_of(int(j)) for j in chosen]
        return ScopeSets(
            codes=self.codes[chosen],
            n_dims=self.n_dims[chosen],
            mask=self.mask[chosen],
            indptr=indptr,
            rows=np.concatenate(rows) if rows else np.empty(0, dtype=np.int32),
            n_rows=self.n_rows,
            n_searched=self.n_searched,
        )

    def ancestors(self, j: int) -> npt.NDArray[np.intp]:
        """Return the scopes whose conditions are a proper part of those of scope *j*."""
        agrees = (self.codes == self.codes[j]) | (self.codes < 0)
        return np.flatnonzero(agrees.all(axis=1) & (self.n_dims < self.n_dims[j]))


def scope_sets(
    scope_codes: npt.NDArray[np.int16],
    n_levels: tuple[int, ...],
    *,
    eligible_n: Mapping[int, int] = ELIGIBLE_N,
) -> ScopeSets:
    """Find every scope of at most four dimensions with enough trades of one group.

    Scopes that match the same trades collapse to the simplest: fewest dimensions, then first
    in dimension order. A scope that matches every trade of the group is left out.

    Args:
        scope_codes: Shape (n, d), -1 where a trade lacks the dimension.
        n_levels: Number of levels per dimension.
        eligible_n: Fewest trades by number of dimensions; a size without an entry is not searched.

    Raises:
        ValueError: If ``eligible_n`` falls with the number of dimensions or is below 2.

    Examples:
        >>> import numpy as np
        >>> codes = np.array([[0, 0], [0, 0], [0, 0], [1, 1], [1, 1], [1, 0]], dtype=np.int16)
        >>> sets = scope_sets(codes, (2, 2), eligible_n={1: 2, 2: 2})
        >>> sets.codes.tolist(), sets.n.tolist(), sets.n_searched
        ([[0, -1], [1, -1], [-1, 0], [-1, 1]], [3, 3, 4, 2], 6)
    """
    plan = _search_plan(scope_codes.shape[1], n_levels, _checked_sizes(eligible_n))
    codes = np.ascontiguousarray(scope_codes.T)
    keys = _trade_keys(len(scope_codes))
    mask_of, first_row, count, hashes = _count_cells(
        codes, keys, plan.depth, plan.last_dim, plan.n_levels, plan.least
    )
    chosen = _simplest(plan, mask_of, count, hashes, n_rows=len(scope_codes))
    slot = np.full(len(count), -1, dtype=np.int64)
    slot[chosen] = np.arange(len(chosen))
    indptr = np.concatenate([[0], np.cumsum(count[chosen])]).astype(np.int64)
    rows = _fill_cells(codes, plan.depth, plan.last_dim, plan.n_levels, plan.least, slot, indptr)
    used = plan.uses[mask_of[chosen]]
    return ScopeSets(
        codes=np.where(used, scope_codes[first_row[chosen]], np.int16(-1)),
        n_dims=used.sum(axis=1).astype(np.int64),
        mask=(used * (1 << np.arange(used.shape[1]))).sum(axis=1).astype(np.int64),
        indptr=indptr,
        rows=rows,
        n_rows=len(scope_codes),
        n_searched=len(count),
    )


def _checked_sizes(eligible_n: Mapping[int, int]) -> list[int]:
    sizes = [eligible_n[k] for k in range(1, MAX_SCOPE_DIMS + 1) if k in eligible_n]
    if sizes != sorted(sizes) or not sizes or sizes[0] < 2 or set(eligible_n) - {1, 2, 3, 4}:
        raise ValueError(
            f"eligible_n must start at 2 or more and never fall for 1 to {MAX_SCOPE_DIMS} "
            f"dimensions, got {dict(eligible_n)}"
        )
    return sizes


@dataclass(frozen=True, slots=True)
class _SearchPlan:
    """Masks in depth-first order, so that each refines the partition of the one above it."""

    uses: npt.NDArray[np.bool_]  # (m, d)
    depth: Ints
    last_dim: Ints
    n_levels: Ints
    least: Ints  # by depth: fewest trades of a scope; never falls, so small cells need no children


def _search_plan(d: int, n_levels: tuple[int, ...], sizes: list[int]) -> _SearchPlan:
    combos = sorted(
        combo for k in range(1, len(sizes) + 1) for combo in itertools.combinations(range(d), k)
    )
    uses = np.zeros((len(combos), d), dtype=np.bool_)
    for m, combo in enumerate(combos):
        uses[m, list(combo)] = True
    return _SearchPlan(
        uses=uses,
        depth=np.array([len(combo) for combo in combos], dtype=np.int64),
        last_dim=np.array([combo[-1] for combo in combos], dtype=np.int64),
        n_levels=np.array(n_levels, dtype=np.int64),
        least=np.array([0, *sizes], dtype=np.int64),
    )


def _trade_keys(n: int) -> npt.NDArray[np.uint64]:
    """One pseudo-random number per trade (Steele, Lea & Flood 2014: splitmix64)."""
    z = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _simplest(
    plan: _SearchPlan,
    mask_of: Ints,
    count: Ints,
    hashes: npt.NDArray[np.uint64],
    *,
    n_rows: int,
) -> npt.NDArray[np.intp]:
    """Return one cell per set of trades, the simplest, in order of simplicity."""
    order = np.lexsort((mask_of, plan.depth[mask_of]))  # depth-first order is dimension order
    order = order[count[order] < n_rows]
    _, first = np.unique(hashes[order], return_index=True)
    return order[np.sort(first)]


@compiled
def _refine(
    parent: Codes, column: Codes, n_parent: int, n_levels: int, least: int, child: Codes
) -> tuple[int, Ints]:
    """Split each cell of a partition by a column; number the cells with enough trades."""
    table = np.zeros(n_parent * n_levels, np.int64)
    for i in range(len(parent)):
        if parent[i] >= 0 and column[i] >= 0:
            table[parent[i] * n_levels + column[i]] += 1
    number = np.full(n_parent * n_levels, -1, np.int32)
    counts = np.empty(n_parent * n_levels, np.int64)
    n_cells = 0
    for i in range(len(parent)):
        child[i] = -1
        if parent[i] >= 0 and column[i] >= 0:
            cell = parent[i] * n_levels + column[i]
            if table[cell] >= least:
                if number[cell] < 0:
                    number[cell] = n_cells
                    counts[n_cells] = table[cell]
                    n_cells += 1
                child[i] = number[cell]
    return n_cells, counts


@compiled
def _count_cells(
    codes: Codes, keys: Keys, depth: Ints, last_dim: Ints, n_levels: Ints, least: Ints
) -> tuple[Ints, Ints, Ints, Keys]:
    """Mask, first row, size and membership hash of every cell with enough trades."""
    n = codes.shape[1]
    part = np.zeros((len(least), n), np.int32)
    size = np.ones(len(least), np.int64)
    out_mask = []
    out_row = []
    out_count = []
    out_hash = []
    for m in range(len(depth)):
        k = depth[m]
        dim = last_dim[m]
        cells, counts = _refine(
            part[k - 1], codes[dim], size[k - 1], n_levels[dim], least[k], part[k]
        )
        size[k] = cells
        hashes = np.zeros(cells, np.uint64)
        first = np.full(cells, -1, np.int64)
        for i in range(n):
            cell = part[k, i]
            if cell >= 0:
                hashes[cell] += keys[i]
                if first[cell] < 0:
                    first[cell] = i
        for cell in range(cells):
            out_mask.append(m)
            out_row.append(first[cell])
            out_count.append(counts[cell])
            out_hash.append(hashes[cell])
    return (
        np.array(out_mask, dtype=np.int64),
        np.array(out_row, dtype=np.int64),
        np.array(out_count, dtype=np.int64),
        np.array(out_hash, dtype=np.uint64),
    )


@compiled
def _fill_cells(
    codes: Codes,
    depth: Ints,
    last_dim: Ints,
    n_levels: Ints,
    least: Ints,
    slot: Ints,
    indptr: Ints,
) -> Codes:
    """Rows of the chosen cells; visits the cells in the same order as the count."""
    n = codes.shape[1]
    part = np.zeros((len(least), n), np.int32)
    size = np.ones(len(least), np.int64)
    rows = np.empty(indptr[-1], np.int32)
    cursor = indptr[:-1].copy()
    seen = 0
    for m in range(len(depth)):
        k = depth[m]
        dim = last_dim[m]
        cells, _ = _refine(part[k - 1], codes[dim], size[k - 1], n_levels[dim], least[k], part[k])
        size[k] = cells
        target = slot[seen : seen + cells]
        seen += cells
        for i in range(n):
            cell = part[k, i]
            if cell >= 0 and target[cell] >= 0:
                rows[cursor[target[cell]]] = i
                cursor[target[cell]] += 1
    return rows


@dataclass(frozen=True)
class Blocks:
    """The blocks of equal time in which a group traded.

    Attributes:
        code: Shape (n,), block of each trade, numbered in time order.
        n: Number of blocks in which the group traded.
    """

    code: Ints
    n: int


def time_blocks(closed_at_days: Floats, *, per_week: int = 1) -> Blocks:
    """Cut time into parts of a week and number those that hold trades.

    Examples:
        >>> import numpy as np
        >>> time_blocks(np.array([0.0, 6.9, 7.0, 30.0])).code.tolist()
        [0, 0, 1, 2]
        >>> time_blocks(np.array([0.0, 6.9, 7.0, 30.0]), per_week=2).code.tolist()
        [0, 1, 2, 3]
    """
    block = np.floor(closed_at_days * per_week / BLOCK_DAYS).astype(np.int64)
    held, code = np.unique(block, return_inverse=True)
    return Blocks(code=code.astype(np.int64), n=len(held))


def block_mean_variance(outcome: Floats, blocks: Blocks) -> float | None:
    """Return the block jackknife variance of a mean; None with a single block.

    Examples:
        Blocks {0, 2}, {4} and {6}: mean 3; without each in turn 5, 8/3 and 2.

        >>> import numpy as np
        >>> blocks = Blocks(np.array([0, 0, 1, 2]), 3)
        >>> round(block_mean_variance(np.array([0.0, 2, 4, 6]), blocks), 4)
        3.4074
    """
    if blocks.n < 2:
        return None
    n = np.bincount(blocks.code, minlength=blocks.n)
    total = np.bincount(blocks.code, weights=outcome, minlength=blocks.n)
    without = (total.sum() - total) / (len(outcome) - n)
    spread = float(((outcome.mean() - without) ** 2).sum())
    return (blocks.n - 1) / blocks.n * spread


def effective_blocks(blocks: Blocks) -> float:
    """Return the number of independent episodes among trades: fewer where blocks are uneven.

    Examples:
        >>> import numpy as np
        >>> effective_blocks(Blocks(np.array([0, 1, 2, 3]), 4))
        4.0
    """
    n = np.bincount(blocks.code, minlength=blocks.n)
    u = n * (1 + WITHIN_BLOCK_CORRELATION * (n - 1))
    return float(u.sum() ** 2 / (u**2).sum())


@dataclass(frozen=True)
class BlockEvidence:
    """What the blocks say about each scope of a group.

    Attributes:
        delta: Shape (s,), mean of the scope minus mean of the group.
        influence: Shape (s, b), delta minus delta without block b, over all blocks in which
            the *group* traded.
        v_jack: Shape (s,), block jackknife variance of delta; NaN where all trades of the
            scope or of the group lie in one block.
        n_effective_blocks: Shape (s,), number of independent episodes.
        design_effect: Shape (s,), at least 1.
        trades_per_block: Shape (s,), trades in its block as seen by a trade.

    References:
        MacKinnon, Nielsen & Webb (2023), J. Econometrics 232(2), 272-299: CRV3.
    """

    delta: Floats
    influence: Floats
    v_jack: Floats
    n_effective_blocks: Floats
    design_effect: Floats
    trades_per_block: Floats

    @cached_property
    def dof(self) -> Floats:
        """Shape (s,), degrees of freedom of the jackknife variance."""
        return np.maximum(self.n_effective_blocks - 1.0, 1.0)


def block_evidence(sets: ScopeSets, outcome: Floats, blocks: Blocks) -> BlockEvidence:
    """Compare each scope with its group, with a standard error from leaving out blocks.

    Shocks that scope and group share cancel. Blocks without trades of the scope count too:
    leaving them out moves the group's mean.

    Examples:
        Scope {trades 0, 1} of four trades in three blocks, by hand: delta = 1.5 - 2.5 = -1;
        without the blocks in turn 2 - 3, 1 - 8/3 and 1.5 - 1.5, so the influences are 0, 2/3, -1.

        >>> import numpy as np
        >>> codes = np.array([[0], [0], [1], [1]], dtype=np.int16)
        >>> sets = scope_sets(codes, (2,), eligible_n={1: 2}).take(np.array([0]))
        >>> found = block_evidence(
        ...     sets, np.array([1.0, 2, 3, 4]), Blocks(np.array([0, 1, 2, 2]), 3))
        >>> found.delta.tolist(), found.influence.round(4).tolist()
        ([-1.0], [[0.0, 0.6667, -1.0]])
        >>> float(found.v_jack[0].round(4))  # (2 - 1) / 2 * (4/9 + 1)
        0.7222
    """
    delta, influence, held, n_effective, deff, seen = _leave_one_block_out(
        sets.indptr, sets.rows, outcome, blocks.code, blocks.n
    )
    v_jack = (held - 1.0) / held * (influence**2).sum(axis=1)
    return BlockEvidence(
        delta=delta,
        influence=influence,
        v_jack=np.where((held > 1) & (blocks.n > 1), v_jack, np.nan),
        n_effective_blocks=n_effective,
        design_effect=deff,
        trades_per_block=seen,
    )


@compiled
def _leave_one_block_out(
    indptr: Ints, rows: Codes, outcome: Floats, code: Ints, n_blocks: int
) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats]:
    n_sets = len(indptr) - 1
    group_n = np.zeros(n_blocks)
    group_sum = np.zeros(n_blocks)
    for i in range(len(outcome)):
        group_n[code[i]] += 1.0
        group_sum[code[i]] += outcome[i]
    total_n = group_n.sum()
    total = group_sum.sum()
    delta = np.empty(n_sets)
    influence = np.zeros((n_sets, n_blocks))
    held = np.zeros(n_sets)
    n_effective = np.zeros(n_sets)
    deff = np.zeros(n_sets)
    seen = np.zeros(n_sets)
    for j in range(n_sets):
        n_b = np.zeros(n_blocks)
        sum_b = np.zeros(n_blocks)
        for at in range(indptr[j], indptr[j + 1]):
            n_b[code[rows[at]]] += 1.0
            sum_b[code[rows[at]]] += outcome[rows[at]]
        n_j = n_b.sum()
        sum_j = sum_b.sum()
        delta[j] = sum_j / n_j - total / total_n
        u = n_b * (1.0 + WITHIN_BLOCK_CORRELATION * (n_b - 1.0))
        held[j] = (n_b > 0).sum()
        n_effective[j] = u.sum() ** 2 / (u**2).sum()
        deff[j] = u.sum() / n_j
        seen[j] = (n_b**2).sum() / n_j
        if held[j] > 1.0 and n_blocks > 1:
            for b in range(n_blocks):
                without = (sum_j - sum_b[b]) / (n_j - n_b[b]) - (total - group_sum[b]) / (
                    total_n - group_n[b]
                )
                influence[j, b] = delta[j] - without
    return delta, influence, held, n_effective, deff, seen


def linear_influence(sets: ScopeSets, outcome: Floats, blocks: Blocks) -> Floats:
    """Return the first-order influence of each block on each scope's delta, shape (s, b).

    Examples:
        >>> import numpy as np
        >>> codes = np.array([[0], [0], [1], [1]], dtype=np.int16)
        >>> sets = scope_sets(codes, (2,), eligible_n={1: 2}).take(np.array([0]))
        >>> linear_influence(
        ...     sets, np.array([1.0, 2, 3, 4]), Blocks(np.array([0, 1, 2, 2]), 3)).tolist()
        [[0.125, 0.375, -0.5]]
    """
    centred = outcome - outcome.mean()
    of_group = np.bincount(blocks.code, weights=centred, minlength=blocks.n) / len(outcome)
    influence: Floats = _scope_influence(sets.indptr, sets.rows, outcome, blocks.code, blocks.n)
    return influence - of_group


@compiled
def _scope_influence(
    indptr: Ints, rows: Codes, outcome: Floats, code: Ints, n_blocks: int
) -> Floats:
    influence = np.zeros((len(indptr) - 1, n_blocks))
    for j in range(len(indptr) - 1):
        n_j = indptr[j + 1] - indptr[j]
        mean = 0.0
        for at in range(indptr[j], indptr[j + 1]):
            mean += outcome[rows[at]] / n_j
        for at in range(indptr[j], indptr[j + 1]):
            influence[j, code[rows[at]]] += (outcome[rows[at]] - mean) / n_j
    return influence


def multiplier_blocks(closed_at_days: Floats, weeks: Blocks) -> Blocks | None:
    """Return parts of weeks for the multipliers, None where the weeks are many enough.

    With b blocks the bootstrap lives in b dimensions; below 100 its maxima are too small.
    """
    if weeks.n >= MIN_MULTIPLIERS:
        return None
    return time_blocks(closed_at_days, per_week=math.ceil(MIN_MULTIPLIERS / weeks.n))
