"""What size did to a trade: the product of its overrides, at its own outcome and money."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Connection

from jobs.ingest_strands import ingest_batch
from learning.settings import Settings
from learning.store import application_rows, strand_rows
from learning.store.applied_size_rows import read_sized_trades
from learning.store.schema import ORIGINS
from tests.jobs.test_measure_effects import LESSON, application
from tests.learning.store.stored_lessons import store_lesson
from tests.strand_builders import action, close

SIZED = {"size_mult": 1.1}


def close_trades(connection: Connection, *trades: tuple[str, dict[str, object]]) -> None:
    strands = [one for name, told in trades for one in (action(name), close(name, **told))]
    strand_rows.append(connection, strands)
    ingest_batch(connection, strand_rows.read_pending(connection, 1000), Settings())


def test_a_trade_counts_once_at_the_clamped_product_of_its_overrides(
    connection: Connection,
) -> None:
    first, second = (store_lesson(connection, "active", **LESSON) for _ in range(2))
    close_trades(
        connection,
        ("t1", {"r_multiple": 2.0, "pnl_amount": 44.0, "currency": "USDT"}),
        ("t2", {"r_multiple": -1.0}),
        ("t3", {"r_multiple": 5.0}),
    )
    size = {"levers": {"size_mult": 1.1}}
    application_rows.append(
        connection,
        [
            application(first, "t1", **size),
            application(first, "t1", hours=1, levers={"size_mult": 0.7}),
            application(first, "t2", **size),
            application(second, "t2", levers={"size_mult": 1.25}),
            application(first, "t3", levers={"trail_mult": 1.5}),
        ],
    )
    found = read_sized_trades(connection, outcome="r_multiple", origins=ORIGINS)
    assert {one.trade_id: one.multiplier for one in found} == pytest.approx({"t1": 1.1, "t2": 1.3})
    told = {one.trade_id: one for one in found}
    assert told["t1"].rr == 2.0
    assert told["t1"].effect_amount == pytest.approx(4.0)  # 44 at 1.1 times, 40 at base size
    assert told["t2"].effect_amount is None


def test_size_is_of_the_trade_of_its_own_origin(connection: Connection) -> None:
    lesson_id = store_lesson(connection, "active", **LESSON)
    for origin, rr in (("live", 2.0), ("dry_run", -1.0)):
        sent = [action("t1", name=origin), close("t1", name=f"{origin} c", r_multiple=rr)]
        strand_rows.append(connection, [replace(one, origin=origin) for one in sent])
    ingest_batch(connection, strand_rows.read_pending(connection, 1000), Settings())
    application_rows.append(connection, [application(lesson_id, "t1", levers=SIZED)])
    [found] = read_sized_trades(connection, outcome="r_multiple", origins=ORIGINS)
    assert (found.rr, found.multiplier) == (2.0, 1.1)


def test_an_add_that_was_sized_is_not_taken_for_the_whole_trade(connection: Connection) -> None:
    added = store_lesson(connection, "active", **LESSON)
    close_trades(
        connection,
        ("t1", {"r_multiple": 2.0, "pnl_amount": 1000.0, "currency": "USDT"}),
        ("t2", {"r_multiple": 2.0, "pnl_amount": 1100.0, "currency": "USDT"}),
    )
    an_add = {"action_category": "add", "levers": {"size_mult": 1.3}}
    application_rows.append(
        connection,
        [
            application(added, "t1", **an_add),
            application(added, "t2", **an_add),
            application(store_lesson(connection, "active", **LESSON), "t2", levers=SIZED),
        ],
    )
    found = read_sized_trades(connection, outcome="r_multiple", origins=ORIGINS)
    assert [(one.trade_id, one.multiplier) for one in found] == [("t2", 1.1)]
    assert found[0].effect_amount == pytest.approx(100.0)


def test_trades_of_another_setup_are_left_out(connection: Connection) -> None:
    lesson_id = store_lesson(connection, "active", **LESSON)
    close_trades(connection, ("t1", {"r_multiple": 2.0}))
    application_rows.append(connection, [application(lesson_id, "t1", levers={"size_mult": 1.1})])
    asked = {"outcome": "r_multiple", "origins": ORIGINS}
    assert len(read_sized_trades(connection, **asked, module="pm")) == 1
    assert read_sized_trades(connection, **asked, pattern_key="pm.a.b.c") == []
    with pytest.raises(ValueError, match="outcome must be one of"):
        read_sized_trades(connection, outcome="luck", origins=ORIGINS)
