"""Each meta job's result moves what a bot applies; one that did not would be decoration.

Each test runs the job itself, and looks at what a bot in this process is told before and after.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from jobs import learn_regime_weights as weights_job
from jobs.aggregate_scopes import aggregate_module
from jobs.cluster_factors import cluster_factors
from jobs.ingest_strands import ingest_batch
from jobs.lesson_findings import find
from jobs.materialise_overrides import materialise_module
from jobs.measure_effects import measure_module, tell_people
from jobs.mine_lessons import write
from jobs.mining_inputs import read_inputs
from learning import apply_pattern_execution_overrides, apply_pattern_strength_overrides
from learning.meta.regime_weights import RegimeWeights, ScoreWeight
from learning.runtime.in_force import install, uninstall
from learning.runtime.override_table import read_table
from learning.settings import Settings
from learning.store import alert_rows, job_rows, lesson_rows, override_rows, strand_rows
from tests.jobs.test_estimate_half_lives import fading, refit
from tests.jobs.test_execution_lessons import EARLY, SETTINGS, planted, tuned
from tests.jobs.test_measure_effects import LESSON, randomised, store_trades
from tests.learning.store.stored_lessons import CLEAR, decide, store_lesson
from tests.strand_builders import START, action, close

KEY, HERE = "pm.uptrend.S1.buy_flag", {"bucket": "micro", "timeframe": "1h"}
SCORES = {"time_efficiency": 0.9, "field_coherence": 0.1, "recurrence_score": 0.5, "lfsr": 0.01}
EDGE: dict[str, Any] = {
    "outcome": "r_multiple",
    "stats": {**CLEAR, "posterior_mean_rr": 0.4, **SCORES},
}


@pytest.fixture(autouse=True)
def _nothing_installed() -> Iterator[None]:
    uninstall()
    yield
    uninstall()


@pytest.fixture
def at(connection: Connection) -> datetime:
    return job_rows.database_now(connection)


class Run:
    """What a run of a job is given, in the transaction of a test."""

    trigger = "manual"

    def __init__(self, connection: Connection, settings: Settings | None = None) -> None:
        self.connection, self.settings = connection, settings or Settings()
        self.now = job_rows.database_now(connection)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        yield self.connection

    def progress(self, *_: object) -> None: ...


def capital(size: float) -> dict[str, dict[str, float]]:
    """An effect so near to 1 that its first step is all of it."""
    return {"capital_levers": {"size_mult": size}, "execution_levers": {}}


def obey(connection: Connection, at: datetime, settings: Settings = SETTINGS) -> None:
    """Materialise, and let this process obey it, as a bot does that reads the snapshot."""
    materialise_module(connection, "pm", settings=settings, now=at)
    config = override_rows.read_config(connection, "pm")
    assert config is not None
    table = read_table({"pm": config}, generation=config["generation"], revision=config["revision"])
    uninstall()
    install(table, max_config_age_s=np.inf, read_on=at.timestamp())


def size_told(connection: Connection, at: datetime, scope: dict[str, Any] = HERE) -> float:
    """The multiplier of a position's size that a bot is told."""
    obey(connection, at)
    levers = apply_pattern_strength_overrides(
        KEY, "entry", scope, {"position_size_frac": 0.5}, trade_id="t"
    )
    return float(levers["position_size_frac"]) / 0.5


def plan_told(connection: Connection, at: datetime, pattern: str) -> dict[str, Any]:
    """The plan that a bot is told, for a trade that is not held out."""
    obey(connection, at)
    plan = {"entry_delay_bars": 0, "phase1_frac": 0.5}
    for i in range(50):
        told = apply_pattern_execution_overrides(pattern, "entry", HERE, plan, trade_id=f"t{i}")
        if told.outcome.arm != "held_out":
            return dict(told)
    raise AssertionError("fifty trades were held out")


def test_a_half_life_that_the_job_finds_weakens_the_override(
    connection: Connection, at: datetime
) -> None:
    store_trades(connection, fading(24))
    found = at - START
    store_lesson(
        connection, "active", scope={"bucket": "micro"}, effect=capital(1.03),
        mean_closed_at=at - timedelta(days=60), discovered_at=START + found, **EDGE,
    )  # fmt: skip
    before = size_told(connection, at)
    refit(connection)
    [lesson] = lesson_rows.read_lessons(connection)
    assert lesson.half_life_state == "decaying"
    assert 1 < size_told(connection, at) < before


def store_twins(connection: Connection) -> None:
    """Trades of which the small ones are the fast ones: two scopes that are one."""
    strands = []
    for i in range(80):
        opened = START + timedelta(hours=12 * i)
        scope = (HERE, {"bucket": "mid", "timeframe": "4h"})[i % 2]
        moments = {"opened_at": opened, "closed_at": opened + timedelta(hours=6)}
        strands += [
            action(f"t{i}", hours=12 * i, scope=scope),
            close(f"t{i}", r_multiple=0.1, **{k: v.isoformat() for k, v in moments.items()}),
        ]
    strand_rows.append(connection, strands)
    ingest_batch(connection, strand_rows.read_pending(connection, 1000), Settings())


