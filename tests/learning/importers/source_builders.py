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

# What freqtrade's migrations took away from and added to its table of trades, year by year:
# (without, with). The order of columns says nothing: they are read by name.
_CHANGES = {
    "2017": ("", "id exchange pair is_open fee open_rate close_rate close_profit stake_amount "
             "amount open_date close_date open_order_id"),
    "2018": ("fee", "fee_open fee_close open_rate_requested close_rate_requested stop_loss "
             "initial_stop_loss stoploss_order_id max_rate sell_reason strategy ticker_interval"),
    "2019": ("", "stop_loss_pct initial_stop_loss_pct stoploss_last_update min_rate"),
    "2020": ("", "fee_open_cost fee_open_currency fee_close_cost fee_close_currency "
             "open_trade_price close_profit_abs sell_order_status"),
    "2021": ("ticker_interval open_trade_price", "timeframe open_trade_value amount_requested"),
    "2021 with tags": ("", "buy_tag"),
    "2022": ("buy_tag", "enter_tag trading_mode leverage is_short isolated_liq interest_rate "
             "funding_fees"),
    "2023": ("sell_reason sell_order_status isolated_liq", "exit_reason exit_order_status "
             "liquidation_price base_currency stake_currency realized_profit max_stake_amount "
             "amount_precision price_precision precision_mode contract_size"),
    "2024": ("open_order_id stoploss_order_id stoploss_last_update",
             "is_stop_loss_trailing precision_mode_price funding_fee_running"),
    "2026": ("", "record_version"),
}  # fmt: skip
_EARLY_ORDERS = (
    "id ft_trade_id ft_order_side ft_pair ft_is_open order_id status symbol order_type side price "
    "amount filled remaining cost order_date order_filled_date order_update_date"
)
_ORDERS = {
    "2021": _EARLY_ORDERS,
    "2021 with tags": _EARLY_ORDERS + " average",
    "2022": _EARLY_ORDERS + " average ft_fee_base",
    "2023": _EARLY_ORDERS + " average ft_fee_base stop_price funding_fee",
    "2024": _EARLY_ORDERS + " average ft_fee_base stop_price funding_fee ft_amount ft_price "
    "ft_cancel_reason ft_order_tag",
}
_ORDERS["2026"] = _ORDERS["2024"]


def _generations() -> dict[str, tuple[str, ...]]:
    columns: tuple[str, ...] = ()
    found = {}
    for name, (without, added) in _CHANGES.items():
        gone = without.split()
        columns = (*(c for c in columns if c not in gone), *added.split())
        found[name] = columns
    return found


GENERATIONS = _generations()
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
    rows = {"trades": positions, "orders": orders, "trade_custom_data": custom}
    for name, columns in tables_of(generation).items():
        typed = ", ".join(f"{column} {_type(column)}" for column in columns)
        connection.execute(f"CREATE TABLE {name} ({typed})")
        for row in rows[name]:
            _insert(connection, name, {k: v for k, v in row.items() if k in columns})
    connection.commit()
    if wal:
        _keep_log(connection, path)
    connection.close()
    return path


def tables_of(generation: str) -> dict[str, tuple[str, ...]]:
    """The columns of each table that a generation has."""
    tables = {"trades": GENERATIONS[generation]}
    if generation in _ORDERS:
        tables["orders"] = tuple(_ORDERS[generation].split())
    if generation in ("2024", "2026"):
        tables["trade_custom_data"] = ("id", "ft_trade_id", "cd_key", "cd_type", "cd_value")
    return tables


def _type(column: str) -> str:
    """The type of a column, which decides how SQLite keeps what is written."""
    if column == "id":
        return "INTEGER PRIMARY KEY"
    if column in ("timeframe", "ticker_interval", "ft_trade_id", "record_version"):
        return "INTEGER"
    if column.startswith("is_") or column == "ft_is_open":
        return "BOOLEAN"
    if column.endswith(("_date", "_last_update")):
        return "DATETIME"
    text = ("exchange", "pair", "currency", "reason", "status", "strategy", "tag", "_id", "mode",
            "side", "symbol", "type", "cd_")  # fmt: skip
    return "VARCHAR" if any(word in column for word in text) else "FLOAT"


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
