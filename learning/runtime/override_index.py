"""Which overrides hold in a scope: an index that answers in microseconds.

The overrides of one (pattern, category) are ranked, the best last, and each is one bit of an
integer. For every scope dimension and value one such integer holds the overrides that this value
does *not* rule out. A scope is matched by AND over its dimensions, two of them a step, at most
eight steps whatever the number of overrides; the highest bit that is left wins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, Literal, NamedTuple, get_args

from learning.domain.levers import LEVERS, clamp
from learning.runtime.override_entry import Override

CombineRule = Literal["most_specific", "per_factor"]
MissReason = Literal["no override", "expired", "disabled by flag"]
Values = tuple[object, ...]  # of a scope, in the order of an index's dimensions
_BLOCK: Final = 16384  # overrides; bits of one integer
_KEPT_PAIRS: Final = 256  # of each pair of dimensions and block: at most 512 KiB


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


class OverrideIndex:
    """The overrides of one (kind, pattern, category).

    Args:
        scoped: Those that ask for a market context.
        levels: Those of the setup itself; one of them applies beside a scoped one.
        hidden: Those that a feature flag turns off.
        rule: Whether one scoped override applies, or one per latent factor.
        is_on: Whether overrides are on at all.
    """

    __slots__ = (
        "_getter",
        "_hidden",
        "_is_on",
        "_is_simple",
        "_levels",
        "_names",
        "_rule",
        "_scoped",
    )

    def __init__(
        self,
        scoped: Sequence[Override] = (),
        levels: Sequence[Override] = (),
        hidden: Sequence[Override] = (),
        *,
        rule: CombineRule = "most_specific",
        is_on: bool = True,
    ) -> None:
        asked = {name for part in (scoped, levels, hidden) for one in part for name in one.scope}
        self._names: Final = tuple(sorted(asked))
        self._getter: Final = _getter(self._names)
        self._scoped: Final = _Ranking(scoped, self._names)
        self._levels: Final = _Ranking(levels, self._names)
        self._hidden: Final = _Ranking(hidden, self._names)
        self._rule: Final = rule
        self._is_simple: Final = rule == "most_specific" and not levels
        self._is_on: Final = is_on

    def values(self, scope: Mapping[str, Any]) -> Values:
        """Return the values of the dimensions that any override asks for; None where absent."""
        if type(scope) is dict:  # only there a missing key can do nothing but raise
            try:
                return self._getter(scope)
            except KeyError:
                pass
        return tuple(map(scope.get, self._names))

    def search(self, values: Values, now: float) -> Match:
        """Return what applies where the dimensions have these values, ``now`` in s since 1970."""
        if self._is_simple:
            for block in self._scoped.blocks:
                found = block.matching(values, now)
                if found:
                    return block.best_alone(found)
            return _NOTHING[self._why_none(values, now)]
        chosen = self._scoped.chosen(values, now, self._rule)
        chosen += self._levels.chosen(values, now, "most_specific")
        return _match(chosen) if chosen else _NOTHING[self._why_none(values, now)]

    def _why_none(self, values: Values, now: float) -> MissReason:
        if not self._is_on or self._hidden.matches(values, now):
            return "disabled by flag"
        is_expired = self._scoped.matches(values) or self._levels.matches(values)
        return "expired" if is_expired else "no override"


class _Ranking:
    """Ranked overrides in blocks, the best block first.

    Most scopes find their override in the first block; and a block bounds the memory of a
    dimension with thousands of values, each of which has its bits.
    """

    __slots__ = ("blocks",)

    def __init__(self, overrides: Sequence[Override], names: Sequence[str]) -> None:
        ranked = sorted(overrides, key=_rank)
        ends = range(len(ranked), 0, -_BLOCK)
        self.blocks: Final = tuple(
            _Block(ranked[max(0, end - _BLOCK) : end], names) for end in ends
        )

    def matches(self, values: Values, now: float | None = None) -> bool:
        """Say whether the whole scope of any override holds; without a time, expired ones too."""
        return any(block.matching(values, now) for block in self.blocks)

    def chosen(self, values: Values, now: float, rule: CombineRule) -> tuple[Override, ...]:
        """Return the best override of a scope, or the best one of each latent factor."""
        of_factor: dict[str, Override] = {}
        for block in self.blocks:
            found = block.matching(values, now)
            if found and rule == "most_specific":
                return block.best_alone(found).chosen
            if found:
                of_factor = {**block.best_of_factors(found), **of_factor}
        return tuple(sorted(of_factor.values(), key=_rank, reverse=True)) if of_factor else ()


class _Block:
    """Ranked overrides, the best one last: each is one bit, so the highest bit is the best."""

    __slots__ = ("_alive", "_everyone", "_getter", "_known", "_matches", "_pairs", "_ranked")

    def __init__(self, ranked: Sequence[Override], names: Sequence[str]) -> None:
        self._ranked: Final = tuple(ranked)
        self._everyone: Final = (1 << len(self._ranked)) - 1
        self._alive = (self._everyone, -math.inf)
        self._matches: Final[dict[int, Match]] = {}
        asked = {name for override in self._ranked for name in override.scope}
        places = [i for i, name in enumerate(names) if name in asked]
        places += places[: len(places) % 2]  # an odd one out is paired with the first once more
        masks = [_ValueMasks(self._ranked, names[i]) for i in places]
        pairs = zip(masks[::2], masks[1::2], strict=True)
        self._pairs: Final = tuple(_PairMasks(one, other) for one, other in pairs)
        self._known: Final = tuple(pair.known for pair in self._pairs)
        self._getter: Final = _getter(places)

    def matching(self, values: Values, now: float | None) -> int:
        """Return the bits of the overrides whose whole scope holds; with a time, the unexpired."""
        alive, until = self._alive
        found = self._everyone if now is None else alive if now < until else self._unexpired(now)
        asked = self._getter(values)
        value = iter(asked)
        try:
            for known, one, other in zip(self._known, value, value, strict=False):
                found &= known[one][other]
        except KeyError:
            return self._matching_first(asked, found)
        return found

    def _matching_first(self, asked: Values, found: int) -> int:
        """Do the same where some pair of values is met for the first time."""
        for pair, one, other in zip(self._pairs, asked[::2], asked[1::2], strict=True):
            found &= pair.of(one, other)
        return found

    def _unexpired(self, now: float) -> int:
        left = [i for i, override in enumerate(self._ranked) if override.expires_at > now]
        until = min((self._ranked[i].expires_at for i in left), default=math.inf)
        alive = _bits(left, len(self._ranked))
        # one reference is replaced; a thread that still reads the old pair repeats this work
        self._alive = (alive, until)
        return alive

    def best_alone(self, found: int) -> Match:
        """Return the best of the overrides with the given bits, as what applies."""
        place = found.bit_length()
        match = self._matches.get(place)
        if match is None:
            match = self._matches[place] = _match((self._ranked[place - 1],))
        return match

    def best_of_factors(self, found: int) -> dict[str, Override]:
        """Return by latent factor the best of the overrides with the given bits, best first."""
        of_factor: dict[str, Override] = {}
        while found:
            override = self._ranked[found.bit_length() - 1]
            of_factor.setdefault(override.factor, override)
            found ^= 1 << found.bit_length() - 1
        return of_factor


class _ValueMasks:
    """Of one dimension: per value the overrides that it does not rule out."""

    __slots__ = ("_by_value", "_free")

    def __init__(self, ranked: Sequence[Override], name: str) -> None:
        n = len(ranked)
        asking: dict[object, list[int]] = {}
        indifferent: list[int] = []
        for i, override in enumerate(ranked):
            value = override.scope.get(name)
            (indifferent if value is None else asking.setdefault(value, [])).append(i)
        self._free: Final = _bits(indifferent, n)
        self._by_value: Final = {
            value: self._free | _bits(found, n) for value, found in asking.items()
        }

    def of(self, value: object) -> int:
        """Return the bits of the overrides not ruled out; a text matches without its blanks."""
        value = value.strip() if isinstance(value, str) else value
        return self._by_value.get(value, self._free)


class _PairMasks:
    """Of two dimensions: the same per pair of values, made when a pair is first met.

    Two dimensions a step halve the steps; and a value that no override asks for costs no more
    than one that some do.
    """

    __slots__ = ("_n", "_one", "_other", "known")

    def __init__(self, one: _ValueMasks, other: _ValueMasks) -> None:
        self.known: Final[dict[object, dict[object, int]]] = {}
        self._one: Final = one
        self._other: Final = other
        self._n = 0

    def of(self, value: object, other: object) -> int:
        """Return the bits of the overrides that neither value rules out, and keep them."""
        mask = self.known.get(value, {}).get(other)
        if mask is None:
            mask = self._one.of(value) & self._other.of(other)
            if self._n >= _KEPT_PAIRS:
                self.known.clear()
                self._n = 0
            self.known.setdefault(value, {})[other] = mask
            self._n += 1
        return mask


def _getter(keys: Sequence[Any]) -> Callable[[Any], Values]:
    """Return what takes a tuple of items out, also where there is one key or none."""
    if len(keys) > 1:
        return itemgetter(*keys)
    return lambda items: tuple(items[key] for key in keys)


def _rank(override: Override) -> tuple[int, float, int, int]:
    """Most dimensions first, then lesson strength; ties by the older lesson."""
    lesson = override.lesson
    return len(override.scope), lesson.strength, -lesson.lesson_id, -override.override_id


def _bits(positions: Sequence[int], n: int) -> int:
    octets = bytearray(n // 8 + 1)
    for i in positions:
        octets[i >> 3] |= 1 << (i & 7)
    return int.from_bytes(octets, "little")


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
