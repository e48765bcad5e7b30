"""Fills in a table: time, symbol, side or signed quantity, price, and what else there is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from learning.importers.column_names import FILL_NAMES, TRADE_NAMES, plain_name, proposed
from learning.importers.context_columns import Parser, Role, TradeContext, context_of
from learning.importers.field_values import (
    RowRejected,
    as_instant,
    as_name,
    as_report_number,
    as_side,
)
from learning.importers.import_answers import (
    DATE_ORDER_QUESTION,
    ImportAnswers,
    ImportOption,
)
from learning.importers.import_report import ReportTally
from learning.importers.round_trips import EPOCH, Fill
from learning.importers.table_file import TableFile
from learning.importers.written_dates import day_order, needs_order

_repeated_name = lru_cache(maxsize=4096, typed=True)(as_name)
NEEDED: Final = ("time", "quantity", "price")
_UNIT: Final = re.compile(r"(.*?\d)\s*([A-Za-z][A-Za-z0-9]{1,9})")
_ORDER_PREFIX: Final = re.compile(r"([A-Za-z][A-Za-z0-9]{0,30}?)[-_].+")
_INVERSE: Final = re.compile(
    r"([A-Z0-9]{2,10})USD_(?:PERP|\d{6})|([A-Z0-9]{2,10})-USD-(?:SWAP|\d{6})|"
    r"[PF]I_([A-Z]{2,10})USD(?:_\d{6})?|(BTC|ETH)-(?:PERPETUAL|\d{1,2}[A-Z]{3}\d{2})"
)
_MICROSECOND: Final = timedelta(microseconds=1)
_LARGEST: Final = 1e15  # beyond it a price or quantity is mistyped
_SAMPLE: Final = 500
_UNFILLED: Final = frozenset({
    "canceled", "cancelled", "rejected", "expired", "new", "open", "working", "pending", "inactive",
    "untriggered", "deactivated", "failed",
})  # fmt: skip
_FILLED: Final = re.compile(r"fill|exec")
_NOTHING: Final = frozenset({"", "0", "0.0", "nan", "None", "-"})
NEVER_FILLED: Final = "an order that never filled"


@dataclass(frozen=True, slots=True)
class FillTable:
    """A table of fills.

    ``fee_sign`` is -1 where its costs are written as negative amounts; ``whole_tags`` where rules
    read the setup out of whole order ids; ``context`` are the columns that tell the context of a
    trade, which is that of its first fill.
    """

    table: TableFile
    columns: Mapping[str, str]
    answers: ImportAnswers
    zone: tzinfo
    fee_sign: int = 1
    day_first: bool | None = None
    whole_tags: bool = False
    context: Mapping[Role, Parser] = field(default_factory=dict)
    format: str = "fills_table"

    @property
    def path(self) -> Path:
        """The file."""
        return self.table.path

    @property
    def description(self) -> str:
        """Say what the file is."""
        return f"fills in {self.table.kind_name}: {self.path.name}"

    def fills(self, tally: ReportTally) -> Iterator[Fill]:
        """Yield the fills in the order of the file; count the rows in the tally."""
        read = dict.fromkeys(
            [*self.columns.values(), *(column for column, _ in self.context.values())]
        )
        for chunk in self.table.chunks(list(read)):
            for number, why in chunk.broken:
                tally.rows_found += 1
                tally.reject(self.path.name, "fill", number, why)
            columns = [chunk.columns[name] for name in read]
            for number, cells in zip(chunk.row_numbers, zip(*columns, strict=True), strict=True):
                tally.rows_found += 1
                try:
                    theirs = dict(zip(read, cells, strict=True))
                    row = {ours: theirs[column] for ours, column in self.columns.items()}
                    if self._never_filled(row):
                        tally.skip(NEVER_FILLED)
                        continue
                    yield self._fill(number, row, context_of(theirs, self.context))
                except RowRejected as why:
                    tally.reject(self.path.name, "fill", number, why)

    def _never_filled(self, cells: Mapping[str, object]) -> bool:
        """Whether a row is an order that did not trade, in a history of orders."""
        status = cells.get("status")
        if status is None or str(status).strip().lower() not in _UNFILLED:
            return False
        filled = cells["quantity"] if _FILLED.match(plain_name(self._theirs("quantity"))) else None
        return filled is None or str(filled).strip() in _NOTHING

    def _fill(self, row: int, cells: Mapping[str, object], context: TradeContext) -> Fill:
        at = self._read(cells, "time", self._instant)
        symbol = self._read(cells, "symbol", _repeated_name) or self.answers.symbol
        price = self._number(cells, "price")
        quantity = self._quantity(cells)
        if at is None or symbol is None or price is None:
            missing = "time" if at is None else "symbol" if symbol is None else "price"
            raise RowRejected(self._theirs(missing), "must be given", None)
        if not 0 < price <= _LARGEST:
            raise RowRejected(self._theirs("price"), "must be above 0 and no more than 1e15", price)
        fee, base_fee = self._fees(cells, symbol)
        order = self._read(cells, "order", as_name)
        hedge = self._read(cells, "hedge_side", _hedge_side)
        tag = self._text(cells, "tag") or (order if self.whole_tags else order_prefix(order))
        account = self._read(cells, "account", as_name)
        is_inverse = coin_of_inverse(symbol) is not None
        return Fill(
            key="/".join(part for part in (account, symbol, hedge) if part),
            symbol=symbol,
            at_us=(at - EPOCH) // _MICROSECOND,
            quantity=quantity,
            price=price,
            row=row,
            fee=fee,
            base_fee=base_fee,
            opens=None if hedge is None else (quantity > 0) == (hedge == "long"),
            can_short=self.answers.market != "spot",
            order=order,
            ref=self._read(cells, "ref", as_name),
            tag=tag,
            strategy=self._text(cells, "strategy"),
            stop=self._number(cells, "stop"),
            multiplier=self._number(cells, "multiplier") or (None if is_inverse else 1.0),
            currency=settled_in(symbol),
            is_inverse=is_inverse,
            context=context,
        )

    def _quantity(self, cells: Mapping[str, object]) -> float:
        quantity = self._number(cells, "quantity")
        side = self._read(cells, "side", _trade_side)
        if quantity is None or quantity == 0 or abs(quantity) > _LARGEST:
            raise RowRejected(self._theirs("quantity"), "must be a number other than 0", quantity)
        if side is None:
            if "side" in self.columns:
                raise RowRejected(self._theirs("side"), "must be given", None)
            return quantity
        return abs(quantity) * (1 if side == "long" else -1)

    def _fees(self, cells: Mapping[str, object], symbol: str) -> tuple[float | None, float]:
        """The costs in quote currency, and in the coin; None where they cannot be told."""
        if "fee" not in self.columns:
            return None, 0.0
        value = cells["fee"]
        try:
            number, unit = _with_unit(value, self.table.decimal)
        except ValueError as error:
            raise RowRejected(self._theirs("fee"), str(error), value) from None
        if number is None:
            return None, 0.0
        cost = number * self.fee_sign
        currency = self._read(cells, "fee_currency", as_name) or unit
        return fee_in(currency, cost, symbol)

    def _number(self, cells: Mapping[str, object], name: str) -> float | None:
        found: float | None = self._read(
            cells, name, lambda value: _with_unit(value, self.table.decimal)[0]
        )
        return found

    def _instant(self, value: object) -> datetime | None:
        return as_instant(value, zone=self.zone, day_first=self.day_first)

    def _text(self, cells: Mapping[str, object], name: str) -> str | None:
        value = cells.get(name)
        text = "" if value is None or value != value else str(value)
        return "".join(c if c.isprintable() else " " for c in text)[:200].strip() or None

    def _read(self, cells: Mapping[str, object], name: str, read: Any) -> Any:
        value = cells.get(name)
        if value is None:
            return None
        try:
            return read(value)
        except (ValueError, TypeError) as error:
            text = str(error) if "must " in str(error) else "must be a plain value"
            raise RowRejected(self._theirs(name), text, value) from None

    def _theirs(self, name: str) -> str:
        return self.columns.get(name, name)


def fill_columns(table: TableFile, said: Mapping[str, str]) -> dict[str, str] | None:
    """Return the columns of a table of fills, our name → theirs; None where it is none.

    A table with times or prices at which trades opened and closed holds trades, not fills.
    """
    trades = proposed(table.columns, TRADE_NAMES, said)
    both = any({f"entry_{what}", f"exit_{what}"} <= set(trades) for what in ("time", "price"))
    if both or "exit_time" in said:
        return None
    columns = proposed(table.columns, FILL_NAMES, said)
    is_fills = all(name in columns for name in NEEDED)
    return columns if is_fills and ("side" in columns or "symbol" in columns) else None


@dataclass(frozen=True, slots=True)
class SeenFills:
    """What the first rows of a table of fills show; ``side`` is the column that tells it."""

    fee_sign: int
    has_offset: bool
    side: str | None
    day_first: bool | None
    asks_order: bool


def seen_fills(table: TableFile, columns: Mapping[str, str]) -> SeenFills:
    """Look at the first rows: how costs are signed, and whether times carry their offset."""
    candidates = _side_columns(table, columns)
    wanted = [columns[name] for name in ("fee", "time") if name in columns] + candidates
    chunk = next(iter(table.chunks(wanted)), None)
    cells = {} if chunk is None else chunk.columns
    fees = list(cells.get(columns.get("fee", ""), ()))[:_SAMPLE]
    times = list(cells.get(columns.get("time", ""), ()))[:_SAMPLE]
    signs = [_sign(value, table.decimal) for value in fees]
    return SeenFills(
        fee_sign=-1 if sum(signs) < 0 else 1,
        has_offset=all(_is_absolute(value) for value in times),
        side=next(
            (c for c in candidates if _mostly(list(cells.get(c, ()))[:_SAMPLE], _trade_side)), None
        ),
        day_first=day_order(times),
        asks_order=day_order(times) is None and needs_order(times),
    )


def _side_columns(table: TableFile, columns: Mapping[str, str]) -> list[str]:
    """Columns that by their names may tell the side, the proposed one first."""
    others = [c for c in table.columns if plain_name(c) in FILL_NAMES["side"]]
    taken = {theirs for ours, theirs in columns.items() if ours != "side"}
    named = [columns["side"]] if "side" in columns else []
    return list(dict.fromkeys([*named, *(c for c in others if c not in taken)]))


def fill_options(
    table: TableFile, columns: Mapping[str, str], answers: ImportAnswers, seen: SeenFills
) -> tuple[ImportOption, ...]:
    """Return what a table of fills lacks and nobody has said."""
    asked = []
    if seen.asks_order and answers.date_order is None:
        asked.append(DATE_ORDER_QUESTION)
    if "symbol" not in columns and answers.symbol is None:
        sentence = f"{table.path.name} has no column that names what was traded"
        asked.append(ImportOption("symbol", "text", sentence, required=True))
    if answers.market is None and "hedge_side" not in columns:
        sentence = "fills do not tell whether a sale without a position is a short or a withdrawal"
        asked.append(ImportOption("market", "choice", sentence, choices=("spot", "derivative")))
    return tuple(asked)


def _mostly(values: list[object], read: Any) -> bool:
    """Whether more than half of the values that are given can be read."""
    given = [value for value in values if value is not None and str(value).strip()]
    return bool(given) and sum(_reads(value, read) for value in given) * 2 > len(given)


def _reads(value: object, read: Any) -> bool:
    try:
        return read(value) is not None
    except (ValueError, TypeError):
        return False


def _sign(value: object, decimal: str) -> int:
    try:
        number = _with_unit(value, decimal)[0] or 0.0
    except ValueError:
        return 0
    return (number > 0) - (number < 0)


def _is_absolute(value: object) -> bool:
    """Whether a time needs no zone: it has an offset, or is a number since 1970."""
    if isinstance(value, datetime):
        return value.tzinfo is not None
    if not isinstance(value, str):
        return True
    text = value.strip()
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return ":" not in text


def _with_unit(value: object, decimal: str) -> tuple[float | None, str | None]:
    """A number, and the unit that some exports write behind it: ``0.5BTC``."""
    unit = None
    if isinstance(value, str) and not value[-1:].isdecimal():
        found = _UNIT.fullmatch(value.strip())
        if found is not None and not re.fullmatch(r"[eE][+-]?\d+", found[2]):
            value, unit = found[1], found[2]
    return as_report_number(value, decimal=decimal), unit


@lru_cache(maxsize=1024, typed=True)
def _trade_side(value: object) -> str | None:
    """long for what was bought, short for what was sold; ``BUY LIMIT`` and ``open long`` too."""
    if isinstance(value, bool):  # isBuyer
        return "long" if value else "short"
    text = str(value).strip().lower()
    words = re.split(r"[^a-z0-9.+-]+", text)
    if {"open", "close"} & set(words) and {"long", "short"} & set(words):
        return "long" if ("open" in words) == ("long" in words) else "short"
    for word in words:
        if word in ("bot", "bought", "buying", "kauf"):
            return "long"
        if word in ("sld", "sold", "selling", "verkauf"):
            return "short"
    first = next((word for word in words if word in ("buy", "sell", "long", "short")), None)
    return as_side(first or value)


@lru_cache(maxsize=1024, typed=True)
def _hedge_side(value: object) -> str | None:
    text = str(value).strip().lower()
    return None if text in ("both", "net", "", "none", "nan") else as_side(value)


@lru_cache(maxsize=4096)
def quote_of(symbol: str) -> str | None:
    """Return the quote currency of a symbol; None where it does not tell.

    Examples:
        >>> quote_of("BTC/USDT:USDT"), quote_of("ETH-EUR"), quote_of("SOLUSDT"), quote_of("AAPL")
        ('USDT', 'EUR', 'USDT', None)
    """
    pair = symbol.upper().partition(":")[0]
    for mark in ("/", "-", "_"):
        if mark in pair:
            return pair.split(mark)[1] or None
    for quote in ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD", "EUR", "BTC", "ETH"):
        if pair.endswith(quote) and len(pair) > len(quote):
            return quote
    return None


def base_of(symbol: str) -> str:
    """Return what is traded: the symbol without its quote currency.

    Examples:
        >>> base_of("BTC/USDT:USDT"), base_of("SOLUSDT"), base_of("AAPL")
        ('BTC', 'SOL', 'AAPL')
    """
    pair = symbol.upper().partition(":")[0]
    for mark in ("/", "-", "_"):
        if mark in pair:
            return pair.split(mark)[0]
    quote = quote_of(symbol)
    return pair.removesuffix(quote) if quote else pair


def settled_in(symbol: str) -> str | None:
    """Return the currency of a symbol's profits: its quote, or the coin of an inverse contract."""
    return coin_of_inverse(symbol) or quote_of(symbol)


