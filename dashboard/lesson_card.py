"""A lesson in short: what it says, why to believe it, what it would change, and what to decide."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

import pandas as pd
import streamlit as st

from dashboard import commands, controls, formats, queries
from dashboard.commands import Seen
from dashboard.controls import Page
from dashboard.figures.edge_history import draw_edge_over_time, edge_over_time
from learning.domain.levers import LEVERS, clamp, with_thresholds
from learning.lessons.life_cycle import PersonDecision, possible_decisions
from learning.overrides.materialising import ActiveLesson, lever_targets_now

Lesson = Mapping[Any, Any]
Tone = Literal["green", "orange", "red", "gray", "blue"]
TONES: Mapping[str, Tone] = {
    "proposed": "blue",
    "active": "green",
    "watch": "gray",
    "disabled": "orange",
    "rejected": "gray",
    "retired": "gray",
}
_CONFIRMED: Mapping[str, Tone] = {"pending": "gray", "confirmed": "green", "failed": "red"}
REJECT_REASONS = (
    "the context is an artefact of how trades were tagged",
    "the edge is too small to act on",
    "the market behind it is gone",
    "other (say which)",
)


def sentence(lesson: Lesson) -> str:
    """Return what a lesson says, in words.

    Examples:
        >>> sentence({"lesson_type": "level", "setup": "a.b.c · entry", "scope": {},
        ...           "posterior_mean_rr": -0.12, "context": "everywhere"})
        'a.b.c · entry loses 0.12 R per trade, after costs, everywhere.'
    """
    edge = lesson["posterior_mean_rr"]
    if _is_missing(edge):
        return f"{lesson['setup']} in {lesson['context']}: no edge is stored."
    size = formats.signed(abs(edge)).lstrip("+")
    if lesson["lesson_type"] == "level":
        verb = "earns" if edge > 0 else "loses"
        where = lesson["context"] if not lesson["scope"] else f"in {lesson['context']}"
        return f"{lesson['setup']} {verb} {size} per trade, after costs, {where}."
    more = "more" if edge > 0 else "less"
    return (
        f"{lesson['setup']} in {lesson['context']} earns {size} per trade {more} than the same "
        "setup on average."
    )


def _is_missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


def show_head(page: Page, lesson: Lesson) -> None:
    """Show name, state and sentence."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(f"{lesson['label']} v{lesson['version']}", anchor=False, width="content")
        st.badge(lesson["status"], color=TONES[lesson["status"]])
        st.badge(
            f"confirmation {lesson['confirmation']}",
            color=_CONFIRMED[lesson["confirmation"]],
            help=formats.plain(
                lesson["confirmation_reason"]
                or "Asked of later trades, at few moments since its claim.",
                longest=300,
            ),
        )
        st.badge(formats.plain(lesson["lesson_type"]), color="gray")
    if lesson["lesson_type"] != "level" and lesson["outcome"] != page.outcome:
        st.badge(
            formats.plain(f"measured on {lesson['outcome']}; now {page.outcome} is analysed"),
            color="orange",
            icon=":material/warning:",
        )
    st.text(sentence(lesson))


def show_numbers(lesson: Lesson) -> None:
    """Show the numbers a decision rests on, each with its unit and interval."""
    with st.container(horizontal=True, gap="small"):
        _number(
            "Edge, shrunk",
            formats.signed(lesson["posterior_mean_rr"]),
            "95 % " + formats.bracketed(lesson["ci_low_rr"], lesson["ci_high_rr"]),
            f"{lesson['outcome']}; raw {formats.signed(lesson['delta_group_rr'])}.",
        )
        _number("Trades", formats.count(lesson["n"]), _weeks(lesson))
    with st.container(horizontal=True, gap="small"):
        _number("q, whole search", formats.q_text(lesson["q_value"]), _search(lesson))
        why = lesson["half_life_reason"]
        _number(
            "Half-life",
            _half_life(lesson),
            lesson["half_life_state"],
            formats.plain(why, longest=300) if why else None,
        )


def _number(label: str, value: str, told: str, more: str | None = None) -> None:
    st.metric(
        label, value, delta=told, delta_arrow="off", delta_color="off", border=True, help=more
    )


