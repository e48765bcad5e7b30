"""Fills and orders as ccxt unifies them, in JSON or CSV.

Of orders, what filled counts: a cancelled order with a part filled is a fill too. Reduce-only
orders with a trigger, placed with an entry, are its stop; an entry's own ``stopLossPrice`` is
before that. Contracts are turned into coins by the cost, which ccxt states in quote currency.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

from learning.errors import ImportRefused
from learning.importers.field_values import RowRejected, as_instant, as_name, as_number
from learning.importers.fill_reader import FillReader, ProtectiveStop
from learning.importers.fill_table import coin_of_inverse, fee_in, order_prefix, settled_in
from learning.importers.import_answers import ImportAnswers
from learning.importers.import_report import ReportTally
from learning.importers.json_stream import first_records, json_records
from learning.importers.opened_file import RISK_QUESTION, ImportSettings, Opened, SourceFile
from learning.importers.round_trips import EPOCH, Fill
from learning.importers.table_file import TableFile

Kind = Literal["trades", "orders"]
_MICROSECOND: Final = timedelta(microseconds=1)
_LARGEST: Final = 1e15
_NEVER_FILLED: Final = "an order that never filled"
_NOT_FINAL: Final = "an order that is still open"
_CELL_LENGTH: Final = 2000
_COLUMNS: Final[Mapping[Kind, frozenset[str]]] = {
    "trades": frozenset({"symbol", "side", "price", "amount", "takerOrMaker"}),
    "orders": frozenset({"symbol", "side", "filled", "status"}),
}
_BACKTEST: Final = re.compile(r'\s*\{\s*"(strategy|strategy_comparison|metadata)"')
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CcxtFile:
    """A file of ccxt's trades or orders; ``table`` where it is a CSV.

    ``whole_tags`` where rules read the setup out of whole client order ids.
    """

    path: Path
    kind: Kind
    answers: ImportAnswers
    table: TableFile | None = None
    whole_tags: bool = False

    @property
    def format(self) -> str:
        """Name of the format."""
        return f"ccxt_{self.kind}"

    @property
    def description(self) -> str:
        """Say what the file is."""
        name = "fills (fetchMyTrades)" if self.kind == "trades" else "orders (fetchClosedOrders)"
        return f"ccxt {name}: {self.path.name}"

    def fills(self, tally: ReportTally) -> Iterator[Fill | ProtectiveStop]:
        """Yield the fills in the order of the file; count the rows in the tally."""
        for row, group, value in self._records(tally):
            tally.rows_found += 1
            try:
                if not isinstance(value, dict):
                    raise RowRejected("record", "must be an object", value)
                record = value if value.get("symbol") or not group else {**value, "symbol": group}
                yield from self._fills_of(row, record, tally)
            except RowRejected as why:
                tally.reject(self.path.name, "fill", row, why)

    def _fills_of(
        self, row: int, record: Record, tally: ReportTally
    ) -> Iterator[Fill | ProtectiveStop]:
        if self.kind == "trades":
            yield self._trade(row, record)
            return
        stop = _protective(record, self._key(record))
        if stop is not None:
            yield stop
        fill = self._order(row, record, tally)
        if fill is not None:
            yield fill

    def _records(self, tally: ReportTally) -> Iterator[tuple[int, str, Any]]:
        if self.table is None:
            for record in json_records(self.path):
                yield record.place, record.group, record.value
            return
        for chunk in self.table.chunks(self.table.columns):
            for number, why in chunk.broken:
                tally.rows_found += 1
                tally.reject(self.path.name, "fill", number, why)
            names = self.table.columns
            columns = [chunk.columns[name] for name in names]
            for number, cells in zip(chunk.row_numbers, zip(*columns, strict=True), strict=True):
                yield number, "", _unflattened(dict(zip(names, cells, strict=True)))

    def _trade(self, row: int, record: Record) -> Fill:
        amount, price = _number(record, "amount"), _number(record, "price")
        return self._fill(row, record, amount, price, _time(record, "timestamp", "datetime"))

    def _order(self, row: int, record: Record, tally: ReportTally) -> Fill | None:
        amount = _number(record, "filled")
        status = str(record.get("status") or "").lower()
        if amount is None and status == "closed":
            amount = _number(record, "amount")
        if not amount:
            tally.skip(_NOT_FINAL if status == "open" else _NEVER_FILLED)
            return None
        if status == "open":
            tally.skip(_NOT_FINAL)
            return None
        cost = _number(record, "cost")
        price = _number(record, "average") or _number(record, "price")
        if not price and cost and not coin_of_inverse(_symbol(record)):
            price = cost / amount
        at = _time(record, "lastTradeTimestamp", "timestamp", "datetime", "lastUpdateTimestamp")
        return self._fill(row, record, amount, price, at)

    def _fill(
        self, row: int, record: Record, amount: float | None, price: float | None, at: int
    ) -> Fill:
        symbol = _symbol(record)
        side = str(record.get("side") or "").strip().lower()
        if side not in ("buy", "sell"):
            raise RowRejected("side", "must be buy or sell", record.get("side"))
        if not amount or not 0 < amount <= _LARGEST:
            raise RowRejected("amount", "must be above 0", amount)
        if not price or not 0 < price <= _LARGEST:
            raise RowRejected("price", "must be above 0", price)
        fee, base_fee = _fees(record, symbol, _cost(record, amount, price))
        hedge = _hedge_side(record)
        is_buy = side == "buy"
        order = _name(record, "order") if self.kind == "trades" else _name(record, "id")
        client = _client_id(record)
        leverage_stop = None if self.kind == "trades" else _number(record, "stopLossPrice")
        return Fill(
            key=self._key(record),
            symbol=symbol,
            at_us=at,
            quantity=amount if is_buy else -amount,
            price=price,
            row=row,
            fee=fee,
            base_fee=base_fee,
            opens=_opens(record, is_buy, hedge),
            can_short=self._can_short(symbol),
            order=order,
            ref=_name(record, "id"),
            tag=client if self.whole_tags else order_prefix(client),
            stop=leverage_stop if not _is_reducing(record) else None,
            multiplier=_contract_size(record, amount, price),
            currency=settled_in(symbol),
            is_inverse=coin_of_inverse(symbol) is not None,
        )

    def _key(self, record: Record) -> str:
        symbol, hedge = _symbol(record), _hedge_side(record)
        return f"{symbol}/{hedge}" if hedge else symbol

    def _can_short(self, symbol: str) -> bool:
        if self.answers.market is not None:
            return self.answers.market != "spot"
        return ":" in symbol or "/" not in symbol


def _symbol(record: Record) -> str:
    symbol = _name(record, "symbol")
    if symbol is None:
        raise RowRejected("symbol", "must be given", None)
    return symbol


def _name(record: Record, field: str) -> str | None:
    value = record.get(field)
    try:
        return as_name(value)
    except (ValueError, TypeError):
        raise RowRejected(field, "must be text or a number", value) from None


def _number(record: Record, field: str) -> float | None:
    value = record.get(field)
    try:
        return as_number(value)
    except ValueError as error:
        raise RowRejected(field, str(error), value) from None


def _time(record: Record, *fields: str) -> int:
    for field in fields:
        value = record.get(field)
        if value is None or value == "" or value != value:
            continue
        try:
            at = as_instant(value)
        except (ValueError, OverflowError) as error:
            raise RowRejected(field, str(error), value) from None
        if at is not None:
            return (at - EPOCH) // _MICROSECOND
    raise RowRejected(fields[0], "must be given", None)


def _cost(record: Record, amount: float, price: float) -> float | None:
    """What was paid, in the currency of profits; None where that is not known of a contract."""
    size = _contract_size(record, amount, price)
    if size is None:
        return None
    return amount * size / price if coin_of_inverse(_symbol(record)) else amount * size * price


def _fees(record: Record, symbol: str, cost: float | None) -> tuple[float | None, float]:
    """The costs in quote currency and in the coin; None where they are not known."""
    listed = record.get("fees")
    given = [fee for fee in listed if isinstance(fee, dict)] if isinstance(listed, list) else []
    single = record.get("fee")
    if not given and isinstance(single, dict):
        given = [single]
    elif not given and isinstance(single, int | float) and not isinstance(single, bool):
        given = [{"cost": single, "currency": record.get("feeCurrency")}]
    in_quote, in_base, known = 0.0, 0.0, False
    for fee in given:
        amount = _fee_number(fee, "cost")
        if amount is None:
            continue
        known = True
        quote, base = fee_in(_name(fee, "currency"), amount, symbol)
        if quote is None:
            rate = _fee_number(fee, "rate")
            quote = None if rate is None or cost is None else rate * cost
        if quote is None:
            return None, 0.0
        in_quote, in_base = in_quote + quote, in_base + base
    return (in_quote, in_base) if known else (None, 0.0)


def _fee_number(fee: Record, field: str) -> float | None:
    value = fee.get(field)
    try:
        return as_number(value)
    except ValueError as error:
        raise RowRejected("fee", str(error), value) from None


def _raw(record: Record) -> Record:
    raw = record.get("info")
    return raw if isinstance(raw, dict) else {}


def _hedge_side(record: Record) -> str | None:
    """The side of a hedged position, which only the exchange's own fields tell."""
    raw = _raw(record)
    said = raw.get("positionSide") or raw.get("posSide") or record.get("positionSide")
    text = str(said or "").lower()
    return text if text in ("long", "short") else None


