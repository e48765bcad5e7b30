"""From trades to stored scopes, against a plain COPY of the same rows; part of ``bench cube``.

The peer is given the finished rows: one a scope, with the columns of ``scope_stat_cells``, laid
out in binary beforehand. It only has to send them to a plain table with the same columns and a
primary key on group, mask and codes. The product starts from the trades: cube, statistics, packs
and COPY. Both in one embedded PostgreSQL, each in one transaction, committed.

    python -m tests.benchmarks.stored_scopes --trades 1000000
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil  # type: ignore[import-untyped]
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from learning.domain.scope import PM_DIMENSIONS
from learning.evidence.aggregation import FrozenReference, aggregated_scopes, frozen_reference
from learning.evidence.edge_score import ScopeStatistics
from learning.evidence.scope_cube import ScopeCube
from learning.evidence.trade_events import TradeEvents
from learning.store import binary_copy, scope_stat_rows
from learning.store.database import create_engine, migrate, transaction
from learning.store.embedded import start_server, stop_server
from learning.store.scope_stat_rows import GroupRow
from tests.benchmarks.bench_cube import CARDS, CLIP, N_MIN, planted_events

_DOUBLES = ("sum_rr", "sum_rr_sq", "variance", "rr_baseline", "edge_raw")
_REALS = ("time_efficiency", "field_coherence", "recurrence_score")
_SMALL = ("segments_tested", "segments_positive")
PEER = (
    "CREATE TABLE plain_cells (group_id integer, scope_mask smallint, scope_codes smallint[], "
    "n integer NOT NULL, "
    + ", ".join(f"{name} double precision NOT NULL" for name in _DOUBLES)
    + ", "
    + ", ".join(f"{name} real NOT NULL" for name in _REALS)
    + ", "
    + ", ".join(f"{name} smallint NOT NULL" for name in _SMALL)
    + ", PRIMARY KEY (group_id, scope_mask, scope_codes))"
)
_CHUNK_ROWS, _SEND_BYTES = 50_000, 1 << 20


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of CPU of this process and of the server, and of wall."""

    own: float
    server: float
    wall: float

    @property
    def cpu(self) -> float:
        return self.own + self.server


def trades_of(n: int) -> TradeEvents:
    """The planted trades as the evidence code reads them."""
    drawn = planted_events(n)
    return TradeEvents(
        group=drawn["group"],
        groups=tuple((f"pm.bench.S1.p{i // 2:02d}", ("entry", "exit")[i % 2]) for i in range(120)),
        dims=PM_DIMENSIONS,
        scope_codes=drawn["scope_codes"],
        levels=tuple(tuple(f"v{code}" for code in range(card)) for card in CARDS),
        closed_at_days=drawn["closed_at"] / 86400,
        rr=drawn["rr"],
        trade=np.arange(n),
        time_efficiency=drawn["time_rank"],
    )


def server_cpu(home: Path) -> float:
    """CPU seconds of all live processes of the embedded server."""
    pid = int((home / "pg18" / "postmaster.pid").read_text().split()[0])
    server = psutil.Process(pid)
    used = 0.0
    for process in (server, *server.children()):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used += times.user + times.system
    return used


def cost(home: Path, engine: Engine, work: Callable[[Connection], None]) -> Cost:
    """What some work in one committed transaction takes."""
    server, own, wall = server_cpu(home), time.process_time(), time.perf_counter()
    with transaction(engine) as connection:
        work(connection)
    return Cost(time.process_time() - own, server_cpu(home) - server, time.perf_counter() - wall)


def aggregate_and_store(
    connection: Connection, trades: TradeEvents, reference: FrozenReference
) -> None:
    """The product's way: trades in, stored scopes out."""
    cube, columns = aggregated_scopes(trades, reference, n_min=N_MIN, weights={})
    mean, variance = cube.totals.avg_rr(), cube.totals.variance()
    groups = [
        GroupRow(key, int(cube.totals.n[i]), float(mean[i]), float(variance[i]), b"")
        for i, key in enumerate(trades.groups)
    ]
    scope_stat_rows.replace_groups(connection, "pm", groups, cube, columns)


def write_rows(cube: ScopeCube, columns: ScopeStatistics, path: Path) -> int:
    """Lay the rows of all cells out as COPY in binary reads them; return how many."""
    size, total = cube.size(), 0
    with path.open("wb") as file:
        file.write(binary_copy.HEADER)
        for k in np.unique(size):
            alike = np.flatnonzero(size == k)
            for rows in np.split(alike, range(_CHUNK_ROWS, len(alike), _CHUNK_ROWS)):
                laid_out = binary_copy.rows_of(_plain_columns(cube, columns, rows))
                file.write(laid_out.data)
                total += len(laid_out)
        file.write(binary_copy.TRAILER)
    return total


