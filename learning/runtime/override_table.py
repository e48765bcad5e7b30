"""The override table: immutable, one snapshot of the database, read from its JSON.

Per (kind, pattern, category) it holds an index that matches a scope in microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Final

from learning.domain.pattern_key import action_category, normalise_pattern_key
from learning.errors import LearningError
from learning.runtime.override_entry import (
    KINDS,
    LIST_OF_KIND,
    LessonDisabled,
    Override,
    OverrideKind,
    read_override,
)
from learning.runtime.override_index import CombineRule, Match, OverrideIndex

FLAG_ALL: Final = "learning_overrides_enabled"
FLAG_REGIMES: Final = "learning_overrides_enabled_regimes"
FLAG_BUCKETS: Final = "learning_overrides_enabled_buckets"
FLAG_META: Final = "v5_meta_learning_enabled"
_REGIME_DIMENSIONS: Final = frozenset(
    {"macro_phase", "meso_phase", "micro_phase", "bucket_leader", "bucket_rank_position"}
)
_BUCKET_DIMENSIONS: Final = frozenset({"bucket", "bucket_leader", "bucket_rank_position"})
MAX_OVERRIDES: Final = 500_000  # more is no config but a fault
_KEPT_MATCHES: Final = 4096
_KEPT_REFUSALS: Final = 200


class ConfigUnreadable(LearningError):
    """A config as a whole breaks a rule; overrides fall to their safe values."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One entry of a config that is not used, and why."""

    list_name: str
    position: int
    reason: str
    is_replaced: bool  # its predecessor's protective part is kept instead


_Setup = tuple[OverrideKind, str, str]


