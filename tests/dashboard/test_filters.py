"""Filters stay when the page changes, also where the browser had not drawn them yet."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy import Engine
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.testing.v1 import AppTest

from dashboard import controls
from tests.dashboard.conftest import APP


@pytest.fixture
def app(engine_of_page: Engine) -> AppTest:
    return AppTest.from_file(str(APP), default_timeout=60)


def gone_on(app: AppTest) -> AppTest:
    """Another page, as a browser asks for it that has not drawn the filters."""
    app.query_params.clear()
    return app.switch_page("screens/explore_scopes.py")._run(WidgetStates())


def chosen(app: AppTest) -> list[object]:
    return [app.session_state[key] for key in ("module", "period", "unit")]


def test_what_the_browser_forgot_is_put_back_into_the_address(app: AppTest) -> None:
    app.query_params["module"] = "dm"
    app.query_params["period"] = "30 d"
    app.run()
    assert chosen(app) == ["dm", "30 d", "R"]
    gone_on(app)
    assert not app.exception
    assert chosen(app) == ["dm", "30 d", "R"]
    assert app.query_params == {"module": "dm", "period": "30 d"}


def test_what_no_page_had_drawn_yet_is_what_the_visitor_came_with(app: AppTest) -> None:
    app.session_state["came-with"] = {"period": "7 d", "unit": "%", "module": "none of ours"}
    gone_on(app)
    assert not app.exception
    assert chosen(app) == [None, "7 d", "%"]


def test_a_filter_that_was_lifted_stays_lifted(app: AppTest) -> None:
    app.query_params["period"] = "30 d"
    app.query_params["module"] = "pm"
    app.run()
    app.segmented_control(key="period").set_value("all")
    app.segmented_control(key="module").set_value(None)
    app.run()
    gone_on(app)
    assert chosen(app) == [None, "all", "R"]
    assert app.query_params == {}


def test_what_holds_without_a_choice_is_never_put_back(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A choice that the browser has just made would be undone by it."""
    may_be_put_back: dict[str, Sequence[str]] = {}
    monkeypatch.setattr(controls, "_put_back", may_be_put_back.__setitem__)
    gone_on(app)
    assert list(may_be_put_back["period"]) == ["90 d", "30 d", "7 d"]
    assert list(may_be_put_back["unit"]) == ["%", "money"]
