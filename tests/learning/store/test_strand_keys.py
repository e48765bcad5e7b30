from __future__ import annotations

import hashlib
import random
import threading
from uuid import UUID, uuid4

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, make_url
from sqlalchemy.exc import IntegrityError

from learning.events.strands import Strand
from learning.store import strand_rows
from learning.store.database import create_engine, transaction
from learning.store.schema import ad_strands, strand_ledger


def strand(content: object = None, **changes: object) -> Strand:
    given = {
        "strand_key": UUID(int=1), "kind": "pm_action", "module": "pm", "bot": "b",
        "origin": "live", "content": {"a": 1} if content is None else content, "trade_id": "t1",
        **changes,
    }  # fmt: skip
    return Strand(**given)  # type: ignore[arg-type]


def stored(connection: Connection) -> list[sa.Row]:
    return list(connection.execute(sa.select(ad_strands).order_by(ad_strands.c.id)))


def test_a_strand_sent_twice_is_stored_once(connection: Connection) -> None:
    assert [strand_rows.append(connection, [strand()]) for _ in range(3)] == [1, 0, 0]
    assert len(stored(connection)) == 1


def test_a_strand_twice_in_one_batch_is_stored_once(connection: Connection) -> None:
    assert strand_rows.append(connection, [strand(), strand(), strand()]) == 1


def test_content_is_the_same_whatever_the_order_of_its_keys(connection: Connection) -> None:
    strand_rows.append(connection, [strand({"a": 1, "bb": {"x": 1, "y": 2}})])
    assert strand_rows.append(connection, [strand({"bb": {"y": 2, "x": 1}, "a": 1})]) == 0


@pytest.mark.parametrize(
    "other",
    [
        strand({"a": 2}), strand(kind="position_closed"), strand(module="dm"), strand(bot="c"),
        strand(origin="dry_run"), strand(trade_id=None), strand(position_id="p"),
        strand(regime_context={"macro_phase": "Dip"}), strand(content={"a": float("nan")}),
    ],
)  # fmt: skip
def test_the_same_key_with_anything_else_is_kept_as_one_conflict(
    connection: Connection, other: Strand
) -> None:
    assert strand_rows.append(connection, [strand()]) == 1
    assert [strand_rows.append(connection, [other]) for _ in range(3)] == [1, 0, 0]
    assert strand_rows.append(connection, [strand()]) == 0
    first, conflict = stored(connection)
    assert (first.strand_key, first.conflicts_with) == (UUID(int=1), None)
    assert conflict.conflicts_with == UUID(int=1)
    assert conflict.strand_key not in (UUID(int=1), None)


def test_two_different_conflicts_are_both_kept(connection: Connection) -> None:
    batch = [strand({"a": i}) for i in (1, 2, 3, 2, 3, 1)]
    assert strand_rows.append(connection, batch) == 3
    assert [row.content["a"] for row in stored(connection)] == [1, 2, 3]


def test_what_is_no_json_is_told_apart_by_its_bytes(connection: Connection) -> None:
    broken, other = strand({"a": float("nan")}), strand({"a": float("inf")})
    assert strand_rows.append(connection, [broken, broken, other]) == 2


def test_the_hash_is_sha256_of_what_the_writer_said(connection: Connection) -> None:
    strand_rows.append(connection, [strand(position_id="p1")])
    said = b'["pm_action", "pm", "b", "live", "p1", "t1", {"a": 1}, null]'
    assert stored(connection)[0].content_hash == hashlib.sha256(said).digest()


def test_a_writer_cannot_choose_the_hash_or_the_conflict(connection: Connection) -> None:
    row = {
        "strand_key": uuid4(), "kind": "pm_action", "module": "pm", "bot": "b", "origin": "live",
        "content": {}, "content_hash": b"mine", "conflicts_with": uuid4(),
    }  # fmt: skip
    connection.execute(sa.insert(ad_strands).values(row))
    (found,) = stored(connection)
    assert (len(found.content_hash), found.conflicts_with) == (32, None)


def test_retries_in_any_order_leave_each_strand_once(connection: Connection) -> None:
    rng = random.Random(11)
    strands = [strand({"i": i}, strand_key=UUID(int=i + 1)) for i in range(1000)]
    sent = [one for one in strands for _ in range(rng.randint(1, 3))]
    rng.shuffle(sent)
    for start in range(0, len(sent), 300):
        strand_rows.append(connection, sent[start : start + 300])
    assert sorted(row.content["i"] for row in stored(connection)) == list(range(1000))
    assert all(row.conflicts_with is None for row in stored(connection))


