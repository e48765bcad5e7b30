"""Functions by which people ask for runs of jobs, cancel them, and pause jobs."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import context, op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    sql = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.execute(sql.replace("@schema", _schema()))


def downgrade() -> None:
    op.execute(
        "DROP FUNCTION ask_for_run(text, text), set_job_paused(text, boolean, text, text), "
        "cancel_run(bigint, text, text)"
    )


def _schema() -> str:
    if context.is_offline_mode():
        return "public"
    return str(op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())")))
