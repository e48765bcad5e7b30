"""Which kind of file a mapping was made for, and what of it holds for another file of the kind."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from learning.errors import ImportRefused
from learning.importers.source_file import kind_of
from learning.importers.table_file import TableFile, open_csv, open_json, open_parquet

OF_ONE_SOURCE: Final = ("answers", "constants", "origin")
"""What is true of one source and not of the next file with the same columns."""


def kind_of_files(paths: Sequence[Path]) -> str | None:
    """Return the kind of a source's files: the header of its table, else its format.

    Tables with the same columns, in whatever order, are of one kind. None where nothing can be
    read: recognition says why.
    """
    try:
        return "+".join(sorted(_kind(path) for path in paths if not path.is_dir())) or "folder"
    except (ImportRefused, OSError):
        return None


def _kind(path: Path) -> str:
    kind = kind_of(path)
    if kind == "json":
        return _kind_of_json(path)
    if kind not in ("parquet", "text"):
        return kind
    return _kind_of_table(open_parquet(path) if kind == "parquet" else open_csv(path, decimal="."))


def _kind_of_json(path: Path) -> str:
    try:
        return _kind_of_table(open_json(path))
    except ImportRefused:
        return "json"


def _kind_of_table(table: TableFile) -> str:
    header = "\n".join(sorted(table.columns))
    return f"table {hashlib.sha256(header.encode()).hexdigest()[:16]}"


def for_another_source(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a mapping holds for another source of the same kind.

    Examples:
        >>> for_another_source({"columns": {"trade_id": "id"}, "constants": {"timeframe": "1h"}})
        {'columns': {'trade_id': 'id'}}
    """
    return {part: value for part, value in content.items() if part not in OF_ONE_SOURCE}
