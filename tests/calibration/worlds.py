"""Planted worlds, searched once: seeds that no setting was chosen on, and their scores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from learning.lessons.mining import MiningRun, surviving_lessons
from learning.simulation.planted_world import (
    PlantedTrades,
    PlantedWorld,
    planted_world,
    trade_events,
)
from learning.simulation.scoring import LessonScore, emitted_lesson, score_lessons

PLANTED_SEEDS = (*range(100, 112), *range(200, 212), *range(400, 412))
NULL_SEEDS = tuple(range(400, 420))


@dataclass(frozen=True, eq=False)
class Searched:
    """A world, what was drawn from it, what the search said, and how that compares."""

    world: PlantedWorld
    trades: PlantedTrades
    run: MiningRun
    score: LessonScore


def searched(world: PlantedWorld) -> Searched:
    """Search a world as a user would, and score what may be approved."""
    trades = world.sample()
    run = surviving_lessons(trade_events(world, trades), fdr_target=0.1, look=1, seed=0)
    lessons = [emitted_lesson(world, one) for one in run.lessons if one.status == "proposed"]
    return Searched(world, trades, run, score_lessons(world, trades, lessons))


@cache
def default_world(seed: int, *, null: bool = False) -> Searched:
    """Search a default world, once per process."""
    return searched(planted_world(seed, null=null))
