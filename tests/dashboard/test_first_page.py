"""What a browser gets first: a document that knows its address, and scripts compressed once."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import streamlit
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from dashboard.first_page import first_page, first_page_routes
from dashboard.kept_scripts import KeptScripts
from dashboard.page_list import PATHS

STATIC = Path(streamlit.__file__).parent / "static"
INDEX = next(path.name for path in (STATIC / "static" / "js").glob("index.*.js"))


@pytest.fixture
def client() -> TestClient:
    async def other(_request: object) -> PlainTextResponse:
        return PlainTextResponse("from the application")

    routes = [*first_page_routes(PATHS), Route("/{rest:path}", other)]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(KeptScripts)]))


def test_the_document_names_the_server_and_what_charts_and_tables_need() -> None:
    head = first_page().partition("</head>")[0]
    assert 'BACKEND_BASE_URL: new URL("./", window.location.href).href' in head
    assert head.index("BACKEND_BASE_URL") < head.index('type="module"')
    for name in ("PlotlyChart", "DataFrame"):
        assert f'<link rel="modulepreload" crossorigin href="./static/js/{name}.' in head


def test_what_stands_for_a_chart_keeps_still() -> None:
    assert '[data-testid^="stSkeleton"] { animation: none' in first_page().partition("</head>")[0]


@pytest.mark.parametrize("path", PATHS)
def test_every_page_has_the_document_at_its_address(client: TestClient, path: str) -> None:
    answer = client.get(f"/{path}")
    assert answer.text == first_page()
    assert answer.headers["cache-control"] == "no-cache"


def test_a_script_comes_compressed_and_whole_and_may_be_kept(client: TestClient) -> None:
    answer = client.get(f"/static/js/{INDEX}")
    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.content == (STATIC / "static" / "js" / INDEX).read_bytes()
    sent = int(answer.headers["content-length"])
    assert sent < len(answer.content) / 2
    assert sent == len(gzip.compress(answer.content, compresslevel=6, mtime=0))


@pytest.mark.parametrize(
    "path", ["/static/js/../../../../config.py", "/static/js/none.js", f"/{INDEX}", "/edge/x.js"]
)
def test_what_is_no_script_goes_on_to_the_application(client: TestClient, path: str) -> None:
    assert client.get(path).text == "from the application"


def test_who_cannot_read_compressed_scripts_gets_them_from_the_application(
    client: TestClient,
) -> None:
    plain = client.get(f"/static/js/{INDEX}", headers={"Accept-Encoding": "identity"})
    assert plain.text == "from the application"
