"""The iceberg cube: every scope of every group that enough trades share, and what they add up to.

A *cell* is a non-empty subset of the scope dimensions with one value for each, inside one group
(pattern key and action category). With d dimensions a trade lies in up to 2**d - 1 cells; kept
are those with at least as many distinct trades as a cell of that many dimensions needs.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod
from operator import mul
from threading import Lock
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from learning.evidence import cube_kernel as kernel
from learning.evidence.moments import LARGEST_SUM, N_SEGMENTS, Moments, concatenated

#: Fewest trades of a kept cell with 1, 2, ... dimensions; the last holds for all larger ones.
DEFAULT_N_MIN = (10, 10, 20, 20, 30, 30, 50)
#: A mask is a SMALLINT.
MAX_DIMENSIONS = 15
#: Values of one dimension are numbered in 16 bits.
MAX_VALUES = 32_000
#: Cells are written in chunks of about this size.
CHUNK_BYTES = 10_000_000
OWN_MEMORY_BYTES = 1 << 17
PREFAULT = getattr(mmap, "MAP_POPULATE", 0)
CELL_BYTES = 122  # without the key's words
#: The tail's tensor fits the first-level cache: slots of 112 bytes.
MAX_SLOTS = 400
#: One layout of arrays, so that the kernel is compiled once.
KERNEL_READY: tuple[Literal["C", "W"], ...] = ("C", "W")
_UNREACHABLE = np.iinfo(np.int32).max


Own = TypeVar("Own")


@dataclass(frozen=True, slots=True)
class KeyLayout:
    """Where each dimension's value lies in a packed key: value + 1, 0 where it is not asked for."""

    cards: tuple[int, ...]
    word: tuple[int, ...]
    shift: tuple[int, ...]

    @property
    def n_words(self) -> int:
        return max(self.word, default=0) + 1

    def unpack(self, key: npt.NDArray[np.uint64]) -> npt.NDArray[np.int16]:
        """Shape (m, n_words) keys to shape (m, d) codes, -1 where a dimension is not asked for."""
        codes = np.empty((len(key), len(self.cards)), np.int16)
        for dim, (card, word, shift) in enumerate(zip(self.cards, self.word, self.shift)):  # noqa: B905
            field = np.uint64((1 << card.bit_length()) - 1)
            codes[:, dim] = ((key[:, word] >> np.uint64(shift)) & field).astype(np.int16) - 1
        return codes


@dataclass(frozen=True, slots=True, eq=False)
class ScopeCube:
    """Kept cells, one row each, sorted by group; the order inside a group has no meaning.

    Attributes:
        group_start: Shape (g + 1,); the cells of group i are rows group_start[i] to
            group_start[i + 1].
        mask: Shape (m,) int16; bit i is set where dimension i is part of the cell.
        key: Shape (m, n_words) uint64; the cell's values, packed as ``layout`` says.
        moments: Sums of the m cells.
        totals: Sums of the g groups, over all their trades.
        n_min: Fewest trades by number of dimensions, from one dimension on.
        layout: Where the values lie in a key.
        absent: Trade columns that were not given; their sums are 0 and mean nothing.
        effective_blocks: Shape (m,), number of time blocks that the cell's trades are worth,
            (sum u)² / sum u² over blocks with u = n (1 + 0.1 (n - 1)); none without blocks.
    """

    group_start: npt.NDArray[np.int64]
    mask: npt.NDArray[np.int16]
    key: npt.NDArray[np.uint64]
    moments: Moments
    totals: Moments
    n_min: tuple[int, ...]
    layout: KeyLayout
    absent: tuple[str, ...]
    effective_blocks: npt.NDArray[np.float32] | None

    def __len__(self) -> int:
        return len(self.mask)

    @property
    def group(self) -> npt.NDArray[np.int32]:
        """Shape (m,): the group of each cell."""
        groups = np.arange(len(self.group_start) - 1, dtype=np.int32)
        return np.repeat(groups, np.diff(self.group_start))

    @property
    def scope_codes(self) -> npt.NDArray[np.int16]:
        """Shape (m, d): the value of each dimension, -1 where the cell does not ask for it."""
        return self.layout.unpack(self.key)

    def size(self) -> npt.NDArray[np.uint8]:
        """Shape (m,): number of dimensions of each cell."""
        return np.bitwise_count(self.mask)

    def take(self, rows: npt.NDArray[np.intp]) -> ScopeCube:
        """The cells at the given rows, by position.

        Raises:
            ValueError: If the rows leave the order of the groups.
        """
        groups = self.group[rows]
        if np.any(groups[1:] < groups[:-1]):
            raise ValueError(
                "rows must keep the order of the groups, got a group after a later one"
            )
        counts = np.bincount(groups, minlength=len(self.totals))
        return replace(
            self,
            group_start=_starts(counts),
            mask=self.mask[rows],
            key=self.key[rows],
            moments=self.moments.take(rows),
            effective_blocks=None if self.effective_blocks is None else self.effective_blocks[rows],
        )


