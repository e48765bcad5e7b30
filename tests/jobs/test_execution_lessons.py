"""From what trades missed and the signals they saw to what a bot applies."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from jobs.ingest_strands import ingest_batch
from jobs.materialise_overrides import materialise_module
from jobs.mine_lessons import find, read_inputs, write
from learning.bot.price_path import with_path
from learning.domain.levers import ThresholdRange
from learning.events.strands import Strand
from learning.lessons.look_verdicts import WEAK_LOOKS_TO_RETIRE
from learning.runtime.override_entry import read_override
from learning.settings import Settings
from learning.store import event_rows, job_rows, lesson_rows, override_rows, strand_rows
from learning.store.lesson_rows import StoredLesson
from learning.store.schema import pm_overrides
from tests.jobs.test_estimate_half_lives import refit
from tests.learning.store.stored_lessons import decide
from tests.strand_builders import START, action, close

EARLY, FINE = "pm.uptrend.S1.buy_flag", "pm.uptrend.S2.retest"
RANGE = ThresholdRange("TS", "min", low=0.3, high=0.8, step=0.1)
SETTINGS = Settings(signal_thresholds={"min_ts_for_entry": RANGE})
DAYS = 420.0
Changed = dict[str, int]


def _hours(moment: datetime) -> float:
    return moment.timestamp() / 3600


def trade(
    rng: np.random.Generator, number: int, pattern: str, days: float, *, missed: float
) -> list[Strand]:
    """An entry and the close of its trade a day later; 0.6 of TS and more earns 1.2 R more."""
    opened = START + timedelta(days=days)
    signal = float(rng.uniform(0.3, 0.9))
    trade_id = f"{pattern}-{number}"
    entry = action(
        trade_id,
        pattern=pattern,
        hours=days * 24,
        scope={"bucket": str(rng.choice(["micro", "mid", "big"])), "timeframe": "1h"},
        controls={"signals": {"TS": signal}},
    )
    lift = 1.2 if pattern == FINE and signal >= 0.6 else 0.0
    return [
        entry,
        close(
            trade_id,
            opened_at=opened.isoformat(),
            closed_at=(opened + timedelta(days=1)).isoformat(),
            r_multiple=float(rng.normal(0, 1.2)) + lift,
            could_enter_better={
                "missed_rr": missed * float(np.exp(rng.normal(0, 0.6))),
                "time": (opened + timedelta(hours=3)).isoformat(),
            },
        ),
    ]


def store(connection: Connection, strands: list[Strand]) -> None:
    strand_rows.append(connection, strands)
    ingest_batch(connection, strand_rows.read_pending(connection, 100_000), SETTINGS)


def planted(
    connection: Connection, *, seed: int = 1, n: int = 420, first: float = 0.0, missed: float = 1.5
) -> None:
    """Two patterns: entries of one are too early, and the signal of the other tells."""
    rng = np.random.default_rng(seed)
    strands = []
    for i, days in enumerate(np.sort(rng.uniform(first, first + DAYS, n)).tolist()):
        strands += trade(rng, i + int(first) * 1000, EARLY, days, missed=missed)
        strands += trade(rng, i + int(first) * 1000, FINE, days, missed=0.2)
    store(connection, strands)


def mine(
    connection: Connection, settings: Settings = SETTINGS, *, now: datetime | None = None
) -> Changed:
    changed = {"new": 0, "refreshed": 0, "proposed": 0, "watched": 0, "retired": 0}
    at = now or job_rows.database_now(connection)
    inputs = read_inputs(connection, "pm", settings, at)
    assert inputs is not None
    write(connection, inputs, find(inputs, settings), settings, changed)
    return changed


def tuned(connection: Connection) -> Mapping[str, StoredLesson]:
    lessons = lesson_rows.read_lessons(connection, "pm")
    return {one.key[0]: one for one in lessons if one.lesson_type == "pm_tuning"}


def materialise(connection: Connection, settings: Settings = SETTINGS) -> dict[str, Any]:
    now = job_rows.database_now(connection)
    materialise_module(connection, "pm", settings=settings, now=now)
    config = override_rows.read_config(connection, "pm")
    assert config is not None
    return config


def test_planted_faults_of_execution_reach_the_bot_after_approval(connection: Connection) -> None:
    planted(connection)
    mine(connection)
    lessons = tuned(connection)
    assert set(lessons) == {EARLY, FINE}
    early, fine = lessons[EARLY], lessons[FINE]
    assert (early.scope, early.status) == ({}, "proposed")
    assert set(early.effect["execution_levers"]) == {"entry_delay_bars", "phase1_frac_mult"}
    assert early.stats["ci_low_rr"] < 1.5 - 0.2 < early.stats["ci_high_rr"]  # beyond the other's
    timing = early.stats["execution"]["entry_timing"]
    assert timing["median_missed_rr"] == pytest.approx(1.5, abs=0.2)
    assert timing["hindsight_rr"] == pytest.approx(0.2, abs=0.05)
    assert timing["missed_class"] == "medium"
    [(name, value)] = fine.effect["execution_levers"]["signal_thresholds"].items()
    assert name == "min_ts_for_entry"
    assert abs(value - 0.6) <= 0.1 + 1e-9
    assert materialise(connection)["pattern_overrides"] == []

    for lesson in lessons.values():
        decide(connection, lesson.lesson_id, "approve")
    config = materialise(connection)
    levers = {entry["pattern_key"]: entry["levers"] for entry in config["pattern_overrides"]}
    assert levers[EARLY] == {"entry_delay_bars": 1.0, "phase1_frac_mult": 0.98}
    assert levers[FINE] == {"signal_thresholds": {"min_ts_for_entry": 0.4}}  # one step from 0.3
    read = [read_override(entry, "execution") for entry in config["pattern_overrides"]]
    assert {one.pattern_key for one in read} == {EARLY, FINE}
    stored = connection.execute(sa.select(pm_overrides)).mappings().all()
    assert {row["lesson_type"] for row in stored} == {"pm_tuning"}
    assert [row["signal_thresholds"] for row in stored if row["pattern_key"] == FINE] == [
        {"min_ts_for_entry": 0.4}
    ]


def test_trades_since_a_fault_was_found_confirm_it_or_fail_it(connection: Connection) -> None:
    planted(connection)
    found = START + timedelta(days=DAYS + 2)
    mine(connection, now=found)
    claims = {key: one.stats["claimed_at_days"] for key, one in tuned(connection).items()}
    assert {one.confirmation for one in tuned(connection).values()} == {"pending"}
    planted(connection, seed=2, n=210, first=DAYS + 2, missed=0.1)  # entries are fine by now
    mine(connection, now=found + timedelta(days=DAYS + 2))  # a look: the trades grew by half
    later = tuned(connection)
    assert (later[EARLY].confirmation, later[FINE].confirmation) == ("failed", "confirmed")
    assert later[FINE].stats["claimed_at_days"] == claims[FINE]  # found again, claimed once


def test_materialising_twice_in_a_day_moves_no_threshold_twice(connection: Connection) -> None:
    planted(connection)
    mine(connection)
    for lesson in tuned(connection).values():
        decide(connection, lesson.lesson_id, "approve")
    first = materialise(connection)
    assert materialise(connection) == first


def test_a_threshold_taken_out_of_the_settings_is_no_lever_any_more(connection: Connection) -> None:
    planted(connection)
    mine(connection)
    decide(connection, tuned(connection)[FINE].lesson_id, "approve")
    assert len(materialise(connection)["pattern_overrides"]) == 1
    assert materialise(connection, Settings())["pattern_overrides"] == []


def test_without_settings_a_signal_that_separates_gives_no_lesson(connection: Connection) -> None:
    planted(connection)
    mine(connection, Settings())
    assert set(tuned(connection)) == {EARLY}


def test_a_refresh_measures_standing_lessons_again_and_keeps_what_the_look_said(
    connection: Connection,
) -> None:
    planted(connection)
    mine(connection)
    before = tuned(connection)
    planted(connection, seed=2, n=40, first=DAYS + 1)
    mine(connection)
    after = tuned(connection)
    for pattern in (EARLY, FINE):
        assert after[pattern].n > before[pattern].n
        assert after[pattern].status == before[pattern].status
        [was], [now] = (one[pattern].stats["execution"].values() for one in (before, after))
        assert (was["q_value"], was["threshold"], was["chosen_before_days"]) == (
            now["q_value"], now["threshold"], now["chosen_before_days"],
        )  # fmt: skip


def test_a_fault_that_ended_is_retired_after_two_weak_looks(connection: Connection) -> None:
    planted(connection, n=120)
    mine(connection)
    lesson = tuned(connection)[EARLY]
    decide(connection, lesson.lesson_id, "approve")
    store_fixed(connection)
    later = job_rows.database_now(connection)
    for _ in range(WEAK_LOOKS_TO_RETIRE):
        later += timedelta(days=29)
        mine(connection, now=later)
    assert tuned(connection)[EARLY].status == "retired"


def store_fixed(connection: Connection) -> None:
    """Three times as many trades after which nothing was missed."""
    rng = np.random.default_rng(3)
    strands: list[Strand] = []
    for i, days in enumerate(np.sort(rng.uniform(DAYS, 2 * DAYS, 400)).tolist()):
        strands += trade(rng, 10_000 + i, EARLY, days, missed=0.0)
    store(connection, strands)


def test_the_meta_jobs_leave_execution_lessons_alone(connection: Connection) -> None:
    planted(connection)
    mine(connection)
    refit(connection, SETTINGS)
    for lesson in tuned(connection).values():
        assert lesson.decay_halflife_hours is None
        assert lesson.half_life_reason is not None
        assert "how trades were carried out" in lesson.half_life_reason
        assert lesson.status == "proposed"


def test_a_look_counts_what_it_searched_of_execution(connection: Connection) -> None:
    planted(connection)
    inputs = read_inputs(connection, "pm", SETTINGS, job_rows.database_now(connection))
    assert inputs is not None
    counts = find(inputs, SETTINGS).run["counts"]
    # two groups: each itself, three buckets (the timeframe is the whole group) and a threshold
    assert counts["execution_candidates"] == 10
    assert counts["execution_found"] == 2


@pytest.mark.parametrize(
    ("at", "gap"),
    [
        ({"at_hours": _hours(START + timedelta(days=3))}, 2.0),  # as recorders wrote it once
        ({"time": "some day", "at_hours": _hours(START + timedelta(hours=12))}, -0.5),
        ({"time": START.isoformat(), "at_hours": 1.0}, -1.0),
        ({"at_hours": "some hours"}, None),
        ({"at_hours": 10**300}, None),
        ({"at_hours": {}}, None),
    ],
)
def test_the_hour_of_the_better_exit_is_read_where_no_time_is_told(
    connection: Connection, at: Mapping[str, Any], gap: float | None
) -> None:
    store(connection, [action("a"), close("a", could_exit_better={"missed_rr": 1.0, **at})])
    assert exit_gaps(connection) == [gap]


def exit_gaps(connection: Connection) -> list[float | None]:
    details = event_rows.read_action_details(
        connection, "pm", (EARLY, "entry"), origins=SETTINGS.origins
    )
    return [None if np.isnan(gap) else float(gap) for gap in details.exit_gap_days]


@pytest.mark.parametrize(
    ("time", "gap"),
    [
        ((START + timedelta(days=3)).isoformat(), 2.0),
        ((START + timedelta(hours=12)).isoformat(), -0.5),
        ((START + timedelta(days=3)).replace(tzinfo=None).isoformat(), 2.0),  # no zone: UTC
        ("after the close", None),
        (17, None),
        (None, None),
    ],
)
def test_when_the_better_exit_stood_is_read_where_it_is_told(
    connection: Connection, time: object, gap: float | None
) -> None:
    store(
        connection,
        [action("a"), close("a", could_exit_better={"missed_rr": 1.0, "time": time})],
    )
    details = event_rows.read_action_details(
        connection, "pm", (EARLY, "entry"), origins=SETTINGS.origins
    )
    assert details.missed_exit_rr.tolist() == [1.0]
    if gap is None:
        assert np.isnan(details.exit_gap_days).all()
    else:
        assert details.exit_gap_days.tolist() == [gap]
    assert np.isnan(details.entry_gap_days).all()


def test_the_candles_that_a_bot_gives_tell_when_its_better_prices_stood(
    connection: Connection,
) -> None:
    """103 in the second hour of five, left at 95: two hours too late."""
    start_ms = int(START.timestamp() * 1000)
    prices = [(101, 99), (103, 99.5), (100.5, 96), (99, 95.5), (96, 95)]
    bars = [
        (start_ms + i * 3_600_000, 100, high, low, 100, 1) for i, (high, low) in enumerate(prices)
    ]
    summary = with_path(
        {
            "opened_at": START.isoformat(), "closed_at": (START + timedelta(hours=5)).isoformat(),
            "side": "long", "entry_price": 100.0, "exit_price": 95.0, "initial_stop": 95.0,
        },
        bars,
    )  # fmt: skip
    assert summary["could_exit_better"] == {
        "best_price": 103.0, "time": (START + timedelta(hours=1)).isoformat(), "bars_after": 1,
        "missed_rr": 1.6, "class": "medium",
    }  # fmt: skip
    store(connection, [action("a"), close("a", **summary)])
    assert exit_gaps(connection) == [pytest.approx(-4 / 24)]
