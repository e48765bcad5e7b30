"""The inbox counted by blocks of ids: the Data page need not look at every strand."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import context, op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_COUNTS = ("strands", "ingested", "quarantined", "ignored")
_TRIGGERS = (
    ("ad_strands", "insert"),
    ("strand_ledger", "insert"),
    ("strand_ledger", "update"),
    ("strand_ledger", "delete"),
)


def upgrade() -> None:
    op.create_table(
        "inbox_block_changes",
        sa.Column("block", sa.BigInteger, nullable=False, comment="8192 ids"),
        comment="Blocks of the inbox that were written to since they were counted; told by "
        "triggers, taken by the runs that look at the inbox.",
    )
    op.create_table(
        "inbox_block_counts",
        sa.Column("block", sa.BigInteger, autoincrement=False, nullable=False, comment="8192 ids"),
        *(sa.Column(name, sa.Integer, nullable=False) for name in _COUNTS),
        sa.PrimaryKeyConstraint("block", name=op.f("pk_inbox_block_counts")),
        comment="Strands by block of ids, and what became of them.",
    )
    sql = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.execute(sql.replace("@schema", _schema()))


def downgrade() -> None:
    for table, event in _TRIGGERS:
        op.execute(f"DROP TRIGGER note_changed_blocks_{event} ON {table}")
    op.execute("DROP FUNCTION note_changed_blocks()")
    op.drop_table("inbox_block_counts")
    op.drop_table("inbox_block_changes")


def _schema() -> str:
    if context.is_offline_mode():
        return "public"
    return str(op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())")))
