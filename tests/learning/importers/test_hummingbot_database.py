"""Hummingbot's executors, and its fills where there are none."""

from __future__ import annotations

import json
import sqlite3

import pytest

from learning.importers.recognition import recognise
from tests.learning.importers.source_builders import trades_of

_EXECUTORS = (
    "id TEXT PRIMARY KEY, timestamp FLOAT, type TEXT, close_type INTEGER, close_timestamp BIGINT, "
    "status INTEGER, config JSON, net_pnl_pct FLOAT, net_pnl_quote FLOAT, cum_fees_quote FLOAT, "
    "filled_amount_quote FLOAT, is_active BOOLEAN, is_trading BOOLEAN, custom_info JSON, "
    "controller_id TEXT"
)
_FILLS = (
    "config_file_path TEXT, strategy TEXT, market TEXT, symbol TEXT, base_asset TEXT, "
    "quote_asset TEXT, timestamp BIGINT, order_id TEXT, trade_type TEXT, order_type TEXT, "
    "price BIGINT, amount BIGINT, leverage INTEGER, trade_fee JSON, trade_fee_in_quote BIGINT, "
    "exchange_trade_id TEXT, position TEXT"
)
CONFIG = {
    "trading_pair": "SOL-USDT", "connector_name": "binance_perpetual", "side": 1,
    "entry_price": "100", "amount": "2", "leverage": 10,
    "triple_barrier_config": {"stop_loss": "0.02", "take_profit": "0.04", "time_limit": 900},
}  # fmt: skip
EXECUTOR = {
    "id": "e1", "timestamp": 1709287200.5, "type": "position_executor", "close_type": 3,
    "close_timestamp": 1709290800, "status": 4, "config": CONFIG, "net_pnl_pct": 0.0392,
    "net_pnl_quote": 7.84, "cum_fees_quote": 0.16, "filled_amount_quote": 408.0, "is_active": 0,
    "is_trading": 0, "controller_id": "bollinger_v1",
    "custom_info": {"current_position_average_price": 100.0, "close_price": 104.0, "side": 1},
}  # fmt: skip
FILL = {
    "config_file_path": "conf_pmm.yml", "strategy": "pmm", "market": "binance",
    "symbol": "SOL-USDT",
    "base_asset": "SOL", "quote_asset": "USDT", "timestamp": 1709287200000, "order_id": "x-1",
    "trade_type": "BUY", "order_type": "LIMIT", "price": 100_000_000, "amount": 2_000_000,
    "leverage": 1, "trade_fee": {}, "trade_fee_in_quote": 100_000, "exchange_trade_id": "1",
    "position": "NIL",
}  # fmt: skip


def database(path, *, executors=(), fills=()):
    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE Executors ({_EXECUTORS})")
    connection.execute(f"CREATE TABLE TradeFill ({_FILLS})")
    for table, rows in (("Executors", executors), ("TradeFill", fills)):
        for row in rows:
            cells = [json.dumps(v) if isinstance(v, dict) else v for v in row.values()]
            marks = ", ".join("?" * len(cells))
            connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", cells)
    connection.commit()
    connection.close()
    return path


def test_a_closed_executor_is_a_trade_with_its_barrier_as_its_risk(tmp_path):
    (trade,), report = trades_of(recognise([database(tmp_path / "b.sqlite", executors=[EXECUTOR])]))
    assert report.format == "hummingbot"
    assert trade.pattern_key == "pm.bollinger_v1.long.position"
    assert trade.summary["r_multiple"] == pytest.approx(2.0)  # 4 % won, 2 % at risk
    assert trade.summary["r_multiple_net"] == pytest.approx(1.96)
    assert trade.summary["exit_reason"] == "take_profit"
    assert trade.summary["risk_amount"] == pytest.approx(200 * 0.02)
    assert trade.applied_knobs == {"leverage": 10.0}
    assert trade.scope["exchange"] == "binance_perpetual"


def test_a_short_without_prices_is_measured_by_its_own_figures(tmp_path):
    config = {**CONFIG, "side": "TradeType.SELL", "entry_price": None, "stop_loss": 0.05}
    del config["triple_barrier_config"]
    short = {**EXECUTOR, "type": "dca_executor", "config": config, "custom_info": {},
             "net_pnl_pct": -0.02, "net_pnl_quote": -4.0, "cum_fees_quote": 0.4}  # fmt: skip
    (trade,), _ = trades_of(recognise([database(tmp_path / "b.sqlite", executors=[short])]))
    assert trade.summary["side"] == "short"
    assert trade.summary["r_multiple_net"] == pytest.approx(-0.4)
    assert trade.summary["r_multiple"] == pytest.approx((-0.02 + 0.4 / 200) / 0.05)
    assert "entry_price" not in trade.summary


