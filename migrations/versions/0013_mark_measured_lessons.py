"""What each lesson was measured on last: a refresh then reads only what changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_TABLE = "lesson_marks"
_ALLOW = """
DO $$
DECLARE
    allowed record;
BEGIN
    FOR allowed IN SELECT * FROM (VALUES
        ('edgekeeper_worker', 'SELECT, INSERT, UPDATE'),
        ('edgekeeper_dashboard', 'SELECT'),
        ('edgekeeper_approver', 'SELECT')
    ) AS r (role_name, rights) LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = allowed.role_name) THEN
            EXECUTE format('GRANT %s ON lesson_marks TO %I', allowed.rights, allowed.role_name);
        END IF;
    END LOOP;
END
$$
"""


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("lesson_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column(
            "rests_on",
            sa.Text,
            nullable=False,
            comment="hash of all that its evidence was measured on",
        ),
        sa.Column(
            "prospect",
            JSONB,
            nullable=True,
            comment="p-values of its later trades, while it is open",
        ),
        sa.ForeignKeyConstraint(
            ["lesson_id"],
            ["learning_lessons.id"],
            name=op.f(f"fk_{_TABLE}_lesson_id_learning_lessons"),
        ),
        sa.PrimaryKeyConstraint("lesson_id", name=op.f(f"pk_{_TABLE}")),
        comment="What each lesson was measured on last: where that is as before, it is not read "
        "again.",
    )
    op.execute(_ALLOW)


def downgrade() -> None:
    op.drop_table(_TABLE)
