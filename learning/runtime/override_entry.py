"""One override as a bot knows it: read from its entry in the config, or refused with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from learning.domain.levers import (
    CAPITAL_LEVERS,
    EXECUTION_LEVERS,
    LEVERS,
    clamp,
    finite,
    safe_value,
)
from learning.domain.levers import levers_of as capital_levers_of
from learning.domain.pattern_key import ACTION_CATEGORIES, ActionCategory, parse_pattern_key
from learning.domain.scope import MAX_DIMENSIONS, ScopeValue, scope_value

OverrideKind = Literal["strength", "execution", "allocation"]
LIST_OF_KIND: Final[Mapping[OverrideKind, str]] = MappingProxyType(
    {
        "strength": "pattern_strength_overrides",
        "execution": "pattern_overrides",
        "allocation": "alloc_overrides",
    }
)
KINDS: Final[tuple[OverrideKind, ...]] = get_args(OverrideKind)
LESSON_TYPES: Final = ("pm_strength", "pm_tuning", "dm_alloc", "level")
MAX_HOLDOUT_SHARE: Final = 0.5
# Size and allocation are never held out: a cut must not be withheld from anyone.
NEVER_HELD_OUT: Final = frozenset({"size_mult", "alloc_mult"})
_NESTED: Final = ("phase_scaling", "signal_thresholds")


class LessonDisabled(ValueError):
    """An entry in good order whose lesson somebody turned off: nothing of it is kept."""


@dataclass(frozen=True, slots=True)
class LessonReference:
    """The lesson that an override rests on."""

    lesson_id: int
    version: int
    lesson_type: str
    strength: float  # 0 to 1
    latent_factor_id: str | None


@dataclass(frozen=True, slots=True)
class Override:
    """One override, checked: its levers lie within their bounds, its scope is in normal form.

    ``levers`` has flat names (``phase_scaling.S1``); ``thresholds`` is the value of each signal
    threshold; ``expires_at`` in seconds since 1970, UTC; ``clamped`` names the levers whose
    configured value lay out of bounds.
    """

    kind: OverrideKind
    override_id: int
    pattern_key: str
    action_category: ActionCategory
    scope: Mapping[str, ScopeValue]
    levers: Mapping[str, float]
    thresholds: Mapping[str, float]
    expires_at: float
    holdout_share: float
    holdout_salt: str
    lesson: LessonReference
    clamped: tuple[str, ...] = ()

    @property
    def is_level(self) -> bool:
        """Whether it speaks of the pattern itself and applies beside a scope override."""
        return self.lesson.lesson_type == "level"

    @property
    def factor(self) -> str:
        """The latent factor; a lesson without one is a factor of its own."""
        return self.lesson.latent_factor_id or f"lesson {self.lesson.lesson_id}"

    def protective_part(self) -> Override:
        """Return the override with every lever at its safe value: a cut stays, a raise goes."""
        levers = {name: safe_value(LEVERS[name], value) for name, value in self.levers.items()}
        return replace(self, levers=levers, thresholds={})


def read_override(entry: object, kind: OverrideKind) -> Override:
    """Read one entry of an override list.

    A finite lever value out of bounds is clamped; anything else that breaks a rule refuses the
    whole entry.

    Raises:
        LessonDisabled: If its lesson is turned off.
        ValueError: With the field, the rule and the value.
    """
    fields = _mapping(entry, "entry")
    key = parse_pattern_key(_text(fields, "pattern_key"))
    category = fields.get("action_category")
    if category not in ACTION_CATEGORIES:
        raise ValueError(f"action_category must be one of {ACTION_CATEGORIES}, got {category!r}")
    levers, thresholds, clamped = _levers(
        _mapping(fields.get("levers"), "levers"), _allowed(kind, key.module, category)
    )
    share, salt = _holdout(fields.get("holdout"))
    return Override(
        kind=kind,
        override_id=_whole(fields, "override_id"),
        pattern_key=str(key),
        action_category=category,
        scope=_scope(_mapping(fields.get("scope"), "scope")),
        levers=levers,
        thresholds=thresholds,
        expires_at=_instant(fields.get("expires_at")),
        holdout_share=share,
        holdout_salt=salt,
        lesson=_lesson(_mapping(fields.get("lesson"), "lesson")),
        clamped=clamped,
    )


def _allowed(kind: OverrideKind, module: str, category: ActionCategory) -> tuple[str, ...]:
    if kind == "execution":
        return EXECUTION_LEVERS
    if (kind == "allocation") != (module == "dm"):
        raise ValueError(f"{LIST_OF_KIND[kind]} cannot hold an override of module {module!r}")
    return capital_levers_of(module, category)


def _levers(
    raw: Mapping[str, Any], allowed: tuple[str, ...]
) -> tuple[dict[str, float], dict[str, float], tuple[str, ...]]:
    thresholds = _numbers(raw.get("signal_thresholds", {}), "signal_thresholds")
    flat = {name: value for name, value in raw.items() if name not in _NESTED}
    for phase, value in _mapping(raw.get("phase_scaling", {}), "phase_scaling").items():
        flat[f"phase_scaling.{phase}"] = value
    for name in flat:
        if name not in allowed:
            raise ValueError(f"levers must be some of {allowed}, got {name!r}")
    if thresholds and not set(allowed) & set(EXECUTION_LEVERS):
        raise ValueError("signal_thresholds stand only in pattern_overrides")
    numbers = _numbers(flat, "levers")
    levers = {name: clamp(LEVERS[name], value) for name, value in numbers.items()}
    return levers, thresholds, tuple(name for name in levers if levers[name] != numbers[name])


def _numbers(raw: object, name: str) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for key, value in _mapping(raw, name).items():
        number = finite(value)
        if number is None:
            raise ValueError(f"{name}.{key} must be a finite number, got {_shown(value)}")
        numbers[key] = number
    return numbers


def _scope(raw: Mapping[str, Any]) -> dict[str, ScopeValue]:
    if len(raw) > MAX_DIMENSIONS:
        raise ValueError(f"scope must have at most {MAX_DIMENSIONS} dimensions, got {len(raw)}")
    scope: dict[str, ScopeValue] = {}
    for name, value in raw.items():
        present = scope_value(name, value)
        if present is None:  # dropping the condition would widen the override
            raise ValueError(f"scope value of {name!r} must be present, got {value!r}")
        scope[name] = present
    return scope


def _holdout(raw: object) -> tuple[float, str]:
    holdout = _mapping(raw, "holdout")
    share = finite(holdout.get("share"))
    if share is None or not 0 <= share <= MAX_HOLDOUT_SHARE:
        raise ValueError(
            f"holdout.share must be within 0 to {MAX_HOLDOUT_SHARE}, "
            f"got {_shown(holdout.get('share'))}"
        )
    return share, _text(holdout, "salt")


def _lesson(raw: Mapping[str, Any]) -> LessonReference:
    strength = finite(raw.get("strength"))
    if strength is None or not 0 <= strength <= 1:
        raise ValueError(f"lesson.strength must be within 0 to 1, got {_shown(raw['strength'])}")
    if raw.get("type") not in LESSON_TYPES:
        raise ValueError(f"lesson.type must be one of {LESSON_TYPES}, got {raw.get('type')!r}")
    if raw.get("enabled") is False:
        raise LessonDisabled("the lesson is disabled")
    if raw.get("enabled") is not True:
        raise ValueError(f"lesson.enabled must be true, got {_shown(raw.get('enabled'))}")
    factor = raw.get("latent_factor_id")
    if factor is not None and type(factor) is not str:
        raise ValueError(f"lesson.latent_factor_id must be text or null, got {_shown(factor)}")
    return LessonReference(
        lesson_id=_whole(raw, "id"),
        version=_whole(raw, "version"),
        lesson_type=raw["type"],
        strength=strength,
        latent_factor_id=factor or None,
    )


def _instant(raw: object) -> float:
    if type(raw) is not str:
        raise ValueError(f"expires_at must be an instant in ISO 8601, got {_shown(raw)}")
    instant = datetime.fromisoformat(raw)
    if instant.tzinfo is None:
        raise ValueError(f"expires_at must say its time zone, got {raw!r}")
    return instant.timestamp()


def _mapping(raw: object, name: str) -> Mapping[str, Any]:
    if type(raw) is not dict or not all(type(key) is str for key in raw):
        raise ValueError(f"{name} must be an object, got {_shown(raw)}")
    return raw


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if type(value) is not str or not value:
        raise ValueError(f"{name} must be text, got {_shown(value)}")
    return value


def _whole(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{name} must be a whole number from 0, got {_shown(value)}")
    return value


def _shown(value: object) -> str:
    if type(value) is int and value.bit_length() > 100:
        return "a huge integer"  # repr refuses integers of more than 4300 digits
    return f"{type(value).__name__} {repr(value)[:60]}"


assert set(CAPITAL_LEVERS) | set(EXECUTION_LEVERS) == set(LEVERS)
