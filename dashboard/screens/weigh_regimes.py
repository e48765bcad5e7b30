"""Regimes: which one are we in, what do scores weigh in it, and did what was claimed come true?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import controls, formats, regime_queries
from dashboard.controls import Page
from dashboard.figures.claim_check import claim_check, draw_claim_check
from dashboard.figures.phase_shares import PhaseShares, draw_phase_shares, phase_shares
from dashboard.figures.regime_weight_map import draw_regime_weight_map, regime_weight_map
from dashboard.figures.weight_history import draw_weight_history, weight_history
from dashboard.job_button import show_job_button
from dashboard.regime_queries import HORIZONS, WEIGHTS

_JOB = "learn_regime_weights"
_ALL = "all regimes"


def show() -> None:
    """Draw the page."""
    page = controls.open_page("Regimes", jobs=("mine_pm_lessons", "mine_dm_lessons", _JOB))
    weights = regime_queries.read_weights(page.source, page.filters)
    module = page.filters.module or "pm"
    phases = regime_queries.read_phases(page.source, module, page.filters)
    if phases.empty and weights.empty:
        _show_empty(page)
        return
    _show_now(page, phases, weights)
    left, right = st.columns([1.15, 1], gap="medium")
    with left:
        _show_phases(page, phases)
        _show_claims(page)
    with right:
        _show_weights(page, weights)
        _show_meaning(page)
    _show_table(weights)


def _show_empty(page: Page) -> None:
    box = controls.nothing(
        "No phase was seen and no weight learned yet. Phases come with the trades' context or from "
        "the bot's tracker, weights from lessons over time; learn_regime_weights puts both here."
    )
    with box:
        show_job_button(page, _JOB, "Learn now")
        st.page_link("screens/watch_jobs.py", label="See the jobs", icon=":material/schedule:")


# ------------------------------------------------------------------ now
def _show_now(page: Page, phases: pd.DataFrame, weights: pd.DataFrame) -> None:
    tracked, is_tracked = regime_queries.read_regime(page.source)
    with st.container(horizontal=True, gap="small"):
        for horizon in HORIZONS:
            if is_tracked:
                known = getattr(tracked, f"{horizon}_phase")
                said = formats.plain(known, longest=20) if known else formats.NOTHING
                _metric(f"Now, {horizon}", said, "as the tracker sees it")
            else:
                _show_last(horizon, phases)
        learned = int((weights[list(WEIGHTS)] != 1.0).to_numpy().sum())
        _metric("Weights learned", formats.count(learned), f"of {weights.shape[0] * len(WEIGHTS)}")
    if is_tracked and tracked.bucket_rank:
        st.text("Buckets, the leader first: " + ", ".join(tracked.bucket_rank) + ".")


def _show_last(horizon: str, phases: pd.DataFrame) -> None:
    own = phases[phases["horizon"] == horizon]
    if own.empty:
        _metric(f"Last, {horizon}", formats.NOTHING, "no trade knows it")
        return
    last = own[own["week"] == own["week"].max()].sort_values("n", ascending=False)
    first, total = last.iloc[0], int(last["n"].sum())
    _metric(
        f"Last, {horizon}",
        formats.plain(first["phase"], longest=20),
        f"{formats.share(first['n'] / total)} of {formats.plural(total, 'trade')}",
        f"In the week from {first['week']}, the last with trades. No tracker reports phases.",
    )


def _metric(label: str, value: str, told: str, more: str | None = None) -> None:
    st.metric(
        label, value, delta=told, delta_arrow="off", delta_color="off", border=True, help=more
    )


# ------------------------------------------------------------------ phases
def _show_phases(page: Page, phases: pd.DataFrame) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        st.subheader("Observed phase shares per week", anchor=False, width="content")
        horizon = st.segmented_control(
            "Horizon", HORIZONS, default="macro", required=True, key="horizon",
            bind="query-params", label_visibility="collapsed",
        )  # fmt: skip
    own = phases.loc[phases["horizon"] == horizon]
    if own.empty:
        controls.nothing(f"No {horizon} phase was seen: neither by a tracker nor by a trade.")
        return
    by_tracker = own["source"].iloc[0] == "tracker"
    shown = phase_shares(own, unit="observations" if by_tracker else "trades")
    controls.chart(draw_phase_shares(shown, page.palette), key="phases", alt=shown.alt)
    st.caption(_phases_told(shown, by_tracker=by_tracker))
    with st.popover("As a table", icon=":material/table:"):
        table = own[["week", "phase", "n"]].reset_index(drop=True)
        table["phase"] = table["phase"].map(formats.guarded)
        controls.table(table, alt=f"Counts of {len(shown.weeks)} weeks", height=300)
        controls.downloads(table, f"phases-{horizon}")


def _phases_told(shown: PhaseShares, *, by_tracker: bool) -> str:
    n = formats.count(sum(shown.n))
    if by_tracker:
        return f"{n} observations of the bot's tracker. Shares of what was seen, no probabilities."
    return (
        f"{n} trades by the phase at their first action, in the week they closed: no tracker "
        "reports phases. Shares of what was seen, no probabilities; quiet weeks jump."
    )


# ------------------------------------------------------------------ weights
def _show_weights(page: Page, weights: pd.DataFrame) -> None:
    setups = weights["setup"].drop_duplicates().tolist()
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        st.subheader("Weights by regime", anchor=False, width="content")
        if setups:
            name = st.selectbox(
                "Weights of", setups, key="weights", bind="query-params", width=230,
                label_visibility="collapsed",
            )  # fmt: skip
    if not setups:
        controls.nothing(
            "No weight is learned yet: that takes lessons with three trades in a stretch of time, "
            "and three in the next."
        )
        return
    own = weights[weights["setup"] == (name or setups[0])]
    shown = regime_weight_map(own)
    controls.chart(draw_regime_weight_map(shown, page.palette), key="weight-map", alt=shown.alt)
    more = f" {shown.n_left_out} more in the table." if shown.n_left_out else ""
    st.caption(
        "How strongly a score goes with the next edge in a regime, against all regimes together. "
        "1: nothing better is known; that takes 30 lesson-segments (n) and an interval that "
        f"excludes the whole.{more}"
    )
    _show_weight_history(page, own)


def _show_weight_history(page: Page, own: pd.DataFrame) -> None:
    """Show how the weights of one regime of a setup came to be what they are."""
    ordered = own.assign(learned=(own[list(WEIGHTS)] != 1.0).sum(axis=1)).sort_values(
        ["learned", "n_samples"], ascending=False
    )
    rows = {row["regime_signature"] or _ALL: row for row in ordered.to_dict("records")}
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        st.subheader("Weights over time, 95 %", anchor=False, width="content")
        name = st.selectbox(
            "Regime", list(rows), key="regime", bind="query-params", width=230,
            label_visibility="collapsed",
        )  # fmt: skip
    row = rows.get(name or "", next(iter(rows.values())))
    kept = regime_queries.read_weight_history(
        page.source, controls.group_of(row), row["regime_signature"]
    )
    shown = weight_history(kept, until=row["updated_at"].date())
    if not shown.days:
        controls.nothing("Weights are kept from the next run of learn_regime_weights on.")
    elif not shown.lines:
        since = formats.utc(kept.iloc[0]["learned_on"], with_year=True)
        controls.nothing(f"Every weight of this regime has been 1 since {since}: nothing learned.")
    else:
        controls.chart(
            draw_weight_history(shown, page.palette), key="weight-history", alt=shown.alt
        )
        more = f" {shown.n_neutral} more were 1 all the time." if shown.n_neutral else ""
        st.caption(f"Kept for each day on which one moved; 1 has no band.{more}")


def _show_claims(page: Page) -> None:
    controls.section("Claimed when found, and since")
    found = regime_queries.read_realised(page.source, page.filters)
    shown = claim_check(found)
    if not shown.claimed_rr:
        controls.nothing(
            "No week has begun and ended with trades since the lessons were found, so nothing can "
            "be held against what they claimed. New trades fill this."
        )
        return
    controls.chart(draw_claim_check(shown, page.palette), key="claims", alt=shown.alt)
    st.caption(
        f"{formats.plural(len(shown.claimed_rr), 'lesson')}, size by trades since; whiskers 95 % "
        f"from the scatter within weeks. {shown.n_kept} kept their sign. On the dashed line a "
        "claim came true."
    )


def _show_meaning(page: Page) -> None:
    controls.section("What weights do")
    st.text(
        "They move lesson strength, and with it each override, by at most half; and the ranking "
        "score edge_raw. They never enter a test: no lesson is found or lost by a weight."
    )
    st.text("To hold them as they are, pause the job on the page Jobs.")
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        show_job_button(page, _JOB, "Learn now")
        st.page_link("screens/watch_jobs.py", label="Jobs", icon=":material/schedule:")


# ------------------------------------------------------------------ table
def _show_table(weights: pd.DataFrame) -> None:
    if weights.empty:
        return
    controls.section("All weights")
    table = pd.DataFrame(
        {
            "setup": weights["setup"].map(formats.guarded),
            "regime": [formats.guarded(one or _ALL) for one in weights["regime_signature"]],
            **{name: weights[name].round(3) for name in WEIGHTS},
            "intervals": [_intervals(one) for one in weights["intervals"]],
            "n": weights["n_samples"],
            "confidence": weights["confidence"].astype("float64").round(2),
            "why": weights["reason"].fillna("").map(formats.guarded),
        }
    ).reset_index(drop=True)
    controls.table(
        table,
        alt=f"{len(table)} rows of weights",
        height="content" if len(table) < 11 else 400,
        column_config=_columns(),
    )
    controls.downloads(table, "regime-weights")


def _intervals(intervals: Mapping[str, Any]) -> str:
    """Return the 95 % interval of each learned weight in one line."""
    told = (
        f"{name.replace('_', ' ')} [{low:.2f}, {high:.2f}]"
        for name, (low, high) in intervals.items()
    )
    return "; ".join(told) or formats.NOTHING


def _columns() -> dict[str, Any]:
    column = st.column_config
    times = "×%.2f"
    return {
        "regime": column.TextColumn("Regime", width=110),
        **{name: column.NumberColumn(name.replace("_", " "), format=times) for name in WEIGHTS},
        "intervals": column.TextColumn("95 %, where learned", width=130),
        "n": column.NumberColumn("n", format="%d", help="Lesson-segments it rests on."),
        "confidence": column.NumberColumn(
            "Confidence", format="%.2f", help="Share of the difference to all regimes believed."
        ),
        "why": column.TextColumn("Why", width="large"),
    }


if __name__ == "__main__":
    show()
