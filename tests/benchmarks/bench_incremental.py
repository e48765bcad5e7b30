"""What one new trade costs against a full rebuild of the statistics: ``./run bench incremental``.

First the aggregation alone: nothing new, one touched group (the largest, a middling, the
smallest), more and more of them, and everything anew. Then the way of one new trade through a
worker that runs: from the commit of its close until pattern_scope_stats holds it.

    python -m tests.benchmarks.bench_incremental --trades 100000
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Engine

from jobs.aggregate_scopes import Aggregated, aggregate_module
from jobs.runner import Runner
from jobs.scheduler import Scheduler
from jobs.timetable import JOBS
from learning.settings import Settings
from learning.store import strand_rows
from learning.store.database import create_engine, migrate, transaction
from learning.store.embedded import start_server, stop_server
from learning.store.schema import job_settings
from tests.benchmarks.loaded_trades import all_groups, load_trades, scope_of, touch_groups
from tests.strand_builders import action, close

N_CLOSES = 9


def aggregate(engine: Engine, settings: Settings) -> tuple[float, Aggregated]:
    """Aggregate PM; return the seconds, with what was done."""
    started = time.perf_counter()
    with transaction(engine) as connection:
        done = aggregate_module(connection, "pm", settings)
    return time.perf_counter() - started, done


def compare(engine: Engine, settings: Settings) -> None:
    """Print what touching more and more groups costs, as a share of everything."""
    groups = list(all_groups())
    aggregate(engine, settings)
    with transaction(engine) as connection:
        connection.execute(sa.text("UPDATE scope_groups SET fingerprint = ''"))
    everything, _ = aggregate(engine, settings)
    print(f"{'touched':<24}{'trades read':>12}{'cells':>10}{'seconds':>10}{'of all':>9}")
    cases: dict[str, list[tuple[str, str]]] = {
        "nothing": [],
        "the smallest group": groups[-1:],
        "a middling group": groups[20:21],
        "the largest group": groups[:1],
        "one group in a hundred": groups[10:12],
        "one group in ten": groups[5:17],
        "half of the groups": groups[::2],
        "every group": groups,
    }
    for name, touched in cases.items():
        touch_groups(engine, touched)
        seconds, done = aggregate(engine, settings)
        assert len(done.refreshed) == len(touched), (name, len(done.refreshed))
        share = seconds / everything
        print(f"{name:<24}{done.n_events:>12}{done.n_cells:>10}{seconds:>10.2f}{share:>9.1%}")
    print(f"{'everything anew':<24}{'':>22}{everything:>10.2f}")


def close_to_stats(engine: Engine, settings: Settings) -> list[float]:
    """Close trades of different groups under a running worker; return the seconds of each."""
    runner = Runner(engine, settings, JOBS)
    with transaction(engine) as connection:
        for name in JOBS:  # only what arrives: not the timetable
            if name not in ("ingest_strands", "aggregate_scopes"):
                connection.execute(
                    sa.insert(job_settings).values(
                        job=name, is_paused=True, changed_by="benchmark", reason="benchmark"
                    )
                )
    scheduler = Scheduler(runner, takes_arrivals=True)
    thread = threading.Thread(target=scheduler.run)
    thread.start()
    time.sleep(5)
    groups = list(all_groups())
    try:
        return [one_close(engine, i, groups[i * 12]) for i in range(N_CLOSES)]
    finally:
        scheduler.stop()
        thread.join()


def one_close(engine: Engine, i: int, group: tuple[str, str]) -> float:
    """Seconds from the commit of a close until the group's stored number of trades has grown."""
    pattern, category = group
    query = sa.text("SELECT n FROM scope_groups WHERE pattern_key = :p AND action_category = :c")
    held: Callable[[], int] = lambda: _scalar(engine, query, {"p": pattern, "c": category})  # noqa: E731
    before = held()
    scope = scope_of([0] * 10)  # type: ignore[arg-type]
    with transaction(engine) as connection:
        strand_rows.append(
            connection,
            [
                action(f"new{i}", category, pattern=pattern, name=f"a{i}", scope=scope),
                close(f"new{i}", name=f"c{i}"),
            ],
        )
    committed = time.perf_counter()
    while held() == before:
        if time.perf_counter() - committed > 60:
            raise TimeoutError(f"the close of {group} never arrived")
        time.sleep(0.01)
    seconds = time.perf_counter() - committed
    print(f"  {pattern}/{category:<6} with {before:>6} trades {seconds:>8.2f} s")
    time.sleep(1)
    return seconds


def _scalar(engine: Engine, query: sa.TextClause, values: dict[str, str]) -> int:
    with engine.connect() as connection:
        return int(connection.execute(query, values).scalar_one())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trades", type=int, default=100_000)
    home = Path(tempfile.mkdtemp(prefix="edgekeeper-bench-", dir="/tmp"))
    home.chmod(0o711)
    try:
        url = start_server(home)
        migrate(url)
        engine = create_engine(url)
        settings = Settings.from_env(database_url=url)
        n = parser.parse_args().trades
        load_trades(engine, n)
        compare(engine, settings)
        print("from the commit of a close to its statistics, with a worker that runs:")
        seconds = sorted(close_to_stats(engine, settings))
        print(f"median {seconds[len(seconds) // 2]:.2f} s, longest {seconds[-1]:.2f} s")
    finally:
        stop_server(home)
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
