"""Overview: is what was learned making money now, and what needs a person?"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import controls, formats, health, queries
from dashboard.alert_list import open_alerts, show_alerts
from dashboard.controls import Page
from dashboard.drill_down import spelled, stored_value
from dashboard.edge_queries import EdgeQuery, EdgeTable, read_dimensions, read_edge_table
from dashboard.effect_queries import MONEY_DAYS, Uplift, read_turns, read_uplift
from dashboard.figures.effect_over_time import draw_effect_over_time, effect_over_time
from dashboard.figures.search_funnel import draw_search_funnel, search_funnel
from dashboard.lesson_summary import LessonSummary, read_summary, waiting_lessons
from dashboard.lesson_table import lesson_columns, lesson_table
from dashboard.setup_map import draw_map_of_setups, map_dimension, map_of_setups

_JOBS = (
    "ingest_strands",
    "aggregate_scopes",
    "mine_pm_lessons",
    "mine_dm_lessons",
    "materialise_overrides",
)
_MOST_ALERTS = 3
# what the list is sorted by stands where it is seen
_COLUMNS = ("lesson", "setup", "context", "edge", "interval", "n", "q", "value", "half_life",
            "change", "outcome", "found")  # fmt: skip


def show() -> None:
    """Draw the page."""
    page = controls.open_page("Overview", jobs=_JOBS)
    lessons = read_summary(page.source, page.filters, page.outcome)
    steps = _steps(page, lessons)
    if page.health.last_trade_at is None and not lessons.n:
        _show_steps(steps)
        return
    alerts = open_alerts(page)
    uplift = _uplift(page)
    _show_indicators(page, lessons, uplift, n_alerts=len(alerts))
    show_alerts(page, alerts, most=_MOST_ALERTS)
    if not all(done for done, _ in steps):
        _show_steps(steps)
    left, right = st.columns([1.25, 1], gap="medium")
    with left:
        if uplift is None:
            _show_search(page, lessons)
        else:
            _show_effect(page, uplift)
    with right:
        _show_map(page, lessons)
    if uplift is not None:
        _tell_search(page, lessons)
    _show_waiting(page, lessons)


def _uplift(page: Page) -> Uplift | None:
    outcome = page.health.state.outcome
    return None if outcome is None else read_uplift(page.source, outcome, page.filters)


# ------------------------------------------------------------------ the way in
def _steps(page: Page, lessons: LessonSummary) -> list[tuple[bool, str]]:
    """Return the three steps to a first override, and which of them are done."""
    return [
        (page.health.last_trade_at is not None,
         "Import closed trades: ./run import path/to/trades, or the page Data"),
        (not queries.read_looks(page.source).empty, "Let the jobs run once: ./run up"),
        (lessons.was_approved, "Approve a first lesson on the page Decisions"),
    ]  # fmt: skip


def _show_steps(steps: list[tuple[bool, str]]) -> None:
    done = sum(one for one, _ in steps)
    told = "Nothing learned yet. Three steps lead here:"
    with controls.nothing(told if not done else f"{done} of {len(steps)} steps done:"):
        with st.container(horizontal=True, gap="medium"):
            for is_done, label in steps:
                box = "check_box" if is_done else "check_box_outline_blank"
                st.markdown(f":material/{box}: {label}", width="content")
        if not done:
            st.caption("Only looking? ./run demo fills a database of its own, invented trades.")


# ------------------------------------------------------------------ indicators
def _show_indicators(
    page: Page, lessons: LessonSummary, uplift: Uplift | None, *, n_alerts: int
) -> None:
    with st.container(horizontal=True, gap="small"):
        _waiting(page, lessons)
        _effect(uplift)
        _money(uplift)
        _fading(lessons, n_alerts=n_alerts)
        _jobs(page)


def _metric(label: str, value: str, told: str, *, help: str | None = None) -> None:
    st.metric(
        label,
        value,
        delta=told,
        delta_arrow="off",
        delta_color="off",
        border=True,
        width="stretch",
        help=help,
    )


def _waiting(page: Page, lessons: LessonSummary) -> None:
    overrides = queries.read_overrides(page.source)
    ending = int((overrides["expires_at"] < page.health.now + timedelta(days=1)).sum())
    told = "nothing to decide"
    if lessons.oldest_waiting is not None:
        told = f"oldest {formats.ago(lessons.oldest_waiting, page.health.now)}"
    if ending:
        told = f"{formats.plural(ending, 'override')} {'ends' if ending == 1 else 'end'} in 24 h"
    _metric("Waiting for you", formats.plural(lessons.n_waiting, "lesson"), told)


def _effect(uplift: Uplift | None) -> None:
    label, told = "Effect of size", "no sized trade has closed"
    means = (
        "Mean of (applied multiplier - 1) times the outcome, over all trades that overrides "
        "sized; 95 % however often one looks."
    )
    if uplift is None:
        _metric(label, formats.NOTHING, told, help=means)
        return
    path = uplift.path
    last = path.points[-1]
    if last.low_rr is None:
        told = f"{path.n_units} of {path.starts_at} {path.unit}"
        _metric(label, "not clear yet", told, help=f"{means} An interval begins with that.")
        return
    if last.n < formats.MIN_SHOWN_N:
        _metric(label, formats.TOO_FEW, formats.plural(last.n, "sized trade"), help=means)
        return
    told = f"95 % {formats.interval(last.low_rr, last.high_rr, digits=3, unit='')}, n {last.n}"
    _metric(label, formats.signed(last.estimate_rr, digits=3, unit="R per trade"), told, help=means)


def _money(uplift: Uplift | None) -> None:
    label = f"Effect in money, {MONEY_DAYS} d"
    if uplift is None:
        _metric(label, formats.NOTHING, "no sized trade has closed")
        return
    money = uplift.money
    told = f"{money.n_measurable} of {formats.plural(money.n, 'trade')} measurable"
    if money.amount is None:
        _metric(label, "not offered", told, help="No trade names profit and currency.")
        return
    unit = str(formats.plain(money.currency or "", longest=8))
    spread = "too few weeks for an interval"
    if money.low is not None:
        spread = f"95 % {formats.interval(money.low, money.high, unit=unit)}, by weeks"
    _metric(
        label,
        formats.signed(money.amount, digits=0 if abs(money.amount) >= 100 else 2, unit=unit),
        told,
        help=f"What they earned at the multiplied size, less what base size had earned. {spread}.",
    )


def _fading(lessons: LessonSummary, *, n_alerts: int) -> None:
    told = "none seen to decay"
    if lessons.shortest_days is not None:
        told = f"shortest half-life {lessons.shortest_days:.0f} d"
    if lessons.n_failed:
        told = f"{lessons.n_failed} failed on later trades"
    if n_alerts:
        told = formats.plural(n_alerts, "open alert")
    _metric(
        "Going bad",
        f"{lessons.n_going_bad} of {formats.plural(lessons.n_active, 'override')}",
        told,
        help="Active lessons that decay, changed sign, or failed on trades since.",
    )


def _jobs(page: Page) -> None:
    ok, failed = queries.read_job_counts(page.engine)
    states = health.job_states(page.health)
    late = sum(one.state == "late" for one in states)
    told = f"{late} late" if late else "none late"
    _metric("Jobs, 24 h", f"{ok} ok / {failed} failed", told)


# ------------------------------------------------------------------ the effect
def _show_effect(page: Page, uplift: Uplift) -> None:
    controls.section("Effect of size, cumulative (R), 95 %")
    marks = read_turns(page.source)
    shown = effect_over_time(uplift.path, cumulative=True, marks=marks)
    controls.chart(
        draw_effect_over_time(shown, page.palette, height=300), key="effect", alt=shown.alt
    )
    path = uplift.path
    begins = "" if shown.low else f" The band begins with {path.starts_at} {path.unit}."
    st.caption(
        f"Sum of (multiplier - 1) times {formats.plain(page.outcome)} over "
        f"{formats.plural(path.points[-1].n, 'trade')}; it holds however often one looks.{begins}"
    )
    st.page_link("screens/judge_effects.py", label="Each override", icon=":material/balance:")


# ------------------------------------------------------------------ the search, the map
def _looked_at(page: Page) -> pd.DataFrame:
    looks = queries.read_looks(page.source)
    return looks if page.filters.module is None else looks[looks["module"] == page.filters.module]


def _tell_search(page: Page, lessons: LessonSummary) -> None:
    looks = _looked_at(page)
    if looks.empty:
        return
    funnel = search_funnel(_summed(looks["counts"].tolist()), lessons.offered)
    steps = " → ".join(
        f"{formats.count(n)} {name.lower()}"
        for name, n in zip(funnel.steps, funnel.counts, strict=True)
    )
    st.caption(f"{steps}. {funnel.chance or ''}")


def _show_search(page: Page, lessons: LessonSummary) -> None:
    looks = _looked_at(page)
    controls.section("Many scopes, few lessons (how many, logarithmic)")
    if looks.empty:
        controls.nothing("No discovery look yet: the miner runs every 6 h.", height=240)
        return
    funnel = search_funnel(_summed(looks["counts"].tolist()), lessons.offered)
    controls.chart(
        draw_search_funnel(funnel, page.palette, height=300), key="funnel", alt=funnel.alt
    )
    newest = looks["created_at"].max()
    level = looks["fdr_level"].max()
    st.caption(
        f"{(funnel.chance or 'The search counted too little to compare with chance')}. "
        f"Look {looks['look'].max()}, {formats.utc(newest, with_year=True)}; accepted share of "
        f"false lessons {formats.share(level)}."
    )


def _summed(counts: list[dict[str, int]]) -> dict[str, int]:
    names = {name for one in counts for name in one}
    return {name: sum(one.get(name, 0) for one in counts) for name in names}


def _show_map(page: Page, lessons: LessonSummary) -> None:
    module = page.filters.module or lessons.module
    dims = read_dimensions(page.source, module)
    controls.section(f"Edge by setup and context ({page.unit} per trade)")
    if not dims or page.health.state.outcome is None:
        controls.nothing("No scope is stored yet: scopes need trades with context.", height=240)
        return
    dim = map_dimension(page.source, module, page.filters)
    asked = EdgeQuery(module, (dim,), page.filters, page.unit, page.outcome)
    table = read_edge_table(page.source, asked)
    shown = map_of_setups(page.source, asked)
    if shown.is_blank:
        controls.nothing(f"{shown.alt} Widen the filters.", height=240)
        return
    figure = draw_map_of_setups(shown, page.palette)

    def open_cell(clicked: list[Any]) -> None:
        cell = {dim: stored_value(shown.column_values[clicked[2]])}
        _open_map(dim, str(shown.row_values[clicked[1]]), cell)

    controls.chart(figure, key="overview-map", alt=shown.alt, on_pick=open_cell)
    st.caption(formats.plain(_map_told(table, dim), longest=300))
    st.page_link(
        "screens/explore_scopes.py",
        label="Any two conditions",
        icon=":material/grid_on:",
        query_params={"x": dim},
    )


def _open_map(dim: str, setup: str, cell: dict[str, Any]) -> None:
    """Open the edge map where a cell was clicked."""
    at = {"x": dim, "node": setup, "within": spelled(cell)}
    st.switch_page("screens/explore_scopes.py", query_params=at)


def _map_told(table: EdgeTable, dim: str) -> str:
    spread = (
        "its spread is no more than chance makes"
        if table.prior_sd == 0
        else f"true edges lie about {table.prior_sd:.2f} {table.unit} apart"
    )
    return (
        f"{dim}: mean of the cell minus mean of its setup, {table.outcome}, shrunk toward the "
        f"setup; {spread}; {formats.plural(table.n_trades, 'decision')}. ◆ is a lesson."
    )


def _show_waiting(page: Page, lessons: LessonSummary) -> None:
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.subheader("Needs a decision", anchor=False, width="content")
        st.page_link(
            "screens/review_lessons.py",
            label=f"All {lessons.n_waiting} in Decisions",
            icon=":material/arrow_forward:",
        )
    if not lessons.n_waiting:
        controls.nothing(
            "Nothing waits. New lessons appear after a discovery look, at most every "
            "28 days or when trades grew by a quarter."
        )
        return
    controls.table(
        lessons.listed,
        column_config=lesson_columns(),
        column_order=_COLUMNS,
        alt=f"{lessons.n_waiting} lessons that wait for a decision",
        key="waiting",
    )
    controls.downloads(lambda: _all_waiting(page), "waiting")


def _all_waiting(page: Page) -> pd.DataFrame:
    lessons = queries.of_filters(queries.read_lessons(page.source), page.filters)
    return lesson_table(waiting_lessons(lessons))


if __name__ == "__main__":
    show()
