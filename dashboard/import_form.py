"""The form that imports a file: what it is, what it lacks, its first rows, and one button."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import controls, formats, importing
from dashboard.controls import Page
from dashboard.importing import MAX_UPLOAD_MB, Examined, Upload
from jobs.job import Progress
from learning.importers.import_answers import ImportOption
from learning.importers.import_report import ImportReport
from learning.importers.known_trades import KNOWN_CHOICES, KnownChoice, KnownTrades

_KEY = "import"
_ORIGINS = ("live", "dry_run", "backtest", "simulated")
_MOST_RULES = 12
_KNOWN_WORDS: dict[KnownChoice, str] = {
    "skip": "Leave them out, import the rest",
    "twice": "They are trades of their own: import them too",
}


def show_import_form(page: Page) -> None:
    """Draw the form; the database decides whether this person's import is taken."""
    st.caption(
        "Closed trades, fills or orders of freqtrade, TradingView, MetaTrader, ccxt, Hummingbot, "
        "Interactive Brokers, or a table of your own. It is only read: nothing in it is run."
    )
    files = st.file_uploader(
        f"A file of at most {MAX_UPLOAD_MB} MB, or a table of trades with the table of its actions",
        accept_multiple_files=True,
        max_upload_size=MAX_UPLOAD_MB,
        key=f"{_KEY}-files",
    )
    if not files:
        st.session_state.pop(_KEY, None)
        _show_last_done()
        return
    upload = _upload(files)
    examined = _examined(page, upload)
    if examined.refused is not None:
        _show_refused(examined.refused)
        if examined.recognition is None and not st.session_state.get(f"{_KEY}-said"):
            return
    if examined.recognition is not None:
        _show_recognised(examined)
        _show_options(examined, upload)
    elif st.button("Start again", key=f"{_KEY}-again"):
        st.session_state.pop(f"{_KEY}-said", None)
        st.rerun()
    if examined.report is not None:
        _show_report(page, upload, examined)


def _upload(files: list[Any]) -> Upload:
    """The upload that is being imported; another file begins another one."""
    identity = "/".join(str(file.file_id) for file in files)
    known = st.session_state.get(_KEY)
    if known is None or known.identity != identity:
        named = [(file.name, file.getvalue()) for file in files]
        known = importing.keep_upload(named, identity=identity)
        st.session_state[_KEY] = known
        for rest in ("said", "examined", "done", "known"):
            st.session_state.pop(f"{_KEY}-{rest}", None)
    upload: Upload = known
    return upload


def _examined(page: Page, upload: Upload) -> Examined:
    """What the upload is, read again only when something else is said of it."""
    said = st.session_state.get(f"{_KEY}-said", {})
    question = (upload.identity, tuple(sorted(said.items())))
    kept = st.session_state.get(f"{_KEY}-examined")
    if kept is not None and kept[0] == question:
        known: Examined = kept[1]
        return known
    answers = {key: value for key, value in said.items() if key not in ("bot", "origin")}
    with _progress("Reading") as tell:
        found = importing.examine(
            upload,
            engine=page.engine,
            settings=page.settings,
            name=said.get("bot") or None,
            origin=said.get("origin") or None,
            said=answers,
            progress=tell,
        )
    st.session_state[f"{_KEY}-examined"] = (question, found)
    return found


@contextmanager
def _progress(doing: str) -> Iterator[Progress]:
    """A bar that says how many trades were done, gone at the end."""
    place = st.empty()

    def tell(done: int, total: int | None, what: str) -> None:
        if total:
            share = min(done / total, 1.0)
            place.progress(share, text=f"{doing}: {done:,} of {total:,} {what}")
        else:
            place.caption(f"{doing}: {done:,} {what}")

    place.caption(f"{doing} …")
    yield tell
    place.empty()


def _show_refused(sentence: str) -> None:
    with st.container(border=True):
        st.badge("Not imported", icon=":material/block:", color="red")
        st.text(_short(sentence, longest=600))


def _short(text: str, *, longest: int) -> str:
    """Other people's text for a place that reads no markup: on one line, and not too long."""
    flat = " ".join(text.split())
    return flat if len(flat) <= longest else flat[: longest - 1] + "…"


def _show_recognised(examined: Examined) -> None:
    found = examined.recognition
    assert found is not None
    st.badge(
        formats.plain(f"Recognised: {found.description}", longest=200),
        icon=":material/check_circle:",
        color="green",
    )
    told = [*found.understood, *([examined.remembered] if examined.remembered else [])]
    if told:
        st.text("\n".join(_short(one, longest=300) for one in told))


def _show_options(examined: Examined, upload: Upload) -> None:
    """Ask for what the file lacks: what is required openly, the rest folded away."""
    found = examined.recognition
    assert found is not None
    said = st.session_state.get(f"{_KEY}-said", {})
    optional = [option for option in found.options if not option.required]
    with st.form(f"{_KEY}-options", border=bool(found.missing)):
        values: dict[str, object] = {}
        if found.missing:
            st.text(f"{formats.plural(len(found.missing), 'answer')} needed:")
        for option in found.missing:
            values[option.name] = _asked(option, said)
            st.caption(_plain(option.sentence))
        with st.expander("Name, origin and what else may be said", expanded=False):
            values["bot"] = st.text_input(
                "Bot or account", value=said.get("bot", ""), placeholder=upload.paths[0].stem
            )
            values["origin"] = st.selectbox(
                "Origin",
                _ORIGINS,
                index=_ORIGINS.index(said["origin"]) if said.get("origin") else None,
                placeholder="what the file says",
            )
            for option in optional:
                values[option.name] = _asked(option, said)
        if st.form_submit_button("Apply", type="primary" if found.missing else "secondary"):
            given = {name: value for name, value in values.items() if value not in (None, "")}
            st.session_state[f"{_KEY}-said"] = {**said, **given} if found.missing else given
            st.rerun()


