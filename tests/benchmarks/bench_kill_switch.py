"""From the commit of the kill switch to its effect in another process: ``./run bench kill_switch``.

Each toggle is timed from just before its COMMIT until the bot's next answer that obeys it. The bot
is a process of its own that asks 2,000 times a second; the server is an embedded one of the
benchmark's own. Cases:

- idle;
- two bulk writers, each a process that fills the inbox as fast as it can;
- no notification: the switch is turned without one, the bot sees it when it looks;
- listener cut: the bot's session is ended at the moment of the commit;
- session frozen: the server process of the bot's session is stopped (SIGSTOP) before the commit,
  only turning off is timed, and counted as obeyed when nothing that adds risk applies any more:
  the bot's config has grown stale. Each takes four seconds, 300 of them twenty minutes.
"""

from __future__ import annotations

import argparse
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
from sqlalchemy import Engine

from learning.events.strands import Strand
from learning.store import strand_rows, switch_rows
from learning.store.database import create_engine, transaction
from tests.benchmarks.measured_server import measured_server, plain

ROOT = Path(__file__).parents[2]
_IDLE_SESSION = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'edgekeeper bot' AND state = 'idle'"
)
OFF = ("kill switch", "stale config")
Turn = Callable[[bool], float]


class Bot:
    """The bot's process and the changes it tells of."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.kill_switch_bot", url],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._told: queue.Queue[tuple[float, str]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            at, _, reason = line.strip().partition(" ")
            self._told.put((float(at), reason))

    def changed_to(self, *reasons: str, timeout_s: float = 30.0) -> float:
        """Wait for a change to one of the reasons; return its moment."""
        deadline = time.monotonic() + timeout_s
        while True:
            at, reason = self._told.get(timeout=max(0.0, deadline - time.monotonic()))
            if reason in reasons:
                return at

    def forget(self) -> None:
        while not self._told.empty():
            self._told.get()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def turned_by_function(engine: Engine) -> Turn:
    def turn(on: bool) -> float:
        with transaction(engine) as connection:
            switch_rows.set_switch(
                connection,
                on=on,
                actor="bench",
                reason="measuring how long it takes",
                confirmation="ENABLE",
            )
            return time.monotonic()  # before the block ends, which commits

    return turn


def turned_silently(url: str) -> Turn:
    """Turn the switch without the notification that the function sends."""
    database = psycopg.connect(plain(url))

    def turn(on: bool) -> float:
        database.execute(
            "UPDATE kill_switch SET overrides_on = %s, switch_revision = switch_revision + 1",
            (on,),
        )
        started = time.monotonic()
        database.commit()
        return started

    return turn


def cutting(turn: Turn, url: str) -> Turn:
    database = psycopg.connect(plain(url), autocommit=True)

    def turn_and_cut(on: bool) -> float:
        started = turn(on)
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'edgekeeper bot'"
        )
        return started

    return turn_and_cut


def latencies(bot: Bot, turn: Turn, *, toggles: int) -> list[float]:
    """Seconds from commit to effect, off and on in turn."""
    rng = random.Random(1)
    found = []
    for i in range(toggles):
        on = i % 2 == 1
        started = turn(on)
        seen = bot.changed_to("applied") if on else bot.changed_to(*OFF)
        found.append(seen - started)
        time.sleep(rng.uniform(0.005, 0.05))  # no rhythm that the bot's own looks could share
    return found


def frozen_latencies(bot: Bot, turn: Turn, url: str, *, toggles: int) -> list[float]:
    """Seconds from commit until nothing adds risk, while the bot's session does not answer."""
    database = psycopg.connect(plain(url), autocommit=True)
    found = []
    for _ in range(toggles):
        frozen = freeze_session(database)
        try:
            started = turn(False)
            found.append(bot.changed_to(*OFF) - started)
        finally:
            os.kill(frozen, signal.SIGCONT)
        bot.changed_to("kill switch")  # it has read again
        turn(True)
        bot.changed_to("applied")
        bot.forget()
    return found


def freeze_session(database: psycopg.Connection) -> int:
    """Stop the server process of the bot's session; return its number.

    Only where it is idle: stopped amid a write it may hold a lock that every commit needs.
    """
    while True:
        time.sleep(0.02)
        session = database.execute(_IDLE_SESSION).fetchone()
        if session is None:
            continue
        os.kill(session[0], signal.SIGSTOP)
        if database.execute(_IDLE_SESSION).fetchone() == session:
            return int(session[0])
        os.kill(session[0], signal.SIGCONT)


@contextmanager
def bulk_writers(url: str, n: int) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.benchmarks.bench_kill_switch", "--write-to", url]
    writers = [subprocess.Popen(command, cwd=ROOT) for _ in range(n)]
    time.sleep(3)  # until both have come up and write
    try:
        yield
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()


def write_forever(url: str) -> None:
    engine = create_engine(url, application_name="bulk writer")
    name = uuid4().hex[:8]
    content = {"pattern_key": "pm.a.b.c", "action_category": "entry", "scope": {"bucket": "mid"},
               "controls": {"signals": {"TS": 0.5}}, "ts": "2024-03-01T12:00:00+00:00"}  # fmt: skip
    for i in range(10**9):
        with transaction(engine) as connection:
            strands = (
                Strand(uuid4(), "pm_action", "pm", name, "simulated", content, trade_id=f"{i}-{j}")
                for j in range(2_000)
            )
            strand_rows.append(connection, strands)


def tell(case: str, found: list[float], target_ms: int) -> None:
    """Print one line; quantiles are values that were measured, none between them."""
    in_order = sorted(1e3 * value for value in found)

    def quantile(share: float) -> float:
        return in_order[min(len(in_order) - 1, int(len(in_order) * share))]

    print(
        f"{case:<20} | {len(found):>5} | {quantile(0.5):>8.1f} | {quantile(0.99):>8.1f} | "
        f"{in_order[-1]:>8.1f} | {target_ms:>8}",
        flush=True,
    )


def measure(toggles: int) -> None:
    with measured_server() as url:
        bot = Bot(url)
        try:
            bot.changed_to("applied")
            turn = turned_by_function(create_engine(url))
            tell("idle", latencies(bot, turn, toggles=toggles), 250)
            with bulk_writers(url, 2):
                tell("two bulk writers", latencies(bot, turn, toggles=toggles), 250)
            silent = turned_silently(url)
            tell("no notification", latencies(bot, silent, toggles=toggles), 1000)
            cut = cutting(turn, url)
            tell("listener cut", latencies(bot, cut, toggles=toggles), 1000)
            frozen = frozen_latencies(bot, turn, url, toggles=toggles)
            tell("session frozen", frozen, 5000)
        finally:
            bot.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description="Commit of the kill switch to its effect.")
    parser.add_argument("--toggles", type=int, default=300, help="at most, per case")
    parser.add_argument("--write-to", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write_to:
        write_forever(given.write_to)
        return
    print("milliseconds from COMMIT to effect in another process")
    print("case                 |     n |      p50 |      p99 |      max |   target")
    measure(max(2, given.toggles // 2 * 2))


if __name__ == "__main__":
    main()
