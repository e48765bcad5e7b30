"""What an adjustment did, and why: handed back with every result and to telemetry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from learning.runtime.override_entry import Override

Arm = Literal["treated", "held_out", "unassigned"]
Reason = Literal[
    "applied",
    "held out",
    "no override",
    "expired",
    "disabled by flag",
    "kill switch",
    "stale config",
    "corrupt config",
    "no config",
    "unusable input",
    "internal error",
]


class Application(NamedTuple):
    """One override's part in an outcome.

    ``levers`` is what it put in force, ``would_be`` what it says without hold-out or outage.
    ``u`` is the trade's number in [0, 1) and ``p`` the probability of treatment; both None
    without a trade id. ``p`` is 1 where the override has nothing that may be held out.
    """

    override: Override
    arm: Arm
    u: float | None
    p: float | None
    levers: Mapping[str, float]
    would_be: Mapping[str, float]


class Outcome(NamedTuple):
    """What applied to one call.

    ``levers`` are those in force, all overrides together, and ``thresholds`` the signal
    thresholds; empty where everything is neutral. ``decided_on`` is in seconds since 1970, UTC.
    """

    reason: Reason
    arm: Arm = "unassigned"
    generation: int | None = None
    revision: int | None = None
    levers: Mapping[str, float] = {}
    thresholds: Mapping[str, float] = {}
    applications: tuple[Application, ...] = ()
    pattern_key: str = ""
    action_category: str = ""
    scope: Mapping[str, Any] = {}
    trade_id: str | None = None
    decided_on: float = 0.0
    detail: str = ""

    @property
    def override_ids(self) -> tuple[int, ...]:
        """The overrides that took part, the best ranked first."""
        return tuple(part.override.override_id for part in self.applications)

    @property
    def lesson_ids(self) -> tuple[int, ...]:
        """Their lessons."""
        return tuple(part.override.lesson.lesson_id for part in self.applications)


class Adjusted(dict[str, Any]):
    """A copy of the caller's dict with the adjustments; ``outcome`` says what was done."""

    __slots__ = ("outcome",)
    outcome: Outcome
