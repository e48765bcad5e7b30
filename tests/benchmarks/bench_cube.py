"""The scope cube against databases and data frames, as ratios in one run: ``./run bench cube``.

Every contestant answers the same question on the same trades, in a process of its own: which
scopes do enough trades share, and what do n, sum rr, sum rr², sum of clipped rr and clipped rr²,
sum of baselines and sum of ranks come to? The cube adds six time segments on top, the others do
not. Number of cells and of trades in them must agree, or the run fails. Ratios are of CPU time,
summed over threads: on a shared machine wall time says little. Last, what it takes to store the
cells, against a COPY of the finished rows (``stored_scopes``).

    python -m tests.benchmarks.bench_cube --sizes 100000 1000000 --cap 300
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from learning.evidence.scope_cube import DEFAULT_N_MIN, scope_cube

CARDS = (6, 6, 6, 6, 6, 3, 6, 4, 3, 3)
N_GROUPS = 120
DIMS = [f"d{i}" for i in range(len(CARDS))]
CLIP = (-1.0, 8.0)
N_MIN = [DEFAULT_N_MIN[min(k, len(DEFAULT_N_MIN)) - 1] for k in range(1, len(CARDS) + 1)]
SUMS = ("rr", "rr_sq", "clipped", "clipped_sq", "baseline", "time_rank")
#: The machine is shared: beyond this DuckDB writes to disk.
PEER_MEMORY_GB = 8
WEEK_SECONDS = 7 * 24 * 3600
Events = dict[str, npt.NDArray[Any]]


def planted_events(n: int, *, seed: int = 1) -> Events:
    """Trades of 120 groups of Zipf-like sizes in ten unbalanced, correlated dimensions.

    Regime dimensions are dwelling paths, as phases are; each other dimension is drawn from
    unequal shares, and one mode mostly follows a phase.
    """
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, N_GROUPS + 1)
    group = rng.choice(N_GROUPS, n, p=share / share.sum()).astype(np.int32)
    hours = 540 * 24
    hour = np.sort(rng.integers(0, hours, n))
    codes = np.empty((n, len(CARDS)), np.int16)
    for dim, dwell_days in enumerate((20, 6, 1.5, 8)):
        jumps = np.cumsum(rng.random(hours) < 1 / (24 * dwell_days))
        weights = rng.dirichlet(np.full(CARDS[dim], 3.0))
        codes[:, dim] = rng.choice(CARDS[dim], jumps[-1] + 1, p=weights)[jumps][hour]
    for dim in range(4, len(CARDS)):
        weights = rng.dirichlet(np.full(CARDS[dim], 2.0))
        codes[:, dim] = rng.choice(CARDS[dim], n, p=weights)
    follows = rng.random(n) < 0.8
    codes[:, 8] = np.where(follows, codes[:, 2] % 3, codes[:, 8])
    rr = np.where(rng.random(n) < 0.6, -rng.beta(4, 2, n), rng.lognormal(0.2, 0.8, n))
    return {
        "group": group,
        "scope_codes": codes,
        "rr": np.minimum(rr, 33.0),
        "closed_at": hour * 3600 + rng.integers(0, 3600, n),
        "baseline": rng.normal(0.1, 0.2, n),
        "time_rank": rng.random(n),
    }


@dataclass
class Answer:
    """What a contestant found and what it took."""

    cells: int
    trades: int
    share: float = 1.0  # of the subsets answered before the cap
    cpu: float = 0.0
    wall: float = 0.0
    peak_mb: float = 0.0


def columns(events: Events) -> Events:
    """The events as the plain columns that a database or a frame is given."""
    clipped = np.clip(events["rr"], *CLIP)
    dims = {name: events["scope_codes"][:, i].astype(np.int8) for i, name in enumerate(DIMS)}
    sums = [events["rr"], events["rr"] ** 2, clipped, clipped**2]
    named = dict(zip(SUMS, [*sums, events["baseline"], events["time_rank"]], strict=True))
    return {"grp": events["group"].astype(np.int16), **dims, **named}


def subsets(cap: float) -> Iterator[tuple[int, list[str]]]:
    """Every subset of the dimensions in a seeded random order, until the cap in seconds."""
    every = [list(s) for k in range(1, len(DIMS) + 1) for s in combinations(DIMS, k)]
    np.random.default_rng(0).shuffle(every)  # type: ignore[arg-type]
    began = time.perf_counter()
    for done, subset in enumerate(every):
        if time.perf_counter() - began > cap:
            return
        yield done + 1, subset


N_SUBSETS = 2 ** len(DIMS) - 1


def this_cube(events: Events, cap: float, **options: Any) -> Callable[[], Answer]:
    """The cube itself; its machine code is loaded before the clock starts."""
    scope_cube(**{name: column[:2000] for name, column in events.items()}, **options)

    def run() -> Answer:
        cube = scope_cube(**events, clip=CLIP, **options)
        return Answer(len(cube), int(cube.moments.n.sum(dtype=np.int64)))

    return run


def one_thread(events: Events, cap: float) -> Callable[[], Answer]:
    return this_cube(events, cap, threads=1)


def with_blocks(events: Events, cap: float) -> Callable[[], Answer]:
    return this_cube(events, cap, block_length=WEEK_SECONDS)


def _connected(events: Events) -> Any:
    """DuckDB with the events as a table of its own."""
    import duckdb
    import pyarrow as pa

    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    connection.execute(f"SET memory_limit = '{PEER_MEMORY_GB} GB'")
    connection.execute(f"SET temp_directory = '{tempfile.mkdtemp()}'")
    table = pa.table(columns(events))
    connection.register("arrow_trades", table)
    connection.execute("CREATE TABLE trades AS SELECT * FROM arrow_trades")
    connection.unregister("arrow_trades")
    return connection


SELECTED = "count(*) AS n, " + ", ".join(f"sum({name}) AS sum_{name}" for name in SUMS)


def duckdb_cube(events: Events, cap: float) -> Callable[[], Answer]:
    """One GROUP BY CUBE."""
    connection = _connected(events)
    dims = ", ".join(DIMS)
    size = f"({len(DIMS)} - bit_count(grouping({dims})))"
    enough = " ".join(f"WHEN {k} THEN {n}" for k, n in enumerate(N_MIN, start=1))
    query = (
        f"CREATE TEMP TABLE cells AS SELECT grp, {dims}, grouping({dims}) AS missing, {SELECTED} "
        f"FROM trades GROUP BY grp, CUBE ({dims}) "
        f"HAVING {size} > 0 AND count(*) >= CASE {size} {enough} END"
    )

    def run() -> Answer:
        connection.execute(query)
        found = connection.execute("SELECT count(*), sum(n) FROM cells").fetchone()
        return Answer(int(found[0]), int(found[1]))

    return run


def duckdb_subsets(events: Events, cap: float) -> Callable[[], Answer]:
    """One GROUP BY a subset."""
    connection = _connected(events)

    def run() -> Answer:
        answer = Answer(0, 0, 0.0)
        for done, subset in subsets(cap):
            table = connection.execute(
                f"SELECT grp, {', '.join(subset)}, {SELECTED} FROM trades GROUP BY ALL "
                f"HAVING count(*) >= {N_MIN[len(subset) - 1]}"
            ).fetchnumpy()
            answer.cells += len(table["n"])
            answer.trades += int(table["n"].sum())
            answer.share = done / N_SUBSETS
        return answer

    return run


def polars_subsets(events: Events, cap: float) -> Callable[[], Answer]:
    """One group_by a subset."""
    import polars as pl

    trades = pl.DataFrame(columns(events))
    sums = [pl.len().alias("n"), *(pl.col(name).sum().alias(f"sum_{name}") for name in SUMS)]

    def run() -> Answer:
        answer = Answer(0, 0, 0.0)
        for done, subset in subsets(cap):
            grouped = trades.lazy().group_by(["grp", *subset]).agg(sums)
            table = grouped.filter(pl.col("n") >= N_MIN[len(subset) - 1]).collect()
            answer.cells += table.height
            answer.trades += int(table["n"].sum())
            answer.share = done / N_SUBSETS
        return answer

    return run


def pandas_subsets(events: Events, cap: float) -> Callable[[], Answer]:
    """One groupby a subset."""
    import pandas as pd

    trades = pd.DataFrame(columns(events))

    def run() -> Answer:
        answer = Answer(0, 0, 0.0)
        for done, subset in subsets(cap):
            grouped = trades.groupby(["grp", *subset], sort=False)
            n = grouped.size()
            kept = n >= N_MIN[len(subset) - 1]
            table = grouped[list(SUMS)].sum()[kept]
            answer.cells += len(table)
            answer.trades += int(n[kept].sum())
            answer.share = done / N_SUBSETS
        return answer

    return run


CONTESTANTS: dict[str, Callable[[Events, float], Callable[[], Answer]]] = {
    "cube": this_cube,
    "cube, 1 thread": one_thread,
    "cube, with blocks": with_blocks,
    "duckdb cube": duckdb_cube,
    "duckdb subsets": duckdb_subsets,
    "polars subsets": polars_subsets,
    "pandas subsets": pandas_subsets,
}
PEERS = [name for name in CONTESTANTS if not name.startswith("cube")]


def peak_mb() -> float:
    """Largest resident memory of this process so far, in MB of 10**6 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def children_cpu() -> float:
    """CPU seconds of all processes started here that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(run: Callable[[], Answer]) -> Answer:
    """Run once; note CPU seconds over all threads, wall seconds and the growth of memory."""
    before, cpu, wall = peak_mb(), time.process_time(), time.perf_counter()
    answer = run()
    answer.cpu = time.process_time() - cpu
    answer.wall = time.perf_counter() - wall
    answer.peak_mb = peak_mb() - before
    return answer


def in_own_process(name: str, trades: Path, cap: float) -> Answer | str:
    """One contestant's answer, or why there is none."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_cube", "--contestant", name]
    command += ["--trades", str(trades), "--cap", str(cap)]
    # What a stopped contestant spilled goes with the folder of the trades.
    environment = {**os.environ, "POLARS_MAX_THREADS": "2", "TMPDIR": str(trades.parent)}
    before = children_cpu()
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=2 * cap + 60,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return (
            f"not done after {children_cpu() - before:.0f} s of CPU, {2 * cap + 60:.0f} s of wall"
        )
    if done.returncode:
        return f"failed: {done.stderr.strip().splitlines()[-1]}"
    return Answer(**json.loads(done.stdout.splitlines()[-1]))


