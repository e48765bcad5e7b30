"""LISTEN and NOTIFY: being told at once that something is to be read again.

A notification is a hint, never data: one that is sent while nobody listens never arrives, so
whoever listens also looks by itself now and then, and always after connecting.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from psycopg import sql
from sqlalchemy import Connection, Engine

from learning.errors import ConfigError
from learning.store.database import create_engine

_PATIENCE_S = 2.0


def listening_engine(url: str, *, application_name: str) -> Engine:
    """Return an engine for one session that listens: each of its statements stands by itself,
    since a listener within a transaction hears nothing."""
    return create_engine(
        url, application_name=application_name, pool_size=1, isolation_level="AUTOCOMMIT"
    )


def listen(connection: Connection, channel: str) -> None:
    """Listen to a channel on this session.

    Args:
        connection: Of a ``listening_engine``.
        channel: Its name.

    Raises:
        ConfigError: If the session goes through a pooler that lets no notification pass.
    """
    session = _session(connection)
    session.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
    (number,) = session.execute("SELECT pg_backend_pid()").fetchone()
    # a pooler makes the number up that it hands to its clients
    if number != session.info.backend_pid and not _hears_another(connection):
        raise ConfigError(
            "nothing can be listened to through a connection pooler in transaction mode: "
            "set EDGEKEEPER_LISTEN_URL to a direct PostgreSQL URL"
        )


def wait_for_notice(connection: Connection, timeout_s: float) -> bool:
    """Wait for a notification on any channel listened to; say whether one arrived in time."""
    # to its end: psycopg holds the session's lock while the generator lives
    return len(list(_session(connection).notifies(timeout=timeout_s, stop_after=1))) > 0


def _hears_another(connection: Connection) -> bool:
    """Whether a notification that another session sends arrives here."""
    session, channel = _session(connection), f"edgekeeper_check_{uuid4().hex}"
    session.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
    url = connection.engine.url.render_as_string(hide_password=False)
    other = listening_engine(url, application_name="edgekeeper check")
    try:
        with other.connect() as sender:
            _session(sender).execute("SELECT pg_notify(%s, '')", (channel,))
        notices = list(session.notifies(timeout=_PATIENCE_S, stop_after=1))
        return any(notice.channel == channel for notice in notices)
    finally:
        other.dispose()
        session.execute(sql.SQL("UNLISTEN {}").format(sql.Identifier(channel)))


def _session(connection: Connection) -> Any:
    return connection.connection.driver_connection
