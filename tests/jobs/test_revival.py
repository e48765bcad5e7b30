"""A worker on the embedded server brings it back after a crash, and leaves a stopped one alone."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.runner import Runner
from jobs.scheduler import Scheduler
from learning.settings import Settings
from learning.store import database
from learning.store.embedded import revive_server, server_status, stop_server


@pytest.fixture
def scheduler(own_server: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scheduler]:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    engine = database.create_engine(database.resolve_url(None, own_server))
    database.migrate(engine)
    made = Scheduler(Runner(engine, Settings.from_env(home=own_server), {}))
    thread = threading.Thread(target=made.run)
    made._jobs = ()  # nothing is due: only the ticking is under test
    thread.start()
    yield made
    made.stop()
    thread.join(30)
    engine.dispose()


def wait_for(home: Path, *states: str) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if server_status(home).state in states:
            return True
        time.sleep(0.2)
    return False


def test_a_crashed_server_is_back_without_anyone_asking(
    scheduler: Scheduler, own_server: Path
) -> None:
    pid = server_status(own_server).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert wait_for(own_server, "running")
    assert server_status(own_server).pid != pid


def test_a_server_stopped_on_purpose_stays_stopped(scheduler: Scheduler, own_server: Path) -> None:
    stop_server(own_server)
    time.sleep(4)  # several ticks fail meanwhile
    assert server_status(own_server).state == "stopped"
    assert not revive_server(own_server)
