"""The compiled part of the scope cube: one group of trades in, its kept cells out.

Bottom-up computation over the wide dimensions (Beyer & Ramakrishnan, 1999): a node is a set of
trades that share some values; it is opened only while it could still hold a cell one dimension
larger. At a node with many trades the narrow dimensions, the *tail*, are one dense tensor of
``card + 1`` slots a dimension, whose last slot means "any value": one pass over the trades fills
it, summing out one axis after the other completes it. A trade without a value enters that slot
directly, so it counts only where the dimension is not asked for. A node with few trades splits
by the tail's dimensions as by any other.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from learning.evidence.compiled import compiled_in_place
from learning.evidence.moments import N_SEGMENTS, R2_SCALE, R_SCALE

#: Below this many trades a node is cheaper split than spread over a tensor (measured: 40-64).
DENSE_TRADES = 48

#: Below this many trades a node pushes them to the kept slots alone (measured: 150-600).
SPARSE_TRADES = 300

# One trade: what a cell adds up, on one cache line.
ROW_SEGMENT, ROW_CLIPPED, ROW_SUMS, ROW_WORDS = 0, 1, 2, 8
# One tensor slot: three words with two 32-bit segment counts each, six segment sums, five sums.
SLOT_SEG_SUM, SLOT_SUMS, SLOT_WORDS = 3, 9, 14
N_SUMS = 5

Array = npt.NDArray[Any]


class Plan(NamedTuple):
    """How the dimensions are walked; positions run over the wide dimensions, then the tail."""

    dims: Array  # (d,) dimension at each position
    cards: Array  # (d,) number of values at each position
    n_wide: int
    n_min: Array  # (d + 2,) fewest trades by number of dimensions; the last is out of reach
    key_word: Array  # (d,) word of the packed key that holds the position's value
    key_shift: Array  # (d,)
    mask_bit: Array  # (d,)
    slot_stride: Array  # (d,) 0 for wide positions
    slot_key: Array  # (n_slots, n_words)
    slot_mask: Array  # (n_slots,)
    slot_need: Array  # (d + 1, n_slots) int32: fewest trades of each slot, by size of the node
    slot_within: Array  # (n_slots, 2**tail) the slots a slot's trades lie in, filled up with -1


class Trades(NamedTuple):
    """The trades of all groups, in the order they came."""

    codes: Array  # (n, d) int16, -1 absent
    rr: Array  # (n,) float64
    baseline: Array  # (n,) or (0,)
    time_rank: Array  # (n,) or (0,)
    closed_at: Array  # (n,) or (0,)
    segment: Array  # (n,) int8 or (0,)


class Scratch(NamedTuple):
    """Buffers of one worker, reused from group to group."""

    columns: Array  # (d, capacity) uint16; a value the trade lacks is coded as the cardinality
    rows: Array  # (capacity, ROW_WORDS) int64
    slots: Array  # (capacity,) uint16: slot of the tail's tensor
    lists: Array  # (d + 2, capacity) uint32: trades of the node on each level
    starts: Array  # (d + 2, largest card + 3) where each value begins in the level's list
    frames: Array  # (d + 2, 7) the walk's stack
    level: Array  # (1,) where on the stack the walk is; -1 when it is over
    keys: Array  # (d + 2, n_words)
    tensor: Array  # (n_slots * SLOT_WORDS,) int64
    own: Array  # (n_slots * SLOT_WORDS,) int64: sums of the trades that lie in the slot itself
    counts: Array  # (n_slots,) int32
    kept: Array  # (n_slots,) int32: 1 where the slot has trades enough
    listed: (
        Array  # (3, n_slots + 1) uint32: kept slots; slots with trades of their own; one's targets
    )
    magnitudes: Array  # (N_SUMS + 1,) float64: what the group's sums can reach
    blocks: Array  # (capacity,) int32: number of the time block, from 0
    block_runs: Array  # (4, n_slots) int64: trades of the block, and which slots have any
    block_sums: Array  # (2, n_slots) float64: sum of block weights, and of their squares


class Cells(NamedTuple):
    """Columns of the kept cells, written from a given row on."""

    n: Array  # (m,) int32
    mask: Array  # (m,) int16
    key: Array  # (m, n_words) uint64
    sums: Array  # (N_SUMS, m) int64
    seg_n: Array  # (m, N_SEGMENTS) int32
    seg_sum: Array  # (m, N_SEGMENTS) int64
    effective_blocks: Array  # (m,) float32 or (0,)


#: The first slot, typed: a plain 0 would compile what takes it a second time.
FIRST = cast(int, np.int64(0))

# Columns of the walk's stack.
LOW, HIGH, POSITION, LAST, VALUE, SIZE, MASK = 0, 1, 2, 3, 4, 5, 6
# What VALUE says where it is no value: not entered yet; on to the next position.
NEW, NEXT = -2, -1


@compiled_in_place
def fixed_point(value: float, scale: float) -> int:
    """The nearest integer number of steps, ties to even."""
    return np.int64(np.rint(value * scale))  # type: ignore[return-value]


@compiled_in_place
def load_group(
    order: Array,
    first: int,
    last: int,
    trades: Trades,
    plan: Plan,
    clip_low: float,
    clip_high: float,
    block_length: int,
    scratch: Scratch,
) -> float:
    """Lay the trades order[first:last] out for the walk; return the largest sum they can reach.

    Sums are in fixed-point steps, R² in those of 1e-6.
    """
    n = last - first
    largest = scratch.magnitudes
    largest[:] = 0
    began = 0
    for i in range(n):
        trade = order[first + i]
        row = scratch.rows[i]
        clipped = min(max(trades.rr[trade], clip_low), clip_high)
        row[ROW_CLIPPED] = fixed_point(clipped, R_SCALE)
        row[ROW_SUMS] = fixed_point(trades.rr[trade], R_SCALE)
        row[ROW_SUMS + 1] = fixed_point(trades.rr[trade] * trades.rr[trade], R2_SCALE)
        row[ROW_SUMS + 2] = fixed_point(clipped * clipped, R2_SCALE)
        row[ROW_SUMS + 3] = 0
        row[ROW_SUMS + 4] = 0
        if trades.baseline.size:
            row[ROW_SUMS + 3] = fixed_point(trades.baseline[trade], R_SCALE)
        if trades.time_rank.size:
            row[ROW_SUMS + 4] = fixed_point(trades.time_rank[trade], R_SCALE)
        if trades.segment.size:
            row[ROW_SEGMENT] = trades.segment[trade]
        else:
            if trades.closed_at[trade] != trades.closed_at[order[first + began]]:
                began = i
            row[ROW_SEGMENT] = N_SEGMENTS * began // n
        if block_length:
            first_block = trades.closed_at[order[first]] // block_length
            scratch.blocks[i] = trades.closed_at[trade] // block_length - first_block
        scratch.slots[i] = load_codes(trade, i, trades.codes, plan, scratch.columns)
        for j in range(N_SUMS + 1):
            largest[j] += abs(float(row[ROW_CLIPPED + j]))
    highest = 0.0
    for j in range(N_SUMS + 1):
        highest = max(highest, largest[j])
    return highest


@compiled_in_place
def by_group(groups: Array, rows: Array, next_row: Array, ordered: Array) -> None:
    """Sort rows by their group, keeping their order inside it."""
    for i in range(rows.size):
        group = groups[rows[i]]
        ordered[next_row[group]] = rows[i]
        next_row[group] += 1


@compiled_in_place
def load_codes(trade: int, i: int, codes: Array, plan: Plan, columns: Array) -> int:
    """Write one trade's values by position; return its slot of the tail's tensor."""
    slot = 0
    for p in range(plan.dims.size):
        code = codes[trade, plan.dims[p]]
        if code < 0:
            code = plan.cards[p]
        columns[p, i] = code
        slot += code * plan.slot_stride[p]
    return slot


@compiled_in_place
def split(level: int, position: int, card: int, scratch: Scratch) -> None:
    """Sort the node's trades by one dimension into the next level's list, keeping their order."""
    low, high = scratch.frames[level, LOW], scratch.frames[level, HIGH]
    source, target = scratch.lists[level], scratch.lists[level + 1]
    column, starts = scratch.columns[position], scratch.starts[level + 1]
    starts[: card + 3] = 0
    for i in range(low, high):
        starts[column[source[i]] + 2] += 1
    for v in range(2, card + 3):
        starts[v] += starts[v - 1]
    for i in range(low, high):
        row = source[i]
        v = column[row] + 1
        target[starts[v]] = row
        starts[v] += 1


@compiled_in_place
def count_slots(level: int, plan: Plan, scratch: Scratch) -> tuple[int, int]:
    """Count the node's trades in every slot of the tail; list the kept slots, and those hit."""
    counts, kept, listed = scratch.counts, scratch.kept, scratch.listed
    counts[:] = 0
    slots, trades = scratch.slots, scratch.lists[level]
    for i in range(scratch.frames[level, LOW], scratch.frames[level, HIGH]):
        counts[slots[trades[i]]] += 1
    n_hit, n_kept = FIRST, FIRST
    for slot in range(counts.size):
        listed[1, n_hit] = slot
        n_hit += counts[slot] > 0
    sum_out(counts, plan, plan.dims.size)
    need = plan.slot_need[scratch.frames[level, SIZE]]
    for slot in range(counts.size):
        kept[slot] = counts[slot] >= need[slot]
    for slot in range(counts.size):
        listed[0, n_kept] = slot
        n_kept += kept[slot]
    return n_kept, n_hit


