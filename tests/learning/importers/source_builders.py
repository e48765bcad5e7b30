"""Small files as bots and people leave them: tables, freqtrade databases, backtest exports."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq

from learning.importers.import_report import ImportReport, ReportTally
from learning.importers.import_source import ImportSource
from learning.importers.imported_trade import ImportedTrade

TRADE = {
    "trade_id": 1,
    "pattern_key": "pm.breakout.S1.donchian20",
    "entry_time": "2024-03-01 12:00:00",
    "exit_time": "2024-03-02 12:00:00",
    "r_multiple": 1.5,
    "bucket": "micro",
}

# the columns of each schema generation, as its CREATE TABLE orders them
_BASE = (
    "id INTEGER PRIMARY KEY, exchange VARCHAR(25), pair VARCHAR(25), is_open BOOLEAN, "
    "fee_open FLOAT, fee_open_cost FLOAT, fee_open_currency VARCHAR, fee_close FLOAT, "
    "fee_close_cost FLOAT, fee_close_currency VARCHAR, open_rate FLOAT, "
    "open_rate_requested FLOAT, open_trade_value FLOAT, close_rate FLOAT, "
    "close_rate_requested FLOAT, close_profit FLOAT, close_profit_abs FLOAT, "
    "stake_amount FLOAT, amount FLOAT, amount_requested FLOAT, open_date DATETIME, "
    "close_date DATETIME, {early} stop_loss FLOAT, stop_loss_pct FLOAT, "
    "initial_stop_loss FLOAT, initial_stop_loss_pct FLOAT, {stop_order} "
    "max_rate FLOAT, min_rate FLOAT, {reason} VARCHAR, {status} VARCHAR, strategy VARCHAR, "
    "{late} timeframe INTEGER"
)
_OLD = {
    "early": "open_order_id VARCHAR,",
    "stop_order": "stoploss_order_id VARCHAR, stoploss_last_update DATETIME,",
    "reason": "sell_reason",
    "status": "sell_order_status",
}
GENERATIONS = {
    "2021": _BASE.format(**_OLD, late=""),
    "2021 with tags": _BASE.format(**_OLD, late="buy_tag VARCHAR,"),
    "2024": _BASE.format(
        early="realized_profit FLOAT, max_stake_amount FLOAT, base_currency VARCHAR, "
        "stake_currency VARCHAR,",
        stop_order="is_stop_loss_trailing BOOLEAN,",
        reason="exit_reason",
        status="exit_order_status",
        late="enter_tag VARCHAR, trading_mode VARCHAR(7), leverage FLOAT, is_short BOOLEAN, "
        "liquidation_price FLOAT, interest_rate FLOAT, funding_fees FLOAT, "
        "amount_precision FLOAT, price_precision FLOAT, precision_mode INTEGER, "
        "contract_size FLOAT,",
    ),
}
_ORDERS = (
    "id INTEGER PRIMARY KEY, ft_trade_id INTEGER, ft_order_side VARCHAR, order_id VARCHAR, "
    "status VARCHAR, side VARCHAR, price FLOAT, average FLOAT, amount FLOAT, filled FLOAT, "
    "order_date DATETIME, order_filled_date DATETIME"
)
_CUSTOM = (
    "id INTEGER PRIMARY KEY, ft_trade_id INTEGER, cd_key VARCHAR, cd_type VARCHAR, cd_value TEXT"
)

# bought at 100, sold at 104, stop at 95: +4 % before costs, +0.8 R
POSITION = {
    "id": 1,
    "exchange": "binance",
    "pair": "ETH/USDT",
    "is_open": 0,
    "fee_open": 0.001,
    "fee_close": 0.001,
    "open_rate": 100.0,
    "close_rate": 104.0,
    "close_profit": 0.0379,
    "close_profit_abs": 3.79,
    "stake_amount": 100.0,
    "amount": 1.0,
    "open_date": "2024-10-14 08:10:42.515063",
    "close_date": "2024-10-14 09:10:42.515063",
    "initial_stop_loss": 95.0,
    "initial_stop_loss_pct": -0.05,
    "max_rate": 106.0,
    "min_rate": 98.0,
    "strategy": "MyStrategy",
    "timeframe": 5,
}
BACKTEST_TRADE = {
    "pair": "ETH/USDT",
    "stake_amount": 100.0,
    "amount": 1.0,
    "open_date": "2024-04-01 08:45:00+00:00",
    "close_date": "2024-04-01 09:45:00+00:00",
    "open_timestamp": 1711961100000,
    "close_timestamp": 1711964700000.0,
    "open_rate": 100.0,
    "close_rate": 104.0,
    "fee_open": 0.001,
    "fee_close": 0.001,
    "profit_ratio": 0.0379,
    "profit_abs": 3.79,
    "exit_reason": "roi",
    "initial_stop_loss_abs": 95.0,
    "initial_stop_loss_ratio": -0.05,
    "min_rate": 98.0,
    "max_rate": 106.0,
    "is_open": False,
    "enter_tag": "",
    "is_short": False,
    "leverage": 1.0,
    "orders": None,
}


def parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)
    return path


def csv_text(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def csv_of(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    lines = [",".join(rows[0])]
    lines += [",".join("" if v is None else str(v) for v in row.values()) for row in rows]
    return csv_text(path, "\n".join(lines) + "\n")


_RELATED = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_SHEETS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_KIND = "application/vnd.openxmlformats"
_PARTS = {
    "[Content_Types].xml": (
        f'<Types xmlns="{_PACKAGE}/content-types">'
        f'<Default Extension="rels" ContentType="{_KIND}-package.relationships+xml"/>'
        '<Override PartName="/xl/workbook.xml" '
        f'ContentType="{_KIND}-officedocument.spreadsheetml.sheet.main+xml"/>'
        '<Override PartName="/xl/worksheets/sheet1.xml" '
        f'ContentType="{_KIND}-officedocument.spreadsheetml.worksheet+xml"/>'
        "</Types>"
    ),
    "_rels/.rels": (
        f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1" '
        f'Type="{_RELATED}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
    ),
    "xl/workbook.xml": (
        f'<workbook xmlns="{_SHEETS}" xmlns:r="{_RELATED}"><sheets>'
        '<sheet name="List" sheetId="1" r:id="r1"/></sheets></workbook>'
    ),
    "xl/_rels/workbook.xml.rels": (
        f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1" '
        f'Type="{_RELATED}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>'
    ),
}


def plain_workbook(path: Path, rows: Sequence[Sequence[Any]]) -> Path:
    """A workbook of one sheet with nothing but its cells, as many libraries write them."""
    lines = ("<row>" + "".join(map(_sheet_cell, row)) + "</row>" for row in rows)
    body = "".join(lines).encode("utf-8", "replace").decode()
    sheet = f'<worksheet xmlns="{_SHEETS}"><sheetData>{body}</sheetData></worksheet>'
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in {**_PARTS, "xl/worksheets/sheet1.xml": sheet}.items():
            archive.writestr(name, part)
    return path


def _sheet_cell(value: Any) -> str:
    if value is None:
        return "<c/>"
    if isinstance(value, bool):
        return f'<c t="b"><v>{int(value)}</v></c>'
    if isinstance(value, int | float):
        return f"<c><v>{value!r}</v></c>"
    return f'<c t="inlineStr"><is><t>{escape(str(value))}</t></is></c>'


def order(trade_id: int, side: str, price: float, filled: float, at: str, **rest: Any) -> dict:
    return {
        "ft_trade_id": trade_id,
        "ft_order_side": side,
        "order_id": "8123",
        "status": "closed" if filled else "canceled",
        "price": price,
        "average": price,
        "amount": filled,
        "filled": filled,
        "order_date": at,
        "order_filled_date": at if filled else None,
        **rest,
    }


def database(
    path: Path,
    positions: Sequence[Mapping[str, Any]] = (POSITION,),
    *,
    orders: Sequence[Mapping[str, Any]] = (),
    custom: Sequence[Mapping[str, Any]] = (),
    generation: str = "2024",
    wal: bool = False,
) -> Path:
    """A freqtrade database; with ``wal`` its rows stand only in the write-ahead log."""
    connection = sqlite3.connect(path)
    if wal:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    tables = {"trades": GENERATIONS[generation], "orders": _ORDERS, "trade_custom_data": _CUSTOM}
    for name, columns in tables.items():
        connection.execute(f"CREATE TABLE {name} ({columns})")
    known = {row[1] for row in connection.execute("PRAGMA table_info(trades)")}
    for position in positions:
        _insert(connection, "trades", {k: v for k, v in position.items() if k in known})
    for row in orders:
        _insert(connection, "orders", row)
    for row in custom:
        _insert(connection, "trade_custom_data", row)
    connection.commit()
    if wal:
        _keep_log(connection, path)
    connection.close()
    return path


def _insert(connection: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> None:
    marks = ", ".join("?" * len(row))
    names = ", ".join(row)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))


def _keep_log(connection: sqlite3.Connection, path: Path) -> None:
    """Closing would empty the log into the file; a running bot has not closed."""
    main, log = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    connection.close()
    path.write_bytes(main)
    Path(f"{path}-wal").write_bytes(log)


def backtest(
    path: Path,
    trades: Sequence[Mapping[str, Any]] = (BACKTEST_TRADE,),
    *,
    strategy: str = "TheForce",
    **block: Any,
) -> Path:
    content = {
        "strategy": {
            strategy: {
                "trades": list(trades),
                "timeframe": "15m",
                "stake_currency": "USDT",
                **block,
            }
        },
        "strategy_comparison": [],
    }
    path.write_text(json.dumps(content))
    return path


def trades_of(source: ImportSource) -> tuple[list[ImportedTrade], ImportReport]:
    """All usable trades of a source and its report, of one pass."""
    tally = ReportTally()
    trades = []
    for trade in source.reader.trades(tally):
        tally.take(trade)
        trades.append(trade)
    return trades, source.report(tally)