def _plain_columns(
    cube: ScopeCube, columns: ScopeStatistics, rows: npt.NDArray[np.intp]
) -> dict[str, npt.NDArray]:
    codes = cube.layout.unpack(cube.key[rows])
    return {
        "group_id": cube.group[rows],
        "scope_mask": cube.mask[rows],
        "scope_codes": codes[codes >= 0].reshape(len(rows), -1),
        "n": columns.n[rows],
        **{name: getattr(columns, name)[rows] for name in _DOUBLES},
        **{name: getattr(columns, name)[rows].astype(np.float32) for name in _REALS},
        **{name: getattr(columns, name)[rows].astype(np.int16) for name in _SMALL},
    }


def send(connection: Connection, path: Path) -> None:
    """The peer's way: the finished rows by COPY."""
    driver = connection.connection.driver_connection
    assert driver is not None
    with (
        path.open("rb") as file,
        driver.cursor() as cursor,
        cursor.copy("COPY plain_cells FROM STDIN (FORMAT binary)") as copy,
    ):
        while chunk := file.read(_SEND_BYTES):
            copy.write(chunk)


def stored_bytes(engine: Engine, table: str) -> int:
    """Bytes of a table with its indexes."""
    with engine.connect() as connection:
        asked = sa.text("SELECT pg_total_relation_size(CAST(:table AS regclass))")
        return int(connection.execute(asked, {"table": table}).scalar_one())


@contextlib.contextmanager
def server() -> Iterator[tuple[Path, Engine]]:
    """An embedded server of its own, with our tables."""
    home = Path(tempfile.mkdtemp(prefix="edgekeeper-bench-", dir="/tmp"))
    home.chmod(0o711)
    try:
        url = start_server(home)
        migrate(url)
        yield home, create_engine(url)
    finally:
        stop_server(home)
        shutil.rmtree(home)


def compare(n: int, repeats: int) -> None:
    """Print both costs at one size, as medians."""
    trades = trades_of(n)
    reference = frozen_reference(trades, clip=CLIP)
    few = trades.where(np.arange(2000))
    aggregated_scopes(few, reference, n_min=N_MIN, weights={})  # its machine code is loaded
    with server() as (home, engine):
        rows = home / "rows.bin"
        n_rows = write_rows(
            *aggregated_scopes(trades, reference, n_min=N_MIN, weights={}), path=rows
        )
        ours, peers = [], []
        for _ in range(repeats):
            with transaction(engine) as connection:
                connection.execute(sa.text("DROP TABLE IF EXISTS plain_cells"))
                connection.execute(sa.text(PEER))
                connection.execute(sa.text("TRUNCATE scope_groups CASCADE"))
            peers.append(cost(home, engine, lambda connection: send(connection, rows)))
            ours.append(cost(home, engine, lambda c: aggregate_and_store(c, trades, reference)))
        print(f"\nstoring {n_rows:,} scopes of {n:,} trades, median of {repeats}")
        print(f"{'':34} {'CPU s':>7} {'server':>7} {'wall s':>7} {'MB':>6} {'bytes a scope':>14}")
        _tell(
            "from trades to stored scopes", ours, stored_bytes(engine, "scope_stat_packs"), n_rows
        )
        _tell(
            "COPY of the finished rows (peer)", peers, stored_bytes(engine, "plain_cells"), n_rows
        )
        ratio = statistics.median(o.cpu / p.cpu for o, p in zip(ours, peers, strict=True))
        walls = statistics.median(o.wall / p.wall for o, p in zip(ours, peers, strict=True))
        print(f"aggregate and store takes {ratio:.2f} times the COPY in CPU, {walls:.2f} in wall")


def _tell(name: str, costs: list[Cost], n_bytes: int, n_rows: int) -> None:
    cpu, server_s, wall = (
        statistics.median(getattr(one, field) for one in costs)
        for field in ("cpu", "server", "wall")
    )
    print(
        f"{name:34} {cpu:7.2f} {server_s:7.2f} {wall:7.2f} {n_bytes / 1e6:6.0f} "
        f"{n_bytes / n_rows:14.0f}",
        flush=True,
    )


def main() -> None:
    """Read the options and compare."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--trades", type=int, default=1_000_000)
    options.add_argument("--repeats", type=int, default=3)
    chosen = options.parse_args()
    compare(chosen.trades, chosen.repeats)


if __name__ == "__main__":
    main()
