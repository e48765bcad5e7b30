"""The cube against a plain enumeration of every subset of every trade."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.evidence.scope_cube import ScopeCube, merged, scope_cube, validated_n_min

CLIP = (-0.9, 4.0)


def segments_by_count(groups: Any, closed_at: Any) -> list[int]:
    """Segment of each trade: six times the share of its group's trades strictly before it."""
    return [
        6
        * sum(h == g and u < t for h, u in zip(groups, closed_at, strict=True))
        // sum(h == g for h in groups)
        for g, t in zip(groups, closed_at, strict=True)
    ]


def enumerated(history: dict[str, Any], n_min: list[int]) -> dict[tuple, list[int]]:
    """Every kept cell by brute force: (group, codes) -> n, five sums, seg_n, seg_sum."""
    cells: dict[tuple, list[int]] = defaultdict(lambda: [0] * 18)
    groups, codes = history["group"], history["scope_codes"]
    segment = segments_by_count(groups, history["closed_at"])
    for i, (group, row) in enumerate(zip(groups, codes, strict=True)):
        rr = float(history["rr"][i])
        clipped = min(max(rr, CLIP[0]), CLIP[1])
        sums = [round(rr * 1e6), round(rr * rr * 1e6), round(clipped * clipped * 1e6)]
        sums += [round(float(history[name][i]) * 1e6) for name in ("baseline", "time_rank")]
        present = [d for d, code in enumerate(row) if code >= 0]
        for k in range(1, len(present) + 1):
            for dims in combinations(present, k):
                key = (int(group), *(int(c) if d in dims else -1 for d, c in enumerate(row)))
                cell = cells[key]
                cell[0] += 1
                for j, value in enumerate(sums):
                    cell[1 + j] += value
                cell[6 + segment[i]] += 1
                cell[12 + segment[i]] += round(clipped * 1e6)
    sizes = {key: sum(c >= 0 for c in key[1:]) for key in cells}
    return {k: c for k, c in cells.items() if c[0] >= n_min[min(sizes[k], len(n_min)) - 1]}


def listed(cube: ScopeCube) -> dict[tuple, list[int]]:
    """The cube's cells in the form of the enumeration."""
    m = cube.moments
    keys = np.column_stack([cube.group, cube.scope_codes]).tolist()
    columns = [m.n, m.sum_rr, m.sum_rr_sq, m.sum_clipped_sq, m.sum_baseline, m.sum_time_rank]
    rows = np.column_stack([*columns, m.seg_n, m.seg_sum]).tolist()
    found = dict(zip(map(tuple, keys), rows, strict=True))
    assert len(found) == len(cube), "a cell is listed twice"
    return found


def history(
    n: int, cards: list[int], *, seed: int, n_groups: int = 2, absent: float = 0.1
) -> dict[str, Any]:
    """A seeded history with absent values, ties in time and skewed outcomes."""
    rng = np.random.default_rng(seed)
    codes = np.column_stack([rng.integers(0, card, n) for card in cards]).astype(np.int16)
    codes[rng.random(codes.shape) < absent] = -1
    return {
        "group": rng.integers(0, n_groups, n).astype(np.int32),
        "scope_codes": codes,
        "rr": rng.normal(0.1, 2.0, n),
        "closed_at": rng.integers(0, max(n // 2, 1), n),
        "baseline": rng.normal(0.1, 0.2, n),
        "time_rank": rng.random(n),
    }


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[str, Any], list[int]]:
    cards = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    n = draw(st.integers(0, 40))
    made = history(n, cards, seed=draw(st.integers(0, 999)), n_groups=draw(st.integers(1, 3)))
    return made, sorted(draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))


@given(histories())
@settings(max_examples=60, deadline=None)
def test_every_column_of_every_cell_equals_the_enumeration(drawn: Any):
    made, n_min = drawn
    cube = scope_cube(**made, n_min=n_min, clip=CLIP)
    assert listed(cube) == enumerated(made, n_min)


@pytest.mark.parametrize(
    ("n", "cards", "n_min"),
    [
        (500, [7, 6, 2, 6, 3, 5], [5, 8, 8, 12]),  # three wide dimensions, a tail of three
        (300, [500, 3, 450], [2]),  # dimensions too wide for any tensor
        (400, [2, 2, 3], [1]),  # the tail alone
        (20, [30_000, 31_000, 29_000, 30_000, 31_999], [1]),  # keys of two words
        (900, [3, 9, 4, 6], [70, 70, 80]),  # few nodes are worth opening
    ],
)
def test_large_groups_equal_the_enumeration(n: int, cards: list[int], n_min: list[int]):
    made = history(n, cards, seed=3)
    cube = scope_cube(**made, n_min=n_min, clip=CLIP)
    expected = enumerated(made, n_min)
    assert len(expected) > 15
    assert listed(cube) == expected


def test_fifteen_dimensions_reach_the_full_mask():
    made = history(3, [2] * 15, seed=5, n_groups=1, absent=0.0)
    cube = scope_cube(**made, n_min=[1], clip=CLIP)
    assert cube.mask.max() == 2**15 - 1
    assert listed(cube) == enumerated(made, [1])


def test_the_mask_has_the_bits_of_the_dimensions_asked_for():
    cube = scope_cube(**history(60, [3, 3, 3], seed=1), n_min=[2])
    bits = (cube.scope_codes >= 0) @ np.array([1, 2, 4])
    assert bits.tolist() == cube.mask.tolist()
    assert cube.size().tolist() == (cube.scope_codes >= 0).sum(axis=1).tolist()


