"""Trades with a known truth for the demo: eight setups, five planted edges, the rest is noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid5

import numpy as np
import numpy.typing as npt

from learning.domain.regime import MODES
from learning.domain.scope import PM_DIMENSIONS, Scope, ScopeValue
from learning.events.strands import Strand
from learning.simulation.planted_world import (
    PlantedEffect,
    PlantedTrades,
    PlantedWorld,
    planted_world,
)

DEMO_DAYS: Final = 540
_COST_RR: Final = 0.04  # fees, in R
_RISK_USDT: Final = 100.0
_NAMESPACE: Final = UUID("6f1c2a4e-9f0e-4c6b-8a55-0d4d3f1f7c11")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

SETUPS: Final = (
    "pm.trend.S2.pullback", "pm.breakout.S1.range_high", "pm.breakout.S1.squeeze",
    "pm.reversion.S0.bounce", "pm.trend.S1.ema_cross", "pm.momentum.S2.ignition",
    "pm.reversion.S0.spring", "pm.breakdown.S4.range_low",
)  # fmt: skip
_PHASES: Final = ("Good", "Recover", "Dip", "Double-Dip", "Oh-Shit", "Euphoria")
_BUCKETS: Final = ("nano", "micro", "mid", "big", "large", "xl")
LEVELS: Final[Mapping[str, tuple[ScopeValue, ...]]] = {
    "macro_phase": _PHASES,
    "meso_phase": _PHASES,
    "micro_phase": _PHASES,
    "bucket_leader": _BUCKETS,
    "bucket_rank_position": (1, 2, 3, 4, 5, 6),
    "market_family": ("l1", "defi", "meme"),
    "bucket": _BUCKETS,
    "timeframe": ("15m", "1h", "4h", "1d"),
    "A_mode": MODES,
    "E_mode": MODES,
}
_SYMBOLS: Final = ("ALFA", "BRVO", "CHRL", "DLTA", "ECHO", "FOXT", "GOLF", "HOTL")


@dataclass(frozen=True, slots=True)
class PlantedEdge:
    """An edge that the demo plants: which setup, in which context, how much.

    Attributes:
        pattern_key: The setup.
        scope: The context.
        delta_rr: Shift in R; at the first day where it decays.
        half_life_days: None where it does not decay.
    """

    pattern_key: str
    scope: Scope
    delta_rr: float
    half_life_days: float | None = None


PLANTED_EDGES: Final = (
    PlantedEdge("pm.trend.S2.pullback", {"A_mode": "patient"}, 0.9),
    PlantedEdge("pm.breakout.S1.range_high", {"micro_phase": "Euphoria"}, 1.3),
    PlantedEdge("pm.breakout.S1.squeeze", {"timeframe": "15m"}, 2.4, half_life_days=150),
    PlantedEdge("pm.reversion.S0.bounce", {"bucket_rank_position": 1}, -1.1),
    PlantedEdge("pm.trend.S1.ema_cross", {"market_family": "defi", "E_mode": "aggressive"}, 1.5),
)


def demo_world(seed: int, *, n_trades: int = 14_000) -> PlantedWorld:
    """Return the demo's market: regimes, shared shocks and fat tails, and the five edges.

    Examples:
        >>> world = demo_world(1, n_trades=100)
        >>> len(world.effects), world.sample().n
        (5, 100)
    """
    world = planted_world(seed, null=True, n_patterns=2, n_trades=n_trades, shock=0.6)
    share = np.linspace(1.6, 0.6, len(SETUPS))
    effects = tuple(_effect(i, edge) for i, edge in enumerate(PLANTED_EDGES))
    return replace(
        world,
        group_share=share / share.sum(),
        base_rr=np.full(len(SETUPS), _COST_RR),  # before its edge a setup earns its costs
        timeframe_share=np.full_like(world.timeframe_share, 0.25),
        effects=effects,
    )


def _effect(number: int, edge: PlantedEdge) -> PlantedEffect:
    scope = tuple(
        (PM_DIMENSIONS.index(name), LEVELS[name].index(value)) for name, value in edge.scope.items()
    )
    return PlantedEffect(
        effect_id=number,
        kind="stationary" if edge.half_life_days is None else "decay",
        group=SETUPS.index(edge.pattern_key),
        scope=scope,
        delta_rr=edge.delta_rr,
        half_life_days=edge.half_life_days,
    )


def demo_start(now: datetime) -> datetime:
    """Return the day the demo's history begins, so that it ends in the week of ``now``.

    Shifted by whole weeks: weekly blocks, and so every number, stay the same on any day.
    """
    weeks = int((now - _EPOCH) / timedelta(days=7)) - DEMO_DAYS // 7 - 1
    return _EPOCH + timedelta(days=7 * weeks)


def demo_strands(
    trades: PlantedTrades, *, start: datetime, bot: str, origin: str, prefix: str
) -> Iterator[Strand]:
    """Yield each trade as a bot would record it: its entry, then its close.

    Args:
        trades: Drawn from the demo's world.
        start: Day 0.
        bot: Under which name.
        origin: ``simulated`` for history, ``dry_run`` for the replayed bot.
        prefix: Of the trade ids, so that two samples never clash.
    """
    for i in range(trades.n):
        trade_id = f"{prefix}-{i:06d}"
        yield from (
            _strand(kind, content, trade_id, bot=bot, origin=origin)
            for kind, content in demo_trade(trades, i, trade_id, start=start)
        )


def demo_trade(
    trades: PlantedTrades, i: int, trade_id: str, *, start: datetime
) -> Sequence[tuple[str, dict[str, Any]]]:
    """Return the contents of one trade's strands, by kind."""
    payback_days = 1 / float(trades.time_efficiency[i]) - 1
    closed_at = start + timedelta(days=float(trades.closed_at_days[i]))
    opened_at = closed_at - timedelta(days=min(payback_days, 3.0) + 0.02)
    action: dict[str, Any] = {
        "pattern_key": SETUPS[int(trades.group[i])],
        "action_category": "entry",
        "scope": demo_scope(trades, i),
        "controls": {"signals": {}, "applied_knobs": {}},
        "ts": opened_at.isoformat(),
    }
    rr = round(float(trades.rr[i]), 6)
    summary = {
        "symbol": f"{_SYMBOLS[i % len(_SYMBOLS)]}/USDT",
        "side": "short" if "breakdown" in action["pattern_key"] else "long",
        "opened_at": opened_at.isoformat(),
        "closed_at": closed_at.isoformat(),
        "r_multiple": rr,
        "r_multiple_net": round(rr - _COST_RR, 6),
        "payback_hours": round(24 * payback_days, 3),
        "risk_amount": _RISK_USDT,
        "pnl_amount": round((rr - _COST_RR) * _RISK_USDT, 2),
        "currency": "USDT",
    }
    close = {
        "trade_id": trade_id,
        "entry_context": {},
        "trade_summary": summary,
        "completed_trades": [action],
    }
    return [("pm_action", action), ("position_closed", close)]