@compiled_in_place
def sum_out(sums: Array, plan: Plan, end: int) -> None:
    """Add up the tail's axes before position ``end``, one after the other."""
    words = sums.size // plan.slot_mask.size
    for p in range(plan.n_wide, end):
        stride, card = plan.slot_stride[p] * words, plan.cards[p]
        if stride == 1:
            sum_out_neighbours(sums, card)
            continue
        for outer in range(0, sums.size, stride * (card + 1)):
            target = sums[outer + card * stride : outer + (card + 1) * stride]
            for v in range(card):
                source = sums[outer + v * stride : outer + (v + 1) * stride]
                for w in range(stride):
                    target[w] += source[w]


@compiled_in_place
def sum_out_neighbours(sums: Array, card: int) -> None:
    """Add up an axis whose values lie side by side."""
    for last in range(card, sums.size, card + 1):
        total = sums[last]
        for v in range(last - card, last):
            total += sums[v]
        sums[last] = total


@compiled_in_place
def push_trades(level: int, n_kept: int, n_hit: int, plan: Plan, scratch: Scratch) -> None:
    """Add the node's few trades up in the kept slots, and in no other."""
    own, tensor, listed, kept = scratch.own, scratch.tensor, scratch.listed, scratch.kept
    for j in range(n_hit):
        clear_slot(own, listed[1, j])
    for j in range(n_kept):
        clear_slot(tensor, listed[0, j])
    trades = scratch.lists[level]
    for i in range(scratch.frames[level, LOW], scratch.frames[level, HIGH]):
        add_trade(scratch.rows[trades[i]], own, scratch.slots[trades[i]] * SLOT_WORDS)
    for j in range(n_hit):
        slot, n_targets = listed[1, j], FIRST
        for t in range(plan.slot_within.shape[1]):
            wider = plan.slot_within[slot, t]
            if wider < 0:
                break
            listed[2, n_targets] = wider
            n_targets += kept[wider]
        for t in range(n_targets):
            add_slot(own, slot, tensor, listed[2, t])