def test_the_order_of_the_trades_changes_nothing():
    made = history(400, [6, 5, 4, 6, 3], seed=2)
    shuffle = np.random.default_rng(0).permutation(400)
    shuffled = {name: column[shuffle] for name, column in made.items()}
    assert_same_bits(scope_cube(**made, n_min=[4]), scope_cube(**shuffled, n_min=[4]))


def test_two_threads_write_the_same_bits_as_one():
    made = history(600, [6, 5, 4, 6, 3], seed=4, n_groups=7)
    one, two = (scope_cube(**made, n_min=[3], threads=threads) for threads in (1, 2))
    assert_same_bits(one, two)


def test_cubes_of_disjoint_trades_merge_to_the_cube_of_all():
    made = history(300, [4, 5, 3], seed=6)
    made["segment"] = np.array(segments_by_count(made["group"], made.pop("closed_at")))
    half = np.random.default_rng(1).random(300) < 0.4
    shape = {"n_min": [1], "clip": CLIP, "cards": [4, 5, 3], "n_groups": 2}
    parts = [
        scope_cube(**{name: column[part] for name, column in made.items()}, **shape)
        for part in (half, ~half)
    ]
    together = merged(parts, n_min=[5, 9])
    whole = scope_cube(**made, **{**shape, "n_min": [5, 9]})
    assert listed(together) == listed(whole)
    assert together.totals == whole.totals
    assert (np.diff(together.group) >= 0).all()


def test_merging_cubes_that_lost_cells_is_refused():
    cube = scope_cube(**history(50, [3, 3], seed=1), n_min=[1, 2], n_groups=2, cards=[3, 3])
    with pytest.raises(ValueError, match="n_min of every part must be 1"):
        merged([cube, cube], n_min=[5])


def test_merging_different_dimensions_is_refused():
    parts = [scope_cube(**history(50, [3, card], seed=1), n_min=[1]) for card in (3, 4)]
    with pytest.raises(ValueError, match="cards"):
        merged(parts, n_min=[5])


def test_taken_cells_keep_their_groups():
    cube = scope_cube(**history(90, [3, 3], seed=8), n_min=[5], block_length=7)
    rows = np.arange(0, len(cube), 3)
    taken = cube.take(rows)
    assert listed(taken) == {k: v for i, (k, v) in enumerate(listed(cube).items()) if i % 3 == 0}
    assert taken.effective_blocks.tolist() == cube.effective_blocks[rows].tolist()


def test_taking_cells_out_of_the_order_of_groups_is_refused():
    cube = scope_cube(**history(90, [3, 3], seed=8), n_min=[5])
    with pytest.raises(ValueError, match="keep the order of the groups"):
        cube.take(np.arange(len(cube))[::-1])


def test_totals_are_the_sums_of_all_trades_of_the_group():
    made = history(90, [3, 3], seed=8, n_groups=3)
    cube = scope_cube(**made, n_min=[10], n_groups=4)
    assert cube.totals.n.tolist() == np.bincount(made["group"], minlength=4).tolist()
    steps = np.rint(made["rr"] * 1e6)
    assert cube.totals.sum_rr.tolist() == np.bincount(made["group"], steps, 4).tolist()
    assert (cube.totals.seg_n[:3].max(axis=1) - cube.totals.seg_n[:3].min(axis=1) < 6).all()


def test_no_trades_make_an_empty_cube():
    cube = scope_cube([], np.zeros((0, 3), int), [], closed_at=[])
    assert len(cube) == 0
    assert cube.scope_codes.shape == (0, 3)


def test_the_last_n_min_holds_for_all_larger_cells():
    assert validated_n_min([10, 20], 4) == (10, 20, 20, 20)


@pytest.mark.parametrize(
    ("n_min", "message"),
    [
        ([10, 9], "n_min must never fall with the number of dimensions, got 10 for 1 and 9 for 2"),
        ([0], "n_min for 1 dimensions must be at least 1, got 0"),
        ([], "n_min must name at least one"),
    ],
)
def test_n_min_that_would_lose_cells_is_refused(n_min: list[int], message: str):
    with pytest.raises(ValueError, match=message):
        scope_cube(**history(30, [3, 3], seed=1), n_min=n_min)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rr": [1.0, np.nan]}, r"rr\[1\] must be finite, got nan"),
        ({"rr": [1.0]}, r"rr must have shape \(2,\)"),
        ({"group": [0, -1]}, r"group must be in \[0, 1\), got -1"),
        ({"scope_codes": [[0], [-2]]}, "scope_codes must be in"),
        ({"scope_codes": [[0] * 16] * 2}, "dimensions must number 1 to 15, got 16"),
        ({"closed_at": None}, "exactly one of closed_at and segment"),
        ({"closed_at": None, "segment": [0, 6]}, "segment must be 0 to 5, got 0 to 6"),
        ({"cards": [0]}, r"cards\[0\] must be in"),
        ({"rr": [3e6, 1.0]}, "sums of group 0 must stay below"),
        ({"rr": [1e200, 1.0]}, "sums of group 0 must stay below"),
        ({"clip": (2.0, 1.0)}, r"clip must rise, got \(2.0, 1.0\)"),
        ({"block_length": 0}, "block_length must be at least 1"),
    ],
)
def test_what_breaks_a_rule_is_named(change: dict[str, Any], message: str):
    call = {"group": [0, 0], "scope_codes": [[0], [0]], "rr": [1.0, 2.0], "closed_at": [1, 2]}
    with pytest.raises(ValueError, match=message):
        scope_cube(**{**call, **change})


def assert_same_bits(first: ScopeCube, second: ScopeCube) -> None:
    assert len(first) > 20
    for name in ("group_start", "mask", "key"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()
    assert first.moments == second.moments
    assert first.totals == second.totals
