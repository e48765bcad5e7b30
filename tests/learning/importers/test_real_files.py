"""The real files, with every total recomputed from the file by other means."""

from __future__ import annotations

import csv
import json
import math
import os
import sqlite3
import zipfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from learning.importers.import_report import ReportTally
from learning.importers.recognition import recognise
from tests.learning.importers.source_builders import tables_of, trades_of

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def folder() -> Path:
    named = os.environ.get("EDGEKEEPER_REAL_DATA")
    if not named:
        pytest.skip("EDGEKEEPER_REAL_DATA names no folder with the real trades")
    return Path(named)


def total(trades, name):
    return math.fsum(trade.summary[name] for trade in trades if name in trade.summary)


@pytest.mark.parametrize(
    ("era", "n_trades", "n_actions", "n_symbols"),
    [
        pytest.param("crypto", 104_829, 288_708, 209, marks=pytest.mark.slow),
        ("tradfi", 15_078, 40_286, 8),
    ],
)
def test_the_whole_table_arrives(folder, era, n_trades, n_actions, n_symbols):
    paths = [folder / f"trades_{era}.parquet", folder / f"actions_{era}.parquet"]
    source = recognise(paths)
    table = pq.read_table(paths[0])
    tally = ReportTally()
    kinds: Counter[str] = Counter()
    sums = dict.fromkeys(("r_multiple", "r_multiple_net", "rr_path", "mfe_r"), 0.0)
    keys = set()
    for strand in source.read(tally):
        keys.add(strand.strand_key)
        kinds[strand.kind] += 1
        if strand.kind == "position_closed":
            for name in sums:
                sums[name] += strand.content["trade_summary"][name]
    report = source.report(tally)
    assert kinds == {"pm_action": n_actions, "position_closed": n_trades}
    assert len(keys) == n_actions + n_trades == report.strands
    assert (report.trades_usable, report.actions_usable) == (n_trades, n_actions)
    assert (report.trades_rejected, report.actions_rejected, report.trades_open) == (0, 0, 0)
    assert report.outcomes == dict.fromkeys(("r_multiple_net", "r_multiple", "rr_path"), n_trades)
    assert report.origins == {"simulated": n_trades}
    assert len(report.symbols) == n_symbols
    for name, found in sums.items():
        assert found == pytest.approx(pc.sum(table[name].cast("double")).as_py(), rel=1e-6)
    sides = {row["values"]: row["counts"] for row in pc.value_counts(table["side"]).to_pylist()}
    assert report.sides == sides
    assert report.opened_first == pc.min(table["entry_time"]).as_py().isoformat()
    assert report.closed_last == pc.max(table["exit_time"]).as_py().isoformat()


@pytest.mark.slow
def test_every_trade_has_its_own_actions_in_the_order_of_time(folder):
    paths = [folder / "trades_tradfi.parquet", folder / "actions_tradfi.parquet"]
    listed = Counter(pq.read_table(paths[1])["trade_id"].to_pylist())
    trades, _ = trades_of(recognise(paths))
    for trade in trades:
        times = [action.acted_at for action in trade.actions]
        assert times == sorted(times)
        assert trade.actions[0].category == "entry"
        assert trade.actions[-1].category == "exit"
        assert len(times) == listed[int(trade.trade_id)]


def test_the_multi_tag_dry_run_has_no_risk_but_a_path(folder):
    path = folder / "samples/freqtrade_dryrun_multitag_first60.sqlite"
    trades, report = trades_of(recognise([path]))
    assert (report.trades_found, report.trades_usable, len(report.symbols)) == (591, 591, 91)
    assert report.origins == {"dry_run": 591}
    assert report.outcomes == {"rr_path": 591}
    # positions with adds have two or more filled entries; every one has one exit
    adds = [sum(a.category == "add" for a in trade.actions) for trade in trades]
    assert sum(n > 0 for n in adds) == 235
    assert all([a.category for a in t.actions].count("exit") == 1 for t in trades)
    assert not any(a.category == "trim" for t in trades for a in t.actions)
    assert sorted(report.pattern_keys.items()) == [
        ("pm.ewo_dca_v7.long.enter_long_1", 413),
        ("pm.ewo_dca_v7.long.enter_long_1_enter_long_2", 19),
        ("pm.ewo_dca_v7.long.enter_long_2", 159),
    ]
    with sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True) as database:
        net, fills = database.execute(
            "SELECT (SELECT sum(close_profit / leverage) FROM trades), "
            "(SELECT count(*) FROM orders WHERE filled > 0)"
        ).fetchone()
        rates = database.execute("SELECT open_rate, close_rate, min_rate FROM trades").fetchall()
    path_total = math.fsum(
        max(min((c / o - 1) / max(1 - low / o, 0.001), 33.0), -33.0) for o, c, low in rates
    )
    assert total(trades, "return_net_pct") == pytest.approx(100 * net)
    assert total(trades, "rr_path") == pytest.approx(path_total)
    assert report.actions_written == fills
    liquidated = [t for t in trades if t.summary["exit_reason"] == "liquidation"]
    assert [t.actions[-1].decision_type for t in liquidated] == ["emergency_exit"]


