"""The first tables, the rules the database keeps by itself, its roles and its first rows."""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Trigger functions, views and rights: frozen with this migration, like the tables below.
_RULES = ("strands", "views", "overrides", "decisions", "roles")
_FLAGS = (
    "learning_overrides_enabled",
    "learning_overrides_enabled_regimes",
    "learning_overrides_enabled_buckets",
    "v5_meta_learning_enabled",
)


def upgrade() -> None:
    _run("bounds")  # a CHECK of learning_lessons calls it
    for create in _TABLES.values():
        create()
    for name in _RULES:
        _run(name)
    _insert_first_rows()


def downgrade() -> None:
    op.execute("DROP VIEW strand_accounts, pattern_scope_stats")
    op.execute(_DROP_FUNCTIONS)
    for table in reversed(_TABLES):
        op.drop_table(table)
    op.execute(_DROP_ROLES)


def _run(name: str) -> None:
    """Run the statements of ``0001_<name>.sql``, with functions bound to the tables' schema."""
    sql = Path(__file__).with_name(f"0001_{name}.sql").read_text(encoding="utf-8")
    sql = sql.replace("@schema", _schema())
    op.execute(re.sub(r"(?<![:\w]):(?=\w)", r"\\:", sql))  # a colon begins no parameter here


def _schema() -> str:
    if context.is_offline_mode():
        return "public"
    return str(op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())")))


def _insert_first_rows() -> None:
    for table in ("edgekeeper_state", "kill_switch", "decision_chain_head"):
        op.execute(f"INSERT INTO {table} DEFAULT VALUES")
    for flag in _FLAGS:
        op.execute(f"INSERT INTO feature_flags (name) VALUES ('{flag}')")


# With them go their triggers and the CHECK that calls one.
_DROP_FUNCTIONS = """
DO $$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT p.oid::regprocedure AS signature
        FROM pg_proc AS p
        WHERE p.pronamespace = quote_ident(current_schema())::regnamespace
            AND p.proname = ANY (ARRAY[
            'is_number_within', 'levers_in_bounds', 'thresholds_are_numbers',
            'lesson_effect_in_bounds', 'receive_strand', 'actions_of_trade',
            'refuse_change', 'canonical_scope', 'scope_hash',
            'flat_levers', 'require_active_lesson', 'cap_step',
            'keep_lesson_of_override', 'lock_decisions', 'decision_hash',
            'chain_decision', 'verify_decision_chain', 'require_decider',
            'append_decision', 'without_lesson', 'remove_override',
            'lesson_expiry', 'queue_materialising', 'require_clear_interval',
            'activates', 'check_decision_arguments', 'lesson_as_seen',
            'decided_before', 'decide_lesson', 'carry_out',
            'move_lesson', 'guard_lesson', 'set_kill_switch', 'guard_alert',
            'require_analysed_outcome', 'require_reason', 'set_outcome',
            'set_approvals_required', 'begin_change_of_people',
            'end_change_of_people', 'set_person', 'remove_person'
        ])
    LOOP
        EXECUTE format('DROP FUNCTION IF EXISTS %s CASCADE', made.signature);
    END LOOP;
END
$$
"""

# Rights went with the tables; a role that another database of the server uses stays.
_DROP_ROLES = """
DO $$
DECLARE
    made text;
BEGIN
    FOREACH made IN ARRAY ARRAY[
        'edgekeeper_bot', 'edgekeeper_worker', 'edgekeeper_dashboard', 'edgekeeper_approver'
    ] LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = made) THEN
            EXECUTE format(
                'REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', current_schema(), made
            );
            EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %I', current_schema(), made);
            BEGIN
                EXECUTE format('DROP ROLE %I', made);
            EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN
                RAISE NOTICE 'role % stays: it is used elsewhere, or not ours to drop', made;
            END;
        END IF;
    END LOOP;
END
$$
"""


