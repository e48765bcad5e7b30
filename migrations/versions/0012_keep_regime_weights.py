"""Regime weights as they were, with the intervals of those that are learned."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import DATE, JSONB

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_TABLE = "regime_weight_history"
_KEYS = ("module", "pattern_key", "action_category", "regime_signature")
_INTERVALS = "95 % of each learned weight, by score"
_ALLOW = """
DO $$
DECLARE
    allowed record;
BEGIN
    FOR allowed IN SELECT * FROM (VALUES
        ('edgekeeper_worker', 'SELECT, INSERT, UPDATE, DELETE'),
        ('edgekeeper_dashboard', 'SELECT'),
        ('edgekeeper_approver', 'SELECT')
    ) AS r (role_name, rights) LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = allowed.role_name) THEN
            EXECUTE format(
                'GRANT %s ON regime_weight_history TO %I', allowed.rights, allowed.role_name
            );
        END IF;
    END LOOP;
END
$$
"""


def upgrade() -> None:
    op.add_column(
        "learning_regime_weights",
        sa.Column("intervals", JSONB, nullable=False, server_default="{}", comment=_INTERVALS),
    )
    op.create_table(
        _TABLE,
        *(sa.Column(name, sa.Text, nullable=False) for name in _KEYS),
        sa.Column("learned_on", DATE, nullable=False, comment="the day of the run, UTC"),
        sa.Column(
            "weights", JSONB, nullable=False, comment="by score, as in learning_regime_weights"
        ),
        sa.Column("intervals", JSONB, nullable=False, comment=_INTERVALS),
        sa.Column("n_samples", sa.Integer, nullable=False, comment="lesson-segments"),
        sa.PrimaryKeyConstraint(*_KEYS, "learned_on", name=op.f(f"pk_{_TABLE}")),
        comment="Weights as they were: a row for each day on which some weight or interval moved.",
    )
    op.execute(_ALLOW)


def downgrade() -> None:
    op.drop_table(_TABLE)
    op.drop_column("learning_regime_weights", "intervals")
