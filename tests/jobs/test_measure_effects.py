"""Applications joined with outcomes, and what is written of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from jobs.ingest_strands import ingest_batch
from jobs.measure_effects import measure_module
from jobs.runner import Runner
from learning.overrides.effect_record import EffectRecord, HorizonJudgement
from learning.overrides.effects import NotMeasured
from learning.settings import Settings
from learning.store import application_rows, effect_rows, job_rows, lesson_rows, strand_rows
from learning.store.database import transaction
from learning.store.schema import learning_lessons, override_effects
from tests.learning.store.stored_lessons import CLEAR, decide, store_lesson
from tests.strand_builders import START, action, close

SETTINGS = Settings()
LESSON: dict[str, Any] = {
    "stats": {**CLEAR, "posterior_mean_rr": 0.4},
    "outcome": "r_multiple",
}
Drawn = dict[str, Any]


def application(lesson_id: int, trade_id: str, *, hours: float = 0.0, **changes: Any) -> Drawn:
    levers = changes.pop("levers", {"trail_mult": 1.1})
    arm = changes.get("arm", "treated")
    return {
        "application_key": uuid4(), "bot": "bot-a", "origin": "live", "module": "pm",
        "trade_id": trade_id, "pattern_key": "pm.uptrend.S1.buy_flag",
        "action_category": "entry", "override_id": 1, "lesson_id": lesson_id,
        "lesson_version": 1, "latent_factor_id": None, "generation": 1, "revision": 1,
        "scope": {}, "levers_before": {}, "levers_after": {} if arm == "held_out" else levers,
        "levers_would_be": levers, "arm": "treated", "u": 0.5, "p": 0.8, "reason": "applied",
        "decided_at": START + timedelta(hours=hours), **changes,
    }  # fmt: skip


def store_trades(connection: Connection, rr: list[float], *, first_day: float = 0.0) -> None:
    """One trade every half day, the id its position."""
    strands = []
    for i, value in enumerate(rr):
        opened = START + timedelta(days=first_day + i / 2)
        hours = (opened - START).total_seconds() / 3600
        strands.append(action(f"t{i}", hours=hours, scope={"bucket": ("micro", "mid")[i % 2]}))
        strands.append(
            close(
                f"t{i}",
                r_multiple=value,
                opened_at=opened.isoformat(),
                closed_at=(opened + timedelta(hours=6)).isoformat(),
            )
        )
    strand_rows.append(connection, strands)
    ingest_batch(connection, strand_rows.read_pending(connection, 100_000), SETTINGS)


def measured(connection: Connection, lesson_id: int) -> dict[str, EffectRecord]:
    effects, _ = measure_module(connection, "pm", SETTINGS, job_rows.database_now(connection))
    return {record.measure: record for record in effects[lesson_id]}


def randomised(connection: Connection, *, effect_rr: float, seed: int, n: int = 600) -> int:
    lesson_id = store_lesson(connection, "active", **LESSON)
    rng = np.random.default_rng(seed)
    held_out = rng.random(n) < 0.2
    rr = rng.normal(0.1, 1.0, n) + effect_rr * ~held_out
    store_trades(connection, rr.tolist())
    application_rows.append(
        connection,
        [
            application(
                lesson_id, f"t{i}", hours=i * 12.0, arm="held_out" if held_out[i] else "treated"
            )
            for i in range(n)
        ],
    )
    return lesson_id


@pytest.mark.parametrize(("effect_rr", "verdict"), [(0.9, "helps"), (0.0, "not clear yet")])
def test_a_planted_effect_is_covered_and_none_stays_unclear(
    connection: Connection, effect_rr: float, verdict: str
) -> None:
    lesson_id = randomised(connection, effect_rr=effect_rr, seed=4)
    found = measured(connection, lesson_id)["delta_rr"]
    assert found.ci_low_rr is not None
    assert found.ci_high_rr is not None
    assert found.ci_low_rr <= effect_rr <= found.ci_high_rr
    assert (found.verdict, found.is_guardrail_crossed) == (verdict, False)
    assert found.n_treated + found.n_held_out == 600


@pytest.mark.parametrize("origin", ["live", None])
def test_an_application_takes_the_outcome_of_the_trade_of_its_own_origin(
    connection: Connection, origin: str | None
) -> None:
    """A dry run beside a live bot of the same name; telemetry without origin takes what counts."""
    lesson_id = store_lesson(connection, "active", **LESSON)
    store_trades(connection, [1.0])
    dry = [action("t0", name="d"), close("t0", name="dc", r_multiple=-2.0)]
    strand_rows.append(connection, [replace(one, origin="dry_run") for one in dry])
    ingest_batch(connection, strand_rows.read_pending(connection, 100), SETTINGS)
    application_rows.append(connection, [application(lesson_id, "t0", origin=origin)])
    if origin is not None:
        found = effect_rows.read_applied(
            connection, "pm", outcome="r_multiple", origins=["live", "dry_run"]
        )
        assert found[lesson_id].rr.tolist() == [1.0]
    found = effect_rows.read_applied(connection, "pm", outcome="r_multiple", origins=["live"])
    assert found[lesson_id].rr.tolist() == [1.0]


def test_a_feed_that_tells_its_origin_by_now_decides_no_trade_twice(
    connection: Connection,
) -> None:
    lesson_id = store_lesson(connection, "active", **LESSON)
    store_trades(connection, [1.0])
    application_rows.append(
        connection,
        [
            application(lesson_id, "t0", origin=None, arm="held_out"),
            application(lesson_id, "t0", hours=1),
        ],
    )
    found = effect_rows.read_applied(connection, "pm", outcome="r_multiple", origins=["live"])
    assert found[lesson_id].treated.tolist() == [False]  # what was decided first


def test_of_a_trade_with_several_positions_the_one_that_closed_first_tells(
    connection: Connection,
) -> None:
    lesson_id = store_lesson(connection, "active", **LESSON)
    later = (START + timedelta(hours=30)).isoformat()
    strands = [
        action("t0"),
        close("t0", name="c1", position_id="P1", r_multiple=3.0, closed_at=later),
        close("t0", name="c2", position_id="P2", r_multiple=-1.0),
    ]
    strand_rows.append(connection, strands)
    ingest_batch(connection, strand_rows.read_pending(connection, 100), SETTINGS)
    application_rows.append(connection, [application(lesson_id, "t0")])
    found = effect_rows.read_applied(connection, "pm", outcome="r_multiple", origins=["live"])
    assert found[lesson_id].rr.tolist() == [-1.0]


def test_an_application_counts_once_however_often_it_is_repeated(connection: Connection) -> None:
    """The first one counts: the same trade under a later revision, and another lesson's."""
    lesson_id = store_lesson(connection, "active", **LESSON)
    other = store_lesson(connection, "active", **LESSON)
    store_trades(connection, [1.0, -2.0, 0.5, 3.0])
    size = {"size_mult": 1.2}
    application_rows.append(
        connection,
        [
            application(lesson_id, "t0", levers=size, p=1.0, hours=1),
            application(lesson_id, "t0", levers={"size_mult": 1.3}, p=1.0, hours=2, revision=2),
            application(lesson_id, "t1", levers=size, p=1.0),
            application(lesson_id, "t2", levers=size, p=1.0, bot="another bot"),
            application(lesson_id, "t3", levers=size, p=None, u=None, arm="unassigned"),
            application(other, "t0", levers=size, p=1.0),
            application(lesson_id, "not closed", levers=size, p=1.0),
            {**application(lesson_id, "", levers=size, p=1.0), "trade_id": None},
        ],
    )
    applied = effect_rows.read_applied(
        connection, "pm", outcome="r_multiple", origins=SETTINGS.origins
    )
    by_outcome = dict(
        zip(applied[lesson_id].rr.tolist(), applied[lesson_id].multiplier.tolist(), strict=True)
    )
    assert by_outcome == {1.0: 1.2, -2.0: 1.2}
    assert applied[other].n == 1