def test_a_factor_that_the_job_finds_merges_the_overrides_of_its_lessons(
    connection: Connection, at: datetime
) -> None:
    store_twins(connection)
    strong = store_lesson(
        connection, "active", scope={"bucket": "micro"}, effect=capital(1.03), **EDGE
    )
    weak = store_lesson(
        connection, "active", scope={"timeframe": "1h"}, effect=capital(1.01), **EDGE
    )
    before = size_told(connection, at)
    cluster_factors(Run(connection))  # type: ignore[arg-type]
    factors = {one.lesson_id: one.latent_factor_id for one in lesson_rows.read_lessons(connection)}
    assert factors[strong] == factors[weak] is not None
    assert 1 < size_told(connection, at) < before


def learned(**weights: float) -> dict[str, RegimeWeights]:
    parts = {
        name: ScoreWeight(weights.get(name, 1.0), 0.1, 0.01, 0.9, "a test")
        for name in ("time_efficiency", "field_coherence", "recurrence_score", "variance")
    }
    return {"": RegimeWeights(signature="", n_samples=99, **parts)}


@pytest.fixture
def weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the statistics of the job would say of other trades than a test can make."""
    fast = learned(time_efficiency=0.5, field_coherence=1.5)
    monkeypatch.setattr(weights_job, "regime_weights", lambda *_args, **_more: fast)


@pytest.mark.usefixtures("weighed")
def test_regime_weights_that_the_job_learns_change_the_override(
    connection: Connection, at: datetime
) -> None:
    store_trades(connection, [1.0, 0.0] * 40)
    store_lesson(connection, "active", scope={"bucket": "micro"}, effect=capital(1.015), **EDGE)
    weights_job.refresh_strengths(connection, "pm")
    before = size_told(connection, at)
    weights_job.learn_regime_weights(Run(connection))  # type: ignore[arg-type]
    assert 1 < size_told(connection, at) < before


@pytest.mark.usefixtures("weighed")
def test_regime_weights_that_the_job_learns_change_the_score_of_every_scope(
    connection: Connection,
) -> None:
    settings = Settings(n_min=(2, 3, 4, 5))
    rng = np.random.default_rng(3)
    store_trades(connection, rng.normal(0.2, 1, 80).tolist())
    store_lesson(connection, scope={"bucket": "micro"}, **EDGE)

    def scores() -> list[float]:
        aggregate_module(connection, "pm", settings)
        query = sa.text("SELECT edge_raw FROM scope_stat_cells ORDER BY scope_mask, scope_codes")
        return list(connection.scalars(query))

    before = scores()
    weights_job.learn_regime_weights(Run(connection, settings))  # type: ignore[arg-type]
    after = scores()
    assert len(before) == len(after) > 0
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_harm_that_the_job_measures_is_proposed_to_a_person_who_ends_the_override(
    connection: Connection, at: datetime
) -> None:
    lesson_id = randomised(connection, effect_rr=-1.0, seed=8, n=300)
    sized = {"scope": {"bucket": "micro"}, "effect": capital(1.03)}
    other = store_lesson(connection, "active", **{**LESSON, **sized})
    assert size_told(connection, at) > 1
    effects, _ = measure_module(connection, "pm", Settings(), at)
    assert tell_people(connection, "pm", effects) == 1
    [alert] = alert_rows.read_alerts(connection)
    assert alert.lesson_id == lesson_id != other
    standing = override_rows.read_materialised(connection, "pm")
    decide(connection, alert.lesson_id, "disable")
    assert set(standing) - set(override_rows.read_materialised(connection, "pm")) == {lesson_id}


def test_a_level_multiplies_what_the_scope_says(connection: Connection, at: datetime) -> None:
    store_lesson(connection, "active", scope={"bucket": "micro"}, effect=capital(1.02), **EDGE)
    alone = size_told(connection, at)
    store_lesson(connection, "active", scope={}, lesson_type="level", effect=capital(0.98), **EDGE)
    assert size_told(connection, at) == pytest.approx(alone * 0.99, abs=1e-9)  # strength 0.5
    assert size_told(connection, at, {"bucket": "mid"}) == pytest.approx(0.99, abs=1e-9)


def test_a_fault_of_execution_that_mining_finds_changes_the_plan(
    connection: Connection, at: datetime
) -> None:
    planted(connection, n=200)
    mine(connection, at)
    lesson = tuned(connection)[EARLY]
    assert plan_told(connection, at, EARLY) == {"entry_delay_bars": 0, "phase1_frac": 0.5}
    decide(connection, lesson.lesson_id, "approve")
    assert plan_told(connection, at, EARLY) == {"entry_delay_bars": 1, "phase1_frac": 0.49}


def mine(connection: Connection, at: datetime) -> None:
    changed = {"new": 0, "refreshed": 0, "proposed": 0, "watched": 0, "retired": 0}
    inputs = read_inputs(connection, "pm", SETTINGS, at)
    assert inputs is not None
    write(connection, inputs, find(inputs, SETTINGS), SETTINGS, changed)


def test_a_confirmation_that_mining_finds_holds_out_half_as_many(
    connection: Connection, at: datetime
) -> None:
    planted(connection)
    mine(connection, START + timedelta(days=422))
    lesson = tuned(connection)[EARLY]
    decide(connection, lesson.lesson_id, "approve")

    def share() -> float:
        materialise_module(connection, "pm", settings=SETTINGS, now=at)
        config = override_rows.read_config(connection, "pm")
        assert config is not None
        [entry] = config["pattern_overrides"]
        return float(entry["holdout"]["share"])

    before = share()
    planted(connection, seed=2, n=100, first=422)
    mine(connection, START + timedelta(days=843))
    [after] = lesson_rows.read_lessons(connection, lesson_id=lesson.lesson_id)
    assert after.confirmation == "confirmed"
    assert share() == before / 2
