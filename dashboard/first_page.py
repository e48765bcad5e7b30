"""The first document a browser gets: Streamlit's own, that knows where it is and what comes next.

Streamlit's page asks below its own address whether the server is there, which a link to one of the
pages answers with two errors in the console; told the address, it asks once. What draws charts
and tables, half of all that is loaded, is named at once, behind what starts the page, not when the
first chart arrives. And what stands for them until then keeps still: where a browser draws without
a GPU, the pulse of a dozen grey boxes takes most of a core from what they wait for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import streamlit
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

_STATIC: Final = Path(streamlit.__file__).parent / "static"
_NEEDED_SOON: Final = ("PlotlyChart", "DataFrame")
_WHERE: Final = """<script>
      window.__streamlit = { BACKEND_BASE_URL: new URL("./", window.location.href).href }
    </script>"""
_STILL: Final = '    <style>[data-testid^="stSkeleton"] { animation: none !important }</style>\n'


def first_page_routes(paths: Sequence[str]) -> list[Route]:
    """Return the routes that answer with the first document, at each address of a page.

    Args:
        paths: Of the pages, without a slash; '' is the one at the root.
    """
    document = first_page()

    async def answer(_request: Request) -> HTMLResponse:
        return HTMLResponse(document, headers={"Cache-Control": "no-cache"})

    return [Route(f"/{path}", answer, methods=["GET", "HEAD"]) for path in paths]


def first_page() -> str:
    """Return Streamlit's document with what it lacks at the head."""
    found = (_STATIC / "index.html").read_text(encoding="utf-8")
    named = found.replace("<head>", f"<head>\n    {_WHERE}", 1)
    soon = "".join(f"    {line}\n" for line in _preloads())
    return named.replace("  </head>", f"{soon}{_STILL}  </head>", 1)


def _preloads() -> list[str]:
    """One line for each script that every page with a chart or a table needs."""
    scripts = _STATIC / "static" / "js"
    return [
        f'<link rel="modulepreload" crossorigin href="./static/js/{path.name}">'
        for name in _NEEDED_SOON
        for path in sorted(scripts.glob(f"{name}.*.js"))
    ]
