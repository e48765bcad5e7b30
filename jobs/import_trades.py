"""Import a recognised source in one transaction, whoever asks: the command or the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from jobs.job import Progress
from jobs.saved_mappings import remember_mapping
from learning.errors import DecisionRefused, ImportRefused
from learning.importers.import_report import ImportReport, ReportTally
from learning.importers.import_source import ImportSource
from learning.importers.imported_trade import ImportedTrade
from learning.importers.known_trades import KnownChoice, KnownTrades, known_elsewhere
from learning.importers.opened_file import TradeReader
from learning.importers.store_import import StoredImport, store_import
from learning.store import database, state_rows
from learning.store.decision_rows import refusals_told


def import_trades(
    engine: Engine,
    source: ImportSource,
    *,
    imported_by: str,
    report: ImportReport,
    progress: Progress,
    variants: bool = False,
    known: KnownChoice | None = None,
    paths: Sequence[Path] = (),
    keep: Mapping[str, Any] | None = None,
) -> StoredImport:
    """Append every strand of a source, all of it or nothing, and keep its mapping.

    Args:
        engine: Of the database.
        source: What was recognised.
        imported_by: The person; the database refuses who may not decide.
        report: Of a pass over the same source.
        progress: Told every few hundred trades.
        variants: The backtest is a variant on purpose.
        known: What to do with trades that are stored under other names; None: refuse them.
        paths: The files, whose kind the mapping is kept for.
        keep: The mapping file's content, with the answers of the person.

    Raises:
        ImportRefused: With one sentence; nothing was written.
    """
    try:
        with database.transaction(engine) as connection, refusals_told(connection):
            if state_rows.read_state(connection).is_demo:
                raise ImportRefused(
                    "this database holds demo trades, which real ones never meet: unset "
                    "EDGEKEEPER_HOME or DATABASE_URL"
                )
            stored = store_import(
                connection,
                told(source, progress, total=report.trades_found),
                imported_by=imported_by,
                report=report,
                variants=variants,
                known=known,
            )
            remember_mapping(
                connection, paths, name=source.name, content=keep or {}, saved_by=imported_by
            )
            state_rows.touch(connection)
    except DecisionRefused as error:
        raise ImportRefused(str(error)) from error
    return stored


def known_trades(engine: Engine, source: ImportSource, report: ImportReport) -> KnownTrades | None:
    """Return the trades of a source that are stored under other names; None: there are none."""
    with database.transaction(engine, read_only=True) as connection:
        return known_elsewhere(connection, source.name, report)


def told(source: ImportSource, tell: Progress, *, total: int | None) -> ImportSource:
    """Return the source, telling how many trades were read."""
    return replace(source, reader=_ToldReader(source.reader, tell, total))


@dataclass(frozen=True, slots=True)
class _ToldReader:
    """A reader that tells its progress."""

    reader: TradeReader
    tell: Progress
    total: int | None

    @property
    def format(self) -> str:
        return self.reader.format

    @property
    def description(self) -> str:
        return self.reader.description

    def first_trade(self) -> str:
        return self.reader.first_trade()

    def trades(self, tally: ReportTally) -> Iterator[ImportedTrade]:
        for done, trade in enumerate(self.reader.trades(tally), start=1):
            if done % 500 == 0:
                self.tell(done, self.total, "trades")
            yield trade
