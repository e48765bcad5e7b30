"""The frame of all pages: what there is, and where it stands in the sidebar.

Start: ``python -m streamlit run dashboard/app.py`` (plain ``streamlit run`` does not see the
packages beside this folder).
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard import controls

PAGES = {
    "Now": [
        st.Page(
            "screens/see_overview.py", title="Overview", icon=":material/monitoring:", default=True
        ),
        st.Page(
            "screens/review_lessons.py",
            title="Decisions",
            icon=":material/rule:",
            url_path="decisions",
        ),
    ],
    "Evidence": [
        st.Page(
            "screens/explore_scopes.py",
            title="Edge map",
            icon=":material/grid_on:",
            url_path="edge",
        ),
        st.Page(
            "screens/follow_decay.py",
            title="Half-lives",
            icon=":material/hourglass_bottom:",
            url_path="decay",
        ),
        st.Page(
            "screens/compare_factors.py",
            title="Factors",
            icon=":material/hub:",
            url_path="factors",
        ),
        st.Page(
            "screens/weigh_regimes.py",
            title="Regimes",
            icon=":material/partly_cloudy_day:",
            url_path="regimes",
        ),
        st.Page("screens/read_lesson.py", title="Lesson", url_path="lesson", visibility="hidden"),
    ],
    "Control": [
        st.Page(
            "screens/inspect_overrides.py",
            title="Overrides",
            icon=":material/tune:",
            url_path="overrides",
        ),
        st.Page(
            "screens/judge_effects.py",
            title="Effects",
            icon=":material/balance:",
            url_path="effects",
        ),
    ],
    "System": [
        st.Page("screens/watch_jobs.py", title="Jobs", icon=":material/schedule:", url_path="jobs"),
        st.Page("screens/check_data.py", title="Data", icon=":material/database:", url_path="data"),
        st.Page(
            "screens/trace_decisions.py", title="Audit", icon=":material/history:", url_path="audit"
        ),
        st.Page(
            "screens/review_settings.py",
            title="Settings",
            icon=":material/settings:",
            url_path="settings",
        ),
    ],
}

ICON = str(Path(__file__).with_name("icon.png"))  # of our own: a named one is fetched elsewhere

st.set_page_config(page_title="Edgekeeper", page_icon=ICON, layout="wide")
page = st.navigation(PAGES)
controls.show_frame()
page.run()
