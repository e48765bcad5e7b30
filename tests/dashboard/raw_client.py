"""A client of the pages that is no browser: it sends what it likes over the WebSocket."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.web.server.starlette.starlette_app_utils import (
    create_signed_value,
    generate_xsrf_token_string,
)
from websockets.sync.client import ClientConnection, connect

_WAIT_S = 60


class RawClient:
    """One session: it runs pages and presses buttons by their ids, shown or not."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.buttons: dict[str, str] = {}  # id by label
        self.words: list[str] = []

    def run(self, page: str = "", *, pressed: str | None = None) -> None:
        """Run a page, with a button pressed where one is named by its id."""
        message = BackMsg()
        message.rerun_script.page_name = page
        if pressed is not None:
            widget = message.rerun_script.widget_states.widgets.add()
            widget.id, widget.trigger_value = pressed, True
        else:
            message.rerun_script.query_string = ""
        self._connection.send(message.SerializeToString())
        self._read_until_finished()

    def _read_until_finished(self) -> None:
        self.words = []
        while True:
            message = ForwardMsg()
            message.ParseFromString(self._connection.recv(timeout=_WAIT_S))
            element = message.delta.new_element
            if element.HasField("button"):
                self.buttons[element.button.label] = element.button.id
            for kind in ("text", "heading", "markdown", "alert"):
                if element.HasField(kind):
                    self.words.append(element.__getattribute__(kind).body)
            if message.WhichOneof("type") == "script_finished":
                return


@contextmanager
def raw_client(
    address: str,
    *,
    cookies: Mapping[str, str] | None = None,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[RawClient]:
    """Connect to the pages at an address."""
    sent = dict(headers or {})
    if cookies:
        sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    protocols = ["streamlit", *([token] if token else [])]
    url = address.replace("http", "ws", 1) + "_stcore/stream"
    with connect(url, subprotocols=protocols, additional_headers=sent, max_size=None) as connection:
        yield RawClient(connection)


def logged_in(address: str, cookie_secret: str, claims: Mapping[str, Any]) -> dict[str, Any]:
    """What a browser holds after a login: arguments for ``raw_client``.

    Args:
        address: Of the pages.
        cookie_secret: That the server signs with; any other one is a forgery.
        claims: Of the identity.
    """
    origin = address.rstrip("/")
    payload = json.dumps({**claims, "origin": origin, "is_logged_in": True})
    signed = create_signed_value(cookie_secret, "_streamlit_user", payload).decode()
    token = generate_xsrf_token_string(secrets.token_bytes(16), 1)
    return {
        "cookies": {"_streamlit_user": signed, "_streamlit_xsrf": token},
        "token": token,
        "headers": {"Origin": origin},
    }