@dataclass(frozen=True, slots=True)
class OverrideTable:
    """Every override a bot applies, as of one revision of the database.

    Args:
        generation: A restored backup is a new generation.
        revision: Only goes forward within a generation.
        combine: Whether one override applies, or one per latent factor.
        flags: The feature flags.
        overrides: All that were read, also those that a flag turns off.
        refusals: Entries that are not used, the first 200 of ``n_refused``.
    """

    generation: int
    revision: int
    combine: CombineRule = "most_specific"
    flags: Mapping[str, bool] = field(default_factory=dict)
    overrides: tuple[Override, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    n_refused: int = 0
    _indexes: Mapping[_Setup, OverrideIndex] = field(init=False, repr=False, compare=False)
    _elsewhere: OverrideIndex = field(init=False, repr=False, compare=False)
    _spellings: dict[_Setup, OverrideIndex] = field(init=False, repr=False, compare=False)
    _matches: dict[object, Match] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts: dict[_Setup, dict[str, list[Override]]] = {}
        for one in self.overrides:
            setup = (one.kind, one.pattern_key, one.action_category)
            part = "hidden" if self.switched_off_by(one) else "levels" if one.is_level else "scoped"
            parts.setdefault(setup, {}).setdefault(part, []).append(one)
        rule = self.combine if self.is_on(FLAG_META) else "most_specific"
        is_on = self.is_on(FLAG_ALL)
        indexes = {
            setup: OverrideIndex(**found, rule=rule, is_on=is_on) for setup, found in parts.items()
        }
        object.__setattr__(self, "_indexes", indexes)
        object.__setattr__(self, "_elsewhere", OverrideIndex(is_on=is_on))
        object.__setattr__(self, "_spellings", {})
        object.__setattr__(self, "_matches", {})

    def is_on(self, flag: str) -> bool:
        """Say whether a feature flag is on; one that nobody set is."""
        return self.flags.get(flag, True)

    def switched_off_by(self, override: Override) -> str | None:
        """Return the feature flag that keeps an override from applying, if one does."""
        if not self.is_on(FLAG_ALL):
            return FLAG_ALL
        if not self.is_on(FLAG_REGIMES) and not _REGIME_DIMENSIONS.isdisjoint(override.scope):
            return FLAG_REGIMES
        if not self.is_on(FLAG_BUCKETS) and not _BUCKET_DIMENSIONS.isdisjoint(override.scope):
            return FLAG_BUCKETS
        return None

    def find(
        self,
        kind: OverrideKind,
        pattern_key: str,
        category: str,
        scope: Mapping[str, Any],
        now: float,
    ) -> Match:
        """Return what applies to a scope.

        A scope value matches when it is equal after stripping blanks; what is absent, or no
        scope value at all, matches only overrides that do not ask for that dimension.

        Args:
            now: Seconds since 1970, UTC.

        Raises:
            ValueError: If the pattern key or the category is none.
        """
        index = self._indexes.get((kind, pattern_key, category))
        if index is None:
            index = self._index_of(kind, pattern_key, category)
        values = index.values(scope)
        seen = (index, values)
        try:
            match = self._matches.get(seen)
        except TypeError:  # a value that cannot be hashed cannot match either
            return index.search(index.values(clean_scope(scope)), now)
        if match is None or now >= match.valid_until:
            match = index.search(values, now)
            if len(self._matches) >= _KEPT_MATCHES:
                self._matches.clear()
            self._matches[seen] = match
        return match

    def _index_of(self, kind: OverrideKind, pattern_key: str, category: str) -> OverrideIndex:
        """Return the index of a setup in a spelling of the caller's own."""
        spelled = (kind, pattern_key, category)
        index = self._spellings.get(spelled)
        if index is None:
            setup = (kind, normalise_pattern_key(pattern_key), action_category(category))
            index = self._indexes.get(setup, self._elsewhere)
            if len(self._spellings) >= _KEPT_MATCHES:
                self._spellings.clear()
            self._spellings[spelled] = index
        return index

    def asked_of(self, kind: OverrideKind, pattern_key: str, category: str) -> Iterator[Override]:
        """Yield every override of a (pattern, category), used or not; a scan, for explaining."""
        for override in self.overrides:
            where = (override.kind, override.pattern_key, override.action_category)
            if where == (kind, pattern_key, category):
                yield override


def clean_scope(scope: Mapping[str, Any]) -> dict[str, object]:
    """Return the entries of a scope that can match anything.

    Examples:
        >>> clean_scope({"bucket": " micro ", "A_mode": None, "timeframe": ["1h"]})
        {'bucket': 'micro'}
    """
    clean: dict[str, object] = {}
    for name, value in scope.items():
        if isinstance(value, str):
            clean[name] = value.strip()
        elif isinstance(value, Real):  # also those of numpy
            clean[name] = value
    return clean


def holds_in(override: Override, scope: Mapping[str, Any]) -> bool:
    """Say whether the whole scope of an override holds in a clean scope."""
    return all(name in scope and scope[name] == value for name, value in override.scope.items())


def read_table(
    configs: Mapping[str, object],
    *,
    generation: int,
    revision: int,
    flags: Mapping[str, object] | None = None,
    combine: CombineRule = "most_specific",
    previous: OverrideTable | None = None,
) -> OverrideTable:
    """Build the table of one snapshot of the database.

    An entry that breaks a rule is dropped, counted and explained; where the table before held the
    same override in good order, its protective part is kept. A module whose config belongs to
    another generation has no overrides until it is materialised again.

    Args:
        configs: Module name to ``config_data``; a module without a row is absent.
        flags: Feature flags as they stand; they go before those within ``config_data``.
        previous: The table in force so far.

    Raises:
        ConfigUnreadable: If a config as a whole breaks a rule.
    """
    reader = _Reader(previous)
    known_flags: dict[str, bool] = {}
    for module, config in configs.items():
        fields = _object(config, f"config_data of module {module!r}")
        known_flags.update(_checked_flags(fields.get("feature_flags", {})))
        if _number(fields, "generation") == generation:
            _number(fields, "revision")
            reader.read(fields)
    known_flags.update(_checked_flags(flags or {}))
    return OverrideTable(
        generation=generation,
        revision=revision,
        combine=combine,
        flags=known_flags,
        overrides=tuple(reader.found.values()),
        refusals=tuple(reader.refusals),
        n_refused=reader.n_refused,
    )


class _Reader:
    """Collects what the configs of the modules hold."""

    def __init__(self, previous: OverrideTable | None) -> None:
        known = previous.overrides if previous else ()
        self._before = {(o.kind, o.override_id): o for o in known}
        self.found: dict[tuple[OverrideKind, int], Override] = {}
        self.refusals: list[Refusal] = []
        self.n_refused = 0

    def read(self, fields: Mapping[str, Any]) -> None:
        for kind in KINDS:
            entries = fields.get(LIST_OF_KIND[kind], [])
            if type(entries) is not list:
                raise ConfigUnreadable(f"{LIST_OF_KIND[kind]} must be a list, got {entries!r:.60}")
            if len(entries) + len(self.found) > MAX_OVERRIDES:
                raise ConfigUnreadable(f"a config holds at most {MAX_OVERRIDES} overrides")
            for position, entry in enumerate(entries):
                self._read_entry(kind, position, entry)

    def _read_entry(self, kind: OverrideKind, position: int, entry: object) -> None:
        try:
            override = read_override(entry, kind)
            if (kind, override.override_id) in self.found:
                raise ValueError(f"override_id {override.override_id} stands twice")
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            before = None if isinstance(error, LessonDisabled) else self._predecessor(kind, entry)
            self._refuse(kind, position, before, str(error))
        else:
            self.found[kind, override.override_id] = override

    def _predecessor(self, kind: OverrideKind, entry: object) -> Override | None:
        name = entry.get("override_id") if type(entry) is dict else None
        if type(name) is not int or (kind, name) in self.found:
            return None
        return self._before.get((kind, name))

    def _refuse(
        self, kind: OverrideKind, position: int, before: Override | None, reason: str
    ) -> None:
        if before is not None:
            self.found[kind, before.override_id] = before.protective_part()
        self.n_refused += 1
        if len(self.refusals) < _KEPT_REFUSALS:
            refusal = Refusal(LIST_OF_KIND[kind], position, reason, is_replaced=before is not None)
            self.refusals.append(refusal)


def _object(raw: object, name: str) -> Mapping[str, Any]:
    if type(raw) is not dict:
        raise ConfigUnreadable(f"{name} must be an object, got {type(raw).__name__}")
    return raw


def _number(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or not 0 <= value < 2**63:
        raise ConfigUnreadable(f"{name} must be a whole number from 0, got {value!r:.60}")
    return value


def _checked_flags(raw: object) -> dict[str, bool]:
    """Read feature flags; one that is neither true nor false is off: neutral when in doubt."""
    return {str(name): value is True for name, value in _object(raw, "feature_flags").items()}