def _weeks(lesson: Lesson) -> str:
    blocks = lesson["n_effective_blocks"]
    return "distinct" if _is_missing(blocks) else f"{blocks:.0f} effective weeks"


def _search(lesson: Lesson) -> str:
    tested = (lesson["stats"].get("hypotheses") or {}).get("tested")
    return "not in the last look" if tested is None else f"{formats.count(tested)} tested"


def _half_life(lesson: Lesson) -> str:
    days = lesson["half_life_days"]
    return formats.NOTHING if _is_missing(days) else f"{days:.0f} d"


def show_evidence(page: Page, lesson: Lesson, *, with_windows: bool = True) -> None:
    """Show why to believe it: score against the search, parents, composition, windows.

    Args:
        with_windows: False where the page shows the edge over time elsewhere.
    """
    controls.table(
        pd.DataFrame(_evidence(lesson), columns=["evidence", "value"]),
        column_config={"evidence": st.column_config.TextColumn("Evidence", width=110, pinned=True)},
        alt="Evidence of the lesson",
        saved_as=f"evidence-{lesson['label']}-v{lesson['version']}",
        key=f"evidence-{lesson['id']}-{lesson['version']}",
    )
    if with_windows:
        _show_windows(page, lesson)


def _show_windows(page: Page, lesson: Lesson) -> None:
    windows = queries.read_history(page.source, int(lesson["id"]))
    if windows.empty:
        st.caption("Windows over time appear when half-lives are estimated.")
        return
    marks: tuple[tuple[datetime, str], ...] = (
        () if pd.isna(lesson["activated_at"]) else ((lesson["activated_at"], "approved"),)
    )
    shown = edge_over_time(windows, marks=marks)
    st.caption(
        f"Edge of each window against the setup (R, 95 %), and trades; {len(windows)} windows"
    )
    controls.chart(
        draw_edge_over_time(shown, page.palette, height=210),
        key=f"windows-{lesson['id']}",
        alt=shown.alt,
    )


def _evidence(lesson: Lesson) -> list[tuple[str, str]]:
    stats = lesson["stats"]
    rows = [
        ("context", lesson["context"]),
        (
            "own mean",
            f"{formats.plural(int(lesson['n']), 'trade')}, mean "
            + formats.signed(lesson["own_mean_rr"]),
        ),
        ("score", _score(lesson)),
        ("false sign rate", formats.q_text(lesson["lfsr"])),
    ]
    if stats.get("incremental_edge") is not None:
        inside = formats.interval(lesson["incremental_ci_low_rr"], lesson["incremental_ci_high_rr"])
        parent = formats.scope(stats.get("parent_scope") or {})
        rows.append(
            (
                "adds to parent",
                f"over {parent}: {formats.signed(stats['incremental_edge'])} ({inside})",
            )
        )
    rows.append(("edge_raw", f"ranks at {_or_nothing(lesson['edge_raw'])}, is no evidence"))
    for name in ("by_bot", "by_origin"):
        parts = (lesson["composition"] or {}).get(name, {})
        told = ", ".join(f"{who} {formats.count(n)}" for who, n in parts.items())
        rows.append((name.replace("_", " "), told or formats.NOTHING))
    rows.append(("strength", f"{lesson['lesson_strength']:.2f} of 1"))
    return [(name, str(formats.guarded(value))) for name, value in rows]


def _or_nothing(value: Any) -> str:
    return formats.NOTHING if _is_missing(value) else f"{value:+.3f}"


def _score(lesson: Lesson) -> str:
    if _is_missing(lesson["z"]):
        return formats.NOTHING
    if _is_missing(lesson["critical_z"]):
        return f"z {lesson['z']:+.1f}"
    return (
        f"z {lesson['z']:+.1f}; the whole search of the setup asks for ±{lesson['critical_z']:.1f}"
    )


