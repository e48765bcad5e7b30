"""Many visitors at once, without the browsers: what the server itself takes.

Twenty Chromium tabs on the machine that also serves them measure the tabs. Here each visitor is
a WebSocket of its own that asks for the page as a browser does, all at the same moment, and reads
until the script has finished: everything the page shows has then been sent.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Crowd:
    """Visitors who came at once.

    Attributes:
        seconds: Of each until its page was complete.
        cpu_s: Seconds of CPU that the server's process took for one of them.
    """

    seconds: list[float]
    cpu_s: float

    @property
    def p95(self) -> float:
        """Seconds that one visitor in twenty waits longer than."""
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(0.95 * len(self.seconds)))]


def first_pages(address: str, server_id: int, n: int) -> Crowd:
    """Open n sessions at once."""
    server = psutil.Process(server_id)
    before = server.cpu_times()
    seconds = asyncio.run(_first_pages(address, n))
    after = server.cpu_times()
    return Crowd(seconds, (after.user + after.system - before.user - before.system) / n)


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
