"""What recording costs the bot: ``./run bench recorder``.

Each call of ``record_action`` and ``record_position_closed`` is timed while the server answers,
while every process of it is stopped (SIGSTOP), and after it is gone; then the strands in the
database are counted: each must be there once. The server is an embedded one of the benchmark's own.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from learning.bot.recorder import Recorder, start_recorder
from tests.benchmarks.bench_lookup import frozen
from tests.benchmarks.measured_server import measured_server, plain

CLOSED = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCOPE = {"bucket": "micro", "timeframe": "1h", "macro_phase": "Dip", "A_mode": "patient"}
SIGNALS = {"TS": 0.6, "OX": 1.2, "DX": 0.4}
PAUSE_S = 0.002  # a bot does not record without a pause


def timed(recorder: Recorder, name: str, n: int) -> None:
    """Record n trades and print how long a call took, microseconds."""
    actions, closes = [], []
    for i in range(n):
        start = time.perf_counter_ns()
        recorder.record_action(
            trade_id=f"{name}-{i}", pattern_key="pm.uptrend.S1.buy_flag", decision_type="E1",
            scope=SCOPE, signals_seen=SIGNALS, applied_knobs={"trim_delay": 3},
        )  # fmt: skip
        middle = time.perf_counter_ns()
        recorder.record_position_closed(
            trade_id=f"{name}-{i}",
            trade_summary={
                "opened_at": CLOSED - timedelta(hours=6), "closed_at": CLOSED, "r_multiple": 1.5,
            },
        )  # fmt: skip
        closes.append(time.perf_counter_ns() - middle)
        actions.append(middle - start)
        time.sleep(PAUSE_S)
    told = recorder.status()
    for what, taken in (("action", sorted(actions)), ("close", sorted(closes))):
        p50, p99_9, most = (taken[i] / 1000 for i in (n // 2, n * 999 // 1000, -1))
        print(
            f"{name:<8} | {what:<6} | {p50:8.1f} {p99_9:8.1f} {most:9.1f} | "
            f"{told.n_waiting:>7,} {told.n_spooled:>7,} {told.n_dropped:>7,}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trades", type=int, default=5_000)
    n = parser.parse_args().trades
    print("microseconds a call; what waits, is in the spool, is dropped")
    print("server   | call   |      p50    p99.9       max | waiting  spooled dropped")
    with tempfile.TemporaryDirectory() as folder, measured_server() as url:
        spool = Path(folder) / "bot.jsonl"
        recorder = start_recorder(url, bot="measured", origin="simulated", spool=spool)
        timed(recorder, "answers", n)
        with frozen(url):
            timed(recorder, "frozen", n)
        timed(recorder, "thawed", n)
        recorder.stop(timeout_s=60)
        with psycopg.connect(plain(url)) as database:
            found = database.execute(
                "SELECT count(*), count(DISTINCT strand_key) FROM ad_strands"
            ).fetchone()
        print(f"noted {6 * n:,}; strands and keys in the database: {found}")


if __name__ == "__main__":
    main()
