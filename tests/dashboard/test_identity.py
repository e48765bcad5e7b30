"""Who may look and who may decide: by login, by the list of people, and by the database."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from dashboard import commands, identity
from dashboard.commands import Seen
from dashboard.identity import login_secrets, viewer_of
from learning.errors import ConfigError
from learning.settings import Settings
from learning.store import people_rows
from learning.store.database import create_engine
from learning.store.schema import (
    job_runs,
    job_settings,
    kill_switch_history,
    lesson_decisions,
    lesson_deferrals,
)
from tests.dashboard.browsing import served
from tests.dashboard.raw_client import logged_in, raw_client
from tests.learning.store.stored_lessons import CLEAR, store_lesson

SECRET = "a-cookie-secret-of-forty-characters-length"
LOGIN = f"""
[auth]
redirect_uri = "{{address}}oauth2callback"
cookie_secret = "{SECRET}"
client_id = "edgekeeper"
client_secret = "none"
server_metadata_url = "http://127.0.0.1:9/.well-known/openid-configuration"
"""
WRITTEN = (lesson_decisions, kill_switch_history, job_runs, job_settings, lesson_deferrals)
PEOPLE = {"boss@x.org": "admin", "ann@x.org": "approver", "vic@x.org": "viewer"}


# ------------------------------------------------------------------ who somebody is
def as_logged_in(monkeypatch: pytest.MonkeyPatch, claims: Mapping[str, Any] | None) -> None:
    monkeypatch.setattr(identity, "login_is_set_up", lambda: True)
    monkeypatch.setattr("streamlit.user", {"is_logged_in": claims is not None, **(claims or {})})


@pytest.mark.parametrize(
    ("email", "role", "decides", "looks"),
    [
        ("boss@x.org", "admin", True, True),
        ("ann@x.org", "approver", True, True),
        ("vic@x.org", "viewer", False, True),
        ("eve@x.org", "none", False, False),
    ],
)
def test_a_login_is_worth_what_the_list_of_people_says(
    monkeypatch: pytest.MonkeyPatch, email: str, role: str, decides: bool, looks: bool
) -> None:
    as_logged_in(monkeypatch, {"email": email, "email_verified": True})
    viewer = viewer_of(Settings(), PEOPLE)
    assert (viewer.role, viewer.may_decide, viewer.may_look) == (role, decides, looks)


def test_nobody_decides_without_a_login_where_one_is_set_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    as_logged_in(monkeypatch, None)
    for people in (PEOPLE, {}):
        viewer = viewer_of(Settings(), people)
        assert (viewer.may_decide, viewer.may_look) == (False, False)


def test_a_login_alone_makes_nobody_admin_of_an_empty_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    as_logged_in(monkeypatch, {"email": "first@x.org"})
    viewer = viewer_of(Settings(), {})
    assert not viewer.may_decide
    assert "./run people add first@x.org --role admin" in (viewer.why_not or "")


def test_a_local_page_without_login_belongs_to_the_user_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    assert viewer_of(Settings(), {}).role == "owner"
    assert viewer_of(Settings(), {"ann": "viewer"}).may_decide is False


def test_a_login_file_is_read_from_the_home_folder_or_refused(tmp_path: Path) -> None:
    assert login_secrets(tmp_path) == {}
    (tmp_path / "login.toml").write_text(LOGIN.format(address="http://127.0.0.1:1/"))
    assert login_secrets(tmp_path)["auth"]["client_id"] == "edgekeeper"
    (tmp_path / "login.toml").write_text("[auth")
    with pytest.raises(ConfigError, match=r"login\.toml cannot be read"):
        login_secrets(tmp_path)


def test_a_viewer_is_refused_by_the_database_whatever_the_page_does(
    engine_of_page: Engine,
) -> None:
    with engine_of_page.begin() as connection:
        listed(connection)
        lesson_id = store_lesson(connection)
    seen = Seen(lesson_id, 1, "proposed")
    for actor in ("vic@x.org", "eve@x.org", "visitor", ""):
        done = commands.decide(
            engine_of_page, seen, "approve", actor=actor, reason="clear enough to me",
            token=uuid4(), approvals_required=1,
        )  # fmt: skip
        off = commands.turn_switch(engine_of_page, on=False, actor=actor, reason="")
        assert (done.is_done, off.is_done) == (False, False)
    assert written(engine_of_page)["kill_switch_history"] == 0


# ------------------------------------------------------------------ raw clients of a real server
def listed(connection: Connection) -> None:
    for name, role in PEOPLE.items():
        people_rows.set_person(connection, name, role, actor="boss@x.org")


def written(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {
            table.name: connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for table in WRITTEN
        }


@pytest.fixture
def database(fresh_database: str) -> Iterator[Engine]:
    engine = create_engine(fresh_database, application_name="edgekeeper login tests")
    with engine.begin() as connection:
        store_lesson(connection, stats={**CLEAR, "posterior_mean_rr": 0.4, "delta_q25_rr": 0.3})
    yield engine
    engine.dispose()


def buttons_of(address: str, **who: Any) -> dict[str, str]:
    with raw_client(address, **who) as client:
        for page in ("", "decisions"):
            client.run(page)
        return dict(client.buttons)


def press_all(address: str, buttons: Mapping[str, str], **who: Any) -> None:
    """Press every button on every page, whether it is shown or not."""
    with raw_client(address, **who) as client:
        for page in ("", "decisions"):
            client.run(page)
            for name in buttons.values():
                client.run(page, pressed=name)


@pytest.mark.slow
def test_a_raw_client_without_an_identity_changes_nothing_where_login_is_on(
    fresh_database: str, database: Engine, tmp_path: Path
) -> None:
    """The same client, pressing the same buttons, stops all overrides where no login is set up."""
    with served(DATABASE_URL=fresh_database) as open_address:
        buttons = buttons_of(open_address)
        assert any(one.startswith("Kill") for one in buttons)
        with raw_client(open_address) as client:
            client.run("")
            client.run("", pressed=client.buttons["Kill switch"])
            client.run("", pressed=client.buttons["Stop applying all overrides"])
            buttons.update(client.buttons)
    before = written(database)
    assert before["kill_switch_history"] == 1  # the control: such a client does press buttons

    with database.begin() as connection:
        listed(connection)
    home = tmp_path / "home"
    home.mkdir()
    (home / "login.toml").write_text(LOGIN.format(address="http://127.0.0.1:1/"))
    chosen = {k: v for k, v in buttons.items() if k.startswith(("Kill", "Stop", "Put off", "App"))}
    with served(DATABASE_URL=fresh_database, EDGEKEEPER_HOME=str(home)) as address:
        ann = {"email": "ann@x.org", "exp": time.time() + 600}
        strangers = {
            "no cookie": {},
            "forged": logged_in(address, "another-secret-of-forty-characters-length", ann),
            "expired": logged_in(address, SECRET, {**ann, "exp": time.time() - 1}),
            "viewer": logged_in(address, SECRET, {**ann, "email": "vic@x.org"}),
            "not listed": logged_in(address, SECRET, {**ann, "email": "eve@x.org"}),
            "not verified": logged_in(address, SECRET, {**ann, "email_verified": False}),
        }
        for name, who in strangers.items():
            press_all(address, chosen, **who)
            assert written(database) == before, name
        with pytest.raises(Exception, match=r"1008|403|close"), raw_client(
            address, headers={"Origin": "http://evil.example"}
        ) as client:  # fmt: skip
            client.run("")
        with raw_client(address, **logged_in(address, SECRET, ann)) as client:
            client.run("decisions")
            client.run("decisions", pressed=client.buttons["Put off 7 d"])
    assert written(database)["lesson_deferrals"] == 1  # and who may decide still can
