"""What candles tell of a trade that its source does not: it fills gaps, and never overwrites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from learning.domain.scope import ScopeValue
from learning.events.completed_trades import TradeSummary

FILLED_NUMBERS: Final = (
    "max_drawdown_pct", "mfe_r", "mae_r", "payback_hours", "missed_entry_rr", "missed_exit_rr",
)  # fmt: skip
_OF_BUCKET: Final = ("bucket_rank_position", "volume_rank")


@dataclass(frozen=True, slots=True)
class FilledContext:
    """The context of a trade from candles: what was known at its entry, and what its path offered.

    Numbers are in the units of ``TradeSummary``; absent where candles could not tell. ``best_*_at``
    is when the better price stood.
    """

    scope: Mapping[str, ScopeValue] = field(default_factory=dict)
    max_drawdown_pct: float | None = None
    mfe_r: float | None = None
    mae_r: float | None = None
    payback_hours: float | None = None
    missed_entry_rr: float | None = None
    missed_exit_rr: float | None = None
    best_entry_at: datetime | None = None
    best_exit_at: datetime | None = None


def filled_summary(
    summary: TradeSummary, context: FilledContext
) -> tuple[TradeSummary, tuple[str, ...]]:
    """Return a summary with its gaps filled, and the names of what was filled.

    Examples:
        >>> from datetime import UTC, datetime
        >>> at = datetime(2024, 3, 1, tzinfo=UTC)
        >>> said = TradeSummary(at, at, mfe_r=2.0)
        >>> filled, names = filled_summary(said, FilledContext(mfe_r=1.9, mae_r=-0.4))
        >>> filled.mfe_r, filled.mae_r, names
        (2.0, -0.4, ('mae_r',))
    """
    gaps = {
        name: value
        for name in FILLED_NUMBERS
        if getattr(summary, name) is None and (value := getattr(context, name)) is not None
    }
    return (replace(summary, **gaps), tuple(gaps)) if gaps else (summary, ())


def filled_scope(
    scope: Mapping[str, ScopeValue], context: FilledContext
) -> tuple[Mapping[str, ScopeValue], tuple[str, ...]]:
    """Return a scope with its gaps filled, and the names of what was filled.

    The rank of a bucket is that of the bucket beside it: where the source names another bucket
    than candles do, it stays absent.

    Examples:
        >>> told = FilledContext(scope={"bucket": "xl", "bucket_rank_position": 1, "session": "us"})
        >>> filled_scope({"bucket": "mid"}, told)
        ({'bucket': 'mid', 'session': 'us'}, ('session',))
    """
    gaps = {name: value for name, value in context.scope.items() if name not in scope}
    if scope.get("bucket", context.scope.get("bucket")) != context.scope.get("bucket"):
        gaps = {name: value for name, value in gaps.items() if name not in _OF_BUCKET}
    return ({**scope, **gaps}, tuple(gaps)) if gaps else (scope, ())
