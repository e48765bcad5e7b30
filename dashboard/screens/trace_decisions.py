"""Audit: who changed what, when, and why?"""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import controls, formats, queries
from dashboard.controls import Page

_KINDS = ("decisions", "kill switch", "rules", "overrides")


def show() -> None:
    """Draw the page."""
    page = controls.open_page("Audit")
    _show_chain(page)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        kinds = st.segmented_control(
            "What", _KINDS, selection_mode="multi", default=list(_KINDS), key="kinds",
            bind="query-params",
        )  # fmt: skip
        wanted = st.text_input("Lesson, person or word", key="find", bind="query-params", width=260)
        people_only = st.toggle("People only", key="people", bind="query-params")
    entries = _entries(page, tuple(kinds or _KINDS))
    if people_only:
        entries = entries[entries["source"] != "job"]
    if wanted:
        text = entries.astype(str).agg(" ".join, axis=1)
        entries = entries[text.str.contains(wanted, case=False, regex=False)]
    if entries.empty:
        controls.nothing("No entry matches. Every decision, every turn of the kill switch, "
                         "every change of who decides, how many approve or a flag, and every "
                         "move of an override is listed here.")  # fmt: skip
        return
    _show_entries(entries)


def _show_chain(page: Page) -> None:
    broken, head, length = queries.read_chain(page.source)
    if broken is None:
        st.badge(
            f"Chain of {formats.plural(length, 'decision')} holds; head {head[:16]}",
            icon=":material/verified:",
            color="green",
            help="Decisions are append-only and chained by SHA-256; keep the head elsewhere and "
            "compare it later.",
        )
    else:
        st.badge(
            f"Decision {broken} was edited, moved or removed", icon=":material/gpp_bad:",
            color="red",
        )  # fmt: skip


def _entries(page: Page, kinds: tuple[str, ...]) -> pd.DataFrame:
    parts: list[pd.DataFrame] = []
    if "decisions" in kinds:
        parts.append(_of_decisions(queries.read_decisions(page.source, None)))
    if "kill switch" in kinds:
        parts.append(_of_switch(queries.read_switch_turns(page.source)))
    if "rules" in kinds:
        parts.append(_of_rules(queries.read_rule_changes(page.source)))
    if "overrides" in kinds:
        parts.append(_of_moves(queries.read_override_moves(page.source)))
    filled = [part for part in parts if not part.empty]
    if not filled:
        return pd.DataFrame(columns=["when", "object", "what", "change", "by", "why", "source"])
    return pd.concat(filled, ignore_index=True).sort_values("when", ascending=False)


def _of_decisions(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "when": rows["decided_at"],
            "object": [
                f"L-{i:04d} v{v}"
                for i, v in zip(rows["lesson_id"], rows["lesson_version"], strict=True)
            ],
            "what": rows["decision"],
            "change": [
                f"status {a if isinstance(a, str) else 'new'} → {b}"
                for a, b in zip(rows["from_status"], rows["to_status"], strict=True)
            ],
            "by": rows["decided_by"],
            "why": rows["reason"],
            "source": rows["source"],
        }
    )


def _of_switch(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "when": rows["changed_at"],
            "object": "kill switch",
            "what": ["on" if on else "off" for on in rows["overrides_on"]],
            "change": [
                "overrides OFF → ON" if on else "overrides ON → OFF" for on in rows["overrides_on"]
            ],
            "by": rows["changed_by"],
            "why": rows["reason"],
            "source": "person",
        }
    )


def _of_rules(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "when": rows["changed_at"],
            "object": [rule.replace("_", " ") for rule in rows["rule"]],
            "what": rows["value_after"],
            "change": rows["value_before"] + " → " + rows["value_after"],
            "by": rows["changed_by"],
            "why": rows["reason"],
            "source": "person",
        }
    )


def _of_moves(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "when": rows["changed_at"],
            "object": [
                f"L-{i:04d} v{v}"
                for i, v in zip(rows["lesson_id"], rows["lesson_version"], strict=True)
            ],
            "what": [f"override {one}" for one in rows["change"]],
            "change": [
                difference(a, b)
                for a, b in zip(rows["levers_before"], rows["levers_after"], strict=True)
            ],
            "by": "materialise_overrides",
            "why": rows["reason"],
            "source": "job",
        }
    )


def difference(before: Any, after: Any) -> str:
    """Return what changed, field by field.

    Examples:
        >>> difference({"size_mult": 1.0}, {"size_mult": 1.02})
        'size ×1.000 → ×1.020'
        >>> difference(None, {"size_mult": 1.02}), difference({"size_mult": 1.02}, None)
        ('size neutral → ×1.020', 'size ×1.020 → neutral')
    """
    old = before if isinstance(before, dict) else {}
    new = after if isinstance(after, dict) else {}
    parts = []
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) == new.get(name):
            continue
        left, right = (
            formats.lever_value(name, one[name], digits=3) if name in one else "neutral"
            for one in (old, new)
        )
        parts.append(f"{formats.lever_name(name)} {left} → {right}")
    return "; ".join(parts)


def _show_entries(entries: pd.DataFrame) -> None:
    for name in ("by", "why", "change", "object"):
        entries[name] = entries[name].map(formats.guarded)
    column = st.column_config
    controls.table(
        entries.head(1000),
        height="content" if len(entries) < 14 else 520,
        alt=f"{len(entries)} entries",
        column_config={
            "when": column.DatetimeColumn("When (UTC)", format="D MMM YYYY HH:mm:ss"),
            "why": column.TextColumn("Why", width="large"),
        },
    )
    st.caption(
        f"The newest {min(len(entries), 1000)} of {formats.count(len(entries))} entries read."
    )
    controls.downloads(entries, "audit")


if __name__ == "__main__":
    show()
