"""Data: can the input be trusted?"""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import controls, formats, queries
from dashboard.controls import Page
from dashboard.figures.trades_per_week import draw_trades_per_week, trades_per_week

_WORDS = {
    "action_strand": "the bot recorded the action itself",
    "own_fields": "the closed trade named pattern and scope",
    "reconstructed": "guessed from an older bot's action context",
}


def show() -> None:
    """Draw the page."""
    page = controls.open_page("Data", jobs=("ingest_strands",))
    inbox = queries.read_inbox(page.source)
    counts = queries.read_trade_counts(page.source, page.health.state.outcome)
    if page.filters.bot is not None:
        counts = counts[counts["bot"] == page.filters.bot]
    if not inbox["strands"]:
        controls.nothing(
            "The inbox is empty. Import closed trades: ./run import path/to/trades, or let a bot "
            "record them."
        )
        return
    _show_indicators(page, inbox, counts)
    controls.section("Trades per week")
    if counts.empty:
        controls.nothing("No closed trade yet.")
    else:
        shown = trades_per_week(counts)
        controls.chart(draw_trades_per_week(shown, page.palette), key="weeks", alt=shown.alt)
    left, right = st.columns([1, 1], gap="medium")
    with left:
        _show_provenance(page)
    with right:
        _show_origins(counts)
    _show_refused(page)
    _show_imports(page)


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


def _show_provenance(page: Page) -> None:
    controls.section("Where pattern and scope come from")
    found = queries.read_provenance(page.source)
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
            "events": column.NumberColumn("Events", format="localized"),
            "share": column.ProgressColumn("Share", min_value=0, max_value=1, format="percent"),
        },
    )


def _show_origins(counts: pd.DataFrame) -> None:
    controls.section("Trades by bot and origin")
    by = counts.groupby(["bot", "origin"])[["n", "n_without"]].sum().reset_index()
    by["bot"] = by["bot"].map(formats.guarded)
    controls.table(
        by.rename(columns={"n": "trades", "n_without": "without outcome"}),
        alt="Trades by bot and origin",
    )


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
    controls.section("Imports")
    table = pd.DataFrame(
        {
            "imported": imports["imported_at"],
            "source": [formats.guarded(one) for one in imports["source_name"]],
            "format": imports["format"],
            "file": [formats.guarded(one) for one in imports["file_name"]],
            "report": [
                formats.guarded(", ".join(f"{k} {v}" for k, v in one.items() if isinstance(v, int)))
                for one in imports["report"]
            ],
            "by": [formats.guarded(one) for one in imports["imported_by"]],
        }
    )
    controls.table(
        table,
        alt=f"{len(table)} imports",
        column_config={"imported": st.column_config.DatetimeColumn(format="D MMM YYYY HH:mm")},
    )


if __name__ == "__main__":
    show()
