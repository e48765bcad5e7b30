"""Every table on one page: units as comments, a named CHECK for every rule.

Times are ``timestamptz`` in UTC. Outcomes are in R (profit per unit of risk or of adverse
excursion) unless a comment says otherwise. Lever bounds come from the one lever table.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, DATE, JSONB, TIMESTAMP, UUID

from learning.domain.levers import LEVERS, PHASES_SCALED, Lever
from learning.domain.pattern_key import ACTION_CATEGORIES, MODULES

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ORIGINS = ("live", "dry_run", "backtest", "simulated")
SIDES = ("long", "short")
STRAND_KINDS = ("pm_action", "dm_action", "position_closed")
PROVENANCES = ("action_strand", "own_fields", "reconstructed")
OUTCOMES = ("r_multiple_net", "r_multiple", "rr_path")
LESSON_TYPES = ("pm_strength", "pm_tuning", "dm_alloc", "level")
LESSON_STATUSES = ("watch", "proposed", "active", "disabled", "retired", "rejected")
CONFIRMATIONS = ("pending", "confirmed", "failed")
HALF_LIFE_STATES = ("decaying", "improving", "sign_flip", "undetermined")
DECISIONS = ("approve", "reject", "disable", "renew", "propose", "watch", "retire", "refresh")
DECISION_SOURCES = ("cli", "dashboard", "job", "demo")
EFFECT_MEASURES = ("uplift", "delta_rr", "edge_since_activation")
ALERT_KINDS = ("guardrail", "confirmation")
ALERT_MEASURES = (*EFFECT_MEASURES, "later_trades")
ARMS = ("treated", "held_out", "unassigned")
RUN_STATUSES = ("queued", "running", "ok", "failed", "skipped", "lost")
RUN_TRIGGERS = ("schedule", "catch_up", "manual", "notify", "demo")
PERSON_ROLES = ("viewer", "approver", "admin")
RR_LIMIT = 1e6  # beyond this an outcome is an input error, not a trade


def _text(name: str, **kw: Any) -> sa.Column[str]:
    return sa.Column(name, sa.Text, **{"nullable": False, **kw})


def _integer(name: str, **kw: Any) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, **{"nullable": False, **kw})


def _bigint(name: str, *args: Any, **kw: Any) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, *args, **{"nullable": False, **kw})


def _number(name: str, **kw: Any) -> sa.Column[float]:
    return sa.Column(name, sa.Double, **{"nullable": False, **kw})


def _instant(name: str, **kw: Any) -> sa.Column[Any]:
    return sa.Column(name, TIMESTAMP(timezone=True), **{"nullable": False, **kw})


def _json(name: str, **kw: Any) -> sa.Column[Any]:
    # what is absent is NULL, never the JSON value null beside it
    return sa.Column(name, JSONB(none_as_null=True), **{"nullable": False, **kw})


def _array(name: str, kind: type[sa.types.TypeEngine[Any]], **kw: Any) -> sa.Column[Any]:
    return sa.Column(name, ARRAY(kind), **{"nullable": False, **kw})


def _flag(name: str, **kw: Any) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, **{"nullable": False, **kw})


def _identity() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True)


def _now(name: str, **kw: Any) -> sa.Column[Any]:
    return _instant(name, server_default=sa.func.now(), **kw)


def _one_of(column: str, values: tuple[str, ...]) -> sa.CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


def _between(column: str, low: float, high: float) -> sa.CheckConstraint:
    # BETWEEN refuses NaN and Infinity; ">= low" alone would let both pass
    return sa.CheckConstraint(f"{column} BETWEEN {low!r} AND {high!r}", name=f"{column}_in_bounds")


def _either(value: str, reason: str) -> sa.CheckConstraint:
    """What cannot be computed is absent with its reason: exactly one of the two is set."""
    return sa.CheckConstraint(f"({value} IS NULL) <> ({reason} IS NULL)", name=f"{value}_or_reason")


# ------------------------------------------------------------------ state of the whole system
edgekeeper_state = sa.Table(
    "edgekeeper_state",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, server_default="1", autoincrement=False),
    _integer("generation", server_default="1", comment="a restored backup is a new generation"),
    _bigint("data_version", server_default="0", comment="bumped by job runs and decisions"),
    _bigint("revision", server_default="0", comment="of overrides; only goes forward"),
    _text("outcome", nullable=True, comment="the analysed outcome, chosen once"),
    _instant("outcome_chosen_at", nullable=True),
    _text("outcome_chosen_by", nullable=True),
    _flag("is_demo", server_default=sa.false(), comment="demo trades never meet real ones"),
    sa.Column(
        "approvals_required",
        sa.SmallInteger,
        nullable=False,
        server_default="1",
        comment="people needed to activate a lesson, at least",
    ),
    _text("approvals_set_by", nullable=True),
    _instant("approvals_set_at", nullable=True),
    _text("approvals_reason", nullable=True),
    _between("approvals_required", 1, 2),
    sa.CheckConstraint("id = 1", name="one_row"),
    _one_of("outcome", OUTCOMES),
    comment="One row: what holds for the whole database.",
)
kill_switch = sa.Table(
    "kill_switch",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, server_default="1", autoincrement=False),
    _flag("overrides_on", server_default=sa.true(), comment="false: every lever is neutral"),
    _text("reason", server_default="initial state"),
    _text("changed_by", server_default="system"),
    _now("changed_at"),
    _bigint("switch_revision", server_default="0"),
    sa.CheckConstraint("id = 1", name="one_row"),
    comment="One row, obeyed by every bot at its next read.",
)
kill_switch_history = sa.Table(
    "kill_switch_history",
    metadata,
    _identity(),
    _flag("overrides_on"),
    _text("reason"),
    _text("changed_by"),
    _now("changed_at"),
    _bigint("switch_revision", unique=True),
    comment="Append-only: every turn of the kill switch.",
)
feature_flags = sa.Table(
    "feature_flags",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    _flag("enabled", server_default=sa.true()),
    _text("changed_by", server_default="system"),
    _now("changed_at"),
    comment="learning_overrides_enabled, …_regimes, …_buckets, v5_meta_learning_enabled.",
)
rule_changes = sa.Table(
    "rule_changes",
    metadata,
    _identity(),
    _text("rule", comment="approvals_required, a flag, or a role"),
    _text("value_before"),
    _text("value_after"),
    _text("reason"),
    _text("changed_by"),
    _now("changed_at"),
    comment="Append-only: every change of who decides, how many approve, and which flags are on.",
)
people = sa.Table(
    "people",
    metadata,
    sa.Column("name", sa.Text, primary_key=True, comment="login name or e-mail address"),
    _text("role"),
    _now("added_at"),
    _one_of("role", PERSON_ROLES),
    comment="Who may decide. Empty: single-user, everyone local is admin.",
)

# ------------------------------------------------------------------ inbox
import_batches = sa.Table(
    "import_batches",
    metadata,
    _identity(),
    _text("source_name", comment="the name the user gave (--bot, default the file's stem)"),
    _text("format"),
    _text("first_trade", comment="identity of the first trade: id, symbol, open time"),
    _text("file_name"),
    _json("report", comment="counts: trades, actions, skipped, without pattern, without risk"),
    _text("imported_by"),
    _now("imported_at"),
    comment="One row per import run.",
)
import_mappings = sa.Table(
    "import_mappings",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True, comment="of file: its header or its format"),
    sa.Column("source_name", sa.Text, primary_key=True, comment="the bot it was saved for"),
    _json("content", comment="the mapping file"),
    _text("saved_by"),
    _now("saved_at"),
    comment="How the columns of a kind of file are called here, kept for the next one.",
)
ad_strands = sa.Table(
    "ad_strands",
    metadata,
    _identity(),
    sa.Column("strand_key", UUID(as_uuid=True), nullable=False, unique=True),
    _text("kind"),
    _text("module"),
    _text("bot"),
    _text("origin"),
    _text("position_id", nullable=True),
    _text("trade_id", nullable=True),
    _json("content", nullable=True),
    _json("regime_context", nullable=True),
    sa.Column("raw", BYTEA, nullable=True, comment="what was sent, where it is no valid JSON"),
    sa.Column("content_hash", BYTEA, nullable=False, comment="SHA-256, set by a trigger"),
    sa.Column(
        "conflicts_with",
        UUID(as_uuid=True),
        nullable=True,
        comment="the strand_key that was delivered before with other content",
    ),
    _bigint("import_batch_id", sa.ForeignKey("import_batches.id"), nullable=True),
    _now("created_at"),
    sa.CheckConstraint("(content IS NULL) <> (raw IS NULL)", name="content_or_raw"),
    sa.Index("ix_ad_strands_bot_trade_id", "bot", "trade_id"),
    comment="Append-only inbox.",
)
strand_ledger = sa.Table(
    "strand_ledger",
    metadata,
    sa.Column(
        "strand_id",
        sa.BigInteger,
        sa.ForeignKey("ad_strands.id"),
        primary_key=True,
        autoincrement=False,
    ),
    _text("status"),
    _text("reason", nullable=True),
    _integer("attempts", server_default="1"),
    _now("decided_at"),
    _one_of("status", ("ingested", "quarantined", "ignored")),
    sa.CheckConstraint("(status = 'ingested') = (reason IS NULL)", name="reason_unless_ingested"),
    sa.Index("ix_strand_ledger_status", "status", postgresql_where=sa.text("status <> 'ingested'")),
    comment="Exactly one row per strand, written with its events. No row: pending.",
)
inbox_block_changes = sa.Table(
    "inbox_block_changes",
    metadata,
    _bigint("block", comment="8192 ids"),
    comment="Blocks of the inbox that were written to since they were counted; told by "
    "triggers, taken by the runs that look at the inbox.",
)
inbox_block_counts = sa.Table(
    "inbox_block_counts",
    metadata,
    sa.Column("block", sa.BigInteger, primary_key=True, autoincrement=False, comment="8192 ids"),
    *(_integer(name) for name in ("strands", "ingested", "quarantined", "ignored")),
    comment="Strands by block of ids, and what became of them.",
)
trade_actions = sa.Table(
    "trade_actions",
    metadata,
    _identity(),
    _bigint("strand_id", sa.ForeignKey("ad_strands.id"), unique=True),
    _text("bot"),
    _text("origin"),
    _text("module"),
    _text("trade_id"),
    _text("position_id", nullable=True),
    _text("pattern_key"),
    _text("action_category"),
    _text("decision_type", nullable=True),
    _json("scope", comment="present dimensions only"),
    _json("controls", comment="signals and applied_knobs"),
    _instant("acted_at"),
    _one_of("module", MODULES),
    _one_of("origin", ORIGINS),
    _one_of("action_category", ACTION_CATEGORIES),
    sa.Index("ix_trade_actions_bot_trade_id", "bot", "trade_id"),
    comment="One row per action strand.",
)
pattern_trade_events = sa.Table(
    "pattern_trade_events",
    metadata,
    _identity(),
    _bigint("strand_id", sa.ForeignKey("ad_strands.id"), comment="the close"),
    _bigint("action_strand_id", sa.ForeignKey("ad_strands.id"), nullable=True),
    _text("bot"),
    _text("origin"),
    _text("module"),
    _text("trade_id"),
    _text("position_id", nullable=True),
    _text("pattern_key"),
    _text("action_category"),
    _integer("seq", comment="0, 1, … within the trade's (pattern_key, action_category)"),
    _json("scope", comment="present dimensions only"),
    _json("controls"),
    _text("provenance"),
    _text("symbol", nullable=True),
    _text("side", nullable=True),
    _instant("acted_at"),
    _instant("opened_at"),
    _instant("closed_at"),
    _number("r_multiple", nullable=True, comment="R of initial risk, before costs"),
    _number("r_multiple_net", nullable=True, comment="R of initial risk, after costs"),
    _number("rr_path", nullable=True, comment="return per worst adverse excursion, within ±33"),
    _number("return_pct", nullable=True, comment="percent"),
    _number("time_efficiency", nullable=True, comment="1 / (1 + days to payback or held)"),
    _number("payback_hours", nullable=True),
    _number("mfe_r", nullable=True, comment="R"),
    _number("mae_r", nullable=True, comment="R, at most 0"),
    _number("missed_entry_rr", nullable=True, comment="R left by entering too early or late"),
    _number("missed_exit_rr", nullable=True, comment="R left by exiting too early or late"),
    _number("risk_amount", nullable=True, comment="money, in currency"),
    _number("pnl_amount", nullable=True, comment="money, in currency"),
    _text("currency", nullable=True),
    sa.Column(
        "filled",
        ARRAY(sa.Text),
        nullable=False,
        server_default=sa.text("'{}'::text[]"),
        comment="values that its source lacked and candles told",
    ),
    _one_of("module", MODULES),
    _one_of("origin", ORIGINS),
    _one_of("action_category", ACTION_CATEGORIES),
    _one_of("provenance", PROVENANCES),
    _one_of("side", SIDES),
    _between("r_multiple", -RR_LIMIT, RR_LIMIT),
    _between("r_multiple_net", -RR_LIMIT, RR_LIMIT),
    _between("rr_path", -33.0, 33.0),
    _between("time_efficiency", 0.0, 1.0),
    sa.CheckConstraint("closed_at >= opened_at", name="closed_after_opened"),
    sa.UniqueConstraint(
        "bot",
        "trade_id",
        "origin",
        "position_id",
        "pattern_key",
        "action_category",
        "seq",
        name="uq_pattern_trade_events_action",
        postgresql_nulls_not_distinct=True,
    ),
    sa.Index("ix_pattern_trade_events_group", "module", "pattern_key", "action_category"),
    sa.Index("ix_pattern_trade_events_closed_at", "closed_at"),
    comment="The fact table: one row per action of a closed trade. seq 0 counts the trade.",
)

event_day_changes = sa.Table(
    "event_day_changes",
    metadata,
    sa.Column("day", DATE, nullable=False),
    comment="Days (UTC) of closes whose events were written since they were counted; told by "
    "a trigger, taken by the sweep of the inbox.",
)


def _of_day(*names: str) -> list[sa.Column[Any]]:
    day = sa.Column("day", DATE, primary_key=True, comment="of the close, UTC")
    return [day, *(sa.Column(name, sa.Text, primary_key=True) for name in names)]


event_day_counts = sa.Table(
    "event_day_counts",
    metadata,
    *_of_day("bot", "origin"),
    _integer("n_trades", comment="distinct trades"),
    *(_integer(f"n_without_{name}", comment="trades that lack it") for name in OUTCOMES),
    _integer("n_entries", comment="first entries, one a trade and setup"),
    *(_integer(f"n_{name}", comment="events by this provenance") for name in PROVENANCES),
    _array("dimensions", sa.Text, comment="whose levels were counted that day"),
    comment="Closed trades by day, counted from the events.",
)
event_day_levels = sa.Table(
    "event_day_levels",
    metadata,
    *_of_day("bot", "dimension", "level"),
    _integer("n", comment="first entries"),
    comment="First entries by day and level of a scope dimension, where they have one.",
)
event_day_gaps = sa.Table(
    "event_day_gaps",
    metadata,
    *_of_day("bot", "field"),
    _integer("n_missing", comment="first entries that lack it"),
    _integer("n_filled", comment="first entries that candles told it"),
    comment="What first entries lack, and what candles filled; no row where neither.",
)

trade_contexts = sa.Table(
    "trade_contexts",
    metadata,
    sa.Column("bot", sa.Text, primary_key=True),
    sa.Column("trade_id", sa.Text, primary_key=True),
    sa.Column("origin", sa.Text, primary_key=True),
    sa.Column("position_id", sa.Text, primary_key=True, comment="empty where it has but one"),
    _json("scope", comment="what was known when it was opened"),
    _number("max_drawdown_pct", nullable=True, comment="percent of the entry, at least 0"),
    _number("mfe_r", nullable=True, comment="R, at least 0"),
    _number("mae_r", nullable=True, comment="R, at most 0"),
    _number("payback_hours", nullable=True, comment="hours to +1 R; absent: never"),
    _number("missed_entry_rr", nullable=True, comment="R"),
    _number("missed_exit_rr", nullable=True, comment="R"),
    _instant("best_entry_at", nullable=True),
    _instant("best_exit_at", nullable=True),
    _integer("bar_seconds", nullable=True, comment="of the candles of its path"),
    _text("no_path_reason", nullable=True),
    _text("reference", nullable=True, comment="market that its phases are of"),
    _now("computed_at"),
    _between("max_drawdown_pct", 0.0, 1e9),
    _between("mfe_r", 0.0, RR_LIMIT),
    _between("mae_r", -RR_LIMIT, 0.0),
    _between("payback_hours", 0.0, 1e7),
    _between("missed_entry_rr", 0.0, RR_LIMIT),
    _between("missed_exit_rr", 0.0, RR_LIMIT),
    sa.CheckConstraint(
        "(bar_seconds IS NULL) <> (no_path_reason IS NULL)", name="bar_seconds_or_reason"
    ),
    comment="What candles tell of a trade; an event takes from it what its source lacks.",
)

# ------------------------------------------------------------------ scope statistics
scope_groups = sa.Table(
    "scope_groups",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    _text("module"),
    _text("pattern_key"),
    _text("action_category"),
    _integer("n", comment="distinct trades"),
    _number("avg_rr", comment="R, mean over the trades of the group"),
    _number("variance", comment="R²"),
    sa.Column(
        "fingerprint",
        BYTEA,
        nullable=False,
        comment="SHA-256 of the trades and frozen values behind the cells: same, nothing to do",
    ),
    _now("updated_at"),
    _text("outcome", nullable=True, comment="what its statistics average"),
    _array("origins", sa.Text, server_default="{}", comment="whose trades they rest on"),
    _one_of("module", MODULES),
    _one_of("action_category", ACTION_CATEGORIES),
    sa.UniqueConstraint("module", "pattern_key", "action_category"),
    comment="A (pattern_key, action_category): the unit of incremental work.",
)
scope_group_changes = sa.Table(
    "scope_group_changes",
    metadata,
    _text("module"),
    _text("pattern_key"),
    _text("action_category"),
    comment="Groups whose events were written since their statistics; told by a trigger, "
    "taken by the aggregation.",
)
scope_levels = sa.Table(
    "scope_levels",
    metadata,
    sa.Column("module", sa.Text, primary_key=True),
    sa.Column("dimension", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("code", sa.SmallInteger, primary_key=True, autoincrement=False),
    _text("name", comment="of the dimension"),
    _json("value", comment="text or integer"),
    sa.UniqueConstraint("module", "dimension", "value"),
    comment="What the codes in scope_stat_cells stand for.",
)
scope_stat_packs = sa.Table(
    "scope_stat_packs",
    metadata,
    sa.Column(
        "group_id",
        sa.Integer,
        sa.ForeignKey("scope_groups.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("scope_mask", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column(
        "part",
        sa.Integer,
        primary_key=True,
        autoincrement=False,
        comment="0, 1, … within group and mask",
    ),
    _array(
        "scope_codes",
        sa.SmallInteger,
        comment="one code per dimension of the mask, in order, cell after cell",
    ),
    _array("n", sa.Integer, comment="distinct trades"),
    _array("sum_rr", sa.Double, comment="R"),
    _array("sum_rr_sq", sa.Double, comment="R²"),
    _array("variance", sa.Double, comment="R², of the clipped outcome"),
    _array("rr_baseline", sa.Double, comment="R"),
    _array("edge_raw", sa.Double, comment="the compatible ranking score; never evidence"),
    _array("time_efficiency", sa.REAL, comment="0 to 1, 0.5 is neutral"),
    _array("field_coherence", sa.REAL, comment="0 to 1"),
    _array("recurrence_score", sa.REAL, comment="0 to 1"),
    _array("segments_tested", sa.SmallInteger),
    _array("segments_positive", sa.SmallInteger),
    comment="Stored scopes, many to a row; read through the views scope_stat_cells and "
    "pattern_scope_stats.",
)
scope_week_sums = sa.Table(
    "scope_week_sums",
    metadata,
    sa.Column(
        "group_id",
        sa.Integer,
        sa.ForeignKey("scope_groups.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("dimension", sa.SmallInteger, primary_key=True, autoincrement=False),
    _array("codes", sa.SmallInteger, comment="level; -1: trades whose scope lacks the dimension"),
    _array("weeks", sa.SmallInteger, comment="weeks since 1970-01-01 UTC"),
    _array("n", sa.Integer, comment="distinct trades"),
    _array("total", sa.Double, comment="R, sum of the clipped outcomes"),
    _array("total_sq", sa.Double, comment="R², sum of their squares"),
    comment="Outcomes of a group by level and week; written with its cells.",
)
#: The view that shows each stored scope as a row.
scope_stat_cells = sa.table(
    "scope_stat_cells",
    *(sa.column(name, sa.Integer) for name in ("group_id", "scope_mask")),
    sa.column("scope_codes", ARRAY(sa.SmallInteger)),
    sa.column("n", sa.Integer),
    *(
        sa.column(name, sa.Double)
        for name in ("sum_rr", "sum_rr_sq", "variance", "rr_baseline", "edge_raw")
    ),
    *(
        sa.column(name, sa.REAL)
        for name in ("time_efficiency", "field_coherence", "recurrence_score")
    ),
    *(sa.column(name, sa.SmallInteger) for name in ("segments_tested", "segments_positive")),
)
learning_edge_history = sa.Table(
    "learning_edge_history",
    metadata,
    _identity(),
    _text("module"),
    _text("pattern_key"),
    _text("action_category"),
    _text("scope_signature", comment="canonical scope; {} is the pattern itself"),
    _bigint(
        "lesson_id",
        sa.ForeignKey("learning_lessons.id"),
        nullable=True,
        comment="absent: the pattern as a whole",
    ),
    _instant("window_start"),
    _number("window_days"),
    _integer("n", comment="distinct trades in the window"),
    _number("edge_rr", comment="R, mean in scope minus group mean of the same window"),
    _number("se_rr", nullable=True, comment="R; absent with fewer than two trades"),
    _instant("mean_closed_at"),
    _number("variance_within", nullable=True, comment="R²"),
    _number(
        "fitted_rr",
        nullable=True,
        comment="R, the fitted decay at mean_closed_at; absent where no curve was fitted",
    ),
    _number("fitted_low_rr", nullable=True, comment="R, lower end of its 95 % band"),
    _number("fitted_high_rr", nullable=True, comment="R, upper end of its 95 % band"),
    _now("updated_at"),
    sa.CheckConstraint(
        "num_nulls(fitted_rr, fitted_low_rr, fitted_high_rr) IN (0, 3)", name="fit_has_its_band"
    ),
    sa.UniqueConstraint(
        "module",
        "pattern_key",
        "action_category",
        "scope_signature",
        "window_start",
        "lesson_id",
        name="uq_learning_edge_history_window",
        postgresql_nulls_not_distinct=True,
    ),
    sa.Index("ix_learning_edge_history_lesson_id", "lesson_id"),
    comment="The edge of each time window, never a cumulative mean; rebuilt from events.",
)

# ------------------------------------------------------------------ lessons
mining_runs = sa.Table(
    "mining_runs",
    metadata,
    _identity(),
    _text("module"),
    _flag("is_discovery", comment="a discovery look spends error; a refresh does not"),
    _integer("look", comment="number of the discovery look this run made or rests on"),
    _text("outcome"),
    _number("fdr_level", comment="the level of this look"),
    _bigint("seed"),
    _number("clip_low_rr", comment="R"),
    _number("clip_high_rr", comment="R"),
    _integer("n_trades"),
    _integer("n_without_outcome", comment="trades left out: no such outcome"),
    _json("counts", comment="the evidence budget: counted, enough n, eligible, tested, selected"),
    _json("details", comment="critical values, group p-values, null tails, prior weights"),
    _json("baselines", comment="segment baselines frozen with this look"),
    _now("created_at"),
    _one_of("module", MODULES),
    _one_of("outcome", OUTCOMES),
    sa.Index(
        "uq_mining_runs_discovery_look",
        "module",
        "look",
        "outcome",
        unique=True,
        postgresql_where=sa.text("is_discovery"),
    ),
    comment="Append-only: what each mining run counted, tested and selected.",
)
learning_latent_factors = sa.Table(
    "learning_latent_factors",
    metadata,
    sa.Column("factor_id", sa.Text, primary_key=True),
    _text("module"),
    sa.Column("pattern_keys", ARRAY(sa.Text), nullable=False),
    sa.Column("lesson_ids", ARRAY(sa.BigInteger), nullable=False),
    _text("representative_pattern"),
    _bigint("representative_lesson_id"),
    _json("correlation_matrix", comment="similarity of the members on matched trades"),
    _now("updated_at"),
    comment="Lessons that match the same trades.",
)
learning_lesson_maps = sa.Table(
    "learning_lesson_maps",
    metadata,
    sa.Column("module", sa.Text, primary_key=True),
    sa.Column("pattern_key", sa.Text, primary_key=True),
    sa.Column("action_category", sa.Text, primary_key=True),
    sa.Column("outcome", sa.Text, primary_key=True),
    _integer("n_lessons", comment="standing; the map has the strongest"),
    sa.Column(
        "lesson_ids",
        ARRAY(sa.BigInteger),
        nullable=False,
        comment="in dendrogram order: alike stands beside alike",
    ),
    sa.Column("similarity", ARRAY(sa.REAL), nullable=False, comment="row by row, 0 to 1"),
    sa.Column(
        "shared_trades",
        ARRAY(sa.Integer),
        nullable=False,
        comment="row by row; the diagonal is each one's trades",
    ),
    sa.Column("x", ARRAY(sa.REAL), nullable=False, comment="first axis of classical scaling"),
    sa.Column("y", ARRAY(sa.REAL), nullable=False, comment="second axis"),
    _number(
        "kept_share",
        nullable=True,
        comment="share of all spread that two axes keep; absent where there is none",
    ),
    _now("updated_at"),
    sa.CheckConstraint(
        "cardinality(similarity) = cardinality(lesson_ids) * cardinality(lesson_ids)"
        " AND cardinality(shared_trades) = cardinality(similarity)"
        " AND cardinality(x) = cardinality(lesson_ids)"
        " AND cardinality(y) = cardinality(lesson_ids)",
        name="one_place_a_lesson",
    ),
    comment="Similarity of the lessons of a setup on matched trades; rebuilt with the factors.",
)
learning_lessons = sa.Table(
    "learning_lessons",
    metadata,
    _identity(),
    _text("module"),
    _text("pattern_key"),
    _text("action_category"),
    sa.Column("scope_dims", ARRAY(sa.Text), nullable=False),
    _json("scope_values"),
    _text("scope_values_hash"),
    _text("lesson_type"),
    _text("outcome", comment="rr_kind of every number in stats"),
    _integer("n", comment="distinct trades"),
    _json("stats"),
    _json("effect", comment="capital_levers and execution_levers"),
    _number("lesson_strength", comment="0 to 1"),
    _number("decay_halflife_hours", nullable=True),
    _text("half_life_state", server_default="undetermined"),
    _text("half_life_reason", nullable=True),
    _json("half_life", nullable=True, comment="interval, posterior weights"),
    _text("latent_factor_id", nullable=True),
    _text("status"),
    _text("status_reason"),
    _text("confirmation", server_default="pending"),
    _text("confirmation_reason", nullable=True),
    _integer("moments_asked", server_default="0", comment="moments behind it when asked last"),
    _integer("version", server_default="1", comment="raised when what is approved changes"),
    _integer("weak_looks", server_default="0", comment="looks in a row with 0 in the interval"),
    _instant("mean_closed_at", comment="where the average evidence sits in time"),
    _instant("discovered_at"),
    _bigint("mining_run_id", sa.ForeignKey("mining_runs.id")),
    _bigint("parent_lesson_id", sa.ForeignKey("learning_lessons.id"), nullable=True),
    _json("composition", comment="trades by bot and by origin"),
    _instant("activated_at", nullable=True),
    _instant("expires_at", nullable=True, comment="of the override; renewing is a decision"),
    _now("created_at"),
    _now("updated_at"),
    _one_of("module", MODULES),
    _one_of("action_category", ACTION_CATEGORIES),
    _one_of("lesson_type", LESSON_TYPES),
    _one_of("outcome", OUTCOMES),
    _one_of("status", LESSON_STATUSES),
    _one_of("confirmation", CONFIRMATIONS),
    _one_of("half_life_state", HALF_LIFE_STATES),
    _between("lesson_strength", 0.0, 1.0),
    sa.CheckConstraint("decay_halflife_hours BETWEEN 1.0 AND 1e7", name="half_life_in_bounds"),
    _either("decay_halflife_hours", "half_life_reason"),
    # a function of the first migration: every lever of the payload is a number within its bounds
    sa.CheckConstraint("lesson_effect_in_bounds(effect)", name="effect_in_bounds"),
    sa.CheckConstraint("n > 0", name="n_positive"),
    sa.CheckConstraint(
        "status <> 'active' OR (activated_at IS NOT NULL AND expires_at IS NOT NULL)",
        name="active_ends",
    ),
    sa.UniqueConstraint(
        "module", "pattern_key", "action_category", "scope_values_hash", "lesson_type"
    ),
    sa.Index("ix_learning_lessons_status", "status"),
    comment="What was found, and what a person decided on it.",
)
lesson_marks = sa.Table(
    "lesson_marks",
    metadata,
    sa.Column(
        "lesson_id",
        sa.BigInteger,
        sa.ForeignKey("learning_lessons.id"),
        primary_key=True,
        autoincrement=False,
    ),
    _text("rests_on", comment="hash of all that its evidence was measured on"),
    _json("prospect", nullable=True, comment="p-values of its later trades, while it is open"),
    comment="What each lesson was measured on last: where that is as before, it is not read again.",
)
lesson_versions = sa.Table(
    "lesson_versions",
    metadata,
    sa.Column(
        "lesson_id",
        sa.BigInteger,
        sa.ForeignKey("learning_lessons.id"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    _json("snapshot", comment="scope, stats, effect and strength as approved or offered"),
    _text("reason"),
    _now("created_at"),
    comment="Append-only: each version of a lesson.",
)
lesson_decisions = sa.Table(
    "lesson_decisions",
    metadata,
    _identity(),
    _bigint("lesson_id", sa.ForeignKey("learning_lessons.id")),
    _integer("lesson_version"),
    _text("decision"),
    _text("from_status", nullable=True),
    _text("to_status"),
    _text("decided_by"),
    _now("decided_at"),
    _text("reason"),
    _text("source"),
    sa.Column(
        "decision_token",
        UUID(as_uuid=True),
        nullable=False,
        unique=True,
        comment="made when the dialog opens: the same token decides once",
    ),
    _json("evidence", comment="the lesson's stats and effect as they stood"),
    sa.Column("previous_hash", BYTEA, nullable=False, comment="set by a trigger, as the id is"),
    sa.Column("row_hash", BYTEA, nullable=False, unique=True, comment="SHA-256, set by a trigger"),
    _one_of("decision", DECISIONS),
    _one_of("source", DECISION_SOURCES),
    _one_of("to_status", LESSON_STATUSES),
    sa.CheckConstraint("length(btrim(reason)) >= 10", name="reason_given"),
    sa.Index("ix_lesson_decisions_lesson_id", "lesson_id"),
    comment="Append-only, chained by SHA-256: who decided what, when, why, on which evidence.",
)
decision_chain_head = sa.Table(
    "decision_chain_head",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, server_default="1", autoincrement=False),
    _bigint("last_id", server_default="0", comment="ids of lesson_decisions have no gaps"),
    sa.Column(
        "row_hash",
        BYTEA,
        nullable=False,
        server_default=sa.text("decode(repeat('00', 32), 'hex')"),
        comment="of the last decision: a cut-off tail is seen",
    ),
    sa.CheckConstraint("id = 1", name="one_row"),
    comment="One row; its lock puts all decisions in one order.",
)

lesson_deferrals = sa.Table(
    "lesson_deferrals",
    metadata,
    sa.Column(
        "lesson_id",
        sa.BigInteger,
        sa.ForeignKey("learning_lessons.id"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("person", sa.Text, primary_key=True),
    _integer("lesson_version", comment="that was put off; another one is shown at once"),
    _now("deferred_at"),
    _instant("until", comment="when it is shown again"),
    sa.CheckConstraint(
        "until > deferred_at AND until <= deferred_at + '30 days'::interval",
        name="never_for_ever",
    ),
    comment="A reader's reminder, not a state: who wants to see a lesson again, and when.",
)

# ------------------------------------------------------------------ overrides


def _lever_column(lever: Lever) -> sa.Column[float]:
    return _number(_lever_name(lever), nullable=True, comment=f"neutral {lever.neutral:g}")


def _lever_name(lever: Lever) -> str:
    return lever.name.replace(".", "_").lower()


LEVER_COLUMNS = {lever.name: _lever_name(lever) for lever in LEVERS.values()}

pm_overrides = sa.Table(
    "pm_overrides",
    metadata,
    _identity(),
    _bigint("lesson_id", sa.ForeignKey("learning_lessons.id"), unique=True),
    _integer("lesson_version"),
    _text("module"),
    _text("bot", nullable=True, comment="null: every bot"),
    _text("pattern_key"),
    _text("action_category"),
    _json("scope_values"),
    _text("scope_values_hash"),
    _text("lesson_type"),
    _text("latent_factor_id", nullable=True),
    _number("lesson_strength"),
    _number("decay_halflife_hours", nullable=True),
    *(_lever_column(lever) for lever in LEVERS.values()),
    _json("signal_thresholds", server_default=sa.text("'{}'::jsonb")),
    sa.Column("epoch", DATE, nullable=False, comment="UTC day of the last step"),
    _json("epoch_start", comment="levers as the epoch began: a day moves each by one step at most"),
    _flag("enabled", server_default=sa.true()),
    _number("holdout_share"),
    _instant("activated_at"),
    _instant("expires_at"),
    _integer("generation"),
    _bigint("revision"),
    _now("materialised_at"),
    _one_of("module", MODULES),
    _one_of("action_category", ACTION_CATEGORIES),
    _one_of("lesson_type", LESSON_TYPES),
    *(_between(_lever_name(lever), lever.low, lever.high) for lever in LEVERS.values()),
    _between("lesson_strength", 0.0, 1.0),
    _between("holdout_share", 0.0, 0.5),
    sa.CheckConstraint(
        "jsonb_typeof(signal_thresholds) = 'object'", name="signal_thresholds_object"
    ),
    sa.CheckConstraint("expires_at > activated_at", name="expires_after_start"),
    comment="One row per active lesson: what the bot applies.",
)
override_history = sa.Table(
    "override_history",
    metadata,
    _identity(),
    _bigint("lesson_id", sa.ForeignKey("learning_lessons.id")),
    _integer("lesson_version"),
    _text("module"),
    _text("change"),
    _json("levers_before", nullable=True),
    _json("levers_after", nullable=True),
    sa.Column("epoch", DATE, nullable=False),
    _text("reason"),
    _integer("generation"),
    _bigint("revision"),
    _now("changed_at"),
    _one_of("change", ("created", "moved", "removed")),
    sa.Index("ix_override_history_lesson_id", "lesson_id"),
    comment="Append-only: every move of every override.",
)
learning_configs = sa.Table(
    "learning_configs",
    metadata,
    sa.Column("module", sa.Text, primary_key=True),
    _json("config_data"),
    _bigint("version", comment="the revision it was written at"),
    _integer("generation"),
    _now("updated_at"),
    _one_of("module", MODULES),
    comment="The snapshot a bot reads.",
)
bot_heartbeats = sa.Table(
    "bot_heartbeats",
    metadata,
    sa.Column("bot", sa.Text, primary_key=True),
    sa.Column("process_id", sa.Text, primary_key=True),
    _instant("last_read_at"),
    _integer("generation"),
    _bigint("revision"),
    _bigint("switch_revision", comment="of the kill switch, as last obeyed"),
    _flag("overrides_on", comment="as the bot obeys it"),
    _bigint("telemetry_dropped", server_default="0"),
    comment="What each bot process last read.",
)
override_applications = sa.Table(
    "override_applications",
    metadata,
    _identity(),
    sa.Column("application_key", UUID(as_uuid=True), nullable=False, unique=True),
    _text("bot"),
    _text("origin", nullable=True),
    _text("module"),
    _text("trade_id", nullable=True),
    _text("pattern_key"),
    _text("action_category"),
    _bigint("override_id"),
    _bigint("lesson_id", sa.ForeignKey("learning_lessons.id")),
    _integer("lesson_version"),
    _text("latent_factor_id", nullable=True),
    _integer("generation"),
    _bigint("revision"),
    _json("scope"),
    _json("levers_before"),
    _json("levers_after"),
    _json("levers_would_be"),
    _text("arm"),
    _number("u", nullable=True, comment="hash of the position, 0 to 1"),
    _number("p", nullable=True, comment="probability of treatment"),
    _text("reason"),
    _instant("decided_at"),
    _now("recorded_at"),
    _one_of("module", MODULES),
    _one_of("arm", ARMS),
    sa.Index("ix_override_applications_lesson_id", "lesson_id"),
    sa.Index("ix_override_applications_bot_trade_id", "bot", "trade_id"),
    comment="Append-only: what was applied, written before the outcome is known.",
)
override_effects = sa.Table(
    "override_effects",
    metadata,
    _identity(),
    _bigint("lesson_id", sa.ForeignKey("learning_lessons.id")),
    _text("measure"),
    _integer("n_treated"),
    _integer("n_held_out"),
    _number("effect_rr", nullable=True, comment="R per trade"),
    _number("ci_low_rr", nullable=True),
    _number("ci_high_rr", nullable=True),
    _text("absent_reason", nullable=True),
    _text("verdict"),
    _flag("is_guardrail_crossed"),
    _json("details"),
    _now("computed_at"),
    _text("sentence", comment="the verdict in words, with about how many trades are missing"),
    _integer("n_missing", nullable=True, comment="trades until it is clear, should it stay so"),
    _number("shrunk_rr", nullable=True, comment="posterior mean among all overrides, R per trade"),
    _number("shrunk_low_rr", nullable=True),
    _number("shrunk_high_rr", nullable=True),
    _integer("n_shrunk_together", nullable=True, comment="overrides that the prior was fitted to"),
    _text("shrunk_absent_reason", nullable=True),
    _integer("horizon_days", nullable=True, comment="longest declared horizon passed"),
    _number("horizon_rr", nullable=True, comment="effect on what was decided before it, R"),
    _number("horizon_low_rr", nullable=True),
    _number("horizon_high_rr", nullable=True),
    _number("horizon_q_value", nullable=True, comment="over the overrides judged at the horizon"),
    _integer("n_judged_together", nullable=True),
    _text("horizon_verdict", nullable=True),
    _text("horizon_absent_reason", nullable=True),
    _one_of("measure", EFFECT_MEASURES),
    _either("effect_rr", "absent_reason"),
    _either("shrunk_rr", "shrunk_absent_reason"),
    _either("horizon_q_value", "horizon_absent_reason"),
    _between("horizon_q_value", 0, 1),
    sa.UniqueConstraint("lesson_id", "measure"),
    comment="Whether each override helped, with an interval valid under daily looking.",
)

alerts = sa.Table(
    "alerts",
    metadata,
    _identity(),
    _text("kind"),
    _bigint("lesson_id", sa.ForeignKey("learning_lessons.id")),
    _integer("lesson_version", comment="that was active when it was raised"),
    _text("measure"),
    _text("message", comment="what was found and what is proposed, in one sentence"),
    _json("evidence", comment="the effect with its interval, as it stood"),
    _now("raised_at"),
    _instant("seen_at", nullable=True),
    _text("seen_by", nullable=True),
    _instant("closed_at", nullable=True),
    _text("closed_reason", nullable=True),
    _one_of("kind", ALERT_KINDS),
    _one_of("measure", ALERT_MEASURES),
    sa.CheckConstraint("(seen_at IS NULL) = (seen_by IS NULL)", name="seen_by_somebody"),
    sa.CheckConstraint(
        "(closed_at IS NULL) = (closed_reason IS NULL)", name="closed_with_its_reason"
    ),
    sa.Index(
        "uq_alerts_open",
        "lesson_id",
        "kind",
        "measure",
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
    ),
    comment="What needs a person. Kept for good: a row is only ever marked seen, and closed, once.",
)

# ------------------------------------------------------------------ meta-learning, regimes, jobs
learning_regime_weights = sa.Table(
    "learning_regime_weights",
    metadata,
    _identity(),
    _text("pattern_key", comment="'' holds for every pattern of the module"),
    _text("action_category", comment="'' holds for every category"),
    _text("module"),
    _text("regime_signature", comment="'' is all regimes together"),
    _json("weights", comment="time_efficiency, field_coherence, recurrence, variance: 0.5 to 1.5"),
    _json("intervals", server_default="{}", comment="95 % of each learned weight, by score"),
    _integer("n_samples", comment="lesson-segments"),
    _number("confidence", nullable=True),
    _text("reason", nullable=True, comment="why a weight is neutral"),
    _now("updated_at"),
    sa.UniqueConstraint("module", "pattern_key", "action_category", "regime_signature"),
    comment="How strongly each score goes with realised edge, per regime.",
)
regime_weight_history = sa.Table(
    "regime_weight_history",
    metadata,
    *(
        sa.Column(name, sa.Text, primary_key=True)
        for name in ("module", "pattern_key", "action_category", "regime_signature")
    ),
    sa.Column("learned_on", DATE, primary_key=True, comment="the day of the run, UTC"),
    _json("weights", comment="by score, as in learning_regime_weights"),
    _json("intervals", comment="95 % of each learned weight, by score"),
    _integer("n_samples", comment="lesson-segments"),
    comment="Weights as they were: a row for each day on which some weight or interval moved.",
)
phase_state_bucket = sa.Table(
    "phase_state_bucket",
    metadata,
    sa.Column("bucket", sa.Text, primary_key=True, comment="a cap bucket, or 'market'"),
    sa.Column("horizon", sa.Text, primary_key=True),
    sa.Column("observed_at", TIMESTAMP(timezone=True), primary_key=True),
    _text("phase"),
    _number("score", nullable=True),
    _one_of("horizon", ("macro", "meso", "micro")),
    comment="Phases per cap bucket over time, written by the bot's tracker.",
)
regime_phase_counts = sa.Table(
    "regime_phase_counts",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("module", sa.Text, primary_key=True, comment="'' of the tracker"),
    sa.Column(
        "observer", sa.Text, primary_key=True, comment="bot of the trades, or bucket tracked"
    ),
    sa.Column("horizon", sa.Text, primary_key=True),
    sa.Column("week", DATE, primary_key=True, comment="its Monday, UTC"),
    sa.Column("phase", sa.Text, primary_key=True),
    _integer("n", comment="distinct trades, or observations"),
    _one_of("source", ("tracker", "trades")),
    _one_of("horizon", ("macro", "meso", "micro")),
    sa.CheckConstraint("n > 0", name="n_positive"),
    comment="Phases as seen per week; rebuilt with the regime weights.",
)
token_cap_bucket = sa.Table(
    "token_cap_bucket",
    metadata,
    sa.Column("symbol", sa.Text, primary_key=True),
    sa.Column("observed_at", TIMESTAMP(timezone=True), primary_key=True),
    _text("bucket"),
    _number("market_cap_usd", nullable=True),
    comment="A token's cap bucket over time, written by the bot's tracker.",
)
job_runs = sa.Table(
    "job_runs",
    metadata,
    _identity(),
    _text("job"),
    _instant("slot", comment="the moment the run stands for"),
    _text("run_trigger"),
    _text("requested_by"),
    _text("status"),
    _now("queued_at"),
    _instant("started_at", nullable=True),
    _instant("finished_at", nullable=True),
    _instant("heartbeat_at", nullable=True),
    _text("worker", nullable=True, comment="host, process and start: unique per start"),
    _bigint("rows_in", nullable=True),
    _bigint("rows_out", nullable=True),
    _json("changed", nullable=True, comment="what changed: lessons new, refreshed, retired, …"),
    _number("peak_memory_mb", nullable=True),
    _text("error", nullable=True),
    _text("error_id", nullable=True),
    _text("log_tail", nullable=True),
    _text("code_version", nullable=True),
    _one_of("status", RUN_STATUSES),
    _one_of("run_trigger", RUN_TRIGGERS),
    sa.UniqueConstraint("job", "slot"),
    sa.Index(
        "uq_job_runs_running",
        "job",
        unique=True,
        postgresql_where=sa.text("status = 'running'"),
    ),
    sa.Index("ix_job_runs_job", "job", "id"),
    sa.Index("ix_job_runs_status", "job", "status", "id"),
    sa.Index("ix_job_runs_queued", "job", "id", postgresql_where=sa.text("status = 'queued'")),
    # those for single arrivals come by the thousand, and stand for no slot
    sa.Index(
        "ix_job_runs_slots",
        "job",
        "slot",
        postgresql_where=sa.text("run_trigger <> 'notify'"),
    ),
    comment="Every run of every job; one run of a job at a time.",
)
job_settings = sa.Table(
    "job_settings",
    metadata,
    sa.Column("job", sa.Text, primary_key=True),
    _flag("is_paused", server_default=sa.false()),
    _text("changed_by"),
    _text("reason"),
    _now("changed_at"),
    comment="Paused jobs.",
)

APPEND_ONLY = (
    "kill_switch_history", "lesson_decisions", "lesson_versions", "mining_runs",
    "override_applications", "override_history", "rule_changes",
)  # fmt: skip
assert all(f"phase_scaling.{phase}" in LEVER_COLUMNS for phase in PHASES_SCALED)
