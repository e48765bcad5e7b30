"""The demo: trades with a planted truth, learned from, approved and replayed by a small bot."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Engine

from jobs.job import Progress
from jobs.runner import Runner
from learning.domain.scope import scope_text
from learning.errors import LearningError
from learning.settings import Settings
from learning.simulation.demo_trades import (
    DEMO_DAYS,
    PlantedEdge,
    PlantedFinding,
    demo_scope,
    demo_start,
    demo_strands,
    demo_world,
    found_against_planted,
    true_edge_rr,
    true_level_rr,
)
from learning.simulation.demo_trades import SETUPS as DEMO_SETUPS
from learning.store import (
    database,
    decision_rows,
    job_rows,
    lesson_rows,
    state_rows,
    strand_rows,
)
from learning.store.embedded import stop_server
from learning.store.lesson_rows import StoredLesson

ACTOR: Final = "demo"
DEMO_SEED: Final = 2026
_MARK: Final = "this-is-the-demo"
_REPLAYED: Final = 400


def demo_settings(settings: Settings) -> Settings:
    """Return the settings of the demo: a folder and a database of its own."""
    home = settings.home.with_name(f"{settings.home.name}-demo")
    return settings.model_copy(update={"home": home, "database_url": None, "outcome": None})


def start_over(home: Path) -> None:
    """Remove an earlier demo.

    Raises:
        LearningError: If the folder is there and was not made by the demo.
    """
    if home.exists():
        if not (home / _MARK).exists():
            raise LearningError(f"{home} was not made by the demo: it is left alone")
        stop_server(home)
        shutil.rmtree(home)


def mark(home: Path) -> None:
    """Mark a home folder as the demo's."""
    (home / _MARK).touch()


@dataclass(frozen=True, slots=True)
class DemoTrades:
    """How much the demo loaded."""

    trades: int
    strands: int


def load(engine: Engine, *, seed: int, tell: Progress) -> DemoTrades:
    """Load the history as strands, as a live bot's arrive."""
    world = demo_world(seed)
    trades = world.sample()
    with database.transaction(engine) as connection:
        state_rows.mark_demo(connection)
        start = demo_start(job_rows.database_now(connection))
        strands = demo_strands(
            trades, start=start, bot="demo-history", origin="simulated", prefix="h"
        )
        tell(0, trades.n, "trades")
        appended = strand_rows.append(connection, strands)
    return DemoTrades(trades.n, appended)


def compare(engine: Engine) -> tuple[list[PlantedFinding], list[Mapping[str, Any]]]:
    """Return what was found of the planted edges, and the lessons that are none of them."""
    with database.transaction(engine, read_only=True) as connection:
        lessons = lesson_rows.read_lessons(connection)
    return found_against_planted(
        [
            {
                "lesson": one.label,
                "pattern_key": one.key[0],
                "scope": dict(one.scope),
                "edge_rr": one.stats["posterior_mean_rr"],
                "ci_low_rr": one.stats["ci_low_rr"],
                "ci_high_rr": one.stats["ci_high_rr"],
                "n": one.n,
                "half_life_hours": one.decay_halflife_hours,
                "half_life_state": one.half_life_state,
            }
            for one in lessons
            if one.lesson_type != "level" and one.status != "watch"
        ]
    )


def compare_levels(engine: Engine, *, seed: int) -> tuple[int, int]:
    """Return how many level lessons there are, and how many have the wrong sign or none."""
    world = demo_world(seed)
    with database.transaction(engine, read_only=True) as connection:
        lessons = lesson_rows.read_lessons(connection)
    levels = [one for one in lessons if one.lesson_type == "level" and one.status != "watch"]
    wrong = [
        one
        for one in levels
        if true_level_rr(world, one.key[0], one.scope) * one.stats["posterior_mean_rr"] <= 0
    ]
    return len(levels), len(wrong)


def finding_row(finding: PlantedFinding, *, seed: int) -> Sequence[object]:
    """Return one line of the comparison."""
    edge, found = finding.edge, finding.found
    left = f"{true_edge_rr(demo_world(seed), edge):+.2f}"
    planted = (
        edge.pattern_key,
        scope_text(edge.scope),
        f"{edge.delta_rr:+.2f}{_decay(edge)}",
        left,
    )
    if found is None:
        return (*planted, "missed", "", "", "")
    hours = found["half_life_hours"]
    fitted = found["half_life_state"] if hours is None else f"{hours / 24:.0f} d"
    return (
        *planted,
        f"{found['lesson']}: {scope_text(found['scope'])}",
        f"{found['edge_rr']:+.2f} ({found['ci_low_rr']:+.2f} to {found['ci_high_rr']:+.2f})",
        found["n"],
        fitted,
    )


def _decay(edge: PlantedEdge) -> str:
    return "" if edge.half_life_days is None else f" at first, half-life {edge.half_life_days:g} d"


def approve_lessons(runner: Runner) -> list[StoredLesson]:
    """Approve the proposals as actor ``demo``; return the approved.

    The last scope lesson and the last level lesson are left, so that there is something to decide.
    """
    with database.transaction(runner.engine) as connection:
        proposed = lesson_rows.read_lessons(connection, statuses=("proposed",))
        last_of_kind = {one.lesson_type: one.lesson_id for one in proposed}
        chosen = [one for one in proposed if one.lesson_id not in last_of_kind.values()]
        for lesson in chosen:
            decision_rows.decide(
                connection,
                lesson_id=lesson.lesson_id,
                version=lesson.version,
                status="proposed",
                decision="approve",
                actor=ACTOR,
                reason="approved by the demo, to show what follows",
                token=uuid4(),
                source="demo",
                approvals_required=1,
            )
    while (ended := runner.run_queued("materialise_overrides")) is not None:
        if ended.status != "ok":
            raise LearningError(f"materialise_overrides {ended.status}: {ended.error}")
    return chosen


def replay_bot(settings: Settings, engine: Engine, *, seed: int, tell: Progress) -> int:
    """Let a small bot trade on: it asks for its levers, then records entry and close.

    Returns:
        Trades in which an override took part.
    """
    from learning.bot.config_feed import start_config_feed
    from learning.runtime.apply import apply_pattern_strength_overrides

    trades = demo_world(seed).sample(
        _REPLAYED, from_day=DEMO_DAYS - 14.0, to_day=float(DEMO_DAYS), sample_seed=1
    )
    url = database.resolve_url(settings.database_url, settings.home)
    feed = start_config_feed(url, bot="demo-bot", origin="dry_run", combine=settings.combine)
    applied = 0
    try:
        for i in range(trades.n):
            levers = apply_pattern_strength_overrides(
                DEMO_SETUPS[int(trades.group[i])],
                "entry",
                demo_scope(trades, i),
                {"A_value": 0.5, "E_value": 0.5, "position_size_frac": 0.1},
                trade_id=f"b-{i:06d}",
            )
            applied += bool(levers.outcome.applications)
            if i % 50 == 0:
                tell(i, trades.n, "trades of the bot")
    finally:
        feed.stop()
    with database.transaction(engine) as connection:
        start = demo_start(job_rows.database_now(connection))
        strands = demo_strands(trades, start=start, bot="demo-bot", origin="dry_run", prefix="b")
        strand_rows.append(connection, strands)
    return applied
