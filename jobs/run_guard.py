"""Watches one run from a thread of its own: heartbeat, time limit, and the wish to stop.

A run ends by itself at its next commit or progress. One that is deep in a statement or a long
calculation is pulled out: its statement is cancelled, and an exception is raised in its thread.
"""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from learning.errors import LearningError

log = logging.getLogger("edgekeeper.jobs")
Ending = Literal["stopped", "timed_out", "lost"]

HEARTBEAT_S = 5.0
PROGRESS_S = 1.0  # how often progress that changed is written
GRACE_S = 3.0  # how long a run may still finish by itself when the worker shall end
_LOOK_S = 0.1
_AGAIN_S = 0.5


class Interrupted(BaseException):
    """Raised in the thread of a run that must end now; no job catches it."""


@dataclass(slots=True)
class RunGuard:
    """Guards the run that the thread which makes it is about to do.

    Attributes:
        beat: Says that the run is alive, with its progress; False: it is no longer ours.
        cancel: Cancels the statement that a thread, by its id, is waiting for.
        timeout_s: Seconds after which the run is ended.
        wish: Set when the worker shall end.
        stopping: Set for the run when it shall end at its next commit or progress.
        ending: Why the run was ended; None while it goes on.
    """

    beat: Callable[[Mapping[str, Any] | None], bool]
    cancel: Callable[[int], None]
    timeout_s: float
    wish: threading.Event
    stopping: threading.Event = field(default_factory=threading.Event)
    ending: Ending | None = None
    progress: Mapping[str, Any] | None = None
    _thread_id: int = field(default_factory=threading.get_ident)
    _done: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None
    _closed: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> RunGuard:
        self._thread = threading.Thread(target=self._watch, name="run guard", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def release(self) -> None:
        """Say that the run is over: from here on nothing is raised in its thread."""
        with self._lock:
            self._done = True
            # takes back what was raised and has not arrived yet
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread_id), None)

    def _watch(self) -> None:
        started = time.monotonic()
        beaten = wished = pulled = None
        shown: Mapping[str, Any] | None = None
        while not self._closed.wait(_LOOK_S):
            now = time.monotonic()
            if wished is None and self.wish.is_set():
                wished = now
            if self.ending is None:
                self._decide(now - started, None if wished is None else now - wished)
            if self.ending is not None and (pulled is None or now - pulled >= _AGAIN_S):
                if pulled is not None:  # the first time it gets the chance to see ``stopping``
                    self._pull()
                pulled = now
            since = now - (started if beaten is None else beaten)
            is_news = self.progress is not shown and since >= PROGRESS_S
            if is_news or since >= HEARTBEAT_S:
                shown, beaten = self.progress, now
                self._say_alive(shown)

    def _decide(self, ran_s: float, wished_s: float | None) -> None:
        if ran_s > self.timeout_s:
            self._end("timed_out")
        elif wished_s is not None and wished_s > GRACE_S:
            self._end("stopped")

    def _end(self, ending: Ending) -> None:
        self.ending = ending
        self.stopping.set()

    def _say_alive(self, progress: Mapping[str, Any] | None) -> None:
        try:
            is_ours = self.beat(progress)
        except (SQLAlchemyError, LearningError):
            log.warning("a heartbeat failed", exc_info=True)
            return
        if not is_ours and self.ending is None and not self._done:
            self._end("lost")

    def _pull(self) -> None:
        try:
            self.cancel(self._thread_id)
        except (psycopg.Error, OSError):
            log.warning("a statement could not be cancelled", exc_info=True)
        with self._lock:
            if not self._done:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread_id), ctypes.py_object(Interrupted)
                )
