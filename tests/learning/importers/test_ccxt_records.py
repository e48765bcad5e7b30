"""Fills and orders as ccxt unifies them: in every shape, and what they do not tell."""

from __future__ import annotations

import csv
import json

import pytest

from learning.errors import ImportRefused
from learning.importers.import_answers import ImportAnswers
from learning.importers.recognition import examine_files, recognise
from tests.learning.importers.source_builders import trades_of

HOUR = 3_600_000
START = 1_709_287_200_000  # 2024-03-01 10:00 UTC


def trade(n, side, price, amount, *, symbol="BTC/USDT", fee=None, order=None, **rest):
    return {
        "id": str(n), "order": order or f"o{n}", "timestamp": START + n * HOUR, "symbol": symbol,
        "datetime": None, "type": None, "side": side, "takerOrMaker": "taker", "price": price,
        "amount": amount, "cost": price * amount, "fees": [], "info": {},
        "fee": fee or {"cost": 0.1, "currency": "USDT"}, **rest,
    }  # fmt: skip


def order(n, side, price, amount, *, symbol="ETH/USDT:USDT", **rest):
    return {
        "id": f"o{n}", "clientOrderId": f"breakout-{n}", "timestamp": START + n * HOUR,
        "lastTradeTimestamp": START + n * HOUR + 1000, "status": "closed", "symbol": symbol,
        "type": "market", "side": side, "price": None, "average": price, "amount": amount,
        "filled": amount, "cost": (price or 0) * amount, "reduceOnly": None, "stopLossPrice": None,
        "triggerPrice": None, "fee": None, "fees": [], "trades": [], "info": {}, **rest,
    }  # fmt: skip


def written(path, records, shape="list"):
    if shape == "list":
        path.write_text(json.dumps(records))
    elif shape == "lines":
        path.write_text("\n".join(json.dumps(record) for record in records))
    elif shape == "by symbol":
        lists = {}
        for record in records:
            lists.setdefault(record["symbol"], []).append({**record, "symbol": None})
        path.write_text(json.dumps(lists))
    else:
        with path.open("w", newline="") as stream:
            rows = csv.DictWriter(stream, fieldnames=list(records[0]))
            rows.writeheader()
            writes = json.dumps if shape == "csv" else str
            rows.writerows({k: writes(v) if isinstance(v, dict | list) else v
                            for k, v in r.items()} for r in records)  # fmt: skip
    return path


ROUND = [trade(1, "buy", 100.0, 2.0), trade(2, "sell", 110.0, 0.5), trade(3, "sell", 90.0, 1.5)]


@pytest.mark.parametrize("shape", ["list", "lines", "by symbol", "csv", "csv of Python"])
def test_every_shape_of_the_same_fills_is_the_same_trade(tmp_path, shape):
    path = written(tmp_path / "dump.json", ROUND, shape)
    found = examine_files([path])
    assert found.format == "ccxt_trades"
    (one,), report = trades_of(found.source)
    cash = -200 + 55 + 135 - 0.3
    assert one.summary["pnl_amount"] == pytest.approx(cash, abs=0.005)
    assert one.summary["return_net_pct"] == pytest.approx(cash / 200 * 100)
    assert [action.category for action in one.actions] == ["entry", "trim", "exit"]
    assert (report.rows_found, report.rows_imported) == (3, 3)


def test_fees_in_the_coin_and_in_a_third_currency(tmp_path):
    in_coin = [
        trade(1, "buy", 100.0, 1.0, fee={"cost": 0.001, "currency": "BTC"}),
        trade(2, "sell", 110.0, 0.999, fee={"cost": 0.1, "currency": "USDT"}),
    ]
    (one,), _ = trades_of(recognise([written(tmp_path / "a.json", in_coin)]))
    assert one.summary["pnl_amount"] == pytest.approx(-100 + 0.999 * 110 - 0.1, abs=0.005)
    third = [
        trade(1, "buy", 100.0, 1.0, fee={"cost": 0.001, "currency": "BNB"}),
        trade(2, "sell", 110.0, 1.0, fee={"cost": 0.001, "currency": "BNB"}),
    ]
    (one,), report = trades_of(recognise([written(tmp_path / "b.json", third)]))
    assert "return_net_pct" not in one.summary
    assert list(report.notes.values())[-1] == 1
    by_rate = [{**t, "fee": {**t["fee"], "rate": 0.001}} for t in third]
    (one,), _ = trades_of(recognise([written(tmp_path / "c.json", by_rate)]))
    assert one.summary["pnl_amount"] == pytest.approx(10 - 0.1 - 0.11, abs=0.005)


