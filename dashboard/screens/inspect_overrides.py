"""Overrides: what do bots apply right now, and why?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import controls, edge_queries, formats, lesson_card, queries
from dashboard.alert_list import open_alerts, show_alerts
from dashboard.controls import Page
from dashboard.figures.exposure import draw_exposure, exposure
from dashboard.figures.override_periods import draw_override_periods, override_periods
from dashboard.queries import Group
from dashboard.resolving import Resolved, resolve
from learning.domain.durations import span
from learning.domain.levers import LEVERS

_JOBS = ("materialise_overrides",)
_SOON = timedelta(days=3)
_SHOWN_FIRST = ("lesson", "setup", "context", "change", "effect", "watch", "ends", "exposure",
                "touched", "heads", "holdout", "since")  # fmt: skip


def show() -> None:
    """Draw the page."""
    page = controls.open_page("Overrides", jobs=_JOBS)
    lesson_card.show_open_dialog(page)
    show_alerts(page, open_alerts(page))
    overrides = _of_filters(queries.read_overrides(page.source), page)
    left, right = st.columns([1.35, 1], gap="medium")
    with left:
        _show_resolver(page)
    with right:
        _show_bots(page)
    _show_overrides(page, overrides)


def _of_filters(overrides: pd.DataFrame, page: Page) -> pd.DataFrame:
    kept = queries.of_filters(overrides, page.filters)
    return kept.assign(context=[formats.scope(values) for values in kept["scope_values"]])


# ------------------------------------------------------------------ the resolver
def _show_resolver(page: Page) -> None:
    controls.section("What would a bot do now?")
    _, setups = queries.read_choices(page.source)
    wanted = [one for one in setups if page.filters.pattern_key in (None, one.pattern_key)]
    if not wanted:
        controls.nothing("No setup is known yet: import trades first.")
        return
    overrides = queries.read_overrides(page.source)
    busy = {controls.group_of(row) for row in overrides.to_dict("records")}
    group, scope, trade_id = _asked(page, sorted(wanted, key=lambda one: one not in busy))
    snapshot = queries.read_snapshot(page.engine)
    resolved = resolve(
        snapshot,
        group.pattern_key,
        group.action_category,
        scope,
        trade_id=trade_id,
        combine=page.settings.combine,
    )
    _show_levers(resolved)
    _show_verdicts(resolved)
    st.caption(
        f"By the bots' own code on revision {snapshot.revision} of generation "
        f"{snapshot.generation}."
    )


def _asked(page: Page, setups: list[Group]) -> tuple[Group, dict[str, Any], str | None]:
    names = [formats.setup(one.pattern_key, one.action_category) for one in setups]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        name = st.selectbox("Setup", names, key="ask_setup", bind="query-params", width=300)
        trade = st.text_input(
            "Position id (decides the holdout)",
            key="ask_trade",
            bind="query-params",
            width=220,
            max_chars=80,
        )
    group = setups[names.index(name)] if name in names else setups[0]
    scope: dict[str, Any] = {}
    known = edge_queries.read_dimensions(page.source, group.module)
    is_asked = any(f"ask-{dim}" in st.query_params for dim in known)
    with st.expander("Market context", expanded=is_asked, icon=":material/tune:"):
        columns = st.columns(3)
        for i, (dim, values) in enumerate(known.items()):
            value = columns[i % 3].selectbox(
                formats.plain(dim),
                values,
                index=None,
                placeholder="absent",
                key=f"ask-{dim}",
                bind="query-params",
            )
            if value is not None:
                scope[dim] = value
    return group, scope, trade.strip() or None


def _show_levers(resolved: Resolved) -> None:
    if resolved.state != "in force":
        st.badge(formats.plain(resolved.state, longest=150), color="orange")
    levers = {} if resolved.is_neutral else dict(resolved.levers)
    if not levers:
        st.text("Every lever stays as the bot has it.")
        return
    with st.container(horizontal=True, gap="small"):
        for name, value in levers.items():
            lever = LEVERS.get(name)
            bounds = "" if lever is None else f"{lever.low:g} to {lever.high:g}"
            st.metric(
                formats.lever_name(name).replace(".", " "),
                formats.lever_value(name, value),
                delta=f"bounds {bounds}",
                delta_arrow="off",
                delta_color="off",
                border=True,
            )
    for name, value in resolved.thresholds.items():
        st.text(f"{name}: {value:g}")


def _show_verdicts(resolved: Resolved) -> None:
    if not resolved.overrides:
        st.caption("No override exists for this setup.")
        return
    rows = [
        {
            "lesson": f"L-{one.lesson_id:04d}",
            "context": formats.guarded(formats.scope(one.scope)),
            "verdict": one.verdict,
            "why": formats.guarded(one.reason),
            "levers": formats.change(one.levers),
        }
        for one in sorted(resolved.overrides, key=lambda one: one.verdict != "wins")
    ]
    controls.table(
        pd.DataFrame(rows),
        height="content" if len(rows) < 6 else 220,
        alt="Every override of the setup with its verdict",
        saved_as="resolved-overrides",
    )


# ------------------------------------------------------------------ the bots
def _show_bots(page: Page) -> None:
    switch = page.health.switch
    controls.section("Who obeys")
    state = "ON" if switch.overrides_on else "OFF"
    st.text(
        f"Overrides are {state} since {formats.utc(switch.changed_at)}, by {switch.changed_by}: "
        f"{switch.reason}"
    )
    _acknowledgements(page)


@st.fragment(run_every="3s", key="acknowledgements")
def _acknowledgements(page: Page) -> None:
    health = queries.read_health(page.engine)
    beats = health.heartbeats
    if beats.empty:
        controls.nothing("No bot has read yet. A bot that loads the runtime reports here.")
        return
    table = pd.DataFrame(
        {
            "bot": [formats.guarded(one) for one in beats["bot"]],
            "process": [formats.guarded(one) for one in beats["process_id"]],
            "read": [formats.ago(at, health.now) for at in beats["last_read_at"]],
            "obeys": ["ON" if on else "OFF" for on in beats["overrides_on"]],
            "switch": [
                "acknowledged" if seen >= health.switch.switch_revision else "not yet seen"
                for seen in beats["switch_revision"]
            ],
            "revision": beats["revision"],
            "dropped": beats["telemetry_dropped"],
        }
    )
    controls.table(
        table,
        alt="What each bot process last read",
        saved_as="bots",
        column_config={"read": st.column_config.TextColumn("Read", width=84)},
    )


# ------------------------------------------------------------------ all overrides
def _show_overrides(page: Page, overrides: pd.DataFrame) -> None:
    controls.section("In force")
    if overrides.empty:
        with controls.nothing("No override is in force: bots trade as without us."):
            st.page_link(
                "screens/review_lessons.py",
                label="Lessons that wait for a decision",
                icon=":material/rule:",
            )
        return
    table = _table(page, overrides)
    flagged = int((table["watch"] != "").sum())
    if flagged:
        st.badge(
            f"{formats.plural(flagged, 'override')} to look at: see Watch",
            color="orange",
            icon=":material/visibility:",
        )
    labels = [f"L-{lesson_id:04d}" for lesson_id in overrides["lesson_id"]]
    asked = st.query_params.get("lesson", "")
    picked = controls.table(
        table,
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [labels.index(asked)] if asked in labels else []}},
        key=f"overrides-{tuple(overrides['lesson_id'])}-{page.source.edition.data_version}",
        column_config=_columns(),
        column_order=_SHOWN_FIRST,
        height="content" if len(table) < 11 else 400,
        alt=f"{len(table)} overrides in force",
    )
    rows = picked["selection"]["rows"]
    if rows:
        if asked != labels[rows[0]]:
            st.query_params["lesson"] = labels[rows[0]]
        _show_chosen(page, int(overrides.iloc[rows[0]]["lesson_id"]))
    else:
        st.caption("Select one to disable or renew it.")
    controls.downloads(table, "overrides")
    _show_charts(page, overrides)


def _show_charts(page: Page, overrides: pd.DataFrame) -> None:
    left, right = st.columns([1.6, 1], gap="medium")
    with left:
        controls.section("From approval to end")
        periods = override_periods(overrides, now=page.minute)
        controls.chart(draw_override_periods(periods, page.palette), key="periods", alt=periods.alt)
    with right:
        exposed = queries.read_exposure(page.source)
        controls.section(f"Share of trades in its context, last {exposed.days} d of data")
        rows = overrides.sort_values("expires_at").assign(
            n=lambda frame: [exposed.by_lesson.get(i, 0) for i in frame["lesson_id"]],
            setup=lambda frame: [
                formats.setup(k, a)
                for k, a in zip(frame["pattern_key"], frame["action_category"], strict=True)
            ],
        )
        shown = exposure(rows, n_trades=exposed.n_trades, days=exposed.days)
        controls.chart(draw_exposure(shown, page.palette), key="exposure", alt=shown.alt)


def _show_chosen(page: Page, lesson_id: int) -> None:
    lessons = queries.read_lessons(page.source)
    lesson: dict[Any, Any] = lessons[lessons["id"] == lesson_id].iloc[0].to_dict()
    with st.container(border=True):
        lesson_card.show_head(page, lesson)
        lesson_card.show_actions(page, lesson)


def _table(page: Page, overrides: pd.DataFrame) -> pd.DataFrame:
    lessons = queries.read_lessons(page.source).set_index("id")
    effects = clear_effects(queries.read_effects(page.source))
    touched = queries.read_touched(page.source).set_index("lesson_id")["n"]
    exposed = queries.read_exposure(page.source)
    ids = overrides["lesson_id"]
    return pd.DataFrame(
        {
            "lesson": [
                f"/lesson?id=L-{i:04d}&v={v}"
                for i, v in zip(ids, overrides["lesson_version"], strict=True)
            ],
            "setup": [
                formats.guarded(formats.setup(k, a))
                for k, a in zip(overrides["pattern_key"], overrides["action_category"], strict=True)
            ],
            "context": [formats.guarded(one) for one in overrides["context"]],
            "change": [formats.guarded(formats.change(one)) for one in overrides["levers"]],
            "heads": [formats.guarded(lessons["change"].get(i, "")) for i in ids],
            "since": overrides["activated_at"].to_numpy(),
            "ends": overrides["expires_at"].to_numpy(),
            "holdout": [_holdout(*p) for p in zip(overrides["levers"], overrides["holdout_share"],
                                                  strict=True)],
            "touched": [int(touched.get(i, 0)) for i in ids],
            "exposure": [_share(exposed.by_lesson.get(i, 0), exposed.n_trades) for i in ids],
            "watch": [
                "; ".join(flags(row, touched=int(touched.get(row["lesson_id"], 0)),
                                now=page.health.now))
                for row in overrides.to_dict("records")
            ],
            "effect": [effects.get(i, "not clear yet") for i in ids],
        }
    )  # fmt: skip


def flags(override: Mapping[Any, Any], *, touched: int, now: datetime) -> list[str]:
    """Return what about an override needs a look: its end, its age, that nothing ever met it.

    Args:
        override: With activated_at, expires_at and decay_halflife_hours.
        touched: Decisions that it took part in.
    """
    age, left = now - override["activated_at"], override["expires_at"] - now
    half_life = override["decay_halflife_hours"]
    found = []
    if left <= timedelta(0):
        found.append("expired")
    elif left < _SOON:
        found.append(f"ends in {span(left.total_seconds())}")
    if half_life is not None and pd.notna(half_life) and age > timedelta(hours=float(half_life)):
        found.append("past its half-life")
    if not touched and age > _SOON:
        found.append(f"never matched in {span(age.total_seconds())}")
    return found


_MEASURED = {"uplift": "size", "delta_rr": "arms", "edge_since_activation": "edge since"}


def clear_effects(effects: pd.DataFrame) -> dict[int, str]:
    """Return per lesson the effects whose interval is clear of zero, in words with that interval.

    Args:
        effects: With lesson_id, measure, verdict, effect_rr, ci_low_rr and ci_high_rr.
    """
    clear = effects[effects["verdict"].isin(["helps", "hurts"])]
    found: dict[int, str] = {}
    for row in clear.to_dict("records"):
        span = formats.bracketed(row["ci_low_rr"], row["ci_high_rr"])
        told = f"{_MEASURED[row['measure']]} {row['verdict']} {span} R"
        before = found.get(row["lesson_id"])
        found[row["lesson_id"]] = told if before is None else f"{before}; {told}"
    return found


def _share(n: int, total: int) -> str:
    return formats.share(n / total, digits=1) if total else formats.NOTHING


def _holdout(levers: dict[str, float], share: float) -> str:
    return "none" if set(levers) <= {"size_mult", "alloc_mult"} else formats.share(share)


def _columns() -> dict[str, Any]:
    column = st.column_config
    return {
        "lesson": column.LinkColumn("Lesson", display_text=r"id=(L-\d+)", width=72, pinned=True),
        "setup": column.TextColumn("Setup"),
        "context": column.TextColumn("Context", width=140),
        "change": column.TextColumn("Applies now", width=170),
        "heads": column.TextColumn("Lesson says"),
        "since": column.DatetimeColumn("Since (UTC)", format="D MMM YYYY"),
        "ends": column.DatetimeColumn("Ends (UTC)", format="D MMM YYYY"),
        "holdout": column.TextColumn("Holdout", alignment="right"),
        "touched": column.NumberColumn("Decisions touched", format="%d"),
        "exposure": column.TextColumn(
            "Of all trades", alignment="right", help="In its context, last 30 d of data."
        ),
        "watch": column.TextColumn("Watch", help="Ends soon, past its half-life, never matched."),
        "effect": column.TextColumn("Effect", help="Clear of zero, per trade, 95 %.", width=175),
    }


if __name__ == "__main__":
    show()
