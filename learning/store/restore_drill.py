"""A backup that is restored at once, beside the database, and found to hold the same rows.

A file that can be read to its end may still be none to come back from. So a server of its own is
started for a moment, takes the backup in, and every table there is compared with what the database
held in the very snapshot that was written: the number of rows, and a sum of their hashes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from learning.errors import DatabaseUnavailable, LearningError
from learning.store import backup, database
from learning.store.embedded import PG_MAJOR, start_server, stop_server

_FOLDER = "restore-drill"
# whatever a server's own settings are, both tell a row by the same words
_ALIKE = {
    "timezone": "UTC", "datestyle": "ISO, YMD", "intervalstyle": "postgres",
    "extra_float_digits": "1", "bytea_output": "hex", "search_path": "pg_catalog",
    "idle_in_transaction_session_timeout": "0", "statement_timeout": "0",
}  # fmt: skip
_TABLES = sa.text(
    "SELECT CAST(oid AS regclass) FROM pg_class WHERE relnamespace = "
    "(SELECT oid FROM pg_namespace WHERE nspname = :schema) "
    "AND relkind IN ('r', 'p') AND NOT relispartition"
)
# a sum does not ask for an order: sixty bits of each row's hash
_DIGEST = (
    "SELECT count(*), coalesce(sum(CAST(CAST('x' || left(encode(sha256(convert_to("
    "CAST(t AS text), 'UTF8')), 'hex'), 15) AS bit(60)) AS bigint)), 0) FROM {table} AS t"
)


@dataclass(frozen=True, slots=True)
class TableDigest:
    """The rows of a table: how many, and the sum of their hashes."""

    n: int
    hashes: int


@dataclass(frozen=True, slots=True)
class Drill:
    """A backup that was written and tried.

    Attributes:
        size: Bytes of the file.
        tables: What the database held in it.
        why_not: Why it was not restored but only read to its end; None where it was.
    """

    size: int
    tables: Mapping[str, TableDigest]
    why_not: str | None

    @property
    def n_rows(self) -> int:
        """Rows of all tables."""
        return sum(one.n for one in self.tables.values())


def proven_backup(engine: Engine, path: Path, *, home: Path) -> Drill:
    """Write a backup, and restore it beside the database; it stays only where that went well.

    Args:
        engine: Of the database.
        path: Of the file.
        home: Folder in which the server of the drill gets one of its own, which is removed.

    Raises:
        LearningError: If it does not bring back what was written, or the programs are missing or
            refuse.
    """
    with _snapshot(engine) as (connection, name):
        schema, major = backup.schema_of(connection), backup.server_major(connection)
        size = backup.back_up(engine, path, snapshot=name)
        written = digests(connection, schema)
    try:
        return Drill(size, written, _try(path, schema, major, written, home / _FOLDER))
    except BaseException:
        path.unlink()  # it must not count as one to come back from
        raise


def digests(connection: Connection, schema: str) -> dict[str, TableDigest]:
    """Return what each table of a schema holds, by its name."""
    for setting, value in _ALIKE.items():
        connection.execute(sa.select(sa.func.set_config(setting, value, True)))
    tables = sorted(map(str, connection.scalars(_TABLES, {"schema": schema})))
    return {table: _digest(connection, table) for table in tables}


def _digest(connection: Connection, table: str) -> TableDigest:
    # a name that the server itself quoted
    n, hashes = connection.exec_driver_sql(_DIGEST.format(table=table)).one()
    return TableDigest(int(n), int(hashes))


@contextmanager
def _snapshot(engine: Engine) -> Iterator[tuple[Connection, str]]:
    """A transaction that sees one moment, and the name by which others see it too."""
    of_one_moment = engine.execution_options(isolation_level="REPEATABLE READ")
    with database.transaction(of_one_moment, read_only=True) as connection:
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield connection, str(connection.scalar(sa.text("SELECT pg_export_snapshot()")))


def _try(
    path: Path, schema: str, major: int, written: Mapping[str, TableDigest], folder: Path
) -> str | None:
    """Restore a backup and compare; return why that could not be, None where it was."""
    _remove(folder)  # of a drill that was killed
    try:
        found = _restored(path, schema, major, folder)
    except DatabaseUnavailable as error:
        backup.verify(path, major=major)
        return str(error)
    finally:
        _remove(folder)
    wrong = sorted(name for name in {*written, *found} if written.get(name) != found.get(name))
    if wrong:
        raise LearningError(f"{path} does not bring back what was backed up: {', '.join(wrong)}")
    return None


def _restored(path: Path, schema: str, major: int, folder: Path) -> dict[str, TableDigest]:
    """Return what a server of its own holds once it took a backup in."""
    if major > PG_MAJOR:
        raise DatabaseUnavailable(f"version {major} of the server is newer than {PG_MAJOR} here")
    try:
        folder.mkdir()
        folder.chmod(0o711)  # root's server is another account, which passes through
    except OSError as error:
        raise DatabaseUnavailable(f"no server can be started in {folder}: {error}") from error
    engine = database.create_engine(start_server(folder), application_name="restore drill")
    try:
        backup.load(engine, path, schema)
        with database.transaction(engine, read_only=True) as connection:
            return digests(connection, schema)
    finally:
        engine.dispose()


def _remove(folder: Path) -> None:
    if folder.is_dir():
        stop_server(folder)
        shutil.rmtree(folder)
