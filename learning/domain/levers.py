"""The lever table: bounds, neutral value, step and risky direction, defined once.

The lesson builder, the database's CHECK constraints and the bot's runtime all read it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from learning.domain.pattern_key import ActionCategory

RiskyDirection = Literal["up", "down", "none"]
LeverKind = Literal["capital", "execution"]
ThresholdKind = Literal["min", "max"]


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
    on_grid: bool = False  # stands only whole steps away from neutral


@dataclass(frozen=True, slots=True)
class ThresholdRange:
    """Where a signal threshold may stand, on its signal's own scale.

    The loose end of the range (``low`` of a ``min``, ``high`` of a ``max``) is where the bot
    stands by itself, and counts as neutral: a learned threshold only ever tightens.

    Attributes:
        signal: Name of the signal in ``controls.signals``.
        kind: ``min``: act at the value or above; ``max``: at the value or below.
        low: Lowest value.
        high: Highest value.
        step: Largest move per epoch, and the grid that values stand on.

    Raises:
        ValueError: If the range is empty, not finite, or narrower than one step.

    Examples:
        >>> ThresholdRange("TS", "max", low=0.2, high=0.5, step=0.1).values
        (0.4, 0.3, 0.2)
    """

    signal: str
    kind: ThresholdKind
    low: float
    high: float
    step: float

    def __post_init__(self) -> None:
        ends = (self.low, self.high, self.step)
        if not all(math.isfinite(end) for end in ends) or not 0 < self.step <= (
            self.high - self.low + 1e-12
        ):
            raise ValueError(
                "a threshold needs finite low < high and a step above 0 within them, got "
                f"low {self.low}, high {self.high}, step {self.step}"
            )
        if (self.high - self.low) / self.step > MAX_THRESHOLD_STEPS:
            raise ValueError(
                f"a threshold may have at most {MAX_THRESHOLD_STEPS} steps from low to high, got "
                f"low {self.low}, high {self.high}, step {self.step}"
            )

    @property
    def values(self) -> tuple[float, ...]:
        """Every value but the neutral one, from loose to tight."""
        loose, sign = (self.low, 1) if self.kind == "min" else (self.high, -1)
        count = math.floor((self.high - self.low) / self.step + 1e-9)
        return tuple(round(loose + sign * i * self.step, 9) for i in range(1, count + 1))

    def lever(self, name: str) -> Lever:
        """Return the threshold as a lever, under its flat name."""
        loose = self.low if self.kind == "min" else self.high
        return Lever(
            THRESHOLD_PREFIX + name, "execution", self.low, self.high, neutral=loose,
            step=self.step, risky="none", on_grid=True,
        )  # fmt: skip


def _multiplier(
    name: str, low: float, high: float, *, kind: LeverKind, risky: RiskyDirection = "none"
) -> Lever:
    return Lever(name, kind, low, high, neutral=1.0, step=0.02, risky=risky)


def _delay(name: str, high: float) -> Lever:
    return Lever(name, "execution", 0.0, high, neutral=0.0, step=1.0, risky="none", whole=True)


MAX_THRESHOLD_STEPS: Final = 100
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
_THRESHOLD_NAME: Final = re.compile(r"[a-z][a-z0-9_]*_for_(entry|add|trim|exit)")

_OPENING: Final = ("entry", "add")


def threshold_category(name: str) -> ActionCategory:
    """Return which decisions a threshold gates, as its name says.

    Raises:
        ValueError: If the name does not end in ``_for_`` and an action category.

    Examples:
        >>> threshold_category("min_ts_for_add")
        'add'
    """
    found = _THRESHOLD_NAME.fullmatch(name)
    if found is None:
        raise ValueError(
            f"a threshold's name must end in _for_entry, _for_add, _for_trim or _for_exit, "
            f"got {name!r}"
        )
    return found[1]  # type: ignore[return-value]


def with_thresholds(ranges: Mapping[str, ThresholdRange]) -> Mapping[str, Lever]:
    """Return the lever table with configured signal thresholds, by flat name.

    Examples:
        >>> levers = with_thresholds({"min_ts_for_add": ThresholdRange("TS", "min", 0, 1, 0.1)})
        >>> levers["signal_thresholds.min_ts_for_add"].neutral, "size_mult" in levers
        (0, True)
    """
    return {
        **LEVERS,
        **{THRESHOLD_PREFIX + name: given.lever(name) for name, given in ranges.items()},
    }


def levers_of(module: str, category: ActionCategory) -> tuple[str, ...]:
    """Return the capital levers that a lesson of this module and category may carry.

    The size of an exit is never scaled.

    Examples:
        >>> levers_of("pm", "trim")
        ('exit_aggression_mult',)
        >>> levers_of("dm", "entry"), levers_of("dm", "exit")
        (('alloc_mult',), ())
    """
    if module == "dm":
        return ("alloc_mult",) if category in _OPENING else ()
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
