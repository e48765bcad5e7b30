"""Contracts settled in the coin that they are about: their money is coins, and so is their R.

By hand: ten contracts of 100 dollars, bought at 50 000 and sold at 62 500, earn
1000 x (1/50 000 - 1/62 500) = 0.004 coins of the 0.02 that they were worth. At a stop of 46 000
they would have lost 1000 x (1/46 000 - 1/50 000) = 0.001739, so it was 2.3 R; prices alone would
say 12 500 / 4 000 = 3.1.
"""

from __future__ import annotations

import pytest

from learning.importers.import_answers import ImportAnswers
from learning.importers.recognition import recognise
from tests.learning.importers.source_builders import csv_text, trades_of
from tests.learning.importers.test_ccxt_records import order, trade, written

PERPETUAL = "BTC/USD:BTC"
FEES = 0.00002


def fill(n, side, price, amount, **rest):
    fee = {"cost": FEES / 2, "currency": "BTC"}
    told = {"symbol": PERPETUAL, "cost": amount * 100 / price, "fee": fee, **rest}
    return trade(n, side, price, amount, **told)


def only(path, **answers):
    (one,), report = trades_of(recognise([path], answers=ImportAnswers(**answers)))
    return one, report


def test_profit_costs_and_worth_of_an_inverse_contract_are_coins(tmp_path):
    path = written(tmp_path / "a.json", [fill(1, "buy", 50_000, 10), fill(2, "sell", 62_500, 10)])
    one, _ = only(path, risk_pct=8.0)
    assert one.summary["currency"] == "BTC"
    assert one.summary["pnl_amount"] == pytest.approx(0.004 - FEES, abs=1e-12)
    assert one.summary["return_pct"] == pytest.approx(20.0)
    assert one.summary["return_net_pct"] == pytest.approx((0.004 - FEES) / 0.02 * 100)
    assert one.summary["r_multiple"] == pytest.approx(2.3)  # a stop 8 % below is 46 000
    assert one.summary["risk_amount"] == pytest.approx(1000 / 46_000 - 1000 / 50_000)


def test_a_short_one_gains_more_coins_than_percent_and_parts_count_by_their_coins(tmp_path):
    fills = [fill(1, "sell", 50_000, 10), fill(2, "buy", 40_000, 5), fill(3, "buy", 50_000, 5)]
    one, _ = only(written(tmp_path / "a.json", fills))
    assert one.summary["side"] == "short"
    assert one.summary["pnl_amount"] == pytest.approx(500 / 40_000 - 500 / 50_000 - 1.5 * FEES)
    assert one.summary["return_pct"] == pytest.approx(12.5)
    assert one.summary["exit_price"] == pytest.approx(2 / (1 / 40_000 + 1 / 50_000))


def test_orders_with_their_stop_are_measured_in_coin(tmp_path):
    orders = [
        order(1, "buy", 50_000, 10, symbol=PERPETUAL, cost=0.02, stopLossPrice=46_000),
        order(2, "sell", 62_500, 10, symbol=PERPETUAL, cost=0.016),
    ]
    one, _ = only(written(tmp_path / "o.json", orders))
    assert one.summary["r_multiple"] == pytest.approx(2.3)
    assert one.summary["rr_kind"] == "r_initial_stop"


HEADER = "time,symbol,side,qty,price,fee,fee_currency,stop{0}\n"
BOUGHT = "2024-03-01 10:00,BTCUSD_PERP,buy,10,50000,0.00001,BTC,46000{0}\n"
SOLD = "2024-03-01 11:00,BTCUSD_PERP,sell,10,62500,0.00001,BTC,{0}\n"


def test_a_table_that_tells_the_contract_has_money_and_another_one_says_why_not(tmp_path):
    with_size = HEADER.format(",contract_size") + BOUGHT.format(",100") + SOLD.format(",100")
    one, _ = only(csv_text(tmp_path / "a.csv", with_size), market="derivative")
    assert one.summary["pnl_amount"] == pytest.approx(0.004 - FEES, abs=1e-12)
    assert one.summary["r_multiple"] == pytest.approx(2.3)
    without = HEADER.format("") + BOUGHT.format("") + SOLD.format("")
    two, report = only(csv_text(tmp_path / "b.csv", without), market="derivative")
    assert two.summary["r_multiple"] == pytest.approx(2.3)
    absent = {"pnl_amount", "return_net_pct", "r_multiple_net", "risk_amount"}
    assert two.summary.keys().isdisjoint(absent)
    assert "what a contract is worth is not known: no money, no return after costs" in report.notes


def test_an_order_of_which_only_the_cost_is_known_has_no_price(tmp_path):
    orders = [order(1, "buy", None, 10, symbol=PERPETUAL, cost=0.02, average=None),
              order(2, "sell", 62_500, 10, symbol=PERPETUAL, cost=0.016),
              order(3, "buy", 62_500, 10, symbol=PERPETUAL, cost=0.016)]  # fmt: skip
    one, report = only(written(tmp_path / "o.json", orders))
    assert one.summary["side"] == "short"
    assert [row.column for row in report.rejected_rows] == ["price"]


def test_a_table_of_closed_trades_is_measured_in_coin_and_its_fees_are_left_open(tmp_path):
    text = (
        "id,symbol,side,entry_time,exit_time,entry_price,exit_price,stop,qty,fees\n"
        "1,BTC/USD:BTC,long,2024-03-01 10:00,2024-03-01 11:00,50000,62500,46000,10,0.00002\n"
        "2,BTC/USDT:USDT,long,2024-03-01 10:00,2024-03-01 11:00,50000,62500,46000,10,0.00002\n"
    )
    (inverse, linear), _ = trades_of(recognise([csv_text(tmp_path / "t.csv", text)]))
    assert inverse.summary["r_multiple"] == pytest.approx(2.3)
    assert "return_net_pct" not in inverse.summary
    assert linear.summary["r_multiple"] == pytest.approx(3.125)
    assert "return_net_pct" in linear.summary
