"""The fitted decay beside each window it was fitted to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLE = "learning_edge_history"
_CHECK = "ck_learning_edge_history_fit_has_its_band"
_COLUMNS = {
    "fitted_rr": "R, the fitted decay at mean_closed_at; absent where no curve was fitted",
    "fitted_low_rr": "R, lower end of its 95 % band",
    "fitted_high_rr": "R, upper end of its 95 % band",
}


def upgrade() -> None:
    for name, comment in _COLUMNS.items():
        op.add_column(_TABLE, sa.Column(name, sa.Double, nullable=True, comment=comment))
    op.create_check_constraint(
        op.f(_CHECK), _TABLE, "num_nulls(fitted_rr, fitted_low_rr, fitted_high_rr) IN (0, 3)"
    )


def downgrade() -> None:
    op.drop_constraint(op.f(_CHECK), _TABLE)
    for name in _COLUMNS:
        op.drop_column(_TABLE, name)
