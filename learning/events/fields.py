"""Reading hostile JSON: each reader returns a checked value, None where it is absent, or says
which field breaks which rule.

A field is named by its path, such as ``trade_summary.return_pct``. JSON knows no bounds: numbers
may be infinite after decoding, integers may have thousands of digits, objects may be nested a
thousand deep, and ``true`` is no number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from learning.domain.levers import finite
from learning.errors import MalformedStrand

MAX_TEXT: Final = 200
"""Characters; three such texts and a pattern key still fit into an index of PostgreSQL."""

_SHOWN: Final = 80
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_KNOB_DEPTH: Final = 3
_KNOB_ENTRIES: Final = 200


def shown(value: object) -> str:
    """Return a value as a reason quotes it: short, and whatever it is.

    Examples:
        >>> shown("a" * 500)[-3:], shown([[[]]]), shown(True)
        ('...', 'a list', 'True')
    """
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return "a number of thousands of digits"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def broken(where: str, rule: str, value: object) -> MalformedStrand:
    """Return the error for a field: the thing, the rule, the value."""
    return MalformedStrand(f"{where} must be {rule}, got {shown(value)}")


def json_object(text: str, *, where: str) -> Mapping[str, Any]:
    """Decode JSON text that must be an object.

    Raises:
        MalformedStrand: If it is no JSON, no object, nested too deeply, or holds an integer of
            more digits than can be read.

    Examples:
        >>> json_object('{"a": 1}', where="content")
        {'a': 1}
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise MalformedStrand(f"{where} must be JSON nested less than 900 deep") from None
    except ValueError as error:
        raise MalformedStrand(f"{where} must be readable JSON: {str(error)[:120]}") from None
    if not isinstance(value, dict):
        raise broken(where, "an object", value)
    return value


def mapping_at(parent: Mapping[str, Any], name: str, where: str = "") -> Mapping[str, Any]:
    """Return an object; empty where it is absent or null."""
    value = parent.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise broken(where + name, "an object", value)
    return value


def list_at(parent: Mapping[str, Any], name: str, where: str = "") -> Sequence[Any]:
    """Return a list; empty where it is absent or null."""
    value = parent.get(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise broken(where + name, "a list", value)
    return value


def number_at(
    parent: Mapping[str, Any],
    name: str,
    where: str = "",
    *,
    low: float = -math.inf,
    high: float = math.inf,
) -> float | None:
    """Return a finite number within its bounds, None where it is absent or null.

    Examples:
        >>> number_at({"return_pct": 2}, "return_pct")
        2.0
        >>> number_at({"return_pct": "NaN"}, "return_pct")
        Traceback (most recent call last):
        learning.errors.MalformedStrand: return_pct must be a finite number, got 'NaN'
    """
    value = parent.get(name)
    if value is None:
        return None
    number = finite(value)
    if number is None:
        raise broken(where + name, "a finite number", value)
    if not low <= number <= high:
        raise broken(where + name, f"a number from {low:g} to {high:g}", value)
    return number


def text_at(parent: Mapping[str, Any], name: str, where: str = "") -> str | None:
    """Return printable text of at most 200 characters, None where it is absent, null or empty."""
    value = parent.get(name)
    return None if value is None or value == "" else checked_text(value, where + name)


def checked_text(value: object, where: str) -> str:
    """Return a value that must be printable text of 1 to 200 characters."""
    if not isinstance(value, str):
        raise broken(where, "text", value)
    if not 0 < len(value) <= MAX_TEXT:
        raise MalformedStrand(f"{where} must have 1 to {MAX_TEXT} characters, got {len(value)}")
    if not value.isprintable():
        raise broken(where, "printable", value)
    return value


def instant_at(parent: Mapping[str, Any], name: str, where: str = "") -> datetime | None:
    """Return a moment in UTC between 1970 and 2100, None where it is absent or null.

    Examples:
        >>> instant_at({"ts": "2024-03-01T13:00:00+01:00"}, "ts").isoformat()
        '2024-03-01T12:00:00+00:00'
        >>> instant_at({"ts": "2024-03-01T13:00:00"}, "ts")
        Traceback (most recent call last):
        learning.errors.MalformedStrand: ts must be an ISO-8601 time with its UTC offset, \
got '2024-03-01T13:00:00'
    """
    value = parent.get(name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        moment = None if moment is None or moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise broken(where + name, "an ISO-8601 time with its UTC offset", value)
    if not _FIRST <= moment < _LAST:
        raise broken(where + name, "a time between 1970 and 2100", value)
    return moment


def controls_at(parent: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Return the controls: ``signals`` (name to finite number) and ``applied_knobs``.

    A null signal is absent. Knobs may be numbers, texts, true or false, nested three deep.
    """
    controls = mapping_at(parent, "controls", where)
    if not controls:
        return {}
    path = where + "controls."
    found: dict[str, Any] = {}
    signals = mapping_at(controls, "signals", path)
    if signals:
        found["signals"] = _signals(signals, path + "signals.")
    knobs = mapping_at(controls, "applied_knobs", path)
    if knobs:
        found["applied_knobs"] = _knobs(knobs, path + "applied_knobs", _KNOB_DEPTH)
    return found


def _signals(signals: Mapping[str, Any], path: str) -> dict[str, float]:
    _check_names(signals, path[:-1])
    found: dict[str, float] = {}
    for name, value in signals.items():
        if value is None:
            continue
        number = finite(value)
        if number is None:
            raise broken(path + name, "a finite number", value)
        found[name] = number
    return found


def _knobs(value: object, where: str, depth: int) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value if value == "" else checked_text(value, where)
    if isinstance(value, int | float):
        if finite(value) is None:
            raise broken(where, "a finite number", value)
        return value
    if depth == 0:
        raise MalformedStrand(f"{where} must be nested at most {_KNOB_DEPTH} deep")
    if isinstance(value, dict):
        _check_names(value, where)
        return {name: _knobs(part, f"{where}.{name}", depth - 1) for name, part in value.items()}
    return _knob_list(value, where, depth)


def _knob_list(value: object, where: str, depth: int) -> list[object]:
    if not isinstance(value, list) or len(value) > _KNOB_ENTRIES:
        raise MalformedStrand(f"{where} must have at most {_KNOB_ENTRIES} entries")
    return [_knobs(part, f"{where}[{i}]", depth - 1) for i, part in enumerate(value)]


def _check_names(mapping: Mapping[str, Any], where: str) -> None:
    if len(mapping) > _KNOB_ENTRIES:
        raise MalformedStrand(
            f"{where} must have at most {_KNOB_ENTRIES} entries, got {len(mapping)}"
        )
    for name in mapping:
        if not 0 < len(name) <= MAX_TEXT or not name.isprintable():
            raise broken(f"a name in {where}", f"printable, 1 to {MAX_TEXT} characters", name)


def from_rule(where: str, rule: Callable[[Any], Any], value: object) -> Any:
    """Return what a rule of the domain makes of a value; its ValueError names the field too."""
    try:
        return rule(value)
    except ValueError as error:
        text = str(error).encode("utf-8", "backslashreplace").decode()
        raise MalformedStrand(f"{where}: {text[:200]}") from None
