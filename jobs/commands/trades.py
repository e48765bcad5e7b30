"""Importing trades."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.commands.console import console, print_table, progress_bar
from jobs.commands.session import actor, open_database
from jobs.import_trades import import_trades as import_recognised
from jobs.import_trades import known_trades, told
from jobs.saved_mappings import content_to_keep, remembered_mapping
from learning.errors import DatabaseUnavailable, ImportRefused
from learning.importers.import_answers import AnswersNeeded, ImportAnswers, answers_from
from learning.importers.import_report import ImportReport, RejectedRow, ReportTally, counted
from learning.importers.import_source import ImportSource
from learning.importers.known_trades import KnownChoice
from learning.importers.mapping import ColumnMapping, read_mapping
from learning.importers.preview import ImportPreview, preview
from learning.importers.recognition import Recognition, examine_files
from learning.importers.store_import import StoredImport
from learning.settings import Settings
from learning.store import database, strand_rows

_Option = typer.Option
_Paths = Annotated[
    list[Path],
    typer.Argument(
        help="A file of trades, fills or orders, of any tool that is known; or a table of "
        "closed trades with the table of its actions; or a freqtrade results folder."
    ),
]
_DryRun = Annotated[bool, _Option("--dry-run", help="Say what is in it, and write nothing.")]
_Preview = Annotated[bool, _Option("--preview", help="Show 20 trades, and write nothing.")]
_Rejects = Annotated[
    Path | None, _Option(help="Write every rejected row with its reason to this CSV file.")
]
_Mapping = Annotated[
    Path | None, _Option(help="YAML or JSON that says what the columns are called here.")
]
_Symbol = Annotated[str | None, _Option(help="What was traded, if it is not in it.")]
_Timeframe = Annotated[str | None, _Option(help="Bars of the strategy: 15m, 1h, …")]
_Zone = Annotated[str | None, _Option(help="Of times without an offset: Europe/Athens, +02:00.")]
_Strategy = Annotated[str | None, _Option(help="The strategy or expert, if it is not in it.")]
_RiskPct = Annotated[
    float | None, _Option(help="Your fixed risk: distance of the stop, % of the entry.")
]
_RiskAmount = Annotated[
    float | None, _Option(help="Your fixed risk: what one trade may lose, in money.")
]
_Market = Annotated[str | None, _Option(help="Of fills: spot (never short) or derivative.")]
_DateOrder = Annotated[
    str | None, _Option(help="Of dates such as 3/4/2024: day-first or month-first.")
]
_Bot = Annotated[
    str | None, _Option(help="The bot or account the trades belong to; default the file's name.")
]
_Origin = Annotated[
    str | None, _Option(help="live, dry_run, backtest or simulated; default what the file says.")
]
_Variants = Annotated[
    bool, _Option("--variants", help="The backtest is a variant on purpose, no re-run.")
]
_Known = Annotated[
    KnownChoice | None,
    _Option(
        help="Trades that are stored under another name too: skip leaves them out, twice counts "
        "them again. Without it they are told and nothing is imported."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_trades)
    app.command("redrive")(redrive)


def import_trades(
    paths: _Paths,
    dry_run: _DryRun = False,
    show: _Preview = False,
    rejects: _Rejects = None,
    mapping: _Mapping = None,
    symbol: _Symbol = None,
    timeframe: _Timeframe = None,
    time_zone: _Zone = None,
    strategy: _Strategy = None,
    risk_pct: _RiskPct = None,
    risk_amount: _RiskAmount = None,
    market: _Market = None,
    date_order: _DateOrder = None,
    bot: _Bot = None,
    origin: _Origin = None,
    variants: _Variants = False,
    known: _Known = None,
) -> None:
    """Import closed trades. The file is only read; importing twice adds nothing."""
    settings = Settings.from_env()
    said = {
        "symbol": symbol, "timeframe": timeframe, "time_zone": time_zone, "strategy": strategy,
        "risk_pct": risk_pct, "risk_amount": risk_amount, "market": market,
        "date_order": date_order,
    }  # fmt: skip
    answers = answers_from({name: value for name, value in said.items() if value is not None})
    columns = _mapping(paths, bot, mapping, settings)
    found = _recognised(paths, bot, origin, columns, answers, settings)
    source = _told_recognition(found, paths)
    if show:
        _show_preview(preview(source))
        return
    report = _examined(source, rejects)
    if dry_run or known is not None:  # else what writes refuses them, and says the same
        _tell_known(source, settings, report)
    if dry_run:
        console.print("Dry run: nothing was written.")
        return
    is_news = mapping is not None or answers != ImportAnswers()
    keep = content_to_keep(columns, answers) if is_news else {}
    stored = _store(
        source, settings, report, variants=variants, known=known, paths=paths, keep=keep
    )
    console.print(f"{stored.sentence()}. Next: ./run learn", markup=False)


def _mapping(
    paths: list[Path], bot: str | None, named: Path | None, settings: Settings
) -> ColumnMapping | None:
    """The mapping that was named, else the one saved for this kind of file, told."""
    if named is not None:
        return read_mapping(named)
    saved = remembered_mapping(settings, paths, name=bot)
    if saved is None:
        return None
    console.print(saved.sentence, markup=False)
    return saved.mapping


def _recognised(
    paths: list[Path],
    bot: str | None,
    origin: str | None,
    mapping: ColumnMapping | None,
    answers: ImportAnswers,
    settings: Settings,
) -> Recognition:
    return examine_files(
        [*paths, *_actions_beside(paths)],
        name=bot,
        origin=origin,
        mapping=mapping,
        answers=answers,
        max_stop_distance=settings.max_stop_distance,
        dimensions={"pm": settings.pm_dimensions, "dm": settings.dm_dimensions},
        now=datetime.now(UTC),
    )


def _told_recognition(found: Recognition, paths: list[Path]) -> ImportSource:
    """Say what was recognised and what may still be said; return the source.

    Raises:
        AnswersNeeded: If something required was not said.
    """
    console.print(f"Recognised: {found.description}", markup=False)
    for sentence in found.understood:
        console.print(f"  {sentence}", markup=False)
    if found.source is None:
        raise AnswersNeeded(paths[0].name, found.missing)
    for option in found.options:
        console.print(f"  optional: {option}", markup=False)
    return found.source


def _examined(source: ImportSource, rejects: Path | None) -> ImportReport:
    """Read the source once and say what is in it; rejected rows go to a file where one is named."""
    with _rejects_file(rejects) as on_reject, progress_bar("reading") as tell:
        report = told(source, tell, total=None).examine(ReportTally(on_reject))
    for sentence in report.sentences()[1:]:  # what it is was said at its recognition
        console.print(sentence, markup=False)
    for row in report.rejected_rows[:10]:
        console.print(f"  {row}", markup=False)
    if rejects is not None:
        console.print(f"{counted(report.rows_rejected, 'rejected row')}: {rejects}", markup=False)
    return report


def _tell_known(source: ImportSource, settings: Settings, report: ImportReport) -> None:
    """Say which trades are stored under other names; a database that is not there knows none."""
    if settings.database_url is None and not settings.home.is_dir():
        return
    try:
        found = known_trades(open_database(settings), source, report)
    except DatabaseUnavailable:
        return  # what writes says so itself
    if found is not None:
        console.print(found.sentence(report.trades_usable), markup=False)


@contextmanager
def _rejects_file(path: Path | None) -> Iterator[Callable[[RejectedRow], None] | None]:
    """What takes rejected rows, one line of a new CSV file each."""
    if path is None:
        yield None
        return
    try:
        stream = path.open("x", newline="", encoding="utf-8")
    except OSError as error:
        raise ImportRefused(f"--rejects {path} cannot be written: {error}") from None
    with stream:
        rows = csv.writer(stream)
        rows.writerow(("file", "kind", "row", "column", "rule", "value"))
        yield lambda row: rows.writerow(
            (row.file, row.kind, row.row, row.column, row.rule, row.value)
        )


def _show_preview(found: ImportPreview) -> None:
    narrow = ("opened_at", "symbol", "side", "pattern_key", "return_net_pct", "r_multiple_net",
              "rr_path", "actions")  # fmt: skip
    places = [found.columns.index(name) for name in narrow]
    rows = [tuple(_cell(row[place]) for place in places) for row in found.rows]
    print_table(narrow, rows)
    for rejected in found.rejected[:10]:
        console.print(f"  {rejected}", markup=False)
    console.print(f"{len(found.rows)} trades shown; nothing was written.")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value or "–")


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
    # not at the top: it brings the statistics with it, which an import does without
    from jobs.ingest_strands import redrive_quarantined

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
    source: ImportSource,
    settings: Settings,
    report: ImportReport,
    *,
    variants: bool,
    known: KnownChoice | None,
    paths: list[Path],
    keep: Mapping[str, Any],
) -> StoredImport:
    engine = open_database(settings)
    with progress_bar("importing") as tell:
        return import_recognised(
            engine,
            source,
            imported_by=actor(None),
            report=report,
            progress=tell,
            variants=variants,
            known=known,
            paths=paths,
            keep=keep,
        )
