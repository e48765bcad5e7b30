from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from sqlalchemy import make_url

from learning.bot import delivering
from learning.bot.own_actions import OwnActions
from learning.bot.recorder import Recorder, start_recorder
from learning.bot.strand_text import delivery
from learning.domain.regime import RegimeContext
from learning.domain.scope import DEFAULT_DIMENSIONS
from learning.errors import MalformedStrand
from learning.events.outcomes import outcome_of
from learning.events.strands import ActionStrand, ClosedTrade, StoredStrand, parse_strand
from learning.store.database import create_engine, transaction
from learning.store.regime_rows import bucket_of_token, regime_context

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


@pytest.mark.parametrize("restarts", [False, True])
def test_each_position_closes_with_its_own_actions_also_after_a_restart(
    fresh_database, database, tmp_path, restarts
):
    other = start_recorder(
        fresh_database, bot="bot-a", origin="live", spool=tmp_path / "live.jsonl"
    )
    record_entry(other, pattern_key="pm.other.S1.live")
    other.stop()
    bot = recorder(fresh_database, tmp_path)
    for position in ("P-1", "P-2"):
        record_entry(bot, position_id=position, pattern_key=f"pm.a.b.{position.lower()[0]}")
        record_entry(bot, position_id=position, pattern_key=f"pm.a.b.x{position[-1]}")
    for position in ("P-1", "P-2"):
        if restarts:
            bot.stop()
            bot = recorder(fresh_database, tmp_path)
        bot.record_position_closed(trade_id="T-1", trade_summary=SUMMARY, position_id=position)
    bot.stop()
    closes = [found for found in strands(database) if isinstance(found, ClosedTrade)]
    assert [[a.pattern_key for a in close.actions] for close in closes] == [
        ["pm.a.b.p", "pm.a.b.x1"], ["pm.a.b.p", "pm.a.b.x2"],
    ]  # fmt: skip


def test_actions_without_a_position_are_forgotten_with_the_last_position_of_their_trade():
    own = OwnActions()
    for position in (None, "P-1", "P-2"):
        content = {"pattern_key": str(position)}
        own.add(
            delivery(
                kind="pm_action", module="pm", bot="b", origin="live", content=content,
                position_id=position, trade_id="T",
            )
        )  # fmt: skip
    told = [[action["pattern_key"] for action in own.of("T", p)] for p in ("P-1", "P-2", None)]
    assert told == [["None", "P-1"], ["None", "P-2"], ["None", "P-1", "P-2"]]
    own.forget("T", "P-1")
    assert [action["pattern_key"] for action in own.of("T", "P-2")] == ["None", "P-2"]
    own.forget("T", "P-2")
    assert own.of("T", None) == []


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


def test_what_waits_behind_a_delivery_that_hangs_is_spooled_and_arrives_once(
    fresh_database, database, tmp_path, monkeypatch
):
    """A lock that another session holds: to the recorder a server that answers nothing."""
    monkeypatch.setattr(delivering, "_HANGS_S", 0.3)
    bot = recorder(fresh_database, tmp_path)
    assert eventually(lambda: bot.status().is_running)
    with database.transaction():
        database.execute("LOCK TABLE ad_strands IN ACCESS EXCLUSIVE MODE")
        keys = {record_entry(bot, trade_id=f"T-{i}") for i in range(5)}
        assert eventually(lambda: bot.status().n_spooled == 5)
        assert eventually(lambda: "does not answer" in str(bot.status().problem))
        assert bot.status().n_waiting == 0
    assert eventually(lambda: bot.status().n_delivered == 5)
    bot.stop()
    assert (tmp_path / "bot-a.jsonl").read_bytes() == b""
    assert {found.strand_key for found in strands(database)} == keys
    assert n_strands(database) == 5


def test_a_stop_while_the_server_hangs_leaves_everything_in_the_spool(
    fresh_database, database, tmp_path
):
    bot = recorder(fresh_database, tmp_path)
    with database.transaction():
        database.execute("LOCK TABLE ad_strands IN ACCESS EXCLUSIVE MODE")
        record_entry(bot)
        record_entry(bot, trade_id="T-2")
        bot.stop(timeout_s=0.1)
        assert (tmp_path / "bot-a.jsonl").read_bytes().count(b"\n") == 2


