from __future__ import annotations

import json
import random
import threading
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine, make_url

from jobs.materialise_overrides import materialise_module
from learning.errors import DecisionRefused
from learning.lessons.life_cycle import (
    JOB_DECISIONS,
    PERSON_DECISIONS,
    STATUSES,
    JobDecision,
    PersonDecision,
    Status,
    next_status,
)
from learning.settings import Settings
from learning.store import decision_rows, job_rows, people_rows, state_rows
from learning.store.database import create_engine, transaction
from learning.store.schema import (
    edgekeeper_state,
    job_runs,
    learning_configs,
    learning_lessons,
    lesson_decisions,
    override_history,
    people,
    pm_overrides,
)
from tests.learning.store.stored_lessons import (
    CLEAR,
    NOT_CLEAR,
    decide,
    lesson_row,
    refused,
    stands,
    store_lesson,
    store_override,
)


def lesson(connection: Connection, lesson_id: int) -> sa.Row:
    return connection.execute(
        sa.select(learning_lessons).where(learning_lessons.c.id == lesson_id)
    ).one()


def n_decisions(connection: Connection, lesson_id: int) -> int:
    return len(decision_rows.read_decisions(connection, lesson_id=lesson_id))


def add_people(connection: Connection, **roles: str) -> None:
    rows = [{"name": name, "role": role} for name, role in roles.items()]
    connection.execute(sa.insert(people), rows)


# ------------------------------------------------------------------ the state machine
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("decision", PERSON_DECISIONS)
def test_the_database_lets_a_person_do_what_the_life_cycle_says(
    connection: Connection, decision: PersonDecision, status: Status
) -> None:
    lesson_id = store_lesson(connection, status)
    expected = next_status(decision, status)
    if expected is None:
        with pytest.raises(DecisionRefused, match=f"is {status}: {decision} is not possible"):
            decide(connection, lesson_id, decision)
        assert stands(connection, lesson_id) == (1, status)
    else:
        decided = decide(connection, lesson_id, decision)
        assert (decided.from_status, decided.to_status) == (status, expected)
        assert stands(connection, lesson_id) == (1, expected)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("decision", JOB_DECISIONS)
def test_the_database_lets_a_job_do_what_the_life_cycle_says(
    connection: Connection, decision: JobDecision, status: Status
) -> None:
    lesson_id = store_lesson(connection, status)
    if status in ("watch", "proposed"):  # let it be an old acquaintance
        first: JobDecision = "watch" if status == "watch" else "propose"
        move(connection, lesson_id, first)
    expected = next_status(decision, status)
    if expected is None:
        with pytest.raises(DecisionRefused, match=f"is {status}: a job may not {decision} it"):
            move(connection, lesson_id, decision)
        assert stands(connection, lesson_id) == (1, status)
    else:
        moved = move(connection, lesson_id, decision)
        assert (moved.from_status, moved.to_status, moved.source) == (status, expected, "job")
        assert stands(connection, lesson_id) == (1, expected)


def move(connection: Connection, lesson_id: int, decision: JobDecision) -> decision_rows.Decision:
    return decision_rows.move(
        connection,
        lesson_id=lesson_id,
        decision=decision,
        reason="what the trades say now",
        job="mine_lessons",
    )


def test_the_first_decision_of_a_new_lesson_comes_from_nowhere(connection: Connection) -> None:
    moved = move(connection, store_lesson(connection), "propose")
    assert (moved.from_status, moved.to_status) == (None, "proposed")


@pytest.mark.parametrize("status", ["active", "rejected"])
def test_no_update_makes_a_lesson_active_or_rejected(connection: Connection, status: str) -> None:
    lesson_id = store_lesson(connection)
    change = sa.update(learning_lessons).where(learning_lessons.c.id == lesson_id)
    with refused(connection, "EK109"):
        connection.execute(
            change.values(status=status, activated_at=sa.func.now(), expires_at=sa.func.now())
        )


def test_no_insert_makes_a_lesson_active(connection: Connection) -> None:
    row = lesson_row(connection, status="active")
    ends = {"activated_at": sa.func.now(), "expires_at": sa.func.now()}
    with refused(connection, "EK109"):
        connection.execute(sa.insert(learning_lessons).values({**row, **ends}))


