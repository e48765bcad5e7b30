"""Freqtrade's backtest exports (.json, .zip, or the results folder) and REST trade lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from learning.errors import ImportRefused
from learning.importers.field_values import RowRejected, as_instant, as_number
from learning.importers.freqtrade_trades import (
    Fill,
    FreqtradeTerms,
    imported_trade,
    instant,
    is_still_open,
    is_true,
    text,
    timeframe_of,
)
from learning.importers.import_report import ReportTally
from learning.importers.imported_trade import ImportedTrade
from learning.importers.json_stream import (
    BacktestPart,
    JsonRecord,
    backtest_parts,
    json_records,
)
from learning.importers.source_file import json_members, json_stream, kind_of

_ROW: Final = (
    "pair", "profit_ratio", "open_date", "close_date", "index", "trade_duration", "open_rate",
    "close_rate", "open_at_end", "sell_reason",
)  # fmt: skip
_OF_BLOCK: Final = ("timeframe", "ticker_interval", "stake_currency", "trading_mode")


@dataclass(frozen=True, slots=True)
class FreqtradeBacktest:
    """One export with one or several strategies; a trade is its strategy, pair and open time.

    The exports before 2020 (``has_rows``) are lists of rows, of one strategy that they do not name.
    """

    path: Path
    terms: FreqtradeTerms
    has_rows: bool = False
    format: str = "freqtrade_backtest"

    @property
    def description(self) -> str:
        """Say what the source is."""
        return f"freqtrade backtest export: {self.path.name}"

    def first_trade(self) -> str:
        """Return the identity of the earliest trade: strategy, pair and open time."""
        best: tuple[datetime, str] | None = None
        for part in self._parts():
            opened = _opened(part.value) if part.key == "trade" else None
            trade_id = None if opened is None else _trade_id(part.strategy, part.value, opened)
            if opened is not None and trade_id is not None:
                best = min(best, (opened, trade_id)) if best else (opened, trade_id)
        if best is None:
            raise ImportRefused(f"{self.path.name} holds no trades")
        return best[1]

    def trades(self, tally: ReportTally) -> Iterator[ImportedTrade]:
        """Yield the usable trades, strategy by strategy; the rest is counted in the tally."""
        seen: set[str] = set()
        blocks = self._blocks()
        rows: Counter[str] = Counter()
        for part in self._parts():
            if part.key != "trade":
                continue
            tally.trades_found += 1
            strategy = part.strategy
            rows[strategy] += 1
            try:
                trade = self._trade(strategy, blocks[strategy], part.value, seen, tally)
            except RowRejected as why:
                tally.reject(self.path.name, "trade", rows[strategy], why)
                continue
            if trade is not None:
                _extend_run(tally.runs, strategy, trade)
                yield trade

    def _blocks(self) -> dict[str, dict[str, Any]]:
        """What each strategy's block says beside its trades, which may stand after them."""
        blocks: dict[str, dict[str, Any]] = {}
        for part in self._parts():
            block = blocks.setdefault(part.strategy, {})
            if part.key in _OF_BLOCK:
                block[part.key] = part.value
        return blocks

    def _parts(self) -> Iterator[BacktestPart]:
        if self.has_rows:
            strategy = self.terms.answers.strategy or self.path.stem
            for record in json_records(self.path):
                yield BacktestPart(strategy, "trade", _named_row(record.value))
            return
        with json_stream(self.path, result_member(self.path)) as stream:
            yield from backtest_parts(stream, self.path.name)

    def _trade(
        self,
        strategy: str,
        block: Mapping[str, Any],
        raw: object,
        seen: set[str],
        tally: ReportTally,
    ) -> ImportedTrade | None:
        if not isinstance(raw, dict):
            raise RowRejected("trade", "must be an object", raw)
        if is_still_open(raw):
            tally.trades_open += 1
            return None
        opened = instant(raw, "opened")
        trade_id = None if opened is None else _trade_id(strategy, raw, opened)
        if trade_id is None:
            raise RowRejected("pair", "and open_date must be given", None)
        if trade_id in seen:
            raise RowRejected("trade", "must be the only one of its pair and open time", trade_id)
        fills = fills_of(raw.get("orders"), is_short=is_true(raw, "is_short"))
        trade = imported_trade(
            {"stake_currency": block.get("stake_currency"), **_mode(block), **raw},
            trade_id=trade_id,
            strategy=strategy,
            timeframe=timeframe_of(block),
            origin=self.terms.said_origin or "backtest",
            fills=fills,
            custom={},
            terms=self.terms,
        )
        seen.add(trade_id)
        tally.actions_found += len(fills)
        tally.actions_usable += len(fills)
        return trade


