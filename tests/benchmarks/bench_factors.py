"""Clustering one pool of 10,000 lessons x 40,000 trades: ``./run bench factors``.

Lessons share trades only inside one group, so the usual problem is small; this is the largest.
Two pools: scopes of one to four dimensions of one large group (a lattice), and noisy copies of
planted trade sets. Beside it scipy's sparse product, which only counts the shared trades.

    python -m tests.benchmarks.bench_factors --lessons 10000 --trades 40000
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
import numpy.typing as npt
from scipy import sparse

from learning.evidence.block_statistics import scope_sets
from learning.meta.latent_factors import GroupLessons, latent_factors

Matched = npt.NDArray[np.bool_]

N_LEVELS = (6, 6, 6, 6, 6, 3, 6, 4, 3, 3)
LESSONS_A_FACTOR = 20
ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds, additional peak memory, and what came out."""

    cpu_s: float
    peak_mb: float
    n_found: int


def lattice(n_lessons: int, n_trades: int) -> Matched:
    """Scopes of one group, drawn from all that have enough trades."""
    rng = np.random.default_rng(1)
    codes = np.column_stack(
        [rng.choice(n, n_trades, p=rng.dirichlet(np.full(n, 2.0))) for n in N_LEVELS]
    ).astype(np.int16)
    sets = scope_sets(codes, N_LEVELS)
    matched = np.zeros((n_lessons, n_trades), dtype=np.bool_)
    for row, j in enumerate(rng.choice(len(sets.n), n_lessons, replace=False).tolist()):
        matched[row, sets.rows_of(j)] = True
    return matched


def copies(n_lessons: int, n_trades: int) -> Matched:
    """Twenty noisy copies of each of many hidden trade sets."""
    rng = np.random.default_rng(2)
    matched = np.zeros((n_lessons, n_trades), dtype=np.bool_)
    for row in range(n_lessons):
        if row % LESSONS_A_FACTOR == 0:
            hidden = rng.random(n_trades) < rng.uniform(0.003, 0.05)
        matched[row] = hidden & (rng.random(n_trades) < rng.uniform(0.75, 0.98))
    return matched


def clustered(matched: Matched) -> int:
    """Number of factors."""
    count = len(matched)
    group = GroupLessons(("pm.all", "entry"), tuple(range(count)), matched, np.ones(count))
    return len(latent_factors([group], previous={}))


def counted(matched: Matched) -> int:
    """Pairs that share trades, by sparse products of some rows at a time."""
    rows = sparse.csr_matrix(matched.astype(np.int32))
    columns, n_pairs = sparse.csr_matrix(rows.T), 0
    for start in range(0, len(matched), ROWS_AT_ONCE):
        n_pairs += sparse.csr_matrix(rows[start : start + ROWS_AT_ONCE] @ columns).nnz
    return n_pairs


def cost(work: Callable[[Matched], int], matched: Matched) -> Cost:
    """Do the work in a process of its own, after its machine code was loaded."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_work, args=(there, work, matched))
    process.start()
    found: Cost = here.recv()
    process.join()
    return found


def _work(there: Connection, work: Callable[[Matched], int], matched: Matched) -> None:
    work(matched[:40, :640])
    before, began = _peak_mb(), time.process_time()
    n_found = work(matched)
    there.send(Cost(time.process_time() - began, _peak_mb() - before, n_found))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print a line for each pool and contestant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lessons", type=int, default=10_000)
    parser.add_argument("--trades", type=int, default=40_000)
    asked = parser.parse_args()
    print(f"{asked.lessons:,} lessons x {asked.trades:,} trades in one pool")
    print(f"{'':36}   CPU s     MB")
    for pool in (lattice, copies):
        matched = pool(asked.lessons, asked.trades)
        share = 100 * matched.mean()
        print(f"{pool.__name__}, {share:.1f} % of the trades in the average lesson")
        for name, work in (("factors", clustered), ("sparse product alone (peer)", counted)):
            one = cost(work, matched)
            print(f"  {name:34} {one.cpu_s:7.1f} {one.peak_mb:6.0f}   {one.n_found:,}", flush=True)


if __name__ == "__main__":
    main()
