"""What a visitor sees when: times taken inside a real Chromium, from the first request on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.dashboard.browsing import WAIT_MS

_SETTLED_MS = 2_500  # without a new element a page is done
_LONGEST_S = 20  # a press that leads to nothing
_ASKED_EVERY_MS = 250  # in every frame it would hold up what it waits for
# Counts what is visible every few frames and keeps the time at which each count last grew.
_CLOCK = """
(() => {
  const seen = {title: 0, text: 0, table: 0, chart: 0};
  const at = {};
  const size = e => { const b = e.getBoundingClientRect(); return b.width > 20 && b.height > 20; };
  const counts = () => ({
    title: [...document.querySelectorAll('h1')].filter(e => e.innerText.trim()).length ? 1 : 0,
    text: document.querySelectorAll(
      '[data-testid=stMetric], [data-testid=stMarkdown], [data-testid=stHeading], ' +
      '[data-testid=stCaptionContainer]').length,
    table: [...document.querySelectorAll('[data-testid=stDataFrame] canvas')].filter(size).length,
    chart: [...document.querySelectorAll('.js-plotly-plot .main-svg')].filter(size)
      .map(e => e.closest('.js-plotly-plot'))
      .filter((e, i, all) => all.indexOf(e) === i && e.querySelector(
        '.scatterlayer .trace, .heatmaplayer image, .barlayer .trace, .plot path, .plot image'
      )).length,
  });
  const look = () => {
    const now = counts();
    for (const name of Object.keys(now))
      if (now[name] > seen[name]) { seen[name] = now[name]; at[name] = performance.now(); }
    // a look in every frame would slow down what it times
    if (!window.__clock.stopped) setTimeout(() => requestAnimationFrame(look), 40);
  };
  window.__clock = {seen, at};
  requestAnimationFrame(look);
})();
"""


# Seconds from the next press of the mouse to the first frame in which a thing is there.
_AFTER_PRESS = """
([there, selector, longest]) => {
  window.__clock.stopped = true;  // looking at everything in every frame takes time of its own
  const texts = () => [...document.querySelectorAll(selector)].map(e => e.textContent).join('|');
  const before = texts();
  const found = {
    other: () => texts() !== before,
    shown: () => [...document.querySelectorAll(selector)].some(e => e.getClientRects().length),
  }[there];
  window.__since = new Promise((resolve, reject) => addEventListener('pointerdown', () => {
    const began = performance.now();
    const look = () => {
      const seconds = (performance.now() - began) / 1e3;
      if (found()) resolve(seconds);
      else if (seconds > longest) reject(new Error(`${selector}: not ${there} in ${longest} s`));
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  }, {once: true, capture: true}));
}
"""


@dataclass(frozen=True, slots=True)
class Visible:
    """Seconds until the last of each was there; None where a page has none."""

    title: float | None
    text: float | None
    table: float | None
    charts: float | None
    n_charts: int
    n_webgl: int
    wire_mb: float

    @property
    def all(self) -> float:
        """Seconds until everything was there."""
        return max(one or 0.0 for one in (self.title, self.text, self.table, self.charts))


def new_tab(context: Any) -> Any:
    """A tab whose clock runs from the first request on."""
    tab = context.new_page()
    tab.set_default_timeout(WAIT_MS)
    tab.add_init_script(_CLOCK)
    return tab


def new_context(browser: Any) -> Any:
    """A visitor with an empty cache."""
    return browser.new_context(viewport={"width": 1440, "height": 900})


def visit(tab: Any, url: str) -> Visible:
    """Open a page and wait until nothing new appears; return when what was there."""
    wire = WireBytes(tab)
    tab.goto(url)
    tab.wait_for_function(
        "settled => window.__clock.at.title && !document.querySelector("
        "'[data-test-script-state=running], [data-testid=stSkeleton], [data-testid=stStatusWidget]"
        "') && performance.now() - Math.max(...Object.values(window.__clock.at)) > settled",
        arg=_SETTLED_MS,
        polling=_ASKED_EVERY_MS,
    )
    clock = tab.evaluate("window.__clock")
    at = {name: value / 1e3 for name, value in clock["at"].items()}
    n_webgl = tab.evaluate("document.querySelectorAll('.gl-canvas-focus').length")
    return Visible(
        at.get("title"), at.get("text"), at.get("table"), at.get("chart"),
        clock["seen"]["chart"], n_webgl, wire.taken_mb(),
    )  # fmt: skip


def seconds_until(tab: Any, click: Callable[[], None], there: str, selector: str) -> float:
    """Click, and return the seconds from the press to the first frame in which a thing is there.

    They are taken inside the page: to ask it from outside holds it up.

    Args:
        tab: The page.
        click: Clicks once.
        there: ``other`` words in what the selector finds, or something of it ``shown``.
        selector: Of elements.

    Raises:
        playwright.sync_api.Error: If it is not there after 20 s.
    """
    tab.evaluate(_AFTER_PRESS, [there, selector, _LONGEST_S])
    click()
    return float(tab.evaluate("window.__since"))


class WireBytes:
    """What comes over the wire into a tab, compressed as it comes."""

    def __init__(self, tab: Any) -> None:
        self._n = 0.0
        self._session = tab.context.new_cdp_session(tab)
        self._session.send("Network.enable")
        self._session.on("Network.loadingFinished", self._loaded)
        self._session.on("Network.webSocketFrameReceived", self._received)

    def _loaded(self, event: dict[str, Any]) -> None:
        self._n += event["encodedDataLength"]

    def _received(self, event: dict[str, Any]) -> None:
        self._n += len(event["response"]["payloadData"])

    def taken_mb(self) -> float:
        """Stop listening, which slows the tab down, and return the megabytes so far."""
        self._session.detach()
        return self._n / 1e6
