"""The frame of all pages: what there is, and where it stands in the sidebar.

Start: ``python -m streamlit run dashboard/app.py`` (plain ``streamlit run`` does not see the
packages beside this folder).
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard import controls
from dashboard.page_list import PAGES, PageOf

ICON = str(Path(__file__).with_name("icon.png"))  # of our own: a named one is fetched elsewhere


def page_of(one: PageOf) -> st.Page:
    """Return a page as Streamlit wants it."""
    return st.Page(
        f"screens/{one.screen}.py",
        title=one.title,
        icon=None if one.icon is None else f":material/{one.icon}:",
        url_path=one.path or None,
        default=not one.path,
        visibility="visible" if one.icon else "hidden",
    )


def main() -> None:
    """Draw the page that is asked for, within the frame of all."""
    st.set_page_config(page_title="Edgekeeper", page_icon=ICON, layout="wide")
    page = st.navigation({group: [page_of(one) for one in pages] for group, pages in PAGES.items()})
    controls.show_frame(page.title)
    with controls.charts_last():
        page.run()


if __name__ == "__main__":  # as Streamlit runs it
    main()
