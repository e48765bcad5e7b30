"""Trades, levels of scopes and gaps counted by day: what the Data page reads."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.postgresql import ARRAY, DATE

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_COUNTS = {
    "n_trades": "distinct trades",
    "n_without_r_multiple_net": "trades that lack it",
    "n_without_r_multiple": "trades that lack it",
    "n_without_rr_path": "trades that lack it",
    "n_entries": "first entries, one a trade and setup",
    "n_action_strand": "events by this provenance",
    "n_own_fields": "events by this provenance",
    "n_reconstructed": "events by this provenance",
}


def upgrade() -> None:
    op.create_table(
        "event_day_changes",
        sa.Column("day", DATE, nullable=False),
        comment="Days (UTC) of closes whose events were written since they were counted; told by "
        "a trigger, taken by the sweep of the inbox.",
    )
    op.create_table(
        "event_day_counts",
        *_key("bot", "origin"),
        *(
            sa.Column(name, sa.Integer, nullable=False, comment=comment)
            for name, comment in _COUNTS.items()
        ),
        sa.Column(
            "dimensions",
            ARRAY(sa.Text),
            nullable=False,
            comment="whose levels were counted that day",
        ),
        sa.PrimaryKeyConstraint("day", "bot", "origin", name=op.f("pk_event_day_counts")),
        comment="Closed trades by day, counted from the events.",
    )
    op.create_table(
        "event_day_levels",
        *_key("bot", "dimension", "level"),
        sa.Column("n", sa.Integer, nullable=False, comment="first entries"),
        sa.PrimaryKeyConstraint(
            "day", "bot", "dimension", "level", name=op.f("pk_event_day_levels")
        ),
        comment="First entries by day and level of a scope dimension, where they have one.",
    )
    op.create_table(
        "event_day_gaps",
        *_key("bot", "field"),
        sa.Column("n_missing", sa.Integer, nullable=False, comment="first entries that lack it"),
        sa.Column(
            "n_filled", sa.Integer, nullable=False, comment="first entries that candles told it"
        ),
        sa.PrimaryKeyConstraint("day", "bot", "field", name=op.f("pk_event_day_gaps")),
        comment="What first entries lack, and what candles filled; no row where neither.",
    )
    sql = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.execute(sql.replace("@schema", _schema()))


def downgrade() -> None:
    for event in ("insert", "update", "delete"):
        op.execute(f"DROP TRIGGER note_changed_days_{event} ON pattern_trade_events")
    op.execute("DROP FUNCTION note_changed_days()")
    for name in ("gaps", "levels", "counts", "changes"):
        op.drop_table(f"event_day_{name}")


def _key(*names: str) -> list[sa.Column]:
    day = sa.Column("day", DATE, nullable=False, comment="of the close, UTC")
    return [day, *(sa.Column(name, sa.Text, nullable=False) for name in names)]


def _schema() -> str:
    if context.is_offline_mode():
        return "public"
    return str(op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())")))
