"""Closed trades in a table, one row a trade, with their actions in a second table where given.

At least these columns, under these names, mapped to them or called what others call them:
``entry_time``, ``exit_time``, and an outcome: ``r_multiple``, ``r_multiple_net`` or ``rr_path``,
or the side and prices from which a return follows. Where a table has no ``trade_id``, a trade is
what it says; of rows that say the same, each is a trade. Where it has no ``pattern_key``, its
strategy and its setup make one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final

from learning.domain.pattern_key import (
    Module,
    action_category,
    key_part,
    normalise_pattern_key,
)
from learning.domain.scope import ScopeValue
from learning.errors import ImportRefused
from learning.events.outcomes import path_rr
from learning.importers.action_table import ActionIndex, read_actions
from learning.importers.column_names import plain_name
from learning.importers.context_columns import CONTEXT_GROUPS, Parser, Role, context_columns
from learning.importers.field_values import RowRejected, as_instant, as_name, as_side
from learning.importers.fill_table import coin_of_inverse
from learning.importers.import_answers import ImportAnswers
from learning.importers.import_report import ReportTally
from learning.importers.imported_trade import ImportedTrade, TradeAction, check_closed
from learning.importers.mapping import ColumnMapping
from learning.importers.table_file import Chunk, TableFile
from learning.importers.tag_rules import TagReading
from learning.importers.trade_outcomes import (
    LEAST_PROFIT,
    LEAST_RISK,
    NoRisk,
    fixed_risk_pct,
    initial_risk_pct,
    price_return_pct,
)

_NUMBERS: Final = (
    "entry_price", "exit_price", "initial_stop", "return_pct", "return_net_pct",
    "max_drawdown_pct", "r_multiple", "r_multiple_net", "rr_path", "mfe_r", "mae_r",
    "hours_to_1r", "best_entry_price", "best_exit_price", "bars_to_mfe", "bars_to_mae",
    "risk_amount", "pnl_amount", "quantity", "fees",
)  # fmt: skip
_NAMES: Final = (
    "trade_id", "pattern_key", "symbol", "exit_reason", "currency", "timeframe", "action_category",
    "origin", "strategy", "tag", "status",
)  # fmt: skip
_OPEN: Final = frozenset({"open", "opened", "active", "running", "ongoing"})
_OUTCOMES: Final = ("r_multiple_net", "r_multiple", "rr_path")
_COPIED: Final = (
    "entry_price", "exit_price", "initial_stop", "return_pct", "return_net_pct",
    "max_drawdown_pct", "r_multiple", "r_multiple_net", "rr_path", "mfe_r", "mae_r",
    "risk_amount", "pnl_amount", "symbol", "side", "exit_reason", "currency",
)  # fmt: skip
_CONTENT: Final = (
    "symbol", "side", "entry_time", "exit_time", "entry_price", "exit_price", "quantity",
    "r_multiple", "r_multiple_net", "rr_path", "strategy", "tag",
)  # fmt: skip
_SIMULATION: Final = frozenset({"era", "signal_time", "bars_to_mfe", "bars_to_mae", "final_stop"})
_ORIGINS: Final = ("live", "dry_run", "backtest", "simulated")
_HOURS: Final = {"m": 1 / 60, "h": 1.0, "d": 24.0, "w": 168.0}
Row = dict[str, Any]
_GROUPS: Final = (*CONTEXT_GROUPS, "pattern")


@dataclass(frozen=True, slots=True)
class TradeTable:
    """A table of closed trades and, where given, the table of their actions."""

    table: TableFile
    actions: TableFile | None
    mapping: ColumnMapping
    dimensions: Mapping[Module, Sequence[str]]
    max_stop_distance: float
    origin: str | None = None
    closed_by: datetime | None = None
    answers: ImportAnswers = field(default_factory=ImportAnswers)
    day_first: bool | None = None
    format: str = "trade_table"

    @property
    def description(self) -> str:
        """Say what the source is."""
        text = f"closed trades in {self.table.kind_name}: {self.table.path.name}"
        return text + (f" with actions {self.actions.path.name}" if self.actions else "")

    def require_columns(self) -> None:
        """Refuse a table that lacks what a closed trade needs.

        Raises:
            ImportRefused: Naming the missing column.
        """
        named = [ours for ours in ("trade_id", "pattern_key") if ours in self.mapping.columns]
        for ours in ("entry_time", "exit_time", *named):
            if not self._has(ours):
                raise ImportRefused(self._lacks(ours, self.mapping.column(ours)))
        for theirs in _mapped_columns(self.mapping):
            is_made = theirs == "side" or (theirs == "tag" and self.mapping.tags is not None)
            if theirs not in self.table.columns and not is_made:
                raise ImportRefused(self._lacks(theirs, theirs))
        self._parsers(None)  # refuses more signals than can be kept
        if not any(self._has(name) for name in _OUTCOMES) and not self._has_prices():
            raise ImportRefused(
                f"{self.table.path.name} has no outcome: it needs r_multiple, r_multiple_net or "
                "rr_path, or side, entry_price and exit_price, with initial_stop or "
                "max_drawdown_pct where they are known"
            )

    def _has(self, ours: str) -> bool:
        return self.mapping.column(ours) in self.table.columns

    def _has_prices(self) -> bool:
        if self._has("return_pct") or self._has("return_net_pct"):
            return True
        sided = self._has("side") or self._has("quantity")
        return sided and self._has("entry_price") and self._has("exit_price")

    def _lacks(self, ours: str, theirs: str) -> str:
        known = ", ".join(name[:40] for name in self.table.columns[:40])
        meant = "" if ours == theirs else f" ({ours})"
        return (
            f"{self.table.path.name} lacks the column {theirs[:80]!r}{meant}; it has: {known}. "
            f"If one of them is it, a mapping file (--mapping) says so: columns: "
            f"{{{ours}: <its name>}}"
        )

    @property
    def quantity_is_lots(self) -> bool:
        """Say whether its quantity is in lots or contracts, whose size it does not tell."""
        return plain_name(self.mapping.column("quantity")) in ("lots", "contracts")

    @property
    def zone(self) -> tzinfo:
        """Return the zone of times without an offset."""
        return self.answers.zone or self.mapping.zone

    def time_sample(self) -> list[object]:
        """Return the times of the first rows, from which the order of day and month is told."""
        names = [self.mapping.column(name) for name in ("entry_time", "exit_time")]
        chunk = next(iter(self.table.chunks(names)), None)
        return [] if chunk is None else [cell for cells in chunk.columns.values() for cell in cells]

    def default_origin(self) -> str:
        """Return the origin of trades that do not name their own.

        Trades that carry the marks of a simulated path (bars to the extremes, signal time, era,
        final stop) are simulated; any other table of closed trades counts as live.
        """
        said = self.origin or self.mapping.origin
        simulated = set(self.table.columns) >= _SIMULATION
        return said or ("simulated" if simulated else "live")

    def first_trade(self) -> str:
        """Return the identity of the earliest trade: id, symbol and entry time.

        The earliest, not the topmost, so that a table sorted the other way, or grown, stays the
        same source.
        """
        tally = ReportTally()
        best: tuple[datetime, str, str] | None = None
        identity = ("trade_id",) if self._has("trade_id") else _CONTENT
        for row in self._rows(tally, only=("entry_time", "symbol", *identity)):
            trade_id = row["trade_id"] if self._has("trade_id") else _content_id(row)
            if trade_id is not None and row["entry_time"] is not None:
                found = (row["entry_time"], trade_id, row.get("symbol") or "")
                best = found if best is None else min(best, found)
        if best is None:
            raise ImportRefused(f"{self.table.path.name} has no trade with an id and a time")
        return f"{best[1]} {best[2]} {best[0].isoformat()}"

    def trades(self, tally: ReportTally) -> Iterator[ImportedTrade]:
        """Yield the usable trades in the order of the file; the rest is counted in the tally."""
        index = read_actions(self.actions, self.mapping, tally) if self.actions else ActionIndex()
        seen: dict[str, int] = {}
        for row in self._rows(tally):
            if (row.get("status") or "").lower() in _OPEN:  # its exit is the last price so far
                tally.trades_open += 1
                continue
            try:
                trade = self._trade(row, index, seen)
            except RowRejected as why:
                tally.reject(self.table.path.name, "trade", row["row"], why)
                continue
            yield trade
        tally.actions_usable = index.n_taken
        for number, trade_id in index.left():
            assert self.actions is not None
            orphan = RowRejected("trade_id", "must name a usable trade of its table", trade_id)
            tally.reject(self.actions.path.name, "action", number, orphan)

    def _rows(self, tally: ReportTally, only: Sequence[str] | None = None) -> Iterator[Row]:
        parsers = self._parsers(only)
        columns = [theirs for theirs, _ in parsers.values()]
        for chunk in self.table.chunks(columns):
            for number, why in chunk.broken:
                tally.trades_found += 1
                tally.reject(self.table.path.name, "trade", number, why)
            tally.trades_found += len(chunk.row_numbers)
            yield from _parsed_rows(chunk, parsers, tally, self.table.path.name, bool(only))

    def _parsers(self, only: Sequence[str] | None) -> dict[Role, Parser]:
        """Role of each value of a row → the column that holds it and how it is read."""

        def instant(value: object) -> datetime | None:
            return as_instant(value, zone=self.zone, day_first=self.day_first)

        column = self.mapping.column
        read: dict[Role, Parser] = {
            ("", name): (column(name), self.table.number) for name in _NUMBERS
        }
        read |= {("", name): (column(name), _repeated_name) for name in _NAMES}
        read["", "trade_id"] = (column("trade_id"), as_name)
        read |= {("", name): (column(name), instant) for name in ("entry_time", "exit_time")}
        read["", "side"] = (column("side"), as_side)
        read |= {("pattern", name): (name, as_name) for name in self.mapping.pattern_columns()}
        read |= context_columns(self.table, self.mapping, self.dimensions)
        if only is not None:
            read = {("", name): read["", name] for name in dict.fromkeys(only)}
        return {role: spec for role, spec in read.items() if spec[0] in self.table.columns}

    def _trade(self, row: Row, index: ActionIndex, seen: dict[str, int]) -> ImportedTrade:
        trade_id = self._trade_id(row, seen)
        opened_at, closed_at = _given(row, "entry_time"), _given(row, "exit_time")
        if closed_at < opened_at:
            raise RowRejected("exit_time", "must not be before entry_time", str(closed_at))
        check_closed("exit_time", closed_at, self.closed_by)
        row.setdefault("symbol", None)
        row["symbol"] = row["symbol"] or self.answers.symbol
        _side_of_quantity(row)
        if not _is_inverse(row):
            _value_units(row, in_lots=self.quantity_is_lots)
        summary, no_risk = _summary(row, self.max_stop_distance, self.answers)
        tag = None if self.mapping.tags is None else self.mapping.tags.read(row.get("tag"))
        pattern_key, origin = self._pattern_key(row, tag), self._origin(row)
        trade = ImportedTrade(
            trade_id=trade_id,
            pattern_key=pattern_key,
            origin=origin or self.default_origin(),
            opened_at=opened_at,
            closed_at=closed_at,
            scope={
                **self._said_scope(),
                **self.mapping.constants,
                **row["scope"],
                **(tag.scope if tag else {}),
            },
            signals={**(tag.signals if tag else {}), **row["signal"]},
            applied_knobs=row["knob"],
            summary=summary,
            actions=index.take(trade_id) or (_only_action(row, opened_at),),
            no_risk=no_risk,
            is_untagged="untagged" in pattern_key.split("."),
            origin_is_assumed=origin is None,
        )
        if self._has("trade_id"):
            seen[trade_id] = row["row"]
        return trade

    def _trade_id(self, row: Row, seen: dict[str, int]) -> str:
        """The id of a row, else what it says, counted where that repeats."""
        if self._has("trade_id"):
            given: str = _given(row, "trade_id")
            if given in seen:
                rule = f"was given before, in row {seen[given]}"
                raise RowRejected("trade_id", rule, given)
            return given
        content = _content_id(row)
        count = seen[content] = seen.get(content, -1) + 1
        return f"{content}/{count}" if count else content

    def _said_scope(self) -> dict[str, ScopeValue]:
        return {} if self.answers.timeframe is None else {"timeframe": self.answers.timeframe}

    def _origin(self, row: Row) -> str | None:
        """The origin that a person or the row names; None where neither does."""
        said: str | None = row.get("origin")
        if said is None or self.origin is not None:
            return self.origin or self.mapping.origin
        if said not in _ORIGINS:
            raise RowRejected("origin", f"must be one of {', '.join(_ORIGINS)}", said)
        return said

    def _pattern_key(self, row: Row, tag: TagReading | None) -> str:
        if self.mapping.pattern is not None:
            side = {"side": row["side"]} if row.get("side") else {}
            motif = {"tag": tag.motif} if tag else {}
            return self.mapping.pattern_key({**row["pattern"], **side, **motif})
        if not self._has("pattern_key"):
            return self._pattern_of_names(row if tag is None else {**row, "tag": tag.motif})
        given = _given(row, "pattern_key")
        try:
            return _one_spelling(given)
        except ValueError as error:
            rule = str(error).partition(", got ")[0].removeprefix("pattern_key ")
            raise RowRejected("pattern_key", rule, given) from None

    def _pattern_of_names(self, row: Row) -> str:
        """The pattern key of a table without one: its strategy, side and setup."""
        tag = row.get("tag") or ""
        if tag.count(".") == 3:
            try:
                return _one_spelling(tag)
            except ValueError:
                pass  # a setup with dots in its name
        family = row.get("strategy") or self.answers.strategy or self.table.path.stem
        side = row.get("side") or "any"
        return (
            f"pm.{key_part(family, fallback='unnamed')}.{side}.{key_part(tag, fallback='untagged')}"
        )


_one_spelling = lru_cache(maxsize=4096)(normalise_pattern_key)
_repeated_name = lru_cache(maxsize=4096, typed=True)(as_name)  # symbols, patterns, timeframes


def _mapped_columns(mapping: ColumnMapping) -> Iterator[str]:
    yield from mapping.dimensions.values()
    yield from mapping.signals.values()
    yield from mapping.knobs.values()
    yield from mapping.pattern_columns()


def _parsed_rows(
    chunk: Chunk,
    parsers: Mapping[Role, Parser],
    tally: ReportTally,
    file: str,
    keep_bad: bool,
) -> Iterator[Row]:
    """Read a chunk column by column, then hand it out row by row."""
    bad: dict[int, RowRejected] = {}
    columns = {
        role: _parsed_column(chunk.columns[theirs], parse, theirs, bad)
        for role, (theirs, parse) in parsers.items()
    }
    size = len(chunk.row_numbers)
    trades = _grouped_rows(columns, "", size)
    groups = [_present(_grouped_rows(columns, group, size)) for group in _GROUPS]
    for place, (row, *context) in enumerate(zip(trades, *groups, strict=True)):
        if place in bad and not keep_bad:
            tally.reject(file, "trade", chunk.row_numbers[place], bad[place])
            continue
        yield {**row, **dict(zip(_GROUPS, context, strict=True)), "row": chunk.row_numbers[place]}


def _grouped_rows(
    columns: Mapping[Role, Sequence[Any]], group: str, size: int
) -> Iterator[dict[str, Any]]:
    names = [name for kind, name in columns if kind == group]
    if not names:
        return ({} for _ in range(size))
    rows = zip(*(columns[group, name] for name in names), strict=True)
    return (dict(zip(names, values, strict=True)) for values in rows)


def _present(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return ({name: v for name, v in row.items() if v is not None} for row in rows)


def _parsed_column(
    cells: Sequence[object],
    parse: Callable[[object], Any],
    column: str,
    bad: dict[int, RowRejected],
) -> list[Any]:
    try:
        return [parse(cell) for cell in cells]
    except (ValueError, TypeError):
        return [_parsed_cell(place, cell, parse, column, bad) for place, cell in enumerate(cells)]


def _parsed_cell(
    place: int,
    cell: object,
    parse: Callable[[object], Any],
    column: str,
    bad: dict[int, RowRejected],
) -> Any:
    try:
        return parse(cell)
    except (ValueError, TypeError) as error:
        # a list or a struct cannot be looked up: TypeError
        text = str(error).partition(", got ")[0]
        rule = text[text.find("must ") :] if "must " in text else "must be a plain value"
        bad.setdefault(place, RowRejected(column, rule, cell))
        return None


def _content_id(row: Row) -> str:
    """What a trade without an id is: a digest of all that it says of itself."""
    said = "\n".join(f"{name}={row[name]}" for name in _CONTENT if row.get(name) is not None)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _side_of_quantity(row: Row) -> None:
    quantity = row.get("quantity")
    if row.get("side") is None and quantity:
        row["side"] = "long" if quantity > 0 else "short"


def _value_units(row: Row, *, in_lots: bool) -> None:
    """The quantity in units of the price, as the profit tells it, where it is in lots.

    A profit that is neither before nor after costs near price times quantity tells of lots too.
    """
    lots, profit = row.get("quantity") or 0.0, row.get("pnl_amount") or 0.0
    fees = abs(row.get("fees") or 0.0)
    move = (row.get("exit_price") or 0.0) - (row.get("entry_price") or 0.0)
    units = abs(profit / move) if profit and move else None
    if lots and units is not None and not in_lots:
        likely = [abs((abs(profit) + cost) / move / lots) for cost in (-fees, 0.0, fees)]
        in_lots = abs(profit) >= LEAST_PROFIT and not any(0.5 < share < 2.0 for share in likely)
    if in_lots:
        row["quantity"] = None if units is None or not lots else math.copysign(units, lots)


def _is_inverse(row: Row) -> bool:
    """Whether a trade was of a contract that is settled in the coin that it is about."""
    return coin_of_inverse(row.get("symbol") or "") is not None


def _given(row: Row, name: str) -> Any:
    value = row.get(name)
    if value is None:
        raise RowRejected(name, "must be given", None)
    return value


def _only_action(row: Row, opened_at: datetime) -> TradeAction:
    """The one action that a table without actions is sure of."""
    said = row.get("action_category") or "entry"
    try:
        category = action_category(said)
    except ValueError:
        raise RowRejected("action_category", "must be a known category", said) from None
    return TradeAction(category, opened_at, said if said != category else None)


def _summary(
    row: Row, max_stop_distance: float, answers: ImportAnswers
) -> tuple[dict[str, Any], str | None]:
    """The trade_summary of a row and, where it has no R multiple, the reason."""
    _fill_returns(row)
    no_risk = _fill_r_multiples(row, max_stop_distance)
    by_user = no_risk is not None and _fill_fixed_risk(row, answers)
    _fill_path_rr(row)
    by_risk = "r_fixed_risk" if by_user else "r_initial_stop"
    kinds = [
        kind
        for kind, names in ((by_risk, _OUTCOMES[:2]), ("rr_path", _OUTCOMES[2:]))
        if any(row.get(name) is not None for name in names)
    ]
    if not kinds and row.get("return_pct") is None and row.get("return_net_pct") is None:
        rule = f"needs r_multiple, r_multiple_net, rr_path or the prices for it ({no_risk})"
        raise RowRejected("outcome", rule, None)
    summary = {name: row[name] for name in _COPIED if row.get(name) is not None}
    if no_risk is not None:
        summary.pop("initial_stop", None)  # it is not the risk of this trade
    summary |= {
        "opened_at": row["entry_time"].isoformat(),
        "closed_at": row["exit_time"].isoformat(),
    } | ({"rr_kind": "+".join(kinds)} if kinds else {})
    return summary | _payback(row) | _counterfactuals(row), None if by_user else no_risk


def _fill_returns(row: Row) -> None:
    for name in ("entry_price", "exit_price"):
        price = row.get(name)
        if price is not None and price <= 0:
            raise RowRejected(name, "must be above 0", price)
    if (row.get("risk_amount") or 0.0) < 0:
        raise RowRejected("risk_amount", "must be at least 0", row["risk_amount"])
    if (row.get("initial_stop") or 0.0) <= 0:
        row["initial_stop"] = None  # how many sources write "no stop"
    drawdown = row.get("max_drawdown_pct")
    if drawdown is not None and drawdown < 0:
        row["max_drawdown_pct"] = -drawdown  # an excursion is a distance, signed in some sources
    entry, exit_price, side = row.get("entry_price"), row.get("exit_price"), row.get("side")
    if row.get("return_pct") is None and side and entry and exit_price:
        inverse = _is_inverse(row)
        row["return_pct"] = price_return_pct(side, entry, exit_price, inverse=inverse)
    _fill_net_return(row)


def _fill_net_return(row: Row) -> None:
    """The return after costs, where a table has its fees and its quantity; costs are no gain."""
    gross, entry = row.get("return_pct"), row.get("entry_price")
    quantity, fees = row.get("quantity"), row.get("fees")
    if (
        row.get("return_net_pct") is None
        and gross is not None
        and entry
        and quantity
        and fees is not None
        and not _is_inverse(row)  # whether they are in coin, no column says
    ):
        row["return_net_pct"] = gross - abs(fees) / abs(quantity * entry) * 100.0


def _fill_r_multiples(row: Row, max_stop_distance: float) -> str | None:
    """Compute the R multiples that the row lacks; return why it has none."""
    risk = initial_risk_pct(
        side=row.get("side"),
        entry=row.get("entry_price"),
        stop=row.get("initial_stop"),
        max_distance=max_stop_distance,
        inverse=_is_inverse(row),
    )
    if not isinstance(risk, NoRisk):
        for name, of in (("r_multiple", "return_pct"), ("r_multiple_net", "return_net_pct")):
            if row.get(name) is None and row.get(of) is not None:
                row[name] = row[of] / risk
    if row.get("r_multiple") is not None or row.get("r_multiple_net") is not None:
        return None
    return risk.reason if isinstance(risk, NoRisk) else "no return"


def _fill_fixed_risk(row: Row, answers: ImportAnswers) -> bool:
    """R by the risk that the user says every trade has; say whether there is any."""
    if answers.risk_pct is not None:
        side = row.get("side") or "long"
        risk_pct = fixed_risk_pct(side, answers.risk_pct, inverse=_is_inverse(row))
        for name, of in (("r_multiple", "return_pct"), ("r_multiple_net", "return_net_pct")):
            if row.get(of) is not None:
                row[name] = row[of] / risk_pct
    elif answers.risk_amount is not None and row.get("pnl_amount") is not None:
        row["r_multiple_net"] = row["pnl_amount"] / answers.risk_amount
        row["risk_amount"] = answers.risk_amount
    return row.get("r_multiple") is not None or row.get("r_multiple_net") is not None


def _fill_path_rr(row: Row) -> None:
    rr, drawdown = row.get("rr_path"), row.get("max_drawdown_pct")
    if rr is not None:
        row["rr_path"] = path_rr(rr, 1.0)  # bounded to ±33, as its definition says
    elif row.get("return_pct") is not None and drawdown is not None:
        row["rr_path"] = path_rr(row["return_pct"], drawdown)


def _payback(row: Row) -> dict[str, Any]:
    hours = row.get("hours_to_1r")
    if hours is None:
        return {}
    if hours < 0:
        raise RowRejected("hours_to_1r", "must be at least 0", hours)
    return {"payback_hours": hours}


def _counterfactuals(row: Row) -> dict[str, Any]:
    """What the path would have allowed, in R of the initial stop; absent without one."""
    entry, stop, side = row.get("entry_price"), row.get("initial_stop"), row.get("side")
    if entry is None or stop is None or side is None or _is_inverse(row):
        return {}
    risk = abs(entry - stop)
    if risk < entry * LEAST_RISK:
        return {}
    sign = 1.0 if side == "long" else -1.0
    found: dict[str, Any] = {}
    best = row.get("best_entry_price")
    if best is not None:
        missed = max(sign * (entry - best) / risk, 0.0)
        found["could_enter_better"] = _better(row, best, missed, "bars_to_mae")
    best, exit_price = row.get("best_exit_price"), row.get("exit_price")
    if best is not None and exit_price is not None:
        missed = max(sign * (best - exit_price) / risk, 0.0)
        found["could_exit_better"] = _better(row, best, missed, "bars_to_mfe")
    return found


def _better(row: Row, best: float, missed_rr: float, bars: str) -> dict[str, Any]:
    """A better price; ``bars_after`` counts from the first bar of the trade."""
    found: dict[str, Any] = {"best_price": best, "missed_rr": round(missed_rr, 6)}
    count, hours = row.get(bars), _bar_hours(row.get("timeframe"))
    if count is not None and 0 <= count < 1e6:
        found["bars_after"] = count
        if hours is not None:
            found["time"] = (row["entry_time"] + timedelta(hours=count * hours)).isoformat()
    return found


@lru_cache(maxsize=256)
def _bar_hours(timeframe: str | None) -> float | None:
    """Hours of a bar such as 15m, 1h, 4h, 1d."""
    if not timeframe or timeframe[-1] not in _HOURS or not timeframe[:-1].isdecimal():
        return None
    return int(timeframe[:-1]) * _HOURS[timeframe[-1]]
