"""What one new trade costs against a full rebuild of the statistics: ``./run bench incremental``.

First the aggregation alone: after nothing new, one event of a small and of a large group (the
eighth largest is that of the median event), the newest 0.1 % and 1 % of all events, against
everything anew; CPU of this process and of the server, in rounds of all of these. Then the way of
one new trade through a worker that runs: from the commit of its close until pattern_scope_stats
holds it.

    python -m tests.benchmarks.bench_incremental --trades 100000
"""

from __future__ import annotations

import argparse
import random
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from jobs.aggregate_scopes import Aggregated, aggregate_module
from jobs.runner import Runner
from jobs.scheduler import Scheduler
from jobs.timetable import JOBS
from learning.evidence.aggregation import aggregated_scopes, frozen_reference
from learning.settings import Settings
from learning.store import strand_rows
from learning.store.database import transaction
from learning.store.schema import job_settings
from tests.benchmarks.bench_cube import CLIP, N_MIN
from tests.benchmarks.loaded_trades import all_groups, load_trades, scope_of, touch_groups
from tests.benchmarks.stored_scopes import cost, server, trades_of
from tests.strand_builders import action, close

N_CLOSES = 9
EVERYTHING = "everything anew"


@dataclass(frozen=True, slots=True)
class Round:
    """One aggregation: what was done, and seconds of CPU (server and own) and of wall."""

    done: Aggregated
    cpu: float
    wall: float


def aggregate(home: Path, engine: Engine, settings: Settings, *, is_sweep: bool = False) -> Round:
    """Aggregate PM in one committed transaction."""
    done: list[Aggregated] = []

    def work(connection: Connection) -> None:
        done.append(aggregate_module(connection, "pm", settings, is_sweep=is_sweep))

    took = cost(home, engine, work)
    return Round(done[0], took.cpu, took.wall)


def forget(engine: Engine) -> None:
    """Let every stored group look as if it rested on other trades."""
    with transaction(engine) as connection:
        connection.execute(sa.text("UPDATE scope_groups SET fingerprint = ''"))


def vacuum(engine: Engine) -> None:
    """Clean up after the run before, so that no clock sees it being done, or left undone."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def rest_autovacuum(engine: Engine) -> None:
    """Let the server clean up only when it is told."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ALTER SYSTEM SET autovacuum = off")
        connection.exec_driver_sql("SELECT pg_reload_conf()")


def load_machine_code() -> None:
    """Call the kernels once, so that no clock sees them being loaded."""
    few = trades_of(2000)
    reference = frozen_reference(few, clip=CLIP)
    aggregated_scopes(few, reference, n_min=N_MIN, weights={})


def touch_newest(engine: Engine, n: int) -> None:
    """Derive the newest trades anew, as late strands make the ingestion do."""
    with transaction(engine) as connection:
        connection.execute(
            sa.text(
                "UPDATE pattern_trade_events SET r_multiple = r_multiple + 0.01 WHERE id IN "
                "(SELECT id FROM pattern_trade_events ORDER BY closed_at DESC LIMIT :n)"
            ),
            {"n": n},
        )


def touches(engine: Engine, n_trades: int) -> dict[str, Callable[[], None]]:
    """What may change between two aggregations, from nothing to every group."""
    groups = list(all_groups())
    cases: dict[str, list[tuple[str, str]]] = {
        "nothing": [],
        "one event, smallest group": groups[-1:],
        "one event, middle group": groups[60:61],
        "one event, 8th largest group": groups[7:8],
        "one event, largest group": groups[:1],
        "an event in 1 group of 10": groups[5:17],
    }
    by_group = {name: partial(touch_groups, engine, touched) for name, touched in cases.items()}
    shares = {"newest 0.1 % of events": 0.001, "newest 1 % of events": 0.01}
    newest = {
        name: partial(touch_newest, engine, int(share * n_trades)) for name, share in shares.items()
    }
    return {**by_group, **newest, "an event in every group": partial(touch_groups, engine, groups)}


def measure(
    home: Path, engine: Engine, settings: Settings, n_trades: int, rounds: int
) -> dict[str, list[Round]]:
    """Run every case once in each round, in an order of its own; nothing stands still meanwhile.

    Everything is stored before the first one: to store it for the first time costs less than in
    place of what is there.
    """
    load_machine_code()
    rest_autovacuum(engine)
    aggregate(home, engine, settings)
    cases = {EVERYTHING: partial(forget, engine), **touches(engine, n_trades)}
    taken: dict[str, list[Round]] = {name: [] for name in cases}
    rng = random.Random(1)
    for _ in range(rounds):
        for name in rng.sample(list(cases), k=len(cases)):
            cases[name]()
            vacuum(engine)
            taken[name].append(aggregate(home, engine, settings, is_sweep=name == EVERYTHING))
    return taken


def compare(taken: Mapping[str, Sequence[Round]], n_trades: int) -> None:
    """Print what touching more and more costs, beside everything anew in the same round."""
    rounds = len(taken[EVERYTHING])
    print(f"{n_trades:,} trades; a run after touching …, against everything anew in place of it")
    print(f"median of {rounds} rounds (least to most)")
    print(f"{'':<29}{'read':>9}{'cells':>9}{'CPU s':>23}{'wall s':>9}{'CPU: times cheaper':>26}")
    for name, runs in taken.items():
        print(_line(name, runs, taken[EVERYTHING]), flush=True)


def _line(name: str, runs: Sequence[Round], everything: Sequence[Round]) -> str:
    done = runs[-1].done
    cpu = _spread([one.cpu for one in runs], ".2f")
    cheaper = _spread([b.cpu / a.cpu for a, b in zip(runs, everything, strict=True)], ".1f")
    wall = statistics.median(one.wall for one in runs)
    return f"{name:<29}{done.n_events:>9}{done.n_cells:>9}{cpu:>23}{wall:>9.2f}{cheaper:>26}"


def _spread(values: Sequence[float], form: str) -> str:
    median = statistics.median(values)
    return f"{median:{form}} ({min(values):{form}} to {max(values):{form}})"


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
    """Read the options; compare, and follow closes through a worker."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trades", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    n_trades = options.trades
    with server() as (home, engine):
        url = engine.url.render_as_string(hide_password=False)
        settings = Settings.from_env(database_url=url)
        load_trades(engine, n_trades)
        compare(measure(home, engine, settings, n_trades, options.rounds), n_trades)
        print("from the commit of a close to its statistics, with a worker that runs:")
        seconds = sorted(close_to_stats(engine, settings))
        print(f"median {seconds[len(seconds) // 2]:.2f} s, longest {seconds[-1]:.2f} s")


if __name__ == "__main__":
    main()
