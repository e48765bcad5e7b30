"""The ingest job: batches, verdicts, late arrivals, and going through the quarantine again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from jobs import ingest_strands as job
from jobs.ingest_strands import Ingested, ingest_strands, redrive_quarantined
from learning.errors import LearningError
from learning.events.strands import Strand
from learning.settings import Settings
from learning.store import event_rows, strand_rows
from learning.store.database import create_engine
from learning.store.inbox_count_rows import Accounts
from tests.strand_builders import action, close, history, key

SETTINGS = Settings(batch_size=7)


@pytest.fixture
def own_engine(fresh_database: str) -> Iterator[Engine]:
    engine = create_engine(fresh_database)
    yield engine
    with engine.connect() as connection:  # holds after every test
        found = strand_rows.accounts(connection)
        assert found.balanced
        assert found == Accounts(*connection.execute(sa.text("TABLE strand_accounts")).one())
    engine.dispose()


def send(engine: Engine, *strands: Strand) -> None:
    with engine.begin() as connection:
        strand_rows.append(connection, strands)


def ask(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


REASONS = "SELECT reason FROM strand_ledger WHERE status <> 'ingested' ORDER BY strand_id"
EVENTS = "SELECT action_category, seq, provenance FROM pattern_trade_events ORDER BY acted_at"


def test_everything_that_arrived_is_decided_in_batches_and_nothing_twice(
    own_engine: Engine,
) -> None:
    strands = history(30, seed=1)
    send(own_engine, *strands)
    told: list[Ingested] = []
    done = ingest_strands(own_engine, SETTINGS, progress=told.append)
    assert done.ingested == done.strands == len(strands)
    assert told[-1] == done
    assert len(told) > len(strands) / 7 - 1
    assert ingest_strands(own_engine, SETTINGS) == Ingested()


def test_an_action_is_known_on_arrival_and_has_an_event_once_its_trade_closed(
    own_engine: Engine,
) -> None:
    send(own_engine, action())
    assert ingest_strands(own_engine, SETTINGS) == Ingested(ingested=1)
    assert ask(own_engine, "SELECT trade_id FROM trade_actions") == [("t1",)]
    send(own_engine, close())
    assert ingest_strands(own_engine, SETTINGS) == Ingested(ingested=1, events=1)
    assert ask(own_engine, EVENTS) == [("entry", 0, "action_strand")]


def test_an_action_after_the_close_renews_the_events_of_its_trade(own_engine: Engine) -> None:
    listed = [{"pattern_key": "pm.uptrend.S1.buy_flag", "action_category": c}
              for c in ("entry", "exit")]  # fmt: skip
    send(own_engine, close(completed=listed))
    ingest_strands(own_engine, SETTINGS)
    assert [row[2] for row in ask(own_engine, EVENTS)] == ["own_fields", "own_fields"]
    send(own_engine, action("t1", "exit", hours=23))
    assert ingest_strands(own_engine, SETTINGS).events == 2
    assert ask(own_engine, EVENTS) == [("entry", 0, "own_fields"), ("exit", 0, "action_strand")]


def test_a_close_more_than_a_day_ahead_of_the_database_is_quarantined(own_engine: Engine) -> None:
    now = ask(own_engine, "SELECT now()")[0][0]
    near, far = (str(now + timedelta(hours=h)) for h in (23, 25))
    send(own_engine, close("near", closed_at=near), close("far", closed_at=far))
    assert ingest_strands(own_engine, SETTINGS) == Ingested(ingested=1, quarantined=1)
    ((reason,),) = ask(own_engine, REASONS)
    assert reason.startswith("trade_summary.closed_at must be no time in the future, got ")


def test_a_trade_is_closed_once(own_engine: Engine) -> None:
    send(own_engine, action(), close())
    ingest_strands(own_engine, SETTINGS)
    send(own_engine, close(name="again", r_multiple=-9.0))
    assert ingest_strands(own_engine, SETTINGS) == Ingested(quarantined=1)
    first = key("bot-a/t1/close")
    assert ask(own_engine, REASONS) == [(f"trade 't1' was already closed by strand {first}",)]
    assert ask(own_engine, "SELECT r_multiple FROM pattern_trade_events") == [(1.5,)]


def test_a_close_delivered_again_with_other_content_is_quarantined_as_a_conflict(
    own_engine: Engine,
) -> None:
    send(own_engine, close(name="k"), close(name="k", r_multiple=7.0), close(name="k"))
    assert ingest_strands(own_engine, SETTINGS) == Ingested(ingested=1, quarantined=1)
    conflict = f"strand_key {key('k')} was delivered before with other content"
    assert ask(own_engine, REASONS) == [(conflict,)]


def test_a_kind_of_others_is_ignored(own_engine: Engine) -> None:
    send(own_engine, replace(action(), kind="heartbeat"))
    assert ingest_strands(own_engine, SETTINGS) == Ingested(ignored=1)


def test_the_quarantine_is_gone_through_once_and_what_is_in_order_now_counts_once(
    own_engine: Engine,
) -> None:
    odd = [action(f"t{i}", scope={"venue": 1.5}) for i in range(20)]
    send(own_engine, *odd, *(close(f"t{i}") for i in range(20)))
    strict = Settings(batch_size=7, pm_dimensions=("venue",))
    assert ingest_strands(own_engine, strict).quarantined == 20
    assert redrive_quarantined(own_engine, strict) == Ingested(quarantined=20)
    assert redrive_quarantined(own_engine, SETTINGS) == Ingested(ingested=20, events=20)
    assert redrive_quarantined(own_engine, SETTINGS) == Ingested()
    assert ask(own_engine, "SELECT DISTINCT status, attempts FROM strand_ledger "
               "WHERE attempts > 1") == [("ingested", 3)]  # fmt: skip
    assert ask(own_engine, "SELECT count(*) FROM pattern_trade_events") == [(20,)]


def test_a_close_that_a_new_dimension_made_unreadable_stands_and_late_actions_wait(
    own_engine: Engine,
) -> None:
    entry = {"pattern_key": "pm.a.b.c", "action_category": "entry", "scope": {"venue": 1.5}}
    send(own_engine, close(completed=[entry]))
    ingest_strands(own_engine, SETTINGS)
    send(own_engine, action())
    strict = Settings(pm_dimensions=("venue",))
    assert ingest_strands(own_engine, strict) == Ingested(quarantined=1)
    assert len(ask(own_engine, EVENTS)) == 1
    assert redrive_quarantined(own_engine, SETTINGS).ingested == 1


def test_what_the_database_itself_refuses_is_quarantined_and_the_others_are_ingested(
    own_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(own_engine, *(action(f"t{i}") for i in range(5)), *(close(f"t{i}") for i in range(5)))

    def careless(connection: Connection, actions: Any) -> int:
        return add(connection, [replace(a, origin="mars") if a.trade_id == "t3" else a
                                for a in actions])  # fmt: skip

    add = event_rows.add_actions
    monkeypatch.setattr(job.event_rows, "add_actions", careless)
    done = ingest_strands(own_engine, Settings())
    assert (done.ingested, done.quarantined) == (9, 1)
    ((reason,),) = ask(own_engine, REASONS)
    assert reason.startswith("the database refuses it: ")
    assert "ck_trade_actions_origin_known" in reason
    assert ask(own_engine, "SELECT count(*) FROM pattern_trade_events") == [(4,)]


def test_should_two_workers_ever_hold_one_strand_only_one_of_them_writes(
    own_engine: Engine,
) -> None:
    send(own_engine, action(), close())
    with own_engine.begin() as connection:
        strands = strand_rows.read_pending(connection, 10)
    with own_engine.begin() as connection:
        assert job.ingest_batch(connection, strands, SETTINGS).events == 1
    closes = [strand for strand in strands if strand.kind == "position_closed"]
    again = pytest.raises(LearningError, match="another worker decided")
    with again, own_engine.begin() as connection:
        job.ingest_batch(connection, closes, SETTINGS)
    assert ask(own_engine, EVENTS) == [("entry", 0, "action_strand")]


def test_a_run_ends_however_much_arrives_meanwhile(own_engine: Engine) -> None:
    send(own_engine, *(action(f"t{i}") for i in range(20)))

    def ever_more(done: Ingested) -> None:
        assert done.strands <= 20
        send(own_engine, *(action(f"more{done.strands}-{i}") for i in range(20)))

    assert ingest_strands(own_engine, SETTINGS, progress=ever_more).ingested == 20
    assert ingest_strands(own_engine, SETTINGS).ingested == 60
