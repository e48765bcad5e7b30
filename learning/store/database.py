"""The database: which one, how to connect, and bringing its tables up to date.

Everything here also holds behind PgBouncer in transaction mode: no prepared statements, no
session locks, no session settings; what a transaction sets ends with it.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psycopg
import sqlalchemy as sa
from sqlalchemy import URL, Connection, Engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, PendingRollbackError

from learning.errors import ConfigError, DatabaseUnavailable

if TYPE_CHECKING:
    from alembic.config import Config

_DRIVER = "postgresql+psycopg"
_MIGRATIONS = Path(__file__).parents[2] / "migrations"
# Two 32-bit keys: the first is ours alone, the second names what is locked.
_LOCK_CLASS, _SCHEMA_LOCK = 0x45444745, 1
_LOCK_TIMEOUT_MS = 300  # a waiting ALTER stalls every query behind it, a bot's too: never longer
# idle_in_transaction_session_timeout, transaction_timeout, read_only_sql_transaction: none of them
# operational by psycopg's classes
_PASSING_STATES = {"25P03", "25P04", "25006"}
_RETRIED_STATES = {"55P03", "40P01"}  # lock_not_available, deadlock_detected
# Alembic keeps the running migration in module variables: one thread of a process at a time.
_ONE_MIGRATION_PER_PROCESS = threading.Lock()

# A dead network is noticed within half a minute; sockets on this machine ignore the last five.
_CONNECT_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 5,  # seconds
    "keepalives": 1,
    "keepalives_idle": 15,  # seconds
    "keepalives_interval": 5,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}


def resolve_url(database_url: str | None, home: Path) -> str:
    """Return the SQLAlchemy URL of the database to use; start the embedded one if none is named.

    Args:
        database_url: ``postgres://``, ``postgresql://`` or ``postgresql+<driver>://``, rewritten
            to psycopg 3. None or blank: the embedded PostgreSQL in the home folder.
        home: Home folder, used only for the embedded server.

    Raises:
        ConfigError: If the URL is not one of PostgreSQL. The message holds no password.
        DatabaseUnavailable: If the embedded server does not come up.

    Examples:
        >>> resolve_url("postgres://ann:secret@db.example/trades", Path("unused"))
        'postgresql+psycopg://ann:secret@db.example/trades'
    """
    if database_url is None or not database_url.strip():
        # Not at the top: the embedded server needs a Unix system, an external one does not.
        from learning.store.embedded import start_server

        return start_server(home)
    url = _parsed(database_url.strip())
    return url.set(drivername=_DRIVER).render_as_string(hide_password=False)


def _parsed(database_url: str) -> URL:
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        # "from None": the original message may quote the URL with its password.
        raise ConfigError(
            "DATABASE_URL must look like postgresql://user:password@host:5432/name, got "
            f"{masked(database_url)!r}; special signs in the password must be percent-encoded"
        ) from None
    if url.get_backend_name() not in ("postgres", "postgresql"):
        raise ConfigError(
            "DATABASE_URL must start with postgres:// or postgresql://, got "
            f"{url.drivername + '://'!r}"
        )
    return url


def masked(url: str) -> str:
    """Return the URL fit for a screen or a log: every password in it replaced by ``***``.

    Examples:
        >>> masked("postgresql://ann:secret@db.example/trades?sslmode=require")
        'postgresql://ann:***@db.example/trades?sslmode=require'
    """
    without = re.sub(r"((?:^|//)[^:/?#]*):(?!//).*@", r"\1:***@", url)
    return re.sub(r"(?i)([?&][^=&]*password=)[^&]*", r"\1***", without)


def create_engine(
    url: str, *, application_name: str = "edgekeeper", pool_size: int = 5, **options: Any
) -> Engine:
    """Return an engine whose connections survive a server restart and speak UTC.

    A pooled connection is tested before use, so that the first query after a restart succeeds.

    Args:
        url: As returned by ``resolve_url``; what its query sets (``connect_timeout``, …) wins.
        application_name: Shown in ``pg_stat_activity``.
        pool_size: Connections kept open.
        options: Further arguments of ``sqlalchemy.create_engine``.
    """
    parsed = _parsed(url).set(drivername=_DRIVER)
    arguments = {"application_name": application_name, **_CONNECT_DEFAULTS}
    engine = sa.create_engine(
        parsed,
        pool_pre_ping=True,
        pool_size=pool_size,
        json_deserializer=_from_json,
        connect_args={
            # Prepared statements belong to a session, which a pooler hands to someone else.
            "prepare_threshold": None,
            **{name: value for name, value in arguments.items() if name not in parsed.query},
        },
        **options,
    )
    event.listen(engine, "connect", _note_time_zone)
    event.listen(engine, "begin", _use_utc)
    return engine


def _from_json(text: bytes | str) -> Any:
    """Read JSON that is known to be UTF-8: guessing it takes longer than reading a small value."""
    return json.loads(text if isinstance(text, str) else str(text, "utf-8"))


def _note_time_zone(connection: Any, record: Any) -> None:
    record.info["is_utc"] = connection.info.parameter_status("TimeZone") in ("UTC", "Etc/UTC")


def _use_utc(connection: Connection) -> None:
    # By transaction: as a start-up option PgBouncer refuses it, as SET it would leak to others.
    if not connection.info.get("is_utc"):
        connection.exec_driver_sql("SET LOCAL TIME ZONE 'UTC'")


@contextlib.contextmanager
def transaction(
    engine: Engine,
    *,
    read_only: bool = False,
    statement_timeout_ms: int | None = None,
    lock_timeout_ms: int | None = None,
) -> Iterator[Connection]:
    """Yield a connection in a transaction: committed at the end, rolled back on any exception.

    Args:
        engine: Made by ``create_engine``.
        read_only: Let the server refuse every write.
        statement_timeout_ms: Longest time of one statement; None: the server's setting.
        lock_timeout_ms: Longest wait for one lock; None: the server's setting.

    Raises:
        DatabaseUnavailable: If no connection can be made. Errors of the statements pass as they
            are: a caller may retry a connection, never blindly a statement.
    """
    try:
        connection = engine.connect()
    except OperationalError as error:
        raise _unavailable(engine, error) from error
    with connection, connection.begin():
        if read_only:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        _set_timeout(connection, "statement_timeout", statement_timeout_ms)
        _set_timeout(connection, "lock_timeout", lock_timeout_ms)
        yield connection


def is_passing(error: BaseException) -> bool:
    """Say whether an error is the database's state, not its caller's: trying again may help.

    A server or session that is gone, a deadlock, a refused serialisation, a lock or statement that
    took too long; a session that was ended for idling; a server that only reads since a failover.

    Examples:
        >>> is_passing(DatabaseUnavailable("gone")), is_passing(ValueError("no"))
        (True, False)
    """
    if isinstance(error, DatabaseUnavailable | PendingRollbackError):
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (error.orig is not None and is_passing(error.orig))
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return True
    return isinstance(error, psycopg.Error) and error.sqlstate in _PASSING_STATES


def _set_timeout(
    connection: Connection, name: Literal["statement_timeout", "lock_timeout"], ms: int | None
) -> None:
    if ms is not None:
        connection.execute(sa.select(sa.func.set_config(name, f"{ms:d}ms", True)))


def _unavailable(engine: Engine, error: DBAPIError) -> DatabaseUnavailable:
    said = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
    where = masked(engine.url.render_as_string(hide_password=True))
    return DatabaseUnavailable(f"cannot connect to {where}: {said[-1].strip()}")


# --- Migrations ------------------------------------------------------------------------------


def migrate(target: Engine | str, *, revision: str = "head", timeout_s: float = 120.0) -> None:
    """Bring the tables up to ``revision``; any number of processes may do so at once.

    All steps run in one transaction under one advisory lock: either all of them hold or none.
    Waiting for a lock is given up after 300 ms and tried again, so that a migration that waits
    for a long query never makes a bot wait for it.

    Args:
        target: Engine or URL.
        revision: Alembic revision, by default the newest.
        timeout_s: Seconds to keep trying for the locks.

    Raises:
        DatabaseUnavailable: If the database cannot be reached, is of a newer version than this
            code, or its locks are not free in time.
    """
    with _engine_of(target) as engine:
        if revision == "head" and _is_up_to_date(engine):
            return
        _move(engine, "upgrade", revision, timeout_s)


def undo_migrations(target: Engine | str, *, revision: str, timeout_s: float = 120.0) -> None:
    """Take the tables back to ``revision`` (``base``: none), under the rules of ``migrate``."""
    with _engine_of(target) as engine:
        _move(engine, "downgrade", revision, timeout_s)


def schema_revision(connection: Connection) -> str | None:
    """Return the revision the tables are at; None where no migration ever ran."""
    if connection.scalar(sa.text("SELECT to_regclass('alembic_version')")) is None:
        return None
    found = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def newest_revision() -> str | None:
    """Return the revision that this code needs; None while there is no migration."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_alembic_config()).get_current_head()