@compiled_in_place
def clear_slot(sums: Array, slot: int) -> None:
    """Empty one slot."""
    row = sums[slot * SLOT_WORDS : (slot + 1) * SLOT_WORDS]
    for w in range(SLOT_WORDS):
        row[w] = 0


@compiled_in_place
def add_slot(sums: Array, slot: int, into: Array, target: int) -> None:
    """Add one slot to another."""
    row = into[target * SLOT_WORDS : (target + 1) * SLOT_WORDS]
    added = sums[slot * SLOT_WORDS : (slot + 1) * SLOT_WORDS]
    for w in range(SLOT_WORDS):
        row[w] += added[w]


@compiled_in_place
def fill_tensor(level: int, plan: Plan, scratch: Scratch) -> None:
    """Add the node's trades up in every slot of the tail."""
    tensor = scratch.tensor
    tensor[:] = 0
    trades = scratch.lists[level]
    for i in range(scratch.frames[level, LOW], scratch.frames[level, HIGH]):
        add_trade(scratch.rows[trades[i]], tensor, scratch.slots[trades[i]] * SLOT_WORDS)
    last = plan.dims.size - 1
    sum_out(tensor, plan, last)
    if plan.n_wide <= last:
        fill_last_axis(plan.cards[last], scratch)


@compiled_in_place
def fill_last_axis(card: int, scratch: Scratch) -> None:
    """Sum the last axis out, only where the slot is kept: nothing is built on it any more."""
    tensor, counts = scratch.tensor, scratch.counts
    for slot in range(card, counts.size, card + 1):
        if scratch.kept[slot] == 0:
            continue
        for v in range(slot - card, slot):
            if counts[v] > 0:
                add_slot(tensor, v, tensor, slot)


