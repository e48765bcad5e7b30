"""The database sessions of this worker's runs: named after their run, ended with it, cancellable.

A worker that is frozen within a transaction keeps its locks. Named after its run, the session can
be ended by whoever takes the run over; and it ends by itself when it does nothing for long.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event

from learning.store.job_rows import session_name

# a calculation within a transaction looks to the server as if nothing were done
_IDLE = "5min"
# a server that is busy with a statement looks that often whether its client still lives, so that
# the locks of a killed worker are free at once and not when the statement ends
_CLIENT_CHECK = "500ms"


class RunSessions:
    """Which connection each thread is using, and for which run."""

    def __init__(self, engine: Engine) -> None:
        self._threads: dict[int, tuple[Any, int]] = {}
        self._runs: dict[int, int] = {}
        event.listen(engine, "checkout", self._taken)
        event.listen(engine, "checkin", self._given_back)
        event.listen(engine, "begin", self._begun)

    @contextlib.contextmanager
    def of_run(self, run_id: int) -> Iterator[None]:
        """Name the transactions that this thread begins after a run."""
        self._runs[threading.get_ident()] = run_id
        try:
            yield
        finally:
            del self._runs[threading.get_ident()]

    def cancel(self, thread_id: int) -> None:
        """Cancel what a thread is waiting for; harmless where it waits for nothing."""
        for connection, owner in list(self._threads.values()):
            if owner == thread_id:
                connection.cancel_safe(timeout=2)

    def _taken(self, connection: Any, _record: Any, _proxy: Any) -> None:
        self._threads[id(connection)] = (connection, threading.get_ident())

    def _given_back(self, connection: Any, _record: Any) -> None:
        self._threads.pop(id(connection), None)

    def _begun(self, connection: Connection) -> None:
        run_id = self._runs.get(threading.get_ident())
        if run_id is None:
            return
        settings = {
            "application_name": session_name(run_id),
            "idle_in_transaction_session_timeout": _IDLE,
            "client_connection_check_interval": _CLIENT_CHECK,
        }
        # for this transaction alone: behind a pooler the next one is somebody else's
        each = (sa.func.set_config(name, value, True) for name, value in settings.items())
        connection.execute(sa.select(*each))
