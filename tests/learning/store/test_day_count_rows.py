"""Counts by day are what counting the events one by one gives, whatever happened before."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, timedelta
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from dashboard.data_queries import FIELDS
from jobs.ingest_strands import ingest_strands
from learning.events.strands import Strand
from learning.settings import Settings
from learning.store import day_count_rows, inbox_count_rows, strand_rows
from learning.store.database import create_engine, transaction
from learning.store.schema import (
    OUTCOMES,
    PROVENANCES,
    event_day_changes,
    event_day_counts,
    event_day_gaps,
    event_day_levels,
    pattern_trade_events,
)
from tests.strand_builders import START, action, close

DIMS = ("bucket", "bucket_rank_position", "market_family")
Row = dict[str, Any]


@pytest.fixture
def engine(fresh_database: str) -> Iterator[Engine]:
    engine = create_engine(fresh_database)
    yield engine
    engine.dispose()


# ------------------------------------------------------------------ counted one by one
def day_of(event: Row) -> date:
    found: date = event["closed_at"].astimezone(UTC).date()
    return found


def trades_by_day(events: list[Row]) -> dict[tuple[Any, ...], tuple[int, ...]]:
    trades: dict[tuple[Any, ...], dict[str, list[Row]]] = {}
    for event in events:
        key = day_of(event), event["bot"], event["origin"]
        trades.setdefault(key, {}).setdefault(event["trade_id"], []).append(event)
    return {key: _told(list(by_trade.values())) for key, by_trade in trades.items()}


def _told(trades: list[list[Row]]) -> tuple[int, ...]:
    events = [event for trade in trades for event in trade]
    lacks = [sum(any(e[name] is None for e in trade) for trade in trades) for name in OUTCOMES]
    came = [sum(e["provenance"] == name for e in events) for name in PROVENANCES]
    return len(trades), *lacks, len(entries_of(events)), *came


def entries_of(events: list[Row]) -> list[Row]:
    return [e for e in events if e["seq"] == 0 and e["action_category"] == "entry"]


def levels_by_day(events: list[Row]) -> Counter[tuple[Any, ...]]:
    return Counter(
        (day_of(e), e["bot"], name, str(e["scope"][name]))
        for e in entries_of(events)
        for name in DIMS
        if name in e["scope"]
    )


def gaps_by_day(events: list[Row]) -> dict[tuple[Any, ...], tuple[int, int]]:
    lacks, filled = Counter[tuple[Any, ...]](), Counter[tuple[Any, ...]]()
    for e in entries_of(events):
        lacks.update((day_of(e), e["bot"], name) for name in FIELDS if e[name] is None)
        filled.update((day_of(e), e["bot"], name) for name in e["filled"])
    return {key: (lacks[key], filled[key]) for key in lacks | filled}


def check(engine: Engine) -> None:
    """What a reader sees is what counting one by one gives."""
    with transaction(engine, read_only=True) as connection:
        changed = day_count_rows.changed_days(connection, DIMS)
        inbox = inbox_count_rows.accounts_now(connection)
        assert inbox == strand_rows.accounts(connection)
        rows = {
            table: connection.execute(sa.select(day_count_rows.current(table, changed, DIMS))).all()
            for table in day_count_rows.TABLES
        }
        found = connection.execute(sa.select(pattern_trade_events)).mappings()
        events = [dict(row) for row in found]
    assert {tuple(r[:3]): tuple(r[3:-1]) for r in rows[event_day_counts]} == trades_by_day(events)
    assert {tuple(r[:4]): r[4] for r in rows[event_day_levels]} == levels_by_day(events)
    assert {tuple(r[:3]): tuple(r[3:]) for r in rows[event_day_gaps]} == gaps_by_day(events)


# ------------------------------------------------------------------ histories
def trades(rng: Random, n: int) -> list[Strand]:
    return [strand for _ in range(n) for strand in _trade(rng, f"t{rng.randrange(10**9)}")]


def _trade(rng: Random, trade_id: str) -> Iterable[Strand]:
    bot = f"bot-{rng.choice('ab')}"
    for i, category in enumerate(("entry", "entry", "add", "exit")[: rng.randint(1, 4)]):
        scope = {"bucket": rng.choice(["micro", "mid", "Unknown"]), "bucket_rank_position": i}
        pattern = rng.choice(["pm.a.S1.x", "pm.b.S1.y"])
        yield action(trade_id, category, bot=bot, scope=scope, pattern=pattern, hours=i)
    told: dict[str, Any] = {"r_multiple": rng.choice([0.5, None]), "r_multiple_net": 0.4}
    if rng.random() < 0.5:
        told["symbol"] = None
    # some close within the last or the first second of a day
    at = START.replace(hour=0) + timedelta(days=rng.randrange(1, 9), seconds=rng.choice([-1, 0, 9]))
    yield close(trade_id, bot=bot, closed_at=at.isoformat(), opened_at=START.isoformat(), **told)


class History:
    """Steps that change the events, each drawn at random."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine, self.rng = engine, Random(seed)
        self.sent: list[Strand] = []

    def steps(self) -> list[Callable[[], None]]:
        return [self.arrive, self.arrive_again, self.correct, self.move, self.delete, self.store]

    def send(self, strands: list[Strand]) -> None:
        with transaction(self.engine) as connection:
            strand_rows.append(connection, strands)
        ingest_strands(self.engine, Settings(pm_dimensions=DIMS))

    def arrive(self) -> None:
        new = trades(self.rng, self.rng.randint(1, 12))
        self.sent += new
        self.send(new)

    def arrive_again(self) -> None:
        self.send(self.rng.sample(self.sent, len(self.sent) // 2))

    def correct(self) -> None:
        """An action comes after its trade has closed, and closes that say otherwise."""
        closes = [one for one in self.sent if one.kind == "position_closed"]
        for one in self.rng.sample(closes, min(3, len(closes))):
            name, trade_id, bot = f"late-{self.rng.random()}", str(one.trade_id), str(one.bot)
            self.send(
                [
                    action(trade_id, "trim", name=name, bot=bot, scope={"bucket": "late"}),
                    close(trade_id, name=f"{name}/close", bot=bot, r_multiple=-9.0),
                ]
            )

    def move(self) -> None:
        self._run("UPDATE pattern_trade_events SET closed_at = closed_at + interval '1 day', "
                  "filled = '{mfe_r,bucket}' WHERE bot = 'bot-a' AND trade_id < :one")  # fmt: skip

    def delete(self) -> None:
        self._run("DELETE FROM pattern_trade_events WHERE trade_id < :one")

    def _run(self, statement: str) -> None:
        with transaction(self.engine) as connection:
            connection.execute(sa.text(statement), {"one": f"t{self.rng.randrange(3 * 10**8)}"})

    def store(self) -> None:
        store(self.engine)


def store(engine: Engine, dims: tuple[str, ...] = DIMS) -> int:
    with transaction(engine) as connection:
        inbox_count_rows.store_changed(connection)
        return day_count_rows.store_changed(connection, dims)


@pytest.mark.parametrize("seed", range(6))
def test_a_random_history_is_counted_as_one_by_one_after_each_step(
    engine: Engine, seed: int
) -> None:
    history = History(engine, seed)
    history.arrive()
    for _ in range(14):
        history.rng.choice(history.steps())()
        check(engine)
    history.arrive()
    store(engine)
    with engine.connect() as connection:
        assert day_count_rows.changed_days(connection, DIMS) == []
        assert connection.scalar(sa.select(sa.func.count()).select_from(event_day_levels))
    check(engine)


def test_other_dimensions_let_every_day_be_counted_anew(engine: Engine) -> None:
    History(engine, 1).arrive()
    n = store(engine)
    assert n > 0
    assert store(engine) == 0
    with engine.connect() as connection:
        assert len(day_count_rows.changed_days(connection, ("bucket",))) == n
    assert store(engine, ("bucket",)) == n
    with engine.connect() as connection:
        known = connection.scalars(sa.select(event_day_levels.c.dimension).distinct())
        assert set(known) == {"bucket"}


def departures(connection: Connection, days: list[date]) -> list[int]:
    return [
        day_count_rows.count_departures(connection, table, days, DIMS)
        for table in day_count_rows.TABLES
    ]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT 1", [0, 0, 0]),
        ("UPDATE event_day_counts SET n_trades = n_trades + 1 WHERE ctid = (SELECT min(ctid) "
         "FROM event_day_counts)", [2, 0, 0]),
        ("DELETE FROM event_day_levels WHERE ctid = (SELECT min(ctid) FROM event_day_levels)",
         [0, 1, 0]),
        ("INSERT INTO event_day_gaps SELECT day, bot, 'invented', 1, 0 FROM event_day_gaps LIMIT 1",
         [0, 0, 1]),
    ],
)  # fmt: skip
def test_stored_counts_that_the_events_do_not_give_are_counted(
    engine: Engine, statement: str, expected: list[int]
) -> None:
    History(engine, 2).arrive()
    store(engine)
    with transaction(engine) as connection:
        connection.execute(sa.text(statement))
        span = day_count_rows.days_of_events(connection)
        assert span is not None
        days = [span[0] + timedelta(days=i) for i in range((span[1] - span[0]).days + 1)]
        assert departures(connection, days) == expected


def test_what_is_written_while_days_are_counted_is_noted_for_the_next_time(engine: Engine) -> None:
    history = History(engine, 3)
    history.arrive()
    other = History(engine, 4)
    with transaction(engine) as connection:
        assert day_count_rows.store_changed(connection, DIMS) > 0
        writer = threading.Thread(target=other.arrive)  # it waits for nobody
        writer.start()
        writer.join(30)
        assert not writer.is_alive()
        check(engine)
    check(engine)
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(event_day_changes))
    store(engine)
    check(engine)