def scope_cube(
    group: npt.ArrayLike,
    scope_codes: npt.ArrayLike,
    rr: npt.ArrayLike,
    *,
    closed_at: npt.ArrayLike | None = None,
    segment: npt.ArrayLike | None = None,
    n_min: Sequence[int] = DEFAULT_N_MIN,
    clip: tuple[float, float] | None = None,
    baseline: npt.ArrayLike | None = None,
    time_rank: npt.ArrayLike | None = None,
    cards: Sequence[int] | None = None,
    n_groups: int | None = None,
    block_length: int | None = None,
    threads: int = 2,
) -> ScopeCube:
    """Add up every scope of every group that at least ``n_min`` trades share.

    Exact: sums are integers (see ``moments``), so neither the order of the trades nor the number
    of threads changes a bit, and cubes of disjoint trades merge without error.

    Args:
        group: Shape (n,), group number of each trade, 0 to g - 1; a trade once per group.
        scope_codes: Shape (n, d), d at most 15; value number of each dimension from 0, -1 absent.
        rr: Shape (n,), outcome in R.
        closed_at: Shape (n,), any integer clock. Each group's trades are cut by it into six
            equal-count time segments; trades of one instant share the segment of the first.
        segment: Shape (n,), 0 to 5, instead of ``closed_at``: for parts that shall merge.
        n_min: Fewest trades of a cell with 1, 2, ... dimensions; never falling; the last entry
            holds for all larger cells.
        clip: Lowest and highest outcome counted in the clipped sums.
        baseline: Shape (n,), baseline of each trade's segment in R; absent counts 0.
        time_rank: Shape (n,), time-efficiency rank in the group, in (0, 1); absent counts 0.
        cards: Number of values of each dimension; absent is counted. Parts that shall merge give
            the same.
        n_groups: Number of groups; absent is counted.
        block_length: Length of a time block, usually 7 days, in the units of ``closed_at``; given,
            each cell's effective blocks are counted, which takes two thirds longer.
        threads: Groups worked on at once.

    Returns:
        The kept cells and the groups' totals. Memory: about 130 bytes a kept cell, and per
        thread 140 bytes a trade of the largest group.

    Raises:
        ValueError: If shapes, codes, segments or ``n_min`` break the rules above, an outcome is
            not finite, or a group's sums could leave int64.

    References:
        Beyer & Ramakrishnan (1999), Bottom-up computation of sparse and iceberg cubes, SIGMOD.

    Examples:
        >>> cube = scope_cube(
        ...     [0, 0, 0, 0], [[0, 1], [0, 1], [0, -1], [1, 1]], [1.0, 2.0, -1.0, 0.5],
        ...     closed_at=[1, 2, 3, 4], n_min=[2],
        ... )
        >>> for codes, n, mean in zip(cube.scope_codes, cube.moments.n, cube.moments.avg_rr()):
        ...     print(codes.tolist(), int(n), round(float(mean), 3))
        [0, -1] 3 0.667
        [0, 1] 2 1.5
        [-1, 1] 3 1.167
    """
    groups, count = _groups(group, n_groups)
    n = len(groups)
    clock, parts = _clocks(closed_at, segment, n)
    outcomes = _outcomes("rr", rr, n)
    trades = kernel.Trades(
        _codes(scope_codes, n),
        outcomes,
        _outcomes("baseline", baseline, n),
        _outcomes("time_rank", time_rank, n),
        clock,
        parts,
    )
    layout = key_layout(_cards(trades.codes, cards))
    plan = _plan(layout, validated_n_min(n_min, len(layout.cards)))
    order, starts = _order(groups, count, clock)
    walk = _Walk(trades, plan, order, starts, _limits(clip), _block(block_length, clock))
    cells, group_start, totals = _walked(walk, threads)
    return ScopeCube(
        group_start=group_start,
        mask=cells.mask,
        key=cells.key,
        moments=_moments(cells),
        totals=_moments(totals),
        n_min=tuple(plan.n_min[1:-1].tolist()),
        layout=layout,
        absent=tuple(name for name in ("baseline", "time_rank") if len(getattr(trades, name)) < n),
        effective_blocks=cells.effective_blocks if block_length else None,
    )