def _named_row(row: Any) -> Any:
    """A row of an export before 2020 under the names of later ones."""
    is_row = isinstance(row, list) and len(row) == len(_ROW)
    return dict(zip(_ROW, row, strict=True)) if is_row else row


def is_row_list(records: Sequence[JsonRecord]) -> bool:
    """Say whether the first records of a file are rows of a backtest before 2020."""
    rows = [_named_row(record.value) for record in records]
    return bool(rows) and all(
        isinstance(row, dict)
        and isinstance(row.get("pair"), str)
        and isinstance(row.get("open_rate"), int | float)
        and isinstance(row.get("open_at_end"), bool)
        for row in rows
    )


@dataclass(frozen=True, slots=True)
class FreqtradeTradeList:
    """A list of trades as freqtrade's REST interface and ``show-trades`` write it."""

    path: Path
    terms: FreqtradeTerms
    format: str = "freqtrade_trade_list"

    @property
    def description(self) -> str:
        """Say what the source is."""
        return f"freqtrade trade list: {self.path.name}"

    def _rows(self) -> Iterator[Any]:
        """The trades, one by one: a list, the list of an answer of the REST interface."""
        for record in json_records(self.path):
            value = record.value
            if isinstance(value, dict) and isinstance(value.get("trades"), list):
                yield from value["trades"]
            elif record.group in ("", "trades"):
                yield value

    def first_trade(self) -> str:
        """Return the identity of the trade with the lowest id: id, pair and open time."""
        found = [
            (raw["trade_id"], f"{raw['trade_id']} {raw.get('pair')} {opened.isoformat()}")
            for raw in self._rows()
            if isinstance(raw, dict)
            and isinstance(raw.get("trade_id"), int)
            and (opened := _opened(raw)) is not None
        ]
        if not found:
            raise ImportRefused(f"{self.path.name} holds no trades")
        return min(found)[1]

    def trades(self, tally: ReportTally) -> Iterator[ImportedTrade]:
        """Yield the usable trades in the order of the file; the rest is counted in the tally."""
        seen: set[int] = set()
        for row, raw in enumerate(self._rows(), start=1):
            tally.trades_found += 1
            try:
                trade = self._trade(raw, seen, tally)
            except RowRejected as why:
                tally.reject(self.path.name, "trade", row, why)
                continue
            if trade is not None:
                yield trade

    def _trade(self, raw: object, seen: set[int], tally: ReportTally) -> ImportedTrade | None:
        if not isinstance(raw, dict):
            raise RowRejected("trade", "must be an object", raw)
        trade_id = raw.get("trade_id")
        if type(trade_id) is not int:
            raise RowRejected("trade_id", "must be an integer", trade_id)
        if is_still_open(raw):
            tally.trades_open += 1
            return None
        if trade_id in seen:
            raise RowRejected("trade_id", "must differ from those before", trade_id)
        fills = fills_of(raw.get("orders"), is_short=is_true(raw, "is_short"))
        trade = imported_trade(
            raw,
            trade_id=str(trade_id),
            strategy=text(raw, "strategy") or "",
            timeframe=timeframe_of(raw),
            origin=self.terms.said_origin or _origin(raw),
            fills=fills,
            custom={},
            terms=self.terms,
        )
        seen.add(trade_id)
        tally.actions_found += len(fills)
        tally.actions_usable += len(fills)
        return trade


def is_backtest(path: Path, member: str | None = None) -> bool:
    """Say whether a file, or a member of a zip, holds strategies with lists of trades.

    Raises:
        ImportRefused: If it is no JSON.
    """
    with json_stream(path, member) as stream:
        return any(part.key == "trades" for part in backtest_parts(stream, path.name))