def test_an_active_lesson_cannot_become_another_version_unseen(connection: Connection) -> None:
    lesson_id = store_lesson(connection, "active")
    with refused(connection, "EK109"):
        connection.execute(
            sa.update(learning_lessons).where(learning_lessons.c.id == lesson_id).values(version=2)
        )
    move(connection, lesson_id, "refresh")
    connection.execute(
        sa.update(learning_lessons).where(learning_lessons.c.id == lesson_id).values(version=2)
    )
    assert stands(connection, lesson_id) == (2, "proposed")


def test_a_version_never_falls(connection: Connection) -> None:
    lesson_id = store_lesson(connection, version=3)
    with refused(connection, "EK109"):
        connection.execute(
            sa.update(learning_lessons).where(learning_lessons.c.id == lesson_id).values(version=2)
        )


def test_fresh_evidence_leaves_an_active_lesson_active(connection: Connection) -> None:
    lesson_id = store_lesson(connection, "active")
    change = sa.update(learning_lessons).where(learning_lessons.c.id == lesson_id)
    connection.execute(change.values(n=41, status="active"))
    assert lesson(connection, lesson_id).n == 41


# ------------------------------------------------------------------ what an approval needs
@pytest.mark.parametrize(
    "stats",
    [NOT_CLEAR, {"ci_low_rr": -0.5, "ci_high_rr": 0.0}, {"ci_low_rr": 0, "ci_high_rr": 1},
     {}, {"ci_low_rr": "0.1", "ci_high_rr": "0.9"}, {"ci_low_rr": 0.1, "ci_high_rr": None}],
)  # fmt: skip
def test_a_lesson_whose_interval_is_not_clear_of_zero_cannot_be_approved(
    connection: Connection, stats: dict[str, object]
) -> None:
    lesson_id = store_lesson(connection, stats=stats)
    with pytest.raises(DecisionRefused, match="interval"):
        decide(connection, lesson_id, "approve")


def test_a_losing_lesson_can_be_approved(connection: Connection) -> None:
    lesson_id = store_lesson(connection, stats={"ci_low_rr": -0.9, "ci_high_rr": -0.1})
    assert decide(connection, lesson_id, "approve").to_status == "active"


@pytest.mark.parametrize("seen", [{"version": 2}, {"status": "disabled"}])
def test_a_lesson_that_changed_meanwhile_is_not_decided_on(
    connection: Connection, seen: dict[str, object]
) -> None:
    lesson_id = store_lesson(connection)
    with pytest.raises(DecisionRefused, match="changed meanwhile: it is proposed in version 1"):
        decide(connection, lesson_id, "approve", **seen)
    assert n_decisions(connection, lesson_id) == 0


@pytest.mark.parametrize("reason", ["", "too short", "          x"])
def test_a_decision_needs_a_reason_of_ten_characters(connection: Connection, reason: str) -> None:
    with pytest.raises(DecisionRefused, match="at least 10 characters"):
        decide(connection, store_lesson(connection), "approve", reason=reason)


def test_a_lesson_that_is_not_there_cannot_be_decided_on(connection: Connection) -> None:
    with pytest.raises(DecisionRefused, match="there is no lesson 987654321"):
        decision_rows.move(
            connection,
            lesson_id=987654321,
            decision="retire",
            reason="long gone, it seems",
            job="m",
        )


def test_the_same_token_decides_once(connection: Connection) -> None:
    lesson_id, token = store_lesson(connection), uuid4()
    first = decide(connection, lesson_id, "approve", token=token)
    again = decide(connection, lesson_id, "approve", token=token, version=1, status="proposed")
    assert again == first
    assert n_decisions(connection, lesson_id) == 1


def test_a_token_cannot_decide_something_else(connection: Connection) -> None:
    lesson_id, token = store_lesson(connection), uuid4()
    decide(connection, lesson_id, "approve", token=token)
    with pytest.raises(DecisionRefused, match="this token has decided something else"):
        decide(connection, lesson_id, "disable", token=token)