def test_the_actions_of_one_trade_share_one_outcome(connection: Connection) -> None:
    lesson_id = store_lesson(connection, "active", **LESSON)
    strands = [action("a"), action("a", "add", hours=1), action("a", "exit", hours=2), close("a")]
    strand_rows.append(connection, strands)
    ingest_batch(connection, strand_rows.read_pending(connection, 100), SETTINGS)
    application_rows.append(connection, [application(lesson_id, "a")])
    applied = effect_rows.read_applied(
        connection, "pm", outcome="r_multiple", origins=SETTINGS.origins
    )
    assert applied[lesson_id].rr.tolist() == [1.5]


def test_bots_that_take_the_same_trade_drew_one_arm(connection: Connection) -> None:
    """The id fixes the arm: two bots' copies are one unit, under another factor they are not."""
    lesson_id = store_lesson(connection, "active", **LESSON)
    taken = [("bot-a", "x"), ("bot-a", "y"), ("bot-b", "x"), ("bot-c", "x")]
    strands = [action(trade, bot=bot) for bot, trade in taken]
    strand_rows.append(connection, [*strands, *(close(trade, bot=bot) for bot, trade in taken)])
    ingest_batch(connection, strand_rows.read_pending(connection, 100), SETTINGS)
    rows = [application(lesson_id, trade, bot=bot, hours=i) for i, (bot, trade) in enumerate(taken)]
    application_rows.append(connection, [*rows[:3], {**rows[3], "latent_factor_id": "lf_1"}])
    applied = effect_rows.read_applied(
        connection, "pm", outcome="r_multiple", origins=SETTINGS.origins
    )
    assert applied[lesson_id].unit.tolist() == [0, 1, 0, 2]


