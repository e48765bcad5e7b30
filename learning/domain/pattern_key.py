"""Pattern keys and action categories: the one place where their spelling is known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

Module = Literal["pm", "dm"]
ActionCategory = Literal["entry", "add", "trim", "exit"]

MODULES: Final[tuple[Module, ...]] = get_args(Module)
ACTION_CATEGORIES: Final[tuple[ActionCategory, ...]] = get_args(ActionCategory)
MAX_KEY_LENGTH: Final = 200

_CATEGORY_OF_DECISION: Final[dict[str, ActionCategory]] = {
    "entry": "entry",
    "entry_immediate": "entry",
    "e1": "entry",
    "e2": "entry",
    "add": "add",
    "scale_up": "add",
    "trim": "trim",
    "partial_exit": "trim",
    "exit": "exit",
    "cut": "exit",
    "emergency_exit": "exit",
    "panic_exit": "exit",
}
_PART = re.compile(r"[A-Za-z0-9_\-]+")
_OLD_SPELLING = re.compile(r"module=(?P<module>[^|]+)\|pattern_key=(?P<rest>.+)")


@dataclass(frozen=True, slots=True)
class PatternKey:
    """A setup: ``<module>.<family>.<state>.<motif>``."""

    module: Module
    family: str
    state: str
    motif: str

    def __str__(self) -> str:
        return f"{self.module}.{self.family}.{self.state}.{self.motif}"


def parse_pattern_key(text: str) -> PatternKey:
    """Read a pattern key in either spelling.

    Raises:
        ValueError: If it is not text, too long, names no known module or has not four parts.

    Examples:
        >>> str(parse_pattern_key("pm.uptrend.S1.buy_flag"))
        'pm.uptrend.S1.buy_flag'
        >>> str(parse_pattern_key("module=pm|pattern_key=uptrend.S1.buy_flag"))
        'pm.uptrend.S1.buy_flag'
    """
    if not isinstance(text, str):
        raise ValueError(f"pattern_key must be text, got {type(text).__name__}")
    if len(text) > MAX_KEY_LENGTH:
        raise ValueError(f"pattern_key must have at most {MAX_KEY_LENGTH} characters")
    old = _OLD_SPELLING.fullmatch(text.strip())
    spelled = f"{old['module']}.{old['rest']}" if old else text.strip()
    parts = spelled.split(".")
    if len(parts) != 4 or not all(_PART.fullmatch(part) for part in parts):
        raise ValueError(f"pattern_key must be <module>.<family>.<state>.<motif>, got {text!r}")
    module, family, state, motif = parts
    if module not in MODULES:
        raise ValueError(f"pattern_key must start with one of {MODULES}, got {text!r}")
    return PatternKey(module, family, state, motif)


def normalise_pattern_key(text: str) -> str:
    """Return the one spelling of a pattern key.

    Examples:
        >>> normalise_pattern_key("module=pm|pattern_key=uptrend.S1.buy_flag")
        'pm.uptrend.S1.buy_flag'
    """
    return str(parse_pattern_key(text))


def key_part(text: str, *, fallback: str) -> str:
    """Turn free text (a strategy name, a tag) into one part of a pattern key.

    Examples:
        >>> key_part("13 15 ", fallback="untagged")
        '13_15'
        >>> key_part("", fallback="untagged")
        'untagged'
    """
    cleaned = re.sub(r"[^a-z0-9_]", "_", text.strip().lower()).strip("_")
    return cleaned[:64] or fallback


def action_category(decision_type: str) -> ActionCategory:
    """Return the category of a decision type.

    Raises:
        ValueError: If the decision type is not known.

    Examples:
        >>> action_category("emergency_exit"), action_category("E1")
        ('exit', 'entry')
    """
    category = _CATEGORY_OF_DECISION.get(str(decision_type).strip().lower())
    if category is None:
        known = ", ".join(_CATEGORY_OF_DECISION)
        raise ValueError(f"decision_type must be one of {known}, got {decision_type!r}")
    return category


DECISION_TYPES: Final[tuple[str, ...]] = tuple(_CATEGORY_OF_DECISION)
