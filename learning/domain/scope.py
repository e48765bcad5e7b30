"""Scopes: ordered dimensions, masks, subsets, and what counts as absent."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from learning.domain.pattern_key import Module

ScopeValue = str | int
Scope = Mapping[str, ScopeValue]

PM_DIMENSIONS: Final = (
    "macro_phase", "meso_phase", "micro_phase", "bucket_leader", "bucket_rank_position",
    "market_family", "bucket", "timeframe", "A_mode", "E_mode",
)  # fmt: skip
DM_DIMENSIONS: Final = (
    "curator_tier", "intent", "chain", "macro_phase", "meso_phase", "micro_phase",
    "bucket_leader", "bucket_rank_position", "market_family", "bucket",
)  # fmt: skip
MAX_DIMENSIONS: Final = 15  # the mask is a SMALLINT
MAX_VALUE_LENGTH: Final = 64
DEFAULT_DIMENSIONS: Final[Mapping[Module, tuple[str, ...]]] = {
    "pm": PM_DIMENSIONS,
    "dm": DM_DIMENSIONS,
}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")


def checked_dimensions(dims: Sequence[str]) -> tuple[str, ...]:
    """Return the dimension list, or say which rule it breaks.

    Raises:
        ValueError: If the list is empty, longer than 15, repeats a name or holds an odd one.
    """
    if not 1 <= len(dims) <= MAX_DIMENSIONS:
        raise ValueError(f"a module has 1 to {MAX_DIMENSIONS} scope dimensions, got {len(dims)}")
    if len(set(dims)) != len(dims):
        raise ValueError(f"scope dimensions must differ, got {list(dims)}")
    for name in dims:
        if not _NAME.fullmatch(name):
            raise ValueError(f"scope dimension must be a plain name, got {name!r}")
    return tuple(dims)


def scope_value(name: str, value: object) -> ScopeValue | None:
    """Return a scope value in its one form; None where it is absent.

    ``Unknown``, null and empty mean absent. A whole float becomes an integer, since a table
    with gaps reads its integers as floats.

    Raises:
        ValueError: If the value is neither text of at most 64 characters nor an integer.

    Examples:
        >>> scope_value("bucket", "micro"), scope_value("bucket", "Unknown")
        ('micro', None)
        >>> scope_value("bucket_rank_position", 2.0)
        2
    """
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, bool):
        raise ValueError(f"scope value of {name!r} must be text or an integer, got {value!r}")
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, int):
        if abs(value) >= 2**53:
            raise ValueError(f"scope value of {name!r} must be below 2**53, got {value!r}")
        return value
    if isinstance(value, str):
        return _text_value(name, value)
    raise ValueError(f"scope value of {name!r} must be text or an integer, got {value!r}")


def _text_value(name: str, value: str) -> str | None:
    text = value.strip()
    if text == "" or text.lower() == "unknown":
        return None
    if len(text) > MAX_VALUE_LENGTH:
        raise ValueError(
            f"scope value of {name!r} must have at most {MAX_VALUE_LENGTH} characters, "
            f"got {len(text)}"
        )
    if not text.isprintable():
        raise ValueError(f"scope value of {name!r} must be printable, got {text!r}")
    return text


def present_scope(scope: Mapping[str, object], dims: Sequence[str]) -> dict[str, ScopeValue]:
    """Return the configured dimensions of a scope that are present, in dimension order.

    Examples:
        >>> present_scope({"bucket": "micro", "chain": "sol", "A_mode": None}, PM_DIMENSIONS)
        {'bucket': 'micro'}
    """
    found: dict[str, ScopeValue] = {}
    for name in dims:
        value = scope_value(name, scope.get(name))
        if value is not None:
            found[name] = value
    return found


def scope_mask(scope: Scope, dims: Sequence[str]) -> int:
    """Return the mask: bit *i* stands for dimension *i*.

    Raises:
        ValueError: If the scope names a dimension that is not configured.

    Examples:
        >>> scope_mask({"macro_phase": "Dip", "bucket": "micro"}, PM_DIMENSIONS)
        65
    """
    unknown = [name for name in scope if name not in dims]
    if unknown:
        raise ValueError(f"scope dimension {unknown[0]!r} is not configured among {list(dims)}")
    return sum(1 << i for i, name in enumerate(dims) if name in scope)


def mask_dimensions(mask: int, dims: Sequence[str]) -> tuple[str, ...]:
    """Return the dimensions of a mask, in order.

    Examples:
        >>> mask_dimensions(65, PM_DIMENSIONS)
        ('macro_phase', 'bucket')
    """
    if not 0 < mask < 1 << len(dims):
        raise ValueError(f"scope mask must be in 1..{(1 << len(dims)) - 1}, got {mask}")
    return tuple(name for i, name in enumerate(dims) if mask >> i & 1)


def canonical_scope(scope: Scope) -> str:
    """Return a scope as text that is equal exactly when the scopes are equal.

    Examples:
        >>> canonical_scope({"bucket": "micro", "A_mode": "normal"})
        '{"A_mode":"normal","bucket":"micro"}'
    """
    return json.dumps(dict(sorted(scope.items())), separators=(",", ":"), ensure_ascii=False)


def scope_hash(scope: Scope) -> str:
    """Return the hash that identifies the values of a scope (32 hexadecimal digits).

    MD5 of the canonical text, since the database computes the same for ``pattern_scope_stats``;
    it names scopes and protects nothing.

    Examples:
        >>> scope_hash({})  # the MD5 of "{}"
        '99914b932bd37a50b983c5e7c90ae93b'
    """
    return hashlib.md5(canonical_scope(scope).encode(), usedforsecurity=False).hexdigest()


def parents(scope: Scope) -> Iterator[dict[str, ScopeValue]]:
    """Yield the scopes with one dimension fewer.

    Examples:
        >>> list(parents({"bucket": "micro", "A_mode": "normal"}))
        [{'A_mode': 'normal'}, {'bucket': 'micro'}]
    """
    if len(scope) < 2:
        return
    for name in scope:
        yield {other: value for other, value in scope.items() if other != name}


def is_inside(scope: Scope, context: Scope) -> bool:
    """Say whether every condition of a scope holds in a context.

    Examples:
        >>> is_inside({"bucket": "micro"}, {"bucket": "micro", "A_mode": "normal"})
        True
    """
    return all(name in context and context[name] == value for name, value in scope.items())


def scope_text(scope: Scope) -> str:
    """Return a scope for people.

    Examples:
        >>> scope_text({"macro_phase": "Dip", "bucket": "micro"})
        'macro_phase = Dip, bucket = micro'
        >>> scope_text({})
        'all trades'
    """
    return ", ".join(f"{name} = {value}" for name, value in scope.items()) or "all trades"