def test_size_is_judged_by_its_uplift_alone(connection: Connection) -> None:
    """Doubling nothing but the losing half: (0.7 - 1) · (-1) on every treated trade and week."""
    lesson_id = store_lesson(connection, "active", **LESSON)
    rng = np.random.default_rng(1)
    rr = rng.normal(-1, 0.5, 400)
    store_trades(connection, rr.tolist())
    application_rows.append(
        connection,
        [application(lesson_id, f"t{i}", levers={"size_mult": 0.7}, p=1.0) for i in range(400)],
    )
    found = measured(connection, lesson_id)
    assert found["uplift"].effect_rr == pytest.approx(-0.3 * rr.mean())
    assert found["uplift"].verdict == "helps"
    assert found["delta_rr"].absent_reason == "it carries nothing but size: its uplift tells"


def test_a_version_is_judged_by_what_it_did_itself(connection: Connection) -> None:
    """Version 1 sized losing trades up for 45 weeks; version 2, the opposite, is not accused."""
    lesson_id = store_lesson(connection, "active", **LESSON)
    rr = np.random.default_rng(1).normal(-0.4, 1, 840)
    store_trades(connection, rr.tolist())
    earlier, n = 630, 840

    def applied(i: int, version: int) -> Drawn:
        levers = {"size_mult": {1: 1.2, 2: 0.8}[version]}
        return application(lesson_id, f"t{i}", levers=levers, p=1.0, hours=12.0 * i,
                           lesson_version=version)  # fmt: skip

    application_rows.append(connection, [applied(i, 1) for i in range(earlier)])
    first = measured(connection, lesson_id)["uplift"]
    assert (first.effect_rr, first.is_guardrail_crossed) == (
        pytest.approx(0.2 * rr[:earlier].mean()), True,
    )  # fmt: skip
    decide(connection, lesson_id, "disable")
    lesson_rows.raise_version(connection, lesson_id, reason="its effect changed sign")
    assert measured(connection, lesson_id)["uplift"] == first  # offered, not approved
    decide(connection, lesson_id, "approve")
    application_rows.append(
        connection,
        # what version 1 decided first stays its own, also where version 2 touched it later
        [applied(earlier - 1, 2), *(applied(i, 2) for i in range(earlier, n))],
    )
    found = measured(connection, lesson_id)["uplift"]
    assert found.effect_rr == pytest.approx(-0.2 * rr[earlier:].mean())
    assert (found.n_treated, found.verdict, found.is_guardrail_crossed) == (
        n - earlier, "not clear yet", False,
    )  # fmt: skip


def test_an_override_that_nobody_applied_says_so(connection: Connection) -> None:
    lesson_id = store_lesson(connection, "active", **LESSON)
    never = store_lesson(connection, "proposed", **LESSON)
    store_trades(connection, [1.0, -1.0])
    effects, n = measure_module(connection, "pm", SETTINGS, job_rows.database_now(connection))
    assert n == 0
    assert never not in effects
    assert {record.measure: record.absent_reason for record in effects[lesson_id]} == {
        "uplift": "no closed trade to which it was applied",
        "delta_rr": "no closed trade to which it was applied or held out",
        "edge_since_activation": "no trade in scope closed since it was activated",
    }


def test_the_edge_since_activation_leaves_out_what_closed_before(connection: Connection) -> None:
    lesson_id = store_lesson(connection, "active", **LESSON, scope={"bucket": "micro"})
    rng = np.random.default_rng(6)
    micro = np.arange(600) % 2 == 0
    rr = rng.normal(0, 1, 600) + 0.8 * micro
    now = job_rows.database_now(connection)
    activated_at = now - timedelta(days=210)
    connection.execute(sa.update(learning_lessons).values(activated_at=activated_at))
    since = (activated_at - START).total_seconds() / 86400
    store_trades(connection, rr.tolist(), first_day=since - 100)  # 200 of them before
    found = measured(connection, lesson_id)["edge_since_activation"]
    assert (found.n_treated, found.verdict) == (200, "helps")
    assert found.effect_rr == pytest.approx(0.4, abs=0.2)