@pytest.mark.parametrize(
    ("name", "count", "strategy"),
    [
        ("freqtrade_backtest_TheForce_2024.json", 798, "TheForce"),
        ("freqtrade_backtest_2018_official_test.json", 179, "StrategyTestV3"),
        ("freqtrade_backtest-result-2025-01-18_09-17-45.zip", 40, "HourBasedStrategy"),
    ],
)
def test_backtests_have_their_r_from_the_stop(folder, name, count, strategy):
    path = folder / "samples" / name
    trades, report = trades_of(recognise([path]))
    assert (report.trades_found, report.trades_usable, report.trades_rejected) == (count, count, 0)
    assert report.origins == {"backtest": count}
    raw = path.read_bytes()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            raw = archive.read(f"{path.stem.removeprefix('freqtrade_')}.json")
    listed = json.loads(raw)["strategy"][strategy]["trades"]
    # R from the price of the stop: its ratio changed its sign over the years
    risks = [abs(1 - t["initial_stop_loss_abs"] / t["open_rate"]) for t in listed]
    net = math.fsum(t["profit_ratio"] / risk for t, risk in zip(listed, risks, strict=True))
    gross = math.fsum(
        (t["close_rate"] / t["open_rate"] - 1) / risk for t, risk in zip(listed, risks, strict=True)
    )
    assert total(trades, "r_multiple_net") == pytest.approx(net)
    assert total(trades, "r_multiple") == pytest.approx(gross)
    assert report.outcomes == dict.fromkeys(("r_multiple_net", "r_multiple", "rr_path"), count)


def test_a_backtest_stopped_at_its_stop_lost_one_r(folder):
    path = folder / "samples/freqtrade_backtest_TheForce_2024.json"
    stopped = [
        trade.summary["r_multiple"]
        for trade in trades_of(recognise([path]))[0]
        if trade.summary["exit_reason"] == "stop_loss"
    ]
    assert len(stopped) == 41
    assert stopped == pytest.approx([-1.0] * 41, abs=0.01)


def test_the_list_of_the_rest_interface_is_read_like_the_database(folder):
    trades, report = trades_of(recognise([folder / "samples/freqtrade_rest_api_trades.json"]))
    assert report.trades_usable == 3
    assert trades[0].summary["return_net_pct"] == pytest.approx(-0.199006)


@pytest.mark.parametrize(
    ("name", "n_closed", "pattern"),
    [
        ("tradingview_rsi_eurusd_1h.csv", 193, "pm.rsi.long.rsile"),
        ("tradingview_supertrend_eurusd_1h.csv", 601, "pm.supertrend.long.my_long_entry_id"),
    ],
)
def test_lists_of_trades_have_their_r_by_the_path(folder, name, n_closed, pattern):
    path = folder / "samples" / name
    trades, report = trades_of(recognise([path]))
    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    exits = [r for r in rows if r["Type"].startswith("Exit") and r["Signal"] != "Open"]
    assert len(exits) == n_closed == report.trades_usable
    assert (report.trades_open, report.rows_rejected, report.rows_found) == (1, 0, len(rows))
    rr = math.fsum(
        max(-33.0, min(33.0, float(r["Net P&L %"]) / max(abs(float(r["Drawdown %"])), 0.1)))
        for r in exits
    )
    assert total(trades, "rr_path") == pytest.approx(rr)
    assert total(trades, "pnl_amount") == pytest.approx(
        math.fsum(float(r["Net P&L USD"]) for r in exits)
    )
    assert report.rr_kinds == {"rr_path": n_closed}
    assert pattern in report.pattern_keys
    assert {trade.summary["symbol"] for trade in trades} == {"EURUSD"}
    assert {trade.scope["timeframe"] for trade in trades} == {"1h"}
    firsts = [datetime.fromisoformat(r["Date/Time"]) for r in rows]
    assert report.opened_first == min(firsts).astimezone(UTC).isoformat()


def test_the_databases_that_tests_make_have_the_columns_of_a_real_one(folder):
    path = folder / "samples" / "freqtrade_dryrun_multitag_first60.sqlite"
    with sqlite3.connect(f"file:{path}?immutable=1", uri=True) as connection:
        for table, columns in tables_of("2024").items():
            real = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            known = set(real) - {"created_at", "updated_at"}  # of custom data
            assert known == set(columns), table