@compiled_in_place
def add_trade(row: Array, sums: Array, at: int) -> None:
    """Add one trade to the slot that begins at word ``at``."""
    segment = row[ROW_SEGMENT]
    sums[at + (segment >> 1)] += np.int64(1) << (32 * (segment & 1))
    sums[at + SLOT_SEG_SUM + segment] += row[ROW_CLIPPED]
    for j in range(N_SUMS):
        sums[at + SLOT_SUMS + j] += row[ROW_SUMS + j]


@compiled_in_place
def write_cell(cells: Cells, at: int, n: int, mask: int, scratch: Scratch, slot: int) -> None:
    """Write one kept cell; its key is the caller's."""
    sums = scratch.tensor
    cells.n[at] = n
    cells.mask[at] = mask
    base = slot * SLOT_WORDS
    for pair in range(N_SEGMENTS // 2):
        word = sums[base + pair]
        cells.seg_n[at, 2 * pair] = word & 0xFFFFFFFF
        cells.seg_n[at, 2 * pair + 1] = word >> 32
    for s in range(N_SEGMENTS):
        cells.seg_sum[at, s] = sums[base + SLOT_SEG_SUM + s]
    for j in range(N_SUMS):
        cells.sums[j, at] = sums[base + SLOT_SUMS + j]
    if cells.effective_blocks.size:
        weight = scratch.block_sums[0, slot]
        cells.effective_blocks[at] = weight * weight / scratch.block_sums[1, slot]


@compiled_in_place
def spread_slots(level: int, plan: Plan, scratch: Scratch) -> None:
    """Weigh the time blocks of every slot that is kept; the node's trades are in time order."""
    runs, sums = scratch.block_runs, scratch.block_sums
    runs[:] = 0
    sums[:] = 0
    trades, slots, blocks = scratch.lists[level], scratch.slots, scratch.blocks
    i, high = scratch.frames[level, LOW], scratch.frames[level, HIGH]
    while i < high:
        block, n_own, n_hit = blocks[trades[i]], FIRST, FIRST
        while i < high and blocks[trades[i]] == block:
            slot = slots[trades[i]]
            if runs[0, slot] == 0:
                runs[1, n_own] = slot
                n_own += 1
            runs[0, slot] += 1
            i += 1
        for j in range(n_own):
            n_hit = spread_slot(runs[1, j], n_hit, plan, scratch)
        for j in range(n_hit):
            slot = runs[3, j]
            add_block(runs[2, slot], sums, slot)
            runs[2, slot] = 0


@compiled_in_place
def spread_slot(slot: int, n_hit: int, plan: Plan, scratch: Scratch) -> int:
    """Hand one slot's trades of the block on to the kept slots that contain it."""
    runs = scratch.block_runs
    n, runs[0, slot] = runs[0, slot], 0
    for t in range(plan.slot_within.shape[1]):
        wider = plan.slot_within[slot, t]
        if wider < 0:
            break
        if scratch.kept[wider] == 0:
            continue
        if runs[2, wider] == 0:
            runs[3, n_hit] = wider
            n_hit += 1
        runs[2, wider] += n
    return n_hit


@compiled_in_place
def spread_node(level: int, scratch: Scratch) -> None:
    """Weigh the time blocks of the node alone, as slot 0."""
    trades, blocks, sums = scratch.lists[level], scratch.blocks, scratch.block_sums
    sums[:, 0] = 0
    block, n = FIRST - 1, FIRST
    for i in range(scratch.frames[level, LOW], scratch.frames[level, HIGH]):
        if blocks[trades[i]] != block:
            add_block(n, sums, FIRST)
            block, n = blocks[trades[i]], FIRST
        n += 1
    add_block(n, sums, FIRST)


@compiled_in_place
def add_block(n: int, sums: Array, slot: int) -> None:
    """Add the weight of a block with n trades: ten times n (1 + 0.1 (n - 1))."""
    weight = n * (9.0 + n)
    sums[0, slot] += weight
    sums[1, slot] += weight * weight


@compiled_in_place
def emit_slots(level: int, plan: Plan, scratch: Scratch, cells: Cells, at: int) -> int:
    """Keep the node and every slot of its tail that has trades enough."""
    n_kept, n_hit = count_slots(level, plan, scratch)
    mask = scratch.frames[level, MASK]
    if scratch.frames[level, HIGH] - scratch.frames[level, LOW] < SPARSE_TRADES:
        push_trades(level, n_kept, n_hit, plan, scratch)
    else:
        fill_tensor(level, plan, scratch)
    if cells.effective_blocks.size:
        spread_slots(level, plan, scratch)
    for j in range(n_kept):
        slot = scratch.listed[0, j]
        write_cell(cells, at, scratch.counts[slot], mask | plan.slot_mask[slot], scratch, slot)
        for w in range(cells.key.shape[1]):
            cells.key[at, w] = scratch.keys[level, w] | plan.slot_key[slot, w]
        at += 1
    return at


@compiled_in_place
def emit_node(level: int, scratch: Scratch, cells: Cells, at: int) -> int:
    """Keep the node alone."""
    low, high = scratch.frames[level, LOW], scratch.frames[level, HIGH]
    sums, trades = scratch.tensor, scratch.lists[level]
    sums[:SLOT_WORDS] = 0
    for i in range(low, high):
        add_trade(scratch.rows[trades[i]], sums, FIRST)
    if cells.effective_blocks.size:
        spread_node(level, scratch)
    write_cell(cells, at, high - low, scratch.frames[level, MASK], scratch, FIRST)
    for w in range(cells.key.shape[1]):
        cells.key[at, w] = scratch.keys[level, w]
    return at + 1


@compiled_in_place
def enter(level: int, plan: Plan, scratch: Scratch, cells: Cells, at: int) -> int:
    """Keep what the node holds and say by which positions it is to be split."""
    frame = scratch.frames[level]
    n, k = frame[HIGH] - frame[LOW], frame[SIZE]
    frame[VALUE] = NEXT
    frame[LAST] = plan.dims.size
    if n < plan.n_min[k + 1]:
        frame[LAST] = 0
    elif n >= DENSE_TRADES and frame[POSITION] < plan.n_wide:
        frame[LAST] = plan.n_wide
        return emit_slots(level, plan, scratch, cells, at)
    if k == 0:
        return at
    return emit_node(level, scratch, cells, at)


@compiled_in_place
def descend(level: int, value: int, plan: Plan, scratch: Scratch) -> None:
    """Lay the frame of one child on the stack."""
    frame, child = scratch.frames[level], scratch.frames[level + 1]
    position = frame[POSITION]
    child[LOW] = scratch.starts[level + 1, value]
    child[HIGH] = scratch.starts[level + 1, value + 1]
    child[POSITION] = position
    child[VALUE] = NEW
    child[SIZE] = frame[SIZE] + 1
    child[MASK] = frame[MASK] | plan.mask_bit[position]
    for w in range(scratch.keys.shape[1]):
        scratch.keys[level + 1, w] = scratch.keys[level, w]
    scratch.keys[level + 1, plan.key_word[position]] |= np.uint64(value + 1) << np.uint64(
        plan.key_shift[position]
    )


@compiled_in_place
def begin_group(n: int, scratch: Scratch) -> None:
    """Lay the loaded group's root on the stack."""
    for i in range(n):
        scratch.lists[0, i] = i
    scratch.frames[0] = 0
    scratch.frames[0, HIGH] = n
    scratch.frames[0, POSITION] = -1
    scratch.frames[0, VALUE] = NEW
    scratch.keys[0] = 0
    scratch.level[0] = 0


@compiled_in_place
def walk_group(plan: Plan, scratch: Scratch, cells: Cells, at: int) -> int:
    """Walk on from where the walk stopped, writing kept cells from row ``at``.

    Stops where the next node might not fit; the walk is over when scratch.level[0] is -1.
    Returns the row after the last one written.
    """
    room = cells.n.size - scratch.counts.size
    level = scratch.level[0]
    while level >= 0 and at <= room:
        frame = scratch.frames[level]
        value = frame[VALUE]
        if value == NEW:
            at = enter(level, plan, scratch, cells, at)
        elif value == NEXT:
            frame[POSITION] += 1
            frame[VALUE] = 0
            if frame[POSITION] < frame[LAST]:
                split(level, frame[POSITION], plan.cards[frame[POSITION]], scratch)
            else:
                level -= 1
        else:
            frame[VALUE] = value + 1 if value + 1 < plan.cards[frame[POSITION]] else NEXT
            starts = scratch.starts[level + 1]
            if starts[value + 1] - starts[value] >= plan.n_min[frame[SIZE] + 1]:
                descend(level, value, plan, scratch)
                level += 1
    scratch.level[0] = level
    return at


@compiled_in_place
def write_total(n: int, scratch: Scratch, cells: Cells, at: int) -> None:
    """Write the sums of the whole loaded group to row ``at``."""
    sums = scratch.tensor
    sums[:SLOT_WORDS] = 0
    for i in range(n):
        add_trade(scratch.rows[i], sums, FIRST)
    write_cell(cells, at, n, FIRST, scratch, FIRST)
