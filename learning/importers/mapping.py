"""The mapping file: how someone's own columns are called here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, Final

import yaml

from learning.domain.pattern_key import key_part, parse_pattern_key
from learning.domain.scope import ScopeValue, checked_dimensions, scope_value
from learning.errors import ConfigError
from learning.importers.import_answers import ImportAnswers, answers_from, zone_of
from learning.importers.tag_rules import TagRules, tag_rules_from
from learning.importers.value_bins import ValueBins, bins_from

MAX_MAPPING_BYTES: Final = 2**20
_ORIGINS: Final = ("live", "dry_run", "backtest", "simulated")
_PLACEHOLDER: Final = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """How a source's columns become ours. Empty: they already carry our names.

    Attributes:
        columns: Our column name → theirs.
        constants: Scope dimension → the value that every trade has.
        dimensions: Scope dimension → their column (or freqtrade custom-data key).
        signals: Signal name → their column (or custom-data key).
        knobs: Applied knob → their column (or custom-data key).
        pattern: Template of the pattern key, such as ``pm.{Strategy}.{side}.{Setup}``; the names
            in braces are their columns, made into key parts.
        zone: Time zone of times without an offset.
        decimal: Decimal sign of numbers in text; None: seen from the file.
        origin: live, dry_run, backtest or simulated; None: from the source.
        answers: What the file does not say, such as its symbol.
        tags: How the tags of a strategy are read; None: the whole text is the motif.
        bins: Scope dimension → the ranges that its number is put into.
        content: What the mapping file said, to be kept for the next file of the kind.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, ScopeValue] = field(default_factory=dict)
    dimensions: Mapping[str, str] = field(default_factory=dict)
    signals: Mapping[str, str] = field(default_factory=dict)
    knobs: Mapping[str, str] = field(default_factory=dict)
    pattern: str | None = None
    zone: tzinfo = field(default=UTC)
    decimal: str | None = None
    origin: str | None = None
    answers: ImportAnswers = field(default_factory=ImportAnswers)
    tags: TagRules | None = None
    bins: Mapping[str, ValueBins] = field(default_factory=dict)
    content: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def binned(self, dimension: str, value: object) -> object:
        """Return the value of a dimension as a scope has it: its range where it is a number."""
        bins = self.bins.get(dimension)
        return value if bins is None else bins.label(value)

    def column(self, name: str) -> str:
        """Return their name of one of our columns.

        Examples:
            >>> ColumnMapping(columns={"trade_id": "Ticket"}).column("trade_id")
            'Ticket'
        """
        return self.columns.get(name, name)

    def pattern_columns(self) -> tuple[str, ...]:
        """Return their columns that the pattern template names."""
        return tuple(_PLACEHOLDER.findall(self.pattern or ""))

    def pattern_key(self, values: Mapping[str, str | None]) -> str:
        """Return the pattern key of a row, from the values of the template's columns.

        Examples:
            >>> mapping = ColumnMapping(pattern="pm.{Strategy}.{side}.{Setup}")
            >>> mapping.pattern_key({"Strategy": "My EA", "side": "long", "Setup": None})
            'pm.my_ea.long.untagged'
        """
        return _PLACEHOLDER.sub(
            lambda name: key_part(values.get(name[1]) or "", fallback="untagged"),
            self.pattern or "",
        )


def read_mapping(path: Path) -> ColumnMapping:
    """Read a mapping file (YAML, of which JSON is a part).

    Raises:
        ConfigError: If it cannot be read or breaks a rule; the sentence names both.
    """
    try:
        if path.stat().st_size > MAX_MAPPING_BYTES:
            raise ConfigError(f"mapping {path.name} must be at most 1 MB")
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"mapping {path} cannot be read: {error}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"mapping {path.name} is no valid YAML or JSON: {error}") from None
    return mapping_from(content, name=path.name)


def mapping_from(content: object, *, name: str = "mapping") -> ColumnMapping:
    """Return the mapping that a file's content describes.

    Raises:
        ConfigError: If a part is unknown or malformed.

    Examples:
        >>> mapping_from({"columns": {"trade_id": "Ticket"}, "time_zone": "Europe/Berlin"}).zone
        zoneinfo.ZoneInfo(key='Europe/Berlin')
    """
    known = {
        "columns", "constants", "dimensions", "signals", "knobs",
        "pattern", "time_zone", "decimal", "origin", "answers", "tags",
    }  # fmt: skip
    if not isinstance(content, dict):
        raise ConfigError(f"{name} must be a table of {', '.join(sorted(known))}")
    unknown = [str(key) for key in content if key not in known]
    if unknown:
        raise ConfigError(f"{name} has an unknown part {unknown[0]!r}; known: {sorted(known)}")
    return ColumnMapping(
        columns=_names(content, "columns", name),
        constants=_constants(content, name),
        dimensions=_dimensions(content, name),
        signals=_names(content, "signals", name),
        knobs=_names(content, "knobs", name),
        pattern=_pattern(content.get("pattern"), name),
        zone=_zone(content.get("time_zone"), name),
        decimal=_choice(content, "decimal", (".", ","), name),
        origin=_choice(content, "origin", _ORIGINS, name),
        answers=_answers(content, name),
        tags=_tags(content, name),
        bins=_bins(content, name),
        content=dict(content),
    )


