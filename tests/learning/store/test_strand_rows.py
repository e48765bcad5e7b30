"""The inbox and its ledger, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from learning.events.verdicts import Verdict
from learning.store import strand_rows
from learning.store.database import create_engine
from learning.store.strand_rows import Accounts
from tests.strand_builders import action, close, history, key


@pytest.fixture
def own_engine(fresh_database: str) -> Iterator[Engine]:
    engine = create_engine(fresh_database)
    yield engine
    engine.dispose()


def balance(connection: Connection) -> Accounts:
    found = strand_rows.accounts(connection)
    view = connection.execute(sa.text("SELECT * FROM strand_accounts")).one()
    assert found == Accounts(*view)
    assert found.balanced
    return found


def test_appending_counts_new_strands_and_skips_those_that_were_sent_before(
    connection: Connection,
) -> None:
    assert strand_rows.append(connection, [action(), close()]) == 2
    assert strand_rows.append(connection, [close(), action(), action("t2")]) == 1
    assert strand_rows.append(connection, [action("t3"), action("t3")]) == 1
    assert balance(connection) == Accounts(4, 0, 0, 0, 4)


def test_the_same_key_with_other_content_is_kept_as_a_conflict(connection: Connection) -> None:
    strand_rows.append(connection, [close(name="k"), close(name="k", r_multiple=9.0)])
    first, second = strand_rows.read_pending(connection, 10)
    assert first.conflicts_with is None
    assert second.conflicts_with == key("k")


def test_content_that_is_no_json_for_the_database_is_kept_as_bytes(connection: Connection) -> None:
    hostile = [
        action(name=str(i), note=note)
        for i, note in enumerate([float("nan"), "nul\0", "\ud800", {1, 2}, 10**5000])
    ]
    assert strand_rows.append(connection, hostile) == len(hostile)
    assert [strand.content for strand in strand_rows.read_pending(connection, 10)] == [None] * 5
    kept = connection.execute(sa.text("SELECT raw FROM ad_strands ORDER BY id")).scalars().all()
    assert b"NaN" in kept[0]
    assert b"nul\\u0000" in kept[1]


def test_appended_strands_are_committed_with_their_connection(own_engine: Engine) -> None:
    with own_engine.connect() as connection:
        strand_rows.append(connection, [action()])
        connection.commit()
        strand_rows.append(connection, [close()])
        connection.rollback()
    with own_engine.connect() as connection:
        assert balance(connection).strands == 1


def test_what_was_appended_comes_back_whole(connection: Connection) -> None:
    sent = close(position_id="p", regime={"macro_phase": "Dip"}, symbol="Ünïcode 🚀")
    strand_rows.append(connection, [sent])
    (found,) = strand_rows.read_pending(connection, 10)
    assert (found.strand_key, found.kind, found.trade_id, found.position_id) == (
        sent.strand_key, "position_closed", "t1", "p",
    )  # fmt: skip
    assert "Ünïcode 🚀" in str(found.content)
    assert found.regime_context == '{"macro_phase": "Dip"}'


def test_settled_strands_are_pending_no_more(connection: Connection) -> None:
    strand_rows.append(connection, [action(str(i)) for i in range(4)])
    strands = strand_rows.read_pending(connection, 3)
    assert len(strands) == 3
    verdicts = [
        Verdict(strands[0].id, "ingested"),
        Verdict(strands[1].id, "quarantined", "why"),
        Verdict(strands[2].id, "ignored", "not ours"),
    ]
    assert strand_rows.settle(connection, verdicts) == 3
    assert [s.trade_id for s in strand_rows.read_pending(connection, 10)] == ["3"]
    assert balance(connection) == Accounts(4, 1, 1, 1, 1)


def test_only_a_quarantined_strand_is_decided_again_and_its_attempts_are_counted(
    connection: Connection,
) -> None:
    strand_rows.append(connection, [action("a"), action("b"), action("c")])
    one, two, three = (strand.id for strand in strand_rows.read_pending(connection, 10))
    first = [
        Verdict(one, "ingested"), Verdict(two, "quarantined", "x"), Verdict(three, "ignored", "y"),
    ]  # fmt: skip
    strand_rows.settle(connection, first)
    assert [s.id for s in strand_rows.read_quarantined(connection, 10)] == [two]
    again = [Verdict(i, "ingested") for i in (one, two, three)]
    assert strand_rows.settle(connection, again) == 1
    rows = connection.execute(
        sa.text("SELECT status, attempts FROM strand_ledger ORDER BY strand_id")
    )
    assert [tuple(row) for row in rows] == [("ingested", 1), ("ingested", 2), ("ignored", 1)]
    assert strand_rows.read_quarantined(connection, 10) == []


def test_pending_strands_come_in_order_and_above_the_low_water(connection: Connection) -> None:
    strands = history(20, seed=3)
    strand_rows.append(connection, strands)
    ids = [strand.id for strand in strand_rows.read_pending(connection, 1000)]
    assert ids == sorted(ids)
    assert len(ids) == len(strands)
    above = strand_rows.read_pending(connection, 1000, ids[9])
    assert [strand.id for strand in above] == ids[10:]


def test_two_workers_never_hold_the_same_trade_and_neither_waits(own_engine: Engine) -> None:
    with own_engine.begin() as connection:
        strand_rows.append(connection, history(100, seed=5))
    with own_engine.begin() as one, own_engine.begin() as two:
        one.execute(sa.text("SET LOCAL lock_timeout = '1ms'"))
        two.execute(sa.text("SET LOCAL lock_timeout = '1ms'"))
        mine = strand_rows.read_pending(one, 60)
        yours = strand_rows.read_pending(two, 60)
        assert len(mine) == 60
        assert len(yours) > 30  # a few trades share a lock with one of mine
        assert {s.trade_id for s in mine}.isdisjoint({s.trade_id for s in yours})
    with own_engine.begin() as three:
        assert strand_rows.read_pending(three, 60) == mine


@pytest.mark.parametrize(
    ("meanwhile", "left"), [([0], [1]), ([0, 1], [2]), ([0, 1, 2], [])], ids=str
)
def test_strands_that_were_settled_between_search_and_lock_are_not_read_again(
    own_engine: Engine, monkeypatch: pytest.MonkeyPatch, meanwhile: list[int], left: list[int]
) -> None:
    with own_engine.begin() as connection:
        strand_rows.append(connection, [action("a"), action("b"), action("c")])
        ids = [strand.id for strand in strand_rows.read_pending(connection, 10)]
    search = strand_rows._claim

    def overtaken(*args: Any, **options: Any) -> list[int]:
        found = search(*args, **options)
        with own_engine.begin() as other:
            strand_rows.settle(other, [Verdict(ids[i], "ignored", "x") for i in meanwhile])
        return found

    monkeypatch.setattr(strand_rows, "_claim", overtaken)
    with own_engine.begin() as connection:
        found = [strand.id for strand in strand_rows.read_pending(connection, 2)]
    assert found == [ids[i] for i in left]


def test_the_low_water_stays_well_behind_the_newest_settled_strand(connection: Connection) -> None:
    assert strand_rows.low_water(connection) == 0
    strand_rows.append(connection, [action(str(i)) for i in range(5)])
    newest = strand_rows.read_pending(connection, 10)[-1].id
    strand_rows.settle(connection, [Verdict(newest, "ingested")])
    assert strand_rows.low_water(connection, margin=3) == max(newest - 3, 0)


def test_only_ingested_closes_are_read(connection: Connection) -> None:
    strand_rows.append(connection, [close("a"), close("b"), close("c"), action("a")])
    pending = strand_rows.read_pending(connection, 10)
    by_trade = {s.trade_id: s for s in pending if s.kind == "position_closed"}
    strand_rows.settle(
        connection,
        [Verdict(by_trade["a"].id, "ingested"), Verdict(by_trade["b"].id, "quarantined", "x")],
    )
    wanted = [("bot-a", "live", trade) for trade in ("a", "b", "c", "d")]
    found = strand_rows.read_closes(connection, wanted)
    assert found == [by_trade["a"]]
    assert strand_rows.read_closes(connection, []) == []
