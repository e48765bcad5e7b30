"""What a tag says: several signals in one text, levels within a name, parted as configured.

A strategy leaves in one free text what it saw: ``13 15``, ``enter_long_1_enter_long_2_``,
``rsi_40``. Without rules the whole text is the motif of the pattern. With rules it is parted, and
each part can be a dimension, a signal, or stay in the motif.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from learning.domain.pattern_key import key_part
from learning.domain.scope import ScopeValue, checked_dimensions, scope_value
from learning.errors import ConfigError

Motif = Literal["all", "first", "rest"]
MAX_RULES: Final = 30
_MAX_EXPRESSION: Final = 200
_MAX_PARTS: Final = 50


@dataclass(frozen=True, slots=True)
class TagReading:
    """What a tag says; ``motif`` is a part of a pattern key, ``untagged`` where nothing is left."""

    motif: str
    scope: Mapping[str, ScopeValue]
    signals: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TagDimension:
    """How a tag tells a dimension: a value per tag, or what an expression's bracket captures."""

    values: Mapping[str, ScopeValue] = field(default_factory=dict)
    expression: re.Pattern[str] | None = None

    def read(self, part: str) -> ScopeValue | None:
        """Return what a part of a tag says of the dimension; None: nothing."""
        if self.expression is None:
            return self.values.get(part)
        found = self.expression.fullmatch(part)
        return None if found is None else found[1]


@dataclass(frozen=True, slots=True)
class TagRules:
    """How tags are read.

    Attributes:
        split: What parts one tag from the next: a text, blanks if it is one; empty: not parted.
        find: Expression of one tag, where nothing parts them; before ``split``.
        motif: Which tags name the setup: ``all`` of them in alphabetical order, so that their
            order makes no other setup; the ``first``; or the ``rest``, which no rule reads.
        dimensions: Scope dimension → how a tag tells it; the first tag that does counts.
        signals: Signal → expression whose bracket captures its number.
    """

    split: str = ""
    find: re.Pattern[str] | None = None
    motif: Motif = "all"
    dimensions: Mapping[str, TagDimension] = field(default_factory=dict)
    signals: Mapping[str, re.Pattern[str]] = field(default_factory=dict)

    def parts(self, tag: str | None) -> list[str]:
        """Return the tags in a text, each once, in its order.

        Examples:
            >>> TagRules(split=" ").parts(" 13  15 13 ")
            ['13', '15']
            >>> TagRules(find=re.compile(r"enter_long_\\d+")).parts("enter_long_1_enter_long_2_")
            ['enter_long_1', 'enter_long_2']
        """
        text = (tag or "").strip()
        if self.find is not None:
            found = [one.group(0) for one in self.find.finditer(text)]
        elif self.split:
            found = text.split(None if self.split.isspace() else self.split)
        else:
            found = [text]
        named = (part.strip() for part in found[:_MAX_PARTS])
        return list(dict.fromkeys(part for part in named if part))

    def read(self, tag: str | None) -> TagReading:
        """Return what a tag says.

        Examples:
            >>> rules = tag_rules_from(
            ...     {"split": " ", "motif": "rest", "signals": {"rsi": "rsi_([0-9]+)"},
            ...      "dimensions": {"trend": {"up": "with", "down": "against"}}}, name="tags")
            >>> rules.read("dip rsi_40 up")
            TagReading(motif='dip', scope={'trend': 'with'}, signals={'rsi': 40.0})
        """
        scope: dict[str, ScopeValue] = {}
        signals: dict[str, float] = {}
        parts = self.parts(tag)
        rest = [part for part in parts if not self._told(part, scope, signals)]
        chosen = {"all": sorted(parts), "first": parts[:1], "rest": sorted(rest)}[self.motif]
        whole = not self.split and self.find is None
        motif = (tag or "") if whole and chosen == parts else " ".join(chosen)
        return TagReading(key_part(motif, fallback="untagged"), scope, signals)

    def _told(self, part: str, scope: dict[str, ScopeValue], signals: dict[str, float]) -> bool:
        """Note what a part says; whether any rule reads it."""
        is_read = False
        for name, rule in self.dimensions.items():
            value = rule.read(part)
            if value is not None:
                is_read = True
                scope.setdefault(name, value)
        for name, expression in self.signals.items():
            found = expression.fullmatch(part)
            number = None if found is None else _number(found[1])
            if number is not None:
                is_read = True
                signals.setdefault(name, number)
        return is_read


def _number(text: str) -> float | None:
    try:
        number = float(text.replace("_", "."))
    except ValueError:
        return None
    return number if abs(number) < 1e300 else None


def tag_rules_from(content: object, *, name: str) -> TagRules:
    """Return the rules that the part ``tags`` of a mapping file describes.

    Raises:
        ConfigError: If a part is unknown or malformed; the sentence names it.
    """
    known = ("split", "find", "motif", "dimensions", "signals")
    if not isinstance(content, Mapping):
        raise ConfigError(f"{name} must be a table of {', '.join(known)}")
    unknown = [str(key) for key in content if key not in known]
    if unknown:
        raise ConfigError(f"{name} has an unknown part {unknown[0]!r}; known: {', '.join(known)}")
    split, motif = content.get("split", ""), content.get("motif", "all")
    if not isinstance(split, str):
        raise ConfigError(f"split of {name} must be the text between two tags, got {split!r}")
    if motif not in ("all", "first", "rest"):
        raise ConfigError(f"motif of {name} must be all, first or rest, got {motif!r}")
    find = content.get("find")
    return TagRules(
        split=split,
        find=None if find is None else _expression(find, f"find of {name}", brackets=False),
        motif=motif,
        dimensions=_rules(content, "dimensions", name, _dimension),
        signals=_rules(content, "signals", name, _signal),
    )


def _rules(
    content: Mapping[Any, Any], part: str, name: str, read: Callable[[str, object, str], Any]
) -> dict[str, Any]:
    given = content.get(part) or {}
    where = f"{part} of {name}"
    if not isinstance(given, Mapping) or len(given) > MAX_RULES:
        raise ConfigError(f"{where} must be a table of at most {MAX_RULES} names")
    try:
        if given:
            checked_dimensions([str(key) for key in given][:15])
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None
    return {str(key): read(str(key), rule, f"{key} in {where}") for key, rule in given.items()}


def _dimension(dimension: str, rule: object, where: str) -> TagDimension:
    if isinstance(rule, str):
        return TagDimension(expression=_expression(rule, where, brackets=True))
    if not isinstance(rule, Mapping) or not rule:
        raise ConfigError(f"{where} must be an expression, or a table of tag: value, got {rule!r}")
    values: dict[str, ScopeValue] = {}
    for tag, value in rule.items():
        try:
            told = scope_value(dimension, value)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from None
        if told is not None:
            values[str(tag)] = told
    return TagDimension(values=values)


def _signal(_: str, rule: object, where: str) -> re.Pattern[str]:
    return _expression(rule, where, brackets=True)


def _expression(rule: object, where: str, *, brackets: bool) -> re.Pattern[str]:
    if not isinstance(rule, str) or not 0 < len(rule) <= _MAX_EXPRESSION:
        raise ConfigError(f"{where} must be an expression such as rsi_([0-9]+), got {rule!r}")
    try:
        found = re.compile(rule)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(f"{where} is no regular expression: {error}") from None
    if brackets and found.groups != 1:
        raise ConfigError(f"{where} must have one bracket, around the value, got {rule!r}")
    return found