def _names(content: Mapping[str, Any], part: str, name: str) -> dict[str, str]:
    pairs = content.get(part) or {}
    if not isinstance(pairs, dict):
        raise ConfigError(f"{part} of {name} must be a table of our name: your column")
    for ours, theirs in pairs.items():
        if not isinstance(ours, str) or not isinstance(theirs, str) or not ours or not theirs:
            raise ConfigError(f"{part} of {name} must pair two names, got {ours!r}: {theirs!r}")
    return dict(pairs)


def _dimensions(content: Mapping[str, Any], name: str) -> dict[str, str]:
    """Scope dimension → their column, also where the column's number is put into ranges."""
    given = content.get("dimensions") or {}
    if not isinstance(given, dict):
        raise ConfigError(f"dimensions of {name} must be a table of our name: your column")
    plain = {
        key: rule.get("column") if isinstance(rule, dict) else rule for key, rule in given.items()
    }
    pairs = _names({"dimensions": plain}, "dimensions", name)
    _check_dimensions(tuple(pairs), "dimensions", name)
    return pairs


def _bins(content: Mapping[str, Any], name: str) -> dict[str, ValueBins]:
    found: dict[str, ValueBins] = {}
    for key, rule in (content.get("dimensions") or {}).items():
        if not isinstance(rule, dict):
            continue
        unknown = [str(part) for part in rule if part not in ("column", "bins", "labels")]
        if unknown:
            raise ConfigError(
                f"{key} in dimensions of {name} has an unknown part {unknown[0]!r}; known: column, "
                "bins, labels"
            )
        found[str(key)] = bins_from(rule, where=f"{key} in dimensions of {name}")
    return found


def _tags(content: Mapping[str, Any], name: str) -> TagRules | None:
    given = content.get("tags")
    return None if given is None else tag_rules_from(given, name=f"tags of {name}")


def _constants(content: Mapping[str, Any], name: str) -> dict[str, ScopeValue]:
    pairs = content.get("constants") or {}
    if not isinstance(pairs, dict):
        raise ConfigError(f"constants of {name} must be a table of dimension: value")
    _check_dimensions(tuple(str(key) for key in pairs), "constants", name)
    present: dict[str, ScopeValue] = {}
    for dimension, value in pairs.items():
        try:
            found = scope_value(str(dimension), value)
        except ValueError as error:
            raise ConfigError(f"constants of {name}: {error}") from None
        if found is not None:
            present[str(dimension)] = found
    return present


def _check_dimensions(dims: tuple[str, ...], part: str, name: str) -> None:
    try:
        if dims:
            checked_dimensions(dims)
    except ValueError as error:
        raise ConfigError(f"{part} of {name}: {error}") from None


def _pattern(value: object, name: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ConfigError(f"pattern of {name} must be text, got {value!r}")
    try:
        parse_pattern_key(_PLACEHOLDER.sub("x", value))
    except ValueError as error:
        raise ConfigError(f"pattern of {name}: {error}") from None
    return value


def _zone(value: object, name: str) -> tzinfo:
    if value is None:
        return UTC
    try:
        return zone_of(str(value))
    except ConfigError as error:
        raise ConfigError(f"time_zone of {name}: {error}") from None


def _answers(content: Mapping[str, Any], name: str) -> ImportAnswers:
    """The answers of a mapping; a time zone that it names is one of them."""
    given = content.get("answers") or {}
    if not isinstance(given, dict):
        raise ConfigError(f"answers of {name} must be a table, got {given!r}")
    zone = content.get("time_zone")
    named = {} if zone is None else {"time_zone": str(zone)}
    return answers_from(named | given, name=f"answers of {name}")


def _choice(
    content: Mapping[str, Any], part: str, allowed: tuple[str, ...], name: str
) -> str | None:
    value = content.get(part)
    if value is not None and value not in allowed:
        raise ConfigError(f"{part} of {name} must be one of {allowed}, got {value!r}")
    return value