def _asked(option: ImportOption, said: dict[str, Any]) -> object:
    label = option.name.replace("_", " ").capitalize()
    before = said.get(option.name) or option.suggestion
    if option.kind == "choice":
        place = option.choices.index(before) if before in option.choices else None
        return st.selectbox(label, option.choices, index=place, help=_plain(option.sentence))
    return st.text_input(label, value=str(before or ""), help=_plain(option.sentence))


def _plain(sentence: str) -> str:
    """A help text, which would read signs of a file's name as markup."""
    return formats.plain(sentence, longest=300)


def _show_report(page: Page, upload: Upload, examined: Examined) -> None:
    report, shown = examined.report, examined.preview
    assert report is not None
    assert shown is not None
    _show_counts(report)
    if shown.rows:
        frame = pd.DataFrame(list(shown.rows), columns=list(shown.columns)).dropna(
            axis=1, how="all"
        )
        safe = frame.map(formats.guarded)
        for name in ("opened_at", "closed_at"):
            safe[name] = pd.to_datetime(frame[name], utc=True)
        opened, closed = (
            st.column_config.DatetimeColumn(label, format="D MMM YYYY HH:mm")
            for label in ("Opened", "Closed")
        )
        controls.table(
            safe,
            alt=f"The first {len(frame)} trades",
            saved_as="first-trades",
            height=38 + 35 * len(frame),
            column_config={"opened_at": opened, "closed_at": closed},
        )
    _show_rejects(upload, report)
    choice = _asked_of_known(examined.known, report) if examined.known is not None else None
    _show_button(page, upload, examined, report, choice)


def _show_counts(report: ImportReport) -> None:
    no_risk = sum(report.without_risk.values())
    numbers = (
        ("Trades to import", report.trades_usable, f"of {formats.count(report.trades_found)}"),
        ("Rejected rows", report.rows_rejected, "each with its reason"),
        ("Still open", report.trades_open, "skipped"),
        ("Without risk", no_risk, "no R of an initial stop"),
        ("Untagged", report.without_pattern, "no setup named"),
    )
    with st.container(horizontal=True, gap="small"):
        for label, value, told in numbers:
            st.metric(
                label, formats.count(value), delta=told, delta_arrow="off", delta_color="off",
                border=True,
            )  # fmt: skip
    facts = report.sentences()[3 : _MOST_RULES + 8]
    st.text("\n".join(_short(one, longest=200) for one in facts))


def _show_rejects(upload: Upload, report: ImportReport) -> None:
    if not report.rejected_rows:
        return
    st.download_button(
        f"Rejected rows ({formats.count(report.rows_rejected)}), CSV",
        data=upload.rejects.read_bytes,
        file_name="rejected.csv",
        mime="text/csv",
        on_click="ignore",
        icon=":material/download:",
        type="tertiary",
        key=f"{_KEY}-rejects",
    )


def _asked_of_known(known: KnownTrades, report: ImportReport) -> KnownChoice | None:
    """Say which trades are stored under other names; return what the person wants of them."""
    with st.container(border=True):
        st.badge("Known already", icon=":material/content_copy:", color="orange")
        st.text(_short(known.sentence(report.trades_usable), longest=600))
        return st.radio(
            "They would count twice. What is to become of them?",
            KNOWN_CHOICES,
            index=None,
            format_func=lambda choice: _KNOWN_WORDS[choice],
            key=f"{_KEY}-known",
        )


def _show_button(
    page: Page,
    upload: Upload,
    examined: Examined,
    report: ImportReport,
    known: KnownChoice | None,
) -> None:
    done = st.session_state.get(f"{_KEY}-done")
    if done is not None:
        _show_done(done)
        return
    n_left_out = examined.known.n_trades if examined.known and known == "skip" else 0
    n_trades = report.trades_usable - n_left_out
    label = f"Import {formats.plural(n_trades, 'trade')}"
    is_open = examined.known is not None and known is None
    clicked = st.button(
        label,
        type="primary",
        key=f"{_KEY}-go",
        disabled=not page.viewer.may_decide or n_trades <= 0 or is_open,
        help=page.viewer.why_not or ("say above what of known trades" if is_open else None),
    )
    if not clicked:
        return
    with _progress("Importing") as tell:
        done = importing.import_upload(
            upload,
            examined,
            engine=page.engine,
            actor=page.viewer.name,
            progress=tell,
            known=known,
        )
    if not done.is_done:
        _show_refused(done.said)
        return
    st.session_state[f"{_KEY}-done"] = done.said
    st.session_state["said"] = done.said
    st.rerun()


def _show_done(said: str) -> None:
    with st.container(border=True):
        st.badge("Imported", icon=":material/task_alt:", color="green")
        st.text(_short(said, longest=300))
        st.text("A running worker takes them in at once; without one: ./run learn")
        st.page_link("screens/explore_scopes.py", label="Edge map", icon=":material/grid_on:")


def _show_last_done() -> None:
    said = st.session_state.get(f"{_KEY}-done")
    if said is not None:
        _show_done(said)
