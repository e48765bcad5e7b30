"""A lesson that later trades did not confirm is an alert, as harm of an override is."""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_EFFECTS = "'uplift', 'delta_rr', 'edge_since_activation'"
_KNOWN = {
    "kind": ("'guardrail'", "'guardrail', 'confirmation'"),
    "measure": (_EFFECTS, f"{_EFFECTS}, 'later_trades'"),
}


def upgrade() -> None:
    for column, (_before, after) in _KNOWN.items():
        op.drop_constraint(op.f(f"ck_alerts_{column}_known"), "alerts")
        op.create_check_constraint(
            op.f(f"ck_alerts_{column}_known"), "alerts", f"{column} IN ({after})"
        )


def downgrade() -> None:
    for column, (before, _after) in _KNOWN.items():
        op.drop_constraint(op.f(f"ck_alerts_{column}_known"), "alerts")
        # alerts are kept for good, also those that an earlier version would not raise
        op.create_check_constraint(
            op.f(f"ck_alerts_{column}_known"),
            "alerts",
            f"{column} IN ({before})",
            postgresql_not_valid=True,
        )
