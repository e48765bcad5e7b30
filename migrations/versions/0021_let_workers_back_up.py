"""A worker reads where sequences stand: it writes backups, and those hold them."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_CHANGE = """
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'edgekeeper_worker') THEN
        EXECUTE format(
            '{what} SELECT ON ALL SEQUENCES IN SCHEMA %I {whom} edgekeeper_worker',
            current_schema()
        );
    END IF;
END
$$
"""


def upgrade() -> None:
    op.execute(_CHANGE.format(what="GRANT", whom="TO"))


def downgrade() -> None:
    op.execute(_CHANGE.format(what="REVOKE", whom="FROM"))
