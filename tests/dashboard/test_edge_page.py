"""The edge map: what is clicked leads down, the address restores it, and each step says more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
import streamlit as st
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from dashboard import controls
from dashboard.drill_down import child_table, spelled
from dashboard.edge_queries import EdgeQuery, EdgeTable, read_edge_table
from dashboard.figures.edge_map import EdgeMap, draw_edge_map, edge_map
from dashboard.figures.scope_lattice import draw_scope_lattice, scope_lattice
from dashboard.queries import Filters, read_health
from dashboard.setup_map import SETUP, largest, map_of
from dashboard.theme import DARK
from jobs.runner import Runner
from jobs.timetable import JOBS
from learning.settings import Settings
from learning.store import strand_rows
from tests.benchmarks.loaded_trades import freeze_reference
from tests.dashboard.browsing import CHROMIUM, WAIT_MS, chromium, served
from tests.dashboard.conftest import words_of
from tests.dashboard.test_figures import cells
from tests.learning.store.stored_lessons import CLEAR, store_lesson
from tests.strand_builders import START, action, close

Open = Callable[..., AppTest]
PAGE = "explore_scopes.py"


PATTERN, OTHER_PATTERN = "pm.uptrend.S1.buy_flag", "pm.uptrend.S3.dip"


def trade(engine: Engine, pattern: str, seed: int) -> None:
    """Store 120 trades of a pattern in two buckets and two phases, and aggregate them."""
    rng = np.random.default_rng(seed)
    with engine.begin() as connection:
        for i in range(120):
            opened, name = START + timedelta(hours=12 * i), f"{pattern}-{i}"
            scope = {"bucket": ("micro", "mid")[i % 2], "macro_phase": ("Good", "Dip")[i // 2 % 2]}
            strand_rows.append(
                connection,
                [
                    action(name, pattern=pattern, hours=12 * i, scope=scope),
                    close(name, r_multiple=float(rng.normal(i % 2, 1)),
                          opened_at=opened.isoformat(),
                          closed_at=(opened + timedelta(hours=6)).isoformat()),
                ],
            )  # fmt: skip
        connection.execute(sa.text("UPDATE edgekeeper_state SET outcome = 'r_multiple'"))
    runner = Runner(engine, Settings(), JOBS)
    for job in ("ingest_strands", "aggregate_scopes"):
        assert runner.run_now(job, requested_by="test").status == "ok"


@pytest.fixture
def mapped(engine_of_page: Engine) -> Engine:
    trade(engine_of_page, PATTERN, seed=5)
    return engine_of_page


def conditions(page: AppTest) -> pd.DataFrame:
    return next(one.value for one in page.dataframe if "condition" in one.value)


def test_an_address_restores_where_one_stood(open_page: Open, mapped: Engine) -> None:
    page = open_page(PAGE, within=spelled({"bucket": "mid"}))
    assert not page.exception
    assert "60 trades" in words_of(page)
    table = conditions(page).set_index("condition")
    assert set(table.index) == {"macro_phase Good", "macro_phase Dip"}
    assert table["n"].tolist() == [30, 30]
    assert table["adds"].astype(float).sum() == pytest.approx(0, abs=0.02)  # of two halves


def test_drilling_down_from_the_top_and_back_by_the_breadcrumb(
    open_page: Open, mapped: Engine
) -> None:
    page = open_page(PAGE, within=spelled({"bucket": "mid", "macro_phase": "Dip"}))
    labels = [one.label.replace("\\", "") for one in page.button]
    assert labels.index("all") < labels.index("+ bucket mid") < labels.index("+ macro_phase Dip")
    next(one for one in page.button if one.key == "crumb-0").click().run()
    assert page.query_params["within"] == spelled({"bucket": "mid"})
    next(one for one in page.button if one.key == "crumb-all").click().run()
    assert {"bucket mid", "macro_phase Dip"} <= set(conditions(page)["condition"])


def test_a_context_that_no_scope_has_says_so(open_page: Open, mapped: Engine) -> None:
    page = open_page(PAGE, within=spelled({"bucket": "none"}))
    assert not page.exception
    assert "No stored scope adds a condition" in words_of(page)


@pytest.mark.parametrize("layer", ["edge", "raw difference", "trades", "q"])
def test_every_layer_is_shown(open_page: Open, mapped: Engine, layer: str) -> None:
    assert not open_page(PAGE, layer=layer, x="bucket").exception


def test_children_are_compared_with_where_one_stands() -> None:
    children = pd.DataFrame(
        {
            "scope": [{"a": "x", "b": "y"}, {"a": "x", "c": "=z"}, {"a": "x", "d": "w"}],
            "n": [100, 225, 29],
            "avg_rr": [0.5, 0.4, 9.0],
            "delta_rr": [0.6, 0.5, 9.1],
            "se_rr": [0.1, 0.1, 1.0],
            "edge_raw": [0.1, 0.2, 0.3],
            "segments_tested": [3, 3, 3],
            "segments_positive": [2, 3, 3],
        }
    )
    table = child_table(children, {"a": "x"}, {"a x, b y": "L-0001"}, 0.3)
    table = table.set_index("condition")
    assert table["adds"].to_dict() == {"b y": "+0.20", "c =z": "+0.10", "d w": "n<30"}
    assert list(table.index) == ["b y", "c =z", "d w"]
    assert table.loc["b y", "lesson"] == "L-0001"


def test_the_map_can_be_clicked_cell_by_cell_and_dims_no_number() -> None:
    shown = edge_map(cells(), row="setup", column="phase", unit="R")
    targets = draw_edge_map(shown, DARK).data[-1]
    assert [one[1:] for one in targets.customdata] == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert shown.row_values[1] == "a.b.d · entry"
    assert shown.column_values == ["Good", "Dip"]
    for text in draw_edge_map(shown, DARK).data[1:-1]:
        assert text.unselected.textfont.color == text.textfont.color


def test_a_q_is_shown_for_lessons_only() -> None:
    shown = edge_map(
        cells(q_value=[0.01, 0.01, np.nan]), row="setup", column="phase", unit="R", layer="q"
    )
    assert shown.text == [["0.010", "·"], ["·", ""]]
    assert shown.value[0][0] == pytest.approx(2.0)


def test_the_lattice_draws_the_way_to_where_one_stands() -> None:
    scopes = pd.DataFrame(
        {"scope": [{"a": 1}], "depth": [2], "n": [40], "delta_rr": [0.2], "avg_rr": [0.1]}
    )
    alone = scope_lattice(scopes, {})
    assert len(draw_scope_lattice(alone, DARK).data) == 1
    shown = scope_lattice(scopes, {}, path=[(0.0, 0), (0.1, 1)])
    dots, way = draw_scope_lattice(shown, DARK).data
    assert list(way.x) == [0.0, 0.1]
    assert dots.customdata[0][1] == 0
    assert shown.scopes[0] == {"a": 1}


def test_a_click_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    state: dict[str, Any] = {}
    monkeypatch.setattr("streamlit.session_state", state)
    assert controls.newly_picked("map") is None  # it has not been drawn yet
    state["map"] = {"selection": {"points": [{"customdata": ["told", 1, 0]}]}}
    assert [controls.newly_picked("map") for _ in range(2)] == [["told", 1, 0], None]
    state["map"]["selection"]["points"] = []
    assert controls.newly_picked("map") is None
    state["map"]["selection"]["points"] = [{"customdata": ["told", 1, 0]}]
    assert controls.newly_picked("map") == ["told", 1, 0]


# ------------------------------------------------------------------ stored sums
def table_of(engine: Engine, days: int | None, **changes: object) -> EdgeTable:
    """The edges by bucket: of stored sums without a period, of the events with one."""
    st.cache_data.clear()
    st.cache_resource.clear()
    asked = Filters(days=days, origins=Settings().origins)._replace(**changes)
    source = read_health(engine).source(engine)
    return read_edge_table(source, EdgeQuery("pm", ("bucket",), asked, "R", "r_multiple"))


def map_by(engine: Engine, row: str, *dims: str, days: int | None = None, **more: Any) -> EdgeMap:
    asked = EdgeQuery("pm", dims, Filters(days=days, origins=Settings().origins), "R",
                      "r_multiple")  # fmt: skip
    source = read_health(engine).source(engine)
    return map_of(source, asked, row=row, **{"setup": None, "layer": "edge", **more})


def test_a_lesson_is_shown_for_all_trades_and_for_no_part_of_them(mapped: Engine) -> None:
    """What a lesson is worth was found on all trades: of a period it would be another's number."""
    with mapped.begin() as connection:
        store_lesson(
            connection, pattern_key=PATTERN, action_category="entry", scope={"bucket": "mid"},
            stats={**CLEAR, "posterior_mean_rr": 7.25},
        )  # fmt: skip
    whole = map_by(mapped, SETUP, "bucket")
    mid = whole.column_values.index("mid")
    assert whole.value[0, mid] == 7.25
    assert whole.text[0][mid].endswith("◆")
    part = map_by(mapped, SETUP, "bucket", days=100_000)
    assert abs(part.value[0, mid]) < 1
    assert "◆" not in part.text[0][mid]


