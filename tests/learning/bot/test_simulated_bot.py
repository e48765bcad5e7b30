"""A bot trades while lessons are learned, approved and disabled: all is accounted for and true.

The bot is a process of its own. What it was told is replayed from the history of moves, by a few
lines of this module that share nothing with the runtime.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from jobs.job import silent
from jobs.runner import Runner
from jobs.timetable import JOBS, LEARNING_ORDER
from learning.runtime.holdout import holdout_number
from learning.settings import Settings
from learning.store import (
    decision_rows,
    lesson_rows,
    prescription_rows,
    strand_rows,
    switch_rows,
)
from learning.store.database import create_engine, transaction
from learning.store.lesson_rows import StoredLesson
from learning.store.schema import (
    override_applications,
    override_effects,
    override_history,
    pattern_trade_events,
)
from tests.learning.bot.simulated_bot import (
    BASE,
    MALFORMED_EVERY,
    PLAN,
    PLAN_RR,
    PLAN_SCOPE,
    PLANTED_RR,
    PLANTED_SCOPE,
    SETUP,
    SHARE,
    SIGNAL,
    part_waited_for,
)
from tests.learning.store.stored_lessons import CLEAR, decide, store_lesson

ROOT = Path(__file__).parents[3]
HOLDOUT_SHARE = 0.2
_FACTORS = {
    "entry_aggression_mult": "A_value",
    "exit_aggression_mult": "E_value",
    "size_mult": "position_size_frac",
    "trail_mult": "trail_speed",
    "alloc_mult": "allocation",
}
BASES: Mapping[str, Mapping[str, Any]] = {"strength": BASE, "plan": PLAN, "share": SHARE}


@dataclass(frozen=True)
class Simulation:
    """What is left when the bot has ended."""

    runner: Runner
    n: int
    lines: list[dict[str, Any]]
    ended: dict[str, Any]

    def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        with self.runner.engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


def simulated(runner: Runner, url: str, folder: Path, *, n: int, pause_s: float) -> Simulation:
    """Let the bot trade ``n`` trades while this process learns, approves, disables and kills."""
    log = folder / "bot.jsonl"
    bot = subprocess.Popen(
        [sys.executable, "-m", "tests.learning.bot.simulated_bot", url, str(log), str(n),
         str(pause_s)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until(bot, lambda: accounts(runner).strands >= 3 * part_waited_for(n))
        learn(runner)
        store_plan(runner)
        approve_all(runner)
        interfere(runner, bot, total=n - part_waited_for(n))
        told, _ = bot.communicate(timeout=240)
    finally:
        bot.kill()
    assert bot.returncode == 0
    learn(runner, "ingest_strands", "aggregate_scopes", "measure_effects")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return Simulation(runner, n, lines, json.loads(told))


def interfere(runner: Runner, bot: subprocess.Popen[str], *, total: int) -> None:
    """Disable the planted lesson, approve it again, and turn the kill switch, while it trades."""
    lesson = planted(runner)

    def applied(share: float) -> Callable[[], bool]:
        return lambda: n_applied(runner, lesson.lesson_id) >= share * total / 2

    until(bot, applied(0.2))
    with transaction(runner.engine) as connection:
        decide(connection, lesson.lesson_id, "disable")
    learn(runner, "ingest_strands", "aggregate_scopes")
    approve_all(runner)
    until(bot, applied(0.25))
    turn(runner, on=False)
    learn(runner, "ingest_strands")
    turn(runner, on=True)


def store_plan(runner: Runner) -> None:
    """Propose a lesson on how to act; the stream has no price path to learn it from."""
    levers = {"trail_mult": 1.2, "entry_delay_bars": 2}
    with transaction(runner.engine) as connection:
        store_lesson(
            connection, scope=PLAN_SCOPE, pattern_key=SETUP, lesson_type="pm_tuning",
            outcome="r_multiple", effect={"capital_levers": {}, "execution_levers": levers},
            stats={**CLEAR, "posterior_mean_rr": 0.4},
        )  # fmt: skip


def learn(runner: Runner, *names: str) -> None:
    for name in names or LEARNING_ORDER:
        ended = runner.run_now(name, requested_by="test", progress=silent)
        assert ended is not None
        assert ended.status == "ok", (name, ended.error)


def approve_all(runner: Runner) -> None:
    """Approve what is proposed, and what was disabled, as a person would."""
    with transaction(runner.engine) as connection:
        lessons = lesson_rows.read_lessons(connection, statuses=("proposed", "disabled"))
        assert lessons, "nothing was learned"
        for lesson in lessons:
            decide(connection, lesson.lesson_id, "approve")
    learn(runner, "materialise_overrides")


def turn(runner: Runner, *, on: bool) -> None:
    with transaction(runner.engine) as connection:
        switch_rows.set_switch(
            connection, on=on, actor="ann", reason="looking at it closely", confirmation="ENABLE"
        )


def planted(
    runner: Runner, scope: Mapping[str, Any] = PLANTED_SCOPE, kind: str = "pm_strength"
) -> StoredLesson:
    with transaction(runner.engine) as connection:
        [lesson] = [
            one
            for one in lesson_rows.read_lessons(connection)
            if dict(one.scope) == scope and one.lesson_type == kind
        ]
    return lesson


def accounts(runner: Runner) -> strand_rows.Accounts:
    with transaction(runner.engine) as connection:
        return strand_rows.accounts(connection)


def n_applied(runner: Runner, lesson_id: int) -> int:
    c = override_applications.c
    with transaction(runner.engine) as connection:
        counted = sa.select(sa.func.count()).where(c.lesson_id == lesson_id)
        return connection.scalar(counted) or 0


def until(bot: subprocess.Popen[str], holds: Callable[[], bool], *, within_s: float = 120) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert bot.poll() in (None, 0), "the bot has fallen"
        assert time.monotonic() < deadline
        if bot.poll() == 0:
            return
        time.sleep(0.02)


@pytest.fixture
def runner(fresh_database: str) -> Iterator[Runner]:
    settings = Settings.from_env(database_url=fresh_database)
    made = Runner(create_engine(fresh_database), settings, JOBS)
    yield made
    made.engine.dispose()


def check_strands(simulation: Simulation) -> None:
    """Every strand that the bot noted is there once, taken in or quarantined."""
    n_malformed = math.ceil(simulation.n / MALFORMED_EVERY)
    found = accounts(simulation.runner)
    assert found.strands == 3 * simulation.n + n_malformed == simulation.ended["delivered"]
    assert (found.ingested, found.quarantined) == (3 * simulation.n, n_malformed)
    assert (found.ignored, found.pending) == (0, 0)
    assert {simulation.ended[name] for name in ("dropped", "waiting", "telemetry_dropped")} == {0}
    events = simulation.rows(pattern_trade_events)
    for key in (SETUP, SIGNAL):
        trades = [event["trade_id"] for event in events if event["pattern_key"] == key]
        assert len(set(trades)) == len(trades) == simulation.n
    assert len(events) == 2 * simulation.n
    assert {event["provenance"] for event in events} == {"action_strand"}


Prescribed = dict[int, list[tuple[int, int, dict[str, float]]]]


def prescriptions(simulation: Simulation) -> Prescribed:
    """By lesson its moves: generation, revision, levers from there on."""
    moves: Prescribed = {}
    for row in sorted(simulation.rows(override_history), key=lambda row: row["id"]):
        after = row["levers_after"] or {}
        moves.setdefault(row["lesson_id"], []).append((row["generation"], row["revision"], after))
    return moves


def prescribed(moves: Prescribed, lesson_id: int, generation: int, revision: int) -> Any:
    before = [m for m in moves[lesson_id] if m[:2] <= (generation, revision)]
    return before[-1][2]


def check_levers(simulation: Simulation) -> None:
    """What the bot was told is what the revision that it names prescribes, arm by arm."""
    moves, n_adjusted, revisions = prescriptions(simulation), dict.fromkeys(BASES, 0), set()
    for line in simulation.lines:
        for kind, base in BASES.items():
            told = line[kind]
            expected = by_hand(moves, told, base)
            assert told["levers"] == pytest.approx(expected, rel=1e-12), (kind, line)
            n_adjusted[kind] += expected != base
            revisions.add(told["revision"])
    assert min(n_adjusted.values()) > 100, n_adjusted
    assert len(revisions) >= 3  # nothing yet, approved, approved again
    assert "kill switch" in {line["strength"]["reason"] for line in simulation.lines}


def by_hand(moves: Prescribed, told: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The levers after the moves that a trade's overrides have made up to its revision."""
    expected = dict(base)
    for lesson_id, arm in told["parts"] if told["reason"] in ("applied", "held out") else ():
        at = prescribed(moves, lesson_id, told["generation"], told["revision"])
        for lever, value in at.items():
            if arm == "held_out" and lever not in ("size_mult", "alloc_mult"):
                continue
            if _FACTORS.get(lever) in expected:
                expected[_FACTORS[lever]] *= value
            elif lever == "entry_delay_bars" and lever in expected:
                expected[lever] = math.floor(value) or expected[lever]
    return expected


