"""Override lookup against a linear scan, in one run: ``python -m tests.benchmarks.bench_lookup``.

All overrides belong to one (pattern, category), the worst case. The scan does what the obvious
implementation does: keep the overrides whose scope holds, sort by number of dimensions.

Then a bot with a config feed and telemetry asks while every process of its database server is
stopped: before, at once, and when the config has grown stale.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import random
import signal
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from learning.bot.config_feed import start_config_feed
from learning.domain.pattern_key import parse_pattern_key
from learning.domain.scope import PM_DIMENSIONS, ScopeValue
from learning.runtime.apply import apply_pattern_strength_overrides
from learning.runtime.in_force import install, uninstall
from learning.runtime.override_entry import LessonReference, Override
from learning.runtime.override_table import OverrideTable
from tests.benchmarks.measured_server import measured_server, plain
from tests.learning.runtime.configs import KEY

PATTERN = str(parse_pattern_key("pm.uptrend.S1.buy_flag"))
Scope = dict[str, ScopeValue]


@dataclass(frozen=True, slots=True)
class Timing:
    """Microseconds per call."""

    p50: float
    p99_9: float


def random_scope(rng: random.Random, dims: Sequence[str]) -> Scope:
    return {name: f"{name}-{rng.randrange(7)}" for name in dims}


def overrides(rng: random.Random, n: int) -> tuple[Override, ...]:
    def one(i: int) -> Override:
        dims = rng.sample(PM_DIMENSIONS, rng.randint(1, 5))
        lesson = LessonReference(i, 1, "pm_strength", rng.random(), None)
        return Override(
            kind="strength",
            override_id=i,
            pattern_key=PATTERN,
            action_category="entry",
            scope=random_scope(rng, dims),
            levers={"size_mult": rng.uniform(0.7, 1.3), "entry_aggression_mult": 1.1},
            thresholds={},
            expires_at=time.time() + 1e6,
            holdout_share=0.2,
            holdout_salt=f"L-{i}-v1",
            lesson=lesson,
        )

    return tuple(one(i) for i in range(n))


def scan(table: Sequence[Override], scope: Scope) -> Override | None:
    """The linear scan: every override whose conditions all hold, sorted, the first."""
    matches = [
        o
        for o in table
        if o.pattern_key == PATTERN
        and o.action_category == "entry"
        and all(scope.get(name) == value for name, value in o.scope.items())
    ]
    matches.sort(key=lambda o: (len(o.scope), o.lesson.strength), reverse=True)
    return matches[0] if matches else None


def timed(call: Callable[[Scope], object], scopes: Sequence[Scope]) -> Timing:
    clock = time.perf_counter_ns
    durations = []
    gc.disable()
    for scope in scopes:
        started = clock()
        call(scope)
        durations.append(clock() - started)
    gc.enable()
    durations.sort()
    tail = durations[min(len(durations) - 1, int(len(durations) * 0.999))]
    return Timing(statistics.median(durations) / 1e3, tail / 1e3)


def measured(n: int, *, n_lookups: int, n_scans: int) -> None:
    rng = random.Random(n)
    known = overrides(rng, n)
    gc.collect()
    tracemalloc.start()
    table = OverrideTable(generation=1, revision=1, overrides=known)
    memory_mb = tracemalloc.get_traced_memory()[0] / 1e6
    tracemalloc.stop()
    scopes = [random_scope(rng, PM_DIMENSIONS) for _ in range(n_lookups)]
    now = time.time()

    def find(scope: Scope) -> object:
        return table.find("strength", PATTERN, "entry", scope, now).chosen

    new = timed(find, scopes)
    few = scopes[-1000:]
    seen = timed(find, few * (n_lookups // 1000))
    scanned = timed(lambda scope: scan(known, scope), scopes[:n_scans])
    for scope in scopes[:n_scans]:
        best, chosen = scan(known, scope), find(scope)
        assert (best,) == chosen or (best is None and not chosen)
    install(table, max_config_age_s=60)
    base = {"A_value": 0.5, "E_value": 0.5, "position_size_frac": 0.1}
    applied = timed(
        lambda scope: apply_pattern_strength_overrides(
            PATTERN, "entry", scope, base, trade_id="T-1"
        ),
        few * (n_lookups // 1000),
    )
    uninstall()
    print(
        f"{n:>8,} | {new.p50:8.2f} {new.p99_9:8.2f} | {seen.p50:8.2f} {seen.p99_9:8.2f} | "
        f"{applied.p50:8.2f} {applied.p99_9:8.2f} | {scanned.p50:10.1f} | "
        f"{scanned.p50 / new.p50:8.0f}x | {memory_mb:8.2f}"
    )


# --- While the database is frozen ------------------------------------------------------------


@contextmanager
def frozen(url: str) -> Iterator[None]:
    """Stop every process of the server, its postmaster first."""
    with psycopg.connect(plain(url), autocommit=True) as database:
        folder = database.execute("SHOW data_directory").fetchone()
        sessions = database.execute("SELECT pid FROM pg_stat_activity").fetchall()
    assert folder is not None
    with open(f"{folder[0]}/postmaster.pid", encoding="utf-8") as note:
        pids = [int(note.readline()), *(pid for (pid,) in sessions)]
    stopped = [pid for pid in pids if sent(pid, signal.SIGSTOP)]
    try:
        yield
    finally:
        for pid in stopped:
            sent(pid, signal.SIGCONT)


def sent(pid: int, what: signal.Signals) -> bool:
    try:
        os.kill(pid, what)
    except ProcessLookupError:  # the session that asked for the list has ended
        return False
    return True


def measure_frozen(n_calls: int) -> None:
    """Time whole calls of a bot that has a feed and telemetry, with and without its server."""
    rng = random.Random(0)
    scopes = [random_scope(rng, PM_DIMENSIONS) for _ in range(n_calls)]
    base = {"A_value": 0.5, "E_value": 0.5, "position_size_frac": 0.1}

    def told(case: str) -> None:
        def call(scope: Scope) -> object:
            return apply_pattern_strength_overrides(KEY, "entry", scope, base, trade_id="T-1")

        reason = apply_pattern_strength_overrides(KEY, "entry", {}, base).outcome.reason
        timing = timed(call, scopes)
        print(f"{case:<30} | {timing.p50:8.2f} {timing.p99_9:8.2f} | {reason}")

    # the override belongs to no lesson, so the database refuses what telemetry writes; not timed
    logging.getLogger("learning").setLevel(logging.ERROR)
    with measured_server() as url:
        feed = start_config_feed(url, bot="measured")
        while apply_pattern_strength_overrides(KEY, "entry", {}, base).outcome.reason != "applied":
            time.sleep(0.05)
        told("server answers")
        with frozen(url):
            told("server frozen")
            time.sleep(5)  # a read older than four seconds is stale
            told("server frozen, config stale")
        feed.stop()
    uninstall()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lookups", type=int, default=20_000)
    lookups = parser.parse_args().lookups
    print("microseconds; lookup of a new scope, of one seen before, a whole apply call, the scan")
    print("       n | new p50   p99.9 | seen p50   p99.9 | apply p50  p99.9 |   scan p50 |   ratio")
    for n, n_scans in ((100, 2000), (1_000, 500), (10_000, 100), (100_000, 15)):
        measured(n, n_lookups=max(1000, lookups), n_scans=n_scans)
    print("last column: megabytes that the table takes beside its overrides")
    print("whole apply call, microseconds |  p50    p99.9 | what the bot is told")
    measure_frozen(max(1000, lookups))


if __name__ == "__main__":
    main()
