"""Decisions that follow one another share a run that materialises them."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import context, op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_BEFORE = """
CREATE OR REPLACE FUNCTION queue_materialising(p_actor text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @schema, pg_temp
AS $$
BEGIN
    INSERT INTO job_runs (job, slot, run_trigger, requested_by, status)
    VALUES ('materialise_overrides', clock_timestamp(), 'manual', p_actor, 'queued')
    ON CONFLICT DO NOTHING;
    PERFORM pg_notify('edgekeeper_jobs', '');
END
$$
"""


def upgrade() -> None:
    sql = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.execute(sql.replace("@schema", _schema()))


def downgrade() -> None:
    op.execute(_BEFORE.replace("@schema", _schema()))


def _schema() -> str:
    if context.is_offline_mode():
        return "public"
    return str(op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())")))
