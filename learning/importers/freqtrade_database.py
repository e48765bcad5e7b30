"""Freqtrade's trade database (SQLite), of any generation: columns are read by name."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from learning.domain.scope import ScopeValue
from learning.errors import ImportRefused
from learning.importers.field_values import RowRejected, as_instant, as_name, as_number
from learning.importers.freqtrade_trades import (
    Fill,
    FreqtradeTerms,
    imported_trade,
    is_still_open,
    is_true,
    text,
    timeframe_of,
)
from learning.importers.import_report import ReportTally
from learning.importers.imported_trade import ImportedTrade
from learning.importers.source_file import sqlite_snapshot

NEEDED_COLUMNS: Final = ("id", "pair", "is_open", "open_rate", "close_rate", "open_date")
_TRADES_AT_ONCE: Final = 500
_DRY_RUN_ORDER: Final = "dry_run_"


@dataclass(frozen=True, slots=True)
class FreqtradeDatabase:
    """A database of freqtrade positions."""

    path: Path
    terms: FreqtradeTerms
    format: str = "freqtrade_database"

    @property
    def description(self) -> str:
        """Say what the source is."""
        return f"freqtrade trade database: {self.path.name}"

    def first_trade(self) -> str:
        """Return the identity of the first position: id, pair and open time.

        Open or closed: the first position stays the same when it closes.
        """
        with sqlite_snapshot(self.path) as connection:
            _require_trades(connection, self.path)
            row = connection.execute(
                "SELECT id, pair, open_date FROM trades ORDER BY id LIMIT 1"
            ).fetchone()
        if row is None:
            raise ImportRefused(f"{self.path.name} holds no trades")
        return f"{row['id']} {row['pair']} {row['open_date']}"

    def trades(self, tally: ReportTally) -> Iterator[ImportedTrade]:
        """Yield the usable positions by id; the rest is counted in the tally."""
        with sqlite_snapshot(self.path) as connection:
            _require_trades(connection, self.path)
            origin = self.terms.said_origin or _origin(connection, self.path)
            rows = connection.cursor().execute("SELECT * FROM trades ORDER BY id")
            seen: set[int] = set()
            while batch := rows.fetchmany(_TRADES_AT_ONCE):
                trades = [dict(row) for row in batch]
                yield from self._batch(trades, connection, origin, tally, seen)

    def _batch(
        self,
        batch: Sequence[Mapping[str, Any]],
        connection: sqlite3.Connection,
        origin: str,
        tally: ReportTally,
        seen: set[int],
    ) -> Iterator[ImportedTrade]:
        ids = [row["id"] for row in batch if isinstance(row["id"], int)]
        orders = _by_trade(connection, "orders", ids)
        custom = _by_trade(connection, "trade_custom_data", ids)
        for row in batch:
            tally.trades_found += 1
            try:
                _check_id(row["id"], seen)
                if is_still_open(row):
                    tally.trades_open += 1
                    continue
                found = orders.get(row["id"], [])
                yield self._trade(row, found, custom.get(row["id"], []), origin, tally)
            except RowRejected as why:
                place = row["id"] if isinstance(row["id"], int) else 0
                tally.reject(self.path.name, "trade", place, why)

    def _trade(
        self,
        row: Mapping[str, Any],
        orders: Sequence[Mapping[str, Any]],
        custom: Sequence[Mapping[str, Any]],
        origin: str,
        tally: ReportTally,
    ) -> ImportedTrade:
        fills = fills_of(orders, is_short=is_true(row, "is_short"))
        trade = imported_trade(
            row,
            trade_id=str(row["id"]),
            strategy=text(row, "strategy") or "",
            timeframe=timeframe_of(row),
            origin=origin,
            fills=fills,
            custom=custom_values(custom),
            terms=self.terms,
        )
        tally.actions_found += len(fills)
        tally.actions_usable += len(fills)
        return trade


def _check_id(trade_id: object, seen: set[int]) -> None:
    if not isinstance(trade_id, int):
        raise RowRejected("id", "must be an integer", trade_id)
    if trade_id in seen:
        raise RowRejected("id", "must differ from those before", trade_id)
    seen.add(trade_id)


def _require_trades(connection: sqlite3.Connection, path: Path) -> None:
    columns = _columns(connection, "trades")
    if not columns:
        raise ImportRefused(f"{path.name} is an SQLite database without freqtrade's table 'trades'")
    missing = [name for name in NEEDED_COLUMNS if name not in columns]
    if missing:
        raise ImportRefused(f"table 'trades' of {path.name} lacks the column {missing[0]!r}")


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    """Columns of a plain table; none where it is absent, or a view that could compute anything."""
    kind = connection.execute(
        "SELECT type FROM sqlite_master WHERE name = ? AND type = 'table'", (table,)
    ).fetchone()
    if kind is None:
        return set()
    return {
        row["name"] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
    }


def _origin(connection: sqlite3.Connection, path: Path) -> str:
    """Dry run where its orders or its name say so, else live."""
    if "order_id" in _columns(connection, "orders"):
        row = connection.execute("SELECT order_id FROM orders ORDER BY id LIMIT 1").fetchone()
        if row is not None and row["order_id"]:
            return "dry_run" if str(row["order_id"]).startswith(_DRY_RUN_ORDER) else "live"
    name = path.name.lower().replace("-", "").replace("_", "")
    return "dry_run" if "dryrun" in name else "live"


def _by_trade(
    connection: sqlite3.Connection, table: str, ids: Sequence[int]
) -> dict[int, list[dict[str, Any]]]:
    """Rows of a side table by the trade that they belong to."""
    found: dict[int, list[dict[str, Any]]] = {}
    if not ids or not {"id", "ft_trade_id"} <= _columns(connection, table):
        return found
    rows = connection.execute(
        f"SELECT * FROM {table} WHERE ft_trade_id BETWEEN ? AND ? ORDER BY id",  # noqa: S608
        (min(ids), max(ids)),
    )
    for row in rows:
        found.setdefault(row["ft_trade_id"], []).append(dict(row))
    return found


def fills_of(orders: Sequence[Mapping[str, Any]], *, is_short: bool) -> list[Fill]:
    """Return the orders that filled, in the order of time.

    Raises:
        RowRejected: If a filled order has no usable price or side.
    """
    entry_side = "sell" if is_short else "buy"
    fills: list[tuple[Any, Fill]] = []
    for place, order in enumerate(orders):
        fill = _fill(order, entry_side)
        if fill is not None:
            moment = fill.filled_at.timestamp() if fill.filled_at else float("inf")
            fills.append(((moment, place), fill))
    return [fill for _, fill in sorted(fills, key=lambda pair: pair[0])]


def _fill(order: Mapping[str, Any], entry_side: str) -> Fill | None:
    value: Any = None
    try:
        value = order.get("filled")
        amount = as_number(value)
        if amount is None or amount <= 0:
            return None
        value = order.get("average") or order.get("price") or order.get("ft_price")
        price = as_number(value)
        value = order.get("order_filled_date") or order.get("order_date")
        filled_at = as_instant(value)
    except ValueError as error:
        raise RowRejected("orders", str(error), value) from None
    side = order.get("ft_order_side") or order.get("side")
    if price is None or price <= 0:
        raise RowRejected("orders", "must have a price where they filled", price)
    if side not in ("buy", "sell", "stoploss"):
        raise RowRejected("orders", "must be of side buy, sell or stoploss", side)
    return Fill(side == entry_side, price, amount, filled_at)


def custom_values(rows: Sequence[Mapping[str, Any]]) -> dict[str, ScopeValue | float]:
    """Return a trade's custom data by key, read as its stored type says; what fails is left out.

    Examples:
        >>> custom_values([{"cd_key": "rsi", "cd_type": "float", "cd_value": "31.5"}])
        {'rsi': 31.5}
    """
    found: dict[str, ScopeValue | float] = {}
    for row in rows:
        key, kind, value = row.get("cd_key"), row.get("cd_type"), row.get("cd_value")
        try:
            parsed = _custom_value(str(kind), str(value))
        except (ValueError, RecursionError):
            continue
        if isinstance(key, str) and parsed is not None:
            found[key] = parsed
    return found


def _custom_value(kind: str, value: str) -> ScopeValue | float | None:
    if kind == "str":
        return as_name(value)
    if kind == "bool":
        return value.strip().lower()
    if kind in ("int", "float"):
        number = as_number(value)
        return int(number) if kind == "int" and number is not None else number
    parsed = json.loads(value) if kind == "json" else None
    return parsed if isinstance(parsed, str | int | float) else None
