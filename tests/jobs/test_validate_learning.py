"""The validator says that all is well, and says what is not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from jobs.runner import Runner
from jobs.validate_learning import clock_check, run_all_checks
from learning.store import job_rows
from learning.store.validation_rows import Check


@pytest.fixture
def tampered(learned: Runner) -> Iterator[Connection]:
    """What was learned, in a transaction that is rolled back."""
    with learned.engine.connect() as connection:
        begun = connection.begin()
        yield connection
        begun.rollback()


def checks(
    runner: Runner, connection: Connection, *, every_group: bool = False
) -> dict[str, Check]:
    now = job_rows.database_now(connection)
    found = run_all_checks(connection, runner.settings, now=now, every_group=every_group)
    return {one.name: one for one in found}


def test_after_learning_no_promise_is_broken_and_every_cell_is_what_the_events_give(
    learned: Runner, tampered: Connection
) -> None:
    found = checks(learned, tampered, every_group=True)
    assert [one for one in found.values() if one.state == "failed"] == []
    recomputed = found["pm statistics are what the events give"]
    assert recomputed.state == "ok"
    assert "8 of 8 groups" in recomputed.finding


BREAKS = {
    "UPDATE scope_stat_packs SET edge_raw[1] = edge_raw[1] * (1 + 1e-12) WHERE edge_raw[1] <> 0 "
    "AND scope_mask = 64": "pm statistics are what the events give",
    "DELETE FROM scope_stat_packs WHERE scope_mask = 64": "pm statistics are what the events give",
    "DELETE FROM pattern_trade_events WHERE strand_id = (SELECT max(strand_id) FROM "
    "pattern_trade_events)": "ingested closes have events",
    "DELETE FROM strand_ledger WHERE strand_id = (SELECT max(strand_id) FROM "
    "pattern_trade_events)": "events rest on ingested strands",
    "UPDATE event_day_levels SET n = n + 1": "counts by day are what the events give",
    "UPDATE inbox_block_counts SET ignored = ignored + 1": "counts of the inbox are what it holds",
    "DELETE FROM event_day_counts": "counts by day are what the events give",
}


@pytest.mark.parametrize("statement", BREAKS)
def test_what_is_broken_is_named(learned: Runner, tampered: Connection, statement: str) -> None:
    assert tampered.execute(sa.text(statement)).rowcount > 0
    name = BREAKS[statement]
    found = checks(learned, tampered, every_group="statistics" in name)
    assert found[name].state == "failed"


def test_an_action_that_waits_for_its_close_is_no_failure_but_an_old_one_is_told(
    learned: Runner, tampered: Connection
) -> None:
    tampered.execute(
        sa.text(
            "INSERT INTO ad_strands (strand_key, kind, module, bot, origin, content, created_at) "
            "VALUES (gen_random_uuid(), 'position_closed', 'pm', 'b', 'live', '{}', "
            "now() - interval '6 hours')"
        )
    )
    found = checks(learned, tampered)
    assert found["every strand is accounted for"].state == "ok"
    assert found["strands are ingested in time"].state == "warning"


def test_a_decision_that_was_changed_or_cut_off_is_named(
    learned: Runner, tampered: Connection
) -> None:
    for change in (
        "UPDATE lesson_decisions SET reason = 'it was somebody else' WHERE id = (SELECT min(id) "
        "FROM lesson_decisions)",
        "DELETE FROM lesson_decisions WHERE id = (SELECT max(id) FROM lesson_decisions)",
    ):
        begun = tampered.begin_nested()
        tampered.execute(sa.text("ALTER TABLE lesson_decisions DISABLE TRIGGER ALL"))
        assert tampered.execute(sa.text(change)).rowcount == 1
        assert checks(learned, tampered)["decisions are unbroken"].state == "failed"
        begun.rollback()


def test_a_job_that_is_late_is_a_warning_with_its_moment_and_one_that_keeps_failing_a_failure(
    learned: Runner, tampered: Connection
) -> None:
    name = "jobs keep to their timetable"
    assert checks(learned, tampered)[name].state == "ok"
    tampered.execute(
        sa.text(
            "UPDATE job_runs SET finished_at = '2024-03-01 10:00Z', queued_at = '2024-03-01 10:00Z'"
            " WHERE job = 'measure_effects'"
        )
    )
    found = checks(learned, tampered)[name]
    assert found.state == "warning"
    assert found.finding == "measure_effects is late since 3 Mar 10:00 UTC"  # stale after two days
    tampered.execute(
        sa.text(
            "INSERT INTO job_runs (job, slot, run_trigger, requested_by, status, finished_at) "
            "SELECT 'cluster_factors', now() - i * interval '1 min', 'schedule', 't', 'failed', "
            "now() FROM generate_series(1, 3) AS i"
        )
    )
    found = checks(learned, tampered)[name]
    assert found.state == "failed"
    assert "cluster_factors failed 3 times in a row" in found.finding


def test_a_clock_that_is_off_by_more_than_five_seconds_is_told(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert clock_check(connection).state == "ok"
    for seconds, state in ((4.0, "ok"), (6.0, "warning"), (-93600.0, "warning")):
        off = timedelta(seconds=seconds)
        monkeypatch.setattr(job_rows, "clock_skew", lambda _connection, off=off: off)
        assert clock_check(connection).state == state


def test_an_override_that_bots_read_beyond_its_lesson_is_named(
    learned: Runner, tampered: Connection
) -> None:
    name = "nothing expired or disabled is enabled"
    assert checks(learned, tampered)[name].state == "ok"
    tampered.execute(
        sa.text(
            "UPDATE learning_configs SET config_data = jsonb_set(config_data, "
            "'{pattern_strength_overrides}', jsonb_build_array(jsonb_build_object("
            "'expires_at', now() + interval '1 day', 'lesson', jsonb_build_object('enabled', true, "
            "'id', (SELECT min(id) FROM learning_lessons WHERE status <> 'active'))))) "
            "WHERE module = 'pm'"
        )
    )
    assert checks(learned, tampered)[name].state == "failed"


def test_a_lesson_that_asks_for_nothing_is_told(learned: Runner, tampered: Connection) -> None:
    assert checks(learned, tampered)["lessons have payloads"].state == "ok"
    tampered.execute(sa.text("SET LOCAL session_replication_role = replica"))
    tampered.execute(
        sa.text(
            'UPDATE learning_lessons SET effect = \'{"capital_levers": {}, '
            '"execution_levers": {}}\' WHERE id = (SELECT min(id) FROM learning_lessons WHERE '
            "status = 'proposed')"
        )
    )
    found = checks(learned, tampered)["lessons have payloads"]
    assert found.state == "warning"
    assert "1 of" in found.finding


def test_much_quarantine_is_told(learned: Runner, tampered: Connection) -> None:
    assert checks(learned, tampered)["quarantine share"].state == "ok"
    tampered.execute(
        sa.text(
            "UPDATE strand_ledger SET status = 'quarantined', reason = 'r' WHERE strand_id % 20 = 0"
        )
    )
    assert checks(learned, tampered)["quarantine share"].state == "warning"
