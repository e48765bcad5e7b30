"""Effects: did the overrides change results, or was it luck?"""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import controls, formats, queries
from dashboard.alert_list import open_alerts, show_alerts
from dashboard.controls import Page
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
        controls.nothing(
            "No effect is measured yet. It takes an active override, a bot that reports what it "
            "applied, closed trades, and the daily job measure_effects."
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
    _show_table(own)


def _named(page: Page) -> pd.DataFrame:
    lessons = queries.of_filters(queries.read_lessons(page.source), page.filters)
    columns = ["id", "version", "setup", "context", "status", "outcome"]
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


def _show_table(own: pd.DataFrame) -> None:
    ordered = own.sort_values("effect_rr", ascending=False, na_position="last")
    table = pd.DataFrame(
        {
            "lesson": [
                f"/lesson?id=L-{i:04d}&v={v}"
                for i, v in zip(ordered["lesson_id"], ordered["version"], strict=True)
            ],
            "setup": ordered["setup"].map(formats.guarded),
            "context": ordered["context"].map(formats.guarded),
            "treated": ordered["n_treated"],
            "held_out": ordered["n_held_out"],
            "effect": [_number(row) for row in ordered.to_dict("records")],
            "interval": [
                formats.bracketed(low, high)
                for low, high in zip(ordered["ci_low_rr"], ordered["ci_high_rr"], strict=True)
            ],
            "verdict": ordered["verdict"],
            "why": [_why(row) for row in ordered.to_dict("records")],
            "status": ordered["status"],
        }
    )
    column = st.column_config
    controls.table(
        table,
        alt=f"{len(table)} effects",
        height="content" if len(table) < 11 else 400,
        column_config={
            "lesson": column.LinkColumn("Lesson", display_text=r"id=(L-\d+)", width=80),
            "context": column.TextColumn("Context", width=170),
            "effect": column.TextColumn("Effect (R)", alignment="right"),
            "interval": column.TextColumn("95 % (R)", alignment="right"),
            "why": column.TextColumn("In words", width="large"),
        },
    )
    controls.downloads(table, "effects")


def _number(row: dict[Any, Any]) -> str:
    """Return the effect, where it has an interval to go with it."""
    if pd.isna(row["effect_rr"]) or pd.isna(row["ci_low_rr"]):
        return formats.NOTHING
    return formats.signed(row["effect_rr"], digits=3, unit="")


def _why(row: dict[Any, Any]) -> str:
    details = row["details"] if isinstance(row["details"], dict) else {}
    reason = row["absent_reason"]
    parts = (
        reason if isinstance(reason, str) else details.get("sentence"),
        details.get("proposal"),
    )
    return str(formats.guarded("; ".join(str(part) for part in parts if part)))


if __name__ == "__main__":
    show()
