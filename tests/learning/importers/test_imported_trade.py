import json
from datetime import UTC, datetime, timedelta

import pytest

from learning.domain.scope import DEFAULT_DIMENSIONS
from learning.errors import ImportRefused
from learning.events.strands import StoredStrand, parse_strand
from learning.importers.field_values import RowRejected
from learning.importers.imported_trade import ImportedTrade, SourceIdentity, TradeAction
from learning.importers.recognition import recognise
from tests.learning.importers.source_builders import (
    BACKTEST_TRADE,
    TRADE,
    backtest,
    csv_of,
    database,
    trades_of,
)

AT = datetime(2024, 3, 1, tzinfo=UTC)


def strands(path, **options):
    return list(recognise([path], **options).read())


def imported(**changes):
    given = {
        "trade_id": "1", "pattern_key": "pm.a.b.c", "origin": "live", "opened_at": AT,
        "closed_at": AT, "scope": {}, "signals": {}, "applied_knobs": {},
        "summary": {"r_multiple": 1.0}, "actions": (TradeAction("entry", AT),),
    }  # fmt: skip
    return ImportedTrade(**{**given, **changes})


def test_a_trade_becomes_its_actions_and_then_its_close(tmp_path):
    entry, close = strands(csv_of(tmp_path / "bot.csv", [{**TRADE, "TS": 0.5}]))
    assert (entry.kind, entry.module, entry.bot, entry.origin) == ("pm_action", "pm", "bot", "live")
    assert entry.trade_id == close.trade_id == close.content["trade_id"] == "bot:1"
    assert entry.content == {
        "pattern_key": "pm.breakout.S1.donchian20",
        "action_category": "entry",
        "scope": {"bucket": "micro"},
        "controls": {"signals": {"TS": 0.5}, "applied_knobs": {}},
        "ts": "2024-03-01T12:00:00+00:00",
    }
    assert close.kind == "position_closed"
    assert close.content["trade_summary"] == {
        "opened_at": "2024-03-01T12:00:00+00:00",
        "closed_at": "2024-03-02T12:00:00+00:00",
        "r_multiple": 1.5,
        "rr_kind": "r_initial_stop",
    }
    assert [e["action_category"] for e in close.content["completed_trades"]] == ["entry"]


def test_a_close_without_its_action_strands_still_tells_pattern_category_and_scope(tmp_path):
    *_, close = strands(csv_of(tmp_path / "bot.csv", [TRADE]))
    text = json.dumps(dict(close.content))
    stored = StoredStrand(
        1, close.strand_key, close.kind, close.module, close.bot, close.origin, None,
        close.trade_id, text,
    )  # fmt: skip
    (action,) = parse_strand(stored, dims=dict(DEFAULT_DIMENSIONS)).actions
    assert (action.pattern_key, action.action_category) == ("pm.breakout.S1.donchian20", "entry")
    assert (action.scope, action.provenance) == ({"bucket": "micro"}, "own_fields")


def test_a_dm_pattern_makes_dm_actions(tmp_path):
    entry, _ = strands(csv_of(tmp_path / "bot.csv", [{**TRADE, "pattern_key": "dm.a.b.c"}]))
    assert (entry.kind, entry.module) == ("dm_action", "dm")


def test_reading_twice_gives_the_same_strands(tmp_path):
    path = database(tmp_path / "t.sqlite")
    assert strands(path) == strands(path)


def test_another_name_another_format_or_another_first_trade_is_another_source():
    one = SourceIdentity("trade_table", "bot", "1 BTC")
    others = [
        SourceIdentity("freqtrade_database", "bot", "1 BTC"),
        SourceIdentity("trade_table", "tob", "1 BTC"),
        SourceIdentity("trade_table", "bot", "1 ETH"),
    ]
    assert len({source.namespace() for source in [one, *others]}) == 4
    assert one.namespace() == SourceIdentity("trade_table", "bot", "1 BTC").namespace()


def test_a_growing_table_keeps_the_keys_of_what_it_had(tmp_path):
    later = {**TRADE, "trade_id": 2, "entry_time": "2024-03-01 13:00:00"}
    before = strands(csv_of(tmp_path / "a.csv", [TRADE]), name="bot")
    after = strands(csv_of(tmp_path / "b.csv", [later, TRADE]), name="bot")
    assert {s.strand_key for s in before} <= {s.strand_key for s in after}


def test_a_backtest_trade_keeps_its_keys_when_the_span_grows_to_the_front(tmp_path):
    earlier = {**BACKTEST_TRADE, "open_timestamp": 1711950000000}
    before = strands(backtest(tmp_path / "a.json"), name="bot")
    after = strands(backtest(tmp_path / "b.json", [earlier, BACKTEST_TRADE]), name="bot")
    assert {s.strand_key for s in before} <= {s.strand_key for s in after}


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"trade_id": "x" * 131}, "trade_id"),
        ({"actions": (TradeAction("add", AT),) * 1001}, "trade"),
        ({"summary": {"r_multiple_net": 2e6}}, "r_multiple_net"),
        ({"summary": {"return_pct": float("inf")}}, "return_pct"),
        ({"summary": {"could_exit_better": {"missed_rr": 2e6}}}, "could_exit_better"),
    ],
)
def test_a_trade_that_could_not_be_ingested_is_not_made(changes, column):
    with pytest.raises(RowRejected) as why:
        imported(**changes)
    assert why.value.column == column


@pytest.mark.parametrize("name", ["a:b", "x" * 65, "\n"])
def test_a_name_that_cannot_stand_before_an_id_is_refused(tmp_path, name):
    with pytest.raises(ImportRefused, match="name of a source"):
        recognise([csv_of(tmp_path / "a.csv", [TRADE])], name=name)


@pytest.mark.parametrize(
    ("write", "column", "closed_at"),
    [
        (lambda folder: csv_of(folder / "a.csv", [TRADE]), "exit_time", "2024-03-02T12:00:00"),
        (lambda folder: database(folder / "a.sqlite"), "close_date", "2024-10-14T09:10:42.515063"),
        (lambda folder: backtest(folder / "a.json"), "close_date", "2024-04-01T09:45:00"),
        (lambda folder: trade_list(folder / "a.json"), "close_date", "2024-04-01T09:45:00"),
    ],
    ids=["table", "database", "backtest", "list"],
)
def test_a_close_more_than_a_day_ahead_is_rejected(tmp_path, write, column, closed_at):
    path = write(tmp_path)
    day_before = datetime.fromisoformat(closed_at).replace(tzinfo=UTC) - timedelta(days=1)
    (_,), report = trades_of(recognise([path], now=day_before))
    assert report.trades_rejected == 0
    trades, report = trades_of(recognise([path], now=day_before - timedelta(seconds=1)))
    assert trades == []
    assert report.rejected_by_rule == {f"{column} must not be in the future": 1}


def trade_list(path):
    path.write_text(json.dumps({"trades": [{**BACKTEST_TRADE, "trade_id": 1}], "trades_count": 1}))
    return path
