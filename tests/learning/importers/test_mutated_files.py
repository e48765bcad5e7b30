# ruff: noqa: E501
"""Files of every format with things wrong with them: no crash, and every row accounted for.

A few examples of each run with the fast tests; ten thousand of each with the slow ones. An example
is a seed: ``check("fills", 17)`` in a REPL runs it again.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from learning.domain.scope import DEFAULT_DIMENSIONS
from learning.errors import ImportRefused
from learning.events.strands import StoredStrand, parse_strand
from learning.importers.import_answers import ImportAnswers
from learning.importers.import_report import ReportTally
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
from tests.learning.importers.mutations import edited_bytes, edited_json, edited_rows, edited_text
from tests.learning.importers.source_builders import (
    BACKTEST_TRADE,
    GENERATIONS,
    POSITION,
    TRADE,
    backtest,
    csv_text,
    database,
    order,
    plain_workbook,
)

SAID = ImportAnswers(
    symbol="BTCUSDT", time_zone="UTC", timeframe="1h", risk_pct=1.5, date_order="day-first"
)


@pytest.fixture(autouse=True, scope="module")
def _in_memory() -> Iterator[None]:
    """Temporary files in memory where the system offers that: disks make it five times slower."""
    before, memory = tempfile.tempdir, Path("/dev/shm")
    if memory.is_dir():
        tempfile.tempdir = str(memory)
    yield
    tempfile.tempdir = before


def account_for(path: Path, *, twice: bool = True) -> None:
    """Read a source to its end and check its books; read again, it is the same."""
    source = recognise([path], answers=SAID)
    tally = ReportTally()
    for i, strand in enumerate(source.read(tally)):
        text = json.dumps(dict(strand.content), allow_nan=False)
        text.encode()
        stored = StoredStrand(
            i, strand.strand_key, strand.kind, strand.module, strand.bot, strand.origin,
            strand.position_id, strand.trade_id, text,
        )  # fmt: skip
        parse_strand(stored, dims=dict(DEFAULT_DIMENSIONS))
    report = source.report(tally)
    parts = (report.rows_imported, report.rows_skipped, report.rows_rejected)
    assert report.rows_found == sum(parts), parts
    assert min(parts) >= 0
    trades = report.trades_usable + report.trades_open + report.trades_rejected
    assert report.trades_found == trades
    assert sum(report.rejected_by_rule.values()) >= report.rows_rejected
    json.dumps(report.as_json(), allow_nan=False)
    if twice:
        assert report == source.examine()


def tradingview(folder: Path) -> Path:
    t = test_tradingview_list
    body = "".join(
        t.two_rows(f"Exit long,2024-03-0{n} 14:00,Sell,10{n}", f"Entry long,2024-03-0{n} 10:00,Buy,100",
                   number=n)
        for n in range(1, 6)
    ) + t.two_rows("Entry short,2024-03-07 10:00,B,100", "Exit short,2024-03-07 11:00,Open,99", number=6)  # fmt: skip
    return t.list_file(folder, t.NEW, body)


def tradingview_elsewhere(folder: Path) -> Path:
    t = test_tradingview_list
    body = "".join(
        t.two_rows(f"ロング決済,2024/3/{n} 14:00,Sell,10{n}", f"ロングエントリー,2024/3/{n} 9:00,Buy,100", number=n)
        for n in range(1, 6)
    )  # fmt: skip
    return t.list_file(folder, t.JAPANESE, body, encoding="utf-8-sig")


def fills(folder: Path) -> Path:
    path = folder / "fills.csv"
    path.write_text(
        "id,time,symbol,side,qty,price,fee,fee_currency,order_id,stop\n"
        "1,2024-03-01 10:00,X/USDT,buy,1,100,0.1,USDT,a,95\n"
        "2,2024-03-01 11:00,X/USDT,buy,1,101,0.001,X,b,\n"
        "3,2024-03-01 12:00,X/USDT,sell,1.999,103,0.1,USDT,c,\n"
        "4,2024-03-02 10:00,Y/USDT,sell,2,50,0,USDT,d-1,52\n"
        "5,2024-03-02 11:00,Y/USDT,buy,5,49,0.01,BNB,d-2,\n"
    )
    return path


def exchange_orders(folder: Path) -> Path:
    return csv_text(folder / "orders.csv", test_fill_table.PAPER)


def journal(folder: Path) -> Path:
    path = folder / "journal.csv"
    path.write_text(
        "Ticker;Direction;Open Time;Close Time;Entry Price;Exit Price;Qty;Stop Loss;Commission;Setup\n"
        "AAPL;Long;3/1/2024 10:00;3/1/2024 15:00;100,5;102,5;10;99,5;1,5;Gap & Go\n"
        "AAPL;Short;3/20/2024 10:00;3/20/2024 15:00;100,5;102,5;10;101,5;1,5;Fade\n"
    )
    return path


def ccxt_csv(folder: Path) -> Path:
    return test_ccxt_records.written(folder / "trades.csv", test_ccxt_records.ROUND, "csv")


def metatrader(shape: str, rows: list[list[str]], folder: Path) -> Path:
    t = test_metatrader_report
    if shape == "html":
        path = folder / "Report.html"
        path.write_bytes(t.html_of(rows, encoding="utf-8").replace(b"x" * 300_000, b""))
        return path
    return t.written(folder, shape, rows)


def deals() -> list[list[str]]:
    t = test_metatrader_report
    return [
        ["Orders"], t.ORDERS, t.GOLD_ORDER, ["Deals"], t.DEALS, t.BALANCE,
        t.deal(2, "101", "buy", "in", "1.00", "2 000.00", "0.00", comment="A"),
        t.deal(3, "104", "sell", "out", "1.00", "2 020.00", "1 000.00"),
    ]  # fmt: skip


def statement() -> list[list[str]]:
    t = test_metatrader_report
    return [["Closed Transactions:"], t.STATEMENT_4, t.SOLD_4, ["9", *t.SOLD_4[1:]]]


def ibkr_statement(folder: Path) -> Path:
    return csv_text(folder / "activity.csv", test_ibkr_executions.STATEMENT)


def hummingbot_csv(folder: Path) -> Path:
    rows = [dict(test_hummingbot_database.FILL, price=100.0, amount=2.0, exchange_trade_id=n,
                 trade_type=side) for n, side in enumerate(("BUY", "SELL", "SELL"))]  # fmt: skip
    lines = [
        ",".join(rows[0]),
        *(",".join("" if v == {} else str(v) for v in r.values()) for r in rows),
    ]
    return csv_text(folder / "trades_conf.csv", "\n".join(lines) + "\n")


TEXTS: dict[str, tuple[Callable[[Path], Path], bytes]] = {
    "tradingview": (tradingview, b",\n"),
    "tradingview_elsewhere": (tradingview_elsewhere, b",\n"),
    "fills": (fills, b",\n"),
    "exchange_orders": (exchange_orders, b",\n"),
    "journal": (journal, b";\n"),
    "ccxt_csv": (ccxt_csv, b",\n"),
    "hummingbot_csv": (hummingbot_csv, b",\n"),
    "metatrader_html": (partial(metatrader, "html", test_metatrader_report.REPORT), b"<>"),
    "metatrader_csv": (partial(metatrader, "csv", test_metatrader_report.REPORT), b"\t\n"),
    "metatrader_deals": (partial(metatrader, "csv", deals()), b"\t\n"),
    "metatrader_statement": (partial(metatrader, "html", statement()), b"<>"),
    "metatrader_test": (partial(metatrader, "html", test_metatrader_report.TESTER), b"<>"),
    "ibkr_csv": (test_ibkr_executions.flex_csv, b",\n"),
    "ibkr_xml": (test_ibkr_executions.flex_xml, b'"'),
    "ibkr_statement": (ibkr_statement, b",\n"),
}


def ccxt_trades(folder: Path) -> Path:
    return test_ccxt_records.written(folder / "trades.json", test_ccxt_records.ROUND, "lines")


def ccxt_orders(folder: Path) -> Path:
    made = test_ccxt_records.order
    orders = [
        made(1, "buy", 100.0, 1.0, stopLossPrice=95.0), made(2, "sell", 110.0, 1.0, reduceOnly=True),
        made(3, "sell", 95.0, 1.0, reduceOnly=True, triggerPrice=95.0, status="canceled", filled=0),
    ]  # fmt: skip
    return test_ccxt_records.written(folder / "orders.json", orders)


def freqtrade_rest(folder: Path) -> Path:
    path = folder / "rest.json"
    trades = [{**BACKTEST_TRADE, "trade_id": n, "strategy": "S"} for n in (1, 2)]
    path.write_text(json.dumps({"trades": trades, "trades_count": 2}))
    return path


def freqtrade_backtest(folder: Path) -> Path:
    filled = [{"amount": 1.0, "safe_price": 100.0, "ft_order_side": side, "ft_is_entry": side == "buy",
               "order_filled_timestamp": 1711961100000} for side in ("buy", "sell")]  # fmt: skip
    trades = [{**BACKTEST_TRADE, "orders": filled}, {**BACKTEST_TRADE, "open_timestamp": 1}]
    return backtest(folder / "b.json", trades)


def freqtrade_rows(folder: Path) -> Path:
    path = folder / "rows.json"
    path.write_text(json.dumps(test_freqtrade_backtest.ROWS))
    return path


JSONS = {
    "ccxt_trades": ccxt_trades,
    "ccxt_orders": ccxt_orders,
    "freqtrade_rest": freqtrade_rest,
    "freqtrade_backtest": freqtrade_backtest,
    "freqtrade_rows": freqtrade_rows,
}


def _rows_of(table: str) -> list[dict[str, Any]]:
    hummingbot = test_hummingbot_database
    if table == "executors":
        return [dict(hummingbot.EXECUTOR, id=f"e{n}") for n in range(4)]
    if table == "hummingbot_fills":
        sides = ("BUY", "BUY", "SELL", "SELL")
        return [dict(hummingbot.FILL, exchange_trade_id=str(n), trade_type=side)
                for n, side in enumerate(sides)]  # fmt: skip
    if table == "parquet":
        extra = {"side": "long", "entry_price": 100.0, "exit_price": 101.0, "initial_stop": 99.0}
        return [{**TRADE, **extra, "trade_id": n, "signal_x": 0.5} for n in (1, 2, 3)]
    return [dict(POSITION, id=n) for n in (1, 2, 3)]


ORDERS = [
    order(1, "buy", 100.0, 1.0, "2024-10-14 08:10:42"),
    order(1, "sell", 104.0, 1.0, "2024-10-14 09:10:42"),
]


def _made_of_rows(table: str, rows: list[dict[str, Any]], rng: Random, folder: Path) -> Path:
    if table == "executors":
        return test_hummingbot_database.database(folder / "h.sqlite", executors=rows)
    if table == "hummingbot_fills":
        return test_hummingbot_database.database(folder / "h.sqlite", fills=rows)
    if table == "parquet":
        return _typed_table(folder / "t.parquet", rows)
    orders = edited_rows(ORDERS, rng) if rng.random() < 0.5 else ORDERS
    return database(
        folder / "f.sqlite", rows, orders=orders, generation=rng.choice(list(GENERATIONS))
    )


def _typed_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A Parquet file whose columns have the type that their values share, else text."""
    columns = {}
    for name in rows[0]:
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pa.array(values)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError):
            columns[name] = pa.array([None if v is None else repr(v) for v in values])
    pq.write_table(pa.table(columns), path)
    return path


