"""Mappings that are kept with an import and taken again when the same kind of file comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from jobs.commands.session import open_database
from learning.errors import DatabaseUnavailable
from learning.importers.import_answers import ImportAnswers
from learning.importers.mapping import ColumnMapping, mapping_from
from learning.importers.saved_mappings import for_another_source, kind_of_files
from learning.settings import Settings
from learning.store import mapping_rows
from learning.store.database import transaction
from learning.store.mapping_rows import SavedMapping


@dataclass(frozen=True, slots=True)
class Remembered:
    """A saved mapping that fits a file, and what to say of it."""

    mapping: ColumnMapping
    sentence: str


def remembered_mapping(
    settings: Settings, paths: Sequence[Path], *, name: str | None
) -> Remembered | None:
    """Return the mapping saved for files of this kind; None where there is none.

    A database that does not exist yet remembers nothing, and is not made for the question.

    Args:
        settings: Where the database is.
        paths: As given to the import.
        name: The bot, where a person named it.

    Raises:
        ConfigError: If a saved mapping breaks a rule of today.
    """
    if settings.database_url is None and not settings.home.is_dir():
        return None
    kind = kind_of_files(paths)
    if kind is None:
        return None
    try:
        with transaction(open_database(settings), read_only=True) as connection:
            return recalled(connection, kind, name=name or _stem(paths))
    except DatabaseUnavailable:
        return None  # a dry run needs none, and what writes says so itself


def recalled(connection: Connection, kind: str, *, name: str | None) -> Remembered | None:
    """Return the mapping of a kind of file: that of the same bot, else the newest of the kind."""
    saved = mapping_rows.read_of_kind(connection, kind)
    own = next((one for one in saved if one.source_name == name), None)
    found = own or next(iter(saved), None)
    if found is None:
        return None
    content = found.content if own is not None else for_another_source(found.content)
    if not content:
        return None
    mapping = mapping_from(dict(content), name=f"the mapping saved for {found.source_name!r}")
    return Remembered(mapping, _sentence(found, is_own=own is not None))


def _sentence(found: SavedMapping, *, is_own: bool) -> str:
    told = "" if is_own else ", without what was said of that source alone"
    return (
        f"With the mapping saved for {found.source_name!r} on {found.saved_at:%Y-%m-%d} by "
        f"{found.saved_by}{told}; --mapping takes another one"
    )


def remember_mapping(
    connection: Connection,
    paths: Sequence[Path],
    *,
    name: str,
    content: Mapping[str, Any],
    saved_by: str,
) -> bool:
    """Keep a mapping for the next file of this kind; whether there was something to keep."""
    kind = kind_of_files(paths)
    if kind is None or not content:
        return False
    mapping_rows.save(connection, kind=kind, source_name=name, content=content, saved_by=saved_by)
    return True


def content_to_keep(mapping: ColumnMapping | None, answers: ImportAnswers) -> dict[str, Any]:
    """Return a mapping file's content with the answers of a person in it."""
    kept = {} if mapping is None else dict(mapping.content)
    said = answers if mapping is None else answers.over(mapping.answers)
    told = {name: value for name, value in asdict(said).items() if value is not None}
    return kept | ({"answers": told} if told else {})


def _stem(paths: Sequence[Path]) -> str | None:
    return paths[0].stem if paths else None
