"""Dates as people write them: ``7/30/2024 2:00 PM``, ``30.07.24``, ``Jul 30, 2024``.

A date between slashes may begin with its day or with its month. One date often does not tell, a
column nearly always does: somewhere in it a number is above 12.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final

_CLOCK: Final = (
    r"(?:[T,;\s]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?(?P<part>[.,]\d{1,9})?"
    r"\s*(?P<half>[AaPp])?(?(half)\.?[Mm]\.?))?\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2})?"
    r"(?:\s+(?:UTC|GMT))?"
)
_NUMBERS: Final = re.compile(r"(\d{1,4})([./-])(\d{1,2})\2(\d{4}|\d{2}|\d)" + _CLOCK)
_DAY_MONTH: Final = re.compile(r"(\d{1,2})[\s-]([A-Za-z]{3,9})\.?,?[\s-](\d{4}|\d{2})" + _CLOCK)
_MONTH_DAY: Final = re.compile(r"([A-Za-z]{3,9})\.?\s(\d{1,2}),?\s(\d{4})" + _CLOCK)
_MONTHS: Final = {
    name: place + 1
    for place, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
    )
}
UNCLEAR: Final = "must be a time of which day and month can be told apart (--date-order says)"
_IN_ORDER: Final = re.compile(r"\s*(\d{1,2})[/-](\d{1,2})[/-](\d{4}|\d{2})(?!\d)")


def written_date(text: str, *, day_first: bool | None = None) -> datetime | None:
    """Return a date as it is written, without a zone where it names none; None for other texts.

    Args:
        text: One cell.
        day_first: Whether a date between slashes begins with its day; None: not known.

    Raises:
        ValueError: If there is no such date, or it can be read two ways.

    Examples:
        >>> written_date("7/30/2024 2:05 PM").isoformat(), written_date("1.2.24").isoformat()
        ('2024-07-30T14:05:00', '2024-02-01T00:00:00')
        >>> written_date("3/4/2024", day_first=True).isoformat(), written_date("soon")
        ('2024-04-03T00:00:00', None)
    """
    found = _NUMBERS.fullmatch(text)
    if found is not None:
        year, month, day = _ordered(found[1], found[2], found[3], found[4], day_first)
    elif (found := _DAY_MONTH.fullmatch(text)) is not None:
        year, month, day = _full(found[3]), _month(found[2]), int(found[1])
    elif (found := _MONTH_DAY.fullmatch(text)) is not None:
        year, month, day = int(found[3]), _month(found[1]), int(found[2])
    else:
        return None
    return _moment(year, month, day, found)


def _ordered(
    first: str, mark: str, second: str, third: str, day_first: bool | None
) -> tuple[int, int, int]:
    """Year, month and day of a date of three numbers."""
    if len(first) == 4 and len(third) < 3:
        return int(first), int(second), int(third)
    if len(first) > 2 or len(third) == 1:
        raise ValueError("must be a time such as 2024-03-01 12:00:00")
    a, b = int(first), int(second)
    by_day = True if mark == "." else day_first
    if a > 12 or b > 12 or a == b:
        by_day = a > 12
    elif by_day is None:
        raise ValueError(UNCLEAR)
    return _full(third), b if by_day else a, a if by_day else b


def _full(year: str) -> int:
    return int(year) + (2000 if len(year) < 3 else 0)


def _month(name: str) -> int:
    return _MONTHS.get(name[:3].lower(), 0)


def _moment(year: int, month: int, day: int, found: re.Match[str]) -> datetime:
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    half = (found["half"] or "").lower()
    if half:
        if not 1 <= hour <= 12:
            raise ValueError("must be a time such as 2024-03-01 12:00:00")
        hour = hour % 12 + (12 if half == "p" else 0)
    parts = int((found["part"] or ".0")[1:].ljust(6, "0")[:6])
    zone = (found["zone"] or "").replace("UTC", "+00:00").replace("GMT", "+00:00")
    naive = datetime(year, month, day, hour, minute, second, parts)  # noqa: DTZ001
    return datetime.fromisoformat(naive.isoformat() + zone) if zone else naive


def day_order(texts: Iterable[object]) -> bool | None:
    """Say whether dates between slashes begin with their day, from those that tell; None: unclear.

    Examples:
        >>> day_order(["3/4/2024", "31/4/2024"]), day_order(["3/14/2024"]), day_order(["3/4/2024"])
        (True, False, None)
    """
    told = {
        int(found[1]) > 12
        for text in texts
        if isinstance(text, str)
        and (found := _IN_ORDER.match(text)) is not None
        and (int(found[1]) > 12) != (int(found[2]) > 12)
    }
    return told.pop() if len(told) == 1 else None


def needs_order(texts: Iterable[object]) -> bool:
    """Say whether most dates stand between slashes, and some can be read two ways.

    Examples:
        >>> needs_order(["2024-03-04"]), needs_order(["3/4/2024 10:00"]), needs_order(["3/3/2024"])
        (False, True, False)
    """
    written = [text for text in texts if isinstance(text, str) and text.strip()]
    found = [(int(m[1]), int(m[2])) for text in written if (m := _IN_ORDER.match(text))]
    unclear = any(first <= 12 and second <= 12 and first != second for first, second in found)
    return unclear and len(found) * 2 > len(written)