def test_an_edge_is_turned_by_the_sign_that_was_approved(connection: Connection) -> None:
    """Approved as a winning scope, it loses since: evidence that turned does not turn the harm."""
    lesson_id = store_lesson(connection, "active", **LESSON, scope={"bucket": "micro"})
    rng = np.random.default_rng(6)
    rr = rng.normal(0, 1, 400) - 0.8 * (np.arange(400) % 2 == 0)
    connection.execute(
        sa.update(learning_lessons).values(
            activated_at=START - timedelta(days=1), stats={**CLEAR, "posterior_mean_rr": -0.2}
        )
    )
    store_trades(connection, rr.tolist())
    found = measured(connection, lesson_id)["edge_since_activation"]
    assert found.effect_rr == pytest.approx(-0.4, abs=0.2)
    assert (found.verdict, found.is_guardrail_crossed) == ("hurts", True)


def test_a_lesson_about_execution_has_no_edge_to_follow(connection: Connection) -> None:
    tuning = {"capital_levers": {}, "execution_levers": {"trail_mult": 1.1}}
    lesson_id = store_lesson(
        connection, "active", **LESSON, lesson_type="pm_tuning", effect=tuning, scope={}
    )
    store_trades(connection, [1.0, -1.0])
    assert "ΔR/R" in str(measured(connection, lesson_id)["edge_since_activation"].absent_reason)


def test_the_job_writes_each_measure_once_and_counts_what_crossed(runner: Runner) -> None:
    with transaction(runner.engine) as connection:
        lesson_id = randomised(connection, effect_rr=-1.0, seed=8)
    for is_again in range(2):
        ended = runner.run_now("measure_effects", requested_by="test")
        assert ended is not None
        assert (ended.status, ended.error) == ("ok", None)
        assert ended.changed == {
            "measured": 1, "absent": 2, "guardrails_crossed": 1, "alerts_raised": 1 - is_again,
        }  # fmt: skip
    with runner.engine.connect() as connection:
        rows = connection.execute(sa.select(override_effects)).mappings().all()
    assert sorted(row["measure"] for row in rows) == [
        "delta_rr", "edge_since_activation", "uplift",
    ]  # fmt: skip
    [crossed] = [row for row in rows if row["is_guardrail_crossed"]]
    assert (crossed["lesson_id"], crossed["verdict"]) == (lesson_id, "hurts")
    assert "disable" in crossed["details"]["proposal"]
    assert crossed["ci_high_rr"] < 0


def test_a_judgement_at_a_horizon_rests_on_what_was_decided_before_it(
    connection: Connection,
) -> None:
    """Measured on day 100 and on day 170 after activation: the same numbers, 91 days' worth.

    Trades take six hours: on the day of the horizon itself the last of them may be open.
    """
    lesson_id = randomised(connection, effect_rr=0.9, seed=4)  # a trade every half day, 300 days
    connection.execute(sa.update(learning_lessons).values(activated_at=START))
    told = {}
    for day in (50, 91.1, 100, 170, 200):
        effects, _ = measure_module(connection, "pm", SETTINGS, START + timedelta(days=day))
        told[day] = next(one for one in effects[lesson_id] if one.measure == "delta_rr").horizon
    assert told[50] == NotMeasured("judged when what was decided in its first 91 days has closed")
    assert told[91.1] == told[50]
    assert isinstance(told[100], HorizonJudgement)
    assert (told[100].days, told[100].n, told[100].n_judged) == (91, 182, 1)
    assert told[100] == told[170]
    assert told[100].verdict == "helps"
    assert isinstance(told[200], HorizonJudgement)
    assert (told[200].days, told[200].n) == (182, 364)


def test_what_is_stored_tells_the_shrunk_effect_the_horizon_and_what_is_missing(
    runner: Runner,
) -> None:
    with transaction(runner.engine) as connection:
        randomised(connection, effect_rr=0.2, seed=8, n=300)
        long_ago = job_rows.database_now(connection) - timedelta(days=100)
        connection.execute(sa.update(learning_lessons).values(activated_at=long_ago))
    ended = runner.run_now("measure_effects", requested_by="test")
    assert ended is not None
    assert (ended.status, ended.error) == ("ok", None)
    with runner.engine.connect() as connection:
        rows = connection.execute(sa.select(override_effects)).mappings().all()
    row = next(row for row in rows if row["measure"] == "delta_rr")
    assert row["n_shrunk_together"] == 1
    assert 0 < abs(row["shrunk_rr"]) < abs(row["effect_rr"])
    assert row["shrunk_low_rr"] < row["shrunk_rr"] < row["shrunk_high_rr"]
    assert row["sentence"] == f"not clear yet (needs about {row['n_missing']} more trades)"
    assert [told["days"] for told in row["details"]["horizons"]] == [91]
    absent = next(row for row in rows if row["measure"] == "uplift")
    assert absent["sentence"] == f"not clear yet ({absent['absent_reason']})"
    assert absent["shrunk_absent_reason"] == absent["absent_reason"]