def check_telemetry(simulation: Simulation) -> None:
    """What was reported is what the bot did: the same trades, lessons and arms, drawn rightly."""
    rows = simulation.rows(override_applications)
    reported = {(row["trade_id"], row["lesson_id"], row["arm"]) for row in rows if row["trade_id"]}
    done = {
        (line["trade_id"], lesson_id, arm)
        for line in simulation.lines
        for kind in BASES
        for lesson_id, arm in line[kind]["parts"]
    }
    assert reported == done
    for row in rows:
        if row["trade_id"] is None or row["u"] is None:
            continue
        subject = row["latent_factor_id"] or f"lesson {row['lesson_id']}"
        salt = f"L-{row['lesson_id']}-v{row['lesson_version']}"
        u = holdout_number(row["trade_id"], subject, salt)
        assert (row["u"], row["arm"] == "held_out") == (u, u < HOLDOUT_SHARE)
    with simulation.runner.engine.connect() as connection:
        assert prescription_rows.count_departures(connection, newest=10**6) == 0
        assert decision_rows.verify_chain(connection) is None


def check_effects(simulation: Simulation) -> None:
    """The intervals of the planted overrides hold their effects; all others hold 0."""
    found = {
        row["lesson_id"]: row
        for row in simulation.rows(override_effects)
        if row["measure"] == "delta_rr" and row["ci_low_rr"] is not None
    }
    plan = planted(simulation.runner, PLAN_SCOPE, "pm_tuning")
    for lesson, truth_rr in ((planted(simulation.runner), PLANTED_RR), (plan, PLAN_RR)):
        own = found.pop(lesson.lesson_id)
        assert own["ci_low_rr"] <= truth_rr <= own["ci_high_rr"], (lesson.lesson_type, own)
        assert own["n_held_out"] > 20
    for row in found.values():
        assert row["ci_low_rr"] <= 0 <= row["ci_high_rr"], row


