"""How numbers, times and other people's text are printed, one way everywhere."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from learning.domain.durations import span
from learning.domain.regime import CAP_BUCKETS, MODES, PHASES

MIN_SHOWN_N: Final = 30  # an average of fewer trades is not printed
TOO_FEW: Final = f"n<{MIN_SHOWN_N}"
NOTHING: Final = "—"
_FORMULA = re.compile(r"^[\s]*[=+\-@＝＋－＠\t\r]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
_NUMBER = re.compile(r"^[+-]?\d+(\.\d+)?%?$")
_SPAN = re.compile(r"^(\d+) ?([smhdwM])$")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2592000}
_KNOWN: Final = {word: place for place, word in enumerate((*PHASES, *CAP_BUCKETS, *MODES))}


def signed(value: float | None, *, digits: int = 2, unit: str = "R") -> str:
    """Return a number with its sign and unit; minus zero is zero.

    Examples:
        >>> signed(0.312), signed(-0.001), signed(None), signed(-0.25, unit="%")
        ('+0.31 R', '0.00 R', '—', '-0.25 %')
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    rounded = round(value, digits) + 0.0
    sign = "+" if rounded > 0 else ""
    return f"{sign}{rounded:,.{digits}f}" + (f" {unit}" if unit else "")


def interval(low: float | None, high: float | None, *, digits: int = 2, unit: str = "R") -> str:
    """Return an interval.

    Examples:
        >>> interval(0.1, 0.512)
        '+0.10 to +0.51 R'
        >>> interval(None, 0.5)
        'no interval'
    """
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return "no interval"
    left = signed(low, digits=digits, unit="")
    return f"{left} to {signed(high, digits=digits, unit=unit)}"


def bracketed(low: float | None, high: float | None) -> str:
    """Return an interval for a table; the bracket keeps spreadsheets from computing.

    Examples:
        >>> bracketed(0.1, 0.512), bracketed(None, 1.0)
        ('[+0.10, +0.51]', '—')
    """
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return NOTHING
    return f"[{signed(low, unit='')}, {signed(high, unit='')}]"


def share(value: float | None, *, digits: int = 0) -> str:
    """Return a fraction as a percentage.

    Examples:
        >>> share(0.126), share(None)
        ('13 %', '—')
    """
    return NOTHING if value is None else f"{100 * value:.{digits}f} %"


def q_text(value: float | None) -> str:
    """Return a q-value; very small ones as a bound.

    Examples:
        >>> q_text(0.0123), q_text(0.00001), q_text(None)
        ('0.012', '<0.001', '—')
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def count(n: int | None) -> str:
    """Return a count.

    Examples:
        >>> count(1284)
        '1 284'
    """
    return NOTHING if n is None else f"{n:,}".replace(",", " ")


def plural(n: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun.

    Examples:
        >>> plural(1, "lesson"), plural(3, "lesson")
        ('1 lesson', '3 lessons')
    """
    return f"{count(n)} {one if n == 1 else many or one + 's'}"


def ago(then: datetime | None, now: datetime) -> str:
    """Return how long ago something was, in the largest unit that says it.

    Examples:
        >>> from datetime import UTC, timedelta
        >>> now = datetime(2026, 1, 2, tzinfo=UTC)
        >>> ago(now - timedelta(seconds=4), now), ago(now - timedelta(days=2), now)
        ('4 s ago', '2 d ago')
    """
    if then is None:
        return "never"
    return f"{span((now - then).total_seconds())} ago"


def utc(then: datetime | None, *, with_year: bool = False) -> str:
    """Return an instant.

    Examples:
        >>> from datetime import UTC
        >>> utc(datetime(2026, 11, 20, 14, 5, tzinfo=UTC))
        '20 Nov 14:05 UTC'
    """
    if then is None:
        return NOTHING
    return f"{then.day} {then:%b %Y}" if with_year else f"{then.day} {then:%b %H:%M} UTC"


def setup(pattern_key: str, action_category: str | None = None) -> str:
    """Return a setup's short name: its pattern without the module, and what was done.

    Examples:
        >>> setup("pm.uptrend.S1.buy_flag", "entry")
        'uptrend.S1.buy_flag · entry'
    """
    name = pattern_key.split(".", 1)[-1]
    return name if action_category is None else f"{name} · {action_category}"


def shortened(text: object, longest: int) -> str:
    """Return a name in one line; what is too long loses its middle.

    What was done stands at the end of a setup.

    Examples:
        >>> shortened("breakout.S1.squeeze · entry", 20)
        'breakout.S…e · entry'
    """
    flat = " ".join(str(text).split())
    end = (longest - 1) // 2
    return flat if len(flat) <= longest else f"{flat[: longest - 1 - end]}…{flat[-end:]}"


