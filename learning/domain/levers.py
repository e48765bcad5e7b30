"""The lever table: bounds, neutral value, step and risky direction, defined once.

The lesson builder, the database's CHECK constraints and the bot's runtime all read it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from learning.domain.pattern_key import ActionCategory

RiskyDirection = Literal["up", "down", "none"]
LeverKind = Literal["capital", "execution"]


@dataclass(frozen=True, slots=True)
class Lever:
    """One adjustable multiplier or delay.

    ``step`` is its largest move per epoch (one UTC day); ``risky`` the direction that adds risk.
    """

    name: str
    kind: LeverKind
    low: float
    high: float
    neutral: float
    step: float
    risky: RiskyDirection
    whole: bool = False  # counted in bars: rounded toward 0 at the runtime


def _multiplier(
    name: str, low: float, high: float, *, kind: LeverKind, risky: RiskyDirection = "none"
) -> Lever:
    return Lever(name, kind, low, high, neutral=1.0, step=0.02, risky=risky)


def _delay(name: str, high: float) -> Lever:
    return Lever(name, "execution", 0.0, high, neutral=0.0, step=1.0, risky="none", whole=True)


PHASES_SCALED: Final = ("S1", "S2", "S3")
_ALL: Final = (
    _multiplier("size_mult", 0.7, 1.3, kind="capital", risky="up"),
    _multiplier("alloc_mult", 0.7, 1.3, kind="capital", risky="up"),
    _multiplier("entry_aggression_mult", 0.8, 1.2, kind="capital", risky="up"),
    _multiplier("exit_aggression_mult", 0.8, 1.2, kind="capital", risky="down"),
    _delay("entry_delay_bars", 5),
    _multiplier("phase1_frac_mult", 0.5, 1.5, kind="execution"),
    _multiplier("trim_delay_mult", 0.5, 2.0, kind="execution"),
    _multiplier("trail_mult", 0.5, 2.0, kind="execution"),
    _multiplier("panic_trigger_mult", 0.5, 2.0, kind="execution"),
    _delay("wait_n_bars_after_trim", 10),
    *(_multiplier(f"phase_scaling.{p}", 0.5, 1.5, kind="execution") for p in PHASES_SCALED),
)
LEVERS: Final[Mapping[str, Lever]] = MappingProxyType({lever.name: lever for lever in _ALL})
CAPITAL_LEVERS: Final = tuple(lever.name for lever in _ALL if lever.kind == "capital")
EXECUTION_LEVERS: Final = tuple(lever.name for lever in _ALL if lever.kind == "execution")
THRESHOLD_PREFIX: Final = "signal_thresholds."

_OPENING: Final = ("entry", "add")


def levers_of(module: str, category: ActionCategory) -> tuple[str, ...]:
    """Return the capital levers that a lesson of this module and category may carry.

    The size of an exit is never scaled.

    Examples:
        >>> levers_of("pm", "trim")
        ('exit_aggression_mult',)
        >>> levers_of("dm", "entry")
        ('alloc_mult',)
    """
    if module == "dm":
        return ("alloc_mult",)
    if category in _OPENING:
        return ("size_mult", "entry_aggression_mult", "exit_aggression_mult")
    return ("exit_aggression_mult",)


def clamp(lever: Lever, value: object) -> float:
    """Return a value within a lever's bounds; neutral where it is no finite number.

    ``min(max(nan, low), high)`` is nan and ``float(10**400)`` raises, so the type and
    finiteness are tested first; a bool is no number here.

    Examples:
        >>> clamp(LEVERS["size_mult"], 2.0), clamp(LEVERS["size_mult"], float("nan"))
        (1.3, 1.0)
        >>> clamp(LEVERS["size_mult"], True), clamp(LEVERS["size_mult"], 10**400)
        (1.0, 1.0)
    """
    number = finite(value)
    if number is None:
        return lever.neutral
    return min(max(number, lever.low), lever.high)


def finite(value: object) -> float | None:
    """Return a value as a finite float, or None where it is none.

    Examples:
        >>> finite(2), finite("2"), finite(float("inf")), finite(True)
        (2.0, None, None, None)
    """
    if type(value) is not float and type(value) is not int:
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def adds_risk(lever: Lever, value: float) -> bool:
    """Say whether a value lies on the risky side of neutral.

    Examples:
        >>> adds_risk(LEVERS["size_mult"], 1.1), adds_risk(LEVERS["exit_aggression_mult"], 0.9)
        (True, True)
        >>> adds_risk(LEVERS["size_mult"], 0.9)
        False
    """
    if lever.risky == "up":
        return value > lever.neutral
    return lever.risky == "down" and value < lever.neutral


def safe_value(lever: Lever, last_known_good: float | None) -> float:
    """Return the value a lever falls to when its source is stale or unreadable.

    A protective cut survives, nothing that adds risk does.

    Examples:
        >>> safe_value(LEVERS["size_mult"], 0.8), safe_value(LEVERS["size_mult"], 1.2)
        (0.8, 1.0)
        >>> safe_value(LEVERS["exit_aggression_mult"], 1.1)
        1.1
        >>> safe_value(LEVERS["trail_mult"], 1.4)
        1.0
    """
    if last_known_good is None or lever.risky == "none":
        return lever.neutral
    value = clamp(lever, last_known_good)
    return lever.neutral if adds_risk(lever, value) else value