def test_a_map_of_two_conditions_holds_one_setup(mapped: Engine) -> None:
    dims = ("macro_phase", "bucket")
    alone = map_by(mapped, dims[0], *dims, setup=(PATTERN, "entry"), layer="raw")
    trade(mapped, OTHER_PATTERN, seed=6)
    first, other = (map_by(mapped, dims[0], *dims, setup=(one, "entry"), layer="raw")
                    for one in (PATTERN, OTHER_PATTERN))  # fmt: skip
    assert first.value == pytest.approx(alone.value)
    assert not np.isclose(first.value, other.value).any()


@pytest.mark.parametrize("is_look", [True, False])
def test_stored_sums_give_the_table_that_the_events_give(mapped: Engine, is_look: bool) -> None:
    with mapped.begin() as connection:  # now the events are clipped as the sums are
        freeze_reference(connection, is_look=is_look)
    stored, counted = table_of(mapped, None), table_of(mapped, 100_000)
    pd.testing.assert_frame_equal(stored.cells, counted.cells, check_dtype=False)
    pd.testing.assert_frame_equal(stored.groups, counted.groups, check_dtype=False)
    assert stored.cells["n"].tolist() == [60, 60]
    assert (stored.prior_sd, stored.n_trades) == pytest.approx((counted.prior_sd, 120))


