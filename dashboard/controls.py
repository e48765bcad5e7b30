"""What every page shares: the database, who looks, the header, the filters, states and tables."""

from __future__ import annotations

import csv
import functools
import io
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from sqlalchemy import Engine
from streamlit.runtime.scriptrunner import RerunException

from dashboard import commands, formats, health, queries, theme
from dashboard.edge_queries import Unit
from dashboard.identity import Viewer, can_log_in, viewer_of
from dashboard.queries import Filters, Group, Health, Source
from learning.domain.pattern_key import MODULES
from learning.errors import LearningError
from learning.settings import Profile, Settings
from learning.store import database
from learning.store.switch_rows import CONFIRMATION

UNITS: tuple[Unit, ...] = ("R", "%", "money")
_JUST_READ = "health"  # handed on within one run of a page
_LATER = "charts-later"  # what is drawn at the end of the run
_DRAWN = "charts-of"  # the page whose charts stand
_PAUSED = "charts-waited"  # once in a session
_WORDS_FIRST_S = 0.4
_CAME_WITH = "came-with"  # what the address of a visitor's first page chose
_CHART_HEIGHT = 300
PERIODS: Mapping[str, int | None] = {"all": None, "90 d": 90, "30 d": 30, "7 d": 7}
OUTCOME_WORDS: Mapping[str, str] = {
    "r_multiple_net": "R of initial risk, after costs",
    "r_multiple": "R of initial risk, before costs",
    "rr_path": "return per worst adverse excursion",
}


@dataclass(frozen=True)
class Page:
    """What a screen works with."""

    engine: Engine
    source: Source
    health: Health
    settings: Settings
    filters: Filters
    unit: Unit
    viewer: Viewer
    palette: theme.Palette

    @property
    def minute(self) -> datetime:
        """The moment to the minute: what has not changed meanwhile need not be made anew."""
        return self.health.now.replace(second=0, microsecond=0)

    @property
    def outcome(self) -> str:
        """The analysed outcome, as every number in R is."""
        return self.health.state.outcome or "no outcome chosen yet"

    @property
    def approvals_required(self) -> int:
        """People who have to approve: this process may ask for more than the database."""
        return max(self.settings.approvals_required, self.health.approvals.required)


def outcome_told(outcome: str) -> str:
    """Return an outcome with what it means."""
    words = OUTCOME_WORDS.get(outcome)
    return outcome if words is None else f"{outcome}: {words}"


# ------------------------------------------------------------------ opening a page
@st.cache_resource(show_spinner=False)
def _engine(database_url: str | None, home: str) -> Engine:
    url = database.resolve_url(database_url, Path(home))
    return database.create_engine(url, application_name="edgekeeper dashboard", pool_size=8)


@st.cache_resource(show_spinner=False)
def _last_known() -> dict[str, Any]:
    """Return what was last seen of the switch, for the notice when the database is away."""
    return {}


def open_page(title: str, *, jobs: tuple[str, ...] = ()) -> Page:
    """Read how things stand, draw header and filters, and return what a screen works with.

    Without a database the page ends here, with what is known and a button to try again.

    Args:
        title: Of the page.
        jobs: The jobs its numbers come from: where one failed or is late, the page says so.
    """
    page = _opened()
    if st.session_state.get("page") != title:
        close_dialog()
        st.session_state["page"] = title
    _header(page, title)
    said = st.session_state.pop("said", None)
    if said is not None:
        st.toast(formats.plain(said, longest=200), duration="long")
    stale = health.stale_sentence(page.health, jobs)
    if stale is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(formats.plain(stale, longest=200), icon=":material/warning:", color="orange")
            st.page_link("screens/watch_jobs.py", label="See the run")
    return page


def show_frame(title: str) -> None:
    """Draw what stands beside every page: the filters, which stay when the page changes.

    Args:
        title: Of the page beside it.
    """
    st.session_state.setdefault(_CAME_WITH, st.query_params.to_dict())
    try:
        settings, engine = connected()
        found = queries.read_health(engine, settings.profile)
        st.session_state[_JUST_READ] = found
        if not viewer_of(settings, found.people).may_look:
            return
        bots, setups = queries.read_choices(found.source(engine))
    except Exception:  # the page itself says what is wrong
        bots, setups = [], []
    _show_filters(bots, setups, is_other=st.session_state.get("page") != title)