def test_rows_that_are_no_closed_positions_are_skipped_or_rejected(tmp_path):
    rows = [
        EXECUTOR,
        {**EXECUTOR, "id": "e2", "is_active": 1},
        {**EXECUTOR, "id": "e3", "filled_amount_quote": 0},
        {**EXECUTOR, "id": "e4", "type": "arbitrage_executor"},
        {**EXECUTOR, "id": "e5", "close_type": 10},
        {**EXECUTOR, "id": "e6", "config": "{broken"},
        {**EXECUTOR, "id": "e7", "config": {**CONFIG, "side": 3}, "custom_info": {}},
    ]
    _, report = trades_of(recognise([database(tmp_path / "b.sqlite", executors=rows)]))
    assert (report.rows_found, report.rows_imported) == (7, 1)
    assert (report.rows_skipped, report.rows_rejected) == (4, 2)
    assert report.trades_found == 3


def test_a_barrier_too_far_is_a_catastrophe_stop(tmp_path):
    barrier = {**CONFIG, "triple_barrier_config": {"stop_loss": "0.5"}}
    path = database(tmp_path / "b.sqlite", executors=[{**EXECUTOR, "config": barrier}])
    _, report = trades_of(recognise([path]))
    assert report.without_risk == {"the stop is further than 12% from the entry": 1}


def test_fills_alone_become_round_trips_in_whole_units(tmp_path):
    fills = [
        FILL,
        {**FILL, "timestamp": 1709290800000, "trade_type": "SELL", "price": 104_000_000,
         "exchange_trade_id": "2", "order_id": "x-2"},
    ]  # fmt: skip
    (trade,), report = trades_of(recognise([database(tmp_path / "b.sqlite", fills=fills)]))
    assert report.format == "hummingbot_fills"
    assert trade.summary["pnl_amount"] == pytest.approx(2 * 4 - 0.2, abs=0.005)
    assert trade.pattern_key == "pm.conf_pmm_yml.long.untagged"


def test_fills_of_the_years_when_they_were_floats_are_not_scaled(tmp_path):
    path = database(tmp_path / "b.sqlite")
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE TradeFill")
    connection.execute(
        "CREATE TABLE TradeFill (market TEXT, symbol TEXT, timestamp BIGINT, order_id TEXT, "
        "trade_type TEXT, price FLOAT, amount FLOAT, trade_fee JSON, exchange_trade_id TEXT)"
    )
    for n, (side, price) in enumerate((("BUY", 100.5), ("SELL", 110.25))):
        row = ("binance", "SOL-USDT", 1709287200000 + n, f"x-{n}", side, price, 2.0, "{}", str(n))
        connection.execute(f"INSERT INTO TradeFill VALUES ({', '.join('?' * 9)})", row)
    connection.commit()
    connection.close()
    (trade,), _ = trades_of(recognise([path]))
    assert (trade.summary["entry_price"], trade.summary["exit_price"]) == (100.5, 110.25)


def test_the_executors_of_2023_that_did_not_say_what_filled_are_read(tmp_path):
    path = database(tmp_path / "b.sqlite")
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE Executors")
    connection.execute(
        "CREATE TABLE Executors (id INTEGER PRIMARY KEY, type TEXT, timestamp BIGINT, "
        "close_timestamp BIGINT, status TEXT, config JSON, net_pnl_pct FLOAT, net_pnl_quote FLOAT, "
        "cum_fees_quote FLOAT, is_trading BOOLEAN, custom_info JSON)"
    )
    for n, (pnl, fees) in enumerate(((7.84, 0.16), (0.0, 0.0))):
        row = (n, "position_executor", 1709287200, 1709290800, "RunnableStatus.TERMINATED",
               json.dumps(CONFIG), pnl / 200, pnl, fees, 0,
               json.dumps(EXECUTOR["custom_info"]))  # fmt: skip
        connection.execute(f"INSERT INTO Executors VALUES ({', '.join('?' * 11)})", row)
    connection.commit()
    connection.close()
    (trade,), report = trades_of(recognise([path]))
    assert trade.summary["r_multiple"] == pytest.approx(2.0)
    assert report.skipped_by_rule == {"an executor that never filled": 1}
