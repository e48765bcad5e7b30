"""How alike the lessons of a setup are, and where each stands on a map of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TABLE = "learning_lesson_maps"
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
                'GRANT %s ON learning_lesson_maps TO %I', allowed.rights, allowed.role_name
            );
        END IF;
    END LOOP;
END
$$
"""


def _array(name: str, kind: type[sa.types.TypeEngine[object]], comment: str) -> sa.Column[object]:
    return sa.Column(name, ARRAY(kind), nullable=False, comment=comment)


def upgrade() -> None:
    op.create_table(
        _TABLE,
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("module", "pattern_key", "action_category", "outcome")
        ),
        sa.Column(
            "n_lessons", sa.Integer, nullable=False, comment="standing; the map has the strongest"
        ),
        _array("lesson_ids", sa.BigInteger, "in dendrogram order: alike stands beside alike"),
        _array("similarity", sa.REAL, "row by row, 0 to 1"),
        _array("shared_trades", sa.Integer, "row by row; the diagonal is each one's trades"),
        _array("x", sa.REAL, "first axis of classical scaling"),
        _array("y", sa.REAL, "second axis"),
        sa.Column(
            "kept_share",
            sa.Double,
            nullable=True,
            comment="share of all spread that two axes keep; absent where there is none",
        ),
        sa.Column(
            "updated_at", TIMESTAMP(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        sa.CheckConstraint(
            "cardinality(similarity) = cardinality(lesson_ids) * cardinality(lesson_ids)"
            " AND cardinality(shared_trades) = cardinality(similarity)"
            " AND cardinality(x) = cardinality(lesson_ids)"
            " AND cardinality(y) = cardinality(lesson_ids)",
            name=op.f(f"ck_{_TABLE}_one_place_a_lesson"),
        ),
        sa.PrimaryKeyConstraint(
            "module", "pattern_key", "action_category", "outcome", name=op.f(f"pk_{_TABLE}")
        ),
        comment="Similarity of the lessons of a setup on matched trades; rebuilt with the factors.",
    )
    op.execute(_ALLOW)


def downgrade() -> None:
    op.drop_table(_TABLE)