def lever_table(page: Page, lesson: Lesson) -> pd.DataFrame:
    """Return what would change, lever by lever: now, in a day, and where it heads."""
    overrides = queries.read_overrides(page.source)
    own = overrides[overrides["lesson_id"] == lesson["id"]]
    now = {} if own.empty else own.iloc[0]["levers"]
    heading = _heading(page, lesson)
    known = with_thresholds(page.settings.signal_thresholds)
    rows = []
    for name, value in lesson["levers"].items():
        lever = known.get(name)
        neutral = None if lever is None else lever.neutral
        before = now.get(name, neutral)
        rows.append(
            {
                "lever": formats.lever_name(name),
                "now": formats.NOTHING if before is None else formats.lever_value(name, before),
                "lesson": formats.lever_value(name, value),
                "bots head for": _headed(name, heading),
                "bounds": "" if lever is None else f"{lever.low:g} to {lever.high:g}",
                "holdout": _holdout(page, name),
            }
        )
    columns = ["lever", "now", "lesson", "bots head for", "bounds", "holdout"]
    return pd.DataFrame(rows, columns=columns)


def _lever_columns() -> dict[str, Any]:
    """Values to the right, as numbers stand."""
    column = st.column_config
    return {
        name: column.TextColumn(name.capitalize(), alignment="right")
        for name in ("now", "lesson", "bots head for", "bounds", "holdout")
    }


def _headed(name: str, heading: Mapping[str, float]) -> str:
    # a threshold without a setting has no place to stand: nothing is applied
    return formats.lever_value(name, heading[name]) if name in heading else "not applied"


def _holdout(page: Page, name: str) -> str:
    # the effect of size is known without a holdout, and a cut must not be withheld
    if name in ("size_mult", "alloc_mult"):
        return "none"
    return formats.share(page.settings.holdout_share)


def _heading(page: Page, lesson: Lesson) -> dict[str, float]:
    """Return the levers after decay and strength, as materialising would make them now."""
    hours = lesson["decay_halflife_hours"]
    one = ActiveLesson(
        lesson_id=lesson["id"],
        version=lesson["version"],
        module=lesson["module"],
        pattern_key=lesson["pattern_key"],
        action_category=lesson["action_category"],
        scope=lesson["scope"],
        lesson_type=lesson["lesson_type"],
        levers=lesson["levers"],
        strength=lesson["lesson_strength"],
        decay_halflife_hours=None if _is_missing(hours) else float(hours),
        latent_factor_id=lesson["latent_factor_id"],
        mean_closed_at=lesson["mean_closed_at"],
        activated_at=page.health.now,
        expires_at=page.health.now,
    )
    levers = with_thresholds(page.settings.signal_thresholds)
    return lever_targets_now([one], now=page.health.now, levers=levers)[lesson["id"]]


def show_change(page: Page, lesson: Lesson) -> None:
    """Show what it would change, and what is withheld and why."""
    table = lever_table(page, lesson)
    if table.empty:
        st.text("It changes no lever: nothing would be applied.")
    else:
        controls.table(
            table,
            alt="What the lesson would change",
            column_config=_lever_columns(),
            saved_as=f"levers-{lesson['label']}-v{lesson['version']}",
            key=f"levers-{lesson['id']}-{lesson['version']}",
        )
    for name, why in (lesson["stats"].get("withheld_levers") or {}).items():
        st.text(f"{formats.lever_name(name)} stays neutral: {why}")


# ------------------------------------------------------------------ deciding
def show_actions(page: Page, lesson: Lesson) -> None:
    """Show what may be decided, and the dialog that is open; no button to a viewer."""
    if not page.viewer.may_decide:
        return
    decisions = possible_decisions(lesson["status"])
    with st.container(horizontal=True, gap="small"):
        if "approve" in decisions and lesson["is_approvable"]:
            again = "again " if lesson["status"] == "disabled" else ""
            name = f"Approve {again}{lesson['label']} v{lesson['version']}"
            _opener("approve", name, lesson, type="primary", shortcut="a")
        if "reject" in decisions:
            _opener("reject", f"Reject {lesson['label']}", lesson, shortcut="x")
        if "renew" in decisions:
            _opener("renew", f"Renew {lesson['label']}", lesson)
        if "disable" in decisions:
            show_disable(page, lesson)
    if "approve" in decisions and not lesson["is_approvable"]:
        st.caption("Its own 95 % interval contains 0: it cannot be approved.")
    if not decisions:
        st.caption(f"A lesson that is {lesson['status']} leaves nothing to decide.")


