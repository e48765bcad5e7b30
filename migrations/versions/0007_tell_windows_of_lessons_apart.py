"""Each lesson's windows under its own id: two lessons of one scope may measure different things."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TABLE = "learning_edge_history"
_KEY = ["module", "pattern_key", "action_category", "scope_signature", "window_start"]
_OLD = "uq_learning_edge_history_module_pattern_key_action_cate_d2ed"
_NEW = "uq_learning_edge_history_window"
_FOREIGN = f"fk_{_TABLE}_lesson_id_learning_lessons"

# The windows of a scope belonged to the lesson that was written last; the next fit adds the others.
_FILL = """
UPDATE learning_edge_history AS h SET lesson_id = l.id
FROM (
    SELECT DISTINCT ON (module, pattern_key, action_category, scope_values_hash)
        id, module, pattern_key, action_category, canonical_scope(scope_values) AS signature
    FROM learning_lessons
    WHERE scope_values <> '{}'
    ORDER BY module, pattern_key, action_category, scope_values_hash, id DESC
) AS l
WHERE (h.module, h.pattern_key, h.action_category, h.scope_signature)
    = (l.module, l.pattern_key, l.action_category, l.signature)
"""


def upgrade() -> None:
    op.add_column(
        _TABLE,
        sa.Column(
            "lesson_id", sa.BigInteger, nullable=True, comment="absent: the pattern as a whole"
        ),
    )
    op.create_foreign_key(op.f(_FOREIGN), _TABLE, "learning_lessons", ["lesson_id"], ["id"])
    op.execute(_FILL)
    op.drop_constraint(_OLD, _TABLE)
    op.create_unique_constraint(
        op.f(_NEW), _TABLE, [*_KEY, "lesson_id"], postgresql_nulls_not_distinct=True
    )


def downgrade() -> None:
    op.drop_constraint(op.f(_NEW), _TABLE)
    op.execute(
        "DELETE FROM learning_edge_history AS h USING learning_edge_history AS o"
        " WHERE (h.module, h.pattern_key, h.action_category, h.scope_signature, h.window_start)"
        " = (o.module, o.pattern_key, o.action_category, o.scope_signature, o.window_start)"
        " AND h.id < o.id"
    )
    op.create_unique_constraint(op.f(_OLD), _TABLE, _KEY)
    op.drop_column(_TABLE, "lesson_id")