def test_two_writers_of_one_key_at_once_lose_nothing(fresh_database: str) -> None:
    engine = create_engine(fresh_database)
    refused: list[Exception] = []

    def write_the_other() -> None:
        try:
            with transaction(engine) as connection:
                strand_rows.append(connection, [strand({"a": 2})])
        except (IntegrityError, psycopg.IntegrityError) as error:
            refused.append(error)

    with transaction(engine) as connection:
        strand_rows.append(connection, [strand()])
        second = threading.Thread(target=write_the_other)
        second.start()
        second.join(0.3)
        assert second.is_alive()  # it waits to see whether the first one commits
    second.join()
    assert len(refused) == 1  # told, so that it sends again
    with transaction(engine) as connection:
        assert strand_rows.append(connection, [strand({"a": 2})]) == 1
        assert [row.content["a"] for row in stored(connection)] == [1, 2]
    engine.dispose()


def test_closes_are_announced_once_a_transaction_and_actions_not_at_all(
    fresh_database: str,
) -> None:
    engine = create_engine(fresh_database)
    plain = make_url(fresh_database).set(drivername="postgresql").render_as_string(False)
    with psycopg.connect(plain, autocommit=True) as listener:
        listener.execute("LISTEN edgekeeper_strands")
        with transaction(engine) as connection:
            strand_rows.append(connection, [strand(strand_key=uuid4()) for _ in range(3)])
        with transaction(engine) as connection:
            closes = [strand(strand_key=uuid4(), kind="position_closed") for _ in range(5)]
            strand_rows.append(connection, closes)
        with transaction(engine) as connection:
            strand_rows.append(connection, closes)  # known already
            connection.execute(sa.text("NOTIFY edgekeeper_strands, 'the end'"))
        heard = [note.payload for note in listener.notifies(timeout=10, stop_after=2)]
    assert heard == ["", "the end"]
    engine.dispose()


def test_a_bot_finds_the_actions_of_its_trade(connection: Connection) -> None:
    strands = [
        strand({"a": 1}), strand({"a": 2}),  # the second is a conflict
        strand({"a": 3}, strand_key=UUID(int=3)),
        strand({"a": 4}, strand_key=UUID(int=4), trade_id="t2"),
        strand({"a": 5}, strand_key=UUID(int=5), bot="c"),
        strand({"a": 6}, strand_key=UUID(int=6), kind="position_closed"),
    ]  # fmt: skip
    strand_rows.append(connection, strands)
    found = connection.execute(sa.text("SELECT content FROM actions_of_trade('b', 't1')")).scalars()
    assert [content["a"] for content in found] == [1, 3]


def test_every_strand_is_in_one_account(connection: Connection) -> None:
    strand_rows.append(connection, [strand(strand_key=uuid4()) for _ in range(7)])
    ids = [row.id for row in stored(connection)]
    statuses = ["ingested", "ingested", "ingested", "quarantined", "ignored"]
    for strand_id, status in zip(ids, statuses, strict=False):
        reason = None if status == "ingested" else "said why"
        connection.execute(
            sa.insert(strand_ledger).values(strand_id=strand_id, status=status, reason=reason)
        )
    accounts = connection.execute(sa.text("SELECT * FROM strand_accounts")).one()
    assert accounts._asdict() == {
        "strands": 7, "ingested": 3, "quarantined": 1, "ignored": 1, "pending": 2,
    }  # fmt: skip


def test_the_look_by_key_never_scans_the_inbox_not_even_one_that_was_empty(
    fresh_database: str,
) -> None:
    engine = create_engine(fresh_database)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("VACUUM ANALYZE ad_strands"))  # now it is known to be empty
    with transaction(engine) as connection:
        strand_rows.append(connection, [strand(strand_key=uuid4()) for _ in range(50)])
        scans, looks = connection.execute(
            sa.text(
                "SELECT seq_scan, idx_scan FROM pg_stat_xact_user_tables"
                " WHERE relname = 'ad_strands'"
            )
        ).one()
    assert (scans, looks) == (0, 50)
    engine.dispose()
