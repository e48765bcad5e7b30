# ruff: noqa: E501
"""Fills in tables: their columns by name, their costs, and what cannot be told."""

from __future__ import annotations

import math

import pytest

from learning.errors import ImportRefused
from learning.importers.import_answers import AnswersNeeded, ImportAnswers
from learning.importers.mapping import mapping_from
from learning.importers.recognition import examine_files, recognise
from tests.learning.importers.source_builders import csv_text, parquet, trades_of

BINANCE = """Date(UTC),Pair,Side,Price,Executed,Amount,Fee
2024-03-01 10:00:00,BTCUSDT,BUY,100.0,2.0000BTC,200.0USDT,0.0020BTC
2024-03-01 11:00:00,BTCUSDT,SELL,110.0,0.9980BTC,109.78USDT,0.10978USDT
2024-03-01 12:00:00,BTCUSDT,SELL,120.0,1.0000BTC,120.0USDT,0.12USDT
"""


def imported(path, **answers):
    return trades_of(recognise([path], answers=ImportAnswers(**answers)))


def test_an_exchange_history_with_units_is_recognised_by_its_columns(tmp_path):
    path = csv_text(tmp_path / "history.csv", BINANCE)
    found = examine_files([path])
    assert found.format == "fills_table"
    assert found.columns["quantity"] == "Executed"
    (trade,), report = imported(path, market="spot")
    bought, sold = 200.0, 0.998 * 110 + 120.0
    costs = 0.10978 + 0.12
    assert trade.summary["pnl_amount"] == pytest.approx(sold - bought - costs, abs=0.005)
    assert trade.summary["return_net_pct"] == pytest.approx((sold - bought - costs) / bought * 100)
    assert [action.category for action in trade.actions] == ["entry", "trim", "exit"]
    assert (report.rows_found, report.rows_imported, report.rows_rejected) == (3, 3, 0)
    assert report.without_risk == {"no initial stop": 1}
    assert trade.rr_kinds == ()


def test_a_fixed_risk_measures_fills_that_have_no_stop(tmp_path):
    path = csv_text(tmp_path / "history.csv", BINANCE)
    (trade,), report = imported(path, risk_pct=5.0)
    assert trade.summary["r_multiple_net"] == pytest.approx(trade.summary["return_net_pct"] / 5)
    assert report.rr_kinds == {"r_fixed_risk": 1}


def test_signed_quantities_epochs_and_negative_fees(tmp_path):
    rows = [
        {"ts": 1709287200000, "ticker": "ES", "qty": -2.0, "px": 5000.0, "commission": -4.0,
         "multiplier": 50.0, "stop": 5010.0},
        {"ts": 1709290800000, "ticker": "ES", "qty": 2.0, "px": 4980.0, "commission": -4.0,
         "multiplier": 50.0, "stop": None},
    ]  # fmt: skip
    (trade,), _ = imported(parquet(tmp_path / "f.parquet", rows))
    assert trade.summary["side"] == "short"
    assert trade.summary["pnl_amount"] == pytest.approx(2 * 20 * 50 - 8)
    assert trade.summary["r_multiple"] == pytest.approx(2.0)  # 20 points, 10 at risk
    assert trade.summary["risk_amount"] == pytest.approx(2 * 50 * 10)


def test_fees_in_a_third_currency_leave_no_net_return_and_are_counted(tmp_path):
    rows = [
        {"time": "2024-03-01 10:00", "symbol": "BTC/USDT", "side": "buy", "qty": 1, "price": 100,
         "fee": 0.01, "fee_currency": "BNB"},
        {"time": "2024-03-01 11:00", "symbol": "BTC/USDT", "side": "sell", "qty": 1, "price": 101,
         "fee": 0.01, "fee_currency": "BNB"},
    ]  # fmt: skip
    (trade,), report = imported(parquet(tmp_path / "f.parquet", rows))
    assert "return_net_pct" not in trade.summary
    assert trade.summary["return_pct"] == pytest.approx(1.0)
    assert any("another currency" in note for note in report.notes)