def test_a_spot_sale_without_a_purchase_was_open_before_and_a_derivative_one_is_short(tmp_path):
    spot = [trade(1, "sell", 100.0, 1.0), trade(2, "buy", 90.0, 1.0)]
    _, report = trades_of(recognise([written(tmp_path / "a.json", spot)]))
    assert report.skipped_by_rule == {
        "closes what was open before the first fill": 1,
        "of a position that is still open": 1,
    }
    swap = [{**t, "symbol": "BTC/USDT:USDT"} for t in spot]
    (one,), _ = trades_of(recognise([written(tmp_path / "b.json", swap)]))
    assert one.summary["side"] == "short"
    assert one.summary["return_pct"] == pytest.approx(10.0)


def test_a_fill_with_realised_profit_closes_something_earlier(tmp_path):
    fills = [
        trade(1, "sell", 100.0, 1.0, symbol="X/USDT:USDT", info={"realizedPnl": "5.2"}),
        trade(2, "sell", 100.0, 1.0, symbol="X/USDT:USDT", info={"realizedPnl": "0"}),
        trade(3, "buy", 95.0, 1.0, symbol="X/USDT:USDT", info={"realizedPnl": "5"}),
    ]
    (one,), report = trades_of(recognise([written(tmp_path / "a.json", fills)]))
    assert one.trade_id == "X/USDT:USDT/2"
    assert report.rows_skipped == 1


def test_contracts_are_coins_by_their_cost(tmp_path):
    fills = [
        trade(1, "buy", 100.0, 10, symbol="X/USDT:USDT", cost=10.0),
        trade(2, "sell", 110.0, 10, symbol="X/USDT:USDT", cost=11.0),
    ]
    (one,), _ = trades_of(recognise([written(tmp_path / "a.json", fills)]))
    assert one.summary["pnl_amount"] == pytest.approx(1.0 - 0.2)


def test_orders_have_their_setup_and_their_stop(tmp_path):
    orders = [
        order(1, "buy", 100.0, 1.0),
        order(9, "sell", 0.0, 1.0, timestamp=START + HOUR + 5000, status="canceled", filled=0.0,
              reduceOnly=True, triggerPrice=95.0, average=None, cost=0.0),
        order(2, "sell", 110.0, 1.0, reduceOnly=True),
        order(3, "sell", 110.0, 1.0, status="open", filled=0.0),
        order(4, "sell", 110.0, 2.0, status="canceled", filled=0.5, cost=55.0,
              stopLossPrice=115.0),
        order(5, "buy", 100.0, 0.5, reduceOnly=True),
    ]  # fmt: skip
    path = written(tmp_path / "orders.json", orders)
    (long, short), report = trades_of(recognise([path]))
    assert report.format == "ccxt_orders"
    assert long.pattern_key == "pm.ccxt.long.breakout"
    assert long.summary["r_multiple"] == pytest.approx(2.0)
    assert short.summary["r_multiple"] == pytest.approx(2.0)
    assert (report.rows_found, report.rows_imported, report.rows_skipped) == (6, 4, 2)


def test_a_catastrophe_stop_is_no_risk(tmp_path):
    orders = [order(1, "buy", 100.0, 1.0, stopLossPrice=50.0), order(2, "sell", 110.0, 1.0)]
    path = written(tmp_path / "orders.json", orders)
    (one,), report = trades_of(recognise([path]))
    assert report.without_risk == {"the stop is further than 12% from the entry": 1}
    assert "initial_stop" not in one.summary
    (one,), _ = trades_of(recognise([path], answers=ImportAnswers(risk_pct=5)))
    assert one.summary["rr_kind"] == "r_fixed_risk"


def test_any_field_can_be_null_and_costs_its_row_at_most(tmp_path):
    path = written(tmp_path / "a.json", [dict.fromkeys(ROUND[0]), *ROUND, None, 5])
    trades, report = trades_of(recognise([path]))
    assert len(trades) == 1
    assert (report.rows_found, report.rows_rejected) == (6, 3)


def test_the_first_fill_is_the_same_when_the_dump_grows(tmp_path):
    path = written(tmp_path / "a.json", ROUND)
    before = {strand.strand_key for strand in recognise([path]).read()}
    written(path, [*ROUND, trade(8, "buy", 1.0, 1.0), trade(9, "sell", 2.0, 1.0)][::-1])
    assert before < {strand.strand_key for strand in recognise([path]).read()}


@pytest.mark.parametrize("text", ['[{"side": "buy"', '{"a": [1, 2', "[1, 2] [", "[" * 5000])
def test_broken_json_is_one_sentence(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ImportRefused, match=r"JSON|deeply"):
        trades_of(recognise([path]))


def test_records_under_the_name_of_their_list_are_found(tmp_path):
    path = tmp_path / "dump.json"
    path.write_text(json.dumps({"trades": ROUND}))
    assert examine_files([path]).format == "ccxt_trades"