def lock_schema(connection: Connection) -> None:
    """Take the lock of all migrations, until the end of the transaction; wait 300 ms at most."""
    _set_timeout(connection, "lock_timeout", _LOCK_TIMEOUT_MS)
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_CLASS, _SCHEMA_LOCK)))


@contextlib.contextmanager
def _engine_of(target: Engine | str) -> Iterator[Engine]:
    if isinstance(target, Engine):
        yield target
        return
    engine = create_engine(target, application_name="edgekeeper migration")
    try:
        yield engine
    finally:
        engine.dispose()


def _alembic_config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _is_up_to_date(engine: Engine) -> bool:
    """Whether nothing is to be done, found without a lock; raise if the database is newer."""
    from alembic.script import ScriptDirectory

    with transaction(engine, read_only=True) as connection:
        found = schema_revision(connection)
    scripts = ScriptDirectory.from_config(_alembic_config())
    known = {script.revision for script in scripts.walk_revisions()}
    if found is not None and found not in known:
        raise DatabaseUnavailable(
            f"the tables are at revision {found!r}, which this version of Edgekeeper does not "
            "know: a newer one made them. Update this one, or restore a backup made by it"
        )
    return found == scripts.get_current_head()


def _move(
    engine: Engine, direction: Literal["upgrade", "downgrade"], revision: str, timeout_s: float
) -> None:
    deadline = time.monotonic() + timeout_s
    while not _moved(engine, direction, revision):
        if time.monotonic() > deadline:
            raise DatabaseUnavailable(
                f"the tables could not be locked for their {direction} within {timeout_s:g} s: "
                "another process migrates them, or a long transaction reads them"
            )
        time.sleep(random.uniform(0.05, 0.2))


def _moved(engine: Engine, direction: Literal["upgrade", "downgrade"], revision: str) -> bool:
    """Try once; False if a lock was not free."""
    from alembic import command

    config = _alembic_config()
    move = {"upgrade": command.upgrade, "downgrade": command.downgrade}[direction]
    try:
        with _ONE_MIGRATION_PER_PROCESS, transaction(engine) as connection:
            lock_schema(connection)
            config.attributes["connection"] = connection
            move(config, revision)
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) not in _RETRIED_STATES:
            raise
        return False
    return True