@lru_cache(maxsize=4096)
def coin_of_inverse(symbol: str) -> str | None:
    """Return the coin that an inverse contract is settled in; None where a symbol names none.

    As ccxt, Binance, OKX, Kraken and Deribit write them; others look like spot pairs.

    Examples:
        >>> coin_of_inverse("BTC/USD:BTC-241227"), coin_of_inverse("ETHUSD_PERP")
        ('BTC', 'ETH')
        >>> coin_of_inverse("BTC-USD-SWAP"), coin_of_inverse("PI_XBTUSD")
        ('BTC', 'XBT')
        >>> coin_of_inverse("BTC/USDT:USDT"), coin_of_inverse("BTC-USDT-SWAP")
        (None, None)
    """
    named = symbol.upper()
    pair, _, settled = named.partition(":")
    if settled and "/" in pair:
        coin = pair.partition("/")[0]
        return coin if settled.partition("-")[0] == coin else None
    found = _INVERSE.fullmatch(named)
    return None if found is None else next(coin for coin in found.groups() if coin)


def fee_in(currency: str | None, cost: float, symbol: str) -> tuple[float | None, float]:
    """Return a cost in quote currency, and in units of the coin; None: in neither.

    Examples:
        >>> fee_in("USDT", 0.1, "BTC/USDT"), fee_in("BTC", 0.001, "BTC/USDT")
        ((0.1, 0.0), (0.0, 0.001))
        >>> fee_in("BNB", 0.01, "BTC/USDT"), fee_in("BNB", 0.0, "BTC/USDT")
        ((None, 0.0), (0.0, 0.0))
        >>> fee_in("BTC", 0.001, "BTCUSD_PERP")  # settled in coin: its money
        (0.001, 0.0)
    """
    if currency is None or cost == 0:
        return cost, 0.0
    quote, named = settled_in(symbol), currency.upper()
    settled = symbol.upper().partition(":")[2].partition("-")[0]
    if quote is None or named in (quote, settled):
        return cost, 0.0
    return (0.0, cost) if named == base_of(symbol) else (None, 0.0)


def order_prefix(order: str | None) -> str | None:
    """Return the setup that bots write before their order ids.

    Examples:
        >>> order_prefix("breakout-000123"), order_prefix("8813471"), order_prefix(None)
        ('breakout', None, None)
    """
    found = None if order is None else _ORDER_PREFIX.fullmatch(order)
    return None if found is None else found[1]
