"""Settings: which limits hold, who may change them, and what runs here."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import controls, formats, queries
from dashboard.controls import Page
from dashboard.diagnostics import diagnostics, versions
from dashboard.identity import LOGIN_FILE, login_is_set_up
from dashboard.limits import lever_bounds, limits_in_force, masked_address
from learning.store import database

_KEYS = (
    ("A", "Decisions, Lesson", "Approve the lesson that is shown"),
    ("X", "Decisions, Lesson", "Reject it"),
    ("D", "Decisions", "Put it off for seven days, for yourself"),
    ("J", "Decisions", "Next in the queue"),
    ("K", "Decisions", "The one before"),
    ("Esc", "everywhere", "Close a dialog; nothing is done"),
)


def show() -> None:
    """Draw the page."""
    page = controls.open_page("Settings")
    _show_limits(page)
    left, right = st.columns([1.25, 1], gap="medium")
    with left:
        _show_levers(page)
    with right:
        _show_people(page)
        _show_flags(page)
    left, right = st.columns([1.25, 1], gap="medium")
    with left:
        _show_versions(page)
    with right:
        _show_notices(page)
        _show_keys()


# ------------------------------------------------------------------ limits
def _show_limits(page: Page) -> None:
    controls.section(
        "Limits in force",
        "Nothing here is changed by a click: a limit that guards money changes by a command or a "
        "setting, with its reason, and is read anew when a process starts.",
    )
    rows = [asdict(one) for one in limits_in_force(page.settings, page.health.approvals)]
    rows.append(_outcome(page))
    table = pd.DataFrame(rows)
    column = st.column_config
    controls.table(
        table,
        height="content",
        alt=f"{len(table)} limits in force",
        column_config={
            "limit": column.TextColumn("Limit", pinned=True),
            "in_force": column.TextColumn("In force", width=316),
            "kept_by": column.TextColumn("Kept by", width=220),
            "change": column.TextColumn("Changed by", width=315),
        },
    )
    controls.downloads(table, "limits")


def _outcome(page: Page) -> dict[str, str]:
    state = page.health.state
    chosen = ""
    if state.outcome_chosen_at is not None:
        at = formats.utc(state.outcome_chosen_at, with_year=True)
        chosen = f", chosen {at} by {state.outcome_chosen_by}"
    told = "chosen at the first mining run" if state.outcome is None else state.outcome
    return {
        "limit": "analysed outcome",
        "in_force": str(formats.guarded(told)),
        "kept_by": "database" + chosen,
        "change": "./run outcome NAME --reason …",
    }


def _show_levers(page: Page) -> None:
    controls.section(
        "Bounds of the levers",
        "The same in the builder, in the database and in the bot: what is wider is refused by "
        "each of them alone.",
    )
    table = lever_bounds(page.settings.signal_thresholds)
    column = st.column_config
    number = {
        name: column.NumberColumn(name.capitalize(), format="%g")
        for name in ("lowest", "highest", "neutral")
    }
    controls.table(
        table,
        height="content",
        alt=f"Bounds of {len(table)} levers",
        saved_as="lever-bounds",
        column_config={
            "lever": column.TextColumn("Lever", width=136),
            **number,
            "step": column.NumberColumn("Step a day", format="%g"),
            "adds_risk": column.TextColumn("Adds risk"),
        },
    )
    if not page.settings.signal_thresholds:
        st.caption("No signal threshold is configured: none is learned or applied.")


# ------------------------------------------------------------------ people, flags, notices
def _show_people(page: Page) -> None:
    controls.section("People and roles")
    viewer = page.viewer
    st.text(f"You are {viewer.name}, {viewer.role}.")
    st.caption(formats.plain(_login_told(page), longest=300))
    people = pd.DataFrame(sorted(page.health.people.items()), columns=["name", "role"])
    if people.empty:
        controls.nothing(
            "Nobody is listed: who reaches the database decides. The first one to list is an "
            "admin: ./run people add NAME --role admin"
        )
        return
    people["name"] = people["name"].map(formats.guarded)
    controls.table(people, alt=f"{len(people)} people and their roles", saved_as="people")
    st.caption("A viewer looks, an approver decides, an admin also lists people.")


def _login_told(page: Page) -> str:
    address = st.get_option("server.address") or page.settings.host
    if login_is_set_up():
        ends = st.user.get("exp")
        until = (
            f"; your login ends {formats.utc(datetime.fromtimestamp(float(ends)).astimezone())}"
            if isinstance(ends, int | float | str) and page.viewer.is_logged_in
            else ""
        )
        return f"A login is asked for{until}. The page listens on {address}."
    return f"No login is set up ({LOGIN_FILE} in the home folder); the page listens on {address}."


def _show_flags(page: Page) -> None:
    controls.section("Feature flags")
    flags = queries.read_flags(page.engine)
    table = pd.DataFrame(
        {"flag": list(flags), "state": ["on" if on else "off" for on in flags.values()]}
    )
    controls.table(table, alt=f"{len(table)} feature flags", saved_as="flags")
    st.caption("Turned by ./run flag NAME on or off; bots follow at their next read.")


def _show_notices(page: Page) -> None:
    controls.section("Notices")
    urls = page.settings.notice_urls
    if not urls:
        controls.nothing("No notice is sent anywhere: EDGEKEEPER_NOTICE_URLS names addresses.")
        return
    for url in urls:
        st.text(masked_address(url))
    st.caption("Addresses are secrets: only their kind is shown.")


# ------------------------------------------------------------------ versions, keys
@st.cache_data(ttl=600, show_spinner=False, hash_funcs={Page: lambda page: page.source.edition[:2]})
def _versions(page: Page) -> dict[str, str]:
    return versions(page.engine)


def _show_versions(page: Page) -> None:
    controls.section("What runs here")
    state = page.health.state
    url = page.engine.url.render_as_string(hide_password=True)
    told: dict[str, Any] = {
        **_versions(page),
        "Database": database.masked(url),
        "State": f"generation {state.generation}, revision {state.revision}, data version "
        f"{state.data_version}",
        "Timetable": page.settings.profile,
    }
    controls.table(
        pd.DataFrame(list(told.items()), columns=["part", "version"]).astype(str),
        height="content",
        alt="Versions of what runs here",
        saved_as="versions",
        column_config={"part": st.column_config.TextColumn("Part", width=110, pinned=True)},
    )
    st.download_button(
        "Download diagnostics",
        data=diagnostics(page),
        file_name="edgekeeper-diagnostics.zip",
        mime="application/zip",
        on_click="ignore",
        icon=":material/medical_information:",
        help="Versions, settings without secrets, limits, state and the runs of a week.",
    )


def _show_keys() -> None:
    controls.section("Keyboard")
    controls.table(
        pd.DataFrame(_KEYS, columns=["key", "page", "does"]),
        alt="Keyboard shortcuts",
        saved_as="shortcuts",
        column_config={"key": st.column_config.TextColumn("Key", width=48)},
    )


if __name__ == "__main__":
    show()
