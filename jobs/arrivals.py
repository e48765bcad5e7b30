"""Takes in what arrives, within a second of a position closing, in a thread of its own.

It listens, and also looks by itself, since a notification that was sent while nobody listened
never arrives. However many positions close meanwhile, one pass takes all of them in; it rests a
little after each, so that under load the next one takes in more.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from jobs.runner import Runner
from learning.errors import ConfigError, LearningError
from learning.store import database, strand_rows
from learning.store.listening import listen, listening_engine, wait_for_notice
from learning.store.pending_rows import has_pending_close

log = logging.getLogger("edgekeeper.arrivals")
CHANNELS = ("edgekeeper_strands", "edgekeeper_jobs")
_LOOK_S = 1.0  # between looks of its own
_SWEEP_S = 60.0  # between looks at far older identities too
_BLIND_LOOK_S = 0.5  # where nothing can be listened to
_REST, _LONGEST_REST_S = 0.5, 1.0  # after a pass: a share of its time
_AGAIN_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 300.0)  # after failing passes
_BUSY_S = (0.2, 0.2, 0.5, 1.0)  # while another worker is at it
_QUICK, _WIDE = 10_000, 100_000
_AWAY = (SQLAlchemyError, psycopg.Error, LearningError, OSError)


class Arrivals(threading.Thread):
    """Ingests and aggregates what arrives; wakes the worker for queued runs.

    Args:
        runner: Runs the two jobs.
        listen_url: A direct PostgreSQL URL.
        wake: Called at every notification.

    Attributes:
        seen_at: When it last went round, by the monotonic clock: a hung thread counts as dead.
    """

    def __init__(self, runner: Runner, listen_url: str, wake: Callable[[], None]) -> None:
        super().__init__(name="edgekeeper arrivals", daemon=True)
        self._runner = runner
        self._wake = wake
        self._url = listen_url
        self._listening: Engine | None = listening_engine(
            listen_url, application_name="edgekeeper arrivals"
        )
        self._failed = self._passed_by = 0
        self._not_before = 0.0
        self._swept_at = 0.0
        self.seen_at = time.monotonic()

    def run(self) -> None:
        """Go round until the worker ends; a database that is away is tried again."""
        stop = self._runner.stop
        while not stop.is_set():
            try:
                with self._listener() as connection:
                    self._take_in()  # what was sent before is not told again
                    while not stop.is_set():
                        self._wait(connection)
                        self._take_in()
            except _AWAY as error:
                log.warning("arrivals: %s", str(error).splitlines()[0])
                stop.wait(1.0)
            self.seen_at = time.monotonic()
        if self._listening is not None:
            self._listening.dispose()

    @contextlib.contextmanager
    def _listener(self) -> Iterator[Connection | None]:
        """A session that listens; None where there is no listening through a pooler."""
        if self._listening is None:
            yield None
            return
        with self._listening.connect() as connection:
            try:
                for channel in CHANNELS:
                    listen(connection, channel)
            except ConfigError as error:
                log.warning("%s; looking twice a second instead", error)
                self._listening.dispose()
                self._listening = None
                connection.invalidate()
                yield None
                return
            yield connection

    def _wait(self, connection: Connection | None) -> None:
        self.seen_at = time.monotonic()
        if connection is None:
            self._runner.stop.wait(_BLIND_LOOK_S)
        elif wait_for_notice(connection, _LOOK_S):
            self._wake()
        rest = self._not_before - time.monotonic()
        while rest > 0 and not self._runner.stop.wait(min(rest, 5.0)):
            self.seen_at = time.monotonic()
            rest = self._not_before - time.monotonic()

    def _take_in(self) -> None:
        if not self._has_arrived():
            return
        started = time.monotonic()
        is_well = take_in(self._runner)
        ended = time.monotonic()
        self.seen_at = ended
        if is_well is None:  # another worker is at it, or ingestion is paused
            self._passed_by += 1
            self._not_before = ended + _BUSY_S[min(self._passed_by, len(_BUSY_S)) - 1]
            return
        self._passed_by = 0
        self._failed = 0 if is_well else self._failed + 1
        if is_well:
            rest_s = min(_REST * (ended - started), _LONGEST_REST_S)
        else:
            rest_s = _AGAIN_S[min(self._failed, len(_AGAIN_S)) - 1]
        self._not_before = ended + rest_s

    def _has_arrived(self) -> bool:
        is_sweep = time.monotonic() - self._swept_at > _SWEEP_S
        with database.transaction(self._runner.engine, read_only=True) as connection:
            low_water = strand_rows.low_water(connection, margin=_WIDE if is_sweep else _QUICK)
            found = has_pending_close(connection, low_water)
        if is_sweep:
            self._swept_at = time.monotonic()
        return found


def take_in(runner: Runner) -> bool | None:
    """Ingest and aggregate; say whether both went well, None where another worker is at it."""
    ingested = runner.run_arrived("ingest_strands")
    if ingested is not None and ingested.status != "ok":
        return False
    aggregated = runner.run_queued("aggregate_scopes")  # queued by the run that wrote events
    if aggregated is not None:
        return aggregated.status == "ok"
    return None if ingested is None else True
