from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from sqlalchemy import make_url

from learning.bot.recorder import Recorder, start_recorder
from learning.domain.scope import DEFAULT_DIMENSIONS
from learning.events.strands import ActionStrand, ClosedTrade, StoredStrand, parse_strand

KEY = "pm.uptrend.S1.buy_flag"
OPENED = datetime(2026, 3, 1, 12, tzinfo=UTC)
SUMMARY = {
    "opened_at": OPENED,
    "closed_at": datetime(2026, 3, 2, 12, tzinfo=UTC),
    "r_multiple": 1.5,
}
AWAY = "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1"


@pytest.fixture
def database(fresh_database: str) -> Iterator[psycopg.Connection[Any]]:
    plain = make_url(fresh_database).set(drivername="postgresql")
    with psycopg.connect(
        plain.render_as_string(hide_password=False), autocommit=True
    ) as connection:
        yield connection


def recorder(url: str, folder: Path) -> Recorder:
    return start_recorder(url, bot="bot-a", origin="dry_run", spool=folder / "bot-a.jsonl")


def record_entry(bot: Recorder, trade_id: str = "T-1", **changes: Any) -> object:
    return bot.record_action(
        trade_id=trade_id,
        **{
            "pattern_key": KEY,
            "decision_type": "E1",
            "scope": {"bucket": "micro", "timeframe": "1h"},
            "signals_seen": {"TS": 0.6},
            "applied_knobs": {"trim_delay": 3},
            "ts": OPENED,
            **changes,
        },
    )


def strands(database: psycopg.Connection[Any]) -> list[ActionStrand | ClosedTrade]:
    rows = database.execute(
        "SELECT id, strand_key, kind, module, bot, origin, position_id, trade_id, content::text, "
        "regime_context::text, conflicts_with FROM ad_strands ORDER BY id"
    ).fetchall()
    return [parse_strand(StoredStrand(*row), dims=DEFAULT_DIMENSIONS) for row in rows]


def n_strands(database: psycopg.Connection[Any]) -> int:
    return database.execute("SELECT count(*) FROM ad_strands").fetchone()[0]