def _just_read() -> Health | None:
    """Return what was read earlier in this run of the page, once; a later run reads anew."""
    found: Health | None = st.session_state.pop(_JUST_READ, None)
    return found


@functools.lru_cache(maxsize=4)
def _settings(_environment: tuple[tuple[str, str], ...]) -> Settings:
    """Return the settings, read once: an environment seldom changes, and a page asks twice."""
    return Settings.from_env()


def connected() -> tuple[Settings, Engine]:
    """Return the settings and the database that they name."""
    settings = _settings(tuple(sorted(os.environ.items())))
    return settings, _engine(settings.database_url, str(settings.home))


def _opened() -> Page:
    try:
        settings, engine = connected()
        found = _just_read() or queries.read_health(engine, settings.profile)
    except LearningError as error:
        _database_away(str(error))
    except Exception as error:  # a page never falls: what failed is said, the rest goes to the log
        _failed(error)
    _last_known().update(on=found.switch.overrides_on, at=found.now)
    st.session_state[_JUST_READ] = found  # for the strip
    viewer = viewer_of(settings, found.people)
    if not viewer.may_look:
        _show_login(viewer)
    filters, unit = _chosen(settings.origins)
    return Page(
        engine=engine,
        source=found.source(engine),
        health=found,
        settings=settings,
        filters=filters,
        unit=unit,
        viewer=viewer,
        palette=theme.palette_of(st.context.theme.type),
    )


def _database_away(said: str) -> Any:
    st.subheader("The database cannot be reached")
    st.text(said)
    known = _last_known()
    if known:
        stands = "ON" if known["on"] else "OFF"
        st.text(f"Last known, {formats.utc(known['at'])}: overrides {stands}.")
    st.text(
        "Meanwhile each bot drops what adds risk as soon as its last read is "
        "older than its limit, and keeps cuts until they expire."
    )
    st.button("Try again", icon=":material/refresh:")
    st.stop()


def _failed(error: Exception) -> Any:
    show_failure(error)
    st.stop()


def show_failure(error: Exception) -> bool:
    """Say that a page failed, in place of its rest; the log has the whole under the same id.

    Returns:
        True: nothing else needs to be shown.
    """
    error_id = uuid4().hex[:8]
    logging.getLogger("edgekeeper.dashboard").error(
        "page failed, error %s", error_id, exc_info=error
    )
    with nothing(f"This part could not be shown: {type(error).__name__}, error id {error_id}."):
        st.caption("The log has the rest under that id.")
        st.button("Try again", icon=":material/refresh:", key=f"again-{error_id}")
    return True


def _show_login(viewer: Viewer) -> Any:
    """Show who is not let in the way in, and nothing else."""
    st.title("Edgekeeper", anchor=False)
    st.text(viewer.why_not or "Log in to see anything.")
    if viewer.is_logged_in:
        st.button("Log out", icon=":material/logout:", on_click=st.logout)
    elif can_log_in():
        st.button("Log in", icon=":material/login:", type="primary", on_click=st.login)
    else:
        st.text("Logging in needs a package: pip install 'Authlib>=1.3.2' httpx")
    st.stop()


# ------------------------------------------------------------------ header
def _header(page: Page, title: str) -> None:
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.title(title, anchor=False, width="content")
        with st.container(
            horizontal=True,
            vertical_alignment="center",
            gap="small",
            width="content",
        ):
            _strip(page.engine, page.settings.profile)
            _kill_switch_button(page)
    if page.viewer.why_not is not None:
        st.badge(
            formats.plain(page.viewer.why_not, longest=200), icon=":material/lock:", color="orange"
        )


@st.fragment(run_every="10s", key="strip")
def _strip(engine: Engine, profile: Profile) -> None:
    try:
        now = _just_read() or queries.read_health(engine, profile)
    except LearningError:
        st.badge("database away", icon=":material/cloud_off:", color="red")
        return
    broken = health.broken_promises(now)
    notices = [
        *([] if broken is None else [broken]),
        health.switch_notice(now),
        *health.bot_notices(now)[:3],
        health.stalest_job(now),
        health.data_notice(now),
    ]
    with st.container(
        horizontal=True,
        vertical_alignment="center",
        gap="small",
        width="content",
    ):
        if now.state.is_demo:
            st.badge(
                "DEMO",
                icon=":material/science:",
                color="violet",
                help="Invented trades with a known truth.",
            )
        for notice in notices:
            st.badge(notice.label, icon=notice.icon, color=notice.tone, help=notice.help)


