"""What this process obeys right now: one reference, replaced as a whole and read without a lock."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from learning.runtime.override_table import OverrideTable

Doubt = Literal["stale config", "corrupt config"]
DEFAULT_MAX_CONFIG_AGE_S: Final = 4.0


@dataclass(frozen=True, slots=True)
class InForce:
    """The override table in force, and how far it may be trusted.

    ``read_at`` is a monotonic clock in seconds, ``read_on`` the UTC instant (seconds since 1970)
    of the same read by the clock of whoever wrote the config, so that a jump of this machine's
    wall clock neither expires nor revives an override. ``problem`` says why the newest config
    could not be used; then the table is the last known good one.
    """

    table: OverrideTable | None = None
    read_at: float = -math.inf
    read_on: float = 0.0
    max_config_age_s: float = DEFAULT_MAX_CONFIG_AGE_S
    overrides_on: bool = True
    switch_revision: int = 0
    problem: str | None = None
    record: Callable[[Any], None] | None = None  # telemetry: must neither block nor raise

    def now(self, monotonic: float) -> float:
        """Return the UTC instant that a monotonic time stands for, in seconds since 1970."""
        return self.read_on + (monotonic - self.read_at)

    def why_doubtful(self, monotonic: float) -> Doubt | None:
        """Say why every lever falls to its safe value; None where the table is trusted."""
        if self.problem is not None:
            return "corrupt config"
        if not 0 <= monotonic - self.read_at <= self.max_config_age_s:
            return "stale config"
        return None


_NOTHING_INSTALLED: Final = InForce()
_installing = threading.Lock()  # between writers only; readers take the reference as it is
_current = _NOTHING_INSTALLED


def in_force() -> InForce:
    """Return what this process obeys right now."""
    return _current


def install(
    table: OverrideTable,
    *,
    overrides_on: bool = True,
    switch_revision: int = 0,
    max_config_age_s: float = DEFAULT_MAX_CONFIG_AGE_S,
    read_at: float | None = None,
    read_on: float | None = None,
    record: Callable[[Any], None] | None = None,
) -> bool:
    """Put a table in force, unless a newer one is; the reading bots see either all of it or none.

    Within a generation revisions only go forward, that of the kill switch too; a higher
    generation replaces everything. What is refused still turns overrides off where it says so.

    Args:
        table: Built by ``read_table``.
        overrides_on: The kill switch; false makes every lever neutral.
        max_config_age_s: Seconds after which levers fall to their safe values unless a table is
            installed again; ``math.inf`` for a bot that feeds itself and wants no limit.
        read_at: Monotonic time of the read, in seconds; by default now.
        read_on: UTC time of the read, in seconds since 1970; by default this machine's clock.
        record: Called with each outcome in which an override took part.

    Returns:
        Whether the table is in force now.
    """
    proposed = InForce(
        table=table,
        read_at=time.monotonic() if read_at is None else read_at,
        read_on=time.time() if read_on is None else read_on,
        max_config_age_s=max_config_age_s,
        overrides_on=overrides_on,
        switch_revision=switch_revision,
        record=record,
    )
    global _current  # the one reference that all readers share
    with _installing:
        is_older = _is_older(proposed, _current)
        if is_older:
            proposed = replace(_current, overrides_on=_current.overrides_on and overrides_on)
        _current = proposed
    return not is_older


def _is_older(proposed: InForce, current: InForce) -> bool:
    if proposed.table is None or current.table is None:
        return False
    if proposed.table.generation != current.table.generation:
        return proposed.table.generation < current.table.generation
    return (
        proposed.table.revision < current.table.revision
        or proposed.switch_revision < current.switch_revision
    )


def distrust(problem: str, *, overrides_on: bool = True) -> None:
    """Say that the newest config cannot be used: levers fall to their safe values.

    Args:
        problem: Why, for people.
        overrides_on: The kill switch, where it could be read; off is obeyed, on turns nothing on.
    """
    global _current
    with _installing:
        is_on = _current.overrides_on and overrides_on
        _current = replace(_current, problem=problem, overrides_on=is_on)


def uninstall() -> None:
    """Forget everything: every lever is neutral until a table is installed again."""
    global _current
    with _installing:
        _current = _NOTHING_INSTALLED