@pytest.mark.parametrize(
    ("half_life_hours", "expected"),
    [(None, timedelta(days=30)), (100.0, timedelta(hours=300)), (720.0, timedelta(days=90)),
     (1e7, timedelta(days=90))],
)  # fmt: skip
def test_an_override_ends_after_three_half_lives_or_ninety_days(
    connection: Connection, half_life_hours: float | None, expected: timedelta
) -> None:
    reason = "nothing decays" if half_life_hours is None else None
    lesson_id = store_lesson(
        connection, "active", decay_halflife_hours=half_life_hours, half_life_reason=reason
    )
    found = lesson(connection, lesson_id)
    assert found.expires_at - found.activated_at == expected


def test_renewing_moves_the_end_and_nothing_else(connection: Connection) -> None:
    lesson_id = store_lesson(connection, "active")
    old = sa.update(learning_lessons).where(learning_lessons.c.id == lesson_id)
    connection.execute(old.values(expires_at=sa.text("now() + interval '1 hour'")))
    before = lesson(connection, lesson_id)
    decide(connection, lesson_id, "renew")
    after = lesson(connection, lesson_id)
    assert after.expires_at == before.activated_at + timedelta(days=30)
    assert (after.activated_at, after.status) == (before.activated_at, "active")


def test_approving_queues_a_run_that_materialises(connection: Connection) -> None:
    store_lesson(connection, "active")
    queued = connection.execute(
        sa.select(
            job_runs.c.job, job_runs.c.run_trigger, job_runs.c.requested_by, job_runs.c.status
        )
    ).one()
    assert tuple(queued) == ("materialise_overrides", "manual", "ann", "queued")


def test_a_decision_keeps_the_evidence_as_it_stood(connection: Connection) -> None:
    lesson_id = store_lesson(connection)
    decided = decide(connection, lesson_id, "approve")
    assert decided.evidence["stats"] == CLEAR
    assert decided.evidence["effect"]["capital_levers"] == {"size_mult": 1.1}
    assert decided.evidence["n"] == 40


def test_a_refusal_leaves_the_transaction_usable(connection: Connection) -> None:
    lesson_id = store_lesson(connection, "watch")
    with pytest.raises(DecisionRefused):
        decide(connection, lesson_id, "approve")
    assert stands(connection, lesson_id) == (1, "watch")


# ------------------------------------------------------------------ who
def test_a_single_user_decides_without_being_listed(connection: Connection) -> None:
    assert decide(connection, store_lesson(connection), "approve").to_status == "active"


@pytest.mark.parametrize("decision", ["approve", "reject", "disable"])
def test_with_people_listed_only_approvers_and_admins_decide(
    connection: Connection, decision: PersonDecision
) -> None:
    before: Status = "active" if decision == "disable" else "proposed"
    lesson_ids = [store_lesson(connection, before) for _ in range(2)]
    add_people(connection, vic="viewer", abe="approver", ada="admin")
    for nobody in ("vic", "mallory", "ABE"):
        with pytest.raises(DecisionRefused, match="may not decide"):
            decide(connection, lesson_ids[0], decision, actor=nobody)
    for lesson_id, actor in zip(lesson_ids, ("abe", "ada"), strict=True):
        assert decide(connection, lesson_id, decision, actor=actor).decided_by == actor


def test_a_decision_needs_a_name(connection: Connection) -> None:
    with pytest.raises(DecisionRefused, match="the name of who decides"):
        decide(connection, store_lesson(connection), "approve", actor=" ")


def test_two_approvals_take_two_people(connection: Connection) -> None:
    lesson_id = store_lesson(connection)
    first = decide(connection, lesson_id, "approve", actor="ann", approvals_required=2)
    assert first.waits_for_another
    assert stands(connection, lesson_id) == (1, "proposed")
    with pytest.raises(DecisionRefused, match="it takes a second person"):
        decide(connection, lesson_id, "approve", actor="ann", approvals_required=2)
    second = decide(connection, lesson_id, "approve", actor="bob", approvals_required=2)
    assert not second.waits_for_another
    assert stands(connection, lesson_id) == (1, "active")


def test_disabling_takes_one_person_where_approving_takes_two(connection: Connection) -> None:
    lesson_id = store_lesson(connection, "active")
    assert decide(connection, lesson_id, "disable", approvals_required=2).to_status == "disabled"


