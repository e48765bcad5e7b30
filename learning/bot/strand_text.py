"""From what a bot hands over to a strand that any database can hold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID, uuid4

from learning.store.delivery_rows import Delivery

_MAX_HEADER: Final = 2000


def delivery(
    *,
    kind: str,
    module: str,
    bot: str,
    origin: str,
    content: Mapping[str, Any],
    position_id: object = None,
    trade_id: object = None,
    regime_context: object = None,
    strand_key: UUID | None = None,
) -> Delivery:
    """Return a strand as text, taken down now: the bot may go on changing what it passed.

    Content that no JSON of PostgreSQL can hold (NaN, NUL, half a surrogate pair, a loop) is kept
    as bytes, so that it is not lost but quarantined with its reason.
    """
    text = json_text(content)
    regime = None if regime_context is None else json_text(regime_context)
    is_broken = text is None or (regime is None and regime_context is not None)
    return Delivery(
        strand_key=strand_key or uuid4(),
        kind=kind,
        module=module,
        bot=bot,
        origin=origin,
        position_id=header(position_id),
        trade_id=header(trade_id),
        content=None if is_broken else text,
        regime_context=None if is_broken else regime,
        raw=raw_text(content) if is_broken else None,
    )


def header(value: object) -> str | None:
    """Return an id as text that PostgreSQL can hold; None stays None."""
    if value is None:
        return None
    try:
        text = str(value)
    except Exception:
        text = f"unprintable {type(value).__name__}"
    return text.replace("\x00", "�").encode("utf-8", "replace").decode()[:_MAX_HEADER]


def json_text(value: object) -> str | None:
    """Return JSON text that jsonb takes; None where there is none."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, default=_plain)
        text.encode()  # half a surrogate pair fails here
    except Exception:  # whatever objects of the bot raise: the bytes are kept instead
        return None
    return None if "\\u0000" in text else text


def raw_text(value: object) -> bytes:
    """Return whatever can be said of a value, as bytes."""
    try:
        return json.dumps(value, default=repr).encode("utf-8", "backslashreplace")
    except Exception:  # loops, hostile keys, objects that do not print
        return b"content that is no JSON"


def signals(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return signals without those that are not finite: a signal that is not there is absent."""
    return {
        name: value
        for name, value in given.items()
        if not (isinstance(value, float) and not math.isfinite(value))
    }


def instant(moment: datetime | str | None) -> str:
    """Return a moment as ISO-8601 text; None is now. A time without a zone is UTC.

    Text that is no time stays as it is: whoever reads the strand says so.

    Examples:
        >>> instant("2026-03-01T12:00"), instant("2026-03-01T12:00Z"), instant("yesterday")
        ('2026-03-01T12:00:00+00:00', '2026-03-01T12:00Z', 'yesterday')
    """
    if isinstance(moment, str):
        return _zoned_text(moment)
    moment = moment or datetime.now(UTC)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def times_zoned(said: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return what a bot says, with the times of these names as ``instant`` writes them."""
    return {name: as_instant(value) if name in names else value for name, value in said.items()}


def as_instant(value: object) -> object:
    """Return a time or text as ``instant`` does, anything else as it is: a reader refuses it."""
    return instant(value) if isinstance(value, datetime | str) else value


def _zoned_text(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return text if moment.tzinfo else instant(moment)


def _plain(value: object) -> object:
    """Turn what is no JSON into what says the same: numpy's scalars, decimals, times, sets."""
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal):
        return float(value)
    item = getattr(value, "item", None)
    if callable(item):
        return item()
    raise TypeError(f"{type(value).__name__} is no JSON")