def merged(cubes: Sequence[ScopeCube], *, n_min: Sequence[int]) -> ScopeCube:
    """The cube of all trades, from cubes of disjoint trades; equal to it bit for bit.

    Args:
        cubes: Built with ``n_min=[1]``, because what one part dropped cannot be added, and with
            the same ``cards``, number of groups, clip limits and segments.
        n_min: Fewest trades of a cell of the whole.

    Returns:
        The kept cells, sorted by group and key. Effective blocks do not add up over parts that
        share a block: they are left out.

    Raises:
        ValueError: If a part lost cells, or parts differ in their dimensions or groups.

    Examples:
        >>> part = scope_cube([0], [[0]], [1.0], segment=[0], n_min=[1])
        >>> merged([part, part], n_min=[2]).moments.n.tolist()
        [2]
    """
    first = cubes[0]
    for cube in cubes:
        if max(cube.n_min) > 1:
            raise ValueError(f"n_min of every part must be 1, got {cube.n_min}")
        if cube.layout != first.layout:
            raise ValueError(f"cards must agree, got {first.layout.cards} and {cube.layout.cards}")
        if len(cube.totals) != len(first.totals):
            raise ValueError(f"groups must agree, got {len(first.totals)} and {len(cube.totals)}")
    needed = validated_n_min(n_min, len(first.layout.cards))
    group = np.concatenate([cube.group for cube in cubes])
    key = np.concatenate([cube.key for cube in cubes])
    order = np.lexsort([*key.T, group])
    group, key = group[order], key[order]
    fresh = np.ones(len(order), bool)
    fresh[1:] = (group[1:] != group[:-1]) | (key[1:] != key[:-1]).any(axis=1)
    row = np.cumsum(fresh) - 1
    together = concatenated([cube.moments for cube in cubes]).take(order)
    mask = np.concatenate([cube.mask for cube in cubes])[order][fresh]
    whole = replace(
        first,
        group_start=_starts(np.bincount(group[fresh], minlength=len(first.totals))),
        mask=mask,
        key=key[fresh],
        moments=together.added_by(row, int(fresh.sum())),
        totals=sum((cube.totals for cube in cubes[1:]), first.totals),
        n_min=needed,
        effective_blocks=None,
    )
    enough = whole.moments.n >= np.array([0, *needed])[whole.size()]
    return whole.take(np.flatnonzero(enough))


def validated_n_min(n_min: Sequence[int], n_dims: int) -> tuple[int, ...]:
    """Fewest trades by number of dimensions, 1 to ``n_dims``; the last entry given holds on.

    Raises:
        ValueError: If empty, below 1, or falling: then a cell could be kept whose parents are
            not, and the walk would miss it.

    Examples:
        >>> validated_n_min([10, 20], 4)
        (10, 20, 20, 20)
    """
    if not len(n_min):
        raise ValueError("n_min must name at least one number of trades, got none")
    filled = tuple(int(n_min[min(k, len(n_min) - 1)]) for k in range(n_dims))
    for k, n in enumerate(filled, start=1):
        if n < 1:
            raise ValueError(f"n_min for {k} dimensions must be at least 1, got {n}")
        if k > 1 and n < filled[k - 2]:
            raise ValueError(
                f"n_min must never fall with the number of dimensions, "
                f"got {filled[k - 2]} for {k - 1} and {n} for {k}"
            )
    return filled


