"""Effects: did the overrides change results, or was it luck?"""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import controls, formats, queries
from dashboard.alert_list import open_alerts, show_alerts
from dashboard.controls import Page
from dashboard.effect_card import is_of_few, show_effect
from dashboard.figures.effect_forest import draw_effect_forest, effect_forest

MEASURES = {
    "size": ("uplift", "Mean of (applied multiplier - 1) times the outcome: what size earned."),
    "treated against held out": (
        "delta_rr",
        "Mean outcome of treated minus held-out trades, assigned at random before the outcome "
        "was known.",
    ),
    "edge since approval": (
        "edge_since_activation",
        "The edge of the lesson on trades that closed since it was approved, turned by its sign: "
        "below zero, its context does the opposite of what was approved.",
    ),
}


def show() -> None:
    """Draw the page."""
    page = controls.open_page("Effects", jobs=("measure_effects",))
    alerts = open_alerts(page)
    show_alerts(page, alerts, most=len(alerts))
    effects = _named(page)
    if effects.empty:
        with controls.nothing(
            "No effect is measured yet. It takes an active override, a bot that reports what it "
            "applied, closed trades, and the daily job measure_effects."
        ):
            st.page_link(
                "screens/review_lessons.py",
                label="Lessons that wait for a decision",
                icon=":material/rule:",
            )
        return
    name = st.segmented_control(
        "Measure",
        list(MEASURES),
        default="size",
        required=True,
        key="measure",
        bind="query-params",
        label_visibility="collapsed",
    )
    measure, meaning = MEASURES[name or "size"]
    own = effects[effects["measure"] == measure]
    st.caption(f"{meaning} Intervals hold however often one looks.")
    _show_forest(page, own)
    chosen = _show_table(own)
    if chosen is None:
        st.caption("Select one to see it over time, and its arms against each other.")
    else:
        show_effect(page, chosen)


def _named(page: Page) -> pd.DataFrame:
    lessons = queries.of_filters(queries.read_lessons(page.source), page.filters)
    columns = ["id", "label", "version", "setup", "context", "status", "outcome"]
    return queries.read_effects(page.source).merge(
        lessons[columns], left_on="lesson_id", right_on="id", suffixes=("", "_lesson")
    )


def _show_forest(page: Page, own: pd.DataFrame) -> None:
    forest = effect_forest(own)
    if not forest.labels:
        controls.nothing("None of these has an interval yet; the table says what is missing.")
        return
    controls.chart(draw_effect_forest(forest, page.palette), key="effects", alt=forest.alt)
    outcomes = ", ".join(sorted(set(own["outcome"])))
    st.caption(
        formats.plain(
            f"{outcomes}. Blue: the whole interval lies on one side of zero. "
            f"{forest.n_left_out} without an interval yet.",
            longest=300,
        )
    )


def _show_table(own: pd.DataFrame) -> dict[Any, Any] | None:
    """Show the effects; return the one that is selected, or that the address names."""
    told = own["effect_rr"].where(own["ci_low_rr"].notna())  # what is not shown gives no order
    ordered = own.assign(told=told).sort_values(["told", "n_treated"], ascending=False)
    table = _table(ordered)
    asked = st.query_params.get("id", "")
    labels = ordered["label"].tolist()
    picked = controls.table(
        table,
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [labels.index(asked)] if asked in labels else []}},
        key=f"effects-{'-'.join(sorted(set(own['measure'])))}",
        alt=f"{len(table)} effects",
        height="content" if len(table) < 11 else 400,
        column_config=_columns(),
    )
    controls.downloads(table, "effects")
    rows = [row for row in picked["selection"]["rows"] if row < len(ordered)]
    if not rows:
        return None
    chosen: dict[Any, Any] = ordered.iloc[rows[0]].to_dict()
    if asked != chosen["label"]:
        st.query_params["id"] = chosen["label"]
    return chosen


def _table(ordered: pd.DataFrame) -> pd.DataFrame:
    rows = ordered.to_dict("records")
    return pd.DataFrame(
        {
            "lesson": [f"/lesson?id=L-{r['lesson_id']:04d}&v={r['version']}" for r in rows],
            "setup": ordered["setup"].map(formats.guarded),
            "context": ordered["context"].map(formats.guarded),
            "treated": ordered["n_treated"],
            "held_out": ordered["n_held_out"],
            "effect": [_number(row) for row in rows],
            "interval": [_interval(row) for row in rows],
            "shrunk": [_shrunk(row) for row in rows],
            "verdict": ordered["verdict"],
            "missing": [_missing(row) for row in rows],
            "horizon": [_horizon(row) for row in rows],
            "why": [_why(row) for row in rows],
            "status": ordered["status"],
        }
    )


def _columns() -> dict[str, Any]:
    column = st.column_config
    return {
        "lesson": column.LinkColumn("Lesson", display_text=r"id=(L-\d+)", width=80),
        "context": column.TextColumn("Context", width=150),
        "effect": column.TextColumn("Effect (R)", alignment="right"),
        "interval": column.TextColumn("95 % (R)", alignment="right"),
        "shrunk": column.TextColumn(
            "Shrunk (R)", alignment="right",
            help="Among all overrides: the effect that looks largest is too large.",
        ),
        "missing": column.TextColumn("Trades until clear", alignment="right"),
        "horizon": column.TextColumn(
            "At its horizon",
            help="Judged once: what was decided in the first 91, 182 or 364 days, when it has "
            "closed.",
        ),
        "why": column.TextColumn("In words", width="large"),
    }  # fmt: skip


def _number(row: dict[Any, Any]) -> str:
    """Return the effect, where it has an interval to go with it."""
    if pd.isna(row["effect_rr"]) or pd.isna(row["ci_low_rr"]):
        return formats.NOTHING
    if is_of_few(row):
        return formats.TOO_FEW
    return formats.signed(row["effect_rr"], digits=3, unit="")


def _interval(row: dict[Any, Any]) -> str:
    if is_of_few(row):
        return formats.NOTHING
    return formats.bracketed(row["ci_low_rr"], row["ci_high_rr"])


def _shrunk(row: dict[Any, Any]) -> str:
    if pd.isna(row["shrunk_rr"]) or pd.isna(row["ci_low_rr"]) or is_of_few(row):
        return formats.NOTHING
    span = formats.bracketed(row["shrunk_low_rr"], row["shrunk_high_rr"])
    return f"{formats.signed(row['shrunk_rr'], digits=3, unit='')} {span}"


def _missing(row: dict[Any, Any]) -> str:
    if row["verdict"] in ("helps", "hurts"):
        return "clear"
    if pd.isna(row["n_missing"]):
        return formats.NOTHING if pd.isna(row["effect_rr"]) else "more than 10 000"
    return f"about {formats.count(int(row['n_missing']))}"


def _horizon(row: dict[Any, Any]) -> str:
    if pd.isna(row["horizon_q_value"]):
        return formats.NOTHING
    return (
        f"{int(row['horizon_days'])} d: {row['horizon_verdict']}, "
        f"q {formats.q_text(row['horizon_q_value'])}"
    )


def _why(row: dict[Any, Any]) -> str:
    details = row["details"] if isinstance(row["details"], dict) else {}
    reason = row["absent_reason"]
    parts = (
        reason if isinstance(reason, str) else row["sentence"],
        details.get("proposal"),
    )
    return str(formats.guarded("; ".join(str(part) for part in parts if part)))


if __name__ == "__main__":
    show()
