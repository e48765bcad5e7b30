"""Recognise reports of MetaTrader, as HTML, workbook or CSV."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from learning.importers.fill_reader import FillReader
from learning.importers.import_answers import ImportAnswers, ImportOption
from learning.importers.metatrader_deals import MetaTraderDeals
from learning.importers.metatrader_report import (
    Clock,
    MetaTraderReport,
    header_of,
    report_options,
    seen_report,
)
from learning.importers.metatrader_tester import MetaTraderTest, tested_market
from learning.importers.opened_file import ImportSettings, Opened, SourceFile, TradeReader
from learning.importers.report_rows import report_rows

_HINT_ROWS: Final = 400


def open_metatrader(file: SourceFile, settings: ImportSettings) -> Opened | None:
    """Open a report of MetaTrader; None where a file is none."""
    if file.kind not in ("markup", "xlsx", "text"):
        return None
    if file.kind == "text" and not _has_hint(file):
        return None
    seen = seen_report(file.path, file.kind)
    if seen is None:
        return None
    if seen.is_test:
        return _open_test(file, settings)
    answers = settings.answers.over(ImportAnswers(timeframe=seen.timeframe))
    terms = settings.terms(
        origin="backtest" if seen.is_backtest else "live",
        family=seen.strategy or f"mt{seen.version}",
        answers=answers,
    )
    reader: TradeReader
    clock = Clock(settings.zone, settings.day_first_in(None))
    if seen.has_positions:
        reader = MetaTraderReport(file.path, file.kind, terms, clock, seen.version, seen.currency)
    else:
        deals = MetaTraderDeals(file.path, file.kind, clock, seen.currency)
        reader = FillReader(deals, replace(terms))
    options = report_options(
        zone_named=settings.zone_named,
        strategy=answers.strategy or seen.strategy,
        has_risk=answers.risk_pct is not None or answers.risk_amount is not None,
    )
    understood = ["setups are the comments of its positions and orders"]
    if seen.strategy and settings.answers.strategy is None:
        understood.append(f"its expert is {seen.strategy}")
    if seen.timeframe and settings.answers.timeframe is None:
        understood.append(f"it was tested on bars of {seen.timeframe}")
    if seen.currency:
        understood.append(f"the account's currency is {seen.currency}")
    return Opened(reader, options, tuple(understood))


def _open_test(file: SourceFile, settings: ImportSettings) -> Opened:
    symbol, timeframe = tested_market(file.path, file.kind)
    answers = settings.answers.over(ImportAnswers(symbol=symbol, timeframe=timeframe))
    terms = settings.terms(origin="backtest", family="mt4", answers=answers)
    options = report_options(
        zone_named=settings.zone_named,
        strategy=answers.strategy,
        has_risk=answers.risk_pct is not None or answers.risk_amount is not None,
    )
    if answers.symbol is None:
        sentence = "the report does not name the symbol it was tested on"
        options = (ImportOption("symbol", "text", sentence, required=True), *options)
    told = [
        f"{name} {value}" for name, value in (("symbol", symbol), ("timeframe", timeframe)) if value
    ]
    clock = Clock(settings.zone, settings.day_first_in(None))
    reader = MetaTraderTest(file.path, file.kind, terms, clock)
    return Opened(reader, options, ("its head names " + " and ".join(told),) if told else ())


def _has_hint(file: SourceFile) -> bool:
    """Whether a header of one of its sections is among the first rows of a text."""
    for count, row in enumerate(report_rows(file.path, file.kind)):
        if header_of(row.cells) is not None:
            return True
        if count > _HINT_ROWS:
            return False
    return False
