"""The scripts of the pages, compressed once for all visitors instead of at every request.

They never change while the server runs, and a browser that has them does not ask again; but one
that comes for the first time waits for nine megabytes to be compressed by the process that serves
everybody else too.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

import streamlit
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

_SCRIPTS: Final = Path(streamlit.__file__).parent / "static" / "static" / "js"
_NAMES: Final = frozenset(path.name for path in _SCRIPTS.glob("*.js"))
_PREFIX: Final = "/static/js/"
_FOR_A_YEAR: Final = {
    "Content-Encoding": "gzip",
    "Vary": "Accept-Encoding",
    "Cache-Control": "public, immutable, max-age=31536000",  # a name has the hash of its content
}


@cache
def compressed(name: str) -> bytes:
    """Return one of Streamlit's scripts, compressed."""
    return gzip.compress((_SCRIPTS / name).read_bytes(), compresslevel=6, mtime=0)


def compress_named(document: str) -> None:
    """Compress what a document names, so that the first visitor finds it done.

    Other threads go on meanwhile: compressing does not hold them up.
    """
    for name in _named_in(document):
        compressed(name)


def _named_in(document: str) -> Iterable[str]:
    found = re.findall(r"static/js/([\w.\-]+\.js)", document)
    return (name for name in dict.fromkeys(found) if name in _NAMES)


class KeptScripts:
    """Answers for Streamlit's scripts; everything else goes on to the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        name = _asked_for(scope)
        if name is None:
            await self._app(scope, receive, send)
            return
        answer = Response(compressed(name), media_type="text/javascript", headers=_FOR_A_YEAR)
        await answer(scope, receive, send)


def _asked_for(scope: Scope) -> str | None:
    """Return the script that a request asks for compressed; None where it asks for no such."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    name = str(scope["path"]).removeprefix(_PREFIX)
    if name not in _NAMES or not str(scope["path"]).startswith(_PREFIX):
        return None
    return name if "gzip" in Headers(scope=scope).get("accept-encoding", "") else None