def test_a_first_approval_is_void_for_another_version(connection: Connection) -> None:
    lesson_id = store_lesson(connection)
    decide(connection, lesson_id, "approve", actor="ann", approvals_required=2)
    connection.execute(
        sa.update(learning_lessons).where(learning_lessons.c.id == lesson_id).values(version=2)
    )
    assert decide(
        connection, lesson_id, "approve", actor="bob", approvals_required=2
    ).waits_for_another


def test_a_first_approval_is_void_after_another_decision(connection: Connection) -> None:
    lesson_id = store_lesson(connection)
    decide(connection, lesson_id, "approve", actor="ann", approvals_required=2)
    decide(connection, lesson_id, "approve", actor="bob", approvals_required=2)
    decide(connection, lesson_id, "disable", actor="bob", approvals_required=2)
    again = decide(connection, lesson_id, "approve", actor="bob", approvals_required=2)
    assert again.waits_for_another
    assert stands(connection, lesson_id) == (1, "disabled")


def test_a_caller_may_ask_for_more_people_than_the_database_keeps_never_for_fewer(
    connection: Connection,
) -> None:
    lesson_id, other = store_lesson(connection), store_lesson(connection)
    assert people_rows.set_approvals(connection, 2, actor="ann", reason="four eyes from now on")
    first = decide(connection, lesson_id, "approve", actor="ann", approvals_required=1)
    assert first.waits_for_another
    with pytest.raises(DecisionRefused, match="it takes a second person"):
        decide(connection, lesson_id, "approve", actor="ann", approvals_required=1)
    second = decide(connection, lesson_id, "approve", actor="bob", approvals_required=1)
    assert second.to_status == "active"
    assert people_rows.set_approvals(connection, 1, actor="ann", reason="bob is on holiday")
    assert decide(connection, other, "approve", approvals_required=2).waits_for_another


def test_who_keeps_the_number_of_approvals_is_kept_with_the_reason(connection: Connection) -> None:
    assert people_rows.read_approvals(connection) == people_rows.Approvals(1, None, None, None)
    assert people_rows.set_approvals(connection, 2, actor="ann", reason="four eyes from now on")
    kept = people_rows.read_approvals(connection)
    assert (kept.required, kept.set_by, kept.reason) == (2, "ann", "four eyes from now on")
    assert not people_rows.set_approvals(connection, 2, actor="bob", reason="the same again")
    assert people_rows.read_approvals(connection) == kept


@pytest.mark.parametrize(
    ("number", "actor", "reason", "sentence"),
    [
        (3, "ann", "four eyes from now on", "must be 1 or 2, got 3"),
        (1, "ann", "no time", "at least 10 characters"),
        (1, "vic", "this is too slow for me", "may not decide"),
    ],
)
def test_lowering_the_number_of_approvals_takes_who_decides_and_a_reason(
    connection: Connection, number: int, actor: str, reason: str, sentence: str
) -> None:
    add_people(connection, vic="viewer", ann="approver")
    people_rows.set_approvals(connection, 2, actor="ann", reason="four eyes from now on")
    with pytest.raises(DecisionRefused, match=sentence):
        people_rows.set_approvals(connection, number, actor=actor, reason=reason)
    assert people_rows.read_approvals(connection).required == 2


def test_every_change_of_the_number_of_approvals_stays_on_record(connection: Connection) -> None:
    people_rows.set_approvals(connection, 2, actor="ann", reason="four eyes from now on")
    people_rows.set_approvals(connection, 1, actor="bob", reason="ann is on holiday")
    people_rows.set_approvals(connection, 1, actor="eve", reason="the same once more")
    told = [
        (one.rule, one.value_before, one.value_after, one.changed_by, one.reason)
        for one in state_rows.read_rule_changes(connection)
    ]
    assert told == [
        ("approvals_required", "2", "1", "bob", "ann is on holiday"),
        ("approvals_required", "1", "2", "ann", "four eyes from now on"),
    ]


