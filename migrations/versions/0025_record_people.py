"""Who is listed, and as what, is changed on record."""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy as sa
from alembic import context, op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_REPLACED = ("set_person", "remove_person")
_RULE = ("approvals_required, or a feature flag's name", "approvals_required, a flag, or a role")
_TABLE = (
    "Append-only: every change of how many people approve and of a feature flag.",
    "Append-only: every change of who decides, how many approve, and which flags are on.",
)


def upgrade() -> None:
    op.execute(_in_schema(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")))
    _comment(1)


def downgrade() -> None:
    first = Path(__file__).with_name("0001_decisions.sql").read_text(encoding="utf-8")
    for name in _REPLACED:
        found = re.search(rf"(FUNCTION {name}\(.*?\n\$\$;)", first, re.DOTALL)
        assert found is not None, name
        op.execute(_in_schema(f"CREATE OR REPLACE {found[1]}"))
    op.execute("DROP FUNCTION record_person(text, text, text, text)")
    _comment(0)


def _comment(which: int) -> None:
    op.alter_column("rule_changes", "rule", comment=_RULE[which])
    op.create_table_comment("rule_changes", _TABLE[which])


def _in_schema(statements: str) -> str:
    if context.is_offline_mode():
        schema = "public"
    else:
        schema = str(op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())")))
    return statements.replace("@schema", schema)
