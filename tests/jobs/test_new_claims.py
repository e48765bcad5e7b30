"""A lesson that claims the other sign is asked again whether later trades confirm it."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection

from jobs.lesson_claims import is_open, new_claim, refreshed_claim
from jobs.lesson_confirmations import Judgement
from jobs.lesson_findings import Findings
from jobs.mine_lessons import write
from jobs.runner import Runner
from learning.lessons.evidence_record import EvidenceRecord
from learning.lessons.life_cycle import Status
from learning.settings import Settings
from learning.store import decision_rows, lesson_rows
from learning.store.database import transaction
from learning.store.lesson_rows import StoredLesson
from tests.learning.store.stored_lessons import CLEAR, store_lesson

NOW = datetime(2026, 6, 1, tzinfo=UTC)
FIRST = {"ci_low_rr": 0.2, "ci_high_rr": 0.6, "posterior_mean_rr": 0.4, "rr_kind": "r_multiple"}
FIRST |= {"claim_rr": 0.2, "claimed_at_days": 20000.0}
LOSING = {**FIRST, "ci_low_rr": -0.6, "ci_high_rr": -0.2, "posterior_mean_rr": -0.4}
LOSING |= {"claim_rr": -0.2, "claimed_at_days": 20200.0}
RUN: dict[str, Any] = {
    "module": "pm", "is_discovery": True, "look": 2, "outcome": "r_multiple", "fdr_level": 0.1,
    "seed": 1, "clip_low_rr": -5.0, "clip_high_rr": 5.0, "n_trades": 100, "n_without_outcome": 0,
    "counts": {}, "details": {}, "baselines": {},
}  # fmt: skip


def look(
    connection: Connection,
    lesson: StoredLesson,
    stats: dict[str, Any],
    size: float,
    judged: Judgement | None = None,
) -> StoredLesson:
    """Find a lesson at a look with these numbers; return it as it stands then."""
    record = EvidenceRecord(
        key=lesson.key,
        scope=lesson.scope,
        lesson_type="pm_strength",
        n=90,
        stats=stats,
        effect={"capital_levers": {"size_mult": size}, "execution_levers": {}},
        strength=0.9,
        mean_closed_at=NOW,
        excludes_zero=True,
        trades=(1, 2),
    )
    told = {} if judged is None else {lesson.lesson_id: judged}
    found = Findings(True, RUN, {lesson.identity: record}, frozenset([lesson.identity]), told)
    stale = SimpleNamespace(ids=frozenset([lesson.lesson_id]), marks={})
    changed = dict.fromkeys(("new", "refreshed", "proposed", "watched", "retired"), 0)
    write(
        connection, SimpleNamespace(module="pm", now=NOW, stale=stale), found, Settings(), changed
    )
    return lesson_rows.read_lessons(connection, lesson_id=lesson.lesson_id)[0]


def confirmed(connection: Connection, *, is_retired: bool) -> StoredLesson:
    lesson_id = store_lesson(connection, "active", stats=FIRST, outcome="r_multiple")
    lesson_rows.append_version(connection, lesson_id, reason="found")
    lesson_rows.set_confirmation(
        connection, lesson_id, state="confirmed", reason="60 trades", moments_asked=3
    )
    if is_retired:
        decision_rows.move(
            connection,
            lesson_id=lesson_id,
            decision="retire",
            reason="its sign has flipped",
            job="test",
        )
    return lesson_rows.read_lessons(connection, lesson_id=lesson_id)[0]


@pytest.mark.parametrize("is_retired", [False, True])
def test_a_confirmed_lesson_that_claims_the_other_sign_is_pending(
    runner: Runner, is_retired: bool
) -> None:
    with transaction(runner.engine) as connection:
        known = confirmed(connection, is_retired=is_retired)
        # what later trades said of the former claim is not said of this one
        lesson = look(connection, known, LOSING, 0.8, Judgement("confirmed", "61 trades", 3))
    assert (lesson.status, lesson.version) == ("proposed", known.version + 1)
    assert (lesson.confirmation, lesson.moments_asked) == ("pending", 0)
    assert is_open(lesson)


def test_a_confirmed_lesson_that_claims_the_same_stays_confirmed(runner: Runner) -> None:
    with transaction(runner.engine) as connection:
        lesson = look(connection, confirmed(connection, is_retired=False), FIRST, 1.1)
    assert (lesson.status, lesson.confirmation) == ("active", "confirmed")


@pytest.mark.parametrize(("status", "claims"), [("proposed", True), ("watch", False)])
def test_a_lesson_that_stands_open_without_a_claim_makes_it_when_it_is_measured(
    runner: Runner, status: Status, claims: bool
) -> None:
    """Levels once claimed nothing, and would stay pending for ever."""
    with transaction(runner.engine) as connection:
        lesson_id = store_lesson(
            connection, status, lesson_type="level", outcome="r_multiple_net", stats=CLEAR
        )
        [lesson] = lesson_rows.read_lessons(connection, lesson_id=lesson_id)
    claim = new_claim(0.1, 0.9, NOW)
    assert refreshed_claim(lesson, claim) == (claim if claims else {})
    assert claim == {"claim_rr": 0.1, "claimed_at_days": NOW.timestamp() / 86400}
