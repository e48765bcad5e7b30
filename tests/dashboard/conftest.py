"""Pages run against a database of their own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from dashboard import controls
from learning.store.database import create_engine
from learning.store.embedded import stop_server
from tests.dashboard.learned_crypto import copied, learned_server

REAL_SET = pytest.param("crypto", marks=[pytest.mark.slow, pytest.mark.real_data])
APP = Path(__file__).parents[2] / "dashboard" / "app.py"
PAGES = sorted(path.name for path in (APP.parent / "screens").glob("[a-z]*.py"))


@pytest.fixture(scope="session")
def learned_crypto(make_home: Callable[[], Path]) -> Iterator[str]:
    """URL of a database with the real crypto set; tests take a copy of it."""
    home, url = learned_server(make_home)
    yield url
    stop_server(home)
    shutil.rmtree(home)


@pytest.fixture
def crypto(learned_crypto: str) -> Iterator[str]:
    """URL of a copy of the real crypto set, the test's own."""
    with copied(learned_crypto) as url:
        yield url


@pytest.fixture
def engine_of_page(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Engine of the database that the pages of this test read."""
    monkeypatch.setenv("DATABASE_URL", fresh_database)
    monkeypatch.setattr(controls, "_WORDS_FIRST_S", 0.0)  # no browser is here to show them
    st.cache_data.clear()
    st.cache_resource.clear()
    engine = create_engine(fresh_database, application_name="edgekeeper dashboard tests")
    yield engine
    engine.dispose()


@pytest.fixture
def open_page(engine_of_page: Engine) -> Callable[[str], AppTest]:
    """Open a page by the name of its file."""

    def opened(name: str, **query: str) -> AppTest:
        page = AppTest.from_file(str(APP), default_timeout=60)
        for key, value in query.items():
            page.query_params[key] = value
        page.run()
        page.switch_page(f"screens/{name}")
        return page.run()

    return opened


def words_of(page: AppTest) -> str:
    """Everything a page says, joined."""
    kinds = ("title", "subheader", "text", "markdown", "caption", "error", "metric")
    parts = [str(one.value) for kind in kinds for one in getattr(page, kind)]
    return "\n".join([*parts, *(str(one.delta) for one in page.metric)])
