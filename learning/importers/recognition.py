"""Say what files are, by their content, and what they lack."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from learning.domain.pattern_key import Module
from learning.domain.scope import DEFAULT_DIMENSIONS
from learning.errors import ImportRefused
from learning.importers.ccxt_records import open_ccxt
from learning.importers.field_values import as_name
from learning.importers.freqtrade_files import open_freqtrade
from learning.importers.hummingbot_database import open_hummingbot
from learning.importers.ibkr_executions import open_ibkr
from learning.importers.import_answers import AnswersNeeded, ImportAnswers, ImportOption
from learning.importers.import_source import ImportSource
from learning.importers.imported_trade import MAX_NAME_LENGTH
from learning.importers.mapping import ColumnMapping
from learning.importers.metatrader_files import open_metatrader
from learning.importers.opened_file import ImportSettings, Opened, SourceFile
from learning.importers.source_file import kind_of, latest_result
from learning.importers.table_files import open_tables

CLOCKS_DIFFER: Final = timedelta(days=1)
"""How far ahead a close may be: clocks differ, and so do the time zones of tables."""

MAX_IDENTITY_LENGTH: Final = 500
ORIGINS: Final = ("live", "dry_run", "backtest", "simulated")

_WITH_OWN_COLUMNS: Final = (
    "trade_table",
    "fills_table",
    "freqtrade_database",
    "freqtrade_backtest",
    "freqtrade_trade_list",
)
Opener = Callable[[SourceFile, ImportSettings], Opened | None]
_OPENERS: Final[tuple[Opener, ...]] = (
    open_metatrader,
    open_ibkr,
    open_ccxt,
    open_hummingbot,
    open_freqtrade,
)
"""Each says what a file is, or nothing; the first one that knows it, opens it."""


@dataclass(frozen=True, slots=True)
class Recognition:
    """What files are, and what nobody has said yet.

    Attributes:
        format: Name of the format.
        description: What it is, in words.
        understood: What was read from the file's name and content, one sentence each.
        options: What may still be said, required ones first.
        columns: Our name → their column, for tables.
        source: To import; None while a required option is open.
    """

    format: str
    description: str
    understood: tuple[str, ...]
    options: tuple[ImportOption, ...]
    columns: Mapping[str, str]
    source: ImportSource | None

    @property
    def missing(self) -> tuple[ImportOption, ...]:
        """Return the options without which nothing can be imported."""
        return tuple(option for option in self.options if option.required)


def examine_files(
    paths: Sequence[Path | str],
    *,
    name: str | None = None,
    origin: str | None = None,
    mapping: ColumnMapping | None = None,
    answers: ImportAnswers | None = None,
    max_stop_distance: float = 0.12,
    dimensions: Mapping[Module, Sequence[str]] = DEFAULT_DIMENSIONS,
    now: datetime | None = None,
) -> Recognition:
    """Say what files are, by their content, and what they lack.

    Args:
        paths: One file or backtest results folder; or a table of closed trades together with the
            table of their actions, in any order.
        name: The bot or account that the trades are booked under; default the file's stem.
        origin: live, dry_run, backtest or simulated; default: what the source says.
        mapping: How its columns are called here, and what it does not say.
        answers: What it does not say; before those of the mapping.
        max_stop_distance: Largest distance of a stop that counts as risk, fraction of the entry.
        dimensions: Scope dimensions of each module.
        now: The present; trades that close more than a day later are rejected. None: any may be.

    Raises:
        ImportRefused: If it is nothing that can be imported; one sentence says why.
    """
    if origin is not None and origin not in ORIGINS:
        raise ImportRefused(f"origin must be one of {', '.join(ORIGINS)}, got {origin!r}")
    if not paths:
        raise ImportRefused("name a file to import")
    columns = mapping or ColumnMapping()
    settings = ImportSettings(
        mapping=columns,
        answers=(answers or ImportAnswers()).over(columns.answers),
        max_stop_distance=max_stop_distance,
        origin=origin,
        dimensions=dimensions,
        closed_by=None if now is None else now + CLOCKS_DIFFER,
    )
    files = [SourceFile(path, kind_of(path)) for path in map(_file_of, map(Path, paths))]
    opened = _opened(files, settings)
    return _recognition(opened, files, name, columns)


def recognise(
    paths: Sequence[Path | str],
    *,
    name: str | None = None,
    origin: str | None = None,
    mapping: ColumnMapping | None = None,
    answers: ImportAnswers | None = None,
    max_stop_distance: float = 0.12,
    dimensions: Mapping[Module, Sequence[str]] = DEFAULT_DIMENSIONS,
    now: datetime | None = None,
) -> ImportSource:
    """Return what files hold, ready to be imported; the arguments are those of examine_files.

    Raises:
        AnswersNeeded: If something required was not said.
        ImportRefused: If it is nothing that can be imported; one sentence says why.
    """
    found = examine_files(
        paths,
        name=name,
        origin=origin,
        mapping=mapping,
        answers=answers,
        max_stop_distance=max_stop_distance,
        dimensions=dimensions,
        now=now,
    )
    if found.source is None:
        raise AnswersNeeded(Path(paths[0]).name, found.missing)
    return found.source


def _opened(files: Sequence[SourceFile], settings: ImportSettings) -> Opened:
    if len(files) == 1:
        for opener in _OPENERS:
            opened = opener(files[0], settings)
            if opened is not None:
                return opened
    return open_tables(files, settings)


def _recognition(
    opened: Opened, files: Sequence[SourceFile], name: str | None, mapping: ColumnMapping
) -> Recognition:
    reader = opened.reader
    options = tuple(sorted(opened.options, key=lambda option: not option.required))
    source = None
    if not any(option.required for option in options):
        paths = tuple(file.path for file in files)
        bot = _bot_name(name or _main_file(opened, files).stem)
        source = ImportSource(bot, reader, paths, _printable(reader.first_trade()))
    return Recognition(
        format=reader.format,
        description=reader.description,
        understood=(*opened.understood, *_not_read(reader.format, mapping)),
        options=options,
        columns=opened.columns,
        source=source,
    )


def _not_read(format: str, mapping: ColumnMapping) -> Iterator[str]:
    """Say which parts of a mapping a format has no use for."""
    parts = [name for name in ("dimensions", "signals", "knobs") if getattr(mapping, name)]
    if parts and format not in _WITH_OWN_COLUMNS:
        yield f"the mapping's {', '.join(parts)} name columns, which this format does not have"


def _printable(text: str) -> str:
    """An identity as the database can hold it."""
    return "".join(sign if sign.isprintable() else " " for sign in text)[:MAX_IDENTITY_LENGTH]


def _main_file(opened: Opened, files: Sequence[SourceFile]) -> Path:
    """The file that names the source: of two tables, the one with the trades."""
    table = getattr(opened.reader, "table", None)
    return table.path if table is not None else files[0].path


def _file_of(path: Path) -> Path:
    return latest_result(path) if path.is_dir() else path


def _bot_name(name: str) -> str:
    try:
        found = as_name(name)
    except ValueError as error:
        raise ImportRefused(f"the name of a source {error}, got {name!r}") from None
    if found is None or ":" in found or len(found) > MAX_NAME_LENGTH:
        raise ImportRefused(
            f"the name of a source must be text of at most {MAX_NAME_LENGTH} characters without "
            f"a colon, got {name!r}: give one"
        )
    return found
