"""Overview: is what was learned making money now, and what needs a person?"""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import streamlit as st

from dashboard import controls, formats, health, queries
from dashboard.alert_list import open_alerts, show_alerts
from dashboard.controls import Page
from dashboard.edge_queries import EdgeTable, read_dimensions, read_edge_table
from dashboard.figures.edge_map import draw_edge_map, edge_map
from dashboard.figures.effect_forest import draw_effect_forest, effect_forest
from dashboard.figures.search_funnel import draw_search_funnel, search_funnel
from dashboard.lesson_table import lesson_columns, lesson_table

_JOBS = (
    "ingest_strands",
    "aggregate_scopes",
    "mine_pm_lessons",
    "mine_dm_lessons",
    "materialise_overrides",
)
_LISTED = 8
_MOST_COLUMNS = 9
_MOST_ROWS = 8
_MOST_ALERTS = 3


def show() -> None:
    """Draw the page."""
    page = controls.open_page("Overview", jobs=_JOBS)
    lessons = queries.of_filters(queries.read_lessons(page.source), page.filters)
    if page.health.last_trade_at is None and lessons.empty:
        _first_steps()
        return
    alerts = open_alerts(page)
    _show_indicators(page, lessons, n_alerts=len(alerts))
    show_alerts(page, alerts, most=_MOST_ALERTS)
    left, right = st.columns([1, 1.25], gap="medium")
    effects = _measured(queries.read_effects(page.source))
    with left:
        if effects.empty:
            _show_search(page, lessons)
        else:
            _show_effects(page, effects)
    with right:
        _show_map(page, lessons)
    if not effects.empty:
        _tell_search(page, lessons)
    _show_waiting(lessons)


def _first_steps() -> None:
    with controls.nothing("Nothing learned yet. Three steps lead here:"):
        st.checkbox("Import closed trades: ./run import path/to/trades", disabled=True)
        st.checkbox("Let the jobs run once: ./run up", disabled=True)
        st.checkbox("Approve a first lesson on the page Decisions", disabled=True)
        st.caption("Only looking? ./run demo fills a database of its own with invented trades.")


# ------------------------------------------------------------------ indicators
def _show_indicators(page: Page, lessons: pd.DataFrame, *, n_alerts: int) -> None:
    with st.container(horizontal=True, gap="small"):
        _waiting(page, lessons)
        _effect(page)
        _active(page)
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


def _waiting(page: Page, lessons: pd.DataFrame) -> None:
    waiting = lessons[lessons["status"] == "proposed"]
    told = "nothing to decide"
    if not waiting.empty:
        told = f"oldest {formats.ago(waiting['discovered_at'].min(), page.health.now)}"
    _metric("Waiting for you", formats.plural(len(waiting), "lesson"), told)


def _effect(page: Page) -> None:
    effects = queries.read_effects(page.source)
    known = _measured(effects)
    if known.empty:
        watched = effects["lesson_id"].nunique()
        _metric(
            "Effect of overrides",
            "not clear yet" if watched else formats.NOTHING,
            f"{watched} watched" if watched else "not measured yet",
            help="Measured daily from what bots report: uplift of size levers, treated against "
            "held-out trades for the rest. A number appears with its interval.",
        )
        return
    helps = int((known["ci_low_rr"] > 0).sum())
    hurts = int((known["ci_high_rr"] < 0).sum())
    _metric(
        "Effect of overrides",
        f"{helps} help, {hurts} hurt",
        f"{len(known) - helps - hurts} not clear yet",
        help="Uplift of size and treated against held-out trades, by intervals that hold however "
        "often one looks.",
    )


def _measured(effects: pd.DataFrame) -> pd.DataFrame:
    """Return the effects that have an interval; the edge since approval is none of them."""
    is_effect = effects["measure"].isin(["uplift", "delta_rr"])
    return effects[is_effect].dropna(subset=["effect_rr", "ci_low_rr", "ci_high_rr"])


def _active(page: Page) -> None:
    overrides = queries.read_overrides(page.source)
    soon = overrides["expires_at"] < page.health.now + timedelta(days=1)
    told = f"{int(soon.sum())} end in 24 h" if len(overrides) else "bots trade as without us"
    _metric("Active overrides", formats.count(len(overrides)), told)


def _fading(lessons: pd.DataFrame, *, n_alerts: int) -> None:
    active = lessons[lessons["status"] == "active"]
    fading = active["half_life_state"].isin(["decaying", "sign_flip"])
    failed = active["confirmation"] == "failed"
    shortest = active.loc[fading, "half_life_days"].min()
    told = f"shortest half-life {shortest:.0f} d" if pd.notna(shortest) else "no half-life found"
    if failed.any():
        told = f"{int(failed.sum())} failed on later trades"
    if n_alerts:
        told = formats.plural(n_alerts, "open alert")
    _metric(
        "Going bad",
        f"{int((fading | failed).sum())} of {len(active)}",
        told,
        help="Active lessons that decay, changed sign, or failed on trades since.",
    )


