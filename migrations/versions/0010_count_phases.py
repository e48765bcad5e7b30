"""How often each phase was seen, week by week; and a quick way to one lesson's windows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import DATE

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TABLE = "regime_phase_counts"
_INDEX = "ix_learning_edge_history_lesson_id"
_ALLOW = """
DO $$
DECLARE
    allowed record;
BEGIN
    FOR allowed IN SELECT * FROM (VALUES
        ('edgekeeper_worker', 'SELECT, INSERT, DELETE'),
        ('edgekeeper_dashboard', 'SELECT'),
        ('edgekeeper_approver', 'SELECT')
    ) AS r (role_name, rights) LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = allowed.role_name) THEN
            EXECUTE format(
                'GRANT %s ON regime_phase_counts TO %I', allowed.rights, allowed.role_name
            );
        END IF;
    END LOOP;
END
$$
"""


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("module", sa.Text, nullable=False, comment="'' of the tracker"),
        sa.Column(
            "observer", sa.Text, nullable=False, comment="bot of the trades, or bucket tracked"
        ),
        sa.Column("horizon", sa.Text, nullable=False),
        sa.Column("week", DATE, nullable=False, comment="its Monday, UTC"),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("n", sa.Integer, nullable=False, comment="distinct trades, or observations"),
        sa.CheckConstraint(
            "source IN ('tracker', 'trades')", name=op.f(f"ck_{_TABLE}_source_known")
        ),
        sa.CheckConstraint(
            "horizon IN ('macro', 'meso', 'micro')", name=op.f(f"ck_{_TABLE}_horizon_known")
        ),
        sa.CheckConstraint("n > 0", name=op.f(f"ck_{_TABLE}_n_positive")),
        sa.PrimaryKeyConstraint(
            "source", "module", "observer", "horizon", "week", "phase", name=op.f(f"pk_{_TABLE}")
        ),
        comment="Phases as seen per week; rebuilt with the regime weights.",
    )
    op.execute(_ALLOW)
    op.create_index(op.f(_INDEX), "learning_edge_history", ["lesson_id"])


def downgrade() -> None:
    op.drop_index(op.f(_INDEX), "learning_edge_history")
    op.drop_table(_TABLE)