def test_a_decision_says_how_many_people_it_took(connection: Connection) -> None:
    lesson_id = store_lesson(connection)
    needed = []
    for actor, decision, required in (
        ("ann", "approve", 2), ("bob", "approve", 2), ("ann", "disable", 2), ("ann", "approve", 1),
    ):  # fmt: skip
        made = decide(connection, lesson_id, decision, actor=actor, approvals_required=required)
        needed.append(made.evidence["people_needed"])
    assert needed == [2, 2, 1, 1]
    assert decision_rows.verify_chain(connection) is None
    move(connection, lesson_id, "refresh")
    last = decision_rows.read_decisions(connection, lesson_id=lesson_id)[0]
    assert "people_needed" not in last.evidence  # a job's move takes nobody


def test_nobody_takes_away_the_second_person_that_their_approval_waits_for(
    connection: Connection,
) -> None:
    add_people(connection, root="admin", boss="admin", ann="approver", bob="approver")
    people_rows.set_approvals(connection, 2, actor="ann", reason="four eyes from now on")
    lesson_id = store_lesson(connection)
    decide(connection, lesson_id, "approve", actor="root")
    lower = {"reason": "only for a moment"}
    with pytest.raises(DecisionRefused, match="'bob' may not lower it: this takes the role admin"):
        people_rows.set_approvals(connection, 1, actor="bob", **lower)
    with pytest.raises(
        DecisionRefused, match=f"'root' has approved lesson {lesson_id}, which wait"
    ):
        people_rows.set_approvals(connection, 1, actor="root", **lower)
    assert people_rows.read_approvals(connection).required == 2
    assert people_rows.set_approvals(connection, 1, actor="boss", **lower)
    people_rows.set_approvals(connection, 2, actor="ann", reason="four eyes again")
    decide(connection, lesson_id, "approve", actor="bob")  # it waits no longer
    assert people_rows.set_approvals(connection, 1, actor="root", **lower)


# ------------------------------------------------------------------ disabling
def store_config(connection: Connection, **lists: list[int]) -> None:
    config = {
        "generation": 1,
        "revision": 1,
        "feature_flags": {"learning_overrides_enabled": True},
        "pattern_strength_overrides": [],
        "pattern_overrides": [],
        "alloc_overrides": [],
        **{name: [{"lesson": {"id": i}} for i in ids] for name, ids in lists.items()},
    }
    connection.execute(
        sa.insert(learning_configs).values(module="pm", config_data=config, version=1, generation=1)
    )


@pytest.mark.parametrize("how", ["disable", "retire", "refresh"])
def test_an_override_is_gone_at_once_when_its_lesson_is_no_longer_active(
    connection: Connection, how: str
) -> None:
    lesson_id, other = store_lesson(connection, "active"), store_lesson(connection, "active")
    for one in (lesson_id, other):
        store_override(connection, one, size_mult=1.02)
    store_config(
        connection,
        pattern_strength_overrides=[other, lesson_id],
        pattern_overrides=[lesson_id, other],
    )
    before = connection.execute(sa.select(edgekeeper_state)).one()
    if how == "disable":
        decide(connection, lesson_id, "disable")
    else:
        move(connection, lesson_id, how)  # type: ignore[arg-type]

    state = connection.execute(sa.select(edgekeeper_state)).one()
    assert (state.revision, state.data_version) == (before.revision + 1, before.data_version + 1)
    assert connection.scalars(sa.select(pm_overrides.c.lesson_id)).all() == [other]
    config = connection.execute(sa.select(learning_configs)).one()
    assert config.config_data == {
        "generation": 1,
        "revision": state.revision,
        "feature_flags": {"learning_overrides_enabled": True},
        "pattern_strength_overrides": [{"lesson": {"id": other}}],
        "pattern_overrides": [{"lesson": {"id": other}}],
        "alloc_overrides": [],
    }
    assert config.version == state.revision
    removed = connection.execute(sa.select(override_history)).one()
    assert (removed.lesson_id, removed.change, removed.revision) == (
        lesson_id, "removed", state.revision,
    )  # fmt: skip
    assert (removed.levers_before, removed.levers_after) == ({"size_mult": 1.02}, None)


