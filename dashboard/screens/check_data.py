"""Data: can the input be trusted?"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import controls, data_queries, formats, queries
from dashboard.controls import Page
from dashboard.figures.context_drift import THRESHOLD, context_drift, draw_context_drift
from dashboard.figures.missing_values import draw_missing_values, missing_values
from dashboard.figures.trades_per_day import draw_trades_per_day, trades_per_day
from dashboard.import_form import show_import_form

_WORDS = {
    "action_strand": "the bot recorded the action itself",
    "own_fields": "the closed trade named pattern and scope",
    "reconstructed": "guessed from an older bot's action context",
}


def show() -> None:
    """Draw the page."""
    page = controls.open_page("Data", jobs=("ingest_strands",))
    inbox = queries.read_inbox(page.source)
    days = data_queries.read_days(page.source, page.settings.every_dimension())
    counts = data_queries.trade_counts(days, page.health.state.outcome)
    if page.filters.bot is not None:
        counts = counts[counts["bot"] == page.filters.bot]
    if not inbox["strands"]:
        controls.nothing(
            "The inbox is empty. Import closed trades here or by ./run import path/to/trades, or "
            "let a bot record them."
        )
        controls.section("Import a file")
        show_import_form(page)
        return
    _show_indicators(page, inbox, counts)
    with st.expander("Import a file", expanded="import-files" in st.session_state):
        show_import_form(page)
    _show_days(page, counts)
    _show_missing_and_drift(page)
    left, right = st.columns([1, 1], gap="medium")
    with left:
        _show_provenance(data_queries.provenance_counts(days))
    with right:
        _show_origins(counts)
    _show_refused(page)
    _show_imports(page)


def _show_days(page: Page, counts: pd.DataFrame) -> None:
    controls.section("Trades per day, by bot")
    if counts.empty:
        controls.nothing("No closed trade yet.")
        return
    shown = trades_per_day(counts)
    controls.chart(draw_trades_per_day(shown, page.palette), key="days", alt=shown.alt)


def _show_missing_and_drift(page: Page) -> None:
    dims = page.settings.dimensions("dm" if page.filters.module == "dm" else "pm")
    asked = page.source, dims, page.filters.bot, page.settings.every_dimension()
    counted = data_queries.read_missing(*asked)
    if counted.empty:
        return
    left, right = st.columns([3, 2], gap="medium")
    with left:
        controls.section("Missing values", "Share of entries without the field, by close.")
        lacks = missing_values(counted)
        controls.chart(draw_missing_values(lacks, page.palette), key="missing", alt=lacks.alt)
    with right:
        controls.section(
            "Drift of the context",
            f"The last {data_queries.RECENT_DAYS} days against all before; beyond {THRESHOLD} it "
            "is another population.",
        )
        moved = context_drift(data_queries.read_levels(*asked))
        if moved is None:
            controls.nothing("Fewer than 30 trades on one side: nothing to compare yet.")
            return
        controls.chart(draw_context_drift(moved, page.palette), key="drift", alt=moved.alt)


def _show_indicators(page: Page, inbox: dict[str, int], counts: pd.DataFrame) -> None:
    n, without = int(counts["n"].sum()), int(counts["n_without"].sum())
    whole = inbox["ingested"] + inbox["quarantined"] + inbox["ignored"] + inbox["pending"]
    balanced = "every strand accounted for" if whole == inbox["strands"] else "accounts differ"
    last = page.health.last_trade_at
    numbers = (
        ("Trades", formats.count(n), f"last {formats.ago(last, page.health.now)}"),
        ("Strands", formats.count(inbox["strands"]), balanced),
        ("Quarantined", formats.count(inbox["quarantined"]), "with their reasons below"),
        ("Pending", formats.count(inbox["pending"]), "not ingested yet"),
        ("Without outcome", formats.count(without), page.outcome),
    )
    with st.container(horizontal=True, gap="small"):
        for label, value, told in numbers:
            st.metric(label, value, delta=told, delta_arrow="off", delta_color="off", border=True)


def _show_provenance(found: pd.DataFrame) -> None:
    controls.section("Where pattern and scope come from")
    total = max(int(found["n"].sum()), 1)
    table = pd.DataFrame(
        {
            "provenance": found["provenance"],
            "events": found["n"],
            "share": found["n"] / total,
            "means": [_WORDS.get(one, "") for one in found["provenance"]],
        }
    )
    column = st.column_config
    controls.table(
        table,
        alt="Events by provenance",
        column_config={
            "events": column.NumberColumn("Events", format="%d"),
            "share": column.ProgressColumn("Share", min_value=0, max_value=1, format="percent"),
        },
    )
    controls.downloads(table, "provenance")


def _show_origins(counts: pd.DataFrame) -> None:
    controls.section("Trades by bot and origin")
    by = counts.groupby(["bot", "origin"])[["n", "n_without"]].sum().reset_index()
    by["bot"] = by["bot"].map(formats.guarded)
    named = by.rename(columns={"n": "trades", "n_without": "without outcome"})
    controls.table(named, alt="Trades by bot and origin")
    controls.downloads(named, "trades-by-origin")


def _show_refused(page: Page) -> None:
    controls.section("What was not ingested")
    refused = queries.read_refused(page.source)
    if refused.empty:
        controls.nothing("Nothing was quarantined or ignored.")
        return
    for name in ("reason", "bot", "trade_id"):
        refused[name] = refused[name].map(formats.guarded)
    controls.table(refused, height=260, alt=f"{len(refused)} strands with reasons")
    controls.downloads(refused, "quarantined")


def _show_imports(page: Page) -> None:
    imports = queries.read_imports(page.source)
    if imports.empty:
        return
    controls.section("Imports", "Every import with who brought it, and what was in the file.")
    reports = list(imports["report"])
    table = pd.DataFrame(
        {
            "imported": imports["imported_at"],
            "source": [formats.guarded(one) for one in imports["source_name"]],
            "format": imports["format"],
            "file": [formats.guarded(one) for one in imports["file_name"]],
            "trades": [_counted(one, "trades_usable") for one in reports],
            "open": [_counted(one, "trades_open") for one in reports],
            "rejected": [_counted(one, "rows_rejected", "trades_rejected") for one in reports],
            "outcomes": [formats.guarded(", ".join(one.get("outcomes") or {})) for one in reports],
            "from": [str(one.get("opened_first") or "")[:10] for one in reports],
            "to": [str(one.get("closed_last") or "")[:10] for one in reports],
            "first_trade": [formats.guarded(one) for one in imports["first_trade"]],
            "by": [formats.guarded(one) for one in imports["imported_by"]],
        }
    )
    controls.table(
        table,
        alt=f"{len(table)} imports",
        column_config={
            "imported": st.column_config.DatetimeColumn("When (UTC)", format="D MMM YYYY HH:mm")
        },
    )
    controls.downloads(table, "imports")
    rejected = [
        {"source": row["source_name"], "imported_at": row["imported_at"], "row": said}
        for row in imports.to_dict("records")
        for said in row["report"].get("rejected_rows") or []
    ]
    if rejected:
        controls.downloads(pd.DataFrame(rejected), "rejected_rows")


def _counted(report: dict[str, object], *names: str) -> int | None:
    """A count of a report, under the first of the names it has had."""
    found = next((report[name] for name in names if name in report), None)
    return found if isinstance(found, int) else None


if __name__ == "__main__":
    show()
