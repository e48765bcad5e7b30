"""How long a press takes: from the press to what it shows, taken inside the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.dashboard.browsing import WAIT_MS

_LONGEST_S = 20  # a press that leads to nothing
# Seconds from the next press of the mouse to the first frame in which a thing is there.
_AFTER_PRESS = """
([there, selector, longest]) => {
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
_SETTLED_MS = 3_000


def new_tab(browser: Any) -> Any:
    """A tab of a visitor with an empty cache."""
    tab = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    tab.set_default_timeout(WAIT_MS)
    return tab


def open_page(tab: Any, url: str) -> None:
    """Open a page and wait until it is at rest."""
    tab.goto(url)
    tab.wait_for_selector("h1")
    tab.wait_for_function(
        "!document.querySelector('[data-test-script-state=running], [data-testid^=stSkeleton]')"
    )
    tab.wait_for_timeout(_SETTLED_MS)


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
