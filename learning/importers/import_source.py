"""What a person pointed at, recognised; read as often as needed, each time from the start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from learning.domain.pattern_key import Module
from learning.domain.scope import DEFAULT_DIMENSIONS
from learning.errors import ImportRefused
from learning.events.strands import Strand
from learning.importers.action_table import ACTION_COLUMNS
from learning.importers.field_values import as_name
from learning.importers.freqtrade_backtest import (
    FreqtradeBacktest,
    FreqtradeTradeList,
    backtest_content,
    is_backtest,
    is_trade_list,
)
from learning.importers.freqtrade_database import FreqtradeDatabase
from learning.importers.import_report import ImportReport, ReportTally
from learning.importers.imported_trade import (
    MAX_NAME_LENGTH,
    ImportedTrade,
    SourceIdentity,
    strands_of,
)
from learning.importers.mapping import ColumnMapping
from learning.importers.source_file import kind_of, latest_result
from learning.importers.table_file import TableFile, open_csv, open_parquet
from learning.importers.trade_table import TradeTable

CLOCKS_DIFFER: Final = timedelta(days=1)
"""How far ahead a close may be: clocks differ, and so do the time zones of tables."""

ORIGINS: Final = ("live", "dry_run", "backtest", "simulated")
_FOREIGN_HEADERS: Final = {
    "trade #": "a TradingView list of trades",
    "trade number": "a TradingView list of trades",
    "levelofdetail": "an Interactive Brokers report",
    "exchange_trade_id": "a Hummingbot list of fills",
}


Reader = FreqtradeDatabase | FreqtradeBacktest | FreqtradeTradeList | TradeTable


class TradeReader(Protocol):
    """What each format offers."""

    @property
    def format(self) -> str:
        """Name of the format, part of the identity of a source."""

    @property
    def description(self) -> str:
        """What the source is, in words."""

    def first_trade(self) -> str:
        """Return the identity of the first trade."""

    def trades(self, tally: ReportTally) -> Iterator[ImportedTrade]:
        """Yield the usable trades; count the rest in the tally."""


@dataclass(frozen=True, slots=True)
class ImportSource:
    """A recognised source: what it is, whose it is, and its strands.

    ``name`` is the bot that its trades are booked under; ``files`` what was read.
    """

    name: str
    reader: TradeReader
    files: tuple[Path, ...]
    first_trade: str

    @property
    def description(self) -> str:
        """Say what the source is."""
        return self.reader.description

    @property
    def identity(self) -> SourceIdentity:
        """Return what the keys of its strands rest on."""
        # trades of backtests carry their whole identity; the first one changes with the span
        keyed_by_first = self.reader.format != "freqtrade_backtest"
        first = self.first_trade if keyed_by_first else ""
        return SourceIdentity(self.reader.format, self.name, first)

    def read(self, tally: ReportTally | None = None) -> Iterator[Strand]:
        """Yield every strand, the actions of a trade before its close.

        A few thousand rows are in memory at a time, besides the index of a second table of
        actions (see ActionIndex) and one id a trade.

        Args:
            tally: Counts what is found, skipped and rejected while reading.
        """
        counted = ReportTally() if tally is None else tally
        namespace = self.identity.namespace()
        for trade in self.reader.trades(counted):
            counted.take(trade)
            yield from strands_of(trade, bot=self.name, namespace=namespace)

    def examine(self) -> ImportReport:
        """Read everything and write nothing: what an import would bring."""
        tally = ReportTally()
        for trade in self.reader.trades(tally):
            tally.take(trade)
        return self.report(tally)

    def report(self, tally: ReportTally) -> ImportReport:
        """Return the report of a pass."""
        return tally.report(
            source_name=self.name,
            format=self.reader.format,
            description=self.description,
            first_trade=self.first_trade,
        )


def recognise(
    paths: Sequence[Path | str],
    *,
    name: str | None = None,
    origin: str | None = None,
    mapping: ColumnMapping | None = None,
    max_stop_distance: float = 0.12,
    dimensions: Mapping[Module, Sequence[str]] = DEFAULT_DIMENSIONS,
    now: datetime | None = None,
) -> ImportSource:
    """Say what files are, by their content.

    Args:
        paths: One file or backtest results folder; or a table of closed trades together with the
            table of their actions, in any order.
        name: The bot or account that the trades are booked under; default the file's stem.
        origin: live, dry_run, backtest or simulated; default: what the source says.
        mapping: How its columns are called here.
        max_stop_distance: Largest distance of a stop that counts as risk, fraction of the entry.
        dimensions: Scope dimensions of each module.
        now: The present; trades that close more than a day later are rejected. None: any may be.

    Raises:
        ImportRefused: If it is nothing that can be imported; one sentence says why.
    """
    if origin is not None and origin not in ORIGINS:
        raise ImportRefused(f"origin must be one of {', '.join(ORIGINS)}, got {origin!r}")
    if not paths:
        raise ImportRefused("name a file to import")
    files = [_file_of(Path(path)) for path in paths]
    columns = mapping or ColumnMapping()
    kinds = [kind_of(path) for path in files]
    if len(files) == 1 and kinds[0] not in ("parquet", "text"):
        reader: Reader = _freqtrade(files[0], kinds[0], columns, max_stop_distance, origin)
    else:
        reader = _tables(files, kinds, columns, max_stop_distance, origin, dimensions)
    if now is not None:
        reader = replace(reader, closed_by=now + CLOCKS_DIFFER)
    stem = reader.table.path.stem if isinstance(reader, TradeTable) else files[0].stem
    return ImportSource(_bot_name(name or stem), reader, tuple(files), reader.first_trade())


def _file_of(path: Path) -> Path:
    return latest_result(path) if path.is_dir() else path


def _bot_name(name: str) -> str:
    try:
        found = as_name(name)
    except ValueError as error:
        raise ImportRefused(f"the name of a source {error}, got {name!r}") from None
    if found is None or ":" in found or len(found) > MAX_NAME_LENGTH:
        raise ImportRefused(
            f"the name of a source must be text of at most {MAX_NAME_LENGTH} characters without "
            f"a colon, got {name!r}: give one"
        )
    return found


def _freqtrade(
    path: Path, kind: str, mapping: ColumnMapping, max_stop_distance: float, origin: str | None
) -> FreqtradeDatabase | FreqtradeBacktest | FreqtradeTradeList:
    if kind == "sqlite":
        return FreqtradeDatabase(path, mapping, max_stop_distance, origin)
    content = backtest_content(path)
    if is_backtest(content):
        return FreqtradeBacktest(path, mapping, max_stop_distance, origin)
    if is_trade_list(content):
        return FreqtradeTradeList(path, mapping, max_stop_distance, origin)
    raise ImportRefused(
        f"{path.name} is JSON, but neither a freqtrade backtest export nor a list of trades"
    )


def _tables(
    files: Sequence[Path],
    kinds: Sequence[str],
    mapping: ColumnMapping,
    max_stop_distance: float,
    origin: str | None,
    dimensions: Mapping[Module, Sequence[str]],
) -> TradeTable:
    tables = [_table(path, kind, mapping) for path, kind in zip(files, kinds, strict=True)]
    actions = [table for table in tables if _is_actions(table, mapping)]
    trades = [table for table in tables if table not in actions]
    if len(trades) != 1 or len(actions) > 1:
        names = ", ".join(path.name for path in files)
        raise ImportRefused(
            "an import takes one table of closed trades and at most one of their actions "
            f"(columns {', '.join(ACTION_COLUMNS)}); of {names}, {len(trades)} are tables of "
            f"trades and {len(actions)} of actions"
        )
    found = TradeTable(
        table=trades[0],
        actions=actions[0] if actions else None,
        mapping=mapping,
        dimensions=dimensions,
        max_stop_distance=max_stop_distance,
        origin=origin,
    )
    _refuse_foreign(trades[0])
    found.require_columns()
    return found


def _table(path: Path, kind: str, mapping: ColumnMapping) -> TableFile:
    if kind == "parquet":
        return open_parquet(path)
    if kind == "text":
        return open_csv(path, decimal=mapping.decimal)
    raise ImportRefused(f"{path.name} is no table: import it alone")


def _is_actions(table: TableFile, mapping: ColumnMapping) -> bool:
    """Actions have a time each, and no time at which their trade closed."""
    has = {ours: mapping.column(ours) in table.columns for ours in (*ACTION_COLUMNS, "exit_time")}
    return all(has[name] for name in ACTION_COLUMNS) and not has["exit_time"]


def _refuse_foreign(table: TableFile) -> None:
    for header in table.columns:
        what = _FOREIGN_HEADERS.get(header.strip().lower())
        if what is not None:
            raise ImportRefused(f"{table.path.name} is {what}, which cannot be imported yet")
