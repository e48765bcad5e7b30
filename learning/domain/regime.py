"""Regimes: phases, cap buckets, the scope of a moment, signatures and their fallbacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from learning.domain.scope import Scope, ScopeValue, scope_value

PHASES: Final = ("Good", "Recover", "Dip", "Double-Dip", "Oh-Shit", "Euphoria", "Chop")
CAP_BUCKETS: Final = ("nano", "micro", "mid", "big", "large", "xl")
_CAP_LIMITS: Final = (100e3, 5e6, 50e6, 500e6, 1e9)  # market cap in dollars, upper limits
MODES: Final = ("patient", "normal", "aggressive")
_SIGNATURE_DIMENSIONS: Final = (
    ("macro", "macro_phase"),
    ("meso", "meso_phase"),
    ("micro", "micro_phase"),
    ("bucket_rank", "bucket_rank_position"),
)


def cap_bucket(market_cap_usd: float) -> str:
    """Return the cap bucket of a market cap in dollars.

    Raises:
        ValueError: If the market cap is negative or no number.

    Examples:
        >>> cap_bucket(3e6), cap_bucket(5e6), cap_bucket(2e9)
        ('micro', 'mid', 'xl')
    """
    if not market_cap_usd >= 0:
        raise ValueError(f"market_cap_usd must be at least 0, got {market_cap_usd}")
    return CAP_BUCKETS[sum(market_cap_usd >= limit for limit in _CAP_LIMITS)]


@dataclass(frozen=True, slots=True)
class RegimeContext:
    """What the market looked like at a moment."""

    macro_phase: str | None = None
    meso_phase: str | None = None
    micro_phase: str | None = None
    bucket_phases: Mapping[str, str] = field(default_factory=dict)
    bucket_rank: Sequence[str] = ()  # the leader first
    bucket_population: Mapping[str, int] = field(default_factory=dict)


def build_scope(context: RegimeContext, *, bucket: str | None, **rest: object) -> Scope:
    """Return the scope of a token in a regime.

    ``bucket_leader`` is the first of ``bucket_rank``; ``bucket_rank_position`` the 1-based
    place of the token's bucket. What is not known is absent.

    Examples:
        >>> build_scope(RegimeContext(macro_phase="Dip", bucket_rank=("mid", "micro")),
        ...             bucket="micro", timeframe="1h")
        {'macro_phase': 'Dip', 'bucket_leader': 'mid', 'bucket_rank_position': 2, \
'bucket': 'micro', 'timeframe': '1h'}
    """
    rank = list(context.bucket_rank)
    given: dict[str, object] = {
        "macro_phase": context.macro_phase,
        "meso_phase": context.meso_phase,
        "micro_phase": context.micro_phase,
        "bucket_leader": rank[0] if rank else None,
        "bucket_rank_position": rank.index(bucket) + 1 if bucket in rank else None,
        "bucket": bucket,
        **rest,
    }
    scope: dict[str, ScopeValue] = {}
    for name, value in given.items():
        present = scope_value(name, value)
        if present is not None:
            scope[name] = present
    return scope


def regime_signature(scope: Scope) -> str:
    """Return the regime signature of a scope: the regime dimensions that it fixes.

    The empty signature stands for all regimes together.

    Examples:
        >>> regime_signature({"macro_phase": "Recover", "bucket_rank_position": 1, "bucket": "xl"})
        'macro=Recover|bucket_rank=1'
        >>> regime_signature({"bucket": "xl"})
        ''
    """
    return "|".join(
        f"{short}={scope[name]}" for short, name in _SIGNATURE_DIMENSIONS if name in scope
    )


def signature_fallbacks(signature: str) -> Iterator[str]:
    """Yield the signature and then ever shorter ones, last the empty one.

    The rightmost part is dropped first.

    Examples:
        >>> list(signature_fallbacks("macro=Dip|micro=Good"))
        ['macro=Dip|micro=Good', 'macro=Dip', '']
    """
    parts = signature.split("|") if signature else []
    for length in range(len(parts), -1, -1):
        yield "|".join(parts[:length])
