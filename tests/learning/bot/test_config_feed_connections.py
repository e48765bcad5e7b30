"""The feed behind a pooler, with a bot's rights, and while its server restarts or hangs."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy import make_url

from learning.bot.config_feed import start_config_feed
from learning.bot.recorder import start_recorder
from learning.errors import ConfigError
from learning.runtime.in_force import in_force, uninstall
from learning.store.database import migrate
from learning.store.embedded import start_server, stop_server
from tests.learning.bot.test_config_feed import SOON, eventually, reason, size, write_config
from tests.learning.runtime.configs import entry


@pytest.fixture(autouse=True)
def _nothing_installed() -> Iterator[None]:
    uninstall()
    yield
    uninstall()


def connect(url: str) -> psycopg.Connection:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True)


class Pooler:
    """Relays sessions as a pooler in transaction mode shows them to a listener: the number of the
    session is made up, and no notification arrives."""

    def __init__(self, server: str, folder: Path, *, delivers: bool) -> None:
        self._server, self._delivers = server, delivers
        self.folder = folder
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                threading.Thread(target=self._up, args=(client, server), daemon=True).start()
                threading.Thread(target=self._down, args=(server, client), daemon=True).start()

    @staticmethod
    def _up(client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while octets := client.recv(65536):
                server.sendall(octets)
        server.close()

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError, EOFError), server.makefile("rb") as stream:
            while head := stream.read(5):
                body = stream.read(int.from_bytes(head[1:], "big") - 4)
                if head[:1] == b"K":
                    body = b"\x00\x00\x00\x07" + body[4:]
                if head[:1] != b"A" or self._delivers:
                    client.sendall(head + body)
        client.close()


def through(pooler: Pooler, url: str) -> str:
    return (
        make_url(url)
        .update_query_dict({"host": str(pooler.folder), "port": "5432"})
        .render_as_string(hide_password=False)
    )


def server_socket(url: str) -> str:
    query = make_url(url).query
    if "host" not in query:
        pytest.skip("the test server is not reached by a socket file")
    return f"{query['host']}/.s.PGSQL.{query.get('port', '5432')}"


def test_a_pooler_that_swallows_notifications_is_refused(fresh_database, own_home):
    pooler = Pooler(server_socket(fresh_database), own_home, delivers=False)
    with pytest.raises(ConfigError, match="EDGEKEEPER_LISTEN_URL"):
        start_config_feed(through(pooler, fresh_database), bot="bot-a")
    pooler.close()


def test_a_pooler_that_delivers_notifications_is_used(fresh_database, own_home):
    with connect(fresh_database) as database:
        write_config(database, entry(1, {"size_mult": 0.8}, expires_at=SOON))
    pooler = Pooler(server_socket(fresh_database), own_home, delivers=True)
    feed = start_config_feed(through(pooler, fresh_database), bot="bot-a")
    assert size() == 0.08
    feed.stop()
    pooler.close()


def test_a_bot_needs_no_more_than_the_rights_of_a_bot(fresh_database, tmp_path):
    limited = make_url(fresh_database).update_query_dict({"options": "-c role=edgekeeper_bot"})
    url = limited.render_as_string(hide_password=False)
    with connect(fresh_database) as database:
        write_config(database, entry(1, {"size_mult": 0.8}, expires_at=SOON))
        feed = start_config_feed(url, bot="bot-a", poll_interval_s=0.05)
        assert size() == 0.08
        bot = start_recorder(url, bot="bot-a", spool=tmp_path / "spool.jsonl")
        bot.record_action(trade_id="T-1", pattern_key="pm.a.b.c", action_category="entry")
        assert eventually(lambda: bot.status().n_delivered == 1)
        summary = {"opened_at": SOON, "closed_at": SOON, "rr_path": 1.0}
        bot.record_position_closed(trade_id="T-0", trade_summary=summary)
        bot.stop()
        assert bot.status().problem is None
        assert database.execute("SELECT count(*) FROM ad_strands").fetchone() == (2,)
        beats = "SELECT count(*) FROM bot_heartbeats"
        assert eventually(lambda: database.execute(beats).fetchone() == (1,))
        assert feed.status().problem is None
        feed.stop()


def server_processes(home: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["name"]):
        with suppress(psutil.Error):
            if process.info["name"] == "postgres" and process.cwd().startswith(str(home)):
                found.append(process)
    return found


@pytest.mark.slow
def test_the_feed_survives_a_restart_and_a_hang_of_its_server(own_server):
    url = start_server(own_server)
    migrate(url)
    with connect(url) as database:
        write_config(database, entry(1, {"size_mult": 1.2}, expires_at=SOON))
    feed = start_config_feed(url, bot="bot-a", poll_interval_s=0.1, max_config_age_s=1.0)
    assert size() == 0.12
    stop_server(own_server)
    assert eventually(lambda: reason() == "stale config")
    assert size() == 0.1
    start_server(own_server)
    assert eventually(lambda: reason() == "applied", within_s=15)
    with connect(url) as database:
        write_config(database, entry(1, {"size_mult": 0.9}, expires_at=SOON))
    assert eventually(lambda: size() == 0.09)

    frozen = server_processes(own_server)
    assert frozen
    for process in frozen:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        assert eventually(lambda: reason() == "stale config", within_s=3)
        # one that waited for the server would never end
        assert {size() for _ in range(20_000)} == {0.09}
    finally:
        for process in frozen:
            os.kill(process.pid, signal.SIGCONT)
    assert eventually(lambda: reason() == "applied", within_s=15)
    assert in_force().problem is None
    feed.stop()
