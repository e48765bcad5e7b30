"""Filling from candles: gaps only, whatever came first, and kept by every later derivation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from jobs.commands.context import sentences
from jobs.fill_contexts import fill_contexts
from jobs.ingest_strands import ingest_strands
from learning.errors import ImportRefused
from learning.events.strands import Strand
from learning.importers.candle_files import CandleLibrary, open_candles
from learning.settings import Settings
from learning.store import event_rows, strand_rows
from learning.store.database import create_engine
from tests.strand_builders import START, action, close

SETTINGS = Settings(batch_size=5)
EVENTS = """
    SELECT trade_id, action_category, scope, filled, mfe_r, mae_r, payback_hours, rr_path,
        missed_entry_rr, missed_exit_rr, time_efficiency, acted_at
    FROM pattern_trade_events ORDER BY trade_id, action_category, seq
"""


@pytest.fixture
def engine(fresh_database: str) -> Iterator[Engine]:
    made = create_engine(fresh_database)
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> CandleLibrary:
    folder = tmp_path_factory.mktemp("candles")
    hours = 24 * 60
    close = 100.0 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.01, hours)))
    frame = pd.DataFrame(
        {
            "date": pd.date_range(START - timedelta(days=40), periods=hours, freq="h"),
            "high": close * 1.01,
            "low": close * 0.99,
            "close": close,
            "volume": 1.0,
        }
    )
    frame.to_csv(folder / "BTC_USDT-1h.csv", index=False)
    return open_candles([folder])


def trade(name: str, *, hours: int = 6, **summary: Any) -> list[Strand]:
    said = {
        "symbol": "BTC/USDT",
        "side": "long",
        "opened_at": START.isoformat(),
        "closed_at": (START + timedelta(hours=hours)).isoformat(),
        "entry_price": 100.0,
        "exit_price": 101.0,
        "initial_stop": 95.0,
        "return_pct": 1.0,
        **summary,
    }
    listed = {"pattern_key": "pm.a.b.c", "action_category": "entry", "scope": {"timeframe": "1h"}}
    closed = close(name, completed=[listed], **said)
    return [action(name, pattern="pm.a.b.c", scope={"timeframe": "1h", "bucket": "mid"}), closed]


def send(engine: Engine, strands: list[Strand]) -> None:
    with engine.begin() as connection:
        strand_rows.append(connection, strands)


def events(engine: Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row._mapping) for row in connection.execute(sa.text(EVENTS))]


def test_each_position_of_a_trade_and_each_origin_has_its_own_path(
    engine: Engine, library: CandleLibrary
) -> None:
    entry, short = trade("a")
    _, long = trade("a", hours=400)
    parts = [replace(short, position_id="P1"), replace(long, position_id="P2", strand_key=uuid4())]
    dry = [replace(one, origin="dry_run", strand_key=uuid4()) for one in trade("a", hours=300)]
    send(engine, [entry, *parts, *dry])
    ingest_strands(engine, SETTINGS)
    filled = fill_contexts(engine, SETTINGS, library)
    assert (filled.trades, filled.changed, filled.events) == (3, 3, 3)
    assert len({one["missed_exit_rr"] for one in events(engine)}) == 3
    with engine.connect() as connection:
        details = event_rows.read_action_details(
            connection, "pm", ("pm.a.b.c", "entry"), origins=["live", "dry_run"]
        )
    assert len(details.trade) == 3
    assert np.isfinite(details.exit_gap_days).all()
    assert fill_contexts(engine, SETTINGS, library).changed == 0


def test_gaps_are_filled_and_what_the_source_said_stays(
    engine: Engine, library: CandleLibrary
) -> None:
    send(engine, [*trade("bare"), *trade("told", mfe_r=7.0, max_drawdown_pct=50.0)])
    ingest_strands(engine, SETTINGS)
    bare, said = events(engine)
    assert bare["mfe_r"] is None
    filled = fill_contexts(engine, SETTINGS, library)
    assert (filled.trades, filled.changed, filled.events, filled.with_path) == (2, 2, 2, 2)
    bare, said = events(engine)
    assert bare["mfe_r"] > 0 or bare["mae_r"] < 0
    assert said["mfe_r"] == 7.0
    assert (bare["rr_path"] is not None, said["rr_path"]) == (True, 0.02)
    assert {"mfe_r", "mae_r", "max_drawdown_pct", "macro_phase", "session"} <= set(bare["filled"])
    assert "mfe_r" not in said["filled"]
    assert said["mae_r"] == bare["mae_r"]
    assert bare["scope"]["bucket"] == "mid"
    assert bare["scope"]["session"] == "europe"  # noon UTC


def test_twice_changes_nothing(engine: Engine, library: CandleLibrary) -> None:
    send(engine, trade("t"))
    ingest_strands(engine, SETTINGS)
    fill_contexts(engine, SETTINGS, library)
    with engine.connect() as connection:
        before = connection.execute(
            sa.text("SELECT id, xmin::text FROM pattern_trade_events")
        ).all()
    again = fill_contexts(engine, SETTINGS, library)
    assert (again.trades, again.changed, again.events) == (1, 0, 0)
    with engine.connect() as connection:
        after = connection.execute(sa.text("SELECT id, xmin::text FROM pattern_trade_events")).all()
    assert after == before


def test_whatever_comes_first_the_events_are_the_same(
    engine: Engine, library: CandleLibrary, new_database: Any
) -> None:
    strands = [one for i in range(7) for one in trade(f"t{i}", hours=3 + i)]
    send(engine, strands)
    ingest_strands(engine, SETTINGS)
    fill_contexts(engine, SETTINGS, library)
    other = create_engine(new_database())
    send(other, strands[1::2])  # the closes first, their actions after the candles
    assert fill_contexts(other, SETTINGS, library).changed == 7
    ingest_strands(other, SETTINGS)
    send(other, strands[::2])
    ingest_strands(other, SETTINGS)
    assert events(other) == events(engine)
    assert all(row["filled"] for row in events(engine))
    other.dispose()


def test_a_late_action_keeps_what_was_filled(engine: Engine, library: CandleLibrary) -> None:
    send(engine, trade("t"))
    ingest_strands(engine, SETTINGS)
    fill_contexts(engine, SETTINGS, library)
    before = events(engine)[0]
    send(engine, [action("t", "add", pattern="pm.a.b.c", hours=2)])
    ingest_strands(engine, SETTINGS)
    added, entry = events(engine)
    assert entry == before
    assert added["filled"]
    assert added["mfe_r"] == entry["mfe_r"]


def test_the_inbox_is_left_as_it_was(engine: Engine, library: CandleLibrary) -> None:
    query = sa.text(
        "SELECT s.*, l.* FROM ad_strands s LEFT JOIN strand_ledger l ON l.strand_id = s.id"
    )
    send(engine, trade("t"))
    ingest_strands(engine, SETTINGS)
    with engine.connect() as connection:
        before = connection.execute(query).all()
    fill_contexts(engine, SETTINGS, library)
    with engine.connect() as connection:
        assert connection.execute(query).all() == before


def test_a_trade_with_adds_gets_no_drawdown_below_an_average_that_moved(
    engine: Engine, library: CandleLibrary
) -> None:
    listed = [
        {"pattern_key": "pm.a.b.c", "action_category": kind, "scope": {}}
        for kind in ("entry", "add")
    ]
    summary = trade("t")[1].content["trade_summary"]
    send(engine, [close("t", completed=listed, **summary)])
    ingest_strands(engine, SETTINGS)
    fill_contexts(engine, SETTINGS, library)
    for row in events(engine):
        assert row["rr_path"] is None
        assert row["mfe_r"] is not None


def test_what_could_not_be_told_is_counted_by_its_reason(
    engine: Engine, library: CandleLibrary
) -> None:
    send(engine, [*trade("far", symbol="SOL/USDT"), *trade("near"), *trade("odd", side=None)])
    filled = fill_contexts(engine, SETTINGS, library)
    assert filled.no_path == {
        "its market has no candles": 1,
        "its source names no side or no entry price": 1,
    }
    said = "\n".join(sentences(filled))
    assert (
        "3 closed trades: 3 with the phases of BTC/USDT (3), 0 with a bucket, 1 with their" in said
    )
    assert "no path: 1 trade, its market has no candles" in said


def test_a_reference_that_is_not_there_is_refused(engine: Engine, library: CandleLibrary) -> None:
    with pytest.raises(
        ImportRefused, match="no candles of the reference 'SPY'; there are: BTC/USDT"
    ):
        fill_contexts(engine, SETTINGS, library, reference="SPY")


def test_without_trades_it_says_where_they_come_from(
    engine: Engine, library: CandleLibrary
) -> None:
    assert sentences(fill_contexts(engine, SETTINGS, library)) == [
        "No closed trades yet: ./run import brings them."
    ]
