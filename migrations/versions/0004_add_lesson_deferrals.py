"""Reminders of readers: a lesson that somebody wants to see again later, and when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TABLE = "lesson_deferrals"
_ALLOW = """
DO $$
DECLARE
    allowed record;
BEGIN
    FOR allowed IN SELECT * FROM (VALUES
        ('edgekeeper_worker', 'SELECT'),
        ('edgekeeper_dashboard', 'SELECT'),
        ('edgekeeper_approver', 'SELECT, INSERT, UPDATE, DELETE')
    ) AS r (role_name, rights) LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = allowed.role_name) THEN
            EXECUTE format(
                'GRANT %s ON lesson_deferrals TO %I', allowed.rights, allowed.role_name
            );
        END IF;
    END LOOP;
END
$$
"""


def _instant(name: str, **options: object) -> sa.Column[object]:
    return sa.Column(name, TIMESTAMP(timezone=True), nullable=False, **options)


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("lesson_id", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column(
            "lesson_version",
            sa.Integer,
            nullable=False,
            comment="that was put off; another one is shown at once",
        ),
        _instant("deferred_at", server_default=sa.func.now()),
        _instant("until", comment="when it is shown again"),
        sa.CheckConstraint(
            "until > deferred_at AND until <= deferred_at + '30 days'::interval",
            name=op.f(f"ck_{_TABLE}_never_for_ever"),
        ),
        sa.ForeignKeyConstraint(
            ["lesson_id"],
            ["learning_lessons.id"],
            name=op.f(f"fk_{_TABLE}_lesson_id_learning_lessons"),
        ),
        sa.PrimaryKeyConstraint("lesson_id", "person", name=op.f(f"pk_{_TABLE}")),
        comment="A reader's reminder, not a state: who wants to see a lesson again, and when.",
    )
    op.execute(_ALLOW)


def downgrade() -> None:
    op.drop_table(_TABLE)
