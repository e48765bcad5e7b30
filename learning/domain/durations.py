"""How long something takes or is ago, in words: one way on pages and on the command line."""

from __future__ import annotations


def span(seconds: float) -> str:
    """Return a duration in its largest whole unit.

    Examples:
        >>> span(4), span(240), span(3 * 3600), span(2 * 86400)
        ('4 s', '4 min', '3 h', '2 d')
    """
    seconds = max(seconds, 0.0)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 36 * 3600:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86400:.0f} d"
