"""Laws of ingestion: exactly once, in any order, whatever is killed and whatever arrives.

Each fault test has its control: a deliberately careless worker that the same test must catch.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from jobs import ingest_strands as job
from jobs.ingest_strands import ingest_batch, ingest_strands
from learning.events.strands import Strand
from learning.events.verdicts import Verdict
from learning.settings import Settings
from learning.store import inbox_count_rows, strand_rows
from learning.store.database import create_engine, transaction
from learning.store.inbox_count_rows import Accounts
from tests.forked_process import in_a_process
from tests.strand_builders import action, close, digest, history, spoiled

Work = Callable[[str], None]


@pytest.fixture
def database(new_database: Callable[[], str]) -> Iterator[str]:
    """A database of the test's own, whose accounts balance in the end."""
    url = new_database()
    yield url
    engine = create_engine(url)
    with engine.connect() as connection:
        found = strand_rows.accounts(connection)
        view = Accounts(*connection.execute(sa.text("TABLE strand_accounts")).one())
        before = inbox_count_rows.accounts_now(connection)
        inbox_count_rows.store_changed(connection)
        after = inbox_count_rows.accounts_now(connection)
    engine.dispose()
    assert found.balanced
    assert found == view == before == after


def send(url: str, strands: Iterable[Strand]) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        strand_rows.append(connection, strands)
    engine.dispose()


def ingest(url: str, batch_size: int = 2000) -> None:
    engine = create_engine(url)
    ingest_strands(engine, Settings(batch_size=batch_size))
    engine.dispose()


def ask(url: str, query: str) -> Any:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return row[0]


def outcome(url: str) -> dict[str, list[str]]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = digest(connection)
    engine.dispose()
    return found


PENDING = "SELECT pending FROM strand_accounts"
LOCKS = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


# --- Killed workers --------------------------------------------------------------------------


def careful(url: str) -> None:
    ingest(url, batch_size=50)


def kill_at_random(url: str, work: Work, *, trades: int, kills: int) -> list[Strand]:
    """Two workers, one of them killed ever again; return the strands they were given.

    Whoever is quick gets more strands, so that every kill meets a worker at work.
    """
    rng = random.Random(12)
    sent: list[Strand] = []
    workers = [in_a_process(work, url) for _ in range(2)]
    done = 0
    while done < kills or ask(url, PENDING) > 0:
        if ask(url, PENDING) == 0:
            wave = history(trades, seed=len(sent))
            send(url, wave)
            sent += wave
        time.sleep(rng.uniform(0.01, 0.15))
        i = rng.randrange(2)
        if done < kills:
            os.kill(workers[i], signal.SIGKILL)
            done += 1
        os.waitpid(workers[i], 0)
        workers[i] = in_a_process(work, url)
    for pid in workers:
        os.waitpid(pid, 0)
    return sent


def check_survives_kills(url: str, undisturbed: str, *, trades: int, kills: int) -> int:
    sent = kill_at_random(url, careful, trades=trades, kills=kills)
    send(undisturbed, sent)
    ingest(undisturbed)
    assert outcome(url) == outcome(undisturbed)
    assert ask(url, LOCKS) == 0
    return len(sent)


def test_killed_workers_lose_nothing_and_double_nothing(database: str, fresh_database: str) -> None:
    check_survives_kills(database, fresh_database, trades=400, kills=8)


@pytest.mark.slow
def test_fifty_killed_workers_lose_nothing_of_twenty_thousand_strands(
    database: str, fresh_database: str
) -> None:
    assert check_survives_kills(database, fresh_database, trades=6000, kills=50) >= 20_000


def in_two_transactions(url: str, *, settle_first: bool) -> None:
    """The careless worker: it writes the events in one transaction and the ledger in another."""
    engine = create_engine(url)
    settings, settle = Settings(), strand_rows.settle
    held: list[Verdict] = []

    def later(_: Any, verdicts: Any) -> int:
        held.extend(verdicts)
        return len(verdicts)

    job.strand_rows.settle = later
    after = 0
    while True:
        with transaction(engine) as connection:
            strands = strand_rows.read_pending(connection, 50, after)
            if settle_first:
                settle(connection, [Verdict(strand.id, "ingested") for strand in strands])
            else:
                ingest_batch(connection, strands, settings)
        time.sleep(0.01)  # here it is killed now and then
        with transaction(engine) as connection:
            if settle_first:
                ingest_batch(connection, strands, settings)
            else:
                settle(connection, held)
                held.clear()
        if not strands:
            os._exit(0)
        after = strands[-1].id