def _opener(what: str, name: str, lesson: Lesson, **look: Any) -> None:
    st.button(name, key=what, on_click=controls.open_dialog, args=(what, seen_of(lesson)), **look)


def show_open_dialog(page: Page) -> None:
    """Show the dialog that is open, on the lesson it was opened on, whatever is selected now.

    Called before the page is drawn: who asked for a dialog waits for no list behind it.
    """
    found = controls.opened()
    if found is None or found.seen is None or not page.viewer.may_decide:
        return
    shown = {"approve": approve, "reject": reject, "renew": renew}.get(found.what)
    rows = queries.read_lesson(page.source, found.seen.lesson_id)
    if shown is not None and not rows.empty:
        shown(page, rows.iloc[0].to_dict(), found.seen, found.token)


def seen_of(lesson: Lesson) -> Seen:
    """Return a lesson as it is seen now."""
    return Seen(int(lesson["id"]), int(lesson["version"]), lesson["status"])


def show_disable(page: Page, lesson: Lesson, *, place: str = "") -> None:
    """Disable in one step: a reason and a button, no second person.

    Args:
        place: What tells this button from another one for the same lesson on a page.
    """
    seen = seen_of(lesson)
    key = f"disable-{place}{seen.lesson_id}-{seen.version}"
    with st.popover(f"Disable {lesson['label']}", icon=":material/block:"):
        reason = st.text_input("Reason (10 characters or more)", key=f"{key}-reason", max_chars=500)
        if st.button("Disable now", type="primary", key=key):
            token = st.session_state.setdefault(f"{key}-token", uuid4())
            done = _decided(page, seen, "disable", reason, token)
            if done is not None:
                del st.session_state[f"{key}-token"]
                controls.finish(done)


@st.dialog(
    "Approve", width="medium", icon=":material/check_circle:", on_dismiss=controls.close_dialog
)
def approve(page: Page, lesson: dict[Any, Any], seen: Seen, token: UUID) -> None:
    """Show all that an approval does, ask why, and decide once."""
    st.markdown(f"**{seen.label}**")
    if lesson["version"] != seen.version:
        st.error("It changed meanwhile: close, and look at the new version.")
    st.text(sentence(lesson))
    st.caption(
        f"{formats.plain(lesson['outcome'])}; 95 % "
        + formats.interval(lesson["ci_low_rr"], lesson["ci_high_rr"])
        + f"; n {formats.count(lesson['n'])}; q {formats.q_text(lesson['q_value'])}"
    )
    controls.table(
        lever_table(page, lesson),
        alt="Before and after",
        column_config=_lever_columns(),
        key=f"approve-levers-{lesson['id']}",
    )
    _show_reach(page, lesson)
    reason = st.text_area(
        "Reason (10 characters or more)", key=f"approve-reason-{token}", max_chars=2000
    )
    if st.button(_approve_label(lesson, seen), type="primary", key=f"approve-{token}"):
        done = _decided(page, seen, "approve", reason, token)
        if done is not None:
            controls.finish(done)


def _approve_label(lesson: Lesson, seen: Seen) -> str:
    parts = [
        f"x{v:.2f}" if LEVERS.get(n) and not LEVERS[n].whole else f"{v:g}"
        for n, v in lesson["levers"].items()
    ]
    what = parts[0] if len(parts) == 1 else formats.plural(len(parts), "lever")
    return f"Approve {what} on {seen.label}"


def _show_reach(page: Page, lesson: Lesson) -> None:
    reach = queries.read_reach(
        page.source, int(lesson["id"]), controls.group_of(lesson), lesson["scope"]
    )
    ends = queries.read_expiry(page.source, lesson["decay_halflife_hours"])
    of_setup = formats.share(reach.n_touched / reach.n_setup) if reach.n_setup else formats.NOTHING
    st.text(
        f"Touches {formats.plural(reach.n_touched, 'trade')} of the last {queries.TOUCH_DAYS} d of "
        f"data, {of_setup} of the setup's {formats.count(reach.n_setup)}. It moves by at most one "
        "step a day, the first at approval, and ends "
        f"{formats.utc(ends, with_year=True)}; renewing is a decision. "
        f"Takes {formats.plural(page.approvals_required, 'person', 'people')}."
    )
    if reach.overlaps.empty:
        st.caption("No other active override meets these trades.")
        return
    st.caption(f"Active overrides on the same trades; the setting is {page.settings.combine}")
    controls.table(
        overlap_table(lesson, reach.overlaps),
        alt="Overlap with active overrides",
        saved_as=f"overlap-{lesson['label']}",
        key=f"overlap-{lesson['id']}",
    )


