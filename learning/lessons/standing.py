"""Standing lessons between discovery looks: the same scopes, measured on today's trades."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from learning.evidence.block_statistics import MIN_POOLED_BLOCKS, ScopeSets
from learning.evidence.trade_events import GroupKey, TradeEvents
from learning.lessons.scope_edges import (
    EvidenceReference,
    GroupTrades,
    ScopeEdge,
    ScopePairs,
    measured_scopes,
    scope_edge,
    scored_scopes,
    trades_by_group,
)


@dataclass(frozen=True, slots=True)
class StandingScope:
    """The identity of a lesson: its (pattern_key, action_category) and its conditions."""

    group: GroupKey
    scope: ScopePairs


@dataclass(frozen=True, slots=True)
class Undetermined:
    """A statistic that the data cannot support."""

    reason: str  # "3.1 effective blocks in scope, 4 needed"


def standing_edges(
    events: TradeEvents, standing: Sequence[StandingScope], *, reference: EvidenceReference
) -> tuple[ScopeEdge | Undetermined, ...]:
    """Measure given scopes again, without a search and without a new error level.

    Clip limits, clustering, skewness and the prior of the edges are those of the discovery
    look; group, weeks and scope are those of the events given, so nothing but new trades moves
    a number.

    Args:
        events: All trades so far, in the dimensions of the reference.
        standing: The scopes.
        reference: From the discovery look.

    Returns:
        One edge per scope, in the order given, or why it cannot be told.

    Raises:
        ValueError: If the dimensions differ from those of the reference, or a scope names
            another one.
    """
    if events.dims != reference.dims:
        raise ValueError(
            f"events must have the dimensions of the reference {list(reference.dims)}, "
            f"got {list(events.dims)}"
        )
    groups = {
        trades.key: trades for trades in trades_by_group(events.canonical(), reference.scale.clip)
    }
    return tuple(_standing_edge(groups.get(one.group), one.scope, reference) for one in standing)


def _standing_edge(
    trades: GroupTrades | None, scope: ScopePairs, reference: EvidenceReference
) -> ScopeEdge | Undetermined:
    _check_dimensions(scope, reference.dims)
    if trades is None:
        return Undetermined("no trades of this pattern and category")
    sets = given_scopes(trades, [scope])
    reason = _why_not_comparable(trades, int(sets.n[0]))
    if reason is not None:
        return Undetermined(reason)
    measured = measured_scopes(trades, sets)
    held = float(measured.evidence.n_effective_blocks[0])
    if held < MIN_POOLED_BLOCKS:
        return Undetermined(f"{held:.1f} effective blocks in scope, {MIN_POOLED_BLOCKS:g} needed")
    scored = scored_scopes(
        measured,
        clustering=reference.clustering,
        prior_dof=reference.prior_dof,
        outcome_skewness=reference.scale.skewness,
    )
    return scope_edge(scored, 0, reference.prior)


def _check_dimensions(scope: ScopePairs, dims: tuple[str, ...]) -> None:
    for name, _ in scope:
        if name not in dims:
            raise ValueError(f"scope dimension {name!r} is not among {list(dims)}")


def _why_not_comparable(trades: GroupTrades, n: int) -> str | None:
    if n < 2:
        return f"{n} trades in scope, 2 needed"
    if n == trades.n:
        return "every trade of the group is in scope: nothing to compare with"
    if np.ptp(trades.outcome) == 0:
        return "every trade of the group has the same outcome"
    return None


def given_scopes(trades: GroupTrades, scopes: Iterable[ScopePairs]) -> ScopeSets:
    """Return the trades of given scopes of a group; none where a value was never seen."""
    codes = np.array([_codes(trades, scope) for scope in scopes], dtype=np.int16)
    rows = [
        np.flatnonzero(((trades.scope_codes == wanted) | (wanted == -1)).all(axis=1))
        for wanted in codes
    ]
    used = codes != -1
    return ScopeSets(
        codes=codes,
        n_dims=used.sum(axis=1).astype(np.int64),
        mask=(used * (1 << np.arange(codes.shape[1]))).sum(axis=1).astype(np.int64),
        indptr=np.cumsum([0, *(len(part) for part in rows)]).astype(np.int64),
        rows=np.concatenate(rows).astype(np.int32),
        n_rows=trades.n,
        n_searched=len(rows),
    )


def _codes(trades: GroupTrades, scope: ScopePairs) -> npt.NDArray[np.int16]:
    """Level codes of a scope: -1 = not used, -2 = a value that no trade has."""
    codes = np.full(len(trades.dims), -1, dtype=np.int16)
    for name, value in scope:
        i = trades.dims.index(name)
        codes[i] = trades.levels[i].index(value) if value in trades.levels[i] else -2
    return codes
