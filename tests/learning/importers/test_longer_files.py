"""A file that has grown since it was imported: what was known keeps its keys and its content."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from learning.importers.import_answers import ImportAnswers
from learning.importers.recognition import recognise
from tests.learning.importers import (
    test_ccxt_records,
    test_fill_table,
    test_freqtrade_backtest,
    test_hummingbot_database,
    test_ibkr_executions,
    test_metatrader_report,
    test_tradingview_list,
)
from tests.learning.importers.source_builders import (
    BACKTEST_TRADE,
    POSITION,
    TRADE,
    backtest,
    csv_text,
    database,
    parquet,
)

SAID = ImportAnswers(symbol="X", time_zone="UTC", timeframe="1h", risk_pct=1.0)
HOUR = 3_600_000


def tradingview(folder: Path, n: int) -> Path:
    rows = [
        test_tradingview_list.two_rows(
            f"Exit long,2024-03-0{day} 14:00,Sell,102",
            f"Entry long,2024-03-0{day} 10:00,Buy,100",
            number=day,
        )
        for day in range(1, n + 1)
    ]
    return test_tradingview_list.list_file(folder, test_tradingview_list.NEW, "".join(rows))


def fills(folder: Path, n: int) -> Path:
    head, *rows = test_fill_table.KRAKEN.splitlines()
    later = [row.replace("2024-03-01", "2024-03-02").replace('"T', '"U') for row in rows]
    return csv_text(folder / "fills.csv", "\n".join([head, *(rows + later)[: 2 * n]]) + "\n")


def ccxt(shape: str, folder: Path, n: int) -> Path:
    made = test_ccxt_records.trade
    records = [
        made(2 * i + at, side, 100.0 + at, 1.0)
        for i in range(n)
        for at, side in enumerate(("buy", "sell"))
    ]
    return test_ccxt_records.written(folder / f"trades.{shape}", records, shape)


def metatrader(folder: Path, n: int) -> Path:
    t = test_metatrader_report
    gold = [["2024.03.02 12:00:00", str(200 + i), *t.GOLD[2:8], "2024.03.02 15:00:00", *t.GOLD[9:]]
            for i in range(n)]  # fmt: skip
    return t.written(folder, "csv", [*t.ACCOUNT, ["Positions"], t.POSITIONS, *gold])


def mt4_report(folder: Path, n: int) -> Path:
    rows = test_metatrader_report.TESTER
    return test_metatrader_report.written(folder, "html", rows[:8] if n == 1 else rows)


def ibkr(folder: Path, n: int) -> Path:
    rows = test_ibkr_executions.ROWS
    return test_ibkr_executions.flex_csv(folder, rows[:3] if n == 1 else rows)


def executors(folder: Path, n: int) -> Path:
    row = test_hummingbot_database.EXECUTOR
    path = folder / "h.sqlite"
    path.unlink(missing_ok=True)
    rows = [{**row, "id": f"e{i}", "timestamp": row["timestamp"] + i} for i in range(n)]
    return test_hummingbot_database.database(path, executors=rows)


def positions(folder: Path, n: int) -> Path:
    path = folder / "f.sqlite"
    path.unlink(missing_ok=True)
    return database(path, [{**POSITION, "id": i + 1} for i in range(n)])


def rest(folder: Path, n: int) -> Path:
    path = folder / "rest.json"
    path.write_text(json.dumps([{**BACKTEST_TRADE, "trade_id": i} for i in range(n)]))
    return path


def exported(folder: Path, n: int) -> Path:
    first = BACKTEST_TRADE["open_timestamp"]
    trades = [{**BACKTEST_TRADE, "open_timestamp": first + i} for i in range(n)]
    return backtest(folder / "b.json", trades)


def rows_of_2018(folder: Path, n: int) -> Path:
    path = folder / "rows.json"
    path.write_text(json.dumps(test_freqtrade_backtest.ROWS[:n]))
    return path


def journal(folder: Path, n: int) -> Path:
    rows = [{**TRADE, "exit_time": f"2024-03-0{i + 2} 12:00:00"} for i in range(n)]
    for row in rows:
        del row["trade_id"]
    return parquet(folder / "t.parquet", rows)


@pytest.mark.parametrize(
    "made",
    [tradingview, fills, partial(ccxt, "list"), partial(ccxt, "csv"), metatrader, mt4_report, ibkr,
     executors, positions, rest, exported, rows_of_2018, journal],
)  # fmt: skip
def test_a_longer_file_adds_only_what_is_new(
    tmp_path: Path, made: Callable[[Path, int], Path]
) -> None:
    short = {s.strand_key: s for s in recognise([made(tmp_path, 1)], answers=SAID).read()}
    long = {s.strand_key: s for s in recognise([made(tmp_path, 2)], answers=SAID).read()}
    assert len(short) < len(long)
    assert {key: long.get(key) for key in short} == short