def test_a_scope_is_built_from_the_regime_and_the_tokens_bucket(fresh_database, database, tmp_path):
    bot = recorder(fresh_database, tmp_path)
    regime = RegimeContext(macro_phase="Dip", bucket_rank=("mid", "micro"))
    record_entry(bot, scope=None, regime_context=regime, bucket="micro")
    record_entry(bot, scope=None, regime_context={"macro_phase": "Good", "later": 1})
    record_entry(bot, scope={"bucket": "xl"}, regime_context=regime, bucket="micro")
    bot.stop()
    told = [found.scope for found in strands(database) if isinstance(found, ActionStrand)]
    assert told == [
        {
            "macro_phase": "Dip", "bucket_leader": "mid", "bucket_rank_position": 2,
            "bucket": "micro",
        },
        {"macro_phase": "Good"},
        {"bucket": "xl"},
    ]  # fmt: skip


def test_what_the_tracker_sees_makes_the_regime_of_that_moment_also_after_an_outage(
    fresh_database, tmp_path
):
    away = recorder(AWAY, tmp_path)
    hour = timedelta(hours=1)
    away.record_phase(phase="Dip", horizon="macro", observed_at=OPENED)
    away.record_phase(phase="Good", horizon="macro", observed_at=OPENED + hour)
    away.record_phase(
        phase="Recover", horizon="meso", bucket="micro", score=0.5, observed_at=OPENED
    )
    away.record_token_bucket(symbol="ABC", market_cap_usd=3e6, observed_at=OPENED)
    assert eventually(lambda: away.status().n_spooled == 4)
    away.stop()
    for _ in range(2):  # a second delivery changes nothing
        kept = (tmp_path / "bot-a.jsonl").read_bytes()
        back = recorder(fresh_database, tmp_path)
        back.record_phase(phase="Chop", horizon="macro", observed_at=OPENED)  # told before
        assert eventually(lambda back=back: back.status().n_delivered == 5)
        back.stop()
        (tmp_path / "bot-a.jsonl").write_bytes(kept)
    engine = create_engine(fresh_database)
    with transaction(engine) as connection:
        then = regime_context(connection, OPENED)
        bucket = bucket_of_token(connection, "ABC", OPENED)
        assert regime_context(connection, OPENED + hour).macro_phase == "Good"
    engine.dispose()
    assert (then.macro_phase, then.bucket_rank, then.bucket_phases) == (
        "Dip", ("micro",), {"micro": "Recover"},
    )  # fmt: skip
    assert bucket == "micro"


@pytest.mark.parametrize(
    "columns",
    [
        {"horizon": "yearly"},
        {"phase": None},
        {"phase": "a\x00b"},
        {"score": math.nan},
        {"observed_at": "yesterday"},
    ],
)
def test_an_observation_that_breaks_a_rule_is_counted_and_holds_nothing_up(
    fresh_database, database, tmp_path, columns
):
    bot = recorder(fresh_database, tmp_path)
    bot.record_phase(**{"phase": "Dip", "horizon": "macro", **columns})
    bot.record_token_bucket(symbol="ABC", market_cap_usd=-1.0)
    record_entry(bot)
    assert eventually(lambda: bot.status().n_dropped == 2)
    bot.stop()
    assert n_strands(database) == 1


def test_a_close_with_candles_says_what_its_path_offered(fresh_database, database, tmp_path):
    """Stopped at 95 for 100: it had fallen to 96, and touched 106 in its third hour."""
    bot = recorder(fresh_database, tmp_path)
    record_entry(bot)
    hours = [OPENED + timedelta(hours=i) for i in range(5)]
    highs, lows = (101, 103, 106, 102, 101), (98, 96, 100, 97, 94)
    bars = [
        (at, 100, high, low, 100, 1.0) for at, high, low in zip(hours, highs, lows, strict=True)
    ]
    summary = {
        "opened_at": OPENED, "closed_at": OPENED + timedelta(hours=5), "side": "long",
        "entry_price": 100.0, "exit_price": 95.0, "initial_stop": 95.0, "exit_reason": "stop_loss",
    }  # fmt: skip
    bot.record_position_closed(trade_id="T-1", trade_summary=summary, path=bars)
    bot.record_position_closed(
        trade_id="T-2", trade_summary={**summary, "return_pct": -5.0}, path=bars[:2],
        entry_context={"pattern_key": KEY},
    )  # fmt: skip
    bot.stop()
    close, cut_off = strands(database)[1:]
    assert isinstance(close, ClosedTrade)
    found = close.summary
    assert (found.return_pct, found.max_drawdown_pct, found.rr_path) == (-5.0, 5.0, -1.0)
    assert (found.mfe_r, found.mae_r, found.payback_hours) == (pytest.approx(1.2), -1.0, 2.0)
    assert found.missed_entry_rr == 1.0  # the lowest price: the stop itself, one R below
    assert found.missed_exit_rr == pytest.approx(2.2)  # 106 against 95
    assert outcome_of(found, max_stop_distance=0.12).r_multiple == -1.0
    assert isinstance(cut_off, ClosedTrade)
    assert cut_off.summary.max_drawdown_pct is None  # two bars are not its path