def key_layout(cards: Sequence[int]) -> KeyLayout:
    """Pack dimensions of the given numbers of values into as few 64-bit words as they need.

    Examples:
        >>> key_layout([6, 3]).shift
        (0, 3)
    """
    words, shifts, word, used = [], [], 0, 0
    for card in cards:
        bits = int(card).bit_length()
        if used + bits > 64:
            word, used = word + 1, 0
        words.append(word)
        shifts.append(used)
        used += bits
    return KeyLayout(tuple(int(c) for c in cards), tuple(words), tuple(shifts))


def _groups(group: npt.ArrayLike, n_groups: int | None) -> tuple[npt.NDArray[np.int32], int]:
    """Validated group numbers and how many there are."""
    numbers = np.asarray(group)
    if numbers.ndim != 1 or not (numbers.size == 0 or np.issubdtype(numbers.dtype, np.integer)):
        raise ValueError(
            f"group must be integers of shape (n,), got {numbers.dtype}{numbers.shape}"
        )
    lowest, highest = (int(numbers.min()), int(numbers.max())) if numbers.size else (0, -1)
    count = highest + 1 if n_groups is None else n_groups
    if lowest < 0 or highest >= count:
        raise ValueError(f"group must be in [0, {count}), got {lowest} to {highest}")
    return np.require(numbers, np.int32, KERNEL_READY), count


def _codes(scope_codes: npt.ArrayLike, n: int) -> npt.NDArray[np.int16]:
    """Validated value numbers, shape (n, d)."""
    codes = np.asarray(scope_codes)
    if codes.ndim != 2 or len(codes) != n:
        raise ValueError(f"scope_codes must have shape ({n}, d), got {codes.shape}")
    if not 1 <= codes.shape[1] <= MAX_DIMENSIONS:
        raise ValueError(f"dimensions must number 1 to {MAX_DIMENSIONS}, got {codes.shape[1]}")
    if codes.size and not np.issubdtype(codes.dtype, np.integer):
        raise ValueError(f"scope_codes must be integers, got {codes.dtype}")
    if codes.size and (codes.min() < -1 or codes.max() >= MAX_VALUES):
        raise ValueError(
            f"scope_codes must be in [-1, {MAX_VALUES}), got {codes.min()} to {codes.max()}"
        )
    return np.require(codes, np.int16, KERNEL_READY)


def _cards(codes: npt.NDArray[np.int16], cards: Sequence[int] | None) -> list[int]:
    """Number of values of each dimension, at least 1."""
    seen = [int(c) + 1 for c in codes.max(axis=0, initial=-1)]
    if cards is None:
        return [max(card, 1) for card in seen]
    for dim, (given, found) in enumerate(zip(cards, seen, strict=True)):
        if not max(found, 1) <= given <= MAX_VALUES:
            raise ValueError(
                f"cards[{dim}] must be in [{max(found, 1)}, {MAX_VALUES}], got {given}"
            )
    return [int(card) for card in cards]


def _outcomes(name: str, values: npt.ArrayLike | None, n: int) -> npt.NDArray[np.float64]:
    """A finite value for each trade; of length 0 where the column is absent."""
    if values is None:
        return np.zeros(0)
    column = np.asarray(values, np.float64)
    if column.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), got {column.shape}")
    wrong = np.flatnonzero(~np.isfinite(column))
    if len(wrong):
        raise ValueError(f"{name}[{wrong[0]}] must be finite, got {column[wrong[0]]}")
    return np.require(column, requirements=KERNEL_READY)


def _clocks(
    closed_at: npt.ArrayLike | None, segment: npt.ArrayLike | None, n: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int8]]:
    """The clock or the ready segments; of length 0 what is absent."""
    if (closed_at is None) == (segment is None):
        raise ValueError("exactly one of closed_at and segment must be given")
    name, given = ("closed_at", closed_at) if segment is None else ("segment", segment)
    column = np.asarray(given)
    if np.issubdtype(column.dtype, np.datetime64):
        column = column.astype(np.int64)
    if column.shape != (n,) or (n and not np.issubdtype(column.dtype, np.integer)):
        raise ValueError(f"{name} must be integers of shape ({n},), got {column.dtype}")
    if segment is None:
        return np.require(column, np.int64, KERNEL_READY), np.zeros(0, np.int8)
    if n and not 0 <= column.min() <= column.max() < N_SEGMENTS:
        raise ValueError(f"segment must be 0 to 5, got {column.min()} to {column.max()}")
    return np.zeros(0, np.int64), np.require(column, np.int8, KERNEL_READY)