def line(name: str, answer: Answer | str, own: Answer) -> str:
    """One contestant's row of the table."""
    if isinstance(answer, str):
        return f"{name:18} {answer}"
    cpu = answer.cpu / answer.share
    note = "" if answer.share == 1 else f"  scaled up from {answer.share:.1%} of the subsets"
    return (
        f"{name:18} {cpu:9.2f} {answer.wall / answer.share:9.2f} {answer.peak_mb:9.0f} "
        f"{cpu / own.cpu:9.1f} {answer.wall / answer.share / own.wall:9.1f}{note}"
    )


def compare(n: int, peers: list[str], cap: float, repeats: int) -> None:
    """Print the table of one size."""
    with tempfile.TemporaryDirectory() as folder:
        trades = Path(folder) / "trades.npz"
        np.savez(trades, **planted_events(n))  # type: ignore[arg-type]
        runs = [in_own_process("cube", trades, cap) for _ in range(repeats)]
        own = min((run for run in runs if isinstance(run, Answer)), key=lambda run: run.cpu)
        print(f"\n{n:,} trades, {own.cells:,} cells kept; cap {cap:.0f} s a contestant")
        print(f"{'':18} {'CPU s':>9} {'wall s':>9} {'MB':>9} {'CPU x':>9} {'wall x':>9}")
        print(line("cube", own, own), flush=True)
        for name in ["cube, 1 thread", "cube, with blocks", *peers]:
            answer = in_own_process(name, trades, cap)
            print(line(name, answer, own), flush=True)
            if isinstance(answer, Answer) and answer.share == 1:
                found, expected = (answer.cells, answer.trades), (own.cells, own.trades)
                if found != expected:
                    raise SystemExit(f"{name} found {found} cells and trades, the cube {expected}")


def store(n: int, repeats: int) -> None:
    """Print what storing the cells of one size takes, measured in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.stored_scopes", "--trades", str(n)]
    subprocess.run([*command, "--repeats", str(repeats)], check=True)


def main() -> None:
    """Read the options; run the table or one contestant."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--sizes", nargs="+", type=int, default=[100_000, 1_000_000])
    options.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS)
    options.add_argument("--cap", type=float, default=120, help="seconds a contestant may take")
    options.add_argument("--repeats", type=int, default=3, help="runs of the cube; best counts")
    options.add_argument("--contestant", help=argparse.SUPPRESS)
    options.add_argument("--trades", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if not chosen.contestant:
        for n in chosen.sizes:
            compare(n, chosen.peers, chosen.cap, chosen.repeats)
            store(n, chosen.repeats)
        return
    with np.load(chosen.trades) as stored:
        events = dict(stored)
    run = CONTESTANTS[chosen.contestant](events, chosen.cap)
    print(json.dumps(asdict(measured(run))))


if __name__ == "__main__":
    main()
