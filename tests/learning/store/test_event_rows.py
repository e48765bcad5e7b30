"""Events written and read back, on a real PostgreSQL."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from jobs.ingest_strands import ingest_batch
from learning.events.strands import Strand
from learning.settings import Settings
from learning.store import event_rows, strand_rows
from tests.strand_builders import START, action, close

DIMS = ("bucket", "bucket_rank_position", "timeframe")
KEY = "pm.uptrend.S1.buy_flag"
DAY = START.timestamp() / 86400 + 1  # trades of the builders close a day after START


def ingest(connection: Connection, *strands: Strand, **options: Any) -> None:
    strand_rows.append(connection, strands)
    ingest_batch(connection, strand_rows.read_pending(connection, 10_000), Settings(**options))


def read(connection: Connection, **options: Any) -> Any:
    chosen = {"outcome": "r_multiple", "dims": DIMS, "origins": ["live"], **options}
    return event_rows.read_trade_events(connection, "pm", **chosen)


def test_events_come_back_as_arrays(connection: Connection) -> None:
    ingest(
        connection,
        action("a", scope={"bucket": "micro", "bucket_rank_position": 2, "timeframe": "1h"}),
        action("a", "exit", hours=20, scope={"bucket": "Unknown", "timeframe": "4h"}),
        close("a", r_multiple=-1.0, payback_hours=24),
        action("b", scope={"bucket": "NA", "bucket_rank_position": "2"}),
        close("b", r_multiple=2.5),
    )
    events = read(connection)
    assert events.groups == ((KEY, "entry"), (KEY, "exit"))
    assert events.group.tolist() == [0, 0, 1]
    assert events.rr.tolist() == [-1.0, 2.5, -1.0]
    assert events.closed_at_days.tolist() == [DAY, DAY, DAY]
    assert events.time_efficiency.tolist() == [0.5, 0.5, 0.5]
    assert events.trade[0] == events.trade[2] != events.trade[1]
    assert events.levels == (("NA", "micro"), (2, "2"), ("1h", "4h"))  # text is no number
    assert events.scope_codes.tolist() == [[1, 0, 0], [0, 1, -1], [-1, -1, 1]]
    assert events.scope_codes.dtype == np.int16


def test_a_trade_counts_once_in_a_group_by_its_first_action(connection: Connection) -> None:
    adds = [action("a", "add", hours=h, scope={"bucket": b}) for h, b in ((5, "mid"), (2, "xl"))]
    ingest(connection, *adds, close("a"))
    events = read(connection)
    assert events.n == 1
    assert events.levels[0][events.scope_codes[0, 0]] == "xl"


def test_only_the_named_origins_accounts_and_groups_are_read(connection: Connection) -> None:
    ingest(
        connection,
        *(s for bot in ("bot-a", "100% 'bot'") for s in (action(bot=bot), close(bot=bot))),
        action("t1", "exit"),
    )
    assert read(connection).n == 3
    assert read(connection, origins=["backtest", "dry_run"]).n == 0
    assert read(connection, bots=["100% 'bot'"]).n == 1
    assert read(connection, groups=[(KEY, "exit")]).n == 1
    assert read(connection, bots=[]).n == 0


def test_trades_without_the_outcome_are_left_out_and_counted(connection: Connection) -> None:
    ingest(
        connection,
        *(action("a"), close("a")),
        *(action("b"), action("b", "exit"), close("b", r_multiple=None, return_pct=3.0)),
    )
    assert read(connection).n == 1
    counted = event_rows.count_without_outcome
    assert counted(connection, "pm", outcome="r_multiple", origins=["live"]) == 1
    assert counted(connection, "pm", outcome="rr_path", origins=["live"]) == 2
    assert counted(connection, "dm", outcome="rr_path", origins=["live"]) == 0
    with pytest.raises(ValueError, match="outcome must be one of"):
        read(connection, outcome="return_pct")


def test_modules_are_read_apart(connection: Connection) -> None:
    strands = [action(), action(pattern="dm.curator.S0.call", scope={"chain": "sol"}), close()]
    ingest(connection, *strands)
    found = event_rows.read_trade_events(
        connection, "dm", outcome="r_multiple", dims=("chain",), origins=["live"]
    )
    assert (found.groups, found.levels) == ((("dm.curator.S0.call", "entry"),), (("sol",),))
    assert read(connection).n == 1


def test_an_empty_table_is_read_as_no_events(connection: Connection) -> None:
    events = read(connection)
    assert (events.n, events.groups, events.levels) == (0, (), ((), (), ()))


def test_details_hold_missed_outcomes_and_signals_of_the_first_action(
    connection: Connection,
) -> None:
    ingest(
        connection,
        action("a", controls={"signals": {"TS": 0.6, "OX": -1}}),
        close("a", could_enter_better={"missed_rr": 0.7}),
        action("b", controls={}),
        action("b", hours=3, controls={"signals": {"TS": 9}}),
        close("b", could_exit_better={"missed_rr": 2}),
    )
    found = event_rows.read_action_details(connection, "pm", (KEY, "entry"), origins=["live"])
    assert found.trade.tolist() == sorted(read(connection).trade.tolist())
    assert found.missed_entry_rr[0] == 0.7
    assert found.missed_exit_rr[1] == 2.0
    assert math.isnan(found.missed_entry_rr[1])
    assert sorted(found.signals) == ["OX", "TS"]
    np.testing.assert_array_equal(found.signals["TS"], [0.6, np.nan])


def test_events_carry_the_trade_and_its_provenance(connection: Connection) -> None:
    entry = {"pattern_key": KEY, "action_category": "trim", "ts": "2024-03-01T15:00:00Z"}
    ingest(
        connection,
        action("a", position_id="p"),
        close("a", completed=[entry], side="short", risk_amount=10.0, pnl_amount=15, currency="USD",
              return_pct=3, max_drawdown_pct=1.5, mfe_r=2, mae_r=-0.4, entry_price=100,
              initial_stop=103),
    )  # fmt: skip
    rows = connection.execute(
        sa.text("SELECT * FROM pattern_trade_events ORDER BY action_category")
    ).mappings()
    first, second = rows
    assert (first["provenance"], second["provenance"]) == ("action_strand", "own_fields")
    assert (first["action_strand_id"] is None, second["action_strand_id"]) == (False, None)
    shared = ("symbol", "side", "rr_path", "r_multiple", "return_pct", "mfe_r", "mae_r",
              "risk_amount", "pnl_amount", "currency", "time_efficiency")  # fmt: skip
    expected = ["BONK", "short", 2.0, 1.5, 3.0, 2.0, -0.4, 10.0, 15.0, "USD", 0.5]
    assert [first[name] for name in shared] == expected
    assert [second[name] for name in shared] == expected


def test_a_dimension_that_is_configured_later_has_its_past(connection: Connection) -> None:
    ingest(connection, action(scope={"venue": "dex", "bucket": "mid"}), close())
    assert read(connection, dims=("venue",)).levels == (("dex",),)


def test_closed_trades_without_any_action_to_credit_are_counted(connection: Connection) -> None:
    ingest(connection, close("a"), action("b"), close("b"), close("c", r_multiple="no"))
    assert event_rows.count_uncredited(connection) == 1
    ingest(connection, action("a"))
    assert event_rows.count_uncredited(connection) == 0