def _limits(clip: tuple[float, float] | None) -> tuple[float, float]:
    """Validated clip limits."""
    low, high = (-np.inf, np.inf) if clip is None else clip
    if not low <= high:
        raise ValueError(f"clip must rise, got ({low}, {high})")
    return float(low), float(high)


def _block(block_length: int | None, closed_at: npt.NDArray[np.int64]) -> int:
    """Validated length of a time block, 0 where none is asked for."""
    if block_length is None:
        return 0
    if block_length < 1 or not len(closed_at):
        raise ValueError(f"block_length must be at least 1 and needs closed_at, got {block_length}")
    return int(block_length)


def _plan(layout: KeyLayout, n_min: tuple[int, ...]) -> kernel.Plan:
    """Order the dimensions and lay out the tail: the narrowest, while their tensor stays small."""
    cards = np.array(layout.cards, np.int64)
    narrow_first = sorted(range(len(cards)), key=lambda dim: (cards[dim], -dim))
    slots = list(accumulate((int(cards[dim]) + 1 for dim in narrow_first), mul))
    n_tail = sum(n_slots <= MAX_SLOTS for n_slots in slots)
    dims = np.array(narrow_first[::-1], np.int64)
    n_wide, n_slots = len(dims) - n_tail, slots[n_tail - 1] if n_tail else 1
    stride = np.zeros(len(dims), np.int64)
    slot_key = np.zeros((n_slots, layout.n_words), np.uint64)
    slot_mask, slot_size = np.zeros(n_slots, np.int64), np.zeros(n_slots, np.int64)
    within = np.arange(n_slots)[:, None]
    step = n_slots
    for position in range(n_wide, len(dims)):
        dim, card = dims[position], int(cards[dims[position]])
        step //= card + 1
        stride[position] = step
        value = np.arange(n_slots) // step % (card + 1)
        asked = value < card
        field = (value + 1).astype(np.uint64) << np.uint64(layout.shift[dim])
        slot_key[:, layout.word[dim]] |= np.where(asked, field, np.uint64(0))
        slot_mask |= asked.astype(np.int64) << dim
        slot_size += asked
        wider = np.where(
            asked[:, None] & (within >= 0), within + (card - value)[:, None] * step, -1
        )
        within = np.concatenate([within, wider], axis=1)
    return kernel.Plan(
        dims=dims,
        cards=cards[dims],
        n_wide=n_wide,
        n_min=np.array([1, *n_min, _UNREACHABLE], np.int64),
        key_word=np.array(layout.word, np.int64)[dims],
        key_shift=np.array(layout.shift, np.int64)[dims],
        mask_bit=np.int64(1) << dims,
        slot_stride=stride,
        slot_key=slot_key,
        slot_mask=slot_mask,
        slot_need=_slot_need(slot_size, np.array([*n_min, _UNREACHABLE])),
        slot_within=-np.sort(-within, axis=1),
    )