def test_sums_are_used_as_they_are_stored(mapped: Engine) -> None:
    with mapped.begin() as connection:
        connection.execute(
            sa.text("UPDATE scope_week_sums SET n = array_fill(2, ARRAY[cardinality(codes)])")
        )
    assert table_of(mapped, None).n_trades != table_of(mapped, 100_000).n_trades == 120


@pytest.mark.parametrize("changed", ["outcome = 'rr_path'", "origins = '{backtest}'"])
def test_sums_of_another_outcome_or_of_other_origins_are_left_alone(
    mapped: Engine, changed: str
) -> None:
    with mapped.begin() as connection:
        connection.execute(
            sa.text("UPDATE scope_week_sums SET n = array_fill(2, ARRAY[cardinality(codes)])")
        )
        connection.execute(sa.text(f"UPDATE scope_groups SET {changed}"))
    assert table_of(mapped, None).n_trades == 120


def test_a_map_of_many_setups_shows_those_with_most_trades() -> None:
    groups = pd.DataFrame(
        {"pattern_key": [f"pm.p{i:02d}" for i in range(50)], "action_category": "entry",
         "n": range(50), "mean": 0.0}
    )  # fmt: skip
    table = EdgeTable(groups.assign(bucket="mid"), groups, 0.0, 1225, "R", "r_multiple")
    assert largest(table)["pattern_key"].tolist() == [f"pm.p{i:02d}" for i in range(10, 50)]


def test_the_address_restores_what_a_bot_is_asked_about(open_page: Open, mapped: Engine) -> None:
    page = open_page("inspect_overrides.py", **{"ask-bucket": "mid", "ask_trade": "p-7"})
    assert not page.exception
    assert page.selectbox(key="ask-bucket").value == "mid"
    assert page.text_input(key="ask_trade").value == "p-7"
    assert page.expander[0].proto.expanded
    assert not open_page("inspect_overrides.py").expander[0].proto.expanded


CELL = """
([column, row]) => {
  const map = document.querySelector('.js-plotly-plot'), at = map._fullLayout._size;
  const box = map.getBoundingClientRect();
  return [box.x + at.l + at.w * column, box.y + at.t + at.h * row];
}
"""


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed on this machine")
@pytest.mark.usefixtures("mapped")
def test_a_click_on_a_cell_leads_there_and_a_click_on_another_leads_on(fresh_database: str) -> None:
    """Across stand micro and mid, the smaller one first."""
    with served(DATABASE_URL=fresh_database) as address, chromium() as browser:
        tab = browser.new_context(viewport={"width": 1440, "height": 1600}).new_page()
        tab.set_default_timeout(WAIT_MS)
        tab.goto(address + "edge?x=bucket")
        for column, value in ((0.25, "micro"), (0.75, "mid")):
            tab.locator(".js-plotly-plot .heatmaplayer").first.wait_for()
            tab.wait_for_timeout(2000)
            tab.mouse.click(*tab.evaluate(CELL, [column, 0.5]))
            tab.get_by_role("button", name=f"+ bucket {value}").wait_for()
            assert value in tab.url