def demo_scope(trades: PlantedTrades, i: int) -> dict[str, ScopeValue]:
    """Return the scope of one trade by name."""
    return {
        name: LEVELS[name][int(trades.levels[i, dim])] for dim, name in enumerate(PM_DIMENSIONS)
    }


def _strand(
    kind: str, content: Mapping[str, Any], trade_id: str, *, bot: str, origin: str
) -> Strand:
    return Strand(
        strand_key=uuid5(_NAMESPACE, f"{bot}|{kind}|{trade_id}"),
        kind=kind,
        module="pm",
        bot=bot,
        origin=origin,
        content=content,
        trade_id=trade_id,
        position_id=trade_id,
    )


@dataclass(frozen=True, slots=True)
class PlantedFinding:
    """A planted edge beside what was found of it; None where nothing was."""

    edge: PlantedEdge
    found: Mapping[str, Any] | None


def found_against_planted(
    lessons: Sequence[Mapping[str, Any]],
) -> tuple[list[PlantedFinding], list[Mapping[str, Any]]]:
    """Compare lessons with the planted edges.

    A lesson finds an edge where setup and sign are right and one context lies inside the other.

    Args:
        lessons: Each with ``pattern_key``, ``scope`` and ``edge_rr``.

    Returns:
        One finding per planted edge, and the lessons that found none of them.
    """
    findings = [
        PlantedFinding(edge, next((one for one in lessons if _finds(one, edge)), None))
        for edge in PLANTED_EDGES
    ]
    false = [one for one in lessons if not any(_finds(one, edge) for edge in PLANTED_EDGES)]
    return findings, false


def true_level_rr(world: PlantedWorld, pattern_key: str, scope: Scope) -> float:
    """Return what trades of a setup, or of it in one context, truly earn after costs, in R.

    The mean over the history's own trades of base, planted edges and costs, without noise.

    Raises:
        ValueError: If no trade is there.
    """
    trades = world.sample()
    inside = _inside(trades, pattern_key, scope)
    if not inside.any():
        raise ValueError(f"no trade of {pattern_key} in {dict(scope)}")
    return float((trades.base_rr + trades.true_shift_rr)[inside].mean()) - _COST_RR


def true_edge_rr(world: PlantedWorld, edge: PlantedEdge) -> float:
    """Return what is left of a planted edge against its whole setup, decay included, in R.

    A lesson compares a context with its setup, whose mean holds the edge's own trades too: less
    than what was planted is right.
    """
    trades = world.sample()
    group = _inside(trades, edge.pattern_key, {})
    inside = _inside(trades, edge.pattern_key, edge.scope)
    shift = trades.true_shift_rr
    return float(shift[inside].mean() - shift[group].mean())


def _inside(trades: PlantedTrades, pattern_key: str, scope: Scope) -> npt.NDArray[np.bool_]:
    inside: npt.NDArray[np.bool_] = trades.group == SETUPS.index(pattern_key)
    for name, value in scope.items():
        inside &= trades.levels[:, PM_DIMENSIONS.index(name)] == LEVELS[name].index(value)
    return inside


def _finds(lesson: Mapping[str, Any], edge: PlantedEdge) -> bool:
    own, planted = set(lesson["scope"].items()), set(edge.scope.items())
    same_context = bool(own) and (own <= planted or planted <= own)
    same_sign = (lesson["edge_rr"] > 0) == (edge.delta_rr > 0)
    return lesson["pattern_key"] == edge.pattern_key and same_context and same_sign
