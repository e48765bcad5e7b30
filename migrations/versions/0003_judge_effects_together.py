"""What an effect is worth among all overrides, and its judgement at a declared horizon."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLE = "override_effects"
_UNTIL_MEASURED = "measured before effects were judged together; the next measurement tells"


def _columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("n_missing", sa.Integer(), comment="trades until it is clear, should it stay so"),
        sa.Column(
            "shrunk_rr", sa.Double(), comment="posterior mean among all overrides, R per trade"
        ),
        sa.Column("shrunk_low_rr", sa.Double()),
        sa.Column("shrunk_high_rr", sa.Double()),
        sa.Column(
            "n_shrunk_together", sa.Integer(), comment="overrides that the prior was fitted to"
        ),
        sa.Column("shrunk_absent_reason", sa.Text()),
        sa.Column("horizon_days", sa.Integer(), comment="longest declared horizon passed"),
        sa.Column("horizon_rr", sa.Double(), comment="effect on what was decided before it, R"),
        sa.Column("horizon_low_rr", sa.Double()),
        sa.Column("horizon_high_rr", sa.Double()),
        sa.Column(
            "horizon_q_value", sa.Double(), comment="over the overrides judged at the horizon"
        ),
        sa.Column("n_judged_together", sa.Integer()),
        sa.Column("horizon_verdict", sa.Text()),
        sa.Column("horizon_absent_reason", sa.Text()),
    ]


_CHECKS = {
    "shrunk_rr_or_reason": "(shrunk_rr IS NULL) <> (shrunk_absent_reason IS NULL)",
    "horizon_q_value_or_reason": "(horizon_q_value IS NULL) <> (horizon_absent_reason IS NULL)",
    "horizon_q_value_in_bounds": "horizon_q_value BETWEEN 0 AND 1",
}


def upgrade() -> None:
    op.add_column(
        _TABLE,
        sa.Column(
            "sentence",
            sa.Text(),
            comment="the verdict in words, with about how many trades are missing",
        ),
    )
    for column in _columns():
        op.add_column(_TABLE, column)
    op.execute(
        sa.text(
            f"UPDATE {_TABLE} SET shrunk_absent_reason = :reason, horizon_absent_reason = :reason,"
            " sentence = coalesce(details ->> 'sentence', verdict)"
        ).bindparams(reason=_UNTIL_MEASURED)
    )
    op.alter_column(_TABLE, "sentence", nullable=False)
    for name, rule in _CHECKS.items():
        op.create_check_constraint(op.f(f"ck_{_TABLE}_{name}"), _TABLE, rule)


def downgrade() -> None:
    for name in _CHECKS:
        op.drop_constraint(op.f(f"ck_{_TABLE}_{name}"), _TABLE, type_="check")
    for column in ("sentence", *(column.name for column in _columns())):
        op.drop_column(_TABLE, column)
