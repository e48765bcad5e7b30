"""Tells people what needs them: a job's first failure, its recovery, an alert, a waiting decision.

Goes where EDGEKEEPER_NOTICE_URLS says, by the package ``apprise``; without either, nowhere. The
same thing is told once in six hours, that of a job once in a quarter of a day whatever becomes of
workers, and no more than twenty things a day: who wants to know more reads the page.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from learning.store.job_rows import RunOutcome

log = logging.getLogger("edgekeeper.notices")
Send = Callable[[str], None]
_SAME_AGAIN_S = 6 * 3600.0
_DAY_S = 86400.0
_A_DAY = 20


class Notices:
    """Decides what is worth telling, and tells it from a thread of its own.

    Args:
        send: Sends one sentence; None: nothing is told.
        clock: Seconds; for tests.
    """

    def __init__(self, send: Send | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._send = send
        self._clock = clock
        self._told: dict[str, float] = {}
        self._recent: deque[float] = deque(maxlen=_A_DAY)

    def after_run(
        self, job: str, outcome: RunOutcome, failures_before: int, *, is_again: bool = False
    ) -> None:
        """Tell what a run that has just been closed gives reason to.

        Args:
            job: Its name.
            outcome: How it ended.
            failures_before: Failures in a row before it.
            is_again: Whether the job failed and recovered lately, as any worker has told: one
                that has just been started knows of nothing that was told before.
        """
        for subject, sentence in worth_telling(job, outcome, failures_before, is_again):
            self.tell(subject, sentence)

    def tell(self, subject: str, sentence: str) -> None:
        """Tell a sentence, unless its subject, or too much, was told lately."""
        now = self._clock()
        is_again = now - self._told.get(subject, -_SAME_AGAIN_S) < _SAME_AGAIN_S
        is_flood = len(self._recent) == _A_DAY and now - self._recent[0] < _DAY_S
        if self._send is None or is_again or is_flood:
            return
        self._told[subject] = now
        self._recent.append(now)
        threading.Thread(target=self._sent, args=(sentence,), daemon=True).start()

    def _sent(self, sentence: str) -> None:
        try:
            if self._send is not None:
                self._send(sentence)
        except Exception:  # whatever a messenger raises: a notice must not end the worker
            log.exception("a notice could not be sent")


def worth_telling(
    job: str, outcome: RunOutcome, failures_before: int, is_again: bool = False
) -> list[tuple[str, str]]:
    """Return what to tell of a run, with the subject that is told once.

    Examples:
        >>> worth_telling("mine_pm_lessons", RunOutcome("failed", error="no space"), 0)
        [('mine_pm_lessons failed', 'mine_pm_lessons failed: no space')]
        >>> worth_telling("mine_pm_lessons", RunOutcome("failed", error="no space"), 1)
        []
        >>> worth_telling("mine_pm_lessons", RunOutcome("ok"), 2)
        [('mine_pm_lessons recovered', 'mine_pm_lessons runs again, after 2 failures')]
    """
    changed: Mapping[str, Any] = outcome.changed or {}
    told = []
    if outcome.status in ("failed", "lost") and failures_before == 0 and not is_again:
        told.append((f"{job} failed", f"{job} {outcome.status}: {outcome.error}"))
    if outcome.status == "ok" and failures_before and not is_again:
        times = "failure" if failures_before == 1 else "failures"
        told.append((f"{job} recovered", f"{job} runs again, after {failures_before} {times}"))
    if changed.get("alerts_raised"):
        told.append(
            (
                "alert",
                "A guardrail was crossed: an override may do harm. See Overrides, and decide.",
            )
        )
    if changed.get("unconfirmed"):
        told.append(
            (
                "unconfirmed",
                "A lesson in force failed on the trades since it was found. See Decisions: "
                "disable it?",
            )
        )
    if changed.get("proposed"):
        told.append(("decision", f"{changed['proposed']} lessons wait for a decision."))
    if job == "validate_learning" and changed.get("failed"):
        told.append(("validation", f"{changed['failed']} promises are broken: ./run validate"))
    return told


def messenger(urls: Sequence[str]) -> Send | None:
    """Return what sends to the addresses, None where there are none or ``apprise`` is missing."""
    if not urls:
        return None
    if importlib.util.find_spec("apprise") is None:
        log.warning("EDGEKEEPER_NOTICE_URLS is set, but the package apprise is not installed")
        return None
    apprise = importlib.import_module("apprise")
    services = apprise.Apprise()
    for url in urls:
        services.add(url)

    def send(sentence: str) -> None:
        services.notify(title="Edgekeeper", body=sentence)

    return send
