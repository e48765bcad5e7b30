"""A full disk under the server: refused, kept in the spool, and taken once there is room again."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from learning.bot.config_feed import start_config_feed
from learning.bot.recorder import start_recorder
from learning.runtime.apply import apply_pattern_strength_overrides
from learning.runtime.in_force import uninstall
from learning.store.database import migrate
from learning.store.embedded import start_server, stop_server
from tests.learning.bot.test_config_feed import SOON, write_config
from tests.learning.runtime.configs import KEY, entry

N = 200


@pytest.fixture
def small_disk(own_home: Path) -> Iterator[Path]:
    """A folder on a disk of 200 MB."""
    disk = own_home / "disk"
    disk.mkdir(parents=True)
    own_home.chmod(0o755)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200m,mode=755", "tmpfs", str(disk)],
        check=False, capture_output=True,
    ) if os.geteuid() == 0 else None  # fmt: skip
    if mounted is None or mounted.returncode:
        pytest.skip("a small disk can only be mounted as root")
    yield disk
    stop_server(disk / "home", timeout_s=30)
    subprocess.run(["umount", "--lazy", str(disk)], check=True)
    uninstall()


def fill(disk: Path) -> Path:
    """Write a file until nothing more fits."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        try:
            while True:
                os.write(file.fileno(), b"\0" * 4096)
        except OSError:
            return filler


def eventually(holds: Callable[[], bool], *, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def levers() -> tuple[float, str]:
    adjusted = apply_pattern_strength_overrides(KEY, "entry", {}, {"position_size_frac": 0.1})
    return round(adjusted["position_size_frac"], 6), adjusted.outcome.reason


@pytest.mark.slow
def test_a_full_disk_loses_no_strand_and_no_bot_takes_more_risk(
    small_disk: Path, tmp_path: Path
) -> None:
    url = start_server(small_disk / "home")
    migrate(url)
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as database:
        write_config(database, entry(1, {"size_mult": 0.8}, expires_at=SOON))
        feed = start_config_feed(url, bot="bot-a")
        bot = start_recorder(url, bot="bot-a", spool=tmp_path / "spool.jsonl")
        assert levers() == (0.08, "applied")
        filler = fill(small_disk)
        text = "x" * 20_000  # soon more than the pages that are there
        for i in range(N):
            bot.record_action(
                trade_id=f"T-{i}", pattern_key=KEY, action_category="entry",
                applied_knobs={"note": f"{os.urandom(8000).hex()}{text}"},
            )  # fmt: skip
            assert levers()[0] == 0.08  # a cut survives, applied or as a safe value
            time.sleep(0.01)
        assert eventually(lambda: bot.status().n_spooled > 0, within_s=10)
        assert bot.status().n_dropped == 0
        filler.unlink()
        assert eventually(lambda: bot.status().n_waiting == 0, within_s=10)
        bot.stop(timeout_s=30)
        assert (tmp_path / "spool.jsonl").read_bytes() == b""
    with psycopg.connect(plain) as database:
        found = database.execute("SELECT count(*), count(DISTINCT trade_id) FROM ad_strands")
        assert found.fetchone() == (N, N)
    assert eventually(lambda: levers() == (0.08, "applied"), within_s=10)
    feed.stop()
