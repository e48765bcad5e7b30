"""The server of the pages: what the first visitor would wait for is done before one comes.

Start: ``python -m streamlit run dashboard/asgi.py``.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Callable
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

_ANSWERS_WAIT_S = 5.0  # a database that is slow or away does not hold up the server
_REPLAY_AFTER_S = 15.0  # the first visitor has been served by then

log = logging.getLogger("edgekeeper.dashboard")


@contextlib.asynccontextmanager
async def _ready_first(_app: st.App) -> AsyncIterator[dict[str, Any] | None]:
    scripts = threading.Thread(target=compress_named, args=(first_page(),), daemon=True)
    scripts.start()
    import pandas
    import plotly.graph_objects

    from dashboard import first_answers, lesson_card

    for module in (pandas, plotly.graph_objects, lesson_card):
        assert module is not None
    answers = threading.Thread(target=_read, args=(first_answers.read_first_answers,), daemon=True)
    answers.start()
    answers.join(_ANSWERS_WAIT_S)
    scripts.join()
    inspect.stack()  # Streamlit asks for it at its first element, and the first time takes long
    _keep_for_good()
    later = threading.Timer(_REPLAY_AFTER_S, _load_replay)
    later.daemon = True
    later.start()
    yield None
    later.cancel()


def _read(answers: Callable[[], None]) -> None:
    try:
        answers()
    except Exception as error:  # the page itself says what is wrong, to whoever asks
        log.warning("first answers not read: %s", error)


def _keep_for_good() -> None:
    """Take what was loaded out of the collector's sight.

    Looking for garbage through all that the libraries made takes a fifth of a second in which no
    visitor is served.
    """
    gc.collect()
    gc.freeze()


def _load_replay() -> None:
    """Load what a replay needs, when nobody waits for it: scipy takes seconds."""
    from learning.store import replay_rows

    assert replay_rows is not None
    _keep_for_good()


def _show_failure(error: Exception) -> bool:
    from dashboard import controls

    return controls.show_failure(error)


app = st.App(
    Path(__file__).with_name("app.py"),
    secrets=login_secrets(Settings.from_env().home),
    on_script_error=_show_failure,
    lifespan=_ready_first,
    routes=first_page_routes(PATHS),
    middleware=[
        Middleware(KeptScripts),
        Middleware(GZipMiddleware, minimum_size=1000, compresslevel=5),
    ],
)