def _create_bot_heartbeats() -> None:
    op.create_table(
        "bot_heartbeats",
        sa.Column("bot", sa.Text(), nullable=False),
        sa.Column("process_id", sa.Text(), nullable=False),
        sa.Column("last_read_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column(
            "switch_revision",
            sa.BigInteger(),
            nullable=False,
            comment="of the kill switch, as last obeyed",
        ),
        sa.Column("overrides_on", sa.Boolean(), nullable=False, comment="as the bot obeys it"),
        sa.Column("telemetry_dropped", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("bot", "process_id", name=op.f("pk_bot_heartbeats")),
        comment="What each bot process last read.",
    )


def _create_decision_chain_head() -> None:
    op.create_table(
        "decision_chain_head",
        sa.Column("id", sa.SmallInteger(), server_default="1", autoincrement=False, nullable=False),
        sa.Column(
            "last_id",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="ids of lesson_decisions have no gaps",
        ),
        sa.Column(
            "row_hash",
            postgresql.BYTEA(),
            server_default=sa.text("decode(repeat('00', 32), 'hex')"),
            nullable=False,
            comment="of the last decision: a cut-off tail is seen",
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_decision_chain_head_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision_chain_head")),
        comment="One row; its lock puts all decisions in one order.",
    )


def _create_edgekeeper_state() -> None:
    op.create_table(
        "edgekeeper_state",
        sa.Column("id", sa.SmallInteger(), server_default="1", autoincrement=False, nullable=False),
        sa.Column(
            "generation",
            sa.Integer(),
            server_default="1",
            nullable=False,
            comment="a restored backup is a new generation",
        ),
        sa.Column(
            "data_version",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="bumped by job runs and decisions",
        ),
        sa.Column(
            "revision",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="of overrides; only goes forward",
        ),
        sa.Column("outcome", sa.Text(), nullable=True, comment="the analysed outcome, chosen once"),
        sa.Column("outcome_chosen_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("outcome_chosen_by", sa.Text(), nullable=True),
        sa.Column(
            "is_demo",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="demo trades never meet real ones",
        ),
        sa.Column(
            "approvals_required",
            sa.SmallInteger(),
            server_default="1",
            nullable=False,
            comment="people needed to activate a lesson, at least",
        ),
        sa.Column("approvals_set_by", sa.Text(), nullable=True),
        sa.Column("approvals_set_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("approvals_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "approvals_required BETWEEN 1 AND 2",
            name=op.f("ck_edgekeeper_state_approvals_required_in_bounds"),
        ),
        sa.CheckConstraint(
            "outcome IN ('r_multiple_net', 'r_multiple', 'rr_path')",
            name=op.f("ck_edgekeeper_state_outcome_known"),
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_edgekeeper_state_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_edgekeeper_state")),
        comment="One row: what holds for the whole database.",
    )


def _create_feature_flags() -> None:
    op.create_table(
        "feature_flags",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("changed_by", sa.Text(), server_default="system", nullable=False),
        sa.Column(
            "changed_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_feature_flags")),
        comment="learning_overrides_enabled, …_regimes, …_buckets, v5_meta_learning_enabled.",
    )


def _create_import_batches() -> None:
    op.create_table(
        "import_batches",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "source_name",
            sa.Text(),
            nullable=False,
            comment="the name the user gave (--bot, default the file's stem)",
        ),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column(
            "first_trade",
            sa.Text(),
            nullable=False,
            comment="identity of the first trade: id, symbol, open time",
        ),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column(
            "report",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="counts: trades, actions, skipped, without pattern, without risk",
        ),
        sa.Column("imported_by", sa.Text(), nullable=False),
        sa.Column(
            "imported_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_batches")),
        comment="One row per import run.",
    )


def _create_job_runs() -> None:
    op.create_table(
        "job_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column(
            "slot",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="the moment the run stands for",
        ),
        sa.Column("run_trigger", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column(
            "queued_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("heartbeat_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "worker", sa.Text(), nullable=True, comment="host, process and start: unique per start"
        ),
        sa.Column("rows_in", sa.BigInteger(), nullable=True),
        sa.Column("rows_out", sa.BigInteger(), nullable=True),
        sa.Column(
            "changed",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="what changed: lessons new, refreshed, retired, …",
        ),
        sa.Column("peak_memory_mb", sa.Double(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("error_id", sa.Text(), nullable=True),
        sa.Column("log_tail", sa.Text(), nullable=True),
        sa.Column("code_version", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "run_trigger IN ('schedule', 'catch_up', 'manual', 'notify', 'demo')",
            name=op.f("ck_job_runs_run_trigger_known"),
        ),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'ok', 'failed', 'skipped', 'lost')",
            name=op.f("ck_job_runs_status_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_runs")),
        sa.UniqueConstraint("job", "slot", name=op.f("uq_job_runs_job_slot")),
        comment="Every run of every job; one run of a job at a time.",
    )
    op.create_index(
        "uq_job_runs_running",
        "job_runs",
        ["job"],
        unique=True,
        postgresql_where=sa.text("status = 'running'"),
    )


def _create_job_settings() -> None:
    op.create_table(
        "job_settings",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("is_paused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "changed_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_job_settings")),
        comment="Paused jobs.",
    )


def _create_kill_switch() -> None:
    op.create_table(
        "kill_switch",
        sa.Column("id", sa.SmallInteger(), server_default="1", autoincrement=False, nullable=False),
        sa.Column(
            "overrides_on",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="false: every lever is neutral",
        ),
        sa.Column("reason", sa.Text(), server_default="initial state", nullable=False),
        sa.Column("changed_by", sa.Text(), server_default="system", nullable=False),
        sa.Column(
            "changed_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("switch_revision", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_kill_switch_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kill_switch")),
        comment="One row, obeyed by every bot at its next read.",
    )


def _create_kill_switch_history() -> None:
    op.create_table(
        "kill_switch_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("overrides_on", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column(
            "changed_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("switch_revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kill_switch_history")),
        sa.UniqueConstraint("switch_revision", name=op.f("uq_kill_switch_history_switch_revision")),
        comment="Append-only: every turn of the kill switch.",
    )


def _create_learning_configs() -> None:
    op.create_table(
        "learning_configs",
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("config_data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "version", sa.BigInteger(), nullable=False, comment="the revision it was written at"
        ),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("module IN ('pm', 'dm')", name=op.f("ck_learning_configs_module_known")),
        sa.PrimaryKeyConstraint("module", name=op.f("pk_learning_configs")),
        comment="The snapshot a bot reads.",
    )


def _create_learning_edge_history() -> None:
    op.create_table(
        "learning_edge_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("pattern_key", sa.Text(), nullable=False),
        sa.Column("action_category", sa.Text(), nullable=False),
        sa.Column(
            "scope_signature",
            sa.Text(),
            nullable=False,
            comment="canonical scope; {} is the pattern itself",
        ),
        sa.Column("window_start", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("window_days", sa.Double(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False, comment="distinct trades in the window"),
        sa.Column(
            "edge_rr",
            sa.Double(),
            nullable=False,
            comment="R, mean in scope minus group mean of the same window",
        ),
        sa.Column(
            "se_rr", sa.Double(), nullable=True, comment="R; absent with fewer than two trades"
        ),
        sa.Column("mean_closed_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("variance_within", sa.Double(), nullable=True, comment="R²"),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_learning_edge_history")),
        sa.UniqueConstraint(
            "module",
            "pattern_key",
            "action_category",
            "scope_signature",
            "window_start",
            name=op.f(
                "uq_learning_edge_history_module_pattern_key_action_category_scope_signature_window_start"
            ),
        ),
        comment="The edge of each time window, never a cumulative mean; rebuilt from events.",
    )


def _create_learning_latent_factors() -> None:
    op.create_table(
        "learning_latent_factors",
        sa.Column("factor_id", sa.Text(), nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("pattern_keys", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("lesson_ids", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.Column("representative_pattern", sa.Text(), nullable=False),
        sa.Column("representative_lesson_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "correlation_matrix",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="similarity of the members on matched trades",
        ),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("factor_id", name=op.f("pk_learning_latent_factors")),
        comment="Lessons that match the same trades.",
    )


def _create_learning_regime_weights() -> None:
    op.create_table(
        "learning_regime_weights",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "pattern_key",
            sa.Text(),
            nullable=False,
            comment="'' holds for every pattern of the module",
        ),
        sa.Column(
            "action_category", sa.Text(), nullable=False, comment="'' holds for every category"
        ),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column(
            "regime_signature", sa.Text(), nullable=False, comment="'' is all regimes together"
        ),
        sa.Column(
            "weights",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="time_efficiency, field_coherence, recurrence, variance: 0.5 to 1.5",
        ),
        sa.Column("n_samples", sa.Integer(), nullable=False, comment="lesson-segments"),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True, comment="why a weight is neutral"),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_learning_regime_weights")),
        sa.UniqueConstraint(
            "module",
            "pattern_key",
            "action_category",
            "regime_signature",
            name=op.f(
                "uq_learning_regime_weights_module_pattern_key_action_category_regime_signature"
            ),
        ),
        comment="How strongly each score goes with realised edge, per regime.",
    )


def _create_mining_runs() -> None:
    op.create_table(
        "mining_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column(
            "is_discovery",
            sa.Boolean(),
            nullable=False,
            comment="a discovery look spends error; a refresh does not",
        ),
        sa.Column(
            "look",
            sa.Integer(),
            nullable=False,
            comment="number of the discovery look this run made or rests on",
        ),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("fdr_level", sa.Double(), nullable=False, comment="the level of this look"),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("clip_low_rr", sa.Double(), nullable=False, comment="R"),
        sa.Column("clip_high_rr", sa.Double(), nullable=False, comment="R"),
        sa.Column("n_trades", sa.Integer(), nullable=False),
        sa.Column(
            "n_without_outcome",
            sa.Integer(),
            nullable=False,
            comment="trades left out: no such outcome",
        ),
        sa.Column(
            "counts",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="the evidence budget: counted, enough n, eligible, tested, selected",
        ),
        sa.Column(
            "details",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="critical values, group p-values, null tails, prior weights",
        ),
        sa.Column(
            "baselines",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="segment baselines frozen with this look",
        ),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("module IN ('pm', 'dm')", name=op.f("ck_mining_runs_module_known")),
        sa.CheckConstraint(
            "outcome IN ('r_multiple_net', 'r_multiple', 'rr_path')",
            name=op.f("ck_mining_runs_outcome_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mining_runs")),
        comment="Append-only: what each mining run counted, tested and selected.",
    )
    op.create_index(
        "uq_mining_runs_discovery_look",
        "mining_runs",
        ["module", "look", "outcome"],
        unique=True,
        postgresql_where=sa.text("is_discovery"),
    )


def _create_people() -> None:
    op.create_table(
        "people",
        sa.Column("name", sa.Text(), nullable=False, comment="login name or e-mail address"),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column(
            "added_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "role IN ('viewer', 'approver', 'admin')", name=op.f("ck_people_role_known")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_people")),
        comment="Who may decide. Empty: single-user, everyone local is admin.",
    )


def _create_phase_state_bucket() -> None:
    op.create_table(
        "phase_state_bucket",
        sa.Column("bucket", sa.Text(), nullable=False, comment="a cap bucket, or 'market'"),
        sa.Column("horizon", sa.Text(), nullable=False),
        sa.Column("observed_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "horizon IN ('macro', 'meso', 'micro')",
            name=op.f("ck_phase_state_bucket_horizon_known"),
        ),
        sa.PrimaryKeyConstraint(
            "bucket", "horizon", "observed_at", name=op.f("pk_phase_state_bucket")
        ),
        comment="Phases per cap bucket over time, written by the bot's tracker.",
    )


def _create_scope_groups() -> None:
    op.create_table(
        "scope_groups",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("pattern_key", sa.Text(), nullable=False),
        sa.Column("action_category", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False, comment="distinct trades"),
        sa.Column(
            "avg_rr", sa.Double(), nullable=False, comment="R, mean over the trades of the group"
        ),
        sa.Column("variance", sa.Double(), nullable=False, comment="R²"),
        sa.Column(
            "fingerprint",
            postgresql.BYTEA(),
            nullable=False,
            comment="SHA-256 of the trades and frozen values behind the cells: same, nothing to do",
        ),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "action_category IN ('entry', 'add', 'trim', 'exit')",
            name=op.f("ck_scope_groups_action_category_known"),
        ),
        sa.CheckConstraint("module IN ('pm', 'dm')", name=op.f("ck_scope_groups_module_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scope_groups")),
        sa.UniqueConstraint(
            "module",
            "pattern_key",
            "action_category",
            name=op.f("uq_scope_groups_module_pattern_key_action_category"),
        ),
        comment="A (pattern_key, action_category): the unit of incremental work.",
    )


