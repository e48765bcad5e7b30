"""From strands to what a bot applies, on trades whose truth is known."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from jobs import demo
from jobs.aggregate_scopes import Aggregated, aggregate_module
from jobs.materialise_overrides import materialise_module
from jobs.mine_lessons import find, read_inputs
from jobs.runner import Runner
from jobs.timetable import LEARNING_ORDER
from learning.domain.scope import PM_DIMENSIONS, mask_dimensions
from learning.settings import Settings
from learning.simulation.demo_trades import PLANTED_EDGES, demo_world, true_edge_rr
from learning.store import (
    decision_rows,
    event_rows,
    job_rows,
    lesson_rows,
    override_rows,
    state_rows,
    strand_rows,
)
from learning.store.schema import job_runs, mining_runs
from tests.jobs.conftest import SEED

SETTINGS = Settings()


def test_the_planted_edges_are_found_and_nothing_else(learned: Runner) -> None:
    findings, false = demo.compare(learned.engine)
    assert [finding.edge for finding in findings if finding.found is None] == []
    assert false == []
    assert len(findings) == len(PLANTED_EDGES)


def test_the_intervals_cover_what_is_left_of_the_planted_edges(learned: Runner) -> None:
    findings, _ = demo.compare(learned.engine)
    world = demo_world(SEED)
    covered = [
        finding.found["ci_low_rr"]
        <= true_edge_rr(world, finding.edge)
        <= finding.found["ci_high_rr"]
        for finding in findings
        if finding.found is not None
    ]
    assert sum(covered) >= len(covered) - 1


TOLD = {
    "ingest_strands": {"ingested", "quarantined", "ignored"},
    "aggregate_scopes": {"groups_refreshed", "groups_removed", "groups"},
    "mine_pm_lessons": {"new", "refreshed", "proposed", "watched", "retired"},
    "mine_dm_lessons": {"new", "refreshed", "proposed", "watched", "retired"},
    "estimate_half_lives": {"half_lives_refitted", "decaying"},
    "learn_regime_weights": {"strengths_moved"},
    "materialise_overrides": {"created", "moved", "removed"},
    "measure_effects": {"measured", "absent", "alerts_raised"},
    "validate_learning": {"failed", "warnings", "checks"},
}


def test_every_run_tells_who_asked_what_changed_how_long_and_by_which_code(
    learned: Runner,
) -> None:
    with learned.engine.connect() as connection:
        runs = list(connection.execute(sa.select(job_runs)).mappings())
    assert {run["job"] for run in runs} == set(LEARNING_ORDER)
    for run in runs:
        assert (run["status"], run["run_trigger"]) == ("ok", "manual")
        assert run["requested_by"] == "test"
        assert run["queued_at"] <= run["started_at"] <= run["finished_at"]
        assert run["peak_memory_mb"] > 0
        assert run["code_version"]
        assert None not in (run["rows_in"], run["rows_out"])
        assert TOLD.get(run["job"], set()) <= set(run["changed"])
    mined = next(run for run in runs if run["job"] == "mine_pm_lessons")
    assert mined["changed"]["new"] > 0
    assert "mining pm" in mined["log_tail"]


def test_every_strand_is_accounted_for(learned: Runner) -> None:
    with learned.engine.connect() as connection:
        accounts = strand_rows.accounts(connection)
    assert accounts.balanced
    assert (accounts.ingested, accounts.pending) == (28_000, 0)


def test_the_evidence_budget_is_stored_with_the_run(learned: Runner) -> None:
    with learned.engine.connect() as connection:
        run = (
            connection.execute(sa.select(mining_runs).order_by(mining_runs.c.id)).mappings().first()
        )
    assert run is not None
    assert run["is_discovery"]
    assert run["look"] == 1
    counts = run["counts"]
    assert counts["searched"] >= counts["distinct"] >= counts["eligible"] >= counts["tested"] > 0
    assert counts["groups"] == 8


def rolled_back(learned: Runner) -> Connection:
    connection = learned.engine.connect()
    connection.begin()
    return connection


@pytest.fixture
def copy(learned: Runner):  # type: ignore[no-untyped-def]
    """The learned database in a transaction that is rolled back."""
    connection = rolled_back(learned)
    yield connection
    connection.rollback()
    connection.close()


def test_stored_sums_equal_those_of_plain_sql_over_the_events(copy: Connection) -> None:
    cells = copy.execute(
        sa.text(
            "SELECT g.pattern_key, g.action_category, s.scope_mask, s.scope_values, s.n, s.stats "
            "FROM scope_groups g JOIN LATERAL (SELECT * FROM pattern_scope_stats p "
            "WHERE p.module = g.module AND p.pattern_key = g.pattern_key "
            "AND p.action_category = g.action_category AND p.scope_mask IN (1, 65, 384, 769) "
            "LIMIT 40) s ON true"
        )
    ).all()
    assert len(cells) > 100
    for cell in cells:
        assert set(cell.scope_values) == set(mask_dimensions(cell.scope_mask, PM_DIMENSIONS))
        n, total = copy.execute(
            sa.text(
                "SELECT count(*), sum(r_multiple_net) FROM pattern_trade_events "
                "WHERE pattern_key = :p AND action_category = :c AND seq = 0 "
                "AND scope @> CAST(:scope AS jsonb)"
            ).bindparams(sa.bindparam("scope", type_=sa.JSON)),
            {"p": cell.pattern_key, "c": cell.action_category, "scope": cell.scope_values},
        ).one()
        assert cell.n == n
        assert cell.stats["sum_rr"] == pytest.approx(total, abs=1e-6 * n)


def test_the_kept_cells_are_exactly_those_with_enough_trades(copy: Connection) -> None:
    events = event_rows.read_trade_events(
        copy, "pm", outcome="r_multiple_net", dims=PM_DIMENSIONS, origins=SETTINGS.origins
    )
    key = events.groups[0]
    trades = events.where(events.group == 0)
    expected = 0
    for dims in ((0,), (6, 7), (0, 6, 7), (0, 2, 7, 8)):
        codes = trades.scope_codes[:, list(dims)]
        codes = codes[(codes >= 0).all(axis=1)]
        counts = np.unique(codes, axis=0, return_counts=True)[1]
        expected += int((counts >= SETTINGS.n_min_by_size()[len(dims) - 1]).sum())
    masks = [sum(1 << d for d in dims) for dims in ((0,), (6, 7), (0, 6, 7), (0, 2, 7, 8))]
    stored = copy.execute(
        sa.text(
            "SELECT count(*) FROM scope_stat_cells c JOIN scope_groups g ON g.id = c.group_id "
            "WHERE g.pattern_key = :p AND g.action_category = :c AND scope_mask = ANY(:masks)"
        ),
        {"p": key[0], "c": key[1], "masks": masks},
    ).scalar_one()
    assert stored == expected


def digest(connection: Connection, query: str) -> str:
    return connection.execute(
        sa.text(f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM ({query}) t")
    ).scalar_one()


CELLS = (
    "SELECT g.pattern_key, g.action_category, c.scope_mask, c.scope_codes, c.n, c.sum_rr, "
    "c.sum_rr_sq, c.variance, c.rr_baseline, c.edge_raw, c.time_efficiency, c.field_coherence, "
    "c.recurrence_score, c.segments_tested, c.segments_positive "
    "FROM scope_stat_cells c JOIN scope_groups g ON g.id = c.group_id"
)


def test_new_trades_refresh_their_groups_only_and_equal_a_full_rebuild(copy: Connection) -> None:
    copy.execute(
        sa.text(
            "UPDATE pattern_trade_events SET r_multiple_net = r_multiple_net + 1 WHERE id IN "
            "(SELECT id FROM pattern_trade_events WHERE pattern_key = 'pm.trend.S2.pullback' "
            "ORDER BY id LIMIT 7)"
        )
    )
    refreshed = aggregate_module(copy, "pm", SETTINGS).refreshed
    assert len(refreshed) == 1
    incremental = digest(copy, CELLS)
    copy.execute(sa.text("DELETE FROM scope_groups"))
    rebuilt = aggregate_module(copy, "pm", SETTINGS).refreshed
    assert len(rebuilt) == 8
    assert digest(copy, CELLS) == incremental


def test_a_second_run_without_new_trades_refreshes_nothing(copy: Connection) -> None:
    assert aggregate_module(copy, "pm", SETTINGS) == Aggregated()


def test_a_second_mining_run_is_a_refresh_that_changes_no_number(copy: Connection) -> None:
    now = job_rows.database_now(copy)
    inputs = read_inputs(copy, "pm", SETTINGS, now)
    assert inputs is not None
    findings = find(inputs, SETTINGS)
    assert not findings.is_look
    for lesson in inputs.lessons:
        record = findings.records[lesson.identity]
        assert record.stats["posterior_mean_rr"] == pytest.approx(
            lesson.stats["posterior_mean_rr"], abs=1e-9
        )
        assert dict(record.effect["capital_levers"]) == lesson.effect["capital_levers"]


def decide(connection: Connection, lesson_id: int, decision: str) -> None:
    [lesson] = lesson_rows.read_lessons(connection, lesson_id=lesson_id)
    decision_rows.decide(
        connection,
        lesson_id=lesson_id,
        version=lesson.version,
        status=lesson.status,  # type: ignore[arg-type]
        decision=decision,  # type: ignore[arg-type]
        actor="tester",
        reason="a test decides on it",
        token=uuid4(),
        source="cli",
        approvals_required=1,
    )


def materialise(connection: Connection) -> list[dict[str, object]]:
    now = job_rows.database_now(connection)
    return materialise_module(connection, "pm", settings=SETTINGS, now=now)[1]


def test_an_approved_lesson_reaches_the_snapshot_and_a_disabled_one_leaves_it_at_once(
    copy: Connection,
) -> None:
    lesson = lesson_rows.read_lessons(copy, "pm", statuses=("proposed",))[0]
    decide(copy, lesson.lesson_id, "approve")
    moves = materialise(copy)
    assert [move["change"] for move in moves] == ["created"]
    snapshot = override_rows.read_config(copy, "pm")
    assert snapshot is not None
    [entry] = snapshot["pattern_strength_overrides"]
    assert entry["lesson"]["id"] == lesson.lesson_id
    assert abs(entry["levers"]["size_mult"] - 1) == pytest.approx(0.02)

    decide(copy, lesson.lesson_id, "disable")  # no job runs after it
    snapshot = override_rows.read_config(copy, "pm")
    assert snapshot is not None
    assert snapshot["pattern_strength_overrides"] == []
    assert override_rows.read_materialised(copy, "pm") == {}


def test_materialising_twice_spends_no_revision(copy: Connection) -> None:
    lesson = lesson_rows.read_lessons(copy, "pm", statuses=("proposed",))[0]
    decide(copy, lesson.lesson_id, "approve")
    materialise(copy)
    revision = state_rows.read_state(copy).revision
    assert materialise(copy) == []
    assert state_rows.read_state(copy).revision == revision
