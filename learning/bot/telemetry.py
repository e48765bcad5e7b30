"""Telemetry of a bot: what was applied, kept in memory until a background thread writes it."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from learning.domain.levers import LEVERS, finite
from learning.runtime.outcome import Application, Outcome

DEFAULT_CAPACITY: Final = 10_000
_REMEMBERED: Final = 50_000
_NUL: Final = "\x00"


class Telemetry:
    """A bounded buffer between the order path and the database.

    ``record`` is called in the order path: it appends, and neither waits nor raises. What does not
    fit is dropped and counted; the count is part of every heartbeat.
    """

    def __init__(self, *, bot: str, origin: str | None, capacity: int = DEFAULT_CAPACITY) -> None:
        self._bot = bot
        self._origin = origin
        self._capacity = capacity
        self._noted: deque[Outcome] = deque()
        self._rows: list[dict[str, Any]] = []  # keyed already: sent again under the same key
        self._known: OrderedDict[object, None] = OrderedDict()
        self.dropped = 0

    def record(self, outcome: Outcome) -> None:
        """Note an outcome in which an override took part."""
        if len(self._noted) >= self._capacity:
            self.dropped += 1
        else:
            # the caller may go on changing the scope it passed
            self._noted.append(outcome._replace(scope=dict(outcome.scope)))

    def waiting(self, limit: int) -> list[Mapping[str, Any]]:
        """Return up to ``limit`` rows to be written; they stay until ``written`` says so.

        A decision that a bot repeats — same trade, override, revision, arm and levers — is
        written once.
        """
        while self._noted and len(self._rows) < limit:
            outcome = self._noted.popleft()
            for part in outcome.applications:
                if self._is_new(outcome, part):
                    self._rows.append(self._row(outcome, part))
        return list(self._rows[:limit])

    def written(self, n: int) -> None:
        """Forget the first ``n`` rows of ``waiting``."""
        del self._rows[:n]

    def refuse(self, n: int) -> None:
        """Drop and count the first ``n`` rows of ``waiting``: the database will never take them."""
        self.written(n)
        self.dropped += n

    def _is_new(self, outcome: Outcome, part: Application) -> bool:
        override = part.override
        known = (
            outcome.trade_id, override.kind, override.override_id, outcome.generation,
            outcome.revision, outcome.reason, part.arm, tuple(part.levers.items()),
        )  # fmt: skip
        if known in self._known:
            return False
        self._known[known] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return True

    def _row(self, outcome: Outcome, part: Application) -> dict[str, Any]:
        override = part.override
        thresholds = _thresholds(override.thresholds)
        in_force = outcome.reason == "applied" and part.arm != "held_out"
        return {
            "application_key": uuid4(),
            "bot": self._bot,
            "origin": self._origin,
            "module": override.pattern_key.partition(".")[0],
            "trade_id": _storable(outcome.trade_id),
            "pattern_key": override.pattern_key,
            "action_category": override.action_category,
            "override_id": override.override_id,
            "lesson_id": override.lesson.lesson_id,
            "lesson_version": override.lesson.version,
            "latent_factor_id": override.lesson.latent_factor_id,
            "generation": outcome.generation,
            "revision": outcome.revision,
            "scope": _json_scope(outcome.scope),
            "levers_before": {name: LEVERS[name].neutral for name in override.levers},
            "levers_after": {**part.levers, **(thresholds if in_force else {})},
            "levers_would_be": {**part.would_be, **thresholds},
            "arm": part.arm,
            "u": part.u,
            "p": part.p,
            "reason": outcome.reason,
            "decided_at": datetime.fromtimestamp(outcome.decided_on, UTC),
        }


def _thresholds(thresholds: Mapping[str, float]) -> dict[str, float]:
    return {f"signal_thresholds.{name}": value for name, value in thresholds.items()}


def _json_scope(scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a scope that JSON can hold; the bot may have passed anything."""
    clean: dict[str, Any] = {}
    for name, value in scope.items():
        if isinstance(value, str):
            clean[str(_storable(str(name)))] = _storable(value)
        elif finite(value) is not None:
            clean[str(_storable(str(name)))] = value
    return clean


def _storable(text: str | None) -> str | None:
    """Return text that PostgreSQL can hold: no NUL, no half of a surrogate pair."""
    if text is None:
        return None
    return text.replace(_NUL, "�").encode("utf-8", "replace").decode()[:200]