def test_disabling_works_on_a_config_that_is_corrupt(connection: Connection) -> None:
    lesson_id = store_lesson(connection, "active")
    connection.execute(
        sa.insert(learning_configs).values(
            module="pm", config_data={"pattern_overrides": "?"}, version=1, generation=1
        )
    )
    decide(connection, lesson_id, "disable")
    config = connection.scalar(sa.select(learning_configs.c.config_data))
    assert config["pattern_overrides"] == []


def test_bots_and_workers_are_told(fresh_database: str) -> None:
    plain = make_url(fresh_database).set(drivername="postgresql").render_as_string(False)
    engine = create_engine(fresh_database)
    with psycopg.connect(plain, autocommit=True) as listener:
        listener.execute("LISTEN edgekeeper_jobs")
        listener.execute("LISTEN edgekeeper_overrides")
        with transaction(engine) as connection:
            lesson_id = store_lesson(connection, "active")
        assert heard(listener) == "edgekeeper_jobs"
        with transaction(engine) as connection:
            decide(connection, lesson_id, "disable")
        assert heard(listener) == "edgekeeper_overrides"
    engine.dispose()


def heard(listener: psycopg.Connection) -> str:
    return next(iter(listener.notifies(timeout=10, stop_after=1))).channel


# ------------------------------------------------------------------ the chain
def chain(connection: Connection, length: int) -> None:
    lesson_id = store_lesson(connection)
    for i in range(length):
        decide(connection, lesson_id, "disable" if i % 2 else "approve")
    connection.execute(sa.text("ALTER TABLE lesson_decisions DISABLE TRIGGER append_only"))


def test_an_untouched_chain_holds(connection: Connection) -> None:
    assert decision_rows.verify_chain(connection) is None
    chain(connection, 5)
    assert decision_rows.verify_chain(connection) is None


_EDITS = (
    "lesson_version = lesson_version + 1", "decision = 'renew'", "from_status = 'retired'",
    "to_status = 'watch'", "decided_by = 'mallory'", "reason = 'a reason never given'",
    "decided_at = decided_at + interval '1 microsecond'", "source = 'demo'",
    "decision_token = gen_random_uuid()", "evidence = evidence || '{\"n\": 41}'",
    "previous_hash = sha256('x')", "row_hash = sha256('x')",
)  # fmt: skip


@pytest.mark.parametrize("edit", _EDITS)
def test_an_edit_of_any_column_is_found_where_it_is(connection: Connection, edit: str) -> None:
    chain(connection, 6)
    third = connection.scalar(sa.select(sa.func.min(lesson_decisions.c.id))) + 2
    connection.execute(sa.text(f"UPDATE lesson_decisions SET {edit} WHERE id = {third}"))
    assert decision_rows.verify_chain(connection) == third


def test_random_tampering_is_always_found(connection: Connection) -> None:
    chain(connection, 12)
    rng = random.Random(7)
    attempts, found = 200, 0
    for _ in range(attempts):
        with connection.begin_nested() as undo:
            tamper(connection, rng)
            found += decision_rows.verify_chain(connection) is not None
            undo.rollback()
    assert found == attempts


def tamper(connection: Connection, rng: random.Random) -> None:
    """Edit, delete, reorder or cut off."""
    first = connection.scalar(sa.select(sa.func.min(lesson_decisions.c.id)))
    one, other = rng.sample(range(first, first + 12), 2)
    statements = {
        "edit": [f"UPDATE lesson_decisions SET {rng.choice(_EDITS)} WHERE id = {one}"],
        "delete": [f"DELETE FROM lesson_decisions WHERE id = {one}"],
        "cut": [f"DELETE FROM lesson_decisions WHERE id >= {one}"],
        "swap": [
            "ALTER TABLE lesson_decisions ALTER id SET GENERATED BY DEFAULT",
            f"UPDATE lesson_decisions SET id = -1 WHERE id = {one}",
            f"UPDATE lesson_decisions SET id = {one} WHERE id = {other}",
            f"UPDATE lesson_decisions SET id = {other} WHERE id = -1",
        ],
    }
    for statement in statements[rng.choice(sorted(statements))]:
        connection.execute(sa.text(statement))