def test_every_row_is_imported_skipped_or_rejected(tmp_path):
    text = (
        "id,time,symbol,side,qty,price\n"
        "1,2024-03-01 10:00,X,sell,1,100\n"  # spot: of a position before
        "2,2024-03-01 11:00,X,buy,1,100\n"
        "3,2024-03-01 12:00,X,sell,1,101\n"
        "3,2024-03-01 12:00,X,sell,1,101\n"  # the same id
        "4,2024-03-01 13:00,X,buy,1,-5\n"
        "5,2024-03-01 13:00,X,hold,1,5\n"
        "6,yesterday,X,buy,1,5\n"
        "7,2024-03-01 14:00,X,buy,nan,5\n"
        "8,2024-03-01 15:00,X,buy,1,5,9,9\n"
        "9,2024-03-01 16:00,X,buy,1,100\n"  # still open
    )
    (trade,), report = imported(csv_text(tmp_path / "f.csv", text), market="spot")
    assert trade.trade_id == "X/2"
    assert (report.rows_found, report.rows_imported) == (10, 2)
    assert (report.rows_rejected, report.rows_skipped) == (6, 2)
    assert sorted(row.row for row in report.rejected_rows) == [5, 6, 7, 8, 9, 10]


def test_two_identical_rows_are_two_fills(tmp_path):
    row = "2024-03-01 10:00,X,{},1,100\n"
    text = "time,symbol,side,qty,price\n" + (row.format("buy") + row.format("sell")) * 2
    trades, _ = imported(csv_text(tmp_path / "f.csv", text))
    assert len({trade.trade_id for trade in trades}) == len(trades) == 2


def test_a_longer_table_keeps_the_keys_of_what_it_had(tmp_path):
    text = (
        "time,symbol,side,qty,price\n2024-03-01 10:00,X,buy,1,100\n2024-03-01 11:00,X,sell,1,101\n"
    )
    path = csv_text(tmp_path / "f.csv", text)
    before = {strand.strand_key for strand in recognise([path]).read()}
    csv_text(path, text + "2024-03-02 10:00,X,sell,1,100\n2024-03-02 11:00,X,buy,1,99\n")
    after = {strand.strand_key for strand in recognise([path]).read()}
    assert before < after


def test_a_missing_symbol_is_asked_for_and_other_names_are_mapped(tmp_path):
    text = "wann,seite,menge,kurs\n2024-03-01 10:00,buy,1,100\n2024-03-01 11:00,sell,1,101\n"
    path = csv_text(tmp_path / "f.csv", text)
    mapping = mapping_from(
        {"columns": {"time": "wann", "side": "seite", "quantity": "menge", "price": "kurs"}}
    )
    with pytest.raises(AnswersNeeded, match="--symbol"):
        recognise([path], mapping=mapping)
    answers = ImportAnswers(symbol="DAX")
    (trade,), _ = trades_of(recognise([path], mapping=mapping, answers=answers))
    assert trade.summary["symbol"] == "DAX"


def test_hedge_sides_are_positions_of_their_own(tmp_path):
    text = (
        "time,symbol,side,positionSide,qty,price,fee\n"
        "2024-03-01 10:00,X,buy,LONG,1,100,0\n"
        "2024-03-01 11:00,X,sell,SHORT,1,102,0\n"
        "2024-03-01 12:00,X,sell,LONG,1,104,0\n"
        "2024-03-01 13:00,X,buy,SHORT,1,101,0\n"
    )
    trades, _ = imported(csv_text(tmp_path / "f.csv", text))
    returns = {trade.summary["side"]: trade.summary["return_pct"] for trade in trades}
    assert returns == {"long": pytest.approx(4.0), "short": pytest.approx(100 / 102)}