def _is_reducing(record: Record) -> bool:
    return record.get("reduceOnly") in (True, "true", "True", 1)


def _opens(record: Record, is_buy: bool, hedge: str | None) -> bool | None:
    if hedge is not None:
        return is_buy == (hedge == "long")
    if _is_reducing(record):
        return False
    raw = _raw(record)
    try:
        realised = as_number(raw.get("realizedPnl"))
    except ValueError:
        realised = None
    return False if realised else None


def _client_id(record: Record) -> str | None:
    raw = _raw(record)
    for value in (record.get("clientOrderId"), raw.get("clientOrderId"), raw.get("clOrdId")):
        if isinstance(value, str) and value and value.isprintable():
            return value[:200]
    return None


def _contract_size(record: Record, amount: float, price: float) -> float | None:
    """Coins a contract: what the cost says, where it is not simply amount times price.

    Of an inverse contract, whose cost is in coin, units of its quote; None without a cost.
    """
    cost = _number(record, "cost")
    if coin_of_inverse(_symbol(record)):
        worth = abs(cost) * price / amount if cost else 0.0
        return float(f"{worth:.6g}") if 1e-9 < worth < 1e9 else None
    if not cost or cost <= 0 or ":" not in str(record.get("symbol")):
        return 1.0
    size = cost / (amount * price)
    return 1.0 if 0.5 < size < 2.0 or not 1e-9 < size < 1e9 else float(f"{size:.6g}")


