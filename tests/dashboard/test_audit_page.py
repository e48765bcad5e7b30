"""The page Audit: whatever changes what may happen to an order is listed, with who and why."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from learning.store import people_rows, state_rows

Open = Callable[..., AppTest]
PAGE = "trace_decisions.py"


def test_changes_of_rules_are_listed_with_who_and_why(
    open_page: Open, engine_of_page: Engine
) -> None:
    with engine_of_page.begin() as connection:
        people_rows.set_approvals(connection, 2, actor="=ann", reason="four eyes from now on")
        state_rows.set_flag(connection, "v5_meta_learning_enabled", False, actor="bob")
    page = open_page(PAGE)
    assert not page.exception
    listed = page.dataframe[0].value[["object", "change", "by", "why", "source"]]
    assert listed.to_numpy().tolist() == [
        ["v5 meta learning enabled", "on → off", "bob", "switched off without a word", "person"],
        ["approvals required", "1 → 2", "'=ann", "four eyes from now on", "person"],
    ]
    page.button_group[0].unselect("rules").run()
    assert not page.dataframe
