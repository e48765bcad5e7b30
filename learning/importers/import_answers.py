"""What a file does not say and a person can: named options, and the answers to them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, timedelta, timezone, tzinfo
from typing import Final, Literal
from zoneinfo import ZoneInfo

from learning.errors import ConfigError, ImportRefused
from learning.importers.field_values import as_name, as_number

OptionKind = Literal["text", "number", "time_zone", "choice"]

MARKETS: Final = ("spot", "derivative")
DATE_ORDERS: Final = ("day-first", "month-first")
_OFFSET: Final = re.compile(r"(?:UTC|GMT)?\s*([+-])(\d{1,2})(?::?(\d{2}))?", re.IGNORECASE)
_TIMEFRAME: Final = re.compile(r"\d{1,4}[smhdwM]")
_TEXT_LENGTH: Final = 64


@dataclass(frozen=True, slots=True)
class ImportOption:
    """Something that a person may say about a file.

    Attributes:
        name: Of the answer, such as ``time_zone``.
        kind: How the answer is given.
        sentence: Why it is asked.
        required: Nothing can be imported without it.
        suggestion: What the file's name or content suggests; None: nothing to offer.
        choices: The answers there are, for the kind ``choice``.
    """

    name: str
    kind: OptionKind
    sentence: str
    required: bool = False
    suggestion: str | None = None
    choices: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """Return its name on the command line.

        Examples:
            >>> ImportOption("time_zone", "time_zone", "the file names no time zone").flag
            '--time-zone'
        """
        return "--" + self.name.replace("_", "-")

    def __str__(self) -> str:
        """Say what is asked, and how it is answered."""
        value = self.suggestion or {"number": "1.5", "time_zone": "Europe/Athens"}.get(self.kind)
        value = value or (self.choices[0] if self.choices else self.name.upper())
        return f"{self.sentence}: {self.flag} {value}"


DATE_ORDER_QUESTION: Final = ImportOption(
    "date_order",
    "choice",
    "its dates can be read with the day or with the month first",
    required=True,
    choices=DATE_ORDERS,
)


class AnswersNeeded(ImportRefused):
    """A file lacks what nobody has said yet; ``options`` are the open ones."""

    def __init__(self, file_name: str, options: tuple[ImportOption, ...]) -> None:
        asked = "; ".join(str(option) for option in options)
        super().__init__(f"{file_name} cannot be imported without an answer: {asked}")
        self.options = options


@dataclass(frozen=True, slots=True)
class ImportAnswers:
    """What a person said; None where nothing was said.

    Attributes:
        symbol: What was traded, where the file does not name it.
        timeframe: Bars of the strategy, such as 15m or 1h.
        time_zone: Of times without an offset: a name such as Europe/Athens, or an offset.
        strategy: The pattern's family, where the file names none.
        risk_pct: The user's fixed risk: distance of the stop, in percent of the entry price.
        risk_amount: The user's fixed risk: what one trade may lose, in the account's currency.
        market: spot or derivative, where fills do not tell whether a position can be short.
        date_order: day-first or month-first, where dates such as 3/4/2024 do not tell.
    """

    symbol: str | None = None
    timeframe: str | None = None
    time_zone: str | None = None
    strategy: str | None = None
    risk_pct: float | None = None
    risk_amount: float | None = None
    market: str | None = None
    date_order: str | None = None

    def __post_init__(self) -> None:
        if self.time_zone is not None:
            zone_of(self.time_zone)
        if self.timeframe is not None and not _TIMEFRAME.fullmatch(self.timeframe):
            raise ConfigError(f"timeframe must be such as 15m, 1h or 1d, got {self.timeframe!r}")
        for name, least in (("risk_pct", 1e-4), ("risk_amount", 0.0)):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > least):
                raise ConfigError(f"{name} must be a number above {least:g}, got {value}")
        if self.risk_pct is not None and self.risk_pct >= 100:
            raise ConfigError(f"risk_pct must be below 100, got {self.risk_pct}")
        if self.risk_pct is not None and self.risk_amount is not None:
            raise ConfigError("only one of risk_pct and risk_amount can be the risk")
        if self.market is not None and self.market not in MARKETS:
            raise ConfigError(f"market must be one of {MARKETS}, got {self.market!r}")
        if self.date_order is not None and self.date_order not in DATE_ORDERS:
            raise ConfigError(f"date_order must be one of {DATE_ORDERS}, got {self.date_order!r}")

    @property
    def zone(self) -> tzinfo | None:
        """Return the time zone that was named."""
        return None if self.time_zone is None else zone_of(self.time_zone)

    @property
    def day_first(self) -> bool | None:
        """Say whether dates between slashes begin with their day; None where nobody said."""
        return None if self.date_order is None else self.date_order == "day-first"

    def over(self, under: ImportAnswers) -> ImportAnswers:
        """Return these answers, completed by those of ``under``.

        Examples:
            >>> ImportAnswers(symbol="A").over(ImportAnswers(symbol="B", timeframe="1h")).symbol
            'A'
        """
        said = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.risk_pct is not None or self.risk_amount is not None:
            under = replace(under, risk_pct=None, risk_amount=None)
        return replace(under, **{name: value for name, value in said.items() if value is not None})


def answers_from(values: Mapping[str, object], *, name: str = "answers") -> ImportAnswers:
    """Return the answers that a form, a mapping file or the command line holds.

    Raises:
        ConfigError: If one is unknown or breaks its rule.

    Examples:
        >>> answers_from({"symbol": "EURUSD", "risk_pct": "1.5"}).risk_pct
        1.5
    """
    known = {f.name for f in fields(ImportAnswers)}
    unknown = [str(key) for key in values if key not in known]
    if unknown:
        raise ConfigError(f"{name} has an unknown part {unknown[0]!r}; known: {sorted(known)}")
    given: dict[str, str | float | None] = {}
    for key, value in values.items():
        try:
            numeric = key.startswith("risk_")
            given[key] = as_number(value) if numeric else _text(value)
        except ValueError as error:
            raise ConfigError(f"{key} of {name} {error}, got {value!r}") from None
    return ImportAnswers(**given)  # type: ignore[arg-type]


def _text(value: object) -> str | None:
    found = as_name(value)
    if found is not None and len(found) > _TEXT_LENGTH:
        raise ValueError(f"must have at most {_TEXT_LENGTH} characters")
    return found


def zone_of(text: str) -> tzinfo:
    """Return a time zone by its name or its offset from UTC.

    Raises:
        ConfigError: If it is neither.

    Examples:
        >>> zone_of("UTC+3"), zone_of("-05:30")
        (datetime.timezone(datetime.timedelta(seconds=10800)), \
datetime.timezone(datetime.timedelta(days=-1, seconds=66600)))
    """
    plain = text.strip()
    if plain.upper() in ("UTC", "GMT", "Z"):
        return UTC
    offset = _OFFSET.fullmatch(plain)
    if offset is not None and int(offset[2]) <= 14 and int(offset[3] or 0) < 60:
        size = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
        return timezone(size if offset[1] == "+" else -size)
    try:
        return ZoneInfo(plain)
    except (KeyError, ValueError, OSError):
        raise ConfigError(
            f"time_zone must be a zone name such as Europe/Berlin or an offset such as +02:00, "
            f"got {text!r}"
        ) from None
