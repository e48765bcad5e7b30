"""Many visitors at once, without the browsers: what the server itself takes.

Twenty Chromium tabs on the machine that also serves them measure the tabs. Here each visitor is
a WebSocket of its own that asks for the page as a browser does, all at the same moment, and reads
until the script has finished: everything the page shows has then been sent.
"""

from __future__ import annotations

import asyncio
import time

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

_TIMEOUT_S = 120


def first_pages(address: str, n: int) -> list[float]:
    """Open n sessions at once; return the seconds each took until its page was complete."""
    return asyncio.run(_first_pages(address, n))


async def _first_pages(address: str, n: int) -> list[float]:
    url = address.replace("http", "ws", 1) + "_stcore/stream"
    return list(await asyncio.gather(*(_first_page(url) for _ in range(n))))


async def _first_page(url: str) -> float:
    began = time.perf_counter()
    async with asyncio.timeout(_TIMEOUT_S):
        async with websockets.connect(url, max_size=None, subprotocols=["streamlit"]) as socket:
            ask = BackMsg()
            ask.rerun_script.query_string = ""
            await socket.send(ask.SerializeToString())
            async for message in socket:
                answer = ForwardMsg()
                answer.ParseFromString(message)
                if answer.WhichOneof("type") == "script_finished":
                    return time.perf_counter() - began
    raise ConnectionError("the server ended the session before the page was complete")
