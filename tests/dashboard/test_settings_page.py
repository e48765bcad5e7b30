"""The page Settings tells limits, people and versions, and no secret anywhere."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from dashboard import queries, theme
from dashboard.controls import Page
from dashboard.diagnostics import diagnostics
from dashboard.identity import Viewer
from dashboard.limits import limits_in_force
from dashboard.queries import Filters
from learning.settings import Settings
from learning.store import people_rows
from learning.store.people_rows import Approvals
from tests.dashboard.conftest import words_of

Open = Callable[..., AppTest]
SECRET = "tgram://123456:canary/987"


def table_of(page: AppTest, column: str) -> dict[str, str]:
    [found] = [one.value for one in page.dataframe if column in one.value]
    return dict(zip(found.iloc[:, 0], found[column], strict=True))


def test_the_number_of_people_is_the_larger_of_database_and_process() -> None:
    def told(database: int, process: int) -> tuple[str, str]:
        first = limits_in_force(
            Settings(approvals_required=process), Approvals(database, None, None, None)
        )[0]
        return first.in_force, first.kept_by

    assert told(1, 1) == ("1 person", "database")
    assert told(2, 1) == ("2 people", "database")
    assert told(1, 2) == ("2 people", "this process")


@pytest.mark.parametrize(
    ("within", "database", "process", "told"),
    [
        (0.0, 1, 1, "never"),
        (0.05, 1, 1, "within 0.05 of neutral"),
        (0.05, 2, 1, "never: two people are needed"),
        (0.05, 1, 2, "never: two people are needed"),
    ],
)
def test_what_is_approved_without_a_person_is_told_as_it_holds(
    within: float, database: int, process: int, told: str
) -> None:
    settings = Settings(auto_approve_max_effect=within, approvals_required=process)
    limits = limits_in_force(settings, Approvals(database, None, None, None))
    [found] = [one.in_force for one in limits if one.limit == "approved without a person"]
    assert found == told


def test_limits_people_and_flags_are_those_of_the_database(
    open_page: Open, engine_of_page: Engine
) -> None:
    with engine_of_page.begin() as connection:
        people_rows.set_person(connection, "=ann", "admin", actor="=ann")
        people_rows.set_approvals(connection, 2, actor="=ann", reason="four eyes from now on")
    page = open_page("review_settings.py")
    assert not page.exception
    assert table_of(page, "in_force")["people who activate a lesson"] == "2 people"
    assert table_of(page, "role") == {"'=ann": "admin"}
    assert set(table_of(page, "state").values()) == {"on"}
    assert table_of(page, "does")["J"] == "Next in the queue"


def test_a_notice_address_is_shown_by_its_kind_only(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKEEPER_NOTICE_URLS", SECRET)
    page = open_page("review_settings.py")
    assert "tgram://…" in words_of(page)
    assert "canary" not in words_of(page)
    assert not [one for one in page.dataframe if "canary" in str(one.value.to_dict())]


def test_diagnostics_hold_what_helps_and_no_secret(engine_of_page: Engine) -> None:
    with engine_of_page.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO job_runs (job, slot, run_trigger, requested_by, status, log_tail) "
                "VALUES ('mine_pm_lessons', now(), 'manual', '=cmd', 'failed', "
                "'postgresql://ann:canary@db/x refused')"
            )
        )
    health = queries.read_health(engine_of_page)
    settings = Settings(database_url="postgresql://a:canary@db/x", notice_urls=(SECRET,))
    page = Page(engine_of_page, health.source(engine_of_page), health, settings, Filters(), "R",
                Viewer("ann", "owner", True), theme.DARK)  # fmt: skip
    files = zipfile.ZipFile(io.BytesIO(diagnostics(page)()))
    texts = {name: files.read(name).decode() for name in files.namelist()}
    assert json.loads(texts["versions.json"])["Tables"].startswith("revision 0")
    assert json.loads(texts["settings.json"])["notice_urls"] == ["tgram://…"]
    assert "mine_pm_lessons" in texts["runs.csv"]
    assert "'=cmd" in texts["runs.csv"]
    assert not [name for name, text in texts.items() if "canary" in text]