def _create_scope_levels() -> None:
    op.create_table(
        "scope_levels",
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("dimension", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("code", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="of the dimension"),
        sa.Column(
            "value",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="text or integer",
        ),
        sa.PrimaryKeyConstraint("module", "dimension", "code", name=op.f("pk_scope_levels")),
        sa.UniqueConstraint(
            "module", "dimension", "value", name=op.f("uq_scope_levels_module_dimension_value")
        ),
        comment="What the codes in scope_stat_cells stand for.",
    )


def _create_token_cap_bucket() -> None:
    op.create_table(
        "token_cap_bucket",
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("observed_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("market_cap_usd", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("symbol", "observed_at", name=op.f("pk_token_cap_bucket")),
        comment="A token's cap bucket over time, written by the bot's tracker.",
    )


def _create_ad_strands() -> None:
    op.create_table(
        "ad_strands",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("strand_key", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("bot", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("position_id", sa.Text(), nullable=True),
        sa.Column("trade_id", sa.Text(), nullable=True),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("regime_context", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "raw",
            postgresql.BYTEA(),
            nullable=True,
            comment="what was sent, where it is no valid JSON",
        ),
        sa.Column(
            "content_hash", postgresql.BYTEA(), nullable=False, comment="SHA-256, set by a trigger"
        ),
        sa.Column(
            "conflicts_with",
            sa.UUID(),
            nullable=True,
            comment="the strand_key that was delivered before with other content",
        ),
        sa.Column("import_batch_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(content IS NULL) <> (raw IS NULL)", name=op.f("ck_ad_strands_content_or_raw")
        ),
        sa.ForeignKeyConstraint(
            ["import_batch_id"],
            ["import_batches.id"],
            name=op.f("fk_ad_strands_import_batch_id_import_batches"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ad_strands")),
        sa.UniqueConstraint("strand_key", name=op.f("uq_ad_strands_strand_key")),
        comment="Append-only inbox.",
    )
    op.create_index("ix_ad_strands_bot_trade_id", "ad_strands", ["bot", "trade_id"], unique=False)


def _create_learning_lessons() -> None:
    op.create_table(
        "learning_lessons",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("pattern_key", sa.Text(), nullable=False),
        sa.Column("action_category", sa.Text(), nullable=False),
        sa.Column("scope_dims", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("scope_values", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("scope_values_hash", sa.Text(), nullable=False),
        sa.Column("lesson_type", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False, comment="rr_kind of every number in stats"),
        sa.Column("n", sa.Integer(), nullable=False, comment="distinct trades"),
        sa.Column("stats", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "effect",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="capital_levers and execution_levers",
        ),
        sa.Column("lesson_strength", sa.Double(), nullable=False, comment="0 to 1"),
        sa.Column("decay_halflife_hours", sa.Double(), nullable=True),
        sa.Column("half_life_state", sa.Text(), server_default="undetermined", nullable=False),
        sa.Column("half_life_reason", sa.Text(), nullable=True),
        sa.Column(
            "half_life",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="interval, posterior weights",
        ),
        sa.Column("latent_factor_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("status_reason", sa.Text(), nullable=False),
        sa.Column("confirmation", sa.Text(), server_default="pending", nullable=False),
        sa.Column("confirmation_reason", sa.Text(), nullable=True),
        sa.Column(
            "version",
            sa.Integer(),
            server_default="1",
            nullable=False,
            comment="raised when what is approved changes",
        ),
        sa.Column(
            "weak_looks",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="looks in a row with 0 in the interval",
        ),
        sa.Column(
            "mean_closed_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="where the average evidence sits in time",
        ),
        sa.Column("discovered_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("mining_run_id", sa.BigInteger(), nullable=False),
        sa.Column("parent_lesson_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "composition",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="trades by bot and by origin",
        ),
        sa.Column("activated_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "expires_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="of the override; renewing is a decision",
        ),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "action_category IN ('entry', 'add', 'trim', 'exit')",
            name=op.f("ck_learning_lessons_action_category_known"),
        ),
        sa.CheckConstraint(
            "confirmation IN ('pending', 'confirmed', 'failed')",
            name=op.f("ck_learning_lessons_confirmation_known"),
        ),
        sa.CheckConstraint(
            "half_life_state IN ('decaying', 'improving', 'sign_flip', 'undetermined')",
            name=op.f("ck_learning_lessons_half_life_state_known"),
        ),
        sa.CheckConstraint(
            "lesson_type IN ('pm_strength', 'pm_tuning', 'dm_alloc', 'level')",
            name=op.f("ck_learning_lessons_lesson_type_known"),
        ),
        sa.CheckConstraint("module IN ('pm', 'dm')", name=op.f("ck_learning_lessons_module_known")),
        sa.CheckConstraint(
            "outcome IN ('r_multiple_net', 'r_multiple', 'rr_path')",
            name=op.f("ck_learning_lessons_outcome_known"),
        ),
        sa.CheckConstraint(
            "status <> 'active' OR (activated_at IS NOT NULL AND expires_at IS NOT NULL)",
            name=op.f("ck_learning_lessons_active_ends"),
        ),
        sa.CheckConstraint(
            "status IN ('watch', 'proposed', 'active', 'disabled', 'retired', 'rejected')",
            name=op.f("ck_learning_lessons_status_known"),
        ),
        sa.CheckConstraint(
            "(decay_halflife_hours IS NULL) <> (half_life_reason IS NULL)",
            name=op.f("ck_learning_lessons_decay_halflife_hours_or_reason"),
        ),
        sa.CheckConstraint(
            "decay_halflife_hours BETWEEN 1.0 AND 1e7",
            name=op.f("ck_learning_lessons_half_life_in_bounds"),
        ),
        sa.CheckConstraint(
            "lesson_effect_in_bounds(effect)", name=op.f("ck_learning_lessons_effect_in_bounds")
        ),
        sa.CheckConstraint(
            "lesson_strength BETWEEN 0.0 AND 1.0",
            name=op.f("ck_learning_lessons_lesson_strength_in_bounds"),
        ),
        sa.CheckConstraint("n > 0", name=op.f("ck_learning_lessons_n_positive")),
        sa.ForeignKeyConstraint(
            ["mining_run_id"],
            ["mining_runs.id"],
            name=op.f("fk_learning_lessons_mining_run_id_mining_runs"),
        ),
        sa.ForeignKeyConstraint(
            ["parent_lesson_id"],
            ["learning_lessons.id"],
            name=op.f("fk_learning_lessons_parent_lesson_id_learning_lessons"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_learning_lessons")),
        sa.UniqueConstraint(
            "module",
            "pattern_key",
            "action_category",
            "scope_values_hash",
            "lesson_type",
            name=op.f(
                "uq_learning_lessons_module_pattern_key_action_category_scope_values_hash_lesson_type"
            ),
        ),
        comment="What was found, and what a person decided on it.",
    )
    op.create_index("ix_learning_lessons_status", "learning_lessons", ["status"], unique=False)


def _create_scope_stat_cells() -> None:
    op.create_table(
        "scope_stat_cells",
        sa.Column("group_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("scope_mask", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "scope_codes",
            postgresql.ARRAY(sa.SmallInteger()),
            nullable=False,
            comment="one code per dimension of the mask, in order",
        ),
        sa.Column("n", sa.Integer(), nullable=False, comment="distinct trades"),
        sa.Column("sum_rr", sa.Double(), nullable=False, comment="R"),
        sa.Column("sum_rr_sq", sa.Double(), nullable=False, comment="R²"),
        sa.Column("variance", sa.Double(), nullable=False, comment="R², of the clipped outcome"),
        sa.Column("rr_baseline", sa.Double(), nullable=False, comment="R"),
        sa.Column(
            "edge_raw",
            sa.Double(),
            nullable=False,
            comment="the compatible ranking score; never evidence",
        ),
        sa.Column("time_efficiency", sa.REAL(), nullable=True, comment="0 to 1, 0.5 is neutral"),
        sa.Column("field_coherence", sa.REAL(), nullable=False, comment="0 to 1"),
        sa.Column("recurrence_score", sa.REAL(), nullable=True, comment="0 to 1"),
        sa.Column("segments_tested", sa.SmallInteger(), nullable=False),
        sa.Column("segments_positive", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["scope_groups.id"],
            name=op.f("fk_scope_stat_cells_group_id_scope_groups"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "group_id", "scope_mask", "scope_codes", name=op.f("pk_scope_stat_cells")
        ),
        comment="One row per stored scope; read through the view pattern_scope_stats.",
    )
    op.create_index(
        "ix_scope_stat_cells_mask", "scope_stat_cells", ["scope_mask", "group_id"], unique=False
    )


def _create_lesson_decisions() -> None:
    op.create_table(
        "lesson_decisions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("lesson_id", sa.BigInteger(), nullable=False),
        sa.Column("lesson_version", sa.Integer(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("from_status", sa.Text(), nullable=True),
        sa.Column("to_status", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column(
            "decided_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column(
            "decision_token",
            sa.UUID(),
            nullable=False,
            comment="made when the dialog opens: the same token decides once",
        ),
        sa.Column(
            "evidence",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="the lesson's stats and effect as they stood",
        ),
        sa.Column(
            "previous_hash",
            postgresql.BYTEA(),
            nullable=False,
            comment="set by a trigger, as the id is",
        ),
        sa.Column(
            "row_hash", postgresql.BYTEA(), nullable=False, comment="SHA-256, set by a trigger"
        ),
        sa.CheckConstraint(
            "decision IN ('approve', 'reject', 'disable', 'renew', 'propose', 'watch', 'retire', 'refresh')",  # noqa: E501
            name=op.f("ck_lesson_decisions_decision_known"),
        ),
        sa.CheckConstraint(
            "source IN ('cli', 'dashboard', 'job', 'demo')",
            name=op.f("ck_lesson_decisions_source_known"),
        ),
        sa.CheckConstraint(
            "to_status IN ('watch', 'proposed', 'active', 'disabled', 'retired', 'rejected')",
            name=op.f("ck_lesson_decisions_to_status_known"),
        ),
        sa.CheckConstraint(
            "length(btrim(reason)) >= 10", name=op.f("ck_lesson_decisions_reason_given")
        ),
        sa.ForeignKeyConstraint(
            ["lesson_id"],
            ["learning_lessons.id"],
            name=op.f("fk_lesson_decisions_lesson_id_learning_lessons"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lesson_decisions")),
        sa.UniqueConstraint("decision_token", name=op.f("uq_lesson_decisions_decision_token")),
        sa.UniqueConstraint("row_hash", name=op.f("uq_lesson_decisions_row_hash")),
        comment="Append-only, chained by SHA-256: who decided what, when, why, on which evidence.",
    )
    op.create_index(
        "ix_lesson_decisions_lesson_id", "lesson_decisions", ["lesson_id"], unique=False
    )


def _create_lesson_versions() -> None:
    op.create_table(
        "lesson_versions",
        sa.Column("lesson_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "snapshot",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="scope, stats, effect and strength as approved or offered",
        ),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["lesson_id"],
            ["learning_lessons.id"],
            name=op.f("fk_lesson_versions_lesson_id_learning_lessons"),
        ),
        sa.PrimaryKeyConstraint("lesson_id", "version", name=op.f("pk_lesson_versions")),
        comment="Append-only: each version of a lesson.",
    )


def _create_override_applications() -> None:
    op.create_table(
        "override_applications",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("application_key", sa.UUID(), nullable=False),
        sa.Column("bot", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=True),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("trade_id", sa.Text(), nullable=True),
        sa.Column("pattern_key", sa.Text(), nullable=False),
        sa.Column("action_category", sa.Text(), nullable=False),
        sa.Column("override_id", sa.BigInteger(), nullable=False),
        sa.Column("lesson_id", sa.BigInteger(), nullable=False),
        sa.Column("lesson_version", sa.Integer(), nullable=False),
        sa.Column("latent_factor_id", sa.Text(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("scope", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("levers_before", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("levers_after", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("levers_would_be", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("arm", sa.Text(), nullable=False),
        sa.Column("u", sa.Double(), nullable=True, comment="hash of the position, 0 to 1"),
        sa.Column("p", sa.Double(), nullable=True, comment="probability of treatment"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column(
            "recorded_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "arm IN ('treated', 'held_out', 'unassigned')",
            name=op.f("ck_override_applications_arm_known"),
        ),
        sa.CheckConstraint(
            "module IN ('pm', 'dm')", name=op.f("ck_override_applications_module_known")
        ),
        sa.ForeignKeyConstraint(
            ["lesson_id"],
            ["learning_lessons.id"],
            name=op.f("fk_override_applications_lesson_id_learning_lessons"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_override_applications")),
        sa.UniqueConstraint(
            "application_key", name=op.f("uq_override_applications_application_key")
        ),
        comment="Append-only: what was applied, written before the outcome is known.",
    )
    op.create_index(
        "ix_override_applications_bot_trade_id",
        "override_applications",
        ["bot", "trade_id"],
        unique=False,
    )
    op.create_index(
        "ix_override_applications_lesson_id", "override_applications", ["lesson_id"], unique=False
    )


def _create_alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("lesson_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "lesson_version",
            sa.Integer(),
            nullable=False,
            comment="that was active when it was raised",
        ),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column(
            "message",
            sa.Text(),
            nullable=False,
            comment="what was found and what is proposed, in one sentence",
        ),
        sa.Column(
            "evidence",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="the effect with its interval, as it stood",
        ),
        sa.Column(
            "raised_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("seen_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("seen_by", sa.Text(), nullable=True),
        sa.Column("closed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("closed_reason", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('guardrail')", name=op.f("ck_alerts_kind_known")),
        sa.CheckConstraint(
            "measure IN ('uplift', 'delta_rr', 'edge_since_activation')",
            name=op.f("ck_alerts_measure_known"),
        ),
        sa.CheckConstraint(
            "(seen_at IS NULL) = (seen_by IS NULL)", name=op.f("ck_alerts_seen_by_somebody")
        ),
        sa.CheckConstraint(
            "(closed_at IS NULL) = (closed_reason IS NULL)",
            name=op.f("ck_alerts_closed_with_its_reason"),
        ),
        sa.ForeignKeyConstraint(
            ["lesson_id"],
            ["learning_lessons.id"],
            name=op.f("fk_alerts_lesson_id_learning_lessons"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
        comment=(
            "What needs a person. Kept for good: a row is only ever marked seen, and closed, once."
        ),
    )
    op.create_index(
        "uq_alerts_open",
        "alerts",
        ["lesson_id", "kind", "measure"],
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
    )


def _create_override_effects() -> None:
    op.create_table(
        "override_effects",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("lesson_id", sa.BigInteger(), nullable=False),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("n_treated", sa.Integer(), nullable=False),
        sa.Column("n_held_out", sa.Integer(), nullable=False),
        sa.Column("effect_rr", sa.Double(), nullable=True, comment="R per trade"),
        sa.Column("ci_low_rr", sa.Double(), nullable=True),
        sa.Column("ci_high_rr", sa.Double(), nullable=True),
        sa.Column("absent_reason", sa.Text(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("is_guardrail_crossed", sa.Boolean(), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "computed_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "measure IN ('uplift', 'delta_rr', 'edge_since_activation')",
            name=op.f("ck_override_effects_measure_known"),
        ),
        sa.CheckConstraint(
            "(effect_rr IS NULL) <> (absent_reason IS NULL)",
            name=op.f("ck_override_effects_effect_rr_or_reason"),
        ),
        sa.ForeignKeyConstraint(
            ["lesson_id"],
            ["learning_lessons.id"],
            name=op.f("fk_override_effects_lesson_id_learning_lessons"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_override_effects")),
        sa.UniqueConstraint(
            "lesson_id", "measure", name=op.f("uq_override_effects_lesson_id_measure")
        ),
        comment="Whether each override helped, with an interval valid under daily looking.",
    )


def _create_override_history() -> None:
    op.create_table(
        "override_history",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("lesson_id", sa.BigInteger(), nullable=False),
        sa.Column("lesson_version", sa.Integer(), nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("levers_before", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("levers_after", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("epoch", sa.DATE(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column(
            "changed_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "change IN ('created', 'moved', 'removed')",
            name=op.f("ck_override_history_change_known"),
        ),
        sa.ForeignKeyConstraint(
            ["lesson_id"],
            ["learning_lessons.id"],
            name=op.f("fk_override_history_lesson_id_learning_lessons"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_override_history")),
        comment="Append-only: every move of every override.",
    )
    op.create_index(
        "ix_override_history_lesson_id", "override_history", ["lesson_id"], unique=False
    )


def _create_pattern_trade_events() -> None:
    op.create_table(
        "pattern_trade_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("strand_id", sa.BigInteger(), nullable=False, comment="the close"),
        sa.Column("action_strand_id", sa.BigInteger(), nullable=True),
        sa.Column("bot", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("trade_id", sa.Text(), nullable=False),
        sa.Column("position_id", sa.Text(), nullable=True),
        sa.Column("pattern_key", sa.Text(), nullable=False),
        sa.Column("action_category", sa.Text(), nullable=False),
        sa.Column(
            "seq",
            sa.Integer(),
            nullable=False,
            comment="0, 1, … within the trade's (pattern_key, action_category)",
        ),
        sa.Column(
            "scope",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="present dimensions only",
        ),
        sa.Column("controls", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("provenance", sa.Text(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=True),
        sa.Column("side", sa.Text(), nullable=True),
        sa.Column("acted_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("opened_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("closed_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column(
            "r_multiple", sa.Double(), nullable=True, comment="R of initial risk, before costs"
        ),
        sa.Column(
            "r_multiple_net", sa.Double(), nullable=True, comment="R of initial risk, after costs"
        ),
        sa.Column(
            "rr_path",
            sa.Double(),
            nullable=True,
            comment="return per worst adverse excursion, within ±33",
        ),
        sa.Column("return_pct", sa.Double(), nullable=True, comment="percent"),
        sa.Column(
            "time_efficiency",
            sa.Double(),
            nullable=True,
            comment="1 / (1 + days to payback or held)",
        ),
        sa.Column("payback_hours", sa.Double(), nullable=True),
        sa.Column("mfe_r", sa.Double(), nullable=True, comment="R"),
        sa.Column("mae_r", sa.Double(), nullable=True, comment="R, at most 0"),
        sa.Column(
            "missed_entry_rr",
            sa.Double(),
            nullable=True,
            comment="R left by entering too early or late",
        ),
        sa.Column(
            "missed_exit_rr",
            sa.Double(),
            nullable=True,
            comment="R left by exiting too early or late",
        ),
        sa.Column("risk_amount", sa.Double(), nullable=True, comment="money, in currency"),
        sa.Column("pnl_amount", sa.Double(), nullable=True, comment="money, in currency"),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "action_category IN ('entry', 'add', 'trim', 'exit')",
            name=op.f("ck_pattern_trade_events_action_category_known"),
        ),
        sa.CheckConstraint(
            "module IN ('pm', 'dm')", name=op.f("ck_pattern_trade_events_module_known")
        ),
        sa.CheckConstraint(
            "origin IN ('live', 'dry_run', 'backtest', 'simulated')",
            name=op.f("ck_pattern_trade_events_origin_known"),
        ),
        sa.CheckConstraint(
            "provenance IN ('action_strand', 'own_fields', 'reconstructed')",
            name=op.f("ck_pattern_trade_events_provenance_known"),
        ),
        sa.CheckConstraint(
            "side IN ('long', 'short')", name=op.f("ck_pattern_trade_events_side_known")
        ),
        sa.CheckConstraint(
            "closed_at >= opened_at", name=op.f("ck_pattern_trade_events_closed_after_opened")
        ),
        sa.CheckConstraint(
            "r_multiple BETWEEN -1000000.0 AND 1000000.0",
            name=op.f("ck_pattern_trade_events_r_multiple_in_bounds"),
        ),
        sa.CheckConstraint(
            "r_multiple_net BETWEEN -1000000.0 AND 1000000.0",
            name=op.f("ck_pattern_trade_events_r_multiple_net_in_bounds"),
        ),
        sa.CheckConstraint(
            "rr_path BETWEEN -33.0 AND 33.0", name=op.f("ck_pattern_trade_events_rr_path_in_bounds")
        ),
        sa.CheckConstraint(
            "time_efficiency BETWEEN 0.0 AND 1.0",
            name=op.f("ck_pattern_trade_events_time_efficiency_in_bounds"),
        ),
        sa.ForeignKeyConstraint(
            ["action_strand_id"],
            ["ad_strands.id"],
            name=op.f("fk_pattern_trade_events_action_strand_id_ad_strands"),
        ),
        sa.ForeignKeyConstraint(
            ["strand_id"],
            ["ad_strands.id"],
            name=op.f("fk_pattern_trade_events_strand_id_ad_strands"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pattern_trade_events")),
        sa.UniqueConstraint(
            "bot",
            "trade_id",
            "pattern_key",
            "action_category",
            "seq",
            name=op.f("uq_pattern_trade_events_bot_trade_id_pattern_key_action_category_seq"),
        ),
        comment="The fact table: one row per action of a closed trade. seq 0 counts the trade.",
    )
    op.create_index(
        "ix_pattern_trade_events_closed_at", "pattern_trade_events", ["closed_at"], unique=False
    )
    op.create_index(
        "ix_pattern_trade_events_group",
        "pattern_trade_events",
        ["module", "pattern_key", "action_category"],
        unique=False,
    )


def _create_pm_overrides() -> None:
    op.create_table(
        "pm_overrides",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("lesson_id", sa.BigInteger(), nullable=False),
        sa.Column("lesson_version", sa.Integer(), nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("bot", sa.Text(), nullable=True, comment="null: every bot"),
        sa.Column("pattern_key", sa.Text(), nullable=False),
        sa.Column("action_category", sa.Text(), nullable=False),
        sa.Column("scope_values", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("scope_values_hash", sa.Text(), nullable=False),
        sa.Column("lesson_type", sa.Text(), nullable=False),
        sa.Column("latent_factor_id", sa.Text(), nullable=True),
        sa.Column("lesson_strength", sa.Double(), nullable=False),
        sa.Column("decay_halflife_hours", sa.Double(), nullable=True),
        sa.Column("size_mult", sa.Double(), nullable=True, comment="neutral 1"),
        sa.Column("alloc_mult", sa.Double(), nullable=True, comment="neutral 1"),
        sa.Column("entry_aggression_mult", sa.Double(), nullable=True, comment="neutral 1"),
        sa.Column("exit_aggression_mult", sa.Double(), nullable=True, comment="neutral 1"),
        sa.Column("entry_delay_bars", sa.Double(), nullable=True, comment="neutral 0"),
        sa.Column("phase1_frac_mult", sa.Double(), nullable=True, comment="neutral 1"),
        sa.Column("trim_delay_mult", sa.Double(), nullable=True, comment="neutral 1"),
        sa.Column("trail_mult", sa.Double(), nullable=True, comment="neutral 1"),
        sa.Column("panic_trigger_mult", sa.Double(), nullable=True, comment="neutral 1"),
        sa.Column("wait_n_bars_after_trim", sa.Double(), nullable=True, comment="neutral 0"),
        sa.Column("phase_scaling_s1", sa.Double(), nullable=True, comment="neutral 1"),
        sa.Column("phase_scaling_s2", sa.Double(), nullable=True, comment="neutral 1"),
        sa.Column("phase_scaling_s3", sa.Double(), nullable=True, comment="neutral 1"),
        sa.Column(
            "signal_thresholds",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("epoch", sa.DATE(), nullable=False, comment="UTC day of the last step"),
        sa.Column(
            "epoch_start",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="levers as the epoch began: a day moves each by one step at most",
        ),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("holdout_share", sa.Double(), nullable=False),
        sa.Column("activated_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column(
            "materialised_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "action_category IN ('entry', 'add', 'trim', 'exit')",
            name=op.f("ck_pm_overrides_action_category_known"),
        ),
        sa.CheckConstraint(
            "jsonb_typeof(signal_thresholds) = 'object'",
            name=op.f("ck_pm_overrides_signal_thresholds_object"),
        ),
        sa.CheckConstraint(
            "lesson_type IN ('pm_strength', 'pm_tuning', 'dm_alloc', 'level')",
            name=op.f("ck_pm_overrides_lesson_type_known"),
        ),
        sa.CheckConstraint("module IN ('pm', 'dm')", name=op.f("ck_pm_overrides_module_known")),
        sa.CheckConstraint(
            "alloc_mult BETWEEN 0.7 AND 1.3", name=op.f("ck_pm_overrides_alloc_mult_in_bounds")
        ),
        sa.CheckConstraint(
            "entry_aggression_mult BETWEEN 0.8 AND 1.2",
            name=op.f("ck_pm_overrides_entry_aggression_mult_in_bounds"),
        ),
        sa.CheckConstraint(
            "entry_delay_bars BETWEEN 0.0 AND 5",
            name=op.f("ck_pm_overrides_entry_delay_bars_in_bounds"),
        ),
        sa.CheckConstraint(
            "exit_aggression_mult BETWEEN 0.8 AND 1.2",
            name=op.f("ck_pm_overrides_exit_aggression_mult_in_bounds"),
        ),
        sa.CheckConstraint(
            "expires_at > activated_at", name=op.f("ck_pm_overrides_expires_after_start")
        ),
        sa.CheckConstraint(
            "holdout_share BETWEEN 0.0 AND 0.5",
            name=op.f("ck_pm_overrides_holdout_share_in_bounds"),
        ),
        sa.CheckConstraint(
            "lesson_strength BETWEEN 0.0 AND 1.0",
            name=op.f("ck_pm_overrides_lesson_strength_in_bounds"),
        ),
        sa.CheckConstraint(
            "panic_trigger_mult BETWEEN 0.5 AND 2.0",
            name=op.f("ck_pm_overrides_panic_trigger_mult_in_bounds"),
        ),
        sa.CheckConstraint(
            "phase1_frac_mult BETWEEN 0.5 AND 1.5",
            name=op.f("ck_pm_overrides_phase1_frac_mult_in_bounds"),
        ),
        sa.CheckConstraint(
            "phase_scaling_s1 BETWEEN 0.5 AND 1.5",
            name=op.f("ck_pm_overrides_phase_scaling_s1_in_bounds"),
        ),
        sa.CheckConstraint(
            "phase_scaling_s2 BETWEEN 0.5 AND 1.5",
            name=op.f("ck_pm_overrides_phase_scaling_s2_in_bounds"),
        ),
        sa.CheckConstraint(
            "phase_scaling_s3 BETWEEN 0.5 AND 1.5",
            name=op.f("ck_pm_overrides_phase_scaling_s3_in_bounds"),
        ),
        sa.CheckConstraint(
            "size_mult BETWEEN 0.7 AND 1.3", name=op.f("ck_pm_overrides_size_mult_in_bounds")
        ),
        sa.CheckConstraint(
            "trail_mult BETWEEN 0.5 AND 2.0", name=op.f("ck_pm_overrides_trail_mult_in_bounds")
        ),
        sa.CheckConstraint(
            "trim_delay_mult BETWEEN 0.5 AND 2.0",
            name=op.f("ck_pm_overrides_trim_delay_mult_in_bounds"),
        ),
        sa.CheckConstraint(
            "wait_n_bars_after_trim BETWEEN 0.0 AND 10",
            name=op.f("ck_pm_overrides_wait_n_bars_after_trim_in_bounds"),
        ),
        sa.ForeignKeyConstraint(
            ["lesson_id"],
            ["learning_lessons.id"],
            name=op.f("fk_pm_overrides_lesson_id_learning_lessons"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pm_overrides")),
        sa.UniqueConstraint("lesson_id", name=op.f("uq_pm_overrides_lesson_id")),
        comment="One row per active lesson: what the bot applies.",
    )


def _create_strand_ledger() -> None:
    op.create_table(
        "strand_ledger",
        sa.Column("strand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="1", nullable=False),
        sa.Column(
            "decided_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(status = 'ingested') = (reason IS NULL)",
            name=op.f("ck_strand_ledger_reason_unless_ingested"),
        ),
        sa.CheckConstraint(
            "status IN ('ingested', 'quarantined', 'ignored')",
            name=op.f("ck_strand_ledger_status_known"),
        ),
        sa.ForeignKeyConstraint(
            ["strand_id"], ["ad_strands.id"], name=op.f("fk_strand_ledger_strand_id_ad_strands")
        ),
        sa.PrimaryKeyConstraint("strand_id", name=op.f("pk_strand_ledger")),
        comment="Exactly one row per strand, written with its events. No row: pending.",
    )
    op.create_index(
        "ix_strand_ledger_status",
        "strand_ledger",
        ["status"],
        unique=False,
        postgresql_where=sa.text("status <> 'ingested'"),
    )


def _create_trade_actions() -> None:
    op.create_table(
        "trade_actions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("strand_id", sa.BigInteger(), nullable=False),
        sa.Column("bot", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("trade_id", sa.Text(), nullable=False),
        sa.Column("position_id", sa.Text(), nullable=True),
        sa.Column("pattern_key", sa.Text(), nullable=False),
        sa.Column("action_category", sa.Text(), nullable=False),
        sa.Column("decision_type", sa.Text(), nullable=True),
        sa.Column(
            "scope",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="present dimensions only",
        ),
        sa.Column(
            "controls",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="signals and applied_knobs",
        ),
        sa.Column("acted_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint(
            "action_category IN ('entry', 'add', 'trim', 'exit')",
            name=op.f("ck_trade_actions_action_category_known"),
        ),
        sa.CheckConstraint("module IN ('pm', 'dm')", name=op.f("ck_trade_actions_module_known")),
        sa.CheckConstraint(
            "origin IN ('live', 'dry_run', 'backtest', 'simulated')",
            name=op.f("ck_trade_actions_origin_known"),
        ),
        sa.ForeignKeyConstraint(
            ["strand_id"], ["ad_strands.id"], name=op.f("fk_trade_actions_strand_id_ad_strands")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trade_actions")),
        sa.UniqueConstraint("strand_id", name=op.f("uq_trade_actions_strand_id")),
        comment="One row per action strand.",
    )
    op.create_index(
        "ix_trade_actions_bot_trade_id", "trade_actions", ["bot", "trade_id"], unique=False
    )


# In the order of their foreign keys.
_TABLES = {
    "bot_heartbeats": _create_bot_heartbeats,
    "decision_chain_head": _create_decision_chain_head,
    "edgekeeper_state": _create_edgekeeper_state,
    "feature_flags": _create_feature_flags,
    "import_batches": _create_import_batches,
    "job_runs": _create_job_runs,
    "job_settings": _create_job_settings,
    "kill_switch": _create_kill_switch,
    "kill_switch_history": _create_kill_switch_history,
    "learning_configs": _create_learning_configs,
    "learning_edge_history": _create_learning_edge_history,
    "learning_latent_factors": _create_learning_latent_factors,
    "learning_regime_weights": _create_learning_regime_weights,
    "mining_runs": _create_mining_runs,
    "people": _create_people,
    "phase_state_bucket": _create_phase_state_bucket,
    "scope_groups": _create_scope_groups,
    "scope_levels": _create_scope_levels,
    "token_cap_bucket": _create_token_cap_bucket,
    "ad_strands": _create_ad_strands,
    "learning_lessons": _create_learning_lessons,
    "scope_stat_cells": _create_scope_stat_cells,
    "alerts": _create_alerts,
    "lesson_decisions": _create_lesson_decisions,
    "lesson_versions": _create_lesson_versions,
    "override_applications": _create_override_applications,
    "override_effects": _create_override_effects,
    "override_history": _create_override_history,
    "pattern_trade_events": _create_pattern_trade_events,
    "pm_overrides": _create_pm_overrides,
    "strand_ledger": _create_strand_ledger,
    "trade_actions": _create_trade_actions,
}
