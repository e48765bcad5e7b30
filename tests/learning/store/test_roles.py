"""What each role may do: exactly the allowed statements succeed, all others lack the right."""

from __future__ import annotations

from typing import Literal

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from learning.store.schema import metadata
from tests.learning.store.stored_lessons import store_lesson, store_override

Role = Literal["bot", "worker", "dashboard", "approver"]
ROLES: tuple[Role, ...] = ("bot", "worker", "dashboard", "approver")
_NO_RIGHT = {"42501", "428C9", "0LP01"}  # privilege, GENERATED ALWAYS column, role membership

STRAND = (
    "INSERT INTO ad_strands (strand_key, kind, module, bot, origin, trade_id, content)"
    " VALUES (gen_random_uuid(), 'pm_action', 'pm', 'b', 'live', 't1', '{}')"
)
HEARTBEAT = (
    "INSERT INTO bot_heartbeats (bot, process_id, last_read_at, generation, revision,"
    " switch_revision, overrides_on) VALUES ('b', '1', now(), 1, 1, 1, true)"
    " ON CONFLICT (bot, process_id) DO UPDATE SET last_read_at = excluded.last_read_at"
)
TELEMETRY = (
    "INSERT INTO override_applications (application_key, bot, module, pattern_key,"
    " action_category, override_id, lesson_id, lesson_version, generation, revision, scope,"
    " levers_before, levers_after, levers_would_be, arm, reason, decided_at)"
    " VALUES (gen_random_uuid(), 'b', 'pm', 'p', 'entry', 1, :active, 1, 1, 1, '{}', '{}', '{}',"
    " '{}', 'treated', 'applied', now()) ON CONFLICT (application_key) DO NOTHING"
)
DECIDE = (
    "SELECT decide_lesson(:proposed, 1, 'proposed', 'approve', 'ann', 'looked at the evidence',"
    " gen_random_uuid(), 'dashboard', 1)"
)
DISABLE = (
    "SELECT decide_lesson(:active, 1, 'active', 'disable', 'ann', 'looked at the evidence',"
    " gen_random_uuid(), 'dashboard', 1)"
)
MOVE = "SELECT move_lesson(:active, 'retire', 'lost its evidence', 'mine_lessons')"
QUEUE = (
    "INSERT INTO job_runs (job, slot, run_trigger, requested_by, status)"
    " VALUES ('ingest_strands', now(), 'manual', 'ann', 'queued')"
)
ATTEMPTS: tuple[tuple[str, str], ...] = (
    # (who may, statement); b bot, w worker, d dashboard, a approver
    ("bwa", STRAND),  # who may decide may import
    ("bwa", f"{STRAND} RETURNING id, strand_key"),
    ("bwa", "COPY ad_strands (strand_key, kind, module, bot, origin, trade_id, import_batch_id)"
            " FROM '/dev/null'"),
    ("wa", "INSERT INTO import_batches (source_name, format, first_trade, file_name, report,"
           " imported_by) VALUES ('s', 'trade_table', '', 'f.csv', '{}', 'ann')"),
    ("", "UPDATE import_batches SET imported_by = 'someone'"),
    ("wa", "INSERT INTO import_mappings (kind, source_name, content, saved_by)"
           " VALUES ('sqlite', 's', '{}', 'ann')"),
    ("w", "INSERT INTO trade_contexts (bot, trade_id, origin, position_id, scope, no_path_reason)"
          " VALUES ('b', 't1', 'live', '', '{}', 'its market has no candles')"),
    ("wda", "SELECT * FROM trade_contexts"),
    ("", STRAND.replace("(strand_key", "(id, strand_key").replace("VALUES (", "VALUES (1, ")),
    ("", STRAND.replace("(strand_key", "(content_hash, strand_key").replace(
        "VALUES (", "VALUES ('x', ")),
    ("wda", "SELECT content FROM ad_strands"),
    ("bwda", "SELECT count(*) FROM actions_of_trade('b', 't1')"),
    ("", "UPDATE ad_strands SET bot = 'c'"),
    ("", "DELETE FROM ad_strands"),
    ("", "TRUNCATE ad_strands CASCADE"),
    ("b", HEARTBEAT),
    ("b", TELEMETRY),
    ("wda", "SELECT * FROM override_applications"),
    ("", "UPDATE override_applications SET arm = 'held_out'"),
    ("bw", "INSERT INTO phase_state_bucket VALUES ('mid', 'macro', now(), 'Dip', NULL)"),
    ("bw", "INSERT INTO token_cap_bucket VALUES ('SOL', now(), 'mid', NULL)"),
    ("bwda", "SELECT * FROM phase_state_bucket"),
    ("bwda", "SELECT * FROM learning_configs"),
    ("bwda", "SELECT * FROM kill_switch"),
    ("bwda", "SELECT * FROM edgekeeper_state"),
    ("bwda", "SELECT * FROM alembic_version"),
    ("wda", "SELECT * FROM learning_lessons"),
    ("wda", "SELECT * FROM pattern_scope_stats"),
    ("wda", "SELECT * FROM strand_accounts"),
    ("wda", "SELECT verify_decision_chain()"),
    ("w", "INSERT INTO override_history (lesson_id, lesson_version, module, change, epoch, reason,"
          " generation, revision) VALUES (:active, 1, 'pm', 'moved', now(), 'r', 1, 1)"),
    ("", "DELETE FROM override_history"),
    ("w", "DELETE FROM pattern_trade_events"),
    ("w", "DELETE FROM trade_actions"),
    ("w", "DELETE FROM learning_lesson_maps"),
    ("w", "UPDATE lesson_marks SET rests_on = rests_on"),
    ("wda", "SELECT * FROM lesson_marks"),
    ("wda", "SELECT * FROM learning_lesson_maps"),
    ("w", "DELETE FROM regime_phase_counts"),
    ("wda", "SELECT * FROM regime_phase_counts"),
    ("w", "DELETE FROM regime_weight_history"),
    ("wda", "SELECT * FROM regime_weight_history"),
    ("w", "TRUNCATE scope_stat_packs"),
    ("w", "DELETE FROM scope_week_sums"),
    ("wda", "SELECT * FROM scope_week_sums"),
    ("w", "DELETE FROM event_day_changes"),
    ("w", "DELETE FROM inbox_block_counts"),
    ("w", "INSERT INTO inbox_block_changes VALUES (1)"),
    ("wda", "SELECT * FROM inbox_block_changes, inbox_block_counts"),
    ("w", "DELETE FROM event_day_levels"),
    ("wda", "SELECT * FROM event_day_changes, event_day_counts, event_day_levels, event_day_gaps"),
    ("w", "UPDATE pm_overrides SET revision = revision + 1"),
    ("w", "UPDATE learning_configs SET version = version"),
    ("w", "DELETE FROM pm_overrides"),
    ("w", "SELECT * FROM learning_lessons WHERE status = 'active' FOR SHARE"),
    ("w", "UPDATE learning_lessons SET n = n + 1, stats = stats"),
    ("", "UPDATE learning_lessons SET status = 'active'"),
    ("", "UPDATE learning_lessons SET expires_at = now() + interval '9 years'"),
    ("", "UPDATE learning_lessons SET pattern_key = 'pm.a.b.c'"),
    ("", "DELETE FROM learning_lessons"),
    ("", "INSERT INTO lesson_decisions (lesson_id, lesson_version, decision, to_status,"
         " decided_by, reason, source, decision_token, evidence, previous_hash, row_hash)"
         " VALUES (:active, 1, 'approve', 'active', 'me', 'because I say so', 'cli',"
         " gen_random_uuid(), '{}', '', '')"),
    ("", "UPDATE lesson_decisions SET reason = 'another reason'"),
    ("", "UPDATE decision_chain_head SET last_id = 0"),
    ("", "INSERT INTO people (name, role) VALUES ('me', 'admin')"),
    ("", "UPDATE kill_switch SET overrides_on = true"),
    ("", "UPDATE edgekeeper_state SET generation = 0"),
    ("wa", "UPDATE edgekeeper_state SET data_version = data_version + 1"),
    ("", "DELETE FROM edgekeeper_state"),
    ("", "UPDATE feature_flags SET enabled = true"),
    ("a", DECIDE),
    ("a", DISABLE),
    ("a", "SELECT set_kill_switch(false, 'ann', '')"),
    ("a", "SELECT set_outcome('rr_path', 'ann', 'looked at the costs')"),
    ("a", "SELECT set_approvals_required(2, 'ann', 'four eyes from now on')"),
    ("", "UPDATE edgekeeper_state SET approvals_required = 1"),
    ("a", "SELECT set_feature_flag('learning_overrides_enabled', false, 'ann')"),
    ("", "SELECT require_may_lower('ann')"),
    ("", "SELECT record_person('eve', NULL, 'approver', 'ann')"),
    ("", "INSERT INTO rule_changes (rule, value_before, value_after, reason, changed_by)"
         " VALUES ('approvals_required', '2', '1', 'no reason at all', 'me')"),
    ("a", "SELECT set_person('ann', 'admin', 'ann')"),
    ("", "SELECT end_change_of_people()"),
    ("w", MOVE),
    ("w", "SELECT lock_decisions()"),
    ("w", "SELECT auto_approve_lessons('pm', 0.05, 1)"),
    ("", "SELECT decided(l, 'approve', 'me', 'because I say so', gen_random_uuid(), 'cli', 1)"
         " FROM learning_lessons AS l"),
    ("", "SELECT remove_override(l, 'r') FROM learning_lessons AS l"),
    ("", "SELECT append_decision(l, 'approve', 'proposed', 'active', 'me', 'because I say so',"
         " 'cli', gen_random_uuid(), 1) FROM learning_lessons AS l"),
    ("", "SELECT carry_out(l, 'approve', 'active', 'me', 'r') FROM learning_lessons AS l"),
    ("wa", QUEUE),
    ("a", "INSERT INTO job_settings (job, is_paused, changed_by, reason)"
          " VALUES ('ingest_strands', true, 'ann', 'r')"),
    ("wa", "SELECT ask_for_run('ingest_strands', 'ann')"),
    ("wa", "SELECT set_job_paused('ingest_strands', true, 'ann', 'r')"),
    ("wa", "SELECT cancel_run(1, 'ann', 'r')"),
    ("w", "UPDATE alerts SET closed_at = now(), closed_reason = 'r'"),
    ("a", "UPDATE alerts SET seen_at = now(), seen_by = 'ann'"),
    ("a", "INSERT INTO lesson_deferrals (lesson_id, person, lesson_version, until)"
          " VALUES (:active, 'ann', 1, now() + interval '1 day')"),
    ("", "UPDATE alerts SET message = 'all is well'"),
    ("", "DELETE FROM alerts"),
    ("", "CREATE TABLE mine (x int)"),
    ("", "DROP TABLE ad_strands"),
    ("", "ALTER TABLE lesson_decisions DISABLE TRIGGER append_only"),
    ("", "SET LOCAL session_replication_role = replica"),
    ("", "COPY ad_strands TO PROGRAM 'cat'"),
    ("", "SELECT pg_read_file('/etc/passwd')"),
    ("", "CREATE ROLE mine"),
)  # fmt: skip
# the server's file is read only by who may; the others show that the columns are
_SERVER_FILES = "FROM '/dev/null'"


