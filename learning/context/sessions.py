"""The trading session of a moment."""

from __future__ import annotations

from typing import Final

from learning.context.candles import HOUR_MS

_BEGINS: Final = ((0, "asia"), (7, "europe"), (13, "us"), (21, "late"))  # hour UTC


def session_of(moment_ms: int) -> str:
    """Return the session that is open at a moment: asia 0-7, europe 7-13, us 13-21, late 21-24 UTC.

    Examples:
        >>> session_of(0), session_of(7 * HOUR_MS), session_of(20 * HOUR_MS), session_of(-1)
        ('asia', 'europe', 'us', 'late')
    """
    hour = moment_ms // HOUR_MS % 24
    return next(name for begin, name in reversed(_BEGINS) if hour >= begin)
