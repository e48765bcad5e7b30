"""Importing trades."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from jobs.commands.console import console, print_table, progress_bar
from jobs.commands.session import actor, open_database
from jobs.ingest_strands import redrive_quarantined
from jobs.job import Progress
from learning.errors import ImportRefused
from learning.importers.import_report import ImportReport, ReportTally
from learning.importers.import_source import ImportSource, TradeReader, recognise
from learning.importers.imported_trade import ImportedTrade
from learning.importers.mapping import read_mapping
from learning.importers.store_import import StoredImport, store_import
from learning.settings import Settings
from learning.store import database, state_rows, strand_rows


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_trades)
    app.command("redrive")(redrive)


def import_trades(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="A table of closed trades (Parquet or CSV) with or without the table of its "
            "actions, a freqtrade database, or a freqtrade backtest (json, zip or folder)."
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is in the file, and write nothing.")
    ] = False,
    mapping: Annotated[
        Path | None, typer.Option(help="YAML or JSON that says what the columns are called here.")
    ] = None,
    bot: Annotated[
        str | None,
        typer.Option(help="The bot or account the trades belong to; default the file's name."),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(help="live, dry_run, backtest or simulated; default what the file says."),
    ] = None,
    variants: Annotated[
        bool, typer.Option("--variants", help="The backtest is a variant on purpose, no re-run.")
    ] = False,
) -> None:
    """Import closed trades. The file is only read; importing twice adds nothing."""
    settings = Settings.from_env()
    source = recognise(
        [*paths, *_actions_beside(paths)],
        name=bot,
        origin=origin,
        mapping=None if mapping is None else read_mapping(mapping),
        max_stop_distance=settings.max_stop_distance,
        dimensions={"pm": settings.pm_dimensions, "dm": settings.dm_dimensions},
        now=datetime.now(UTC),
    )
    with progress_bar("reading") as tell:
        report = _told(source, tell, total=None).examine()
    for sentence in report.sentences():
        console.print(sentence, markup=False)
    for row in report.rejected_rows[:10]:
        console.print(f"  {row}", markup=False)
    if dry_run:
        console.print("Dry run: nothing was written.")
        return
    stored = _store(source, settings, report, variants=variants)
    console.print(f"{stored.sentence()}. Next: ./run learn", markup=False)


def redrive(
    show: Annotated[
        bool, typer.Option("--show", help="List what is quarantined and why; change nothing.")
    ] = False,
) -> None:
    """Decide quarantined strands again, each once, after what was wrong was put right."""
    settings = Settings.from_env()
    engine = open_database(settings)
    if show:
        with database.transaction(engine, read_only=True) as connection:
            reasons = strand_rows.quarantine_reasons(connection)
        print_table(("strands", "reason"), [(n, why) for why, n in reasons], numbers=("strands",))
        return
    done = redrive_quarantined(engine, settings)
    console.print(
        f"{done.strands} quarantined strands decided again: {done.ingested} ingested, "
        f"{done.quarantined} still quarantined, {done.ignored} ignored."
    )


def _actions_beside(paths: list[Path]) -> list[Path]:
    """Return the table of actions that lies beside a table of trades, by its name."""
    if len(paths) != 1 or not paths[0].name.startswith("trades_"):
        return []
    beside = paths[0].with_name(paths[0].name.replace("trades_", "actions_", 1))
    if not beside.is_file():
        return []
    console.print(f"With the actions beside it: {beside.name}", markup=False)
    return [beside]


def _store(
    source: ImportSource, settings: Settings, report: ImportReport, *, variants: bool
) -> StoredImport:
    engine = open_database(settings)
    with database.transaction(engine) as connection, progress_bar("importing") as tell:
        if state_rows.read_state(connection).is_demo:
            raise ImportRefused(
                "this database holds demo trades, which real ones never meet: unset "
                "EDGEKEEPER_HOME or DATABASE_URL"
            )
        stored = store_import(
            connection,
            _told(source, tell, total=report.trades_found),
            imported_by=actor(None),
            report=report,
            variants=variants,
        )
        state_rows.touch(connection)
    return stored


def _told(source: ImportSource, tell: Progress, *, total: int | None) -> ImportSource:
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