def _kill_switch_button(page: Page) -> None:
    if not page.viewer.may_decide:
        return
    is_on = page.health.switch.overrides_on
    st.button(
        "Kill switch" if is_on else "Switch on",
        icon=":material/power_settings_new:",
        key="kill" if is_on else "revive",
        on_click=open_dialog,
        args=("switch off" if is_on else "switch on",),
    )
    if is_open("switch off"):
        _switch_off(page)
    elif is_open("switch on"):
        _switch_on(page)


# ------------------------------------------------------------------ dialogs
@dataclass(frozen=True, slots=True)
class Opened:
    """A dialog that is open: what it decides on, and the token that decides once."""

    what: str
    seen: commands.Seen | None
    token: UUID


def open_dialog(what: str, seen: commands.Seen | None = None) -> None:
    """Open a dialog, with a token of its own; a page shows one at a time."""
    st.session_state["opened"] = Opened(what, seen, uuid4())


def close_dialog() -> None:
    """Forget the open dialog."""
    st.session_state.pop("opened", None)


def opened() -> Opened | None:
    """Return the open dialog."""
    found = st.session_state.get("opened")
    return found if isinstance(found, Opened) else None


def is_open(what: str) -> bool:
    """Say whether this dialog is open."""
    found = opened()
    return found is not None and found.what == what


@st.dialog(
    "Stop applying all overrides", icon=":material/power_settings_new:", on_dismiss=close_dialog
)
def _switch_off(page: Page) -> None:
    st.text("Every lever goes to neutral. Bots follow within 1 s, 5 s if the database hangs.")
    reason = st.text_input("Reason (optional)", key="off-reason", max_chars=300)
    if st.button("Stop applying all overrides", type="primary", key="off-now"):
        done = commands.turn_switch(page.engine, on=False, actor=page.viewer.name, reason=reason)
        finish(done)


@st.dialog("Apply overrides again", icon=":material/power_settings_new:", on_dismiss=close_dialog)
def _switch_on(page: Page) -> None:
    active = len(queries.read_overrides(page.source))
    st.text(f"{formats.plural(active, 'override')} will act again at the bots' next read.")
    typed = st.text_input(f"Type {CONFIRMATION}", key="on-typed")
    reason = st.text_area("Reason", key="on-reason", max_chars=1000)
    if st.button("Apply overrides again", type="primary", key="on-now"):
        done = commands.turn_switch(
            page.engine, on=True, actor=page.viewer.name, reason=reason, typed=typed
        )
        finish(done)


def finish(done: commands.Done) -> None:
    """Close a dialog over what was done, or say in it why nothing was."""
    if not done.is_done:
        st.error(formats.plain(done.said, longest=300), icon=":material/block:")
        return
    close_dialog()
    st.session_state["said"] = done.said
    st.session_state["decided"] = done.said  # a list that was frozen is made anew
    st.rerun()


# ------------------------------------------------------------------ filters
def _show_filters(bots: list[str], setups: list[Group], *, is_other: bool) -> None:
    """Draw the filters; on another page than before, put back what the browser forgot of them."""

    def put_back(key: str, known: Sequence[str]) -> None:
        if is_other:
            _put_back(key, known)

    with st.sidebar:
        put_back("module", MODULES)
        module = st.segmented_control(
            "Module",
            MODULES,
            key="module",
            bind="query-params",
            help="pm: portfolio manager. dm: decision maker.",
        )
        keys = sorted({one.pattern_key for one in setups if module in (None, one.module)})
        for label, known in (("Setup", keys), ("Bot", bots)):
            name = label.lower()
            put_back(name, known)
            st.selectbox(
                label, known, index=None, placeholder=f"all {name}s", key=name, bind="query-params"
            )
        put_back("period", list(PERIODS)[1:])  # what is so without a choice needs no putting back
        _segments("Period", list(PERIODS), "all", help="Counted back from the last closed trade.")
        put_back("unit", UNITS[1:])
        _segments("Unit", list(UNITS), "R")
        st.caption(
            "Bot, period and unit recompute edge maps from trades. Lessons are always shown whole, "
            "in R, with their composition."
        )


