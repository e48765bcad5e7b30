"""Recognise tables: lists of trades of known tools, fills, closed trades and their actions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from learning.errors import ImportRefused
from learning.importers.action_table import ACTION_COLUMNS
from learning.importers.ccxt_records import open_ccxt_table
from learning.importers.column_names import TRADE_NAMES, proposed, zone_in
from learning.importers.context_columns import Parser, Role, context_columns
from learning.importers.file_name import named_file
from learning.importers.fill_reader import FillReader
from learning.importers.fill_table import FillTable, fill_columns, fill_options, seen_fills
from learning.importers.import_answers import (
    DATE_ORDER_QUESTION,
    ImportAnswers,
    ImportOption,
    zone_of,
)
from learning.importers.mapping import ColumnMapping
from learning.importers.opened_file import RISK_QUESTION, ImportSettings, Opened, SourceFile
from learning.importers.table_file import (
    TableFile,
    open_csv,
    open_json,
    open_parquet,
    open_workbook,
)
from learning.importers.trade_table import TradeTable
from learning.importers.tradingview_list import (
    SeenList,
    TradingViewList,
    list_family,
    list_options,
    named_beside,
    seen_list,
)
from learning.importers.written_dates import day_order, needs_order


def open_tables(files: Sequence[SourceFile], settings: ImportSettings) -> Opened:
    """Open one table, or a table of closed trades with the table of their actions.

    Raises:
        ImportRefused: If they are no such tables, or lack a column.
    """
    tables = [_table(file, settings.mapping) for file in files]
    if len(tables) == 1:
        openers = (_open_list, open_ccxt_table, _open_fills)
        opened = next((o for opener in openers if (o := opener(tables[0], settings))), None)
        if opened is not None:
            return opened
    return _open_closed_trades(files, tables, settings)


def _open_closed_trades(
    files: Sequence[SourceFile], tables: Sequence[TableFile], settings: ImportSettings
) -> Opened:
    mapping = settings.mapping
    actions = [table for table in tables if _is_actions(table, mapping)]
    trades = [table for table in tables if table not in actions]
    if len(trades) != 1 or len(actions) > 1:
        names = ", ".join(file.path.name for file in files)
        raise ImportRefused(
            "an import takes one table of closed trades and at most one of their actions "
            f"(columns {', '.join(ACTION_COLUMNS)}); of {names}, {len(trades)} are tables of "
            f"trades and {len(actions)} of actions"
        )
    columns = proposed(trades[0].columns, TRADE_NAMES, mapping.columns)
    found = TradeTable(
        table=trades[0],
        actions=actions[0] if actions else None,
        mapping=replace(mapping, columns={**columns, **mapping.columns}),
        dimensions=settings.dimensions,
        max_stop_distance=settings.max_stop_distance,
        origin=settings.origin,
        closed_by=settings.closed_by,
        answers=settings.answers,
    )
    found.require_columns()
    times = found.time_sample()
    order = settings.day_first_in(day_order(times))
    found = replace(found, day_first=order)
    options = _trade_options(columns, settings.answers)
    if order is None and needs_order(times):
        options = (DATE_ORDER_QUESTION, *options)
    guessed = {ours: name for ours, name in columns.items() if mapping.column(ours) != name}
    told = ", ".join(f"{ours}: {theirs}" for ours, theirs in guessed.items())
    understood = (f"its columns, by their names: {told}",) if told else ()
    return Opened(found, options, understood, columns)


def _trade_options(columns: Mapping[str, str], answers: ImportAnswers) -> tuple[ImportOption, ...]:
    """Return what a table of closed trades lacks; it can be imported without."""
    asked = []
    if "symbol" not in columns and answers.symbol is None:
        asked.append(ImportOption("symbol", "text", "the table does not name what was traded"))
    has_r = {"initial_stop", "r_multiple", "r_multiple_net", "rr_path"} & set(columns)
    if not has_r and answers.risk_pct is None and answers.risk_amount is None:
        asked.append(RISK_QUESTION)
    named = {"pattern_key", "strategy"} & set(columns)
    if not named and answers.strategy is None:
        asked.append(ImportOption("strategy", "text", "the table does not name the strategy"))
    return tuple(asked)


def _table(file: SourceFile, mapping: ColumnMapping) -> TableFile:
    if file.kind == "parquet":
        return open_parquet(file.path)
    if file.kind == "text":
        return open_csv(file.path, decimal=mapping.decimal)
    if file.kind == "xlsx":
        return open_workbook(file.path)
    if file.kind == "json":
        return open_json(file.path)
    if file.kind == "markup":
        raise ImportRefused(
            f"{file.path.name} is HTML or XML, but no report of MetaTrader or Interactive Brokers"
        )
    raise ImportRefused(f"{file.path.name} is no table: import it alone")


def _is_actions(table: TableFile, mapping: ColumnMapping) -> bool:
    """Actions have a time each, and no time at which their trade closed."""
    has = {ours: mapping.column(ours) in table.columns for ours in (*ACTION_COLUMNS, "exit_time")}
    return all(has[name] for name in ACTION_COLUMNS) and not has["exit_time"]


def _open_list(table: TableFile, settings: ImportSettings) -> Opened | None:
    """Open a TradingView list of trades; None where it is none."""
    seen = seen_list(table)
    if seen is None:
        return None
    named = named_file(table.path.stem)
    symbol, timeframe = named_beside(table)
    read = ImportAnswers(symbol=symbol or named.symbol, timeframe=timeframe or named.timeframe)
    answers = settings.answers.over(read)
    family = list_family(settings.answers.strategy or named.strategy, table.path.stem)
    terms = settings.terms(
        origin="backtest", family=family, answers=replace(answers, strategy=None)
    )
    reader = TradingViewList(
        table=table,
        header=seen.header,
        terms=terms,
        zone=settings.zone,
        day_first=settings.day_first_in(seen.day_first),
        labels=seen.labels,
    )
    told = [f"strategy {family}, from the file's name"] if named.strategy else []
    for name, beside in (("symbol", symbol), ("timeframe", timeframe)):
        if getattr(read, name) and getattr(settings.answers, name) is None:
            where = "the file's name" if beside is None else "another sheet"
            told.append(f"{name} {getattr(read, name)}, from {where}")
    options = list_options(seen, answers, zone_named=settings.zone_named)
    if named.strategy:
        options = tuple(option for option in options if option.name != "strategy")
    told += _told_of_list(seen, table, zone_named=settings.zone_named)
    return Opened(reader, options, tuple(told), dict(_columns(reader)))


def _told_of_list(seen: SeenList, table: TableFile, *, zone_named: bool) -> Iterator[str]:
    """Sentences on the times of a list, and on columns with names that are not known."""
    if seen.has_offset:
        yield "its times carry their offset from UTC"
    elif seen.dates_only and not zone_named:
        yield "its times are days, read as UTC's (--time-zone changes it)"
    if seen.header.by_place:
        places = seen.header.places
        told = ", ".join(f"{role}: {table.columns[places[role]]}" for role in seen.header.by_place)
        yield f"columns told by their place, not by their names: {told}"


def _open_fills(table: TableFile, settings: ImportSettings) -> Opened | None:
    """Open a table of fills; None where it is none."""
    if _is_actions(table, settings.mapping):
        return None
    columns = fill_columns(table, settings.mapping.columns)
    if columns is None:
        return None
    seen = seen_fills(table, columns)
    columns = {ours: theirs for ours, theirs in columns.items() if ours != "side"}
    if seen.side is not None:
        columns["side"] = seen.side
    answers = settings.answers
    zone = None if settings.zone_named else zone_in(columns["time"])
    file = FillTable(
        table,
        columns,
        answers,
        settings.zone if zone is None else zone_of(zone),
        seen.fee_sign,
        day_first=settings.day_first_in(seen.day_first),
        whole_tags=settings.mapping.tags is not None,
        context=_fill_context(table, columns, settings),
    )
    options = list(fill_options(table, columns, answers, seen))
    if answers.risk_pct is None and answers.risk_amount is None and "stop" not in columns:
        options.append(RISK_QUESTION)
    is_silent = zone is None and not seen.has_offset and not settings.zone_named
    told = _told_of_fills(columns, zone=zone, zone_is_assumed=is_silent)
    terms = settings.terms(origin="live", family=answers.strategy or "fills")
    return Opened(FillReader(file, terms), tuple(options), tuple(told), columns)


def _fill_context(
    table: TableFile, columns: Mapping[str, str], settings: ImportSettings
) -> dict[Role, Parser]:
    """The columns that tell a trade's context; one that tells a fill, such as its side, is none."""
    mapping = settings.mapping
    for named in (*mapping.dimensions.values(), *mapping.signals.values(), *mapping.knobs.values()):
        if named not in table.columns:
            raise ImportRefused(
                f"{table.path.name} lacks the column {named!r} that the mapping names"
            )
    said = {*mapping.dimensions, *mapping.signals, *mapping.knobs}
    found = context_columns(table, mapping, settings.dimensions)
    return {
        role: read
        for role, read in found.items()
        if role[1] in said or read[0] not in columns.values()
    }


def _told_of_fills(
    columns: Mapping[str, str], *, zone: str | None, zone_is_assumed: bool
) -> Iterator[str]:
    """Sentences on the columns that were found, and on the times."""
    understood = [f"{ours}: {theirs}" for ours, theirs in columns.items() if ours != theirs]
    if understood:
        yield "its columns, by their names: " + ", ".join(understood)
    if zone is not None:
        yield f"its times are those of the zone in its header, {zone}"
    if zone_is_assumed:
        yield "its times name no zone and are read as UTC (--time-zone changes it)"


def _columns(reader: TradingViewList) -> list[tuple[str, str]]:
    return [(role, reader.table.columns[place]) for role, place in reader.header.places.items()]
