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
        received_mb: Megabytes that one of them received by its socket.
    """

    seconds: list[float]
    cpu_s: float
    received_mb: float

    @property
    def p95(self) -> float:
        """Seconds that one visitor in twenty waits longer than."""
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(0.95 * len(self.seconds)))]


def first_pages(address: str, server_id: int, n: int) -> Crowd:
    """Open n sessions at once."""
    server = psutil.Process(server_id)
    before = server.cpu_times()
    seconds, n_bytes = zip(*asyncio.run(_first_pages(address, n)), strict=True)
    after = server.cpu_times()
    cpu_s = after.user + after.system - before.user - before.system
    return Crowd(list(seconds), cpu_s / n, sum(n_bytes) / n / 1e6)


async def _first_pages(address: str, n: int) -> list[tuple[float, int]]:
    url = address.replace("http", "ws", 1) + "_stcore/stream"
    return list(await asyncio.gather(*(_first_page(url) for _ in range(n))))


async def _first_page(url: str) -> tuple[float, int]:
    """Return the seconds until a page was complete, and the bytes that came by the socket."""
    began, n_bytes = time.perf_counter(), 0
    async with asyncio.timeout(_TIMEOUT_S):
        async with websockets.connect(url, max_size=None, subprotocols=["streamlit"]) as socket:
            ask = BackMsg()
            ask.rerun_script.query_string = ""
            await socket.send(ask.SerializeToString())
            async for message in socket:
                n_bytes += len(message)
                answer = ForwardMsg()
                answer.ParseFromString(message)
                if answer.WhichOneof("type") == "script_finished":
                    return time.perf_counter() - began, n_bytes
    raise ConnectionError("the server ended the session before the page was complete")
