"""Trades that are known as those of another bot: one account that was exported twice.

Evidence that counts twice looks twice as sure as it is. So trades of a source are compared with
what is stored under other names, and a person decides: leave them out, or count them again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from sqlalchemy import Connection

from learning.importers.import_report import ImportReport, ReportTally, counted
from learning.importers.import_source import ImportSource
from learning.importers.imported_trade import ImportedTrade
from learning.importers.opened_file import TradeReader
from learning.importers.trade_prints import trade_print
from learning.store import import_rows, strand_rows
from learning.store.import_rows import ImportBatch
from learning.store.strand_rows import OtherClose

KnownChoice = Literal["skip", "twice"]
KNOWN_CHOICES: Final[tuple[KnownChoice, ...]] = ("skip", "twice")
"""What a person may want of such trades: to leave them out, or to count them again."""

KNOWN_ELSEWHERE: Final = "known as a trade of another bot: left out, as was asked"


@dataclass(frozen=True, slots=True)
class KnownTrades:
    """Trades of a source that are stored under other names.

    Attributes:
        n_trades: How many trades of the source they are.
        bots: Bot → how many of its trades are those of the source.
        prints: Of these trades.
        example: One of them: its symbol and when it opened.
    """

    n_trades: int
    bots: Mapping[str, int]
    prints: frozenset[int]
    example: str

    def sentence(self, among: int) -> str:
        """Say how many of a source's trades they are, and whose."""
        whose = ", ".join(f"{bot!r} ({n})" for bot, n in self.bots.items())
        return (
            f"{self.n_trades} of {counted(among, 'trade')} are known already, as trades of "
            f"{whose}: same symbol, side, times and prices, such as {self.example}"
        )


def known_elsewhere(
    connection: Connection, source_name: str, report: ImportReport
) -> KnownTrades | None:
    """Return the trades of a source that are stored under other names; None: there are none.

    Only what was recorded by bots, and imports whose days and symbols overlap, are looked at.

    Args:
        connection: To read.
        source_name: The bot that the source's trades are booked under.
        report: Of a pass over the source.
    """
    if not len(report.prints):
        return None
    batches = [
        batch.id
        for batch in import_rows.read_all(connection)
        if batch.source_name != source_name and _may_overlap(batch, report)
    ]
    bots: Counter[str] = Counter()
    prints: set[int] = set()
    example = ""
    for closes in strand_rows.read_other_closes(connection, bot=source_name, batches=batches):
        told = [(close, _print_of(close)) for close in closes]
        found = report.prints.among(its for _, its in told if its is not None)
        for close, its_print in told:
            if its_print in found:
                bots[close.bot] += 1
                example = example or _named(close)
        prints |= found
    if not prints:
        return None
    shared = frozenset(prints)
    return KnownTrades(report.prints.count(shared), dict(bots.most_common()), shared, example)


def _may_overlap(batch: ImportBatch, report: ImportReport) -> bool:
    told = batch.report
    first, last = told.get("opened_first"), told.get("closed_last")
    if not (first and last and report.opened_first and report.closed_last):
        return True
    return bool(first <= report.closed_last and report.opened_first <= last)


def _print_of(close: OtherClose) -> int | None:
    return trade_print(close.summary, origin=close.origin, pattern_key=close.pattern_key or "")


def _named(close: OtherClose) -> str:
    return f"{close.summary.get('symbol')} of {str(close.summary.get('opened_at'))[:16]}"


def without_known(source: ImportSource, known: KnownTrades) -> ImportSource:
    """Return a source without the trades that are known; its report says how many were left out."""
    return replace(source, reader=_UnknownTrades(source.reader, known.prints))


@dataclass(frozen=True, slots=True)
class _UnknownTrades:
    """A reader that leaves trades out."""

    reader: TradeReader
    prints: frozenset[int]

    @property
    def format(self) -> str:
        return self.reader.format

    @property
    def description(self) -> str:
        return self.reader.description

    def first_trade(self) -> str:
        return self.reader.first_trade()

    def trades(self, tally: ReportTally) -> Iterator[ImportedTrade]:
        rows = tally.rows_imported
        for trade in self.reader.trades(tally):
            if trade.its_print in self.prints:
                tally.leave_out(KNOWN_ELSEWHERE, tally.rows_imported - rows)
            else:
                yield trade
            rows = tally.rows_imported
