"""Delivery of what a bot noted, in threads of its own: to the database, else to the spool.

One thread delivers. A server that is frozen answers nothing, not even a timeout, so a second one
watches the first: what waits behind a delivery that hangs goes to the spool, where a crash of the
bot's process cannot lose it. Should the hanging delivery succeed after all, its strands arrive
twice and are taken once, by their keys.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from learning.bot.own_actions import missing_fields_filled
from learning.bot.spool import Spool
from learning.bot.strand_text import json_text
from learning.errors import LearningError
from learning.store.copying import REFUSED
from learning.store.database import create_engine, transaction
from learning.store.delivery_rows import Delivery, actions_of_trade, deliver
from learning.store.regime_rows import OBSERVATIONS, insert_observations

_CAPACITY: Final = 100_000
_BATCH: Final = 500
_RETRY_S: Final = (0.5, 1.0, 2.0, 5.0)
_LOOK_S: Final = 0.1
_HANGS_S: Final = 3.0
_WATCH_S: Final = 0.5
_STATEMENT_TIMEOUT_MS: Final = 10_000
_AWAY: Final = (SQLAlchemyError, psycopg.Error, LearningError)
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Note:
    """A strand to deliver; a close may wait for the actions of an earlier run of the bot."""

    delivery: Delivery
    content: Mapping[str, Any] | None = None  # of a close whose actions are not known here


class Deliverer:
    """Takes notes from any thread, and delivers each once."""

    def __init__(self, url: str, *, bot: str, spool: Spool) -> None:
        self._url = url
        self._bot = bot
        self._spool = spool
        self._notes: deque[Note] = deque()
        self._in_flight: list[Note] = []
        self._handing = threading.Lock()  # between the two threads; no caller ever takes it
        self._stopping = threading.Event()
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="edgekeeper recorder", daemon=True)
        self._watch = threading.Thread(
            target=self._run_watch, name="edgekeeper recorder watch", daemon=True
        )
        self._engine: Engine | None = None
        self.n_delivered = self.n_spooled = self.n_dropped = 0
        self.problem: str | None = None

    @property
    def is_running(self) -> bool:
        """Whether the thread that delivers is there."""
        return self._thread.is_alive()

    @property
    def n_waiting(self) -> int:
        """How many notes are neither delivered nor in the spool."""
        return len(self._notes) + len(self._in_flight)

    def take(self, note: Note) -> bool:
        """Take a note, without waiting for anything; return whether there was room."""
        if self.n_waiting >= _CAPACITY:
            self.lose(MemoryError(f"{_CAPACITY} strands wait to be delivered"))
            return False
        self._notes.append(note)  # and wakes nobody: that would take a lock
        return True

    def lose(self, error: Exception) -> None:
        """Count what could not be noted or delivered, with its reason."""
        self.n_dropped += 1
        self._note_problem(error)

    def start(self) -> None:
        """Start both threads."""
        self._thread.start()
        self._watch.start()

    def stop(self, *, timeout_s: float) -> None:
        """Deliver or spool what was noted, and end the threads."""
        self._stopping.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():  # it hangs; it ends with the process
            self._save_all()

    # --- the thread that watches ---

    def _run_watch(self) -> None:
        while not self._stopping.wait(_WATCH_S):
            since = self._busy_since
            hangs = since is not None and time.monotonic() - since > _HANGS_S
            # where the spool does not take them either, that is the worse problem
            if hangs and self.n_waiting and self._save_all():
                self._note_problem(TimeoutError("the database does not answer"))

    # --- the thread that delivers ---

    def _run(self) -> None:
        n_failures = 0
        while True:
            is_last = self._stopping.is_set()
            try:
                self._deliver_all()
                n_failures = 0
            except Exception as error:  # the thread must outlive whatever happens to it
                self._note_problem(error)
                self._forget_engine()
                self._save_all()
                n_failures += 1
            self._busy_since = None
            if is_last:
                self._forget_engine()
                return
            pause_s = _RETRY_S[min(n_failures, len(_RETRY_S)) - 1] if n_failures else _LOOK_S
            self._stopping.wait(pause_s)

    def _deliver_all(self) -> None:
        """Deliver the spool, then the notes; on a failure every one of them is still there."""
        self._busy_since = time.monotonic()
        self.n_delivered += self._spool.drain(self._deliver)
        while self._take_batch():
            self._busy_since = time.monotonic()
            batch = [self._with_actions(note) for note in tuple(self._in_flight)]
            self._deliver([note.delivery for note in batch])
            with self._handing:
                # what was spooled meanwhile is counted when it comes from there
                self.n_delivered += len(self._in_flight)
                self._in_flight.clear()
        self.problem = None

    def _take_batch(self) -> bool:
        with self._handing:
            while self._notes and len(self._in_flight) < _BATCH:
                self._in_flight.append(self._notes.popleft())
            return bool(self._in_flight)

    def _deliver(self, deliveries: Sequence[Delivery]) -> None:
        try:
            self._insert(deliveries)
        except REFUSED:
            for one in deliveries:
                self._insert_or_refuse(one)

    def _insert(self, deliveries: Sequence[Delivery]) -> None:
        def insert(connection: Connection) -> None:
            deliver(connection, [one for one in deliveries if one.kind not in OBSERVATIONS])
            insert_observations(
                connection, [(one.kind, one.content) for one in deliveries if one.content]
            )

        self._in_transaction(insert)

    def _insert_or_refuse(self, one: Delivery) -> None:
        """Insert one strand; where its content is refused, as the bytes it was."""
        try:
            self._insert([one])
        except REFUSED as error:
            if one.kind in OBSERVATIONS:  # no strand: nothing that could be looked at later
                self.lose(error)
                self.n_delivered -= 1  # the caller counts it as delivered
                return
            self._note_problem(error)
            raw = one.raw if one.raw is not None else (one.content or "").encode()
            try:
                self._insert([replace(one, content=None, regime_context=None, raw=raw)])
            except REFUSED as again:
                self.lose(again)
                self.n_delivered -= 1  # as above

    def _with_actions(self, note: Note) -> Note:
        """Complete a close by the actions that an earlier run of this bot delivered."""
        if note.content is None:
            return note
        close = note.delivery
        known = self._in_transaction(lambda found: actions_of_trade(found, close))
        listed = missing_fields_filled(note.content["completed_trades"], known)
        text = json_text({**note.content, "completed_trades": listed})
        return Note(close if text is None else replace(close, content=text))

    def _in_transaction(self, work: Callable[[Connection], _T]) -> _T:
        with transaction(
            self._connected(), statement_timeout_ms=_STATEMENT_TIMEOUT_MS
        ) as connection:
            return work(connection)

    def _connected(self) -> Engine:
        if self._engine is None:
            self._engine = create_engine(
                self._url, application_name="edgekeeper recorder", pool_size=1
            )
        return self._engine

    def _forget_engine(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            with suppress(*_AWAY):
                engine.dispose()

    # --- both ---

    def _save_all(self) -> bool:
        """Move the notes to the spool: a file outlives this process. Say whether it took them."""
        with self._handing:
            while self._notes:
                self._in_flight.append(self._notes.popleft())
            try:
                self._spool.append([note.delivery for note in self._in_flight])
                self.n_spooled += len(self._in_flight)
            except OSError as error:
                self._note_problem(error)  # they stay in memory
                self._notes.extendleft(reversed(self._in_flight))
                return False
            finally:
                self._in_flight.clear()
            return True

    def _note_problem(self, error: Exception) -> None:
        origin = error.orig if isinstance(error, DBAPIError) else error
        with suppress(Exception):
            said = f"{type(origin).__name__}: {origin}".splitlines()[0][:300]
            if said != self.problem:
                _log.warning("recorder: %s", said)
            self.problem = said
