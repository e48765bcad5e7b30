"""Lessons as rows, the same columns on every page."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import formats


def lesson_table(lessons: pd.DataFrame) -> pd.DataFrame:
    """Return what is shown of lessons, safe to copy into a spreadsheet."""
    shown = pd.DataFrame(
        {
            "lesson": [
                f"/lesson?id=L-{i:04d}&v={v}"
                for i, v in zip(lessons["id"], lessons["version"], strict=True)
            ],
            "setup": [formats.guarded(text) for text in lessons["setup"]],
            "context": [formats.guarded(text) for text in lessons["context"]],
            "edge": lessons["posterior_mean_rr"].round(2).to_numpy() + 0.0,
            "interval": [
                formats.bracketed(low, high)
                for low, high in zip(lessons["ci_low_rr"], lessons["ci_high_rr"], strict=True)
            ],
            "n": lessons["n"].to_numpy(),
            "q": [formats.q_text(q) for q in lessons["q_value"]],
            "half_life": [
                formats.NOTHING if pd.isna(days) else f"{days:.0f}"
                for days in lessons["half_life_days"]
            ],
            "change": [formats.guarded(text) for text in lessons["change"]],
            "value": lessons["value_rr"].round(1).to_numpy(),
            "outcome": lessons["outcome"].to_numpy(),
            "found": lessons["discovered_at"].to_numpy(),
        }
    )
    return shown.reset_index(drop=True)


def lesson_columns(*, setup: int | None = None, context: int = 150) -> dict[str, Any]:
    """Return how the columns of lessons look: units in the head, numbers to the right.

    Args:
        setup: Width of the setups, pixels; None: as wide as they are.
        context: Width of the contexts, pixels.
    """
    column = st.column_config
    return {
        "lesson": column.LinkColumn(
            "Lesson",
            display_text=r"id=(L-\d+)",
            width=72,
            pinned=True,
            help="Opens the lesson.",
        ),
        "setup": column.TextColumn("Setup", width=setup),
        "context": column.TextColumn("Context", width=context),
        "edge": column.NumberColumn(
            "Edge (R)", format="%+.2f", help="Shrunk, per trade, against the mean of its setup."
        ),
        "interval": column.TextColumn("95 % (R)", alignment="right"),
        "n": column.NumberColumn("Trades", format="%d"),
        "q": column.TextColumn(
            "q",
            alignment="right",
            help="Accepted share of false lessons at which it is still one; "
            "pays for the whole search.",
        ),
        "half_life": column.TextColumn("Half-life (d)", alignment="right"),
        "outcome": column.TextColumn("Outcome"),
        "change": column.TextColumn("Change", width="large"),
        "value": column.NumberColumn(
            "At stake (R)", format="%.1f", help="Cautious quartile of the edge times its trades."
        ),
        "found": column.DatetimeColumn("Found (UTC)", format="D MMM YYYY"),
    }
