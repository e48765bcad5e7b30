"""Logging in at a provider of this machine, in a real browser: the name reaches the database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from learning.store import people_rows
from learning.store.database import create_engine
from learning.store.schema import lesson_decisions
from tests.dashboard.browsing import CHROMIUM, WAIT_MS, chromium, served
from tests.dashboard.local_provider import CLIENT_ID, Provider, local_provider
from tests.learning.store.stored_lessons import CLEAR, store_lesson

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed on this machine"),
]
LOGIN = """
[auth]
redirect_uri = "http://127.0.0.1:{{port}}/oauth2callback"
cookie_secret = "a-cookie-secret-of-forty-characters-length"
client_id = "{client}"
client_secret = "none"
server_metadata_url = "{issuer}/.well-known/openid-configuration"
"""


@pytest.fixture
def provider() -> Iterator[Provider]:
    pytest.importorskip("authlib", reason="Authlib is not installed: pip install Authlib httpx")
    pytest.importorskip("httpx", reason="httpx is not installed: pip install Authlib httpx")
    with local_provider() as running:
        yield running


@pytest.fixture
def database(fresh_database: str) -> Iterator[Engine]:
    engine = create_engine(fresh_database, application_name="edgekeeper login tests")
    with engine.begin() as connection:
        store_lesson(connection, stats={**CLEAR, "posterior_mean_rr": 0.4, "delta_q25_rr": 0.3})
        for name, role in (("boss@x.org", "admin"), ("ann@x.org", "approver"),
                           ("vic@x.org", "viewer")):  # fmt: skip
            people_rows.set_person(connection, name, role, actor="boss@x.org")
    yield engine
    engine.dispose()


@pytest.fixture
def address(
    provider: Provider, fresh_database: str, database: Engine, tmp_path: Path
) -> Iterator[str]:
    (tmp_path / "login.toml").write_text(LOGIN.format(client=CLIENT_ID, issuer=provider.issuer))
    with served(DATABASE_URL=fresh_database, EDGEKEEPER_HOME=str(tmp_path)) as running:
        yield running


def log_in(browser: Any, address: str) -> Any:
    tab = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    tab.set_default_timeout(WAIT_MS)
    tab.goto(address + "decisions")
    tab.get_by_text("Log in to see anything").wait_for()
    assert not tab.get_by_text("L-0001").count()
    tab.get_by_role("button", name="Log in").click()
    return tab


def test_who_logs_in_decides_under_the_name_that_the_provider_vouches_for(
    provider: Provider, address: str, database: Engine
) -> None:
    provider.claims = {"email": "ann@x.org", "email_verified": True, "name": "The Boss"}
    with chromium() as browser:
        tab = log_in(browser, address)
        tab.get_by_role("heading", level=1, name="Overview").wait_for()
        tab.goto(address + "decisions")
        tab.get_by_role("button", name="Approve L-0001 v1").click()
        dialog = tab.get_by_role("dialog")
        dialog.get_by_role("textbox").fill("the edge is clear enough")
        dialog.get_by_role("button", name="Approve x1.10 on L-0001 v1").click()
        tab.get_by_text("L-0001 v1 approved").wait_for()
    query = sa.select(lesson_decisions.c.decided_by).where(lesson_decisions.c.decision == "approve")
    with database.connect() as connection:
        assert list(connection.scalars(query)) == ["ann@x.org"]


def test_a_viewer_looks_and_somebody_who_is_not_listed_sees_nothing(
    provider: Provider, address: str
) -> None:
    with chromium() as browser:
        provider.claims = {"email": "vic@x.org", "email_verified": True}
        tab = log_in(browser, address)
        tab.get_by_text("has the role viewer").wait_for()
        assert not tab.get_by_role("button", name="Kill switch").count()
        provider.claims = {"email": "eve@x.org", "email_verified": True}
        tab = log_in(browser, address)
        tab.get_by_text("eve@x.org is not listed").wait_for()
        assert not tab.get_by_text("Waiting for you").count()
        tab.get_by_role("button", name="Log out").click()
        tab.get_by_text("Log in to see anything").wait_for()
