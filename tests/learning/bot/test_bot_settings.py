from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import ProgrammingError

from learning.bot.bot_settings import bot_settings, existing_database
from learning.bot.config_feed import load_overrides, start_config_feed
from learning.bot.recorder import start_recorder
from learning.errors import DatabaseUnavailable
from learning.runtime.in_force import in_force, uninstall
from learning.store.database import create_engine, migrate, transaction
from learning.store.embedded import server_status, start_server, stop_server

AWAY = "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1"


@pytest.fixture(autouse=True)
def _nothing_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("DATABASE_URL", "EDGEKEEPER_DATABASE_URL", "EDGEKEEPER_HOME"):
        monkeypatch.delenv(name, raising=False)
    uninstall()
    yield
    uninstall()


def test_a_script_and_a_bot_find_the_database_of_the_environment(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", fresh_database)
    load_overrides()
    assert in_force().table is not None
    uninstall()
    feed = start_config_feed(bot="bot-a")
    recorder = start_recorder(bot="bot-a")
    try:
        status = feed.status()
        assert status.n_reads >= 1  # the feed's own thread may have looked again already
        assert status.problem is None
        assert in_force().table is not None
    finally:
        feed.stop()
        recorder.stop()
    assert not list(tmp_path.rglob("pg*"))


def test_a_feed_obeys_the_age_and_the_rule_of_the_environment(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKEEPER_MAX_CONFIG_AGE_S", "9")
    monkeypatch.setenv("EDGEKEEPER_COMBINE", "per_factor")
    load_overrides(fresh_database)
    table = in_force().table
    assert table is not None
    assert table.combine == "per_factor"
    assert in_force().max_config_age_s == 9.0


def test_what_a_bot_says_itself_comes_before_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://environment/db")
    monkeypatch.setenv("EDGEKEEPER_HOME", "/environment")
    monkeypatch.setenv("EDGEKEEPER_COMBINE", "per_factor")
    said = bot_settings(database_url=AWAY, home=tmp_path, combine="most_specific")
    assert (said.database_url, said.home, said.combine) == (AWAY, tmp_path, "most_specific")


def test_a_feed_listens_where_the_settings_say_and_others_need_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://pooler/db")
    monkeypatch.setenv("EDGEKEEPER_LISTEN_URL", "postgresql://direct/db")
    assert existing_database(bot_settings(), to_listen=True).endswith("//direct/db")
    assert existing_database(bot_settings()).endswith("//pooler/db")


def test_a_bot_never_makes_a_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "wrong"
    monkeypatch.setenv("EDGEKEEPER_HOME", str(home))
    for start in (
        load_overrides,
        lambda: start_config_feed(bot="bot-a"),
        lambda: start_recorder(bot="bot-a"),
    ):
        with pytest.raises(DatabaseUnavailable, match=f"{home}/pg18 holds no database"):
            start()
    assert not home.exists()


def test_a_bot_starts_an_embedded_database_that_was_made_and_is_stopped(own_server: Path) -> None:
    stop_server(own_server)
    url = existing_database(bot_settings(home=own_server))
    assert url.startswith("postgresql+psycopg://")
    assert server_status(own_server).state in ("running", "orphan")


def test_to_the_embedded_server_a_bot_comes_with_the_rights_of_a_bot(own_server: Path) -> None:
    migrate(start_server(own_server))
    engine = create_engine(existing_database(bot_settings(home=own_server)))
    with transaction(engine) as connection:
        assert connection.scalar(sa.text("SELECT current_user")) == "edgekeeper_bot"
        assert connection.scalar(sa.text("SELECT count(*) FROM learning_configs")) == 0
    for refused in ("DELETE FROM ad_strands", "UPDATE kill_switch SET overrides_on = true",
                    "SELECT * FROM learning_lessons", "CREATE TABLE mine ()"):  # fmt: skip
        with pytest.raises(ProgrammingError, match="permission denied"), transaction(engine) as c:
            c.execute(sa.text(refused))
    engine.dispose()
