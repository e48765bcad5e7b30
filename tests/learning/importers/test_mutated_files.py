# ruff: noqa: E501
"""Files of every format with bytes, cells and rows changed: no crash, and every row accounted for.

A few examples of each run with the fast tests; ten thousand with the slow ones.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learning.domain.scope import DEFAULT_DIMENSIONS
from learning.errors import ImportRefused
from learning.events.strands import StoredStrand, parse_strand
from learning.importers.import_answers import ImportAnswers
from learning.importers.import_report import ReportTally
from learning.importers.recognition import recognise
from tests.learning.importers import (
    test_ccxt_records,
    test_hummingbot_database,
    test_ibkr_executions,
    test_metatrader_report,
    test_tradingview_list,
)
from tests.learning.importers.source_builders import BACKTEST_TRADE, POSITION, backtest, database

SAID = ImportAnswers(symbol="BTCUSDT", time_zone="UTC", timeframe="1h", risk_pct=1.5)
HOSTILE = [
    "", " ", "nan", "NaN", "inf", "-inf", "-1", "0", "-0.0", "1e308", "1e-320", "9" * 400, "1,5",
    "1.234,5", "\u22123", "(3)", "a\x00b", "a\x1bb", "\u202e", "x" * 5000, "2024-13-45",
    "0001-01-01", "9999-12-31 23:59:59", "2024-03-01 10:00", "1709287200000", "99999999999999999999",
    "long", "short", "BUY", "=cmd()", "<b>&amp;</b>", '"', "'", ";", "\t", "{", "[", "null", "É", "日",
    "True", "Open", "Entry long", "Exit short", "in/out", "balance", "C;O", "../../etc/passwd",
]  # fmt: skip
NOISE = st.one_of(
    st.binary(max_size=24), st.sampled_from([text.encode() for text in HOSTILE]),
    st.integers(-(2**70), 2**70).map(lambda n: str(n).encode()),
    st.floats().map(lambda x: repr(x).encode()),
)  # fmt: skip
EDITS = st.lists(
    st.tuples(st.sampled_from(["bytes", "cell", "cell", "cell", "drop", "twice", "swap"]),
              st.integers(0, 2**16), st.integers(0, 30), NOISE),
    min_size=1, max_size=6,
)  # fmt: skip


def account_for(path: Path) -> None:
    """Read a source to its end, twice, and check its books."""
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
    assert report == source.examine()


def mutated(raw: bytes, edits: list, marks: bytes) -> bytes:
    """Apply edits: bytes anywhere, a cell between two marks, or whole lines."""
    for kind, place, length, noise in edits:
        if kind == "bytes":
            at = place % (len(raw) + 1)
            raw = raw[:at] + noise + raw[at + length :]
        elif kind == "cell":
            starts = [i for i, byte in enumerate(raw) if byte in marks]
            if starts:
                at = starts[place % len(starts)] + 1
                end = next((i for i in range(at, len(raw)) if raw[i] in marks), len(raw))
                raw = raw[:at] + noise + raw[end:]
        else:
            lines = raw.split(b"\n")
            at, other = place % len(lines), (place + length) % len(lines)
            if kind == "drop":
                del lines[at]
            elif kind == "twice":
                lines.insert(other, lines[at])
            else:
                lines[at], lines[other] = lines[other], lines[at]
            raw = b"\n".join(lines)
    return raw


def tradingview(folder: Path) -> Path:
    t = test_tradingview_list
    body = "".join(
        t.two_rows(f"Exit long,2024-03-0{n} 14:00,Sell,10{n}", f"Entry long,2024-03-0{n} 10:00,Buy,100",
                   number=n)
        for n in range(1, 6)
    ) + t.two_rows("Entry short,2024-03-07 10:00,B,100", "Exit short,2024-03-07 11:00,Open,99", number=6)  # fmt: skip
    return t.list_file(folder, t.NEW, body)


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


def journal(folder: Path) -> Path:
    path = folder / "journal.csv"
    path.write_text(
        "Ticker;Direction;Open Time;Close Time;Entry Price;Exit Price;Qty;Stop Loss;Commission;Setup\n"
        "AAPL;Long;2024-03-01 10:00;2024-03-01 15:00;100,5;102,5;10;99,5;1,5;Gap & Go\n"
        "AAPL;Short;2024-03-02 10:00;2024-03-02 15:00;100,5;102,5;10;101,5;1,5;Fade\n"
    )
    return path


def ccxt_trades(folder: Path) -> Path:
    return test_ccxt_records.written(folder / "trades.json", test_ccxt_records.ROUND, "lines")


def ccxt_orders(folder: Path) -> Path:
    made = test_ccxt_records.order
    orders = [
        made(1, "buy", 100.0, 1.0, stopLossPrice=95.0), made(2, "sell", 110.0, 1.0, reduceOnly=True),
        made(3, "sell", 95.0, 1.0, reduceOnly=True, triggerPrice=95.0, status="canceled", filled=0),
    ]  # fmt: skip
    return test_ccxt_records.written(folder / "orders.json", orders)


def ccxt_csv(folder: Path) -> Path:
    return test_ccxt_records.written(folder / "trades.csv", test_ccxt_records.ROUND, "csv")


def metatrader_html(folder: Path) -> Path:
    t = test_metatrader_report
    path = folder / "Report.html"
    path.write_bytes(t.html_of(t.REPORT, encoding="utf-8").replace(b"x" * 300_000, b""))
    return path


def metatrader_csv(folder: Path) -> Path:
    return test_metatrader_report.written(folder, "csv")


def metatrader_deals(folder: Path) -> Path:
    t = test_metatrader_report
    rows = [
        ["Orders"], t.ORDERS, t.GOLD_ORDER, ["Deals"], t.DEALS, t.BALANCE,
        t.deal(2, "101", "buy", "in", "1.00", "2 000.00", "0.00", comment="A"),
        t.deal(3, "104", "sell", "out", "1.00", "2 020.00", "1 000.00"),
    ]  # fmt: skip
    return t.written(folder, "csv", rows)


def ibkr_csv(folder: Path) -> Path:
    return test_ibkr_executions.flex_csv(folder)


def ibkr_xml(folder: Path) -> Path:
    return test_ibkr_executions.flex_xml(folder)


def ibkr_statement(folder: Path) -> Path:
    path = folder / "activity.csv"
    path.write_text(test_ibkr_executions.STATEMENT)
    return path


def rest_list(folder: Path) -> Path:
    path = folder / "rest.json"
    trades = [{**BACKTEST_TRADE, "trade_id": n, "strategy": "S"} for n in (1, 2)]
    path.write_text(json.dumps({"trades": trades, "trades_count": 2}, indent=0))
    return path


def freqtrade_backtest(folder: Path) -> Path:
    return backtest(folder / "b.json", [BACKTEST_TRADE, {**BACKTEST_TRADE, "open_timestamp": 1}])


TEXTS = {
    "tradingview": (tradingview, b",\n"),
    "fills": (fills, b",\n"),
    "journal": (journal, b";\n"),
    "ccxt_trades": (ccxt_trades, b":,\n"),
    "ccxt_orders": (ccxt_orders, b":,"),
    "ccxt_csv": (ccxt_csv, b",\n"),
    "metatrader_html": (metatrader_html, b"<>"),
    "metatrader_csv": (metatrader_csv, b"\t\n"),
    "metatrader_deals": (metatrader_deals, b"\t\n"),
    "ibkr_csv": (ibkr_csv, b",\n"),
    "ibkr_xml": (ibkr_xml, b'"'),
    "ibkr_statement": (ibkr_statement, b",\n"),
    "freqtrade_rest": (rest_list, b":,\n"),
    "freqtrade_backtest": (freqtrade_backtest, b":,"),
}


def check_text(made: Callable[[Path], Path], marks: bytes, edits: list) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = made(Path(folder))
        path.write_bytes(mutated(path.read_bytes(), edits, marks))
        with suppress(ImportRefused):
            account_for(path)


few = settings(max_examples=15, deadline=None, derandomize=True,
               suppress_health_check=list(HealthCheck))  # fmt: skip
many = settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))


@few
@given(EDITS)
@pytest.mark.parametrize("name", sorted(TEXTS))
def test_a_mutated_file_is_accounted_for(name, edits):
    check_text(*TEXTS[name], edits)


@pytest.mark.slow
@many
@given(EDITS)
@pytest.mark.parametrize("name", sorted(TEXTS))
def test_ten_thousand_mutated_files_are_accounted_for(name, edits):
    check_text(*TEXTS[name], edits)


CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**62), 2**62), st.floats(),
    st.sampled_from(HOSTILE), st.text(max_size=9), st.binary(max_size=9),
)  # fmt: skip
ROWS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 30), CELLS), min_size=1, max_size=6
)  # fmt: skip


def check_executors(edits: list) -> None:
    hummingbot = test_hummingbot_database
    rows = [dict(hummingbot.EXECUTOR, id=f"e{n}") for n in range(4)]
    for place, column, value in edits:
        row = rows[place % len(rows)]
        row[sorted(row)[column % len(row)]] = value
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = hummingbot.database(Path(folder, "h.sqlite"), executors=rows)
        except (sqlite3.Error, OverflowError, UnicodeEncodeError):
            return  # what SQLite itself does not take
        with suppress(ImportRefused):
            account_for(path)


def check_positions(edits: list) -> None:
    rows = [dict(POSITION, id=n) for n in (1, 2, 3)]
    for place, column, value in edits:
        row = rows[place % len(rows)]
        row[sorted(row)[column % len(row)]] = value
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = database(Path(folder, "f.sqlite"), rows)
        except (sqlite3.Error, OverflowError, UnicodeEncodeError):
            return
        with suppress(ImportRefused):
            account_for(path)


def check_workbook(edits: list) -> None:
    rows = [list(row) for row in test_metatrader_report.REPORT]
    for place, column, value in edits:
        row = rows[place % len(rows)]
        row[column % len(row)] = value
    book = openpyxl.Workbook()
    for row in rows:
        with suppress(ValueError, TypeError, openpyxl.utils.exceptions.IllegalCharacterError):
            book.active.append(row)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "r.xlsx")
        book.save(path)
        with suppress(ImportRefused):
            account_for(path)


def check_zipped(edits: list) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = test_metatrader_report.written(Path(folder), "xlsx")
        path.write_bytes(mutated(path.read_bytes(), edits, b""))
        with suppress(ImportRefused):
            account_for(path)


@few
@given(ROWS)
@pytest.mark.parametrize("check", [check_executors, check_positions, check_workbook])
def test_mutated_rows_are_accounted_for(check, edits):
    check(edits)


@few
@given(EDITS)
def test_a_damaged_workbook_is_one_sentence(edits):
    check_zipped(edits)


@pytest.mark.slow
@many
@given(ROWS)
@pytest.mark.parametrize("check", [check_executors, check_positions, check_workbook])
def test_ten_thousand_times_mutated_rows_are_accounted_for(check, edits):
    check(edits)


@pytest.mark.slow
@many
@given(EDITS)
def test_ten_thousand_damaged_workbooks_are_one_sentence_each(edits):
    check_zipped(edits)
