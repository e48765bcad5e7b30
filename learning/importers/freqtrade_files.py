"""Recognise what freqtrade writes: its database, backtest exports and lists of trades."""

from __future__ import annotations

import re
from typing import Final

from learning.errors import ImportRefused
from learning.importers.freqtrade_backtest import (
    FreqtradeBacktest,
    FreqtradeTradeList,
    is_backtest,
    is_row_list,
    is_trade_list,
    result_member,
)
from learning.importers.freqtrade_database import FreqtradeDatabase
from learning.importers.freqtrade_trades import FreqtradeTerms
from learning.importers.json_stream import JsonRecord, first_records
from learning.importers.opened_file import RISK_QUESTION, ImportSettings, Opened, SourceFile

_BACKTEST: Final = re.compile(r'\s*\{\s*"(strategy|strategy_comparison|metadata)"')


def open_freqtrade(file: SourceFile, settings: ImportSettings) -> Opened | None:
    """Open a file of freqtrade; None where it is none.

    Raises:
        ImportRefused: If it is a database or a zip of nothing that is known, or no JSON.
    """
    if file.kind not in ("sqlite", "json", "zip"):
        return None
    terms = FreqtradeTerms(
        settings.mapping,
        settings.max_stop_distance,
        settings.answers,
        settings.origin,
        settings.closed_by,
    )
    if file.kind == "sqlite":
        return Opened(FreqtradeDatabase(file.path, terms))
    records = _first_records(file)
    if is_row_list(records):
        told = ("an export before 2020: it has neither stops nor lowest and highest rates",)
        asked = settings.answers.risk_pct is None and settings.answers.risk_amount is None
        options = (RISK_QUESTION,) if asked else ()
        return Opened(FreqtradeBacktest(file.path, terms, has_rows=True), options, told)
    if is_trade_list(records):
        return Opened(FreqtradeTradeList(file.path, terms))
    found = is_backtest(file.path, result_member(file.path))
    return Opened(FreqtradeBacktest(file.path, terms)) if found else None


def _first_records(file: SourceFile) -> list[JsonRecord]:
    """The first records of a list; none of a backtest's one large object, or where it is none."""
    if file.kind != "json":
        return []
    with file.path.open("rb") as stream:
        head = stream.read(400).decode("utf-8-sig", "replace")
    if _BACKTEST.match(head):
        return []
    try:
        return first_records(file.path, 3)
    except ImportRefused:
        return []