def test_a_time_without_a_zone_is_utc_wherever_a_bot_says_one(fresh_database, database, tmp_path):
    bot = recorder(fresh_database, tmp_path)
    record_entry(bot, ts="2026-03-01T12:00:00")
    record_entry(bot, ts="2026-03-01T13:00:00+01:00")
    trim = {"pattern_key": KEY, "action_category": "trim"}
    bot.record_position_closed(
        trade_id="T-1",
        trade_summary={
            "opened_at": "2026-03-01 12:00:00", "closed_at": "2026-03-02T12:00", "r_multiple": 1.5,
            "exit_reason": "2026-03-01",
        },
        completed_trades=[
            {**trim, "ts": "2026-03-01T14:00:00"},
            {**trim, "action_context": {"ts": "2026-03-01T15:00:00"}},
            {**trim, "action_context": {"ts": datetime(2026, 3, 1, 16)}},  # noqa: DTZ001
        ],
    )  # fmt: skip
    bot.stop()
    *actions, close = strands(database)
    assert [action.acted_at for action in actions] == [OPENED, OPENED]
    assert isinstance(close, ClosedTrade)
    assert (close.summary.opened_at, close.summary.closed_at) == (OPENED, SUMMARY["closed_at"])
    assert close.summary.exit_reason == "2026-03-01"  # no time, whatever it looks like
    assert [action.acted_at.hour for action in close.actions] == [14, 15, 16]


@pytest.mark.parametrize("ts", ["yesterday", 1772366400, "2026-13-01T00:00:00"])
def test_what_is_no_time_is_quarantined_with_its_reason(fresh_database, database, tmp_path, ts):
    bot = recorder(fresh_database, tmp_path)
    assert record_entry(bot, ts=ts)
    bot.stop()
    with pytest.raises(MalformedStrand, match="ts must be an ISO-8601 time"):
        strands(database)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({}, [{"t": 1}]),
        ({}, [(OPENED, 100, None, None, 100, 1.0)]),
        ({"entry_price": 0.0}, [(OPENED, 100, 101, 99, 100, 1.0)]),
        ({"initial_stop": Decimal(98)}, [(OPENED, 100, 101, 99, 100, 1.0)] * 2),
    ],
)
def test_an_unusual_path_costs_neither_the_close_nor_its_actions(
    fresh_database, database, tmp_path, changes, path
):
    bot = recorder(fresh_database, tmp_path)
    record_entry(bot)
    summary = {**SUMMARY, "side": "long", "entry_price": 100.0, **changes}
    assert bot.record_position_closed(trade_id="T-1", trade_summary=summary, path=path)
    bot.stop()
    close = strands(database)[-1]
    assert isinstance(close, ClosedTrade)
    assert close.summary.r_multiple == 1.5
    assert [action.pattern_key for action in close.actions] == [KEY]


def test_a_close_that_could_not_be_noted_leaves_the_actions_to_the_next(
    fresh_database, database, tmp_path
):
    bot = recorder(AWAY, tmp_path)
    record_entry(bot)
    assert bot.record_position_closed(trade_id="T-1", trade_summary=None) is None
    assert bot.record_position_closed(trade_id="T-1", trade_summary=SUMMARY)
    assert eventually(lambda: bot.status().n_spooled == 2)
    bot.stop()
    recorder(fresh_database, tmp_path).stop()
    close = strands(database)[-1]
    assert isinstance(close, ClosedTrade)
    assert [action.pattern_key for action in close.actions] == [KEY]


def test_where_even_the_spool_cannot_be_written_notes_stay_in_memory_and_arrive_once(
    fresh_database, database, tmp_path, monkeypatch
):
    monkeypatch.setattr(delivering, "_HANGS_S", 0.2)
    (tmp_path / "no-folder").write_text("a file stands where the folder should be")
    bot = recorder(fresh_database, tmp_path / "no-folder")
    with database.transaction():
        database.execute("LOCK TABLE ad_strands IN ACCESS EXCLUSIVE MODE")
        for i in range(5):
            record_entry(bot, trade_id=f"T-{i}")
        assert eventually(lambda: "File exists" in str(bot.status().problem))
        assert (bot.status().n_waiting, bot.status().n_dropped) == (5, 0)
    assert eventually(lambda: bot.status().n_waiting == 0)
    bot.stop()
    assert (n_strands(database), bot.status().n_dropped) == (5, 0)