def is_trade_list(records: Sequence[JsonRecord]) -> bool:
    """Say whether the first records of a file are trades as the REST interface gives them."""
    for record in records:
        value = record.value
        if isinstance(value, dict) and isinstance(value.get("trades"), list):
            return True
        if isinstance(value, dict) and record.group in ("", "trades"):
            return {"trade_id", "open_rate"} <= set(value)
    return False


def result_member(path: Path) -> str | None:
    """Return the member of a zip that is a backtest's result; None for a plain file.

    Raises:
        ImportRefused: If a zip holds no result, or several.
    """
    if kind_of(path) != "zip":
        return None
    results = [name for name in json_members(path) if is_backtest(path, name)]
    if len(results) != 1:
        raise ImportRefused(
            f"{path.name} must hold one freqtrade backtest result, holds {len(results)}"
        )
    return results[0]


def fills_of(orders: object, *, is_short: bool) -> list[Fill]:
    """Return the fills of an export's ``orders``, in the order of time; none where it has none.

    Raises:
        RowRejected: If an order is malformed.
    """
    if orders is None:
        return []
    if not isinstance(orders, list):
        raise RowRejected("orders", "must be a list", orders)
    fills = [fill for order in orders if (fill := _fill(order, is_short)) is not None]
    last = float("inf")
    return sorted(fills, key=lambda f: f.filled_at.timestamp() if f.filled_at else last)


def _fill(order: object, is_short: bool) -> Fill | None:
    if not isinstance(order, dict):
        raise RowRejected("orders", "must hold objects", order)
    value: Any = None
    try:
        value = order.get("filled", order.get("amount"))
        amount = as_number(value)
        if amount is None or amount <= 0:
            return None
        value = order.get("safe_price") or order.get("average") or order.get("price")
        price = as_number(value)
        value = order.get("order_filled_timestamp")
        filled_at = as_instant(value)
    except ValueError as error:
        raise RowRejected("orders", str(error), value) from None
    if filled_at is None:
        return None  # never filled: a limit order that was cancelled
    if price is None or price <= 0:
        raise RowRejected("orders", "must have a price where they filled", price)
    is_entry = order.get("ft_is_entry")
    if is_entry is None:
        is_entry = order.get("ft_order_side") == ("sell" if is_short else "buy")
    return Fill(bool(is_entry), price, amount, filled_at)


def _opened(raw: object) -> datetime | None:
    """Open time of a trade whose other values may still be malformed."""
    try:
        return instant(raw, "opened") if isinstance(raw, dict) else None
    except RowRejected:
        return None


def _trade_id(strategy: str, raw: Mapping[str, Any], opened: datetime) -> str | None:
    """What a trade of a backtest is, whichever run it is from."""
    pair = raw.get("pair")
    if not isinstance(pair, str) or not pair:
        return None
    return f"{strategy}/{pair}/{round(opened.timestamp() * 1000)}"


def _extend_run(runs: dict[str, Any], strategy: str, trade: ImportedTrade) -> None:
    """Keep what a strategy's run covers, so that a re-run of it can be told from new evidence."""
    opened = trade.opened_at.isoformat()
    run = runs.setdefault(strategy, {"first_open": opened, "last_open": opened, "pairs": {}})
    run["first_open"] = min(run["first_open"], opened)
    run["last_open"] = max(run["last_open"], opened)
    symbol = trade.summary["symbol"]
    run["pairs"][symbol] = run["pairs"].get(symbol, 0) + 1


def _mode(block: Mapping[str, Any]) -> dict[str, Any]:
    return {"trading_mode": block["trading_mode"]} if "trading_mode" in block else {}


def _origin(raw: Mapping[str, Any]) -> str:
    """Dry run where the ids of its orders say so, else live."""
    orders: Sequence[Any] = raw.get("orders") or ()
    first = orders[0] if orders and isinstance(orders[0], dict) else {}
    return "dry_run" if str(first.get("order_id", "")).startswith("dry_run_") else "live"
