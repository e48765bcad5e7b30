"""An uploaded file on its way into the inbox: kept apart, recognised, examined, imported."""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from dashboard.commands import Done
from jobs.import_trades import import_trades, known_trades, told
from jobs.job import Progress
from jobs.saved_mappings import Remembered, content_to_keep, recalled
from learning.errors import LearningError
from learning.importers.import_answers import ImportAnswers, answers_from
from learning.importers.import_report import ImportReport, RejectedRow, ReportTally
from learning.importers.known_trades import KnownChoice, KnownTrades
from learning.importers.preview import ImportPreview, preview
from learning.importers.recognition import Recognition, examine_files
from learning.importers.saved_mappings import kind_of_files
from learning.settings import Settings
from learning.store import database

MAX_UPLOAD_MB = 200
_UNSAFE = re.compile(r"[^A-Za-z0-9._ -]")


@dataclass(frozen=True)
class Upload:
    """Files as they were uploaded, in a folder that is gone with this object.

    Their names are only labels: nothing of them becomes a path.
    """

    folder: tempfile.TemporaryDirectory[str]
    paths: tuple[Path, ...]
    identity: str

    @property
    def rejects(self) -> Path:
        """Where rejected rows are written."""
        return Path(self.folder.name) / "rejects" / "rejected.csv"


def keep_upload(files: Sequence[tuple[str, bytes]], *, identity: str) -> Upload:
    """Write uploaded files to a private folder.

    Args:
        files: Name and content of each.
        identity: Tells one upload from the next.
    """
    folder = tempfile.TemporaryDirectory(prefix="edgekeeper-upload-")
    paths = []
    for place, (name, content) in enumerate(files):
        apart = Path(folder.name) / str(place)
        apart.mkdir()
        path = apart / safe_name(name)
        path.write_bytes(content)
        paths.append(path)
    return Upload(folder, tuple(paths), identity)


def safe_name(name: str) -> str:
    """Return a file name without anything that steers: separators, dots in front, control signs.

    Examples:
        >>> safe_name("../../etc/passwd"), safe_name("trades (1).csv"), safe_name("..")
        ('passwd', 'trades _1_.csv', 'upload')
    """
    last = re.split(r"[\\/]", name)[-1]
    return _UNSAFE.sub("_", last).lstrip(". ")[:100] or "upload"


@dataclass(frozen=True)
class Examined:
    """What an upload is, and what an import of it would bring; or the sentence why it cannot.

    ``report`` and ``preview`` are None as long as a required option is open; ``known`` are the
    trades that are stored under other names, None: there are none.
    """

    refused: str | None = None
    recognition: Recognition | None = None
    report: ImportReport | None = None
    preview: ImportPreview | None = None
    keep: Mapping[str, Any] = field(default_factory=dict)
    remembered: str | None = None
    known: KnownTrades | None = None


def examine(
    upload: Upload,
    *,
    engine: Engine,
    settings: Settings,
    name: str | None,
    origin: str | None,
    said: Mapping[str, object],
    progress: Progress,
) -> Examined:
    """Recognise an upload with what a person said of it, and read it once.

    Whatever the file holds, it comes back as one sentence at worst.

    Args:
        upload: The files.
        engine: Where saved mappings are.
        settings: Dimensions and the largest distance of a stop.
        name: The bot its trades are booked under; None: the file's name.
        origin: live, dry_run, backtest or simulated; None: what the file says.
        said: Answers, by option.
        progress: Told while the file is read.
    """
    try:
        answers = answers_from({key: value for key, value in said.items() if value})
        saved = _saved(upload, engine, name)
        found = _recognised(upload, settings, name, origin, answers, saved)
        remembered = None if saved is None else saved.sentence
        keep = {} if answers == ImportAnswers() else _kept(saved, answers)
        if found.source is None:
            return Examined(recognition=found, remembered=remembered)
        with _rejects(upload) as tally:
            report = told(found.source, progress, total=None).examine(tally)
        shown = preview(found.source)
        known = known_trades(engine, found.source, report)
    except LearningError as error:
        return Examined(refused=str(error))
    return Examined(None, found, report, shown, keep, remembered, known)


def _saved(upload: Upload, engine: Engine, name: str | None) -> Remembered | None:
    kind = kind_of_files(upload.paths)
    if kind is None:
        return None
    with database.transaction(engine, read_only=True) as connection:
        return recalled(connection, kind, name=name or upload.paths[0].stem)


def _kept(saved: Remembered | None, answers: ImportAnswers) -> dict[str, Any]:
    return content_to_keep(None if saved is None else saved.mapping, answers)


def _recognised(
    upload: Upload,
    settings: Settings,
    name: str | None,
    origin: str | None,
    answers: ImportAnswers,
    saved: Remembered | None,
) -> Recognition:
    return examine_files(
        list(upload.paths),
        name=name,
        origin=origin,
        mapping=None if saved is None else saved.mapping,
        answers=answers,
        max_stop_distance=settings.max_stop_distance,
        dimensions={"pm": settings.pm_dimensions, "dm": settings.dm_dimensions},
        now=datetime.now(UTC),
    )


@contextmanager
def _rejects(upload: Upload) -> Iterator[ReportTally]:
    """A tally that writes every rejected row to the upload's own file."""
    upload.rejects.parent.mkdir(exist_ok=True)
    with upload.rejects.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(RejectedRow.__slots__)
        yield ReportTally(
            lambda row: rows.writerow([_cell(getattr(row, name)) for name in row.__slots__])
        )


def _cell(value: object) -> object:
    """A cell that no spreadsheet runs."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" else value


def import_upload(
    upload: Upload,
    examined: Examined,
    *,
    engine: Engine,
    actor: str,
    progress: Progress,
    known: KnownChoice | None = None,
) -> Done:
    """Import what was examined; what is refused comes back as its sentence."""
    assert examined.recognition is not None
    assert examined.recognition.source is not None
    assert examined.report is not None
    try:
        stored = import_trades(
            engine,
            examined.recognition.source,
            imported_by=actor,
            report=examined.report,
            progress=progress,
            known=known,
            paths=upload.paths,
            keep=examined.keep,
        )
    except LearningError as error:
        return Done(False, str(error))
    return Done(True, stored.sentence())