def check_allocation(simulation: Simulation) -> None:
    """The uplift of the allocation override is what its multiplier earned, trade by trade."""
    lesson = planted(simulation.runner, PLANTED_SCOPE, "dm_alloc")
    earned = [
        (line["share"]["levers"]["allocation"] / SHARE["allocation"] - 1) * line["rr"]
        for line in simulation.lines
        if [lesson.lesson_id, "treated"] in line["share"]["parts"]
    ]
    [uplift] = [
        row
        for row in simulation.rows(override_effects)
        if row["lesson_id"] == lesson.lesson_id and row["measure"] == "uplift"
    ]
    assert uplift["n_treated"] == len(earned) > 100
    assert uplift["effect_rr"] == pytest.approx(sum(earned) / len(earned), rel=1e-9)
    assert uplift["effect_rr"] > 0  # more capital where the planted edge is
    assert (uplift["ci_low_rr"] is None) == (uplift["details"].get("n_units", 0) < 20)


def test_a_simulated_bot_is_accounted_for_and_its_effect_found(
    runner: Runner, fresh_database: str, tmp_path: Path
) -> None:
    simulation = simulated(runner, fresh_database, tmp_path, n=2_000, pause_s=0.003)
    check_strands(simulation)
    check_levers(simulation)
    check_telemetry(simulation)
    check_effects(simulation)
    check_allocation(simulation)


@pytest.mark.slow
def test_twenty_thousand_trades_are_accounted_for_and_the_effect_found(
    runner: Runner, fresh_database: str, tmp_path: Path
) -> None:
    simulation = simulated(runner, fresh_database, tmp_path, n=20_000, pause_s=0.001)
    check_strands(simulation)
    check_levers(simulation)
    check_telemetry(simulation)
    check_effects(simulation)
    check_allocation(simulation)
    own = [row for row in simulation.rows(override_effects) if row["verdict"] == "helps"]
    assert planted(simulation.runner).lesson_id in {row["lesson_id"] for row in own}
