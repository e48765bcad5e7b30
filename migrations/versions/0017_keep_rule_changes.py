"""How many approve, and feature flags, are changed on record; a flag reaches bots without a job."""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_TABLE = "rule_changes"
_REPLACED = ("append_decision", "activates", "set_approvals_required", "decide_lesson")
_GONE = (
    "DROP FUNCTION set_feature_flag(text, boolean, text, text), require_may_lower(text), "
    "append_decision(learning_lessons, text, text, text, text, text, text, uuid, integer)"
)
_NOBODYS = (
    "REVOKE ALL ON FUNCTION "
    "append_decision(learning_lessons, text, text, text, text, text, text, uuid) FROM PUBLIC"
)


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column(
            "rule", sa.Text, nullable=False, comment="approvals_required, or a feature flag's name"
        ),
        sa.Column("value_before", sa.Text, nullable=False),
        sa.Column("value_after", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column(
            "changed_at", TIMESTAMP(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{_TABLE}")),
        comment="Append-only: every change of how many people approve and of a feature flag.",
    )
    op.execute(_in_schema(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")))


def downgrade() -> None:
    op.execute(_GONE)
    first = Path(__file__).with_name("0001_decisions.sql").read_text(encoding="utf-8")
    for name in _REPLACED:
        found = re.search(rf"CREATE (FUNCTION {name}\(.*?\n\$\$;)", first, re.DOTALL)
        assert found is not None, name
        op.execute(_in_schema(f"CREATE OR REPLACE {found[1]}"))
    op.execute("DROP FUNCTION approvers_so_far(learning_lessons)")
    op.execute(_NOBODYS)
    op.drop_table(_TABLE)


def _in_schema(statements: str) -> str:
    if context.is_offline_mode():
        schema = "public"
    else:
        schema = str(op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())")))
    return statements.replace("@schema", schema)
