"""Workers whose clocks are wrong, or jump: what is due is decided by the database's clock alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from jobs.runner import Runner
from jobs.validate_learning import MAX_SKEW
from learning.store.schema import job_runs
from tests.jobs.test_workers import ROOT, ready
from tests.jobs.worker_process import TICKING

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
CLOCKS = (
    # what the clock says, in which zone
    ("+26h", "UTC"),
    ("-3h", "Australia/Lord_Howe"),
    ("@2024-03-31 01:59:40", "Europe/Berlin"),  # summer time begins while it runs
    ("@2024-11-03 01:59:40", "America/New_York"),  # and ends: the clock goes back an hour
)
LASTS_S = 40
WALL_CLOCK_ONLY = {"LD_PRELOAD": str(LIBRARY), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.mark.slow
@pytest.mark.skipif(LIBRARY is None, reason="faketime is not installed (apt install faketime)")
def test_workers_with_wrong_clocks_run_every_slot_once_and_say_that_they_are_wrong(
    runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    url = str(runner.settings.database_url)
    command = [sys.executable, "-m", "tests.jobs.worker_process", url, "0", "ticking"]
    workers = [
        subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **WALL_CLOCK_ONLY, "FAKETIME": clock, "TZ": zone},
        )
        for clock, zone in CLOCKS
    ]  # fmt: skip
    ready(*workers)
    time.sleep(LASTS_S)
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    assert [worker.wait(20) for worker in workers] == [0] * len(CLOCKS)
    with runner.engine.connect() as connection:
        ran = connection.execute(
            sa.select(job_runs.c.slot, job_runs.c.worker, job_runs.c.started_at, job_runs.c.changed)
            .where(job_runs.c.job == TICKING, job_runs.c.status == "ok")
            .order_by(job_runs.c.slot)
        ).all()
    slots = [row.slot for row in ran]
    n_by_worker = Counter(row.worker for row in ran)
    late = max(row.started_at - row.slot for row in ran)
    with capsys.disabled():
        print(f"\n{len(ran)} slots by {len(n_by_worker)} workers, {late} late at most")
    assert len(slots) > LASTS_S / 3
    assert slots == [slots[0] + timedelta(seconds=k) for k in range(len(slots))]
    assert len(n_by_worker) > 1
    assert late < timedelta(seconds=30)
    skews = {row.worker: row.changed["skew_s"] for row in ran}
    assert all(abs(skew) > MAX_SKEW.total_seconds() for skew in skews.values())
    assert len({round(skew / 3600) for skew in skews.values()}) == len(skews)
