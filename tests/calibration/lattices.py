"""Lattices of unpruned findings: groups with two planted effects, all scopes over the bar."""

from __future__ import annotations

import numpy as np

from learning.evidence.trade_events import ABSENT, TradeEvents
from learning.lessons.mining import GroupScores, MiningRun
from learning.meta.latent_factors import (
    Likeness,
    distinct_leads,
    lattice_labels,
    linkage_labels,
)
from learning.simulation.planted_world import (
    PlantedTrades,
    PlantedWorld,
    jaccard,
    trade_events,
)
from learning.simulation.scoring import adjusted_rand
from tests.calibration.worlds import Searched


def lattice_scores(searched: Searched) -> list[tuple[float, float]]:
    """Adjusted Rand index by leads and by linkage of every group that is such a case."""
    world, trades, run = searched.world, searched.trades, searched.run
    events = trade_events(world, trades).canonical()
    pairs = [lattice_score(world, trades, events, run, group) for group in run.scored]
    return [pair for pair in pairs if pair is not None]


def lattice_score(
    world: PlantedWorld,
    trades: PlantedTrades,
    events: TradeEvents,
    run: MiningRun,
    group: GroupScores,
) -> tuple[float, float] | None:
    """Adjusted Rand index by leads and by linkage; nothing where the group is no such case."""
    effects = [effect for effect in world.effects if world.groups[effect.group] == group.key]
    lessons = [set(lesson.trades) for lesson in run.lessons if lesson.group == group.key]
    if len(effects) < 2 or len(lessons) < 2:
        return None
    rejected = np.flatnonzero(np.abs(group.z) >= run.critical_z[group.key])
    rows = np.flatnonzero(events.group == events.groups.index(group.key))
    matched = np.array([members(events, rows, group.scope_codes[j]) for j in rejected])
    active = [effect.share_active(trades)[events.trade[rows]] > 0 for effect in effects]
    overlap = [
        [
            jaccard(row, a) * (np.sign(group.z[j]) == np.sign(effect.delta_rr))
            for a, effect in zip(active, effects, strict=True)
        ]
        for j, row in zip(rejected, matched, strict=True)
    ]
    truth = np.argmax(overlap, axis=1)
    if len(np.unique(truth)) < 2:
        return None
    leads = [i for i, row in enumerate(matched) if set(events.trade[rows[row]]) in lessons]
    same_sign = Likeness.of(matched, directions=np.sign(group.z[rejected]))
    distinct = distinct_leads(same_sign, leads)
    return (
        adjusted_rand(truth, lattice_labels(same_sign, distinct)),
        adjusted_rand(truth, linkage_labels(Likeness.of(matched))),
    )


def members(events: TradeEvents, rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Which of the rows a scope matches."""
    fixed = codes != ABSENT
    return np.all(events.scope_codes[rows][:, fixed] == codes[fixed], axis=1)
