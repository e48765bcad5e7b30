"""Recognise reports of MetaTrader, as HTML, workbook or CSV."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from learning.importers.fill_reader import FillReader
from learning.importers.metatrader_deals import MetaTraderDeals
from learning.importers.metatrader_report import MetaTraderReport, report_options, seen_report
from learning.importers.opened_file import ImportSettings, Opened, SourceFile, TradeReader
from learning.importers.report_rows import report_rows

_HINT: Final = re.compile(r"s\s*/\s*l", re.IGNORECASE)
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
    answers = settings.answers
    terms = settings.terms(origin="live", family=f"mt{seen.version}")
    reader: TradeReader
    if seen.has_positions:
        reader = MetaTraderReport(
            file.path, file.kind, terms, settings.zone, seen.version, seen.currency
        )
    else:
        deals = MetaTraderDeals(file.path, file.kind, settings.zone, seen.currency)
        reader = FillReader(deals, replace(terms))
    options = report_options(
        zone_named=settings.zone_named,
        strategy=answers.strategy,
        has_risk=answers.risk_pct is not None or answers.risk_amount is not None,
    )
    understood = ["setups are the comments of its positions and orders"]
    if seen.currency:
        understood.append(f"the account's currency is {seen.currency}")
    return Opened(reader, options, tuple(understood))


def _has_hint(file: SourceFile) -> bool:
    """Whether the first rows of a text name a stop, as every section of positions does."""
    for count, row in enumerate(report_rows(file.path, file.kind)):
        if any(_HINT.fullmatch(cell) for cell in row.cells):
            return True
        if count > _HINT_ROWS:
            return False
    return False
