"""Finds the newest run of a job, its slots and what is queued among thousands for arrivals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_job_runs_job", "job_runs", ["job", "id"])
    op.create_index("ix_job_runs_status", "job_runs", ["job", "status", "id"])
    op.create_index(
        "ix_job_runs_queued",
        "job_runs",
        ["job", "id"],
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "ix_job_runs_slots",
        "job_runs",
        ["job", "slot"],
        postgresql_where=sa.text("run_trigger <> 'notify'"),
    )


def downgrade() -> None:
    for name in ("slots", "queued", "status", "job"):
        op.drop_index(f"ix_job_runs_{name}", "job_runs")
