"""The values that stand in files: numbers, instants, sides and names, or the rule they break."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from learning.importers.written_dates import written_date

_ABSENT: Final = frozenset(
    {"", "nan", "null", "none", "n/a", "na", "-", "–", "—", "\u2212", "<na>", "nat"}
)
_TWO_READINGS: Final = "must be a number in one reading (name the decimal sign in the mapping)"
_ONE_GROUP: Final = {
    ".": re.compile(r"[+-]?\d{1,3},\d{3}"),
    ",": re.compile(r"[+-]?\d{1,3}\.\d{3}"),
}
_GROUPS: Final = re.compile(
    r"[+-]?(\d{1,3}(,\d{3})+|\d{1,2}(,\d{2})+,\d{3})(\.\d*)?"
)  # and India's
_APOSTROPHE: Final = re.compile(r"(?<=\d)['\u2019](?=\d{3})")
_SIGNS: Final = {
    **dict.fromkeys((*map(ord, " \t\u00a0\u202f\u205f\u3000"), *range(0x2000, 0x200B))),
    **dict.fromkeys((*range(0x2010, 0x2014), 0x2212, 0xFE63, 0xFF0D), "-"),
}
"""Blanks, which say nothing between digits, and the signs that are written for a minus."""
_DECIMAL: Final = {
    ",": re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+"),
    ".": re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)\.\d+"),
}
_EITHER: Final = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")
_PLAIN: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_MONEY: Final = re.compile(r"^([+-]?)[$€£¥₽₹₩₺]|[$€£¥₽₹₩₺]$")
_EPOCH: Final = re.compile(r"-?\d{9,19}(\.\d+)?")
_SIDES: Final = {
    "long": "long", "buy": "long", "b": "long", "l": "long", "1": "long", "+1": "long",
    "1.0": "long", "bought": "long", "short": "short", "sell": "short", "s": "short", "-1": "short",
    "-1.0": "short", "sold": "short", "kauf": "long", "verkauf": "short", "compra": "long",
    "venta": "short", "venda": "short", "achat": "long", "vente": "short", "покупка": "long",
    "продажа": "short", "買": "long", "売": "short", "賣": "short", "买入": "long",
    "卖出": "short", "買い": "long", "売り": "short", "買入": "long", "賣出": "short",
    "多": "long", "空": "short", "多头": "long", "空头": "short",
}  # fmt: skip
_EARLIEST: Final = datetime(1970, 1, 2, tzinfo=UTC)
_LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
_SHEET_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001 (its zone is the file's)
_FIRST_SHEET_DAY: Final = 25_569 + 2  # of 1970; seconds as few are before the earliest instant
_LAST_SHEET_DAY: Final = 73_050  # of 2100
MAX_TEXT_LENGTH: Final = 200


class RowRejected(Exception):
    """Raised while a row is read; caught where rows are counted."""

    def __init__(self, column: str, rule: str, value: object) -> None:
        super().__init__(f"{column} {rule}, got {shown(value)}")
        self.column, self.rule, self.value = column, rule, value


def as_number(value: object, *, decimal: str = ".", is_told: bool = False) -> float | None:
    """Return a cell as a finite number; None where it is empty.

    A cell is never guessed: a lone ``1,234`` could be one and a bit or more than a thousand.
    Parentheses are a minus, as accounts are kept.

    Args:
        value: The cell.
        decimal: Sign of decimals in text.
        is_told: Whether the sign is known for certain: then it is more than a thousand.

    Raises:
        ValueError: If it is neither empty nor a finite number in one reading.

    Examples:
        >>> as_number(" 1 234.5"), as_number("−0,5", decimal=","), as_number("")
        (1234.5, -0.5, None)
        >>> as_number("($162.50)"), as_number("(2)")
        (-162.5, -2.0)
        >>> as_number("1,234", is_told=True), as_number("18.000", decimal=",", is_told=True)
        (1234.0, 18000.0)
        >>> as_number("1,234")
        Traceback (most recent call last):
        ValueError: must be a number in one reading (name the decimal sign in the mapping)
    """
    if value is None:
        return None
    if type(value) is float and value - value == 0.0:  # finite: the common case of typed columns
        return value
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    if isinstance(value, float | int):
        return _finite(value)
    if isinstance(value, str):
        return _number_in_text(value, decimal, is_told)
    raise ValueError("must be a number")


def as_report_number(value: object, *, decimal: str = ".") -> float | None:
    """Return a number of a report written for people; None where it is empty.

    The report's own decimal sign is known, so a lone group of three is thousands. Parentheses
    are a minus; a percent sign at the end, blanks and apostrophes between digits say nothing.

    Raises:
        ValueError: If it is neither empty nor a finite number.

    Examples:
        >>> as_report_number("(1,234)"), as_report_number("- 70.25")
        (-1234.0, -70.25)
        >>> as_report_number("1’234,5 %", decimal=",")
        1234.5
    """
    if not isinstance(value, str):
        return as_number(value)
    if decimal == "." and _PLAIN.fullmatch(value):  # the common case
        return _finite(float(value))
    return _number_in_text(value.strip().removesuffix("%"), decimal, is_told=True)


def decimal_sign(cell: str) -> tuple[str, bool]:
    """Return the decimal sign of a number in text, and whether it has no other reading.

    Examples:
        >>> decimal_sign("4 129,590"), decimal_sign("1,234"), decimal_sign("1,234.5")
        ((',', True), (',', False), ('.', True))
        >>> decimal_sign("2024")
        ('', False)
    """
    text = _bare(_without_parentheses(cell.strip()))
    if _EITHER.fullmatch(text):
        return ("," if "," in text else "."), False
    found = next((sign for sign, number in _DECIMAL.items() if number.fullmatch(text)), "")
    return found, bool(found)


def _bare(text: str) -> str:
    """Text without what says nothing in a number: blanks, apostrophes of thousands, a currency."""
    text = _APOSTROPHE.sub("", text.translate(_SIGNS))
    return _MONEY.sub(r"\1", text, count=1)


def _without_parentheses(text: str) -> str:
    """Text with a minus for the parentheses around it."""
    return "-" + text[1:-1] if text.startswith("(") and text.endswith(")") else text


def _finite(value: float) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if number != number:
        return None
    if math.isinf(number):
        raise ValueError("must be a finite number")
    return number


def _number_in_text(value: str, decimal: str, is_told: bool) -> float | None:
    text = value.strip()
    if text.lower() in _ABSENT:
        return None
    text = _bare(_without_parentheses(text))
    if _ONE_GROUP[decimal].fullmatch(text):
        if not is_told or text.lstrip("+-").startswith("0"):
            raise ValueError(_TWO_READINGS)
        text = text.replace("," if decimal == "." else ".", "")
    if decimal == ",":
        if "." in text and "," not in text and text.count(".") < 2:
            raise ValueError("must be a number with a decimal comma")
        text = text.translate({ord("."): ",", ord(","): "."})
    if _GROUPS.fullmatch(text):
        text = text.replace(",", "")
    if not _PLAIN.fullmatch(text):
        raise ValueError("must be a number")
    return _finite(float(text))


def as_instant(
    value: object, *, zone: tzinfo = UTC, day_first: bool | None = None
) -> datetime | None:
    """Return a cell as an instant in UTC; None where it is empty.

    Text is ISO 8601 or a date as people write it; without an offset it is in ``zone``. Numbers are
    seconds, milli-, micro- or nanoseconds since 1970, told apart by their size; small ones are
    days since 1899-12-30 in ``zone``, as spreadsheets keep times. ``day_first`` says how dates
    between slashes begin.

    Raises:
        ValueError: If it is neither, can be read two ways, or is outside 1970 to 2100.

    Examples:
        >>> as_instant("2024-03-01 12:00:00").isoformat()
        '2024-03-01T12:00:00+00:00'
        >>> as_instant(1711956600000) == as_instant("1711956600")
        True
        >>> as_instant("03/04/2024")
        Traceback (most recent call last):
        ValueError: must be a time of which day and month can be told apart (--date-order says)
    """
    if value is None:
        return None
    if isinstance(value, datetime):
        return _in_range(value if value.tzinfo else value.replace(tzinfo=zone))
    if isinstance(value, bool):
        raise ValueError("must be a time, not true or false")
    if isinstance(value, int | float):
        number = _finite(value)
        return None if number is None else _from_number(number, zone)
    if isinstance(value, str):
        return _instant_in_text(value.strip(), zone, day_first)
    raise ValueError("must be a time such as 2024-03-01 12:00:00")


def _instant_in_text(text: str, zone: tzinfo, day_first: bool | None) -> datetime | None:
    if text.lower() in _ABSENT:
        return None
    if _EPOCH.fullmatch(text):
        return _from_epoch(float(text))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = _written(text, day_first)
    return _in_range(moment if moment.tzinfo else moment.replace(tzinfo=zone))


def _written(text: str, day_first: bool | None) -> datetime:
    try:
        found = written_date(text, day_first=day_first)
    except ValueError as error:
        if str(error).startswith("must be"):
            raise
        found = None  # there is no such day
    if found is None:
        raise ValueError("must be a time such as 2024-03-01 12:00:00")
    return found


def _from_number(number: float, zone: tzinfo) -> datetime:
    if _FIRST_SHEET_DAY <= number < _LAST_SHEET_DAY:
        seconds = round(number * 86_400, 3)
        return _in_range((_SHEET_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=zone))
    return _from_epoch(number)


def _from_epoch(number: float) -> datetime:
    size = abs(number)
    unit = 1.0 if size < 1e11 else 1e3 if size < 1e14 else 1e6 if size < 1e17 else 1e9
    seconds = number / unit
    if not _EARLIEST.timestamp() <= seconds <= _LATEST.timestamp():
        raise ValueError("must be a time between 1970 and 2100")
    return datetime.fromtimestamp(seconds, tz=UTC)


def _in_range(moment: datetime) -> datetime:
    try:
        instant = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time between 1970 and 2100") from None
    if not _EARLIEST <= instant <= _LATEST:
        raise ValueError("must be a time between 1970 and 2100")
    return instant


def as_side(value: object) -> str | None:
    """Return ``long`` or ``short`` for a cell; None where it is empty.

    Examples:
        >>> as_side("Sell"), as_side(1), as_side(None)
        ('short', 'long', None)
    """
    if value is None or isinstance(value, bool) or value != value:
        if isinstance(value, bool):
            raise ValueError("must be long or short")
        return None
    text = str(value).strip().lower()
    if text in _ABSENT:
        return None
    side = _SIDES.get(text)
    if side is None:
        raise ValueError("must be long or short")
    return side


def as_name(value: object) -> str | None:
    """Return a cell as a short printable text; None where it is empty.

    A whole float becomes its integer, since a column with gaps reads its integers as floats.

    Examples:
        >>> as_name(7.0), as_name(" BTC/USDT "), as_name(float("nan"))
        ('7', 'BTC/USDT', None)
    """
    if value is None or value != value:
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ValueError("must be text or a number")
    text = str(value).strip()
    if len(text) > MAX_TEXT_LENGTH:
        raise ValueError(f"must have at most {MAX_TEXT_LENGTH} characters")
    if not text.isprintable() or "\ufffd" in text:
        raise ValueError("must be printable text (is the file UTF-8?)")
    return text or None


def shown(value: object) -> str:
    """Return a value as it is shown in a reason: short, printable, valid as JSON.

    Examples:
        >>> shown("abc\\n"), shown(None)
        ("'abc\\\\n'", 'nothing')
    """
    if value is None:
        return "nothing"
    text = ascii(value) if not isinstance(value, str) or not value.isprintable() else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