def _protective(record: Record, key: str) -> ProtectiveStop | None:
    """The stop order that a record is; None where it is another order."""
    if not _is_reducing(record):
        return None
    trigger = next(
        (
            price
            for field in ("stopLossPrice", "triggerPrice", "stopPrice")
            if (price := _number(record, field))
        ),
        None,
    )
    if trigger is None or trigger <= 0 or "profit" in str(record.get("type") or "").lower():
        return None
    at = _time(record, "timestamp", "datetime")
    return ProtectiveStop(key, at, str(record.get("side")).lower() == "buy", trigger)


def _unflattened(cells: Mapping[str, object]) -> dict[str, Any]:
    """A record of a CSV: cells that hold JSON or a Python literal are read, never run."""
    record: dict[str, Any] = {}
    for name, cell in cells.items():
        value: Any = cell
        if isinstance(cell, str):
            text = cell.strip()
            value = _literal(text) if text[:1] in ("{", "[") else (text or None)
        outer, _, inner = name.replace("_", ".").partition(".")
        if inner and outer == "fee":
            fee = record.get("fee")
            record["fee"] = {**fee, inner: value} if isinstance(fee, dict) else {inner: value}
        elif not (name == "fee" and isinstance(record.get("fee"), dict)):
            record[name] = value
    if isinstance(record.get("fee"), str):
        record["fee"] = _plain_fee(record)
    return record


def _plain_fee(record: Record) -> dict[str, Any]:
    currency = record.get("feeCurrency") or record.get("fee_currency")
    return {"cost": record["fee"], "currency": currency}


def _literal(text: str) -> Any:
    if len(text) > _CELL_LENGTH:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def record_kind(records: Sequence[Any]) -> Kind | None:
    """Return what records are, by the fields of the first ones; None where they are others'."""
    objects = [record for record in records if isinstance(record, dict)]
    if not objects:
        return None
    fields = set().union(*objects)
    if {"side", "status", "filled"} <= fields:
        return "orders"
    if {"side", "price", "amount"} <= fields and fields & {"takerOrMaker", "order", "cost"}:
        return "trades"
    return None


def open_ccxt(file: SourceFile, settings: ImportSettings) -> Opened | None:
    """Open a JSON file of ccxt's structures; None where it holds others."""
    if file.kind != "json" or _BACKTEST.match(_head(file.path)):
        return None
    try:
        records = first_records(file.path, 20)
    except ImportRefused:
        return None  # whoever knows the file says what is wrong with it
    kind = record_kind([record.value for record in records])
    return None if kind is None else _opened(_file(file.path, kind, settings), settings)


def _head(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.read(400).decode("utf-8-sig", "replace")


def open_ccxt_table(table: TableFile, settings: ImportSettings) -> Opened | None:
    """Open a CSV of ccxt's structures; None where its columns are others'."""
    kind: Kind
    for kind in ("orders", "trades"):
        if _COLUMNS[kind] <= set(table.columns):
            return _opened(_file(table.path, kind, settings, table), settings)
    return None


def _file(
    path: Path, kind: Kind, settings: ImportSettings, table: TableFile | None = None
) -> CcxtFile:
    return CcxtFile(path, kind, settings.answers, table, settings.mapping.tags is not None)


def _opened(file: CcxtFile, settings: ImportSettings) -> Opened:
    answers = settings.answers
    asked = answers.risk_pct is None and answers.risk_amount is None
    told = ["symbols with a colon are derivatives, others spot (--market changes it)"]
    if file.kind == "trades":
        told.append("fills hold no stops; orders of the same account do")
    terms = settings.terms(origin="live", family=answers.strategy or "ccxt")
    options = (RISK_QUESTION,) if asked else ()
    return Opened(FillReader(file, terms), options, tuple(told))