def test_a_semicolon_table_with_decimal_commas_reconciles_with_its_cash_flows(tmp_path):
    rows = [("buy", "1,5", "100,25", "0,15"), ("sell", "1,5", "103,75", "0,16")]
    text = "Datum;symbol;side;qty;price;fee\n" + "".join(
        f"2024-03-0{i + 1} 10:00;X;{';'.join(row)}\n" for i, row in enumerate(rows)
    )
    mapping = mapping_from({"columns": {"time": "Datum"}})
    (trade,), _ = trades_of(recognise([csv_text(tmp_path / "f.csv", text)], mapping=mapping))
    cash = math.fsum([-1.5 * 100.25, 1.5 * 103.75, -0.15, -0.16])
    assert trade.summary["pnl_amount"] == pytest.approx(cash, abs=0.005)


ROUND = ("2024-03-01 10:00:00", "2024-03-01 11:00:00")
KRAKEN = (
    '"txid","ordertxid","pair","time","type","ordertype","price","cost","fee","vol","margin","misc","ledgers"\n'
    '"TA","OA","XXBTZUSD","2024-03-01 10:00:00.1234","buy","limit",100.0,200.0,0.2,2.0,0.0,"","L1,L2"\n'
    '"TB","OB","XXBTZUSD","2024-03-01 11:00:00.5","sell","market",110.0,220.0,0.22,2.0,0.0,"","L3,L4"\n'
)
KUCOIN = (
    "UID,Account Type,Order ID,Symbol,Side,Order Type,Avg. Filled Price,Filled Amount,Filled Volume,"
    "Filled Volume (USDT),Filled Time(UTC+08:00),Fee,Maker/Taker,Fee Currency\n"
    "7,Trading,6a,BTC-USDT,buy,market,100.0,2.0,200.0,200.0,2024-03-01 18:00:00,0.2,taker,USDT\n"
    "7,Trading,6b,BTC-USDT,sell,market,110.0,2.0,220.0,220.0,2024-03-01 19:00:00,0.22,taker,USDT\n"
)
COINBASE = (
    "You can use this report to inform your likely tax obligations.\n\nTransactions\nUser,somebody,x\n"
    "ID,Timestamp,Transaction Type,Asset,Quantity Transacted,Price Currency,Price at Transaction,"
    "Subtotal,Total (inclusive of fees and/or spread),Fees and/or Spread,Notes\n"
    "a,2024-03-01 10:00:00 UTC,Buy,BTC,2.0,USD,$100.00,$200.00,$200.20,$0.20,Bought 2 BTC\n"
    "b,2024-03-01 11:00:00 UTC,Sell,BTC,2.0,USD,$110.00,$220.00,$219.78,$0.22,Sold 2 BTC\n"
)
PAPER = (  # orders of a paper account: what was cancelled never filled
    "Symbol,Side,Type,Qty,Limit Price,Stop Price,Fill Price,Status,Commission,Placing Time,Closing Time,Order ID\n"
    "BINANCE:BTCUSDT,Buy,Market,2,,,100,Filled,0.2,2024-03-01 09:59:00,2024-03-01 10:00:00,1\n"
    "BINANCE:BTCUSDT,Sell,Stop,2,,90,,Cancelled,,2024-03-01 09:59:00,2024-03-01 10:30:00,2\n"
    "BINANCE:BTCUSDT,Sell,Market,2,,,110,Filled,0.22,2024-03-01 10:59:00,2024-03-01 11:00:00,3\n"
)
AMERICAN = (
    "Date,Ticker,Action,Shares,Price,Commission\n"
    "3/1/2024 10:00:00 AM,AAPL,Buy,2,100,0.2\n3/1/2024 11:00:00 AM,AAPL,Sell,2,110,0.22\n"
    "3/14/2024 11:00:00 AM,AAPL,Buy,2,110,0.22\n"
)


