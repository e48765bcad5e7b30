"""At which of the few declared moments each lesson was asked last whether it still holds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_TABLE, _COLUMN = "learning_lessons", "moments_asked"
_ALLOW = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'edgekeeper_worker') THEN
        GRANT INSERT (moments_asked), UPDATE (moments_asked) ON learning_lessons
            TO edgekeeper_worker;
    END IF;
END
$$
"""


def upgrade() -> None:
    op.add_column(
        _TABLE,
        sa.Column(
            _COLUMN,
            sa.Integer,
            nullable=False,
            server_default="0",
            comment="moments behind it when asked last",
        ),
    )
    op.execute(_ALLOW)


def downgrade() -> None:
    op.drop_column(_TABLE, _COLUMN)
