"""From trades to the stored scope statistics of each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from learning.domain.regime import regime_signature, signature_fallbacks
from learning.domain.scope import ScopeValue
from learning.evidence.baselines import SegmentBaselines, group_ranks, segment_baselines
from learning.evidence.edge_score import EdgeWeights, ScopeStatistics, scope_statistics
from learning.evidence.scope_cube import ScopeCube, scope_cube
from learning.evidence.trade_events import ABSENT, GroupKey, TradeEvents

Ints = npt.NDArray[np.integer]
WEEK_S = 7 * 86400
_WEIGHT_NAMES = ("time_efficiency", "field_coherence", "recurrence", "variance")
_REGIME_DIMENSIONS = ("macro_phase", "meso_phase", "micro_phase", "bucket_rank_position")

RegimeWeights = Mapping[tuple[str, str, str], Mapping[str, float]]
"""Weights by pattern_key, action_category and regime signature; '' stands for all."""


@dataclass(frozen=True, slots=True, eq=False)
class FrozenReference:
    """What a discovery look fixes, so that later and smaller runs measure alike.

    Attributes:
        clip: Limits of the outcome in R.
        baselines: Reference outcome of every segment.
        buckets: Bucket values behind the rows of ``baselines``.
        timeframes: Timeframe values behind its columns.
    """

    clip: tuple[float, float]
    baselines: SegmentBaselines
    buckets: tuple[ScopeValue, ...]
    timeframes: tuple[ScopeValue, ...]

    def of(self, events: TradeEvents) -> npt.NDArray[np.float64]:
        """Return the baseline of each trade in R."""
        bucket = _codes_into(events, "bucket", self.buckets)
        timeframe = _codes_into(events, "timeframe", self.timeframes)
        return self.baselines.of(bucket, timeframe)

    def to_json(self) -> dict[str, object]:
        """Return plain values from which :meth:`from_json` makes an equal reference."""
        return {
            "clip": list(self.clip),
            "rr": self.baselines.rr.tolist(),
            "buckets": list(self.buckets),
            "timeframes": list(self.timeframes),
        }

    @classmethod
    def from_json(cls, stored: Mapping) -> FrozenReference:
        """Read what :meth:`to_json` wrote."""
        low, high = stored["clip"]
        return cls(
            clip=(low, high),
            baselines=SegmentBaselines(np.array(stored["rr"], dtype=np.float64)),
            buckets=tuple(stored["buckets"]),
            timeframes=tuple(stored["timeframes"]),
        )


def frozen_reference(events: TradeEvents, *, clip: tuple[float, float]) -> FrozenReference:
    """Fit the reference of a discovery look on the distinct trades of a module.

    Args:
        events: Closed trades, at least one; a trade may stand in several groups.
        clip: Limits of the outcome in R.
    """
    _, first = np.unique(events.trade, return_index=True)
    trades = events.where(first)
    buckets, timeframes = _levels(trades, "bucket"), _levels(trades, "timeframe")
    fitted = segment_baselines(
        _codes_into(trades, "bucket", buckets),
        _codes_into(trades, "timeframe", timeframes),
        trades.rr,
    )
    return FrozenReference(clip, fitted, buckets, timeframes)


def _levels(events: TradeEvents, dim: str) -> tuple[ScopeValue, ...]:
    return events.levels[events.dims.index(dim)] if dim in events.dims else ()


def _codes_into(events: TradeEvents, dim: str, values: Sequence[ScopeValue]) -> Ints:
    if dim not in events.dims:
        return np.full(events.n, ABSENT, dtype=np.int64)
    position = {value: code for code, value in enumerate(values)}
    own = [position.get(value, ABSENT) for value in _levels(events, dim)]
    return np.array([*own, ABSENT], dtype=np.int64)[events.scope_codes[:, events.dims.index(dim)]]


def aggregated_scopes(
    events: TradeEvents,
    reference: FrozenReference,
    *,
    n_min: Sequence[int],
    weights: RegimeWeights,
    threads: int = 2,
) -> tuple[ScopeCube, ScopeStatistics]:
    """Return every stored scope of every group with its displayed statistics.

    Args:
        events: Closed trades, codes as they shall be stored.
        reference: Frozen values.
        n_min: Fewest trades by number of dimensions, one entry each.
        weights: Learned regime weights; empty: all 1.
        threads: Groups worked on at once.
    """
    cube = _cube(events, reference.of(events), clip=reference.clip, n_min=n_min, threads=threads)
    return cube, scope_statistics(cube, weights=cell_weights(cube, events, weights))


def _cube(
    events: TradeEvents,
    baseline: npt.NDArray[np.float64],
    *,
    clip: tuple[float, float],
    n_min: Sequence[int],
    threads: int = 1,
) -> ScopeCube:
    efficiency = events.time_efficiency
    ranked = np.full(events.n, np.nan) if efficiency is None else efficiency
    return scope_cube(
        events.group,
        events.scope_codes,
        events.rr,
        closed_at=np.round(events.closed_at_days * 86400).astype(np.int64),
        block_length=WEEK_S,
        n_min=n_min,
        clip=clip,
        baseline=baseline,
        time_rank=group_ranks(events.group, ranked),
        cards=[max(len(values), 1) for values in events.levels],
        n_groups=len(events.groups),
        threads=threads,
    )


@dataclass(frozen=True, slots=True)
class ScopeScores:
    """The displayed statistics of one scope."""

    n: int
    avg_rr: float
    variance: float
    rr_baseline: float
    delta_rr: float
    edge_raw: float
    time_efficiency: float
    field_coherence: float
    recurrence: float
    segments_tested: int
    segments_positive: int


def scope_scores(
    events: TradeEvents,
    key: GroupKey,
    scope: Mapping[str, ScopeValue],
    reference: FrozenReference,
    *,
    weights: RegimeWeights,
) -> ScopeScores | None:
    """Return the displayed statistics of one scope of one group, None where no trade is in it.

    An empty scope is the group itself, measured against the baselines of its trades.
    """
    code = events.group_code(key)
    trades = None if code is None else events.where(events.group == code)
    if trades is None or not trades.scope_matches(scope).any():
        return None
    # one column that says "in scope" makes the scope a cell of a one-dimensional cube
    inside = np.where(trades.scope_matches(scope), 0, ABSENT).astype(np.int16)[:, None]
    narrowed = replace(
        trades,
        group=np.zeros(trades.n, dtype=np.int32),
        groups=(key,),
        dims=("in_scope",),
        scope_codes=inside,
        levels=(("yes",),),
    )
    cube = _cube(narrowed, reference.of(trades), clip=reference.clip, n_min=[1])
    found = regime_weights_for(weights, *key, scope)
    learned = EdgeWeights(**{name: found.get(name, 1.0) for name in _WEIGHT_NAMES})
    columns = scope_statistics(cube, weights=learned)
    return ScopeScores(
        n=int(columns.n[0]),
        avg_rr=float(columns.avg_rr[0]),
        variance=float(columns.variance[0]),
        rr_baseline=float(columns.rr_baseline[0]),
        delta_rr=float(columns.delta_rr[0]),
        edge_raw=float(columns.edge_raw[0]),
        time_efficiency=float(columns.time_efficiency[0]),
        field_coherence=float(columns.field_coherence[0]),
        recurrence=float(columns.recurrence_score[0]),
        segments_tested=int(columns.segments_tested[0]),
        segments_positive=int(columns.segments_positive[0]),
    )


def cell_weights(cube: ScopeCube, events: TradeEvents, weights: RegimeWeights) -> EdgeWeights:
    """Return the regime weights of each cell, by its group and the regime its scope fixes."""
    if not weights:
        return EdgeWeights()
    dims = [i for i, name in enumerate(events.dims) if name in _REGIME_DIMENSIONS]
    asked = np.column_stack([cube.group, cube.scope_codes[:, dims]])
    distinct, inverse = np.unique(asked, axis=0, return_inverse=True)
    table = np.array([_weights_of(row, dims, events, weights) for row in distinct])
    per_cell = table[inverse.ravel()]
    return EdgeWeights(**{name: per_cell[:, i] for i, name in enumerate(_WEIGHT_NAMES)})


def _weights_of(
    row: npt.NDArray[np.integer], dims: Sequence[int], events: TradeEvents, weights: RegimeWeights
) -> list[float]:
    pattern_key, category = events.groups[row[0]]
    scope = {
        events.dims[dim]: events.levels[dim][code]
        for dim, code in zip(dims, row[1:], strict=True)
        if code != ABSENT
    }
    found = regime_weights_for(weights, pattern_key, category, scope)
    return [found.get(name, 1.0) for name in _WEIGHT_NAMES]


def regime_weights_for(
    weights: RegimeWeights, pattern_key: str, category: str, scope: Mapping[str, ScopeValue]
) -> Mapping[str, float]:
    """Return the weights for a scope, each from where it was learned nearest.

    The scope's own signature goes before ever shorter ones, and at each the pattern's own weights
    before those of all patterns. A weight that was learned nowhere is absent.

    Examples:
        >>> learned = {("", "", "macro=Dip"): {"recurrence": 1.2, "variance": 0.8},
        ...            ("pm.a.b.c", "entry", "macro=Dip"): {"recurrence": 1.4}}
        >>> regime_weights_for(learned, "pm.a.b.c", "entry", {"macro_phase": "Dip"})
        {'recurrence': 1.4, 'variance': 0.8}
        >>> regime_weights_for(learned, "pm.a.b.c", "entry", {"macro_phase": "Good"})
        {}
    """
    nearest: dict[str, float] = {}
    for signature in signature_fallbacks(regime_signature(scope)):
        for key in ((pattern_key, category, signature), ("", "", signature)):
            nearest = {**weights.get(key, {}), **nearest}
    return nearest