@pytest.mark.parametrize("text", [KRAKEN, KUCOIN, COINBASE, PAPER, AMERICAN])
def test_histories_of_exchanges_and_brokers_are_read_by_their_own_names(tmp_path, text):
    (trade,), report = imported(csv_text(tmp_path / "history.csv", text))
    assert report.rows_rejected == 0
    assert trade.opened_at.isoformat()[:19] == "2024-03-01T10:00:00"
    assert trade.closed_at.isoformat()[:19] == "2024-03-01T11:00:00"
    assert trade.summary["side"] == "long"
    assert trade.summary["pnl_amount"] == pytest.approx(2 * 110 - 2 * 100 - 0.42)


def test_what_was_told_of_a_history_is_said(tmp_path):
    found = examine_files([csv_text(tmp_path / "history.csv", KUCOIN)])
    assert any("+08:00" in sentence for sentence in found.understood)
    _, report = imported(csv_text(tmp_path / "paper.csv", PAPER))
    assert report.skipped_by_rule == {"an order that never filled": 1}


def test_dates_that_no_row_tells_apart_are_asked_about(tmp_path):
    path = csv_text(tmp_path / "history.csv", "\n".join(AMERICAN.splitlines()[:3]) + "\n")
    with pytest.raises(AnswersNeeded, match="--date-order day-first"):
        imported(path)
    (trade,), _ = imported(path, date_order="day-first")
    assert trade.opened_at.month == 1


OWN = """time,symbol,side,qty,price,bucket,signal_rsi,trend_now,adx,leverage_used
2024-03-01 10:00,X/USDT,buy,1,100,micro,31.5,up,27,3
2024-03-01 11:00,X/USDT,buy,1,101,micro,40,down,12,5
2024-03-01 12:00,X/USDT,sell,2,103,big,70,down,12,5
2024-03-01 13:00,X/USDT,sell,1,103,big,70,,,
2024-03-01 14:00,X/USDT,buy,1,103,,,,,
"""


def test_a_trade_has_the_dimensions_signals_and_knobs_of_its_first_fill(tmp_path):
    path = csv_text(tmp_path / "fills.csv", OWN)
    mapping = mapping_from({
        "dimensions": {"trend": "trend_now", "strength": {"column": "adx", "bins": [20, 30]}},
        "knobs": {"leverage": "leverage_used"},
    })  # fmt: skip
    long, short = trades_of(recognise([path], mapping=mapping))[0]
    assert long.scope == {"bucket": "micro", "trend": "up", "strength": "20 to 30", "side": "long"}
    assert (long.signals, long.applied_knobs) == ({"rsi": 31.5}, {"leverage": 3.0})
    assert short.scope == {"bucket": "big", "side": "short"}
    assert (short.signals, short.applied_knobs) == ({"rsi": 70.0}, {})


def test_a_cell_of_an_own_dimension_that_cannot_be_read_costs_its_fill_only(tmp_path):
    text = OWN.replace("40,down", "much,down")
    _, report = trades_of(recognise([csv_text(tmp_path / "fills.csv", text)]))
    assert [(row.row, row.column) for row in report.rejected_rows] == [(3, "signal_rsi")]


def test_a_mapping_that_names_a_column_which_fills_lack_is_refused_by_its_name(tmp_path):
    path = csv_text(tmp_path / "fills.csv", OWN)
    mapping = mapping_from({"dimensions": {"trend": "Trend"}})
    with pytest.raises(ImportRefused, match="lacks the column 'Trend'"):
        recognise([path], mapping=mapping)


def test_a_column_of_words_is_no_signal_whatever_it_is_called(tmp_path):
    words = [",signal_name", ",flag", ",flag", ",", ",flag", ","]
    text = "".join(line + word + "\n" for line, word in zip(OWN.splitlines(), words, strict=True))
    trades, report = trades_of(recognise([csv_text(tmp_path / "fills.csv", text)]))
    assert report.rows_rejected == 0
    assert [trade.signals for trade in trades] == [{"rsi": 31.5}, {"rsi": 70.0}]