ROWS = ("executors", "hummingbot_fills", "parquet", "positions")


def _workbook(rng: Random, folder: Path) -> Path:
    """A report of MetaTrader or a list of trades as a workbook, its cells changed."""
    report = [list(row) for row in test_metatrader_report.REPORT]
    listed = [line.split(",") for line in tradingview(folder).read_text().splitlines()]
    rows = [dict(enumerate(row)) for row in rng.choice([report, listed])]
    changed = [list(row.values()) for row in edited_rows(rows, rng)]
    return plain_workbook(folder / "r.xlsx", changed)


@cache
def _whole_workbook() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return plain_workbook(Path(folder, "r.xlsx"), test_metatrader_report.REPORT).read_bytes()


def _damaged_workbook(rng: Random, folder: Path) -> Path:
    path = folder / "r.xlsx"
    path.write_bytes(edited_bytes(_whole_workbook(), rng))
    return path


def _zipped_backtest(rng: Random, folder: Path) -> Path:
    """An archive of a backtest: its result or the archive itself damaged."""
    result = freqtrade_backtest(folder).read_bytes()
    damaged = rng.random() < 0.3
    path = folder / "b.zip"
    with zipfile.ZipFile(
        path, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    ) as archive:
        archive.writestr("b.json", result if damaged else edited_json(result, rng))
        archive.writestr("b_config.json", "{}")
        archive.writestr(rng.choice(["../x.json", "b_Strategy.py", "b_signals.pkl"]), "{}")
    if damaged:
        path.write_bytes(edited_bytes(path.read_bytes(), rng))
    return path


