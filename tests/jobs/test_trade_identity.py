"""A trade is known by bot, origin, trade_id and position: no outcome is another trade's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from jobs.ingest_strands import derive_again, ingest_strands, redrive_quarantined
from learning.events.strands import Strand
from learning.settings import Settings
from learning.store import event_rows, strand_rows, validation_rows
from learning.store.database import create_engine, migrate, undo_migrations
from tests.strand_builders import action, close

SETTINGS = Settings()
EVENTS = """
    SELECT origin, position_id, pattern_key, action_category, seq, r_multiple
    FROM pattern_trade_events ORDER BY origin, position_id, pattern_key, action_category, seq
"""
KEY = "pm.uptrend.S1.buy_flag"


@pytest.fixture
def own_engine(fresh_database: str) -> Iterator[Engine]:
    engine = create_engine(fresh_database)
    yield engine
    with engine.connect() as connection:
        checks = {check.name: check for check in validation_rows.run_checks(connection)}
        assert checks["every trade is closed once"].state == "ok"
    engine.dispose()


def take_in(engine: Engine, *strands: Strand) -> None:
    with engine.begin() as connection:
        strand_rows.append(connection, strands)
    ingest_strands(engine, SETTINGS)


def events(engine: Engine) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(EVENTS))]


def refused(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        query = "SELECT reason FROM strand_ledger WHERE status <> 'ingested'"
        return list(connection.execute(sa.text(query)).scalars())


def of(origin: str, *strands: Strand) -> list[Strand]:
    return [replace(strand, origin=origin) for strand in strands]


def test_a_dry_run_beside_a_live_bot_of_the_same_name_are_two_trades(own_engine: Engine) -> None:
    dry = of("dry_run", action(name="d"), close(name="dc", r_multiple=2.0))
    live = of("live", action(name="l"), close(name="lc", r_multiple=-1.0))
    take_in(own_engine, *dry)
    take_in(own_engine, *live)
    assert events(own_engine) == [
        ("dry_run", None, KEY, "entry", 0, 2.0),
        ("live", None, KEY, "entry", 0, -1.0),
    ]
    assert refused(own_engine) == []


def test_each_position_of_a_trade_has_its_own_outcome_in_whatever_order_they_arrive(
    own_engine: Engine,
) -> None:
    strands = [
        action(position_id="P1", name="a1"),
        action(position_id="P2", name="a2", hours=1),
        close(name="c1", position_id="P1", r_multiple=1.5),
        close(name="c2", position_id="P2", r_multiple=-1.0),
    ]
    for number, order in enumerate(permutations(strands)):
        for strand in order:
            name = f"t{number}"
            content = {**strand.content, "trade_id": name}
            again = action(name=f"{number}/{strand.strand_key}").strand_key
            take_in(own_engine, replace(strand, trade_id=name, content=content, strand_key=again))
    n = number + 1
    assert events(own_engine) == [
        *[("live", "P1", KEY, "entry", 0, 1.5)] * n,
        *[("live", "P2", KEY, "entry", 0, -1.0)] * n,
    ]
    assert refused(own_engine) == []


def test_an_action_that_names_no_position_belongs_to_each(own_engine: Engine) -> None:
    take_in(
        own_engine,
        action(name="a"),
        close(name="c1", position_id="P1", r_multiple=1.5),
        close(name="c2", position_id="P2", r_multiple=-1.0),
    )
    assert events(own_engine) == [
        ("live", "P1", KEY, "entry", 0, 1.5),
        ("live", "P2", KEY, "entry", 0, -1.0),
    ]


def test_a_backtest_recorded_again_with_a_renamed_tag_gets_nothing_of_the_first_run(
    own_engine: Engine,
) -> None:
    def run(number: int, tag: str, rr: float) -> list[Strand]:
        position, pattern = f"backtest run {number}", f"pm.strat.long.{tag}"
        return of(
            "backtest",
            action(pattern=pattern, position_id=position, name=f"a{number}"),
            close(position_id=position, name=f"c{number}", r_multiple=rr),
        )

    take_in(own_engine, *run(1, "old_tag", 3.0))
    take_in(own_engine, *run(2, "new_tag", -1.0))
    assert events(own_engine) == [
        ("backtest", "backtest run 1", "pm.strat.long.old_tag", "entry", 0, 3.0)
    ]
    [reason] = refused(own_engine)
    assert "a re-run of a backtest is not more evidence" in reason
    redrive_quarantined(own_engine, SETTINGS)
    assert len(events(own_engine)) == 1


def test_deriving_a_trade_again_keeps_the_events_of_all_its_positions(own_engine: Engine) -> None:
    take_in(
        own_engine,
        action(position_id="P1", name="a1"), action(position_id="P2", name="a2"),
        close(name="c1", position_id="P1"), close(name="c2", position_id="P2", r_multiple=-1.0),
        *of("dry_run", action(name="d"), close(name="dc", r_multiple=2.0)),
    )  # fmt: skip
    before = events(own_engine)
    with own_engine.begin() as connection:
        derive_again(connection, [("bot-a", "live", "t1")], SETTINGS)
    assert events(own_engine) == before
    assert len(before) == 3


def test_the_migration_leaves_each_trade_its_own_actions_and_what_candles_told_of_it(
    own_engine: Engine,
) -> None:
    """Before it, the entry of a live trade stood first in the dry run of the same name."""
    take_in(own_engine, *of("dry_run", action(name="d"), close(name="dc", position_id="P1")))
    take_in(own_engine, action(name="l"))
    undo_migrations(own_engine, revision="0023")
    told = [name for name in event_rows._EVENT_COLUMNS if name not in ("action_strand_id", "seq")]
    with own_engine.begin() as connection:
        connection.execute(sa.text("UPDATE pattern_trade_events SET seq = 1"))
        connection.execute(
            sa.text(
                f"INSERT INTO pattern_trade_events ({', '.join(told)}, action_strand_id, seq) "
                f"SELECT {', '.join(told)}, (SELECT id FROM ad_strands WHERE origin = 'live'), 0 "
                "FROM pattern_trade_events"
            )
        )
        connection.execute(
            sa.text(
                "INSERT INTO trade_contexts (bot, trade_id, scope, no_path_reason) VALUES "
                "('bot-a', 't1', '{}', 'its market has no candles'), ('bot-a', 'gone', '{}', 'x')"
            )
        )
    migrate(own_engine)
    assert events(own_engine) == [("dry_run", "P1", KEY, "entry", 0, 1.5)]
    with own_engine.begin() as connection:
        kept = connection.execute(sa.text("SELECT origin, position_id FROM trade_contexts")).all()
        changed = connection.execute(sa.text("SELECT pattern_key FROM scope_group_changes")).all()
    assert kept == [("dry_run", "P1")]
    assert (KEY,) in changed  # its statistics are made anew
    undo_migrations(own_engine, revision="0023")
    migrate(own_engine)