def _jobs(page: Page) -> None:
    ok, failed = queries.read_job_counts(page.engine)
    states = health.job_states(page.health)
    late = sum(one.state == "late" for one in states)
    told = f"{late} late" if late else "none late"
    _metric("Jobs, 24 h", f"{ok} ok / {failed} failed", told)


# ------------------------------------------------------------------ the search, the map
def _looked_at(page: Page) -> pd.DataFrame:
    looks = queries.read_looks(page.source)
    return looks if page.filters.module is None else looks[looks["module"] == page.filters.module]


def _show_effects(page: Page, effects: pd.DataFrame) -> None:
    controls.section("Did overrides help? (R per trade)")
    size = effects[effects["measure"] == "uplift"]
    shown = effect_forest((effects if size.empty else size).head(_LISTED))
    controls.chart(draw_effect_forest(shown, page.palette), key="effects", alt=shown.alt)
    name = "Treated against held-out trades" if size.empty else "Uplift of size"
    st.caption(f"{name}, {formats.plain(page.outcome)}, 95 % however often one looks.")
    st.page_link("screens/judge_effects.py", label="All effects", icon=":material/balance:")


def _tell_search(page: Page, lessons: pd.DataFrame) -> None:
    looks = _looked_at(page)
    if looks.empty:
        return
    funnel = search_funnel(
        _summed(looks["counts"].tolist()), queries.offered(lessons, page.outcome)
    )
    steps = " → ".join(
        f"{formats.count(n)} {name.lower()}"
        for name, n in zip(funnel.steps, funnel.counts, strict=True)
    )
    st.caption(f"{steps}. {funnel.chance or ''}")


def _show_search(page: Page, lessons: pd.DataFrame) -> None:
    looks = _looked_at(page)
    controls.section("Many scopes, few lessons")
    if looks.empty:
        controls.nothing("No discovery look yet: the miner runs every 6 h.", height=240)
        return
    funnel = search_funnel(
        _summed(looks["counts"].tolist()), queries.offered(lessons, page.outcome)
    )
    controls.chart(
        draw_search_funnel(funnel, page.palette, height=236), key="funnel", alt=funnel.alt
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


def _show_map(page: Page, lessons: pd.DataFrame) -> None:
    module = page.filters.module or _main_module(lessons)
    dims = read_dimensions(page.source, module)
    controls.section(f"Edge by setup and context ({page.unit} per trade)")
    if not dims or page.health.state.outcome is None:
        controls.nothing("No scope is stored yet: scopes need trades with context.", height=240)
        return
    dim = _first_told(dims)
    table = read_edge_table(
        page.source, module, (dim,), page.filters, page.unit, page.outcome, None
    )
    cells = controls.with_lessons(_largest(table), (dim,), lessons, narrowed=_is_narrowed(page))
    shown = edge_map(cells, row="setup", column=dim, unit=table.unit)
    controls.chart(
        draw_edge_map(shown, page.palette, height=max(236, 60 + 30 * len(shown.rows))),
        key="map",
        alt=shown.alt,
    )
    st.caption(formats.plain(_map_told(table, dim), longest=300))


def _largest(table: EdgeTable) -> pd.DataFrame:
    """Return the cells of the largest setups, of each pattern what it does most often."""
    largest = table.groups.sort_values(["n", "action_category"], ascending=[False, True])
    listed = largest.drop_duplicates("pattern_key").head(_MOST_ROWS)
    return table.cells.merge(listed[["pattern_key", "action_category"]])


def _is_narrowed(page: Page) -> bool:
    return page.filters.narrows_trades or page.unit != "R"


def _main_module(lessons: pd.DataFrame) -> str:
    return "pm" if lessons.empty else str(lessons["module"].mode().iloc[0])


def _first_told(dims: dict[str, list[object]]) -> str:
    """Return the first condition with a handful of values: chosen by order, never by its edge."""
    handy = [name for name, values in dims.items() if 2 <= len(values) <= _MOST_COLUMNS]
    return handy[0] if handy else next(iter(dims))


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


def _show_waiting(lessons: pd.DataFrame) -> None:
    waiting = lessons[lessons["status"] == "proposed"].sort_values("value_rr", ascending=False)
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.subheader("Needs a decision", anchor=False, width="content")
        st.page_link(
            "screens/review_lessons.py",
            label=f"All {len(waiting)} in Decisions",
            icon=":material/arrow_forward:",
        )
    if waiting.empty:
        controls.nothing(
            "Nothing waits. New lessons appear after a discovery look, at most every "
            "28 days or when trades grew by a quarter."
        )
        return
    controls.table(
        lesson_table(waiting.head(_LISTED)),
        column_config=lesson_columns(),
        alt=f"{len(waiting)} lessons that wait for a decision",
        key="waiting",
    )


if __name__ == "__main__":
    show()