def _slot_need(
    slot_size: npt.NDArray[np.int64], n_min: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """Fewest trades of each slot, by size of the node; the empty cell is never kept."""
    size = slot_size + np.arange(len(n_min))[:, None]
    need = np.array([_UNREACHABLE, *n_min])[np.minimum(size, len(n_min))]
    needed: npt.NDArray[np.int32] = need.astype(np.int32)
    return needed


def _order(
    groups: npt.NDArray[np.int32], n_groups: int, closed_at: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Trades by group, then by time, and where each group begins."""
    starts = _starts(np.bincount(groups, minlength=n_groups))
    rows = np.arange(len(groups), dtype=np.int32)
    if np.any(closed_at[1:] < closed_at[:-1]):
        rows = np.argsort(closed_at).astype(np.int32)
    ordered = np.empty_like(rows)
    kernel.by_group(groups, rows, starts.copy(), ordered)
    return ordered, starts


def _starts(counts: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """Where each part of the given length begins, and where the last ends."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _scratch(plan: kernel.Plan, capacity: int) -> kernel.Scratch:
    """Buffers of one worker for groups of at most ``capacity`` trades."""
    n_dims, (n_slots, n_words) = len(plan.dims), plan.slot_key.shape
    return kernel.Scratch(
        columns=np.empty((n_dims, capacity), np.uint16),
        rows=np.empty((capacity, kernel.ROW_WORDS), np.int64),
        slots=np.empty(capacity, np.uint16),
        lists=np.empty((n_dims + 2, capacity), np.uint32),
        starts=np.empty((n_dims + 2, int(plan.cards.max()) + 3), np.int64),
        frames=np.empty((n_dims + 2, 7), np.int64),
        level=np.empty(1, np.int64),
        keys=np.empty((n_dims + 2, n_words), np.uint64),
        tensor=np.empty(n_slots * kernel.SLOT_WORDS, np.int64),
        own=np.empty(n_slots * kernel.SLOT_WORDS, np.int64),
        counts=np.empty(n_slots, np.int32),
        kept=np.empty(n_slots, np.int32),
        listed=np.empty((3, n_slots + 1), np.uint32),
        magnitudes=np.empty(kernel.N_SUMS + 1),
        blocks=np.empty(capacity, np.int32),
        block_runs=np.empty((4, n_slots), np.int64),
        block_sums=np.empty((2, n_slots)),
    )


def _cells(
    n_cells: int, plan: kernel.Plan, *, blocks: bool, prefault: bool = False
) -> kernel.Cells:
    """Room for cells; prefaulted, where all of it will be written soon."""
    return kernel.Cells(
        *(_room(shape, dtype, prefault) for shape, dtype in _columns(n_cells, plan, blocks=blocks))
    )


def _room(shape: tuple[int, ...], dtype: type[np.generic], prefault: bool) -> npt.NDArray[Any]:
    """An array in memory of its own: touched as it is written, given back when it is let go.

    In small pages: waiting for large ones to be put together costs more than writing the cells.
    """
    n_bytes = prod(shape) * np.dtype(dtype).itemsize
    if n_bytes < OWN_MEMORY_BYTES or not hasattr(mmap, "MAP_PRIVATE"):
        return np.empty(shape, dtype)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    memory = mmap.mmap(-1, n_bytes, flags=flags | (PREFAULT if prefault else 0))
    return np.frombuffer(memory, dtype, prod(shape)).reshape(shape)


def _columns(
    n_cells: int, plan: kernel.Plan, *, blocks: bool
) -> list[tuple[tuple[int, ...], type[np.generic]]]:
    """Shape and type of each column of so many cells, in the kernel's order."""
    return [
        ((n_cells,), np.int32),
        ((n_cells,), np.int16),
        ((n_cells, plan.slot_key.shape[1]), np.uint64),
        ((kernel.N_SUMS, n_cells), np.int64),
        ((n_cells, N_SEGMENTS), np.int32),
        ((n_cells, N_SEGMENTS), np.int64),
        ((n_cells if blocks else 0,), np.float32),
    ]


@dataclass(frozen=True, slots=True)
class _Walk:
    """The cube's job: groups of trades, each to be counted first and written later."""

    trades: kernel.Trades
    plan: kernel.Plan
    order: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    clip: tuple[float, float]
    block_length: int  # 0 counts no blocks

    def load(self, group: int, scratch: kernel.Scratch) -> int:
        """Lay one group's trades out; return their number."""
        first, last = int(self.starts[group]), int(self.starts[group + 1])
        largest = kernel.load_group(
            self.order, first, last, self.trades, self.plan, *self.clip, self.block_length, scratch
        )
        if largest >= LARGEST_SUM:
            raise ValueError(
                f"sums of group {group} must stay below 2**62 fixed-point steps, got {largest:g}"
            )
        return last - first

    def pieces(self, n: int, own: _Worker) -> Iterator[_Piece]:
        """Walk the loaded group; a full chunk is handed over and a new one begun."""
        kernel.begin_group(n, own.scratch)
        while True:
            first = own.used
            own.used = kernel.walk_group(self.plan, own.scratch, own.chunk, first)
            yield _Piece(own.chunk, first, own.used)
            if own.scratch.level[0] < 0:
                return
            own.chunk, own.used = self.chunk(), 0

    def worker(self, capacity: int) -> _Worker:
        """Buffers for groups of at most ``capacity`` trades."""
        return _Worker(_scratch(self.plan, capacity), self.chunk())

    def chunk(self) -> kernel.Cells:
        """Room for cells: a fixed amount, or less where so many cannot come."""
        n_slots, n_words = self.plan.slot_key.shape
        fit = CHUNK_BYTES // (CELL_BYTES + 8 * n_words)
        most = len(self.order) * (2 ** len(self.plan.dims) - 1) // int(self.plan.n_min[1])
        rows = min(fit, most) + n_slots + 1
        return _cells(rows, self.plan, blocks=self.block_length > 0, prefault=True)


@dataclass(slots=True, eq=False)
class _Worker:
    """One thread's buffers, and the chunk of cells that it fills."""

    scratch: kernel.Scratch
    chunk: kernel.Cells
    used: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Cells of one group: some rows of a chunk."""

    chunk: kernel.Cells
    first: int
    last: int


def _walked(walk: _Walk, threads: int) -> tuple[kernel.Cells, npt.NDArray[np.int64], kernel.Cells]:
    """All kept cells, where each group's begin, and the groups' totals."""
    n_trades = np.diff(walk.starts)
    largest_first = np.argsort(-n_trades, kind="stable").tolist()
    n_workers = max(1, threads)
    totals = _cells(len(n_trades), walk.plan, blocks=False)
    pieces: list[list[_Piece]] = [[] for _ in largest_first]

    def collect(group: int, own: _Worker) -> None:
        n = walk.load(group, own.scratch)
        kernel.write_total(n, own.scratch, totals, group)
        pieces[group].extend(walk.pieces(n, own))

    # one worker takes the largest group, so the next needs room for the second largest only
    capacities = n_trades[largest_first[:n_workers]].tolist()
    _each(collect, largest_first, [walk.worker(capacity) for capacity in capacities])
    starts = _starts(np.array([sum(p.last - p.first for p in own) for own in pieces], np.intp))
    cells = _cells(int(starts[-1]), walk.plan, blocks=walk.block_length > 0)

    def gather(group: int, _: int) -> None:
        at = int(starts[group + 1])
        while pieces[group]:  # a chunk goes with its last piece, so cells exist once
            piece = pieces[group].pop()
            at -= piece.last - piece.first
            _copy(piece, cells, at)

    _each(gather, largest_first, list(range(n_workers)))
    return cells, starts, totals


def _copy(piece: _Piece, cells: kernel.Cells, at: int) -> None:
    """Copy a piece's rows to the cells from row ``at`` on."""
    to = slice(at, at + piece.last - piece.first)
    rows = slice(piece.first, piece.last)
    for target, source in zip(cells, piece.chunk, strict=True):
        if target is cells.sums:
            target[:, to] = source[:, rows]
        elif len(target):
            target[to] = source[rows]


def _each(work: Callable[[int, Own], None], groups: list[int], owned: list[Own]) -> None:
    """Do the work for every group, each thread with what it owns; thread i begins with group i."""
    waiting = iter(groups[len(owned) :])
    taking = Lock()

    def take_turns(own: Own, group: int | None) -> None:
        while group is not None:
            work(group, own)
            with taking:
                group = next(waiting, None)

    with ThreadPoolExecutor(max(1, len(owned))) as pool:
        for done in [pool.submit(take_turns, *one) for one in zip(owned, groups)]:  # noqa: B905
            done.result()


def _moments(cells: kernel.Cells) -> Moments:
    """The kernel's columns by name."""
    sum_rr, sum_rr_sq, sum_clipped_sq, sum_baseline, sum_time_rank = cells.sums
    return Moments(
        n=cells.n,
        sum_rr=sum_rr,
        sum_rr_sq=sum_rr_sq,
        sum_clipped_sq=sum_clipped_sq,
        sum_baseline=sum_baseline,
        sum_time_rank=sum_time_rank,
        seg_n=cells.seg_n,
        seg_sum=cells.seg_sum,
    )
