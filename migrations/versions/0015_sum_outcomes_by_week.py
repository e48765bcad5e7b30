"""Outcomes by group, level and week; and what the statistics of a group were measured on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_TABLE = "scope_week_sums"
_ARRAYS = {
    "codes": (sa.SmallInteger, "level; -1: trades whose scope lacks the dimension"),
    "weeks": (sa.SmallInteger, "weeks since 1970-01-01 UTC"),
    "n": (sa.Integer, "distinct trades"),
    "total": (sa.Double, "R, sum of the clipped outcomes"),
    "total_sq": (sa.Double, "R², sum of their squares"),
}
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
            EXECUTE format('GRANT %s ON scope_week_sums TO %I', allowed.rights, allowed.role_name);
        END IF;
    END LOOP;
END
$$
"""


def upgrade() -> None:
    op.add_column(
        "scope_groups", sa.Column("outcome", sa.Text, comment="what its statistics average")
    )
    op.add_column(
        "scope_groups",
        sa.Column(
            "origins",
            ARRAY(sa.Text),
            nullable=False,
            server_default="{}",
            comment="whose trades they rest on",
        ),
    )
    op.create_table(
        _TABLE,
        sa.Column("group_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("dimension", sa.SmallInteger, autoincrement=False, nullable=False),
        *(
            sa.Column(name, ARRAY(kind), nullable=False, comment=comment)
            for name, (kind, comment) in _ARRAYS.items()
        ),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["scope_groups.id"],
            name=op.f(f"fk_{_TABLE}_group_id_scope_groups"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("group_id", "dimension", name=op.f(f"pk_{_TABLE}")),
        comment="Outcomes of a group by level and week; written with its cells.",
    )
    op.execute(_ALLOW)


def downgrade() -> None:
    op.drop_table(_TABLE)
    op.drop_column("scope_groups", "origins")
    op.drop_column("scope_groups", "outcome")