ARCHIVES = {
    "workbook": _workbook,
    "damaged_workbook": _damaged_workbook,
    "zipped_backtest": _zipped_backtest,
}
FORMATS = sorted((*TEXTS, *JSONS, *ROWS, *ARCHIVES))


@cache
def _plain(name: str) -> bytes:
    """The file as it should be."""
    made = TEXTS[name][0] if name in TEXTS else JSONS[name]
    with tempfile.TemporaryDirectory() as folder:
        return made(Path(folder)).read_bytes()


def _mutated(name: str, rng: Random, folder: Path) -> Path:
    """A file of a format with things wrong with it."""
    path = folder / "mutated"
    if name in TEXTS:
        path.write_bytes(edited_text(_plain(name), rng, TEXTS[name][1]))
    elif name in JSONS:
        path.write_bytes(edited_json(_plain(name), rng))
    elif name in ROWS:
        return _made_of_rows(name, edited_rows(_rows_of(name), rng), rng, folder)
    else:
        return ARCHIVES[name](rng, folder)
    return path


def check(name: str, seed: int) -> bool:
    """Account for one mutated file; say whether it could be imported at all."""
    rng = Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = _mutated(name, rng, Path(folder))
        except (sqlite3.Error, pa.ArrowException, OverflowError, UnicodeEncodeError):
            return False  # what SQLite and Parquet themselves do not take
        refusal = ""
        try:
            account_for(path, twice=seed % 4 == 0)
        except ImportRefused as refused:
            refusal = str(refused)
    assert len(refusal) < 2000
    assert "\n" not in refusal.strip()
    return not refusal


SEEDS = st.integers(0, 2**40)
few = settings(max_examples=20, deadline=None, derandomize=True,
               suppress_health_check=list(HealthCheck))  # fmt: skip
many = settings(
    max_examples=10_000, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@few
@given(SEEDS)
@pytest.mark.parametrize("name", FORMATS)
def test_a_mutated_file_is_accounted_for(name, seed):
    check(name, seed)


@pytest.mark.slow
@many
@given(SEEDS)
@pytest.mark.parametrize("name", FORMATS)
def test_ten_thousand_mutated_files_are_accounted_for(name, seed):
    check(name, seed)


@pytest.mark.parametrize("name", FORMATS)
def test_enough_mutated_files_are_still_read_for_their_rows_to_count(name):
    """Mutations that refuse every file would show nothing; damaged archives are mostly refused."""
    read = sum(check(name, seed) for seed in range(40))
    assert read >= (1 if "damaged" in name else 8)
