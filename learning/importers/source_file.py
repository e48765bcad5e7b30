"""A file that someone points at: what it is, by its content; opened so that it is never changed."""

from __future__ import annotations

import lzma
import shutil
import sqlite3
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Literal, cast

import orjson

from learning.errors import ImportRefused
from learning.importers.workbook_file import is_workbook

FileKind = Literal["sqlite", "parquet", "zip", "json", "text", "markup", "xlsx"]

MAX_JSON_BYTES: Final = 512 * 2**20  # a parsed export takes several times its size
LAST_RESULT: Final = ".last_result.json"
_UNREADABLE: Final = {
    b"\x1f\x8b": "a gzip archive: unpack it first",
    b"\x80\x02": "a pickle: it can run code and is never loaded",
    b"\x80\x03": "a pickle: it can run code and is never loaded",
    b"\x80\x04": "a pickle: it can run code and is never loaded",
    b"\x80\x05": "a pickle: it can run code and is never loaded",
    b"ARROW1": "a feather file: it holds candles, not trades",
    b"%PDF": "a PDF: export the trades as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save it as CSV",
}


def kind_of(path: Path) -> FileKind:
    """Return what a file is, from its first bytes and never from its name.

    Raises:
        ImportRefused: If it cannot be read, is empty, or is of no kind that holds trades.
    """
    head = _first_bytes(path)
    if head.startswith(b"SQLite format 3\0"):
        return "sqlite"
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "xlsx" if is_workbook(path) else "zip"
    for magic, what in _UNREADABLE.items():
        if head.startswith(magic):
            raise ImportRefused(f"{path.name} is {what}")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "markup" if head.decode("utf-16", "replace").lstrip()[:1] == "<" else "text"
    if b"\0" in head:
        raise ImportRefused(f"{path.name} is neither SQLite, Parquet, zip, JSON nor CSV")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        raise ImportRefused(f"{path.name} is empty: there are no trades in it")
    if start[:1] == b"<":
        return "markup"
    return "json" if start[:1] in (b"{", b"[") else "text"


def _first_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            state = "is no plain file" if path.exists() else "does not exist"
            raise ImportRefused(f"{path} {state}")
        with path.open("rb") as stream:
            return stream.read(4096)
    except (OSError, ValueError) as error:
        raise ImportRefused(f"{path} cannot be read: {error}") from None


@contextmanager
def sqlite_snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a private copy of an SQLite database, as a bot may be writing to the original.

    File and write-ahead log are copied together: opening a WAL database in place would leave
    files beside it, and on a read-only folder fail. A copy that the bot changed under our hands
    is taken again.

    Raises:
        ImportRefused: If no sound copy can be taken.
    """
    with tempfile.TemporaryDirectory(prefix="edgekeeper-import-") as folder:
        copy = Path(folder) / "trades.sqlite"
        _copy_unchanged(path, copy)
        # a fresh private copy: SQLite may replay its log, and nothing in it may call functions
        connection = sqlite3.connect(copy)
        try:
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA query_only = ON")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            yield connection
        except (sqlite3.Error, UnicodeDecodeError) as error:  # its own message can be undecodable
            raise ImportRefused(
                f"{path.name} is a damaged SQLite database: {error!s:.200}"
            ) from None
        finally:
            connection.close()


def _copy_unchanged(path: Path, copy: Path, *, attempts: int = 5) -> None:
    for _ in range(attempts):
        before = _state(path)
        try:
            for suffix in ("", "-wal", "-journal"):
                source, target = Path(f"{path}{suffix}"), Path(f"{copy}{suffix}")
                target.unlink(missing_ok=True)
                if source.is_file():
                    shutil.copyfile(source, target)
        except OSError as error:
            raise ImportRefused(f"{path} cannot be copied: {error}") from None
        if _state(path) == before:
            return
    raise ImportRefused(f"{path.name} changes faster than it can be copied: stop the bot first")


def _state(path: Path) -> list[tuple[int, int] | None]:
    states: list[tuple[int, int] | None] = []
    for suffix in ("", "-wal", "-journal"):
        try:
            status = Path(f"{path}{suffix}").stat()
        except OSError:
            states.append(None)
        else:
            states.append((status.st_mtime_ns, status.st_size))
    return states


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        ImportRefused: If it is too large or no JSON.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ImportRefused(_too_large(path.name))
        return parsed_json(path.read_bytes(), name=path.name)
    except OSError as error:
        raise ImportRefused(f"{path} cannot be read: {error}") from None


def parsed_json(raw: bytes, *, name: str) -> Any:
    """Return the value of JSON text; NaN and Infinity, which are no JSON, read as absent.

    Raises:
        ImportRefused: If it is no JSON.
    """
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        return orjson.loads(raw)
    except ValueError as error:
        first_reason = error
    try:
        import json  # slower and rarely needed: it reads NaN, which Python writers leave

        return json.loads(raw, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        raise ImportRefused(f"{name} is no valid JSON: {first_reason}") from None


@contextmanager
def json_stream(path: Path, member: str | None = None) -> Iterator[IO[bytes]]:
    """Open a JSON file, or a member of a zip, to be read piece by piece.

    Nothing is extracted: a member's name never becomes a path, and one that unpacks beyond the
    limit is refused while it is read, whatever it claims.

    Raises:
        ImportRefused: If it cannot be read, is damaged or encrypted, or too large.
    """
    try:
        if member is None:
            with path.open("rb") as stream:
                yield stream
        else:
            with zipfile.ZipFile(path) as archive, archive.open(member) as packed:
                yield cast(IO[bytes], _Bounded(packed, f"{member} in {path.name}"))
    except ImportRefused:
        raise
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise ImportRefused(
            f"{path.name} is damaged, encrypted or unreadable: {error!s:.200}"
        ) from None
    except (zlib.error, lzma.LZMAError, struct.error) as error:
        raise ImportRefused(f"{path.name} is a damaged zip: {error!s:.200}") from None


class _Bounded:
    """A stream that ends with a refusal where it becomes too long."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream, self._name, self._left = stream, name, MAX_JSON_BYTES

    def read(self, size: int) -> bytes:
        """Read on."""
        raw = self._stream.read(size)
        self._left -= len(raw)
        if self._left < 0:
            raise ImportRefused(_too_large(self._name))
        return raw


def json_members(path: Path) -> list[str]:
    """Return the names of the result-like JSON members of a zip; code and pickles are not opened.

    Raises:
        ImportRefused: If the archive is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception as error:  # BadZipFile, OSError, struct.error: one sentence for all
        raise ImportRefused(f"{path.name} is a damaged zip: {error!s:.200}") from None
    ignored = ("_config.json", ".meta.json")
    return [name for name in names if name.endswith(".json") and not name.endswith(ignored)]


def latest_result(folder: Path) -> Path:
    """Return the newest backtest export of a results folder, as its ``.last_result.json`` says.

    Raises:
        ImportRefused: If the folder names none, or one outside itself.
    """
    marker = folder / LAST_RESULT
    if not marker.is_file():
        raise ImportRefused(f"{folder} is a folder without {LAST_RESULT}: name the file itself")
    content = read_json(marker)
    name = content.get("latest_backtest") if isinstance(content, dict) else None
    if not isinstance(name, str) or not name or Path(name).name != name or "\0" in name:
        raise ImportRefused(f"{marker} must name a file of its own folder, got {name!r}")
    path = folder / name
    if not path.is_file():
        raise ImportRefused(f"{marker} names {name}, which is not there")
    return path


def _too_large(name: str) -> str:
    return f"{name} is larger than {MAX_JSON_BYTES // 2**20} MB: export a shorter span"
