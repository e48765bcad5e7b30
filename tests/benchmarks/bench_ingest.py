"""How fast strands become events, and arrays: ``./run bench ingest``.

The same strands in batches of 2000 and one by one, which is what a worker does that commits each
strand. CPU time is the worker's own, without the server's: on a shared machine wall time says
little.

    python -m tests.benchmarks.bench_ingest --trades 10000
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine

from jobs.ingest_strands import ingest_strands
from learning.domain.scope import PM_DIMENSIONS
from learning.settings import Settings
from learning.store import event_rows, strand_rows
from learning.store.database import create_engine, migrate, transaction
from learning.store.embedded import start_server, stop_server
from tests.strand_builders import history


def measured(name: str, n: int, work: Callable[[], object]) -> float:
    """Run, print rows per second of wall and of CPU time, return seconds of CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:<22}{n:>9} rows {n / wall:>12.0f} /s {n / cpu:>12.0f} /s of CPU")
    return cpu


def append(engine: Engine, n_trades: int, *, seed: int) -> int:
    """Append a history of trades; return the strands."""
    with transaction(engine) as connection:
        return strand_rows.append(connection, history(n_trades, seed=seed))


def read(engine: Engine) -> None:
    """Read every event as arrays."""
    with transaction(engine, read_only=True) as connection:
        event_rows.read_trade_events(
            connection, "pm", outcome="r_multiple", dims=PM_DIMENSIONS, origins=["live"]
        )


def compare(engine: Engine, n_trades: int) -> None:
    """Print the table."""
    n = append(engine, n_trades, seed=1)
    batched = measured("in batches of 2000", n, lambda: ingest_strands(engine, Settings()))
    few = append(engine, n_trades // 20, seed=2)
    single = measured("one by one", few, lambda: ingest_strands(engine, Settings(batch_size=1)))
    measured("read as arrays", n + few, lambda: read(engine))
    print(f"one by one costs {single / few / (batched / n):.1f} times the CPU of batches")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trades", type=int, default=10_000)
    home = Path(tempfile.mkdtemp(prefix="edgekeeper-bench-", dir="/tmp"))
    home.chmod(0o711)
    try:
        url = start_server(home)
        migrate(url)
        compare(create_engine(url), parser.parse_args().trades)
    finally:
        stop_server(home)
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
