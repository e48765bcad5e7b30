"""Hummingbot's database: executors, each a closed position; or its fills, which have no setups."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from learning.errors import ImportRefused
from learning.importers.closed_position import ClosedPosition, ImportTerms, trade_of
from learning.importers.field_values import RowRejected, as_instant, as_name, as_number
from learning.importers.fill_reader import FillReader
from learning.importers.import_report import ReportTally
from learning.importers.imported_trade import ImportedTrade, TradeAction
from learning.importers.opened_file import RISK_QUESTION, ImportSettings, Opened, SourceFile
from learning.importers.round_trips import EPOCH, Fill
from learning.importers.source_file import sqlite_snapshot
from learning.importers.trade_outcomes import price_return_pct

_POSITIONS: Final = frozenset({"position_executor", "dca_executor"})
_CLOSE_TYPES: Final = {
    1: "time_limit", 2: "stop_loss", 3: "take_profit", 4: "expired", 5: "early_stop",
    6: "trailing_stop", 7: "insufficient_balance", 8: "failed", 9: "completed",
    10: "position_hold",
}  # fmt: skip
_HELD: Final = 10
_EARLY_FILLED: Final = ("net_pnl_quote", "cum_fees_quote")  # not 0 where an executor of 2023 filled
_NEEDED: Final = ("id", "timestamp", "type", "close_timestamp", "config", "net_pnl_pct")
_SCALE: Final = 1e-6  # prices, amounts and fees of fills are integers of millionths; once floats
_MICROSECOND: Final = timedelta(microseconds=1)
STILL_OPEN: Final = "an executor that is still active"
NEVER_FILLED: Final = "an executor that never filled"
NO_POSITION: Final = "an executor of another kind than a position"
HELD_ON: Final = "an executor whose position was held on"
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HummingbotExecutors:
    """The executors of a database that opened and closed a position."""

    path: Path
    terms: ImportTerms
    format: str = "hummingbot"

    @property
    def description(self) -> str:
        """Say what the source is."""
        return f"Hummingbot executors: {self.path.name}"

    def first_trade(self) -> str:
        """Return the identity of the earliest executor: id, pair and time."""
        with sqlite_snapshot(self.path) as connection:
            row = connection.execute(
                "SELECT id, timestamp, config FROM Executors WHERE timestamp IS NOT NULL "
                "ORDER BY timestamp, id LIMIT 1"
            ).fetchone()
        if row is None:
            raise ImportRefused(f"{self.path.name} holds no executors")
        return f"{row['id']} {_pair(row['config'])} {row['timestamp']}"

    def trades(self, tally: ReportTally) -> Iterator[ImportedTrade]:
        """Yield the closed positions by time; the rest is counted in the tally."""
        with sqlite_snapshot(self.path) as connection:
            rows = connection.execute("SELECT * FROM Executors ORDER BY timestamp, id")
            for place, row in enumerate(rows, start=1):
                tally.rows_found += 1
                try:
                    found = self._read(dict(row))
                except RowRejected as why:
                    tally.trades_found += 1
                    tally.reject(self.path.name, "trade", place, why)
                    continue
                if isinstance(found, str):
                    tally.skip(found)
                else:
                    tally.trades_found += 1
                    tally.rows_imported += 1
                    yield found

    def _read(self, record: Record) -> ImportedTrade | str:
        why_none = _no_position(record)
        if why_none is not None:
            return why_none
        position = _position(record)
        if self.terms.tags is not None:  # they read what the user named: the controller
            position = replace(position, tag=position.strategy, strategy=None)
        return trade_of(position, self.terms)


def _pair(config: object) -> str:
    try:
        return str(_object(config).get("trading_pair"))
    except RowRejected:
        return ""


def _no_position(record: Record) -> str | None:
    """Why an executor is no closed position; None where it is one."""
    if record.get("type") not in _POSITIONS:
        return NO_POSITION
    if record.get("is_active") or record.get("close_timestamp") is None:
        return STILL_OPEN
    filled = ("filled_amount_quote",) if "filled_amount_quote" in record else _EARLY_FILLED
    if not any(_number(record, name) for name in filled):
        return NEVER_FILLED
    return HELD_ON if record.get("close_type") == _HELD else None


def _position(record: Record) -> ClosedPosition:
    config, custom = _object(record.get("config")), _object(record.get("custom_info"))
    side = _side(config.get("side"), custom.get("side"))
    opened, closed = _instant(record, "timestamp"), _instant(record, "close_timestamp")
    entry = _price(custom, "current_position_average_price") or _price(config, "entry_price")
    sold = _price(custom, "close_price")
    net = _number(record, "net_pnl_pct")
    if net is None:
        raise RowRejected("net_pnl_pct", "must be given", None)
    value = _entry_value(record, net)
    costs = _number(record, "cum_fees_quote")
    name = _text(str(record["id"])) if isinstance(record.get("id"), str | int) else None
    if name is None:
        raise RowRejected("id", "must be given", record.get("id"))
    return ClosedPosition(
        trade_id=name,
        side=side,
        opened_at=opened,
        closed_at=closed,
        entry_price=entry,
        exit_price=sold,
        gross_pct=_gross_pct(side, entry, sold, net, costs, value),
        net_pct=net * 100.0,
        actions=(TradeAction("entry", opened), TradeAction("exit", closed)),
        stop_pct=_stop_pct(config),
        pnl_amount=_number(record, "net_pnl_quote"),
        entry_value=value,
        currency=_quote(config),
        symbol=_text(config.get("trading_pair")),
        exit_reason=_CLOSE_TYPES.get(record.get("close_type") or 0),
        strategy=_text(record.get("controller_id")) or _text(config.get("controller_id")),
        tag=str(record["type"]).removesuffix("_executor"),
        scope={"exchange": _text(config.get("connector_name"))},
        knobs=_leverage(config),
    )


def _gross_pct(
    side: str,
    entry: float | None,
    sold: float | None,
    net: float,
    costs: float | None,
    value: float | None,
) -> float:
    """The price return: of its two prices, else what it earned after costs and the costs."""
    if entry is not None and sold is not None:
        return price_return_pct(side, entry, sold)
    share = costs / value if costs is not None and value else 0.0
    return (net + share) * 100.0


def _entry_value(record: Record, net: float) -> float | None:
    """What was put in, in quote currency: both legs are counted in what was filled."""
    pnl, filled = _number(record, "net_pnl_quote"), _number(record, "filled_amount_quote")
    if pnl is not None and abs(net) > 1e-9 and pnl / net > 0:
        return pnl / net
    return filled / 2 if filled else None


def _stop_pct(config: Record) -> float | None:
    """The distance of the stop: a ratio in the triple barrier, or in the config of a DCA."""
    barrier = config.get("triple_barrier_config")
    source = barrier if isinstance(barrier, dict) else config
    ratio = _number(source, "stop_loss")
    return None if not ratio else abs(ratio) * 100.0


def _leverage(config: Record) -> dict[str, float]:
    leverage = _number(config, "leverage")
    return {} if leverage is None else {"leverage": leverage}


def _side(*given: object) -> str:
    for value in given:
        text = str(value).upper().removeprefix("TRADETYPE.")
        if text in ("1", "BUY", "LONG"):
            return "long"
        if text in ("2", "SELL", "SHORT"):
            return "short"
    raise RowRejected("side", "must be 1 (buy) or 2 (sell)", given[0])


def _object(text: object) -> dict[str, Any]:
    """A JSON column; what is none says nothing."""
    if isinstance(text, dict):
        return text
    try:
        found = json.loads(text) if isinstance(text, str | bytes) else {}
        found = json.loads(found) if isinstance(found, str) else found
    except (ValueError, RecursionError):
        raise RowRejected("config", "must be JSON", text) from None
    return found if isinstance(found, dict) else {}


def _number(record: Record, name: str) -> float | None:
    value = record.get(name)
    try:
        return as_number(value)
    except ValueError as error:
        raise RowRejected(name, str(error), value) from None


def _price(record: Record, name: str) -> float | None:
    price = _number(record, name)
    return price if price is not None and price > 0 else None


def _instant(record: Record, name: str) -> datetime:
    value = record.get(name)
    try:
        found = as_instant(value)
    except (ValueError, OverflowError) as error:
        raise RowRejected(name, str(error), value) from None
    if found is None:
        raise RowRejected(name, "must be given", None)
    return found


def _text(value: object) -> str | None:
    try:
        return as_name(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _quote(config: Record) -> str | None:
    pair = _text(config.get("trading_pair"))
    return None if pair is None else pair.partition("-")[2] or None


@dataclass(frozen=True, slots=True)
class HummingbotFills:
    """The fills of a database without executors: quoting, not setups."""

    path: Path
    format: str = "hummingbot_fills"

    @property
    def description(self) -> str:
        """Say what the file is."""
        return f"Hummingbot fills, without executors: {self.path.name}"

    def fills(self, tally: ReportTally) -> Iterator[Fill]:
        """Yield the fills by time; count the rows in the tally."""
        with sqlite_snapshot(self.path) as connection:
            scale = 1.0 if "FLOAT" in _declared(connection, "TradeFill", "price") else _SCALE
            rows = connection.execute("SELECT * FROM TradeFill ORDER BY timestamp, rowid")
            for place, row in enumerate(rows, start=1):
                tally.rows_found += 1
                try:
                    yield _fill(place, dict(row), scale)
                except RowRejected as why:
                    tally.reject(self.path.name, "fill", place, why)


def _fill(place: int, record: Record, scale: float) -> Fill:
    symbol, market = _text(record.get("symbol")), _text(record.get("market")) or ""
    price, amount = _number(record, "price"), _number(record, "amount")
    fee = _number(record, "trade_fee_in_quote")
    side = str(record.get("trade_type")).upper()
    if symbol is None or side not in ("BUY", "SELL"):
        name = "symbol" if symbol is None else "trade_type"
        raise RowRejected(name, "must be given", record.get(name))
    if not price or not amount or price < 0 or amount < 0:
        raise RowRejected("price" if not price else "amount", "must be above 0", price)
    action = str(record.get("position")).upper()
    order, ref = _text(record.get("order_id")), _text(record.get("exchange_trade_id"))
    return Fill(
        key=f"{market}/{symbol}",
        symbol=symbol,
        at_us=(_instant(record, "timestamp") - EPOCH) // _MICROSECOND,
        quantity=amount * scale * (1 if side == "BUY" else -1),
        price=price * scale,
        row=place,
        fee=None if fee is None else fee * scale,
        opens={"OPEN": True, "CLOSE": False}.get(action),
        can_short="perpetual" in market or action in ("OPEN", "CLOSE"),
        order=order,
        ref=ref,
        strategy=_text(record.get("config_file_path")) or _text(record.get("strategy")),
        currency=_text(record.get("quote_asset")),
    )


def open_hummingbot(file: SourceFile, settings: ImportSettings) -> Opened | None:
    """Open a database of Hummingbot; None where a file is none."""
    if file.kind != "sqlite":
        return None
    with sqlite_snapshot(file.path) as connection:
        executors = _columns(connection, "Executors")
        fills = _columns(connection, "TradeFill")
        closed = set(_NEEDED) <= executors and _has_positions(connection)
    if not executors and not fills:
        return None
    answers = settings.answers
    asked = answers.risk_pct is None and answers.risk_amount is None
    options = (RISK_QUESTION,) if asked else ()
    terms = settings.terms(origin="live", family="hummingbot")
    if closed:
        return Opened(
            HummingbotExecutors(file.path, terms), options, ("setups are its controllers",)
        )
    if not {"symbol", "price", "amount", "trade_type", "timestamp"} <= fills:
        raise ImportRefused(f"{file.path.name} is a Hummingbot database without closed positions")
    told = ("it has fills but no executors: quoting has no setups, so expect little to learn",)
    return Opened(FillReader(HummingbotFills(file.path), terms), options, told)


def _declared(connection: sqlite3.Connection, table: str, column: str) -> str:
    """The type that a column was declared with."""
    row = connection.execute(
        "SELECT type FROM pragma_table_info(?) WHERE name = ?", (table, column)
    ).fetchone()
    return "" if row is None else str(row["type"]).upper()


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    kind = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE name = ? AND type = 'table'", (table,)
    ).fetchone()
    rows: Sequence[sqlite3.Row] = (
        connection.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
        if kind
        else ()
    )
    return {row["name"] for row in rows}


def _has_positions(connection: sqlite3.Connection) -> bool:
    marks = ", ".join("?" * len(_POSITIONS))
    query = f"SELECT 1 FROM Executors WHERE type IN ({marks}) LIMIT 1"  # noqa: S608
    return connection.execute(query, tuple(_POSITIONS)).fetchone() is not None
