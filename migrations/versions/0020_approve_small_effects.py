"""The setting that approves small effects decides by a database function, under its own name."""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy as sa
from alembic import context, op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# what is replaced, and where it stood before
_REPLACED = {
    "require_decider": "0001_decisions.sql",
    "decide_lesson": "0017_keep_rule_changes.sql",
}
_GONE = (
    "DROP FUNCTION outgrown_lessons(text, double precision), "
    "auto_approve_lessons(text, double precision, integer), "
    "is_small_proposal(learning_lessons, numeric), effect_distance(jsonb), "
    "decided(learning_lessons, text, text, text, uuid, text, integer)"
)


def upgrade() -> None:
    op.execute(_in_schema(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")))


def downgrade() -> None:
    for name, file in _REPLACED.items():
        before = Path(__file__).with_name(file).read_text(encoding="utf-8")
        found = re.search(rf"(FUNCTION {name}\(.*?\n\$\$;)", before, re.DOTALL)
        assert found is not None, name
        op.execute(_in_schema(f"CREATE OR REPLACE {found[1]}"))
    op.execute(_GONE)


def _in_schema(statements: str) -> str:
    if context.is_offline_mode():
        schema = "public"
    else:
        schema = str(op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())")))
    return statements.replace("@schema", schema)
