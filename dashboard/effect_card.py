"""One override's effect: over time, arm against arm, and whether the arms can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import controls, formats
from dashboard.controls import Page
from dashboard.effect_queries import Arms, read_arms, read_turns, read_uplift_path
from dashboard.figures.arm_spread import arm_spread, draw_arm_spread
from dashboard.figures.effect_over_time import draw_effect_over_time, effect_over_time

_MOST_CONDITIONS = 12


def show_effect(page: Page, effect: dict[Any, Any]) -> None:
    """Show all that is known of one effect.

    Args:
        effect: A row of the effects, with label, setup, context and outcome of its lesson.
    """
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.subheader(effect["label"], anchor=False, width="content")
            st.badge(formats.plain(effect["verdict"]), color=_tone(effect["verdict"]))
            st.text(f"{effect['setup']} in {effect['context']}")
        st.text(told(effect))
        if effect["measure"] == "delta_rr":
            _show_comparison(page, effect)
        elif effect["measure"] == "uplift":
            _show_uplift(page, effect)
        else:
            st.caption("Its windows over time stand on the page of the lesson.")
        st.page_link(
            "screens/read_lesson.py",
            label="The whole lesson",
            icon=":material/arrow_forward:",
            query_params={"id": str(effect["lesson_id"])},
        )


def _tone(verdict: str) -> Any:
    return {"helps": "green", "hurts": "red"}.get(verdict, "gray")


def is_of_few(effect: Mapping[Any, Any]) -> bool:
    """Say whether an effect rests on fewer trades than a number is printed of."""
    return int(effect["n_treated"]) + int(effect["n_held_out"] or 0) < formats.MIN_SHOWN_N


def told(effect: dict[Any, Any]) -> str:
    """Return what is known, in one line: effect, interval, trades, what is missing.

    Examples:
        >>> told({"effect_rr": 0.1, "ci_low_rr": 0.05, "ci_high_rr": 0.15, "n_treated": 300,
        ...       "n_held_out": 80, "sentence": "helps", "absent_reason": None})
        '+0.100 R per trade, 95 % +0.050 to +0.150 R; 300 treated, 80 held out: helps.'
        >>> told({"effect_rr": None, "absent_reason": "nothing is held out", "sentence": ""})
        'Not measured: nothing is held out.'
    """
    if isinstance(effect["absent_reason"], str):
        return f"Not measured: {effect['absent_reason']}."
    if is_of_few(effect):
        return f"{formats.TOO_FEW}: no number is printed of so few trades."
    span = formats.interval(effect["ci_low_rr"], effect["ci_high_rr"], digits=3)
    n = f"{formats.count(int(effect['n_treated']))} treated"
    if effect["n_held_out"]:
        n += f", {formats.count(int(effect['n_held_out']))} held out"
    mean = formats.signed(effect["effect_rr"], digits=3)
    head = f"{mean} per trade, 95 % {span}" if span != "no interval" else "No interval yet"
    return f"{head}; {n}: {effect['sentence']}."


# ------------------------------------------------------------------ size
def _show_uplift(page: Page, effect: dict[Any, Any]) -> None:
    path = read_uplift_path(
        page.source, int(effect["lesson_id"]), effect["outcome"], page.settings.origins
    )
    if path is None or not path.points:
        controls.nothing("No sized trade of it has closed.")
        return
    _show_path(page, effect, path)


def _show_path(page: Page, effect: dict[Any, Any], path: Any) -> None:
    shown = effect_over_time(
        path, cumulative=False, marks=read_turns(page.source, int(effect["lesson_id"]))
    )
    controls.chart(
        draw_effect_over_time(shown, page.palette, height=260),
        key=f"path-{effect['lesson_id']}-{effect['measure']}",
        alt=shown.alt,
    )
    begins = "" if shown.low else f" The band begins with {path.starts_at} {path.unit}."
    st.caption(
        "Mean so far (R per trade) with its 95 % band, which holds however often one looks. The "
        f"dotted line is the guardrail: a band wholly below it raises an alert.{begins}"
    )


# ------------------------------------------------------------------ treated against held out
def _show_comparison(page: Page, effect: dict[Any, Any]) -> None:
    arms = read_arms(
        page.source, int(effect["lesson_id"]), effect["outcome"], page.settings.origins
    )
    if arms.trades.empty:
        controls.nothing("No trade of it was assigned at random and has closed.")
        return
    left, right = st.columns([1.2, 1], gap="medium")
    with left:
        if arms.path is None:
            controls.nothing("Each arm needs 10 trades before they are compared.", height=240)
        else:
            _show_path(page, effect, arms.path)
        _show_ratio(arms)
    with right:
        spread = arm_spread(arms.trades)
        controls.chart(
            draw_arm_spread(spread, page.palette),
            key=f"arms-{effect['lesson_id']}",
            alt=spread.alt,
        )
        st.caption(f"Outcomes by arm, drawn up to {formats.signed(spread.cut_rr)}; box and mean.")
        _show_balance(arms)


def _show_ratio(arms: Arms) -> None:
    n = int(arms.trades["treated"].sum())
    p = arms.sample_ratio_p
    broken = p is not None and p < 0.001
    told = (
        f"{formats.count(n)} of {formats.count(len(arms.trades))} treated where "
        f"{arms.expected_treated:.0f} were to be expected"
    )
    if p is not None:
        told += f", p {formats.q_text(p)}"
    st.badge(
        formats.plain(told, longest=120),
        icon=":material/error:" if broken else ":material/check_circle:",
        color="red" if broken else "green",
        help="The sample ratio: a split this unlikely would mean that the assignment or its log "
        "is broken, and nothing could be compared.",
    )


def _show_balance(arms: Arms) -> None:
    rows = arms.balance[:_MOST_CONDITIONS]
    table = pd.DataFrame(
        {
            "condition": [formats.guarded(one.condition) for one in rows],
            "treated": [formats.share(one.share_treated) for one in rows],
            "held_out": [formats.share(one.share_held_out) for one in rows],
            "p": [formats.q_text(one.p_value) for one in rows],
        }
    )
    column = st.column_config
    controls.table(
        table,
        alt=f"What each arm met, {len(table)} conditions",
        saved_as="balance-of-arms",
        key=f"balance-{len(arms.trades)}",
        height="content" if len(table) < 7 else 248,
        column_config={
            "treated": column.TextColumn("Of the treated", alignment="right"),
            "held_out": column.TextColumn("Of the held out", alignment="right"),
            "p": column.TextColumn("p", alignment="right"),
        },
    )
    st.caption("What each arm met, before anything was decided; one p in twenty lies below 0.05.")
