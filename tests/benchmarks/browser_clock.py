"""What a visitor sees when: times taken inside a real Chromium that nobody debugs.

A tab that a debugger is attached to, as every driver of browsers attaches one, is not what a
visitor has: whatever is loaded is parsed again to know its lines, which takes a second and more of
a cold page. So the clock is an extension of the browser, equal for every page it looks at, and
what it saw comes by HTTP.
"""

from __future__ import annotations

import json
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.dashboard.browsing import ARGUMENTS, CHROMIUM

_LONGEST_S = 60
_FULL_SCREEN = ("--screen-info={1440x900}", "--kiosk")  # the page has all of it
_BROWSER_STARTS_S = 5  # its own windows load scripts of their own before
_MANIFEST = {
    "manifest_version": 3,
    "name": "clock",
    "version": "1",
    "content_scripts": [
        {"matches": ["http://127.0.0.1/*"], "js": ["clock.js"], "run_at": "document_start"}
    ],
}
# Counts what is visible every few frames and keeps the time at which each count last grew; a page
# is done when it has said so and nothing new came for a while.
_CLOCK = """
const HOME = "__HOME__", SETTLED_MS = 2500;
const MARKS = '.scatterlayer .trace, .heatmaplayer image, .barlayer .trace, .plot path, ' +
  '.plot image';
const all = selector => [...document.querySelectorAll(selector)];
const size = e => { const b = e.getBoundingClientRect(); return b.width > 20 && b.height > 20; };
const counts = () => ({
  title: all('h1').filter(e => e.innerText.trim()).length ? 1 : 0,
  text: all('[data-testid=stMetric], [data-testid=stMarkdown], [data-testid=stHeading], ' +
    '[data-testid=stCaptionContainer]').length,
  table: all('[data-testid=stDataFrame] canvas').filter(size).length,
  charts: new Set(all('.js-plotly-plot .main-svg').filter(size)
    .map(e => e.closest('.js-plotly-plot')).filter(e => e.querySelector(MARKS))).size,
});
const seen = {title: 0, text: 0, table: 0, charts: 0}, at = {};
const busy = () => document.querySelector('[data-test-script-state=running], ' +
  '[data-testid^=stSkeleton], [data-testid=stStatusWidget]');
const tell = async () => {
  const loaded = ['navigation', 'resource'].flatMap(kind => performance.getEntriesByType(kind));
  await fetch(HOME + 'seen', {method: 'POST', body: JSON.stringify({
    at, n_charts: seen.charts, n_webgl: all('.gl-canvas-focus').length,
    n_bytes: loaded.reduce((sum, one) => sum + one.transferSize, 0),
  })});
  location.href = HOME;
};
const look = () => {
  const now = counts(), t = performance.now();
  for (const name of Object.keys(now))
    if (now[name] > seen[name]) { seen[name] = now[name]; at[name] = t; }
  if (at.title && t - Math.max(...Object.values(at)) > SETTLED_MS && !busy()) tell();
  else setTimeout(() => requestAnimationFrame(look), 40);  // in every frame it would slow them down
};
if (location.href === HOME)
  fetch(HOME + 'next').then(next => next.text()).then(url => { location.href = url; });
else {
  performance.setResourceTimingBufferSize(2000);
  requestAnimationFrame(look);
}
"""


@dataclass(frozen=True, slots=True)
class Visible:
    """Seconds until the last of each was there; None where a page has none.

    Attributes:
        n_charts: Charts.
        n_webgl: Those of them that are drawn by WebGL.
        fetched_mb: Compressed as it comes; what comes by the socket is not in it.
    """

    title: float | None
    text: float | None
    table: float | None
    charts: float | None
    n_charts: int
    n_webgl: int
    fetched_mb: float

    @property
    def all(self) -> float:
        """Seconds until everything was there."""
        return max(one or 0.0 for one in (self.title, self.text, self.table, self.charts))


class _Clock(ThreadingHTTPServer):
    """Tells the browser where to go next, and hears what it saw there."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.next: queue.Queue[str] = queue.Queue()
        self.seen: queue.Queue[dict[str, Any]] = queue.Queue()
        self.waits = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Answer(BaseHTTPRequestHandler):
    server: _Clock

    def do_GET(self) -> None:
        if self.path == "/next":
            self.server.waits.set()
            self._say("text/plain", self.server.next.get())
        else:
            self._say("text/html", "<!doctype html><title>clock</title>")

    def do_POST(self) -> None:
        told = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.put(json.loads(told))
        self._say("text/plain", "")

    def _say(self, kind: str, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Visitor:
    """Somebody with one tab, who looks at one page after the other."""

    def __init__(self, clock: _Clock) -> None:
        self._clock = clock

    def visit(self, url: str) -> Visible:
        """Open a page and wait until nothing new appears; return when what was there.

        Raises:
            TimeoutError: If it was not complete after a minute.
        """
        self._clock.next.put(url)
        try:
            found = self._clock.seen.get(timeout=_LONGEST_S)
        except queue.Empty:
            raise TimeoutError(f"{url} was not complete within {_LONGEST_S} s") from None
        at = {name: value / 1e3 for name, value in found["at"].items()}
        return Visible(
            at.get("title"), at.get("text"), at.get("table"), at.get("charts"),
            found["n_charts"], found["n_webgl"], found["n_bytes"] / 1e6,
        )  # fmt: skip


@contextmanager
def visitor() -> Iterator[Visitor]:
    """A visitor with an empty cache, in a browser that has started and is otherwise idle.

    Raises:
        TimeoutError: If the browser does not come up within a minute.
    """
    clock = _Clock()
    threading.Thread(target=clock.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        extension = Path(folder) / "clock"
        extension.mkdir()
        (extension / "manifest.json").write_text(json.dumps(_MANIFEST))
        (extension / "clock.js").write_text(_CLOCK.replace("__HOME__", clock.address))
        command = [
            str(CHROMIUM), "--headless=new", f"--user-data-dir={folder}/profile",
            f"--load-extension={extension}", *_FULL_SCREEN, *ARGUMENTS, clock.address,
        ]  # fmt: skip
        browser = None
        try:
            browser = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            if not clock.waits.wait(_LONGEST_S):
                raise TimeoutError(f"{CHROMIUM} did not ask for a page within {_LONGEST_S} s")
            time.sleep(_BROWSER_STARTS_S)
            yield Visitor(clock)
        finally:
            clock.shutdown()
            clock.server_close()
            if browser is not None:
                _end(browser)


def _end(browser: subprocess.Popen[bytes]) -> None:
    browser.terminate()
    try:
        browser.wait(30)
    except subprocess.TimeoutExpired:
        browser.kill()