@pytest.fixture
def lessons(connection: Connection) -> dict[str, int]:
    active = store_lesson(connection, "active")
    store_override(connection, active, size_mult=1.01)
    return {"active": active, "proposed": store_lesson(connection)}


def outcome(connection: Connection, role: Role, statement: str, lessons: dict[str, int]) -> str:
    """'ok', or the SQLSTATE of the refusal."""
    values = {name: value for name, value in lessons.items() if f":{name}" in statement}
    undo = connection.begin_nested()
    try:
        if _SERVER_FILES in statement:
            connection.execute(sa.text(f"GRANT pg_read_server_files TO edgekeeper_{role}"))
        connection.execute(sa.text(f"SET LOCAL ROLE edgekeeper_{role}"))
        connection.execute(sa.text(statement), values)
    except DBAPIError as error:
        return str(error.orig.sqlstate)  # type: ignore[union-attr]
    else:
        return "ok"
    finally:
        undo.rollback()


@pytest.mark.parametrize(("allowed", "statement"), ATTEMPTS, ids=lambda text: text[:48])
def test_exactly_the_roles_it_is_meant_for_may_do_it(
    connection: Connection, allowed: str, statement: str, lessons: dict[str, int]
) -> None:
    found = {role: outcome(connection, role, statement, lessons) for role in ROLES}
    for role, said in found.items():
        assert said == "ok" if role[0] in allowed else said in _NO_RIGHT, found


