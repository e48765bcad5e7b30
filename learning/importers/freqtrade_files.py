"""Recognise what freqtrade writes: its database, backtest exports and lists of trades."""

from __future__ import annotations

from learning.errors import ImportRefused
from learning.importers.freqtrade_backtest import (
    FreqtradeBacktest,
    FreqtradeTradeList,
    backtest_content,
    is_backtest,
    is_trade_list,
)
from learning.importers.freqtrade_database import FreqtradeDatabase
from learning.importers.opened_file import ImportSettings, Opened, SourceFile


def open_freqtrade(file: SourceFile, settings: ImportSettings) -> Opened | None:
    """Open a file of freqtrade; None where it is none.

    Raises:
        ImportRefused: If it is a database or a zip of nothing that is known.
    """
    if file.kind not in ("sqlite", "json", "zip"):
        return None
    common = (file.path, settings.mapping, settings.max_stop_distance, settings.origin)
    if file.kind == "sqlite":
        return Opened(FreqtradeDatabase(*common, closed_by=settings.closed_by))
    content = backtest_content(file.path)
    if is_backtest(content):
        return Opened(FreqtradeBacktest(*common, closed_by=settings.closed_by))
    if is_trade_list(content):
        return Opened(FreqtradeTradeList(*common, closed_by=settings.closed_by))
    raise ImportRefused(
        f"{file.path.name} is JSON, but neither a freqtrade backtest export nor a list of trades"
    )
