"""What candles tell of a trade, which values of an event they filled, and saved mappings."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_RR = 1e6
_BOUNDS = {
    "max_drawdown_pct": ("percent of the entry, at least 0", 0.0, 1e9),
    "mfe_r": ("R, at least 0", 0.0, _RR),
    "mae_r": ("R, at most 0", -_RR, 0.0),
    "payback_hours": ("hours to +1 R; absent: never", 0.0, 1e7),
    "missed_entry_rr": ("R", 0.0, _RR),
    "missed_exit_rr": ("R", 0.0, _RR),
}


def upgrade() -> None:
    _create_contexts()
    op.create_table(
        "import_mappings",
        sa.Column("kind", sa.Text, nullable=False, comment="of file: its header or its format"),
        sa.Column("source_name", sa.Text, nullable=False, comment="the bot it was saved for"),
        sa.Column("content", JSONB(none_as_null=True), nullable=False, comment="the mapping file"),
        sa.Column("saved_by", sa.Text, nullable=False),
        sa.Column(
            "saved_at", TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        sa.PrimaryKeyConstraint("kind", "source_name", name=op.f("pk_import_mappings")),
        comment="How the columns of a kind of file are called here, kept for the next one.",
    )
    op.add_column(
        "pattern_trade_events",
        sa.Column(
            "filled",
            ARRAY(sa.Text),
            nullable=False,
            server_default=sa.text("'{}'::text[]"),
            comment="values that its source lacked and candles told",
        ),
    )
    sql = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.execute(sql.replace("@schema", _schema()))


def _create_contexts() -> None:
    table = "trade_contexts"
    checks = [
        sa.CheckConstraint(
            f"{name} BETWEEN {low!r} AND {high!r}", name=op.f(f"ck_{table}_{name}_in_bounds")
        )
        for name, (_, low, high) in _BOUNDS.items()
    ]
    op.create_table(
        table,
        sa.Column("bot", sa.Text, nullable=False),
        sa.Column("trade_id", sa.Text, nullable=False),
        sa.Column(
            "scope",
            JSONB(none_as_null=True),
            nullable=False,
            comment="what was known when it was opened",
        ),
        *(
            sa.Column(name, sa.Double, nullable=True, comment=comment)
            for name, (comment, _, _) in _BOUNDS.items()
        ),
        sa.Column("best_entry_at", TIMESTAMP(timezone=True), nullable=True),
        sa.Column("best_exit_at", TIMESTAMP(timezone=True), nullable=True),
        sa.Column("bar_seconds", sa.Integer, nullable=True, comment="of the candles of its path"),
        sa.Column("no_path_reason", sa.Text, nullable=True),
        sa.Column("reference", sa.Text, nullable=True, comment="market that its phases are of"),
        sa.Column(
            "computed_at", TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        *checks,
        sa.CheckConstraint(
            "(bar_seconds IS NULL) <> (no_path_reason IS NULL)",
            name=op.f(f"ck_{table}_bar_seconds_or_reason"),
        ),
        sa.PrimaryKeyConstraint("bot", "trade_id", name=op.f(f"pk_{table}")),
        comment="What candles tell of a trade; an event takes from it what its source lacks.",
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER require_importer ON import_batches")
    op.execute("DROP FUNCTION require_importer()")
    op.execute(_TAKE_BACK)
    op.drop_column("pattern_trade_events", "filled")
    op.drop_table("import_mappings")
    op.drop_table("trade_contexts")


# the rights on older tables that upgrade gave
_TAKE_BACK = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'edgekeeper_approver') THEN
        REVOKE INSERT ON import_batches FROM edgekeeper_approver;
        REVOKE INSERT (strand_key, kind, module, bot, origin, position_id, trade_id, content,
            regime_context, raw, import_batch_id) ON ad_strands FROM edgekeeper_approver;
        REVOKE UPDATE (data_version) ON edgekeeper_state FROM edgekeeper_approver;
    END IF;
END
$$
"""


def _schema() -> str:
    if context.is_offline_mode():
        return "public"
    return str(op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())")))