def drop_unique_keys(url: str) -> None:
    query = """
        SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
        FROM pg_constraint
        WHERE contype = 'u'
            AND conrelid IN ('trade_actions'::regclass, 'pattern_trade_events'::regclass)"""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        dropped = connection.execute(query).fetchall()
        for (statement,) in dropped:
            connection.execute(statement)
    assert len(dropped) == 2


@pytest.mark.parametrize("settle_first", [True, False])
def test_the_same_test_catches_a_worker_with_two_transactions_and_no_unique_keys(
    database: str, fresh_database: str, settle_first: bool
) -> None:
    drop_unique_keys(database)

    def careless(url: str) -> None:
        in_two_transactions(url, settle_first=settle_first)

    send(fresh_database, kill_at_random(database, careless, trades=400, kills=8))
    ingest(fresh_database)
    found, right = outcome(database), outcome(fresh_database)
    if settle_first:
        assert len(found["actions"]) < len(right["actions"])  # lost
    else:
        assert len(found["actions"]) > len(set(found["actions"])) == len(right["actions"])


class Fuse:
    """Ends the process before or after its n-th statement, COPY and COMMIT included."""

    left: int | None = None
    after = False

    @classmethod
    def burn(cls, act: Callable[[], Any]) -> Any:
        if cls.left is None:
            return act()
        cls.left -= 1
        if cls.left == 0 and not cls.after:
            os._exit(9)
        result = act()
        if cls.left == 0:
            os._exit(9)
        return result


class FusedCursor(psycopg.Cursor[Any]):
    def execute(self, *args: Any, **kwargs: Any) -> Any:
        run = super().execute
        return Fuse.burn(lambda: run(*args, **kwargs))

    def copy(self, *args: Any, **kwargs: Any) -> Any:
        run = super().copy
        return Fuse.burn(lambda: run(*args, **kwargs))


class FusedConnection(psycopg.Connection[Any]):
    def commit(self) -> None:
        run = super().commit
        Fuse.burn(run)


def one_fused_batch(url: str, *, statement: int, after: bool) -> None:
    engine = sa.create_engine(
        url,
        creator=lambda: FusedConnection.connect(
            url.replace("+psycopg", ""), cursor_factory=FusedCursor
        ),
    )
    engine.connect().close()  # the dialect's own questions are not counted
    Fuse.left, Fuse.after = statement, after
    with transaction(engine) as connection:
        strands = strand_rows.read_pending(connection, 100)
        ingest_batch(connection, strands, Settings())


def test_killed_before_or_after_any_statement_a_batch_is_whole_or_not_at_all(
    database: str, fresh_database: str
) -> None:
    strands = [*history(3, seed=2), action("odd", ts=None), close("late"), action("late")]
    send(database, strands)
    before = outcome(database)
    send(fresh_database, strands)
    ingest(fresh_database)
    done = outcome(fresh_database)
    states: list[dict[str, list[str]]] = []
    while done not in states:
        statement, after = 1 + len(states) // 2, len(states) % 2 == 1
        assert exit_code(database, statement=statement, after=after) == 9
        states.append(outcome(database))
    # search, read, savepoint, clock, closes, actions, contexts, two copies, delete, ledger,
    # release, commit
    assert len(states) == 2 * 13
    assert states[:-1] == [before] * 25


def exit_code(url: str, *, statement: int, after: bool) -> int:
    def work(url: str) -> None:
        one_fused_batch(url, statement=statement, after=after)

    _, status = os.waitpid(in_a_process(work, url), 0)
    while ask(url, LOCKS) > 0:  # the server ends the transaction of the dead
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(status)


# --- Late commits ----------------------------------------------------------------------------


