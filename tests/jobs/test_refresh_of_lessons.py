"""Between two looks only the lessons are read and measured whose grounds changed, exactly."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from jobs.ingest_strands import ingest_batch
from jobs.lesson_findings import find
from jobs.mine_lessons import write
from jobs.mining_inputs import Inputs, read_inputs
from jobs.mining_mark import read_grounds
from jobs.runner import Runner
from learning.domain.levers import ThresholdRange
from learning.events.strands import Strand
from learning.store import lesson_rows, regime_weight_rows, strand_rows
from learning.store.database import transaction
from learning.store.lesson_rows import StoredLesson
from tests.jobs.conftest import copied, runner_on
from tests.learning.store.stored_lessons import decide
from tests.strand_builders import action, close

RANGE = ThresholdRange("TS", "min", low=0.3, high=0.8, step=0.1)
OPTIONS: dict[str, Any] = {
    "outcome": "r_multiple",
    "discovery_growth": 9.0,
    "signal_thresholds": {"min_ts_for_entry": RANGE},
}
BEGIN, DAYS = datetime(2022, 6, 1, tzinfo=UTC), 420.0
FOUND = BEGIN + timedelta(days=DAYS + 1)
SCOPED, LOSING, EARLY, SIGNAL, NOISE = (f"pm.test.S{i}.setup" for i in range(1, 6))
PATTERNS = (SCOPED, LOSING, EARLY, SIGNAL, NOISE)
KEPT = (
    "SELECT to_jsonb(l) - '{mining_run_id,updated_at,activated_at,expires_at}'::text[] "
    "FROM learning_lessons l ORDER BY id"
)
DECIDED = (
    "SELECT lesson_id, lesson_version, decision, to_status, reason, evidence FROM lesson_decisions "
    "ORDER BY id"
)
VERSIONS = "SELECT lesson_id, version, snapshot, reason FROM lesson_versions ORDER BY 1, 2"
LAST_RUN = (
    "SELECT to_jsonb(m) - '{id,created_at}'::text[] #- '{details,rests_on}' FROM mining_runs m "
    "ORDER BY id DESC LIMIT 1"
)


def trade(rng: random.Random, name: str, pattern: str, days: float) -> list[Strand]:
    """A trade of a setup: its actions, and a close whose outcome has what is planted."""
    opened = BEGIN + timedelta(days=days)
    scope = {
        "bucket": rng.choice(["micro", "mid", "big"]),
        "timeframe": rng.choice(["1h", "4h"]),
        "A_mode": rng.choice(["patient", "normal"]),
    }
    signal, rr = rng.uniform(0.3, 0.9), rng.gauss(0, 1.2)
    rr += 1.2 if pattern == SCOPED and scope["bucket"] == "micro" else 0.0
    rr += 1.2 if pattern == SIGNAL and signal >= 0.6 else 0.0
    missed = 1.5 if pattern == EARLY else 0.2
    actions = ["entry", *(["add"] if rng.random() < 0.4 else [])]
    said = {"pattern": pattern, "scope": scope, "controls": {"signals": {"TS": signal}}}
    return [
        *(action(name, one, name=f"{name}/{one}", **said) for one in actions),
        close(
            name,
            opened_at=opened.isoformat(),
            closed_at=(opened + timedelta(days=1)).isoformat(),
            r_multiple=rr,
            r_multiple_net=rr - (0.6 if pattern == LOSING else 0.05),
            could_enter_better={
                "missed_rr": missed * rng.lognormvariate(0, 0.6),
                "time": (opened + timedelta(hours=3)).isoformat(),
            },
        ),
    ]


def store(connection: Connection, runner: Runner, strands: list[Strand]) -> None:
    strand_rows.append(connection, strands)
    while pending := strand_rows.read_pending(connection, 5000):
        assert ingest_batch(connection, pending, runner.settings).ingested == len(pending)


def add(
    connection: Connection, runner: Runner, rng: random.Random, pattern: str, n: int, *, to: float
) -> None:
    """Close some more trades of a setup in the sixty days before a day."""
    tag = rng.random()
    strands = [
        one
        for i in range(n)
        for one in trade(rng, f"{pattern}/{tag}/{i}", pattern, to - rng.uniform(0, 60))
    ]
    store(connection, runner, strands)


@pytest.fixture(scope="module")
def world(new_database: Callable[[], str]) -> Iterator[Runner]:
    """After a look and a refresh that measured every lesson alone."""
    runner = runner_on(new_database(), **OPTIONS)
    rng = random.Random(5)
    with transaction(runner.engine) as connection:
        strands = [
            one
            for i in range(300)
            for pattern in PATTERNS
            for one in trade(rng, f"{pattern}/{i}", pattern, rng.uniform(0, DAYS))
        ]
        store(connection, runner, strands)
        assert refresh(connection, runner, is_full=False).is_look
        assert refresh(connection, runner, is_full=False).stale.ids  # every lesson alone
    yield runner
    runner.engine.dispose()


def mined(runner: Runner) -> int:
    """Run the job; return how many trades it read."""
    ended = runner.run_now("mine_pm_lessons", requested_by="test")
    assert ended is not None
    assert ended.status == "ok", ended.error
    assert ended.rows_in is not None
    return ended.rows_in


@pytest.fixture
def copy(world: Runner) -> Iterator[Connection]:
    """The world in a transaction that is rolled back."""
    with world.engine.connect() as connection:
        begun = connection.begin()
        yield connection
        begun.rollback()


def inputs_of(connection: Connection, runner: Runner, *, is_full: bool, days: float = 0) -> Inputs:
    """What a run works on so many days after the lessons were found."""
    now = FOUND + timedelta(days=days)
    grounds = None if is_full else read_grounds(connection, "pm", runner.settings)
    inputs = read_inputs(connection, "pm", runner.settings, now, grounds=grounds)
    assert inputs is not None
    return inputs


def refresh(connection: Connection, runner: Runner, *, is_full: bool, days: float = 0) -> Inputs:
    inputs = inputs_of(connection, runner, is_full=is_full, days=days)
    changed = {"new": 0, "refreshed": 0, "proposed": 0, "watched": 0, "retired": 0}
    write(connection, inputs, find(inputs, runner.settings), runner.settings, changed)
    return inputs


def held(connection: Connection) -> list[list[tuple[object, ...]]]:
    """Every number, decision and version, and what the run says of itself."""
    return [
        [tuple(row) for row in connection.execute(sa.text(query))]
        for query in (KEPT, DECIDED, VERSIONS, LAST_RUN)
    ]


def lessons(connection: Connection) -> list[StoredLesson]:
    return lesson_rows.read_lessons(connection, "pm")


def test_the_world_has_lessons_of_every_kind_whose_later_trades_are_asked(copy: Connection) -> None:
    kinds = {(one.lesson_type, one.key[0]) for one in lessons(copy)}
    assert {
        ("pm_strength", SCOPED), ("level", LOSING), ("pm_tuning", EARLY), ("pm_tuning", SIGNAL),
    } <= kinds  # fmt: skip
    told = copy.scalar(sa.text("SELECT count(*) FROM lesson_marks WHERE prospect IS NOT NULL"))
    assert told >= 4
    assert all("claim_rr" in one.stats for one in lessons(copy) if one.status == "proposed")


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 13))]
)
def test_a_refresh_of_what_changed_equals_one_of_everything_exactly(
    world: Runner, copy: Connection, seed: int
) -> None:
    rng = random.Random(seed)
    later, n_kept = DAYS + 2, 0
    for step in range(3):
        later += 60
        for pattern in rng.sample(PATTERNS, k=rng.randint(1, 3)):
            add(copy, world, rng, pattern, rng.randint(1, 60), to=later)
        if rng.random() < 0.4:
            open_ = [one for one in lessons(copy) if one.status == "proposed"]
            decide(copy, rng.choice(open_).lesson_id, rng.choice(["approve", "reject"]))
        with copy.begin_nested() as before:
            refresh(copy, world, is_full=True, days=later - DAYS)
            expected = held(copy)
            before.rollback()
        inputs = refresh(copy, world, is_full=False, days=later - DAYS)
        n_kept += len(lessons(copy)) - len(inputs.stale.ids)
        assert held(copy) == expected, step
    assert n_kept > 0  # else it was full every time


def asked(connection: Connection) -> dict[int, tuple[str, int]]:
    return {one.lesson_id: (one.confirmation, one.moments_asked) for one in lessons(connection)}


def test_a_lesson_is_asked_when_its_moment_has_come_and_not_before(
    world: Runner, copy: Connection
) -> None:
    """Also one that was not read again: no trade of it closed since its numbers were told."""
    rng = random.Random(1)
    for days in (60, 88):
        for pattern in (SCOPED, LOSING):
            add(copy, world, rng, pattern, 160, to=DAYS + 2 + days)
    for _ in range(2):  # what the first one moves is measured once more
        refresh(copy, world, is_full=False, days=90)
    assert set(asked(copy).values()) == {("pending", 0)}
    told = copy.scalars(sa.text("SELECT confirmation_reason FROM learning_lessons")).all()
    assert any("trades since it was found" in str(one) for one in told)
    with copy.begin_nested() as before:
        refresh(copy, world, is_full=True, days=91)
        expected = held(copy)
        before.rollback()
    assert not refresh(copy, world, is_full=False, days=91).stale.ids
    assert held(copy) == expected
    confirmed = {one.lesson_type for one in lessons(copy) if one.confirmation == "confirmed"}
    assert confirmed == {"pm_strength", "level"}
    assert {one.moments_asked for one in lessons(copy) if one.status == "proposed"} == {1}

    add(copy, world, rng, SCOPED, 90, to=DAYS + 2 + 120)
    answered = asked(copy)
    refresh(copy, world, is_full=False, days=180)
    assert asked(copy) == answered  # the next moment is after 26 weeks


def test_a_run_with_the_same_trades_is_not_spared_when_a_moment_has_come(
    world: Runner, copy: Connection
) -> None:
    grounds = read_grounds(copy, "pm", world.settings)
    assert grounds is not None
    marks = [
        grounds.of_run(lessons(copy), FOUND + timedelta(days=days)) for days in (0, 90, 91, 181)
    ]
    assert marks[0] == marks[1] != marks[2] == marks[3]


def test_the_job_reads_only_the_groups_that_got_trades(world: Runner, server_url: str) -> None:
    rng = random.Random(5)
    of_setup = "SELECT count(*) FROM pattern_trade_events WHERE pattern_key = :p"
    with copied(world, server_url, **OPTIONS) as runner:
        assert mined(runner) == 0
        with transaction(runner.engine) as connection:
            keys = {one.key for one in lessons(connection)}
            assert keys >= {(SCOPED, "entry"), (SCOPED, "add"), (EARLY, "entry")}
            assert NOISE not in {pattern for pattern, _ in keys}
            add(connection, runner, rng, SCOPED, 1, to=DAYS)
            n_events = connection.scalar(sa.text(of_setup), {"p": SCOPED})
        assert mined(runner) == n_events  # those of EARLY stay where they are
        assert mined(runner) == 0
        with transaction(runner.engine) as connection:
            add(connection, runner, rng, NOISE, 5, to=DAYS)
        assert mined(runner) == 0  # no lesson rests on them


def stale(connection: Connection, runner: Runner) -> set[int]:
    return set(inputs_of(connection, runner, is_full=False).stale.ids)


def test_nothing_is_stale_until_something_changes(world: Runner, copy: Connection) -> None:
    assert stale(copy, world) == set()


def test_a_decision_makes_its_own_lesson_stale(world: Runner, copy: Connection) -> None:
    [*_, one] = [one for one in lessons(copy) if one.status == "proposed"]
    decide(copy, one.lesson_id, "approve")
    assert stale(copy, world) == {one.lesson_id}


def test_regime_weights_make_the_lessons_stale_that_they_are_of(
    world: Runner, copy: Connection
) -> None:
    regime_weight_rows.replace_all(
        copy,
        "pm",
        [
            {
                "pattern_key": SCOPED, "action_category": "entry", "regime_signature": "",
                "weights": {"recurrence": 1.5}, "n_samples": 90, "confidence": 0.9, "reason": "",
            }
        ],
    )  # fmt: skip
    of_scoped = {one.lesson_id for one in lessons(copy) if one.key == (SCOPED, "entry")}
    assert stale(copy, world) == of_scoped


def test_other_settings_make_every_lesson_stale(world: Runner, copy: Connection) -> None:
    other = world.settings.model_copy(update={"timing_dimensions": ("bucket",)})
    grounds = read_grounds(copy, "pm", other)
    inputs = read_inputs(copy, "pm", other, FOUND, grounds=grounds)
    assert inputs is not None
    assert inputs.stale.ids == {one.lesson_id for one in lessons(copy)}


def test_an_entry_makes_the_lessons_on_its_adds_stale(world: Runner, copy: Connection) -> None:
    """Whether adds are chosen by their path is told by the entries."""
    first = lessons(copy)[0]
    marks = read_grounds(copy, "pm", world.settings)
    assert marks is not None
    on_adds = StoredLesson(
        **{name: getattr(first, name) for name in StoredLesson.__slots__} | {"key": (NOISE, "add")}
    )
    before = marks.of_lesson(on_adds, reference_run=1)
    name = "entry alone"
    [entry, *_, closed] = trade(random.Random(3), name, NOISE, DAYS)
    store(copy, world, [entry, closed])
    after = read_grounds(copy, "pm", world.settings)
    assert after is not None
    assert after.of_lesson(on_adds, reference_run=1) != before
    assert after.of_lesson(first, reference_run=1) == marks.of_lesson(first, reference_run=1)
