"""Open alerts, where a person looks: what was found, the lesson, and who has seen it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from dashboard import commands, formats, lesson_card, queries
from dashboard.controls import Page


def open_alerts(page: Page) -> pd.DataFrame:
    """Return the open alerts of the lessons that the filters leave in, the newest first."""
    return queries.of_filters(queries.read_open_alerts(page.engine), page.filters)


def show_alerts(page: Page, alerts: pd.DataFrame, *, most: int = 10) -> None:
    """Show alerts; who may decide can mark them as seen.

    Args:
        most: How many are listed; of the rest the number is told.
    """
    for alert in alerts.head(most).to_dict("records"):
        _show_alert(page, alert)
    if len(alerts) > most:
        st.caption(f"{formats.plural(len(alerts) - most, 'more open alert')}: see Effects.")


def _show_alert(page: Page, alert: dict[Any, Any]) -> None:
    label = f"L-{alert['lesson_id']:04d}"
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(label, icon=":material/warning:", color="red")
        st.text(_told(page, alert), width="stretch")
        st.page_link(
            "screens/read_lesson.py",
            label=f"Open {label}",
            icon=":material/open_in_new:",
            query_params={"id": label, "v": str(alert["lesson_version"])},
        )
        if page.viewer.may_decide and alert["status"] == "active":
            lesson = {**alert, "id": alert["lesson_id"], "label": label}
            lesson_card.show_disable(page, lesson, place=f"alert-{alert['id']}-")
        if page.viewer.may_decide and pd.isna(alert["seen_at"]):
            st.button(
                "Seen",
                key=f"seen-{alert['id']}",
                icon=":material/visibility:",
                on_click=_mark_seen,
                args=(page.engine, int(alert["id"]), page.viewer.name),
            )


def _told(page: Page, alert: dict[Any, Any]) -> str:
    raised = formats.ago(alert["raised_at"], page.health.now)
    seen = "" if pd.isna(alert["seen_at"]) else f"; seen by {alert['seen_by']}"
    return f"v{alert['lesson_version']}: {alert['message']} ({raised}{seen})"


def _mark_seen(engine: Engine, alert_id: int, actor: str) -> None:
    st.session_state["said"] = commands.mark_seen(engine, alert_id, actor=actor).said