# ------------------------------------------------------------------ races
def race(engine: Engine, *, n_people: int, n_each: int) -> tuple[int, int]:
    """People approve and disable one lesson as they see it; return wins and refusals."""
    with transaction(engine) as connection:
        lesson_id = store_lesson(connection)
    results: list[bool] = []
    refusals: list[str] = []
    start = threading.Barrier(n_people)

    def decide_again_and_again(actor: str) -> None:
        start.wait()
        for _ in range(n_each):
            with transaction(engine) as connection:
                version, status = stands(connection, lesson_id)
            what: PersonDecision = "disable" if status == "active" else "approve"
            try:
                with transaction(engine) as connection:
                    decide(connection, lesson_id, what, actor=actor, version=version, status=status)
                results.append(True)
            except DecisionRefused as refusal:
                refusals.append(str(refusal))
                results.append(False)

    threads = [
        threading.Thread(target=decide_again_and_again, args=(f"p{i}",)) for i in range(n_people)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == n_people * n_each
    assert all("changed meanwhile" in said for said in refusals)
    with transaction(engine) as connection:
        rows = list(reversed(decision_rows.read_decisions(connection, lesson_id=lesson_id)))
        assert decision_rows.verify_chain(connection) is None
    assert [row.to_status for row in rows] == (["active", "disabled"] * len(rows))[: len(rows)]
    assert len(rows) == sum(results)
    return sum(results), len(results) - sum(results)


def test_racing_people_cannot_clobber_each_other(fresh_database: str) -> None:
    engine = create_engine(fresh_database)
    wins, _ = race(engine, n_people=4, n_each=20)
    assert wins > 0
    engine.dispose()


@pytest.mark.slow
def test_four_hundred_racing_writes_leave_as_many_rows_as_wins(fresh_database: str) -> None:
    engine = create_engine(fresh_database)
    wins, refusals = race(engine, n_people=4, n_each=100)
    assert wins > 0
    assert refusals > 0
    engine.dispose()


def disable_while_materialising(engine: Engine, rounds: int) -> None:
    with transaction(engine) as connection:
        lesson_ids = [store_lesson(connection) for _ in range(rounds)]
    stop, failures = threading.Event(), []

    def materialise() -> None:
        settings = Settings()
        while not stop.is_set():
            try:
                with transaction(engine) as connection:
                    now = job_rows.database_now(connection)
                    materialise_module(connection, "pm", settings=settings, now=now)
            except Exception as error:
                failures.append(error)
                return

    worker = threading.Thread(target=materialise)
    worker.start()
    try:
        for lesson_id in lesson_ids:
            with transaction(engine) as connection:
                decide(connection, lesson_id, "approve")
            with transaction(engine) as connection:
                decide(connection, lesson_id, "disable")
    finally:
        stop.set()
        worker.join()
    assert failures == []
    with transaction(engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(pm_overrides)) == 0
        configs = connection.scalars(sa.select(learning_configs.c.config_data)).all()
    named = json.dumps(configs)
    assert '"lesson"' not in named


def test_a_disabling_is_not_lost_to_a_worker_that_materialises(fresh_database: str) -> None:
    engine = create_engine(fresh_database)
    disable_while_materialising(engine, rounds=15)
    engine.dispose()


@pytest.mark.slow
def test_a_hundred_disablings_stay_disabled(fresh_database: str) -> None:
    engine = create_engine(fresh_database)
    disable_while_materialising(engine, rounds=100)
    engine.dispose()


def test_a_disabling_survives_a_job_that_locks_in_the_other_order(fresh_database: str) -> None:
    engine = create_engine(fresh_database)
    with transaction(engine) as connection:
        lesson_id = store_lesson(connection, "active")
    row = sa.select(learning_lessons.c.id).where(learning_lessons.c.id == lesson_id)
    lesson_locked = threading.Event()

    def write_and_then_lock() -> None:
        with transaction(engine) as connection:
            connection.execute(sa.text("SET LOCAL deadlock_timeout = '60s'"))
            connection.execute(row.with_for_update())
            lesson_locked.set()
            connection.execute(sa.text("SELECT pg_sleep(0.1)"))
            decision_rows.lock(connection)

    job = threading.Thread(target=write_and_then_lock)
    job.start()
    lesson_locked.wait()
    with transaction(engine) as connection:
        connection.execute(sa.text("SET LOCAL deadlock_timeout = '500ms'"))
        assert decide(connection, lesson_id, "disable").to_status == "disabled"
    job.join()
    engine.dispose()


# ------------------------------------------------------------------ the analysed outcome
def analyse(connection: Connection, outcome: str) -> None:
    connection.execute(sa.update(edgekeeper_state).values(outcome=outcome))


@pytest.mark.parametrize("status", ["proposed", "disabled"])
def test_a_lesson_on_an_outcome_no_longer_analysed_cannot_be_approved(
    connection: Connection, status: Status
) -> None:
    lesson_id = store_lesson(connection, status, outcome="rr_path")
    analyse(connection, "r_multiple")
    with pytest.raises(DecisionRefused, match="rests on rr_path, but r_multiple is analysed now"):
        decide(connection, lesson_id, "approve")
    assert stands(connection, lesson_id) == (1, status)
    analyse(connection, "rr_path")
    assert decide(connection, lesson_id, "approve").to_status == "active"


def test_a_level_is_approved_whatever_is_analysed_beside_it(connection: Connection) -> None:
    lesson_id = store_lesson(connection, lesson_type="level", outcome="r_multiple_net")
    analyse(connection, "rr_path")
    assert decide(connection, lesson_id, "approve").to_status == "active"


def test_another_outcome_sends_active_lessons_back_in_the_name_of_who_chose_it(
    connection: Connection,
) -> None:
    analyse(connection, "rr_path")
    active, disabled = store_lesson(connection, "active"), store_lesson(connection, "disabled")
    store_override(connection, active, size_mult=1.02)
    store_config(connection, pattern_strength_overrides=[active])
    before = connection.execute(sa.select(edgekeeper_state)).one()
    sent = decision_rows.change_outcome(
        connection, "r_multiple", actor="ann", reason="costs are known", source="dashboard"
    )
    after = connection.execute(sa.select(edgekeeper_state)).one()
    assert sent == 1
    assert (after.outcome, after.outcome_chosen_by) == ("r_multiple", "ann")
    assert after.data_version > before.data_version
    assert (stands(connection, active), stands(connection, disabled)) == (
        (1, "proposed"), (1, "disabled"),
    )  # fmt: skip
    last = decision_rows.read_decisions(connection, lesson_id=active)[0]
    assert (last.decision, last.from_status, last.to_status, last.decided_by, last.source) == (
        "refresh", "active", "proposed", "ann", "dashboard",
    )  # fmt: skip
    assert last.reason == "the analysed outcome became r_multiple: costs are known"
    assert connection.scalars(sa.select(pm_overrides.c.id)).all() == []
    config = connection.scalar(sa.select(learning_configs.c.config_data))
    assert config["pattern_strength_overrides"] == []
    assert decision_rows.verify_chain(connection) is None


def test_the_outcome_that_is_analysed_already_changes_nothing(connection: Connection) -> None:
    analyse(connection, "rr_path")
    lesson_id = store_lesson(connection, "active")
    before = connection.execute(sa.select(edgekeeper_state)).one()
    assert change_outcome(connection, "rr_path") is None
    assert connection.execute(sa.select(edgekeeper_state)).one() == before
    assert stands(connection, lesson_id) == (1, "active")


def change_outcome(connection: Connection, outcome: str, **other: str) -> int | None:
    given = {"actor": "ann", "reason": "costs are known", "source": "cli", **other}
    return decision_rows.change_outcome(connection, outcome, **given)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"outcome": "profit"}, "outcome must be r_multiple_net, r_multiple or rr_path"),
        ({"reason": "because  "}, "at least 10 characters"),
        ({"source": "job"}, "source must be cli or dashboard"),
        ({"actor": "vic"}, "may not decide"),
    ],
)
def test_the_outcome_is_changed_by_who_decides_with_a_reason(
    connection: Connection, given: dict[str, str], sentence: str
) -> None:
    add_people(connection, vic="viewer", ann="approver")
    with pytest.raises(DecisionRefused, match=sentence):
        change_outcome(connection, **{"outcome": "r_multiple", **given})
    assert connection.scalar(sa.select(edgekeeper_state.c.outcome)) is None
