"""Which groups had events written: the next aggregation looks at those alone."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import context, op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "scope_group_changes",
        sa.Column("module", sa.Text, nullable=False),
        sa.Column("pattern_key", sa.Text, nullable=False),
        sa.Column("action_category", sa.Text, nullable=False),
        comment="Groups whose events were written since their statistics; told by a trigger, "
        "taken by the aggregation.",
    )
    sql = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.execute(sql.replace("@schema", _schema()))


def downgrade() -> None:
    for event in ("insert", "update", "delete"):
        op.execute(f"DROP TRIGGER note_changed_groups_{event} ON pattern_trade_events")
    op.execute("DROP FUNCTION note_changed_groups()")
    op.drop_table("scope_group_changes")


def _schema() -> str:
    if context.is_offline_mode():
        return "public"
    return str(op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())")))