def eventually(holds: Callable[[], bool], *, within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_an_action_and_its_close_arrive_as_the_ingestion_reads_them(
    fresh_database, database, tmp_path
):
    bot = recorder(fresh_database, tmp_path)
    key = record_entry(bot, position_id="P-1")
    bot.record_position_closed(trade_id="T-1", trade_summary=SUMMARY, position_id="P-1")
    bot.stop()
    action, close = strands(database)
    assert isinstance(action, ActionStrand)
    assert isinstance(close, ClosedTrade)
    assert (action.strand_key, action.bot, action.origin) == (key, "bot-a", "dry_run")
    assert (action.pattern_key, action.action_category, action.decision_type) == (
        KEY, "entry", "E1",
    )  # fmt: skip
    assert action.scope == {"bucket": "micro", "timeframe": "1h"}
    assert action.controls == {"signals": {"TS": 0.6}, "applied_knobs": {"trim_delay": 3}}
    assert action.acted_at == OPENED
    (done,) = close.actions
    assert (done.pattern_key, done.action_category, done.provenance) == (
        KEY, "entry", "own_fields",
    )  # fmt: skip
    assert (done.scope, done.controls) == (action.scope, action.controls)
    assert close.summary.r_multiple == 1.5


def test_a_pattern_may_be_given_by_its_parts(fresh_database, database, tmp_path):
    bot = recorder(fresh_database, tmp_path)
    parts = {"pattern_key": None, "family": "uptrend", "state": "S1", "motif": "buy_flag"}
    record_entry(bot, **parts)
    bot.record_action(
        trade_id="T-1", module="dm", family="social", state="S0", motif="call",
        action_category="entry",
    )  # fmt: skip
    bot.stop()
    assert [found.pattern_key for found in strands(database)] == [KEY, "dm.social.S0.call"]


def test_the_bots_own_list_gets_what_its_actions_know(fresh_database, database, tmp_path):
    bot = recorder(fresh_database, tmp_path)
    record_entry(bot)
    record_entry(bot, decision_type="trim", pattern_key="pm.uptrend.S2.fade")
    bot.record_position_closed(
        trade_id="T-1",
        trade_summary=SUMMARY,
        completed_trades=[{"decision_type": "trim", "price": 2.0}, {"decision_type": "E1"}],
    )
    bot.stop()
    close = strands(database)[-1]
    assert isinstance(close, ClosedTrade)
    assert [(a.pattern_key, a.action_category) for a in close.actions] == [
        ("pm.uptrend.S2.fade", "trim"),
        (KEY, "entry"),
    ]


def test_after_a_restart_a_close_knows_the_actions_of_the_run_before(
    fresh_database, database, tmp_path
):
    before = recorder(fresh_database, tmp_path)
    record_entry(before)
    before.stop()
    after = recorder(fresh_database, tmp_path)
    after.record_position_closed(trade_id="T-1", trade_summary=SUMMARY)
    after.stop()
    close = strands(database)[-1]
    assert isinstance(close, ClosedTrade)
    assert [action.pattern_key for action in close.actions] == [KEY]


def test_what_the_database_cannot_take_now_is_delivered_later_once(
    fresh_database, database, tmp_path
):
    away = recorder(AWAY, tmp_path)
    key = record_entry(away)
    away.record_position_closed(trade_id="T-1", trade_summary=SUMMARY)
    assert eventually(lambda: away.status().n_spooled == 2)
    assert away.status().problem
    away.stop()
    spool = tmp_path / "bot-a.jsonl"
    kept = spool.read_bytes()
    assert kept.count(b"\n") == 2
    back = recorder(fresh_database, tmp_path)
    assert eventually(lambda: back.status().n_delivered == 2)
    back.stop()
    assert spool.read_bytes() == b""
    assert strands(database)[0].strand_key == key
    spool.write_bytes(kept)  # as if it had crashed between delivering and emptying the file
    again = recorder(fresh_database, tmp_path)
    again.stop()
    assert n_strands(database) == 2


def test_strands_recorded_while_the_server_is_away_arrive_when_it_is_back(
    fresh_database, database, tmp_path
):
    bot = recorder(fresh_database, tmp_path)
    name = make_url(fresh_database).database
    with database.cursor() as cursor:
        cursor.execute(f'ALTER TABLE ad_strands RENAME TO "{name}_away"')
        record_entry(bot)
        assert eventually(lambda: bot.status().n_spooled == 1)
        cursor.execute(f'ALTER TABLE "{name}_away" RENAME TO ad_strands')
    assert eventually(lambda: n_strands(database) == 1)
    bot.stop()
    assert bot.status().problem is None


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__

    @property
    def item(self) -> object:
        raise RuntimeError("no item")


def test_nothing_is_raised_and_nothing_is_lost_whatever_is_recorded(
    fresh_database, database, tmp_path
):
    loop: dict[str, object] = {}
    loop["self"] = loop
    odd = [
        {"pattern_key": "x\x00y"}, {"trade_id": "a\x00b"}, {"trade_id": "\ud800"},
        {"applied_knobs": loop}, {"applied_knobs": {"a": math.nan}}, {"scope": {"a": "\ud800"}},
        {"scope": {"a": 10**400}}, {"applied_knobs": {"a": Hostile()}}, {"ts": "yesterday"},
        {"pattern_key": None}, {"action_category": object()}, {"position_id": Hostile()},
    ]  # fmt: skip
    bot = recorder(fresh_database, tmp_path)
    for changes in odd:
        given = {"trade_id": "T-1", **changes}
        assert record_entry(bot, **given) is not None
    record_entry(bot, trade_id="good")
    bot.stop()
    assert bot.status().n_dropped == 0
    assert n_strands(database) == len(odd) + 1


def test_what_cannot_even_be_noted_is_counted(fresh_database, tmp_path):
    bot = recorder(fresh_database, tmp_path)
    assert record_entry(bot, scope=3) is None
    assert bot.record_position_closed(trade_id="T-1", trade_summary=None) is None
    assert bot.status().n_dropped == 2
    assert bot.status().problem
    bot.stop()


def test_values_of_numpy_and_absent_signals_are_understood(fresh_database, database, tmp_path):
    bot = recorder(fresh_database, tmp_path)
    record_entry(
        bot,
        scope={"bucket_rank_position": np.int64(2)},
        signals_seen={"TS": np.float32(0.5), "OX": math.nan, "DX": np.float64("inf")},
    )
    bot.stop()
    (action,) = strands(database)
    assert isinstance(action, ActionStrand)
    assert action.scope == {"bucket_rank_position": 2}
    assert action.controls["signals"] == {"TS": 0.5}


def test_a_note_is_what_was_true_when_it_was_taken(fresh_database, database, tmp_path):
    bot = recorder(fresh_database, tmp_path)
    scope = {"bucket": "micro"}
    record_entry(bot, scope=scope)
    scope["bucket"] = "xl"
    bot.stop()
    (action,) = strands(database)
    assert isinstance(action, ActionStrand)
    assert action.scope == {"bucket": "micro"}