def _put_back(key: str, known: Sequence[str]) -> None:
    """Set a filter again that the address has lost.

    Who goes on before the browser has drawn the filters loses them from the address; where the
    page had not drawn them either, what the visitor came with is all that is known of them.
    """
    value = st.session_state.get(key, st.session_state[_CAME_WITH].get(key))
    if value in known and key not in st.query_params:
        st.session_state[key] = value


def _segments(label: str, options: list[str], default: str, *, help: str | None = None) -> None:
    st.segmented_control(
        label, options, default=default, key=label.lower(), required=True, bind="query-params",
        help=help,
    )  # fmt: skip


def _chosen(origins: tuple[str, ...]) -> tuple[Filters, Unit]:
    """Return what the filters of the frame are set to."""
    chosen = st.session_state.get
    unit: Unit = next((one for one in UNITS if one == chosen("unit")), UNITS[0])
    days = PERIODS.get(chosen("period", "all"))
    return Filters(chosen("module"), chosen("bot"), days, chosen("setup"), origins), unit


# ------------------------------------------------------------------ parts of pages
@contextmanager
def charts_last() -> Iterator[None]:
    """Draw the charts of what runs within at its end, each in its place.

    A browser draws what comes first, and while it draws a chart it shows no text: so the words and
    tables of a page stand before its charts do. On the first page of a session the browser still
    loads what draws either; without a pause it has both before it has shown one, and shows them
    together.
    """
    later: list[Callable[[], None]] = []
    st.session_state[_LATER] = later
    try:
        yield
        if later and _PAUSED not in st.session_state:
            st.session_state[_PAUSED] = True  # also for who goes on meanwhile
            time.sleep(_WORDS_FIRST_S)
    except RerunException:  # all of it is shown anew in a moment
        later.clear()
        raise
    finally:
        for draw in later:
            draw()
    st.session_state[_DRAWN] = st.session_state.get("page")


def chart(
    figure: go.Figure,
    *,
    key: str,
    alt: str,
    on_pick: Callable[[list[Any]], None] | None = None,
) -> None:
    """Show a chart with its sentence for those who do not see it, after the rest of the page.

    Args:
        figure: What is drawn.
        key: Of the chart.
        alt: The sentence.
        on_pick: Called at once with the ``customdata`` of a point that was newly clicked.
    """
    place: Any = st.container()
    if st.session_state.get(_DRAWN) != st.session_state.get("page"):
        # nothing jumps; where the page has been drawn before, its charts stay while they change
        place = place.skeleton(height=figure.layout.height or _CHART_HEIGHT)
    look: dict[str, Any] = {"theme": None, "config": theme.PLOT_CONFIG, "alt": alt}
    if on_pick is not None:
        look |= {"on_select": "rerun", "selection_mode": "points"}
    st.session_state[_LATER].append(lambda: place.plotly_chart(figure, key=key, **look))
    clicked = None if on_pick is None else newly_picked(key)
    if on_pick is not None and clicked is not None:
        on_pick(clicked)


def newly_picked(key: str) -> list[Any] | None:
    """Return the ``customdata`` of the clicked point of a chart, once for each other point."""
    state = st.session_state.get(key)
    points = state["selection"]["points"] if state else []
    now = points[0].get("customdata") if points else None
    before = st.session_state.get(f"{key}-picked")
    st.session_state[f"{key}-picked"] = now
    return None if now == before else now


def section(title: str, caption: str | None = None) -> None:
    """Head a part of a page; what is said of it stands small below."""
    st.subheader(title, anchor=False)
    if caption is not None:
        st.caption(formats.plain(caption, longest=400))


def nothing(said: str, *, height: int | None = None) -> Any:
    """Say why a place is empty; return the box for what to do next."""
    box = st.container(border=True, height=height or "content")
    with box:
        st.text(said)
    return box


