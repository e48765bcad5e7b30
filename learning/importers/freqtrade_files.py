"""Recognise what freqtrade writes: its database, backtest exports and lists of trades."""

from __future__ import annotations

import re
from typing import Final

from learning.errors import ImportRefused
from learning.importers.freqtrade_backtest import (
    FreqtradeBacktest,
    FreqtradeTradeList,
    is_backtest,
    is_trade_list,
    result_member,
)
from learning.importers.freqtrade_database import FreqtradeDatabase
from learning.importers.json_stream import first_records
from learning.importers.opened_file import ImportSettings, Opened, SourceFile

_BACKTEST: Final = re.compile(r'\s*\{\s*"(strategy|strategy_comparison|metadata)"')


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
    if file.kind == "json" and _holds_trades(file):
        return Opened(FreqtradeTradeList(*common, closed_by=settings.closed_by))
    if is_backtest(file.path, result_member(file.path)):
        return Opened(FreqtradeBacktest(*common, closed_by=settings.closed_by))
    raise ImportRefused(
        f"{file.path.name} is JSON, but neither a freqtrade backtest export nor a list of trades"
    )


def _holds_trades(file: SourceFile) -> bool:
    """Whether a file is a list of trades; a backtest's one large object is looked at elsewhere."""
    with file.path.open("rb") as stream:
        head = stream.read(400).decode("utf-8-sig", "replace")
    if _BACKTEST.match(head):
        return False
    try:
        return is_trade_list(first_records(file.path, 3))
    except ImportRefused:
        return False
