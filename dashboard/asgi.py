"""The server of the pages: compressed answers, and slow imports done before the first visitor.

Start: ``python -m streamlit run dashboard/asgi.py``.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from dashboard.first_page import first_page, first_page_routes
from dashboard.identity import login_secrets
from dashboard.kept_scripts import KeptScripts, compress_named
from dashboard.page_list import PATHS
from learning.settings import Settings

_STATISTICS_AFTER_S = 15.0  # the first visitor has been served by then


@contextlib.asynccontextmanager
async def _imports_first(_app: st.App) -> AsyncIterator[dict[str, Any] | None]:
    threading.Thread(target=compress_named, args=(first_page(),), daemon=True).start()
    import pandas
    import plotly.graph_objects

    from dashboard import edge_queries, lesson_card

    for module in (pandas, plotly.graph_objects, edge_queries, lesson_card):
        assert module is not None
    _keep_for_good()
    later = threading.Timer(_STATISTICS_AFTER_S, _load_statistics)
    later.daemon = True
    later.start()
    yield None
    later.cancel()


def _keep_for_good() -> None:
    """Take what was loaded out of the collector's sight.

    Looking for garbage through all that the libraries made takes a fifth of a second in which no
    visitor is served.
    """
    gc.collect()
    gc.freeze()


def _load_statistics() -> None:
    """Load what some panels need, when nobody waits for it: scipy takes seconds."""
    from learning.overrides import effect_path, replay

    assert effect_path is not None
    assert replay is not None
    _keep_for_good()


def _show_failure(error: Exception) -> bool:
    from dashboard import controls

    return controls.show_failure(error)


app = st.App(
    Path(__file__).with_name("app.py"),
    secrets=login_secrets(Settings.from_env().home),
    on_script_error=_show_failure,
    lifespan=_imports_first,
    routes=first_page_routes(PATHS),
    middleware=[
        Middleware(KeptScripts),
        Middleware(GZipMiddleware, minimum_size=1000, compresslevel=5),
    ],
)