def without_common_end(setups: Iterable[object]) -> list[str]:
    """Leave out what all setups do alike, so that labels stay short on a phone.

    Examples:
        >>> without_common_end(["a.b · entry", "a.c · entry"])
        ['a.b', 'a.c']
        >>> without_common_end(["a.b · entry", "a.b · exit"])
        ['a.b · entry', 'a.b · exit']
    """
    names = [str(one) for one in setups]
    heads = [one.rpartition(" · ")[0] for one in names]
    ends = {one.rpartition(" · ")[2] for one in names}
    return heads if len(ends) == 1 and all(heads) else names


def scope(values: Mapping[str, Any]) -> str:
    """Return a market context.

    Examples:
        >>> scope({"macro_phase": "Good", "bucket_rank_position": 1}), scope({})
        ('macro_phase Good, bucket_rank_position 1', 'everywhere')
    """
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "everywhere"


def natural_order(value: object) -> tuple[int, float, str]:
    """Return a key that puts values of a condition in the order in which people think of them.

    Examples:
        >>> sorted(["4h", "15m", "1d"], key=natural_order)
        ['15m', '4h', '1d']
        >>> sorted(["Dip", "Good", "odd", "10", "9"], key=natural_order)
        ['9', '10', 'Good', 'Dip', 'odd']
    """
    text = str(value)
    if text.lstrip("-").isdecimal():
        return 0, float(text), ""
    if span_of := _SPAN.match(text):
        return 1, float(span_of[1]) * _SECONDS[span_of[2]], ""
    return (2, _KNOWN[text], "") if text in _KNOWN else (3, 0.0, text)


def lever_value(name: str, value: float, *, digits: int = 2) -> str:
    """Return a lever as it acts: multipliers with a cross, delays in bars.

    Examples:
        >>> lever_value("size_mult", 1.15), lever_value("entry_delay_bars", 2)
        ('×1.15', '2 bars')
    """
    if name.endswith(("_bars", "_after_trim")):
        return f"{value:g} bars"
    return f"{value:g}" if name.startswith("signal_thresholds.") else f"×{value:.{digits}f}"


def lever_name(name: str) -> str:
    """Return a lever's short name.

    Examples:
        >>> lever_name("size_mult"), lever_name("exit_aggression_mult")
        ('size', 'exit aggression')
    """
    return name.removesuffix("_mult").replace("_", " ")


def change(levers: Mapping[str, float]) -> str:
    """Return what an effect changes, in one line.

    Examples:
        >>> change({"size_mult": 1.15, "exit_aggression_mult": 0.9})
        'size ×1.15, exit aggression ×0.90'
    """
    parts = [f"{lever_name(name)} {lever_value(name, value)}" for name, value in levers.items()]
    return ", ".join(parts) or "no lever"


def guarded(value: object) -> object:
    """Return a cell that no spreadsheet reads as a formula; plain numbers stay.

    Examples:
        >>> guarded("=1+1"), guarded("-0.5"), guarded("Good"), guarded(3)
        ("'=1+1", '-0.5', 'Good', 3)
    """
    if not isinstance(value, str) or not _FORMULA.match(value) or _NUMBER.match(value):
        return value
    return "'" + value


def inert(value: Any) -> Any:
    r"""Return a cell for a table on a page, which a visitor can save as CSV too.

    What a spreadsheet would run starts with an invisible sign, and one cell stays one line.

    Examples:
        >>> inert("\r=1+1"), inert("two\nlines"), inert("-0.5"), inert(3)
        ('\u2060=1+1', 'two lines', '-0.5', 3)
    """
    if not isinstance(value, str):
        return value
    line = _CONTROL.sub(" ", value).strip()
    return line if guarded(line) == line else "\u2060" + line


def plain(text: object, *, longest: int = 60) -> str:
    r"""Return other people's text for a label that is read as markdown: every sign is escaped.

    Examples:
        >>> plain("bot_1 [x](http://a.b)")
        'bot\\_1 \\[x\\]\\(http\\:\\/\\/a\\.\u2060b\\)'
    """
    flat = " ".join(str(text).split())
    short = flat if len(flat) <= longest else flat[: longest - 1] + "…"
    escaped = re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", short)
    # a word joiner breaks what would become a link by itself
    return escaped.replace("\\.", "\\.\u2060").replace("\\@", "\\@\u2060")
