"""A recognised source: whose it is, and its strands; read as often as needed from the start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from learning.events.strands import Strand
from learning.importers.import_report import ImportReport, ReportTally
from learning.importers.imported_trade import SourceIdentity, strands_of
from learning.importers.opened_file import TradeReader


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

    def examine(self, tally: ReportTally | None = None) -> ImportReport:
        """Read everything and write nothing: what an import would bring."""
        counted = ReportTally() if tally is None else tally
        for trade in self.reader.trades(counted):
            counted.take(trade)
        return self.report(counted)

    def report(self, tally: ReportTally) -> ImportReport:
        """Return the report of a pass."""
        return tally.report(
            source_name=self.name,
            format=self.reader.format,
            description=self.description,
            first_trade=self.first_trade,
        )