class NaiveReader:
    """The control: reads what is above the last id it saw."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.last, self.seen = engine, 0, set[int]()

    def read(self) -> None:
        query = sa.text("SELECT id FROM ad_strands WHERE id > :last ORDER BY id")
        with self.engine.connect() as connection:
            found = connection.execute(query, {"last": self.last}).scalars().all()
        self.seen.update(found)
        self.last = max(found, default=self.last)


def test_a_strand_that_is_committed_late_is_ingested_and_holds_up_no_other(
    database: str,
) -> None:
    engine = create_engine(database)
    naive = NaiveReader(engine)
    with engine.begin() as slow:
        strand_rows.append(slow, [action("slow")])
        with engine.begin() as quick:
            strand_rows.append(quick, [action("quick")])
        assert ingest_strands(engine, Settings()).ingested == 1
        naive.read()
    assert ingest_strands(engine, Settings()).ingested == 1
    naive.read()
    engine.dispose()
    assert len(naive.seen) == 1  # the naive reader lost the late one


@pytest.mark.slow
def test_of_eight_writers_that_hold_their_commits_none_loses_a_strand(database: str) -> None:
    engine = create_engine(database, pool_size=12)
    stop, committed, naive = threading.Event(), [0] * 8, NaiveReader(engine)

    def write(i: int) -> None:
        rng = random.Random(i)
        while not stop.is_set():
            with engine.connect() as connection:
                n = rng.randint(1, 3)
                trades = [f"{i}-{rng.random()}" for _ in range(n)]
                strand_rows.append(connection, [action(trade) for trade in trades])
                time.sleep(rng.uniform(0, 0.05))
                if rng.random() >= 0.05:
                    connection.commit()
                    committed[i] += n

    writers = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for writer in writers:
        writer.start()
    until = time.monotonic() + 5
    while time.monotonic() < until:
        ingest_strands(engine, Settings())
        naive.read()
    stop.set()
    for writer in writers:
        writer.join()
    ingest_strands(engine, Settings())
    naive.read()
    with engine.connect() as connection:
        found = strand_rows.accounts(connection)
    engine.dispose()
    assert found == Accounts(sum(committed), sum(committed), 0, 0, 0)
    assert len(naive.seen) < sum(committed)


# --- Whatever arrives, in whatever order -----------------------------------------------------


def test_the_order_of_arrival_changes_nothing(
    database: str, fresh_database: str, new_database: Callable[[], str]
) -> None:
    strands = [*history(40, seed=4), *history(20, seed=4, bot="bot-b"), action("odd", ts="now")]
    send(database, strands)
    ingest(database)
    right = outcome(database)
    rng = random.Random(5)
    for url in (fresh_database, new_database()):
        shuffled = rng.sample(strands, len(strands))
        for start in range(0, len(shuffled), 30):  # arrives and is ingested piece by piece
            send(url, shuffled[start : start + 30])
            ingest(url, batch_size=rng.choice([1, 7, 2000]))
        assert outcome(url) == right


def test_a_bot_that_sends_again_counts_nothing_twice(database: str, fresh_database: str) -> None:
    strands = history(250, seed=6)
    send(database, strands)
    ingest(database)
    rng = random.Random(7)
    repeated = [strand for strand in strands for _ in range(rng.randint(1, 3))]
    rng.shuffle(repeated)
    for start in range(0, len(repeated), 500):
        send(fresh_database, repeated[start : start + 500])
        ingest(fresh_database)
    assert ask(fresh_database, "SELECT count(*) FROM ad_strands") == len(strands)
    assert outcome(fresh_database) == outcome(database)


def test_one_poisoned_strand_of_five_hundred_keeps_no_other_from_being_ingested(
    database: str,
) -> None:
    strands = [*(action(f"t{i}") for i in range(499)), action("poison", controls={"signals": 7})]
    send(database, random.Random(8).sample(strands, 500))
    ingest(database, batch_size=500)
    assert ask(database, "SELECT ingested FROM strand_accounts") == 499
    assert ask(database, "SELECT quarantined FROM strand_accounts") == 1
    assert ask(database, "SELECT reason FROM strand_ledger WHERE reason IS NOT NULL") == (
        "controls.signals must be an object, got 7"
    )


def fuzz(url: str, n: int, *, seed: int) -> None:
    """Spoiled and sound strands mixed: every one is accounted for, and by our own rules."""
    rng = random.Random(seed)
    sound = history(n // 10, seed=seed)
    strands = [
        spoiled(rng.choice(sound), rng) if rng.random() < 0.9 else rng.choice(sound)
        for _ in range(n)
    ]
    send(url, strands)
    ingest(url, batch_size=300)
    assert ask(url, PENDING) == 0
    assert ask(url, "SELECT ingested FROM strand_accounts") > n // 20
    assert ask(url, "SELECT quarantined FROM strand_accounts") > n // 4
    refused = "SELECT count(*) FROM strand_ledger WHERE reason LIKE 'the database refuses it%'"
    assert ask(url, refused) == 0


def test_a_thousand_fuzzed_strands_are_all_accounted_for(database: str) -> None:
    fuzz(database, 1000, seed=9)


@pytest.mark.slow
def test_ten_thousand_fuzzed_strands_are_all_accounted_for(database: str) -> None:
    fuzz(database, 10_000, seed=10)