def table(frame: pd.DataFrame, *, alt: str, saved_as: str | None = None, **look: Any) -> Any:
    """Show a table without its index; a column that has no label of its own gets its name.

    Args:
        frame: The table.
        alt: For those who do not see it.
        saved_as: Name of the files it is offered as; None where the page offers them elsewhere.
        look: As ``st.dataframe`` takes it.
    """
    named = {
        name: st.column_config.Column(str(name).replace("_", " ").capitalize())
        for name in frame.columns
    }
    columns = {**named, **look.pop("column_config", {})}
    shown = _cleaned(frame, formats.inert)
    state = st.dataframe(shown, hide_index=True, column_config=columns, alt=alt, **look)
    if saved_as is not None:
        downloads(frame, saved_as)
    return state


def _cleaned(frame: pd.DataFrame, clean: Callable[[Any], Any]) -> pd.DataFrame:
    """Return a frame with its texts cleaned; what is a number or a time cannot do harm."""
    texts = [name for name in frame.columns if frame[name].dtype.kind not in "biufMm"]
    return frame.assign(
        **{name: [clean(value) for value in frame[name].to_numpy(object)] for name in texts}
    )


def downloads(frame: pd.DataFrame | Callable[[], pd.DataFrame], name: str) -> None:
    """Offer a table as CSV and Parquet, with no cell that a spreadsheet would run.

    Args:
        frame: The table, or what reads it: nothing is made before somebody asks for it.
        name: Of the file.
    """
    made = frame if callable(frame) else lambda: frame
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "CSV",
            data=_csv(made),
            file_name=f"{name}.csv",
            mime="text/csv",
            on_click="ignore",
            key=f"csv-{name}",
            icon=":material/download:",
            type="tertiary",
        )
        st.download_button(
            "Parquet",
            data=_parquet(made),
            file_name=f"{name}.parquet",
            on_click="ignore",
            key=f"parquet-{name}",
            icon=":material/download:",
            type="tertiary",
        )


def _csv(made: Callable[[], pd.DataFrame]) -> Callable[[], bytes]:
    # every text in quotes: a carriage return within one would begin a row of its own
    return lambda: (
        _cleaned(made(), formats.guarded)
        .to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)
        .encode("utf-8")
    )


def _parquet(made: Callable[[], pd.DataFrame]) -> Callable[[], bytes]:
    def written() -> bytes:
        buffer = io.BytesIO()
        _cleaned(made(), formats.guarded).to_parquet(buffer, index=False)
        return buffer.getvalue()

    return written


def group_of(row: Mapping[Any, Any]) -> Group:
    """Return the setup of a lesson or override."""
    return Group(row["module"], row["pattern_key"], row["action_category"])


def with_lessons(
    cells: pd.DataFrame, dims: tuple[str, ...], lessons: pd.DataFrame, *, narrowed: bool
) -> pd.DataFrame:
    """Return cells with their setup's name, and the posterior of the lesson a cell is.

    A lesson's posterior comes from the search over all scopes, so it is the better number; it
    holds for all trades, so it is left out where filters leave some out.
    """
    named = cells.copy()
    named["setup"] = [
        formats.setup(key, category)
        for key, category in zip(named["pattern_key"], named["action_category"], strict=True)
    ]
    known = {} if narrowed else _lessons_by_scope(lessons)
    conditions = zip(*(named[dim] for dim in dims), strict=True)
    found = [
        known.get((setup, formats.scope(dict(zip(dims, values, strict=True)))))
        for setup, values in zip(named["setup"], conditions, strict=True)
    ]
    named["lesson"] = ["" if lesson is None else lesson["label"] for lesson in found]
    named["q_value"] = float("nan")
    for column, of_lesson in _SHOWN_FOR_CELLS.items():
        named[column] = [
            own if lesson is None else lesson[of_lesson]
            for own, lesson in zip(named[column], found, strict=True)
        ]
    return named


_SHOWN_FOR_CELLS = {
    "q_value": "q_value", "edge": "posterior_mean_rr", "low": "ci_low_rr", "high": "ci_high_rr",
}  # fmt: skip
_OF_CELLS = ["setup", "context", "label", *_SHOWN_FOR_CELLS.values()]


def _lessons_by_scope(lessons: pd.DataFrame) -> dict[tuple[str, str], dict[Any, Any]]:
    standing = lessons["status"].isin(["watch", "proposed", "active", "disabled"])
    rows = lessons.loc[standing & (lessons["lesson_type"] != "level"), _OF_CELLS]
    return {(row["setup"], row["context"]): row for row in rows.to_dict("records")}