def overlap_table(lesson: Lesson, overlaps: pd.DataFrame) -> pd.DataFrame:
    """Return shared trades with each active override, and what both would make together."""
    rows = [
        {
            "override": f"L-{other['lesson_id']:04d}",
            "shared trades": other["n_shared"],
            "product": _product(lesson["levers"], other["levers"]),
            "applies": _together(lesson, other),
        }
        for other in overlaps.to_dict("records")
    ]
    return pd.DataFrame(rows, columns=["override", "shared trades", "product", "applies"])


def _product(mine: Mapping[str, float], theirs: Mapping[str, float]) -> str:
    """Return the product of each lever that both set, and the cap where it is beyond.

    Examples:
        >>> _product({"size_mult": 1.2}, {"size_mult": 1.2})
        'size ×1.44, capped at ×1.30'
    """
    parts = []
    for name in mine:
        if name not in theirs or name not in LEVERS or LEVERS[name].whole:
            continue
        both = mine[name] * theirs[name]
        capped = clamp(LEVERS[name], both)
        beyond = "" if capped == both else f", capped at ×{capped:.2f}"
        parts.append(f"{formats.lever_name(name)} ×{both:.2f}{beyond}")
    return "; ".join(parts) or "no lever in common"


def _together(lesson: Lesson, other: Mapping[Any, Any]) -> str:
    if (lesson["lesson_type"] == "level") != (other["lesson_type"] == "level"):
        return "both, as product"
    factor = lesson["latent_factor_id"]
    if factor is not None and factor == other["latent_factor_id"]:
        return "one: they are one factor"
    return "the one with more conditions"


@st.dialog("Reject", width="medium", icon=":material/cancel:", on_dismiss=controls.close_dialog)
def reject(page: Page, lesson: dict[Any, Any], seen: Seen, token: UUID) -> None:
    """Reject a version for good."""
    st.text(sentence(lesson))
    st.caption("Final for this version. It comes back only if its evidence changes materially.")
    listed = st.selectbox("Reason", REJECT_REASONS, key=f"reject-list-{token}")
    words = st.text_area("In your words", key=f"reject-reason-{token}", max_chars=2000)
    if st.button(f"Reject {seen.label}", type="primary", key=f"reject-{token}"):
        other = listed == REJECT_REASONS[-1]
        reason = words if other else ". ".join(part for part in (listed, words.strip()) if part)
        done = _decided(page, seen, "reject", reason, token)
        if done is not None:
            controls.finish(done)


@st.dialog("Renew", width="medium", icon=":material/update:", on_dismiss=controls.close_dialog)
def renew(page: Page, lesson: dict[Any, Any], seen: Seen, token: UUID) -> None:
    """Let an active lesson act longer."""
    st.text(sentence(lesson))
    ends = queries.read_expiry(page.source, lesson["decay_halflife_hours"])
    st.text(
        f"Its override would end {formats.utc(ends, with_year=True)} instead of "
        f"{formats.utc(lesson['expires_at'], with_year=True)}."
    )
    reason = st.text_area("Reason (10 characters or more)", key=f"renew-reason-{token}")
    if st.button(f"Renew {lesson['label']}", type="primary", key=f"renew-{token}"):
        done = _decided(page, seen, "renew", reason, token)
        if done is not None:
            controls.finish(done)


def _decided(
    page: Page, seen: Seen, decision: PersonDecision, reason: str, token: UUID
) -> commands.Done | None:
    """Decide, or say in place what is missing."""
    if len(reason.strip()) < commands.MIN_REASON:
        st.error(
            f"A reason of at least {commands.MIN_REASON} characters is needed.",
            icon=":material/edit:",
        )
        return None
    return commands.decide(
        page.engine,
        seen,
        decision,
        actor=page.viewer.name,
        reason=reason,
        token=token,
        approvals_required=page.approvals_required,
    )
