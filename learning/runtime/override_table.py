"""The override table: immutable, matched by lookup in microseconds.

The overrides of one (pattern, category) are ranked, the best last, and each is one bit of an
integer. For every scope dimension and value one such integer holds the overrides that this value
does *not* rule out. A scope is matched by AND over its dimensions, at most fifteen operations
whatever the number of overrides; the highest bit that is left wins.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Final, Literal, NamedTuple, get_args

from learning.domain.levers import LEVERS, clamp
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

CombineRule = Literal["most_specific", "per_factor"]
MissReason = Literal["no override", "expired", "disabled by flag"]
FLAG_ALL: Final = "learning_overrides_enabled"
FLAG_REGIMES: Final = "learning_overrides_enabled_regimes"
FLAG_BUCKETS: Final = "learning_overrides_enabled_buckets"
FLAG_META: Final = "v5_meta_learning_enabled"
_REGIME_DIMENSIONS: Final = frozenset(
    {"macro_phase", "meso_phase", "micro_phase", "bucket_leader", "bucket_rank_position"}
)
_BUCKET_DIMENSIONS: Final = frozenset({"bucket", "bucket_leader", "bucket_rank_position"})
MAX_OVERRIDES: Final = 500_000  # more is no config but a fault
_BLOCK: Final = 8192  # overrides; bits of one integer
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


class Match(NamedTuple):
    """What applies to one scope: the overrides chosen, and their levers together.

    ``reason`` says why nothing was chosen, None where something was; ``valid_until`` is the first
    expiry among the chosen, in seconds since 1970.
    """

    chosen: tuple[Override, ...]
    levers: Mapping[str, float]
    thresholds: Mapping[str, float]
    valid_until: float
    reason: MissReason | None


_NOTHING: Final = {reason: Match((), {}, {}, math.inf, reason) for reason in get_args(MissReason)}


def _match(chosen: tuple[Override, ...]) -> Match:
    if len(chosen) == 1:
        (only,) = chosen
        return Match(chosen, only.levers, only.thresholds, only.expires_at, None)
    return Match(
        chosen=chosen,
        levers=combined_levers([o.levers for o in chosen]),
        thresholds=first_wins([o.thresholds for o in chosen]),
        valid_until=min(o.expires_at for o in chosen),
        reason=None,
    )


class _Block:
    """Ranked overrides, the best one last: each is one bit, so the highest bit is the best."""

    __slots__ = ("_alive", "_dimensions", "_everyone", "_ranked")

    def __init__(self, ranked: Sequence[Override]) -> None:
        self._ranked: Final = tuple(ranked)
        self._everyone: Final = (1 << len(self._ranked)) - 1
        self._alive = (self._everyone, -math.inf)
        names = {name for override in self._ranked for name in override.scope}
        self._dimensions: Final = tuple(self._masks_of(name) for name in sorted(names))

    def _masks_of(self, name: str) -> tuple[str, Mapping[object, int], int]:
        """Per value of one dimension the overrides not ruled out, and those that do not ask."""
        n = len(self._ranked)
        asking: dict[object, list[int]] = {}
        indifferent: list[int] = []
        for i, override in enumerate(self._ranked):
            value = override.scope.get(name)
            (indifferent if value is None else asking.setdefault(value, [])).append(i)
        free = _bits(indifferent, n)
        return name, {value: free | _bits(found, n) for value, found in asking.items()}, free

    def matching(self, scope: Mapping[str, Any], now: float | None) -> int:
        """Return the bits of the overrides whose whole scope holds; with a time, the unexpired."""
        found = self._everyone if now is None else self._unexpired(now)
        for name, by_value, free in self._dimensions:
            value = scope.get(name)
            mask = by_value.get(value)
            if mask is None:
                mask = by_value.get(value.strip(), free) if isinstance(value, str) else free
            found &= mask
        return found

    def _unexpired(self, now: float) -> int:
        alive, until = self._alive
        if now < until:
            return alive
        left = [i for i, override in enumerate(self._ranked) if override.expires_at > now]
        until = min((self._ranked[i].expires_at for i in left), default=math.inf)
        alive = _bits(left, len(self._ranked))
        # one reference is replaced; a thread that still reads the old pair repeats this work
        self._alive = (alive, until)
        return alive

    def best(self, found: int) -> Override:
        """Return the best of the overrides with the given bits."""
        return self._ranked[found.bit_length() - 1]

    def best_of_factors(self, found: int) -> dict[str, Override]:
        """Return by latent factor the best of the overrides with the given bits, best first."""
        of_factor: dict[str, Override] = {}
        while found:
            override = self.best(found)
            of_factor.setdefault(override.factor, override)
            found ^= 1 << found.bit_length() - 1
        return of_factor


class _Group:
    """The overrides of one (pattern, category), in blocks, the best block first.

    Most scopes find their override in the first block; and a block bounds the memory of a
    dimension with thousands of values, each of which has its bits.
    """

    __slots__ = ("_blocks",)

    def __init__(self, overrides: Sequence[Override]) -> None:
        ranked = sorted(overrides, key=_rank)
        ends = range(len(ranked), 0, -_BLOCK)
        self._blocks: Final = tuple(_Block(ranked[max(0, end - _BLOCK) : end]) for end in ends)

    def matches(self, scope: Mapping[str, Any], now: float | None = None) -> bool:
        """Say whether the whole scope of any override holds; without a time, expired ones too."""
        return any(block.matching(scope, now) for block in self._blocks)

    def chosen(
        self, scope: Mapping[str, Any], now: float, rule: CombineRule
    ) -> tuple[Override, ...]:
        """Return the best override of a scope, or the best one of each latent factor."""
        of_factor: dict[str, Override] = {}
        for block in self._blocks:
            found = block.matching(scope, now)
            if found and rule == "most_specific":
                return (block.best(found),)
            of_factor = {**block.best_of_factors(found), **of_factor} if found else of_factor
        return tuple(sorted(of_factor.values(), key=_rank, reverse=True))


def _rank(override: Override) -> tuple[int, float, int, int]:
    """Most dimensions first, then lesson strength; ties by the older lesson."""
    lesson = override.lesson
    return len(override.scope), lesson.strength, -lesson.lesson_id, -override.override_id


def _bits(positions: Sequence[int], n: int) -> int:
    octets = bytearray(n // 8 + 1)
    for i in positions:
        octets[i >> 3] |= 1 << (i & 7)
    return int.from_bytes(octets, "little")


_GroupKey = tuple[OverrideKind, str, str]


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
    _scoped: Mapping[_GroupKey, _Group] = field(init=False, repr=False, compare=False)
    _levels: Mapping[_GroupKey, _Group] = field(init=False, repr=False, compare=False)
    _hidden: Mapping[_GroupKey, _Group] = field(init=False, repr=False, compare=False)
    _rule: CombineRule = field(init=False, repr=False, compare=False)
    _matches: dict[object, Match] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        usable = [o for o in self.overrides if self.switched_off_by(o) is None]
        hidden = [o for o in self.overrides if self.switched_off_by(o) is not None]
        object.__setattr__(self, "_scoped", _groups([o for o in usable if not o.is_level]))
        object.__setattr__(self, "_levels", _groups([o for o in usable if o.is_level]))
        object.__setattr__(self, "_hidden", _groups(hidden))
        rule = self.combine if self.is_on(FLAG_META) else "most_specific"
        object.__setattr__(self, "_rule", rule)
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
        try:
            seen: object = (kind, pattern_key, category, tuple(scope), tuple(scope.values()))
            match = self._matches.get(seen)
        except TypeError:  # a value that cannot be hashed cannot be remembered either
            return self._search(kind, pattern_key, category, clean_scope(scope), now)
        if match is None or now >= match.valid_until:
            match = self._search(kind, pattern_key, category, scope, now)
            if len(self._matches) >= _KEPT_MATCHES:
                self._matches.clear()
            self._matches[seen] = match
        return match

    def _search(
        self,
        kind: OverrideKind,
        pattern_key: str,
        category: str,
        scope: Mapping[str, Any],
        now: float,
    ) -> Match:
        key: _GroupKey = (kind, pattern_key, category)
        scoped, levels = self._scoped.get(key), self._levels.get(key)
        if scoped is None and levels is None:
            key = (kind, normalise_pattern_key(pattern_key), action_category(category))
            scoped, levels = self._scoped.get(key), self._levels.get(key)
        chosen = () if scoped is None else scoped.chosen(scope, now, self._rule)
        if levels is not None:
            chosen += levels.chosen(scope, now, "most_specific")
        return _match(chosen) if chosen else _NOTHING[self._why_none(key, scope, now)]

    def _why_none(self, key: _GroupKey, scope: Mapping[str, Any], now: float) -> MissReason:
        if not self.is_on(FLAG_ALL):
            return "disabled by flag"
        hidden = self._hidden.get(key)
        if hidden is not None and hidden.matches(scope, now):
            return "disabled by flag"
        groups = (self._scoped.get(key), self._levels.get(key))
        is_expired = any(group.matches(scope) for group in groups if group is not None)
        return "expired" if is_expired else "no override"

    def asked_of(self, kind: OverrideKind, pattern_key: str, category: str) -> Iterator[Override]:
        """Yield every override of a (pattern, category), used or not; a scan, for explaining."""
        for override in self.overrides:
            where = (override.kind, override.pattern_key, override.action_category)
            if where == (kind, pattern_key, category):
                yield override


def _groups(overrides: Sequence[Override]) -> dict[_GroupKey, _Group]:
    by_key: dict[_GroupKey, list[Override]] = {}
    for override in overrides:
        key: _GroupKey = (override.kind, override.pattern_key, override.action_category)
        by_key.setdefault(key, []).append(override)
    return {key: _Group(found) for key, found in by_key.items()}


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


def combined_levers(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the levers of several overrides together, the best ranked first.

    Multipliers multiply and are clamped; a delay is set, so the best ranked one holds.

    Examples:
        >>> combined_levers([{"size_mult": 1.2, "entry_delay_bars": 1.0},
        ...                  {"size_mult": 1.2, "entry_delay_bars": 4.0}])
        {'size_mult': 1.3, 'entry_delay_bars': 1.0}
    """
    together: dict[str, float] = {}
    for part in parts:
        for name, value in part.items():
            lever = LEVERS[name]
            if name not in together:
                together[name] = value
            elif not lever.whole:
                together[name] *= value
    return {name: clamp(LEVERS[name], value) for name, value in together.items()}


def first_wins(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the union of several mappings; of two values for one name the first holds."""
    together: dict[str, float] = {}
    for part in parts:
        together = {**part, **together}
    return together


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