@pytest.mark.parametrize("role", ["dashboard", "approver"])
def test_who_looks_may_read_every_table(connection: Connection, role: Role) -> None:
    for table in (*metadata.tables, "pattern_scope_stats", "scope_stat_cells", "strand_accounts"):
        assert outcome(connection, role, f"SELECT * FROM {table} LIMIT 1", {}) == "ok", table


def test_the_bot_reads_only_what_it_obeys_and_tracks(connection: Connection) -> None:
    readable = {
        table
        for table in metadata.tables
        if outcome(connection, "bot", f"SELECT * FROM {table} LIMIT 1", {}) == "ok"
    }
    assert readable == {
        "bot_heartbeats", "phase_state_bucket", "token_cap_bucket", "learning_configs",
        "kill_switch", "edgekeeper_state",
    }  # fmt: skip


def test_the_dashboard_writes_nothing(connection: Connection) -> None:
    writable = connection.scalars(
        sa.text(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'v') AND has_any_column_privilege("
            "'edgekeeper_dashboard', oid, 'INSERT, UPDATE')"
        )
    )
    assert list(writable) == []


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_logs_in_has_time_limits(connection: Connection, role: Role) -> None:
    settings = connection.scalar(
        sa.text("SELECT rolconfig FROM pg_roles WHERE rolname = :name"),
        {"name": f"edgekeeper_{role}"},
    )
    named = {setting.partition("=")[0] for setting in settings}
    assert named == {"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"}
